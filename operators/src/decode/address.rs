//! IP addresses as events and lists write them. Owned here: notations and which addresses say something of a user's
//! network. Not owned here: whose network it is.

use std::net::{IpAddr, Ipv6Addr};

/// Reads an IPv4 or IPv6 address; a zone (`%eth0`) is dropped, and IPv4 that comes mapped into IPv6 is IPv4.
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    let bare = match text.split_once('%') {
        Some((address, _)) => address.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    };
    bare.map(|ip| ip.to_canonical())
}

/// Whether the address says something of the user's network. Loopback, private (RFC 1918, RFC 4193), link-local,
/// shared (RFC 6598), unspecified, multicast and broadcast addresses do not.
pub fn public_ip(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            let local = ip.is_loopback() || ip.is_private() || ip.is_link_local() || shared;
            !(local || ip.octets()[0] == 0 || ip.is_multicast() || ip.is_broadcast())
        }
        IpAddr::V6(ip) => {
            let local = ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local();
            !(local || ip.is_unspecified() || ip.is_multicast())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_notation_is_one_address() {
        for (text, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("::FFFF:c000:201", Some("192.0.2.1")),
            ("2001:DB8:0:0:0:0:0:1", Some("2001:db8::1")),
            ("2001:db8::0001", Some("2001:db8::1")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("192.0.2.1%eth0", None),
            ("", None),
            ("unknown", None),
            ("192.0.2.1:443", None),
            ("192.0.2.256", None),
            ("192.0.2", None),
        ] {
            assert_eq!(parse_ip(text), expected.map(|e| e.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn local_addresses_are_not_public() {
        let local = "127.0.0.1 ::1 10.1.2.3 172.16.0.1 172.31.255.255 192.168.1.1 169.254.1.1 100.64.0.1 100.127.0.1 \
                     0.0.0.0 0.1.2.3 :: fe80::1 fc00::1 fd12::1 ::ffff:10.0.0.1 ff02::1 224.0.0.1 255.255.255.255";
        for text in local.split_whitespace() {
            assert!(!public_ip(text.parse().unwrap()), "{text}");
        }
        for text in
            ["172.32.0.1", "100.128.0.1", "100.63.0.1", "203.0.113.9", "8.8.8.8", "2001:db8::1", "::ffff:8.8.8.8"]
        {
            assert!(public_ip(text.parse().unwrap()), "{text}");
        }
    }
}
