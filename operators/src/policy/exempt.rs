//! Who is exempt from a response because an org excluded a group of theirs: settings joined with membership.

use super::{Set, effective, ever_set, latest};
use crate::decide::DecideRecord;
use crate::decide::record::UserChange;
use crate::model::control::{ControlRecord, ControlValue};
use crate::model::reason::Reason;
use engine::flow::Stream;
use engine::time::Micros;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
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
pub fn exemptions<'scope>(control: Stream<'scope, Arc<ControlRecord>>) -> Stream<'scope, Exemption> {
    let excluded = latest(control.clone().flat_map(|record| excluded_groups(&record)), "excluded groups")
        .flat_map(|(org, reasons)| pairs(org, reasons).collect::<Vec<_>>());
    let memberships = control.flat_map(|record| membership(&record)).flat_map(ever_set());
    let members = latest(memberships, "membership")
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

fn excluded_groups(record: &ControlRecord) -> Option<Set<String, Excluded>> {
    let ControlRecord { at, position, org, value, .. } = record;
    let ControlValue::Settings(settings) = value else { return None };
    let value = settings.as_ref().map(|settings| {
        let toggled = settings.responses.iter().filter(|(reason, _)| reason.has_toggle());
        let groups = toggled.map(|(reason, response)| (*reason, response.exclude_groups.clone()));
        groups.filter(|(_, groups)| !groups.is_empty()).collect()
    });
    Some(Set { at: *at, position: *position, key: org.clone(), value })
}

/// The groups of a user; none for a user without any.
fn membership(record: &ControlRecord) -> Option<Set<(String, String), BTreeSet<String>>> {
    let ControlRecord { at, position, org, key, value } = record;
    let ControlValue::User(row) = value else { return None };
    let groups = row.as_ref().map(|row| &row.groups).filter(|groups| !groups.is_empty());
    Some(Set { at: *at, position: *position, key: (org.clone(), key.clone()), value: groups.cloned() })
}
