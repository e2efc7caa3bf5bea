//! Which hosts and addresses a job may connect to. Whoever can set a destination must not reach what only this machine
//! or its network can: loopback, private and link-local addresses, the metadata of a cloud. Owned here: the kinds of
//! addresses, and the hosts of the own network that a job names as destinations all the same. Not owned here: the
//! connection, which goes to the very addresses that were looked at.

use engine::error::Error;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use url::Host;

/// Hosts of the own network that a job may connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrivateHosts(BTreeSet<String>);

impl PrivateHosts {
    /// These hosts, each in the form that [`host`] gives.
    pub fn new(hosts: impl IntoIterator<Item = String>) -> Self {
        PrivateHosts(hosts.into_iter().collect())
    }

    /// Whether a host, in the form that [`host`] gives, is one of them.
    pub fn hold(&self, host: &str) -> bool {
        self.0.contains(host)
    }

    /// The addresses of a host that may be connected to. It is asked for anew at each attempt, since names change.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there are none, or any of them may not be connected to.
    pub fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        vetted(look_up(host, port), self.hold(host)).map_err(Error::Unavailable)
    }
}

/// The one form of a host: a name in lower case without the last dot, or an address.
///
/// # Errors
/// The rule that it breaks.
pub fn host(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    match Host::parse(text) {
        Ok(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(&name);
            match name.is_empty() || name.contains(['*', '%']) {
                true => Err("must be a host".to_owned()),
                false => Ok(name.to_owned()),
            }
        }
        Ok(address) => Err(format!("must be written as {address}")),
        Err(_) => Err("must be a host, without scheme, port or path".to_owned()),
    }
}

/// The addresses of a host as the system knows them.
pub(crate) fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let found = (host, port).to_socket_addrs().map_err(|error| format!("its name does not resolve: {error}"))?;
    Ok(found.collect())
}

/// All of the addresses, or none of them: who answers with both kinds wants to be connected to the wrong one.
pub(crate) fn vetted(found: Result<Vec<SocketAddr>, String>, private: bool) -> Result<Vec<SocketAddr>, String> {
    let found = found?;
    if found.is_empty() {
        return Err("its name has no address".to_owned());
    }
    match found.iter().find_map(|address| refusal(address.ip(), private)) {
        Some(why) => Err(why),
        None => Ok(found),
    }
}

/// Why an address may not be connected to, if it may not.
pub(crate) fn refusal(address: IpAddr, private: bool) -> Option<String> {
    match kind(address) {
        Kind::Public => None,
        Kind::Private if private => None,
        Kind::Private => {
            Some(format!("{address} is of this machine or its network, and the host is not allowed to be"))
        }
        Kind::Never => Some(format!("{address} is an address that nothing may be sent to")),
    }
}

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Out.
    Public,
    /// To this machine or its network.
    Private,
    /// To nobody, to everybody, to the metadata of a cloud, or to an IPv4 address in disguise.
    Never,
}

fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(address) => kind_of_v4(address),
        IpAddr::V6(address) => kind_of_v6(address),
    }
}

