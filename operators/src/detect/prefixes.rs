//! A set of address prefixes that is asked for every event. Owned here: the lookup, one binary search over ranges that
//! neither meet nor overlap, however many lengths of prefix there are.

use ipnet::IpNet;
use std::net::IpAddr;

/// Addresses as numbers: IPv4 and IPv6 apart, since a prefix of one says nothing of the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefixes {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Prefixes {
    /// Whether one of the prefixes covers the address; IPv4 that comes mapped into IPv6 is IPv4.
    pub fn cover(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => covers(&self.v4, ip.to_bits()),
            IpAddr::V6(ip) => covers(&self.v6, ip.to_bits()),
        }
    }
}

impl FromIterator<IpNet> for Prefixes {
    fn from_iter<I: IntoIterator<Item = IpNet>>(nets: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in nets {
            match net {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        Prefixes { v4: joined(v4), v6: joined(v6) }
    }
}

fn covers<N: Ord + Copy>(ranges: &[(N, N)], number: N) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= number);
    after.checked_sub(1).is_some_and(|before| number <= ranges[before].1)
}

/// Prefixes are either apart or one within the other, so what begins within the last range ends there.
fn joined<N: Ord + Copy>(mut ranges: Vec<(N, N)>) -> Vec<(N, N)> {
    ranges.sort_unstable_by(|(a, a_end), (b, b_end)| a.cmp(b).then(b_end.cmp(a_end)));
    let mut outer: Vec<(N, N)> = Vec::with_capacity(ranges.len());
    for range in ranges {
        if outer.last().is_none_or(|last| last.1 < range.0) {
            outer.push(range);
        }
    }
    outer.shrink_to_fit();
    outer
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipnet::{Ipv4Net, Ipv6Net};
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn what_is_at_the_edges_and_in_other_notations() {
        let nets = ["203.0.113.0/24", "203.0.113.128/25", "198.51.100.7/32", "0.0.0.0/30", "2001:db8::/32"];
        let set: Prefixes = nets.iter().map(|net| net.parse::<IpNet>().unwrap()).collect();
        for (ip, covered) in [
            ("203.0.112.255", false),
            ("203.0.113.0", true),
            ("203.0.113.255", true),
            ("203.0.114.0", false),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("0.0.0.3", true),
            ("0.0.0.4", false),
            ("::ffff:203.0.113.9", true),
            ("::2", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
        ] {
            assert_eq!(set.cover(ip.parse().unwrap()), covered, "{ip}");
        }
        assert!(!Prefixes::default().cover("0.0.0.0".parse().unwrap()));
        let all: Prefixes = ["0.0.0.0/0", "::/0"].iter().map(|net| net.parse::<IpNet>().unwrap()).collect();
        assert!(all.cover("255.255.255.255".parse().unwrap()) && all.cover("ffff::".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn agrees_with_looking_at_every_prefix(
            v4 in prop::collection::vec((0u32..64, 20u8..=32), 0..30),
            v6 in prop::collection::vec((0u128..64, 110u8..=128), 0..30),
            asked in prop::collection::vec(0u32..80, 40),
        ) {
            let v4 = v4.iter().map(|(bits, len)| IpNet::from(Ipv4Net::new(Ipv4Addr::from_bits(*bits), *len).unwrap()));
            let v6 = v6.iter().map(|(bits, len)| IpNet::from(Ipv6Net::new(Ipv6Addr::from_bits(*bits), *len).unwrap()));
            let nets: Vec<IpNet> = v4.chain(v6).collect();
            let set: Prefixes = nets.iter().copied().collect();
            for bits in asked {
                let addresses = [IpAddr::from(Ipv4Addr::from_bits(bits)), Ipv6Addr::from_bits(u128::from(bits)).into()];
                for ip in addresses {
                    prop_assert_eq!(set.cover(ip), nets.iter().any(|net| net.contains(&ip)), "{}", ip);
                }
            }
        }
    }
}
