//! What detection looks up that is not a user's own: threat lists, trusted networks, exclusions, thresholds. Owned here:
//! the tables, filled by broadcast records in the order of their application, so what has applied holds. In no snapshot:
//! policy and baseline send again what is in force.

use crate::baseline::{Subject, Threshold};
use crate::model::control::{AllowList, ControlRecord, ControlValue, Settings, ThreatList};
use crate::model::event::Event;
use crate::model::reason::Reason;
use engine::key::{Map, Set};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The tables of one worker.
#[derive(Default)]
pub struct References {
    tor_exits: Set<IpAddr>,
    orgs: Map<String, OrgReferences>,
}

/// What one org set and taught.
#[derive(Default)]
pub struct OrgReferences {
    trusted: Trusted,
    settings: Settings,
    thresholds: BTreeMap<Subject, Threshold>,
}

/// Trusted networks, prepared for looking up: a set of networks for each length of prefix.
#[derive(Default)]
struct Trusted {
    prefixes: BTreeMap<u8, Set<IpNet>>,
    asns: Set<u32>,
}

impl References {
    /// Takes up what an org or the platform team set. Kinds that detection does not need are passed over.
    pub fn control(&mut self, record: ControlRecord) {
        let ControlRecord { org, key, value, .. } = record;
        match value {
            ControlValue::ThreatList(Some(ThreatList::TorExit(exits))) => {
                self.tor_exits = exits.into_iter().map(|ip| ip.to_canonical()).collect();
            }
            ControlValue::ThreatList(None) if key == "tor_exit" => self.tor_exits.clear(),
            ControlValue::AllowList(list) => self.org_mut(org).trusted = Trusted::of(list.unwrap_or_default()),
            ControlValue::Settings(settings) => self.org_mut(org).settings = settings.unwrap_or_default(),
            _ => {}
        }
    }

    /// Takes up a threshold. The caller keeps those back that do not apply yet.
    pub fn threshold(&mut self, threshold: Threshold) {
        let org = self.org_mut(threshold.org.clone());
        org.thresholds.insert(threshold.subject, threshold);
    }

    /// Whether the address is a Tor exit node.
    pub fn is_tor_exit(&self, ip: IpAddr) -> bool {
        self.tor_exits.contains(&ip.to_canonical())
    }

    /// What an org set and taught, if it did.
    pub fn org(&self, org: &str) -> Option<&OrgReferences> {
        self.orgs.get(org)
    }

    fn org_mut(&mut self, org: String) -> &mut OrgReferences {
        self.orgs.entry(org).or_default()
    }
}

impl OrgReferences {
    /// Whether an event came from a network that the org trusts.
    pub fn trusts(&self, event: &Event) -> bool {
        event.asn.is_some_and(|asn| self.trusted.asns.contains(&asn))
            || event.ip.is_some_and(|ip| self.trusted.covers(ip.to_canonical()))
    }

    /// Whether the org excluded the user by name for a reason.
    pub fn excludes(&self, user: &str, reason: Reason) -> bool {
        self.settings.responses.get(&reason).is_some_and(|response| response.exclude_users.contains(user))
    }

    /// The threshold that the org has taught.
    pub fn taught(&self, subject: Subject) -> Option<&Threshold> {
        self.thresholds.get(&subject)
    }
}

impl Trusted {
    fn of(list: AllowList) -> Self {
        let mut prefixes: BTreeMap<u8, Set<IpNet>> = BTreeMap::new();
        for net in &list.trusted_cidr {
            prefixes.entry(net.prefix_len()).or_default().insert(net.trunc());
        }
        Trusted { prefixes, asns: list.trusted_asn.into_iter().collect() }
    }

    fn covers(&self, ip: IpAddr) -> bool {
        self.prefixes.iter().any(|(len, nets)| IpNet::new(ip, *len).is_ok_and(|net| nets.contains(&net.trunc())))
    }
}
