//! What an org changed about its anomaly event response, as it is told in the audit log.

use super::control::{AllowList, Channels};
use super::id::Id;
use super::reason::Reason;
use engine::time::Micros;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Derived from the org, the record's time and place, and what changed.
    pub id: Id,
    /// When it took effect.
    pub at: Micros,
    /// The org.
    pub org: String,
    /// What changed.
    pub what: What,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// Which anomalies are answered, or how admins are told.
    Preferences(Step<Preferences>),
    /// For which reasons a user is excluded.
    User(String, Step<BTreeSet<Reason>>),
    /// For which reasons a group is excluded.
    Group(String, Step<BTreeSet<Reason>>),
    /// Which networks are trusted.
    AllowList(Step<AllowList>),
}

/// From one value to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step<T> {
    /// What held before.
    pub from: T,
    /// What holds now.
    pub to: T,
}

/// The toggles of all reasons that have one, and how admins are told, with the defaults of what was not set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preferences {
    /// Whether each reason is answered.
    pub responses: BTreeMap<Reason, bool>,
    /// How the Primary Owner is told.
    pub primary_owner: Channels,
    /// How Security Admins are told.
    pub security_admins: Channels,
}
