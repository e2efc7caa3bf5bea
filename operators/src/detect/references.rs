//! What detection looks up that is not a user's own: threat lists, trusted networks, exclusions, thresholds. Owned here:
//! the tables, filled by broadcast records in the order of their application, so what has applied holds. In no snapshot:
//! policy and baseline send again what is in force.

use super::automation_tls::AutomationTls;
use crate::baseline::{Rollback, Subject, TakenBack, Threshold};
use crate::limits::ROLLBACK_LASTS;
use crate::model::control::{AllowList, ControlRecord, ControlValue, Settings, ThreatList};
use crate::model::event::Event;
use crate::model::reason::Reason;
use engine::key::{Map, Set};
use engine::time::Micros;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The tables of one worker.
#[derive(Default)]
pub struct References {
    tor_exits: Set<IpAddr>,
    /// The list that replaces the shipped table while it is set.
    automation_tls: Option<AutomationTls>,
    orgs: Map<String, OrgReferences>,
}

/// What one org set and taught.
#[derive(Default)]
pub struct OrgReferences {
    trusted: Trusted,
    settings: Settings,
    thresholds: BTreeMap<Subject, Threshold>,
    /// Versions that were taken back, and from when.
    rollbacks: BTreeMap<Rollback, Micros>,
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
            ControlValue::ThreatList(Some(ThreatList::AutomationTls(list))) => {
                self.automation_tls = Some(AutomationTls::of_list(&list));
            }
            ControlValue::ThreatList(None) if key == "automation_tls" => self.automation_tls = None,
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

    /// Takes up that an org took a version back. The caller keeps back what does not apply yet.
    pub fn taken_back(&mut self, taken_back: TakenBack) {
        let TakenBack { at, org, rollback } = taken_back;
        let rollbacks = &mut self.org_mut(org).rollbacks;
        rollbacks.retain(|_, from| at < from.plus(ROLLBACK_LASTS));
        rollbacks.insert(rollback, at);
    }

    /// Whether the address is a Tor exit node.
    pub fn is_tor_exit(&self, ip: IpAddr) -> bool {
        self.tor_exits.contains(&ip.to_canonical())
    }

    /// The tool that has a TLS fingerprint, given as its hash.
    pub fn tool(&self, tls: Option<u64>) -> Option<&str> {
        self.automation_tls.as_ref().unwrap_or(AutomationTls::shipped()).tool(tls?)
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

    /// Whether the org took this version back.
    pub fn took_back(&self, rollback: Rollback, at: Micros) -> bool {
        self.rollbacks.get(&rollback).is_some_and(|from| at < from.plus(ROLLBACK_LASTS))
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
