//! What prints are likely to be of, for people who look at a user. Owned here: what is tried. A print cannot be read
//! back, but what it may be of can be listed: AS numbers, prefixes, the clients of the contract, administrative actions.
//!
//! A name may be wrong by chance: of a print that is of nothing that is tried, one in 2,000 gets some AS number's name, and
//! one in 250 some prefix's. Nothing is decided by names.

use super::client::{Print, network_of};
use crate::decode::{administrative, client_hash};
use engine::key;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// So many AS numbers are tried from each end: those in use are well below, and private ones start at the other.
const ASNS: u32 = 1 << 20;

/// The first private AS number of 32 bits (RFC 6996).
const ASN_PRIVATE: u32 = 4_200_000_000;

/// What servers call the clients that they measure.
const CLIENTS: [&str; 16] = [
    "Slack Desktop",
    "Slack iOS",
    "Slack Android",
    "Slack",
    "Chrome",
    "HeadlessChrome",
    "Chromium",
    "Edge",
    "Firefox",
    "Safari",
    "Go",
    "Python",
    "Node.js",
    "Java",
    "curl",
    "Wget",
];

const SYSTEMS: [&str; 7] = ["", "Windows", "macOS", "Linux", "iOS", "Android", "ChromeOS"];

/// The networks among these prints that can be named: those of addresses that were `seen`, AS numbers, else prefixes. A
/// tenth of a second where all prefixes have to be tried.
pub fn networks(prints: &BTreeSet<Print>, seen: &[IpAddr]) -> BTreeMap<Print, String> {
    let mut names = BTreeMap::new();
    let mut try_one = |print: Print, name: &dyn Fn() -> String| {
        if prints.contains(&print) {
            names.entry(print).or_insert_with(name);
        }
        names.len() < prints.len()
    };
    for ip in seen.iter().map(IpAddr::to_canonical) {
        try_one(network_of(None, Some(ip)), &|| prefix(ip));
    }
    let of_as = |asn: u32| (network_of(Some(asn), None), asn);
    let mut open = (0..ASNS)
        .chain(ASN_PRIVATE..ASN_PRIVATE + ASNS)
        .map(of_as)
        .all(|(print, asn)| try_one(print, &|| format!("AS{asn}")));
    open &= prints.iter().any(|print| print.is_some());
    if open {
        // The first three numbers of an address.
        let of_prefix = |three: u32| IpAddr::V4(Ipv4Addr::from_bits(three << 8));
        (0..1 << 24).map(of_prefix).all(|ip| try_one(network_of(None, Some(ip)), &|| prefix(ip)));
    }
    names
}

/// The prefix that stands for an address.
fn prefix(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{}/24", Ipv4Addr::from_bits(ip.to_bits() & !0xff)),
        IpAddr::V6(ip) => format!("{}/48", std::net::Ipv6Addr::from_bits(ip.to_bits() >> 80 << 80)),
    }
}

/// Measured clients by print.
pub fn clients() -> BTreeMap<Print, String> {
    let pairs = CLIENTS.iter().chain([&""]).flat_map(|name| SYSTEMS.map(|os| (*name, os)));
    let named = |(name, os): (&str, &str)| match (name, os) {
        ("", os) => os.to_owned(),
        (name, "") => name.to_owned(),
        (name, os) => format!("{name} on {os}"),
    };
    pairs.map(|pair| (Print::of(Some(client_hash(pair.0, pair.1))), named(pair))).collect()
}

/// Administrative actions by print.
pub fn admin_actions() -> BTreeMap<Print, &'static str> {
    administrative().map(|name| (Print((key::hash(name.as_bytes()) as u32).max(1)), name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_named_by_number_else_by_prefix() {
        let ip = |text: &str| -> IpAddr { text.parse().expect("an address") };
        let of = |asn, address: &str| network_of(asn, Some(ip(address)));
        let prints =
            [of(Some(4_200_000_007), "203.0.113.9"), of(None, "203.0.113.9"), of(None, "2001:db8:7::1"), Print(7)];
        let names = networks(&prints.into(), &[ip("2001:db8:7:1::2"), ip("192.0.2.1")]);
        let names = prints.map(|print| names.get(&print).map(String::as_str));
        assert_eq!(names, [Some("AS4200000007"), Some("203.0.113.0/24"), Some("2001:db8:7::/48"), None]);
        assert!(networks(&BTreeSet::new(), &[]).is_empty());
    }

    #[test]
    fn clients_and_admin_actions_are_named() {
        let slack = Print::of(Some(client_hash("Slack Desktop", "macOS")));
        assert_eq!(clients()[&slack], "Slack Desktop on macOS");
        assert!(admin_actions().values().any(|name| *name == "role_change_to_owner"));
    }
}
