//! Repeats: admins are told of a user's first response at once, of what soon follows in one message. Owned here: when
//! they are told, and what is remembered until then. Not owned here: what the message says (`message`). The affected
//! user is told of every response.

use super::message::Repeats;
use crate::limits::{REPEAT_WAITS, RESPONSE_RECENT};
use crate::model::decision::{Decision, Recipient};
use crate::model::id::Id;
use crate::model::reason::Reason;
use engine::state::Row;
use engine::time::{Micros, Span};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What the admins of an org were told of one user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// When they were told last.
    at: Micros,
    /// How often since it began.
    messages: u32,
    /// The last response.
    last: Micros,
    /// What they have not been told of yet.
    gathered: Option<Gathered>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Gathered {
    id: Id,
    count: u64,
    since: Micros,
    reasons: BTreeSet<Reason>,
    decision: Box<Decision>,
}

impl Row for Told {
    const TYPE: u16 = 31;
    const VERSION: u16 = 2;
    /// Longer than a response counts as recent and a message waits.
    const TTL: Option<Span> = Some(Span::from_days(2));

    fn weight(&self) -> usize {
        let people = |gathered: &Gathered| gathered.decision.response.as_ref().map_or(0, |r| 256 * r.recipients.len());
        64 + self.gathered.as_ref().map_or(0, |gathered| 4_096 + people(gathered))
    }
}

/// Takes up a decision that calls for a response: takes from its recipients who is told later. Returns when, if that is
/// new.
pub fn gather(row: &mut Option<Told>, decision: &mut Decision) -> Option<Micros> {
    let now = decision.anomaly.at;
    let whole = decision.clone();
    let response = decision.response.as_mut()?;
    let Some(told) = row.as_mut().filter(|told| now.since(told.last) < RESPONSE_RECENT) else {
        *row = Some(Told { at: now, messages: 1, last: now, gathered: None });
        return None;
    };
    told.last = now;
    let due = told.due();
    if told.gathered.is_none() && due <= now {
        told.tell(now);
        return None;
    }
    let is_affected = |person: &Recipient| person.affected;
    if response.recipients.iter().all(is_affected) {
        return None;
    }
    response.recipients.retain(is_affected);
    let is_new = told.gathered.is_none();
    let gathered = told.gathered.get_or_insert_with(|| Gathered {
        id: Id::of("repeats", &[response.id.as_str().as_bytes()]),
        count: 0,
        since: whole.anomaly.time,
        reasons: BTreeSet::new(),
        decision: Box::new(whole.clone()),
    });
    gathered.count += 1;
    gathered.since = gathered.since.min(whole.anomaly.time);
    gathered.reasons.extend(&response.reasons);
    *gathered.decision = whole;
    is_new.then_some(due)
}

/// What has been gathered is due: the repeats, and the last of them with those who are to be told.
pub fn due(row: &mut Option<Told>, now: Micros) -> Option<(Repeats, Decision)> {
    let told = row.as_mut()?;
    let Gathered { id, count, since, reasons, mut decision } = told.gathered.take()?;
    told.tell(now);
    if let Some(response) = &mut decision.response {
        response.recipients.retain(|person| !person.affected);
    }
    Some((Repeats { id, at: now, count, since, reasons: reasons.into_iter().collect() }, *decision))
}

impl Told {
    /// When the next message may go.
    fn due(&self) -> Micros {
        let longest = REPEAT_WAITS.len() - 1;
        self.at.plus(REPEAT_WAITS[(self.messages as usize - 1).min(longest)])
    }

    fn tell(&mut self, now: Micros) {
        self.at = now;
        self.messages = self.messages.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
