//! What detection looks up that is not a user's own: threat lists, trusted networks, exclusions, thresholds. Owned here:
//! the tables, filled by broadcast records in the order of their application, so what has applied holds. In no snapshot:
//! policy and baseline send again what is in force.

use super::automation_tls::AutomationTls;
use super::prefixes::Prefixes;
use crate::baseline::{Rollback, Subject, TakenBack, Threshold};
use crate::limits::ROLLBACK_LASTS;
use crate::model::control::{AllowList, ControlRecord, ControlValue, Settings, ThreatList};
use crate::model::event::Event;
use crate::model::reason::Reason;
use engine::key::{Map, Set};
use engine::time::Micros;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The tables of one worker.
#[derive(Default)]
pub struct References {
    tor_exits: Set<IpAddr>,
    suspicious_asns: Set<u32>,
    cloud_asns: Set<u32>,
    ioc: Prefixes,
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

/// Trusted networks, prepared for looking up.
#[derive(Default)]
struct Trusted {
    prefixes: Prefixes,
    asns: Set<u32>,
}

impl References {
    /// Takes up what an org or the platform team set. Kinds that detection does not need are passed over.
    pub fn control(&mut self, record: ControlRecord) {
        let ControlRecord { org, key, value, .. } = record;
        match value {
            ControlValue::ThreatList(list) => self.threat_list(&key, list),
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

    /// Whether the network is on the list of suspicious ones.
    pub fn is_suspicious(&self, asn: u32) -> bool {
        self.suspicious_asns.contains(&asn)
    }

    /// Whether the network is a cloud provider's.
    pub fn is_cloud(&self, asn: u32) -> bool {
        self.cloud_asns.contains(&asn)
    }

    /// Whether the address was seen in attacks.
    pub fn is_ioc(&self, ip: IpAddr) -> bool {
        self.ioc.cover(ip)
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

    /// Replaces a list, with nothing if it was deleted.
    fn threat_list(&mut self, name: &str, list: Option<ThreatList>) {
        match (name, list) {
            (_, Some(ThreatList::TorExit(exits))) => {
                self.tor_exits = exits.into_iter().map(|ip| ip.to_canonical()).collect();
            }
            (_, Some(ThreatList::SuspiciousAsn(asns))) => self.suspicious_asns = asns.into_iter().collect(),
            (_, Some(ThreatList::CloudAsn(asns))) => self.cloud_asns = asns.into_iter().collect(),
            (_, Some(ThreatList::IocIp(prefixes))) => self.ioc = prefixes.into_iter().collect(),
            (_, Some(ThreatList::AutomationTls(list))) => self.automation_tls = Some(AutomationTls::of_list(&list)),
            ("tor_exit", None) => self.tor_exits.clear(),
            ("suspicious_asn", None) => self.suspicious_asns.clear(),
            ("cloud_asn", None) => self.cloud_asns.clear(),
            ("automation_tls", None) => self.automation_tls = None,
            ("ioc_ip", None) => self.ioc = Prefixes::default(),
            (_, None) => {}
        }
    }

    fn org_mut(&mut self, org: String) -> &mut OrgReferences {
        self.orgs.entry(org).or_default()
    }
}

impl OrgReferences {
    /// Whether an event came from a network that the org trusts.
    pub fn trusts(&self, event: &Event) -> bool {
        event.asn.is_some_and(|asn| self.trusted.asns.contains(&asn))
            || event.ip.is_some_and(|ip| self.trusted.prefixes.cover(ip))
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
        let AllowList { trusted_cidr, trusted_asn } = list;
        Trusted { prefixes: trusted_cidr.into_iter().collect(), asns: trusted_asn.into_iter().collect() }
    }
}
