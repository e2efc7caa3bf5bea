//! Telling an org's admins that somebody is not answered, because a limit was reached. Owned here: when they are told,
//! and who. Not owned here: what they read (`respond`).

use super::rows::{OrgRow, UserRow};
use crate::limits::{TOLD_OF_ORG, TOLD_OF_PERSON};
use crate::model::anomaly::Anomaly;
use crate::model::decision::{Escalation, Outcome, Recipient};
use crate::model::id::Id;
use engine::time::{Micros, Span};

/// What the admins are told of an anomaly that a limit (`cause`) keeps from being answered: once per person and day, or
/// once per org and hour. `latched` says whether the org's responses stop with it. None where nobody can be told.
///
/// Whoever has themselves told of responses is told of this too. If nobody has, the Primary Owner is, by mail: a limit that
/// was reached means that somebody has to look, and that is no matter of taste.
pub fn escalation(
    cause: Outcome,
    latched: bool,
    anomaly: &Anomaly,
    org: &OrgRow,
    user: &UserRow,
) -> Option<Escalation> {
    let told = |last: Option<Micros>, within: Span| last.is_some_and(|last| anomaly.at.since(last) < within);
    let is_due = match cause {
        Outcome::LoopProtected => !told(user.told, TOLD_OF_PERSON),
        Outcome::RateLimited => !told(org.told, TOLD_OF_ORG),
        _ => false,
    };
    let recipients = is_due.then(|| recipients(org)).filter(|recipients| !recipients.is_empty())?;
    Some(Escalation { id: Id::of("escalation", &[anomaly.id.as_str().as_bytes()]), cause, latched, recipients })
}

fn recipients(org: &OrgRow) -> Vec<Recipient> {
    let admins: Vec<Recipient> = org.admins.values().cloned().collect();
    if admins.is_empty() { org.owner.iter().cloned().collect() } else { admins }
}