fn kind_of_v4(address: Ipv4Addr) -> Kind {
    match address.octets() {
        // The metadata of single clouds, among a carrier's addresses and among the public ones.
        [100, 100, 100, 200] | [168, 63, 129, 16] => Kind::Never,
        // Loopback, private use, shared by the customers of a carrier.
        [127, ..] | [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Kind::Private,
        // This network, link-local with the metadata of clouds, assignments of protocols, relays of 6to4.
        [0, ..] | [169, 254, ..] | [192, 0, 0, _] | [192, 88, 99, _] => Kind::Never,
        // Documentation, benchmarks, multicast, reserved, broadcast.
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [198, 18..=19, ..] | [224..=255, ..] => Kind::Never,
        _ => Kind::Public,
    }
}

fn kind_of_v6(address: Ipv6Addr) -> Kind {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Kind::Private,
        // The metadata of clouds, among the private ones.
        [0xfd00, 0x0ec2, ..] | [0xfd20, 0x00ce, ..] => Kind::Never,
        [0xfc00..=0xfdff, ..] => Kind::Private,
        // Assignments of protocols with Teredo, documentation, 6to4.
        [0x2001, 0x0000..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x2002, ..] | [0x3fff, 0x0000..=0x0fff, ..] => {
            Kind::Never
        }
        [0x2000..=0x3fff, ..] => Kind::Public,
        // Everything else is none's, or a disguise: mapped, compatible, NAT64, link-local, multicast.
        _ => Kind::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(kind_of_all: Kind, addresses: &[&str]) {
        for address in addresses {
            assert_eq!(kind(address.parse().unwrap()), kind_of_all, "{address}");
        }
    }

    #[test]
    fn every_range_has_its_kind_up_to_both_ends() {
        kinds(Kind::Public, &["1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0"]);
        kinds(Kind::Public, &["126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255"]);
        kinds(Kind::Public, &["172.32.0.0", "192.0.1.0", "192.0.3.0", "192.88.98.255", "192.167.255.255"]);
        kinds(Kind::Public, &["192.169.0.0", "198.17.255.255", "198.20.0.0", "203.0.112.255", "223.255.255.255"]);
        kinds(Kind::Public, &["2000::1", "2001:200::", "2001:4860:4860::8888", "2003::", "2a00::1", "3ffe::"]);
        kinds(Kind::Private, &["127.0.0.1", "127.255.255.255", "10.0.0.0", "10.255.255.255", "172.16.0.0"]);
        kinds(Kind::Private, &["172.31.255.255", "192.168.0.0", "192.168.255.255", "100.64.0.0", "100.127.255.255"]);
        kinds(Kind::Private, &["::1", "fc00::", "fd00::1", "fdff:ffff::1"]);
        kinds(Kind::Never, &["0.0.0.0", "0.255.255.255", "169.254.169.254", "169.254.0.0", "192.0.0.8"]);
        kinds(Kind::Never, &["100.100.100.200", "168.63.129.16", "fd20:ce::254"]);
        kinds(Kind::Private, &["100.100.100.199", "fd20:cd::254"]);
        kinds(Kind::Public, &["168.63.129.17"]);
        kinds(Kind::Never, &["192.0.2.1", "192.88.99.1", "198.18.0.0", "198.19.255.255", "198.51.100.7"]);
        kinds(Kind::Never, &["203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.0", "255.255.255.255"]);
        kinds(Kind::Never, &["::", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "100::1"]);
        kinds(Kind::Never, &["64:ff9b:1::1", "2001::7f00:1", "2001:1ff:ffff::", "2001:db8::1", "2002:7f00:1::1"]);
        kinds(
            Kind::Never,
            &["3fff::1", "4000::", "5f00::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "fd00:ec2::254"],
        );
    }

    #[test]
    fn one_address_that_may_not_be_is_enough_to_refuse_the_answer() {
        let found = |addresses: &[&str]| {
            Ok(addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 443)).collect::<Vec<_>>())
        };
        assert_eq!(vetted(found(&["1.1.1.1", "2606:4700::1111"]), false).unwrap().len(), 2);
        let told = vetted(found(&["1.1.1.1", "10.0.0.1"]), false).unwrap_err();
        assert!(told.contains("10.0.0.1 is of this machine or its network"), "{told}");
        assert_eq!(vetted(found(&["1.1.1.1", "10.0.0.1"]), true).unwrap().len(), 2);
        // What no host may be stays so, whatever the job names.
        let told = vetted(found(&["10.0.0.1", "169.254.169.254"]), true).unwrap_err();
        assert!(told.contains("169.254.169.254 is an address that nothing"), "{told}");
        assert!(vetted(found(&[]), true).unwrap_err().contains("no address"));
    }

    #[test]
    fn a_host_has_one_form() {
        for (text, form) in [
            ("Receiver.Internal.", "receiver.internal"),
            ("localhost", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[FD00::0:1]", "fd00::1"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(host(text).unwrap(), form, "{text}");
        }
        for (text, rule) in [
            ("2130706433", "written as 127.0.0.1"),
            ("0x7f.1", "written as 127.0.0.1"),
            ("017700000001", "written as 127.0.0.1"),
            ("http://a", "without scheme"),
            ("a:80", "without scheme"),
            ("*.internal", "must be a host"),
            (".", "must be a host"),
            ("", "must be a host"),
        ] {
            let told = host(text).unwrap_err();
            assert!(told.contains(rule), "{text}: {told}");
        }
    }

    #[test]
    fn a_host_resolves_to_this_machine_only_where_that_is_allowed() {
        let none = PrivateHosts::default();
        assert!(none.resolve("localhost", 25).unwrap_err().to_string().contains("is of this machine"));
        let local = PrivateHosts::new(["localhost".to_owned()]);
        let found = local.resolve("localhost", 25).unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 25), "{found:?}");
    }
}
