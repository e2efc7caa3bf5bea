//! What a client is recognised by, as 32-bit prints. Owned here: how prints are made, which addresses say something of
//! a network, and when two clients differ. What is absent says nothing: it neither matches nor differs.

use crate::model::event::Event;
use engine::key;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::IpAddr;

/// A print of one trait; zero where the trait is absent. Two that differ may meet by chance once in 4 x 10^9, and then
/// look the same: that can hide a change, never make one up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Print(pub u32);

impl Print {
    /// The print of a hash, if there is one.
    pub fn of(hash: Option<u64>) -> Self {
        Print(hash.map_or(0, |hash| ((hash >> 32) as u32).max(1)))
    }

    /// Whether the trait is there.
    pub fn is_some(self) -> bool {
        self.0 != 0
    }

    /// In hexadecimal digits, for people.
    pub fn view(self) -> Value {
        Value::String(format!("{:08x}", self.0))
    }

    /// Whether both are there and differ.
    pub fn differs(self, other: Print) -> bool {
        self.is_some() && other.is_some() && self != other
    }
}

/// The traits of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// TLS fingerprint.
    pub tls: Print,
    /// Measured name and system.
    pub name: Print,
    /// Measured version.
    pub version: Print,
    /// Device that the session was issued to.
    pub device: Print,
    /// AS number, else prefix.
    pub network: Print,
}

impl Client {
    /// The client that an event came from.
    pub fn of(event: &Event) -> Self {
        Client {
            tls: Print::of(event.tls),
            name: Print::of(event.client),
            version: Print::of(event.client_version),
            device: Print::of(event.device),
            network: network(event),
        }
    }

    /// The prints of the traits that are there, for people.
    pub fn view(&self) -> Value {
        let traits = [
            ("tls", self.tls),
            ("client", self.name),
            ("version", self.version),
            ("device", self.device),
            ("network", self.network),
        ];
        let there = traits.into_iter().filter(|(_, print)| print.is_some());
        Value::Object(there.map(|(name, print)| (name.to_owned(), print.view())).collect())
    }

    /// Whether it can be told that this is not the other client, its version aside.
    pub fn is_other(&self, other: &Client) -> bool {
        self.tls.differs(other.tls)
            || self.name.differs(other.name)
            || self.device.differs(other.device)
            || self.network.differs(other.network)
    }

    /// Takes over what the newer sight of the same client has.
    pub fn refresh(&mut self, newer: &Client) {
        let newest = |old: &mut Print, new: Print| {
            if new.is_some() {
                *old = new;
            }
        };
        newest(&mut self.tls, newer.tls);
        newest(&mut self.name, newer.name);
        newest(&mut self.version, newer.version);
        newest(&mut self.device, newer.device);
        newest(&mut self.network, newer.network);
    }
}

/// The network of an event: its AS number, else the /24 (IPv4) or /48 (IPv6) of a public address.
pub fn network(event: &Event) -> Print {
    network_of(event.asn, event.ip)
}

/// As [`network`], of the two that it looks at.
pub fn network_of(asn: Option<u32>, ip: Option<IpAddr>) -> Print {
    let hash = match (asn, ip.filter(|ip| is_public(*ip))) {
        (Some(asn), _) => Some(key::hash(&asn.to_be_bytes())),
        (None, Some(IpAddr::V4(ip))) => Some(key::hash(&ip.octets()[..3])),
        (None, Some(IpAddr::V6(ip))) => Some(key::hash(&ip.octets()[..6])),
        (None, None) => None,
    };
    Print::of(hash)
}

/// Whether an address says something of where a user is: not loopback, private (RFC 1918, RFC 4193), link-local or
/// unspecified.
pub fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => !(ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()),
        IpAddr::V6(ip) => {
            !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified())
        }
    }
}
