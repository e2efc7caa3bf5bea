//! Where traffic comes from. Every kind of network has a block of its own, so that nobody meets a Tor exit by chance.
//! AS numbers are from the ranges for documentation and private use.

use super::dice::{Dice, Topic};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address and what is known of its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) ip: IpAddr,
    pub(super) asn: u32,
    pub(super) country: &'static str,
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

/// The address that a whole office shares.
pub(super) fn office(org: usize, country: &'static str) -> Address {
    Address { ip: v4(62, (org >> 8) as u8, org as u8, 10), asn: 4_200_000_000 + org as u32, country }
}

/// The org's VPN leaves in another country.
pub(super) fn vpn(org: usize) -> Address {
    Address { ip: v4(146, (org >> 8) as u8, org as u8, 7), asn: 64_501, country: "NL" }
}

/// The prefix of the org's security lab, which some orgs trust.
pub(super) fn lab_prefix(org: usize) -> String {
    format!("193.{}.{}.0/24", org >> 8, org & 255)
}

/// An address of the lab that is listed as a Tor exit.
pub(super) fn lab_exit(org: usize) -> Address {
    Address { ip: v4(193, (org >> 8) as u8, org as u8, 66), asn: 64_505, country: "CH" }
}

/// The prefix of the org's build servers, which some orgs trust.
pub(super) fn build_prefix(org: usize) -> String {
    format!("194.{}.{}.0/24", org >> 8, org & 255)
}

/// A build server of the org, on which scripts run.
pub(super) fn build(org: usize, country: &'static str) -> Address {
    Address { ip: v4(194, (org >> 8) as u8, org as u8, 20), asn: 64_507, country }
}

/// Somebody's home line; `person` counts over all orgs.
pub(super) fn home(person: usize, country: &'static str) -> Address {
    let ip = v4(80 + (person >> 16) as u8 % 8, (person >> 8) as u8, person as u8, 21);
    Address { ip, asn: 64_496 + (scrambled(person) % 3) as u32, country }
}

/// A mobile carrier, which hands out another address every time.
pub(super) fn mobile(person: usize, lease: u64, country: &'static str) -> Address {
    let (high, low) = ((person >> 16) as u16, person as u16);
    let ip = Ipv6Addr::new(0x2a02, 0x3030, high, low, 0, 0, (lease >> 16) as u16, lease as u16 | 1);
    Address { ip: IpAddr::V6(ip), asn: 64_500, country }
}

/// A rented server.
pub(super) fn cloud(dice: &mut Dice) -> Address {
    Address { ip: v4(3, 120, dice.below(256) as u8, dice.between(1, 254) as u8), asn: 64_502, country: "US" }
}

/// A home line far away, as thieves rent them; never in the country that is home.
pub(super) fn elsewhere(dice: &mut Dice, home: &str) -> Address {
    let country = match dice.pick(&["BR", "VN", "RO", "ZA"]) {
        country if country == home => "ID",
        country => country,
    };
    Address { ip: v4(177, dice.below(256) as u8, dice.below(256) as u8, 99), asn: 64_503, country }
}

/// A host that asks no questions; its AS is on a list.
pub(super) fn bulletproof(dice: &mut Dice) -> Address {
    Address { ip: v4(91, 211, dice.below(256) as u8, dice.between(1, 254) as u8), asn: SUSPICIOUS[0], country: "MD" }
}

/// An address that others have reported.
pub(super) fn reported(dice: &mut Dice) -> Address {
    Address { ip: v4(45, 155, 204, dice.between(1, 254) as u8), asn: 64_512, country: "RU" }
}

/// The hotel in which somebody stays while travelling.
pub(super) fn hotel(person: usize, country: &'static str) -> Address {
    let abroad = ["FR", "IT", "JP", "ES"].into_iter().cycle().skip((scrambled(person) % 4) as usize);
    let country = abroad.into_iter().find(|other| *other != country).unwrap_or("FR");
    Address { ip: v4(88, (person >> 16) as u8, (person >> 8) as u8, person as u8), asn: 64_513, country }
}

/// A service through which a device reaches everything; it leaves by another address every time.
pub(super) fn pool(dice: &mut Dice, country: &'static str) -> Address {
    Address { ip: v4(165, 225, dice.below(64) as u8, dice.between(1, 254) as u8), asn: 64_514, country }
}

/// A new line at somebody's home, by a provider that they never had.
pub(super) fn new_line(person: usize, country: &'static str) -> Address {
    Address { ip: v4(79, (person >> 16) as u8, (person >> 8) as u8, person as u8), asn: 64_515, country }
}

/// AS numbers on the list `suspicious_asn`, `cloud_asn`, and prefixes on the list `ioc_ip`.
pub(super) const SUSPICIOUS: [u32; 2] = [64_510, 64_511];
pub(super) const CLOUD: [u32; 2] = [64_502, 64_509];
pub(super) const REPORTED: [&str; 2] = ["45.155.204.0/24", "192.0.2.77/32"];

/// Beside Tor exits, in the same prefix, and none itself.
pub(super) fn beside_exits() -> Address {
    Address { ip: v4(185, 220, 101, 254), asn: 64_504, country: "DE" }
}

/// A listed exit as an address.
pub(super) fn exit(ip: Ipv4Addr) -> Address {
    Address { ip: IpAddr::V4(ip), asn: 64_504, country: "DE" }
}

/// The public exits of this seed, in order.
pub(super) fn exits(seed: u64) -> Vec<Ipv4Addr> {
    let mut dice = Dice::of(seed, Topic::Tor, 0, 0);
    let mut exits = BTreeSet::new();
    while exits.len() < 300 {
        exits.insert(Ipv4Addr::new(185, 220, dice.between(100, 103) as u8, dice.between(1, 253) as u8));
    }
    exits.into_iter().collect()
}

fn scrambled(person: usize) -> u64 {
    super::dice::scramble(person as u64 + 1) >> 8
}
