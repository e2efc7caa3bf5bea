//! Policy: what orgs set, on its way to the operators that use it. Owned here: which control record goes where, and
//! what is derived from records of several keys (who is exempt through groups, who is told of responses), kept in
//! differential collections of which only the changes flow on. Not owned here: reading and checking control records
//! and giving them their time (the source), and applying the changes (the keyed operators).
//!
//! Every control record comes in once over all workers, in order of time at one of them, with its effective time in whole
//! milliseconds, on a stamp no later than that. After a restart all come again with the times they had; keyed operators
//! drop what they had.

pub mod admins;
pub mod exempt;
#[cfg(test)]
mod tests;

use crate::decide::DecideRecord;
use crate::decide::record::{GlobalChange, OrgChange, UserChange};
use crate::model::control::{ControlRecord, ControlValue, Hold, Settled, Switch};
use crate::model::id::Id;
use differential_dataflow::VecCollection;
use differential_dataflow::operators::arrange::upsert::arrange_from_upsert;
use differential_dataflow::trace::implementations::{ValBuilder, ValSpine};
use engine::flow::Stream;
use engine::time::{Micros, Stamp};
use std::collections::BTreeSet;
use std::hash::Hash;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::{Filter, Map};

pub use exempt::Exemption;

/// The streams that policy sends on.
pub struct Policy<'scope> {
    /// For detect, to be broadcast: threat lists, allow lists, settings.
    pub reference: Stream<'scope, ControlRecord>,
    /// For detect, to be routed by key: directory rows, and what became of responses.
    pub directory: Stream<'scope, ControlRecord>,
    /// For detect, to be routed by key: who is exempt through groups.
    pub exemptions: Stream<'scope, Exemption>,
    /// For decide, to be routed by key: org policy, directory, exemptions, admins to tell.
    pub decide: Stream<'scope, DecideRecord>,
    /// For decide, to be broadcast: switches for all orgs.
    pub decide_global: Stream<'scope, DecideRecord>,
    /// For the ledger: the kill switch, of an org or of all.
    pub holds: Stream<'scope, Hold>,
}

/// Builds the policy part of a dataflow on the stream of control records.
pub fn policy<'scope>(control: Stream<'scope, ControlRecord>) -> Policy<'scope> {
    let exemptions = exempt::exemptions(control.clone());
    let plain = control.clone().flat_map(for_decide);
    let admins = admins::admins(control.clone());
    let exempt = exemptions.clone().map(DecideRecord::from);
    Policy {
        reference: control.clone().filter(for_detect),
        directory: control.clone().filter(|record| is_directory(record) || is_outcome(record)),
        exemptions,
        decide: plain.concat(admins).concat(exempt),
        decide_global: control.clone().flat_map(for_decide_everywhere),
        holds: control.flat_map(|record| hold(&record)),
    }
}

/// Whether detection uses a record at every worker: threat lists, allow lists, settings.
pub fn for_detect(record: &ControlRecord) -> bool {
    matches!(record.value, ControlValue::ThreatList(_) | ControlValue::AllowList(_) | ControlValue::Settings(_))
}

/// Whether a record is a directory row.
pub fn is_directory(record: &ControlRecord) -> bool {
    matches!(record.value, ControlValue::User(_))
}

/// Whether a record says what became of a response.
fn is_outcome(record: &ControlRecord) -> bool {
    matches!(record.value, ControlValue::Outcome(_))
}

