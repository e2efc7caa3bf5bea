//! What orgs and platform teams set: control records, as read and checked.

use engine::time::Micros;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::reason::Reason;

/// One control record. A later one with the same (kind, org, key) replaces it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ControlRecord {
    /// When it takes effect; zero is the beginning of time.
    pub at: Micros,
    /// Its place in the input, for records of the same time.
    pub position: u64,
    /// The org, `*` for all.
    pub org: String,
    /// The key within kind and org.
    pub key: String,
    /// What is set.
    pub value: ControlValue,
}

/// What a control record sets. `None` inside deletes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ControlValue {
    /// A directory row; the key is the user id.
    User(Option<DirectoryRow>),
    /// An org's settings.
    Settings(Option<Settings>),
    /// An org's trusted networks.
    AllowList(Option<AllowList>),
    /// That a workspace (the key) belongs to the org.
    Workspace(Option<()>),
    /// A switch: `shadow`, `hold`, `resume` (the key).
    Switch(Option<Switch>),
    /// A threat list; the key is its name.
    ThreatList(Option<ThreatList>),
    /// What became of a response; the key is its id.
    Outcome(Settled),
}

/// What became of the sessions that a response was to end. Such records are made here, never set from outside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Settled {
    /// The user.
    pub user: String,
    /// Whether they were ended.
    pub ended: Ended,
}

/// Whether sessions were ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// They were not.
    No,
    /// Nobody knows.
    Unknown,
    /// They were after all, when it had been said before that they were not, or that nobody knows.
    AfterAll,
}

/// The kill switch is thrown: effects are held from now on, or no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// When it takes effect.
    pub at: Micros,
    /// Place in the control input.
    pub position: u64,
    /// Of which org; `None` for all.
    pub org: Option<String>,
    /// Held, or no longer.
    pub on: bool,
}

/// What the directory knows of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DirectoryRow {
    /// Display name.
    pub name: String,
    /// Mail address.
    pub email: String,
    /// Locale, such as `en-US`.
    pub locale: String,
    /// Org Primary Owner.
    pub is_primary_owner: bool,
    /// Belongs to another org.
    pub is_external: bool,
    /// Not a person.
    pub is_bot: bool,
    /// System roles, such as `security_admin`.
    pub roles: BTreeSet<String>,
    /// Groups that the user is in.
    pub groups: BTreeSet<String>,
    /// Account for direct messages; the user id if absent.
    pub slack_user_id: Option<String>,
}

/// An org's settings for anomaly event response.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Settings {
    /// What is set of each reason with a toggle; absent ones have their default.
    pub responses: BTreeMap<Reason, ResponseSetting>,
    /// How the Primary Owner is told.
    pub primary_owner: Channels,
    /// How Security Admins are told.
    pub security_admins: Channels,
}

impl Settings {
    /// Whether the org wants this reason answered.
    pub fn enabled(&self, reason: Reason) -> bool {
        reason.has_toggle()
            && self.responses.get(&reason).and_then(|r| r.enabled).unwrap_or_else(|| reason.enabled_by_default())
    }
}

/// What an org set for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ResponseSetting {
    /// The toggle, if it was set.
    pub enabled: Option<bool>,
    /// Users who are never signed out for it.
    pub exclude_users: BTreeSet<String>,
    /// Groups whose members are never signed out for it.
    pub exclude_groups: BTreeSet<String>,
}

/// Ways of telling someone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Channels {
    /// By mail.
    pub email: bool,
    /// By direct message.
    pub dm: bool,
}

/// Networks whose traffic is not anomalous at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AllowList {
    /// Prefixes, none wider than /8 (IPv4) or /24 (IPv6).
    pub trusted_cidr: BTreeSet<IpNet>,
    /// AS numbers.
    pub trusted_asn: BTreeSet<u32>,
}

/// A switch and what it covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Switch {
    /// On or off.
    pub on: bool,
    /// The reasons that it covers; `None` for all.
    pub reasons: Option<BTreeSet<Reason>>,
}

/// The content of a threat list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ThreatList {
    /// `tor_exit`: addresses.
    TorExit(BTreeSet<IpAddr>),
    /// `suspicious_asn`: AS numbers.
    SuspiciousAsn(BTreeSet<u32>),
    /// `cloud_asn`: AS numbers of hosting providers.
    CloudAsn(BTreeSet<u32>),
    /// `ioc_ip`: prefixes seen in attacks.
    IocIp(BTreeSet<IpNet>),
    /// `automation_tls`: TLS fingerprint to the tool that has it.
    AutomationTls(BTreeMap<String, String>),
}
