//! Who is exempt from a response because an org excluded a group of theirs: settings joined with membership.

use super::{Set, effective, latest};
use crate::decide::DecideRecord;
use crate::decide::record::UserChange;
use crate::model::control::{ControlRecord, ControlValue};
use crate::model::reason::Reason;
use engine::flow::Stream;
use engine::time::Micros;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use timely::dataflow::operators::vec::Map;

/// From `at` on, a user is (or is no longer) exempt for a reason because of a group. At one time there is at most one
/// of these per user and reason, and it differs from what was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Exemption {
    /// When it takes effect.
    pub at: Micros,
    /// The org.
    pub org: String,
    /// The user.
    pub user: String,
    /// The reason.
    pub reason: Reason,
    /// Exempt, or no longer.
    pub on: bool,
}

impl From<Exemption> for DecideRecord {
    fn from(it: Exemption) -> Self {
        DecideRecord::user(it.at, &it.org, &it.user, UserChange::Exempt { on: it.on, reason: it.reason })
    }
}

/// The changes of who is exempt, from all control records.
pub fn exemptions<'scope>(control: Stream<'scope, ControlRecord>) -> Stream<'scope, Exemption> {
    let excluded = latest(control.clone().flat_map(excluded_groups), "excluded groups")
        .flat_map(|(org, reasons)| pairs(org, reasons).collect::<Vec<_>>());
    let members = latest(control.flat_map(membership), "membership")
        .flat_map(|((org, user), groups)| groups.into_iter().map(move |group| ((org.clone(), group), user.clone())));
    members
        .join_map(excluded, |(org, _), user, reason| (org.clone(), user.clone(), *reason))
        .distinct()
        .inner
        .map(|((org, user, reason), stamp, diff)| Exemption { at: effective(stamp), org, user, reason, on: diff > 0 })
}

/// The groups that an org excludes, by reason.
type Excluded = BTreeMap<Reason, BTreeSet<String>>;

fn pairs(org: String, excluded: Excluded) -> impl Iterator<Item = ((String, String), Reason)> {
    excluded.into_iter().flat_map(move |(reason, groups)| {
        let org = org.clone();
        groups.into_iter().map(move |group| ((org.clone(), group), reason))
    })
}

fn excluded_groups(record: ControlRecord) -> Option<Set<String, Excluded>> {
    let ControlRecord { at, position, org, value, .. } = record;
    let ControlValue::Settings(settings) = value else { return None };
    let value = settings.map(|settings| {
        let groups = settings.responses.into_iter().map(|(reason, response)| (reason, response.exclude_groups));
        groups.filter(|(reason, groups)| reason.has_toggle() && !groups.is_empty()).collect()
    });
    Some(Set { at, position, key: org, value })
}

fn membership(record: ControlRecord) -> Option<Set<(String, String), BTreeSet<String>>> {
    let ControlRecord { at, position, org, key, value } = record;
    let ControlValue::User(row) = value else { return None };
    Some(Set { at, position, key: (org, key), value: row.map(|row| row.groups) })
}