/// What decide takes from a record as it is: what an org set, directory rows, what became of responses.
pub fn for_decide(record: ControlRecord) -> Option<DecideRecord> {
    let ControlRecord { at, position, org, key, value } = record;
    match value {
        ControlValue::User(row) => {
            let known = row.map(Into::into);
            Some(DecideRecord::user(at, &org, &key, UserChange::Directory { position, known }))
        }
        ControlValue::Settings(settings) => {
            Some(DecideRecord::org(at, &org, OrgChange::Settings { position, settings }))
        }
        ControlValue::AllowList(list) => Some(DecideRecord::org(at, &org, OrgChange::AllowList { position, list })),
        ControlValue::Outcome(Settled { user, ended }) => {
            Some(DecideRecord::user(at, &org, &user, UserChange::Settled { response: Id(key), ended }))
        }
        ControlValue::Switch(switch) if key == SHADOW && org != EVERYWHERE => {
            Some(DecideRecord::org(at, &org, OrgChange::Shadow { position, switch }))
        }
        ControlValue::Switch(Some(Switch { on: true, .. })) if key == RESUME && org != EVERYWHERE => {
            Some(DecideRecord::org(at, &org, OrgChange::Resume { at }))
        }
        ControlValue::Switch(_) | ControlValue::Workspace(_) | ControlValue::ThreatList(_) => None,
    }
}

/// What decide takes from a record at every worker: the switches for all orgs.
pub fn for_decide_everywhere(record: ControlRecord) -> Option<DecideRecord> {
    let ControlRecord { at, position, org, key, value } = record;
    match value {
        ControlValue::Switch(switch) if key == SHADOW && org == EVERYWHERE => {
            Some(DecideRecord::global(at, GlobalChange::Shadow { position, switch }))
        }
        ControlValue::Switch(Some(Switch { on: true, .. })) if key == RESUME && org == EVERYWHERE => {
            Some(DecideRecord::global(at, GlobalChange::Resume { at }))
        }
        _ => None,
    }
}

/// The kill switch, if a record is one. A deleted one is off; it covers all reasons.
pub fn hold(record: &ControlRecord) -> Option<Hold> {
    let ControlRecord { at, position, org, key, value } = record;
    match value {
        ControlValue::Switch(switch) if key == HOLD => {
            let org = (org != EVERYWHERE).then(|| org.clone());
            let on = switch.as_ref().is_some_and(|switch| switch.on);
            Some(Hold { at: *at, position: *position, org, on })
        }
        _ => None,
    }
}

/// The key of the dry-run switch.
const SHADOW: &str = "shadow";

/// The key of the kill switch.
const HOLD: &str = "hold";

/// The key of the switch that lifts a latched stop.
const RESUME: &str = "resume";

/// The org of records that hold for all orgs.
const EVERYWHERE: &str = "*";

/// A control record reduced to what a derivation needs: a key, and the value from `at` on.
struct Set<K, V> {
    at: Micros,
    position: u64,
    key: K,
    value: Option<V>,
}

/// Lets through what sets a key, and what unsets one that was set. Nearly everybody is no admin and never was; of them
/// nothing need be kept. Records come in order of time, at one worker.
fn ever_set<K: Ord + Clone, V>() -> impl FnMut(Set<K, V>) -> Option<Set<K, V>> {
    let mut seen = BTreeSet::new();
    move |set| {
        if set.value.is_some() {
            seen.insert(set.key.clone());
        }
        seen.contains(&set.key).then_some(set)
    }
}

/// What is in force per key: the latest of the records by (time, position).
///
/// The position is part of the value, since among records of one time the greatest value is taken; a deletion is kept
/// as a value for the same reason. The arrangement holds one value per key, not its history.
fn latest<'scope, K, V>(sets: Stream<'scope, Set<K, V>>, name: &str) -> VecCollection<'scope, Stamp, (K, V)>
where
    K: differential_dataflow::ExchangeData + Hash,
    V: differential_dataflow::ExchangeData,
{
    let upserts = sets.map(|set| (set.key, Some((set.position, set.value)), set.at.stamp()));
    arrange_from_upsert::<ValBuilder<_, _, _, _>, ValSpine<K, (u64, Option<V>), Stamp, isize>, _, _>(upserts, name)
        .as_collection(|key, (_, value)| value.clone().map(|value| (key.clone(), value)))
        .flat_map(|row| row)
}

/// When a change of a collection takes effect.
fn effective(stamp: Stamp) -> Micros {
    Micros::from_stamp(stamp)
}
