//! The end of the dataflow: audit entries, orders and words on orders are handed to the ledger, in one order, as the
//! frontier passes them. Owned here: what is handed over when. Not owned here: that it happens once (the ledger), and
//! which messages wait (`repeats`).

use super::audit::{ANOMALY, CASE_CLOSED, anomaly_entry, case_closed_entry, terms};
use super::changed::{change_entry, change_terms};
use super::repeats::{Told, due, gather};
use super::steps::{order, order_of_repeats};
use crate::decide::DecideOut;
use crate::model::anomaly::CaseClosed;
use crate::model::change::Change;
use crate::model::control::Hold;
use crate::model::decision::{Decision, Withdrawal};
use crate::model::event::{KeyKind, key_of};
use engine::error::Error;
use engine::keyed::{Context, Logic, Record};
use engine::ledger::{Batch, Entry, Issued, Ledger, Recall, Throw};
use engine::state::table::Work;
use engine::state::{RowKey, Timer};
use engine::time::{Micros, Stamp};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// What comes into the sink. All of it goes to one worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RespondRecord {
    /// The kill switch.
    Hold(Hold),
    /// A response is to be taken back.
    Withdrawal(Box<Withdrawal>),
    /// An org changed what it had set.
    Change(Box<Change>),
    /// An anomaly and what was decided about it.
    Decision(Box<Decision>),
    /// The end of a case.
    Closed(Box<CaseClosed>),
}

impl RespondRecord {
    /// What was set goes before what happened.
    fn rank(&self) -> u8 {
        match self {
            RespondRecord::Hold(_) => 0,
            RespondRecord::Withdrawal(_) => 1,
            RespondRecord::Change(_) => 2,
            RespondRecord::Decision(_) | RespondRecord::Closed(_) => 3,
        }
    }

    /// What orders the records of one time and rank; of holds it is their place.
    fn name(&self) -> (&str, &str, &str) {
        match self {
            RespondRecord::Hold(_) => ("", "", ""),
            RespondRecord::Withdrawal(it) => (&it.org, &it.user, it.id.as_str()),
            RespondRecord::Change(change) => (&change.org, "", change.id.as_str()),
            RespondRecord::Decision(decision) => {
                (&decision.anomaly.org, &decision.anomaly.user, decision.anomaly.id.as_str())
            }
            RespondRecord::Closed(case) => (&case.org, &case.user, case.id.as_str()),
        }
    }

    fn position(&self) -> u64 {
        match self {
            RespondRecord::Hold(hold) => hold.position,
            _ => 0,
        }
    }
}

impl From<DecideOut> for RespondRecord {
    fn from(out: DecideOut) -> Self {
        match out {
            DecideOut::Decision(decision) => RespondRecord::Decision(decision),
            DecideOut::Withdrawal(withdrawal) => RespondRecord::Withdrawal(withdrawal),
            DecideOut::Change(change) => RespondRecord::Change(change),
        }
    }
}

impl From<Decision> for RespondRecord {
    fn from(decision: Decision) -> Self {
        RespondRecord::Decision(Box::new(decision))
    }
}

impl From<CaseClosed> for RespondRecord {
    fn from(case: CaseClosed) -> Self {
        RespondRecord::Closed(Box::new(case))
    }
}

impl From<Hold> for RespondRecord {
    fn from(hold: Hold) -> Self {
        RespondRecord::Hold(hold)
    }
}

impl Record for RespondRecord {
    fn at(&self) -> Micros {
        match self {
            RespondRecord::Hold(hold) => hold.at,
            RespondRecord::Withdrawal(withdrawal) => withdrawal.at,
            RespondRecord::Change(change) => change.at,
            RespondRecord::Decision(decision) => decision.anomaly.at,
            RespondRecord::Closed(case) => case.at,
        }
    }

    fn key(&self) -> RowKey<'_> {
        RowKey::of(SINK)
    }

    fn order(&self, other: &Self) -> Ordering {
        (self.rank(), self.position(), self.name()).cmp(&(other.rank(), other.position(), other.name()))
    }
}

/// Its key group is where all records and rows of the sink lie.
const SINK: &[u8] = b"respond";

/// The one timer of a row: a message on repeats is due.
const REPEATS: u8 = 1;

/// The logic of the sink.
pub struct Respond {
    ledger: Box<dyn Ledger>,
    report: Box<dyn FnMut(&Issued)>,
    pending: Batch,
    /// The time of the last that was taken up.
    last: Micros,
}

impl Respond {
    /// A sink into `ledger`. `report` hears what became of each batch: what was new, what was recorded before (after
    /// a recovery), and the ids of what is recorded otherwise, which was left as it is.
    pub fn new(ledger: Box<dyn Ledger>, report: Box<dyn FnMut(&Issued)>) -> Self {
        Respond { ledger, report, pending: Batch::default(), last: Micros::ZERO }
    }

    /// Takes up what a record asks to be written and done.
    fn take(&mut self, record: RespondRecord, context: &mut Context<'_, Self>) -> Result<(), Error> {
        self.last = self.last.max(record.at());
        let Batch { entries, orders, recalls, throws } = &mut self.pending;
        match record {
            RespondRecord::Hold(Hold { at, org, on, .. }) => throws.push(Throw { at, group: org, on }),
            RespondRecord::Withdrawal(withdrawal) => {
                let Withdrawal { at, id, why, .. } = *withdrawal;
                let why = format!("withdrawn: by what was set since, {}", why.name());
                recalls.push(Recall { order: id.to_string(), at, why });
            }
            RespondRecord::Change(change) => {
                entries.push(Entry {
                    id: change.id.to_string(),
                    at: change.at,
                    dated: change.at,
                    group: change.org.clone(),
                    terms: change_terms(&change),
                    body: change_entry(&change),
                });
            }
            RespondRecord::Decision(mut decision) => {
                let anomaly = &decision.anomaly;
                entries.push(Entry {
                    id: anomaly.id.to_string(),
                    at: anomaly.at,
                    dated: anomaly.time,
                    group: anomaly.org.clone(),
                    terms: terms(ANOMALY, &anomaly.actor.id),
                    body: anomaly_entry(anomaly),
                });
                if decision.response.is_some() {
                    wait(&mut decision, context)?;
                }
                orders.extend(order(&decision));
            }
            RespondRecord::Closed(case) => {
                entries.push(Entry {
                    id: case.id.to_string(),
                    at: case.at,
                    dated: case.at,
                    group: case.org.clone(),
                    terms: terms(CASE_CLOSED, &case.actor.id),
                    body: case_closed_entry(&case),
                });
            }
        }
        Ok(())
    }

    /// Hands over what is pending. Nothing that stands at or before `through` is still to come.
    fn issue(&mut self, through: Micros) -> Result<(), Error> {
        if self.pending == Batch::default() {
            return Ok(());
        }
        let issued = self.ledger.issue(&self.pending, through)?;
        self.pending = Batch::default();
        (self.report)(&issued);
        Ok(())
    }
}

/// Takes from a response who is told of it later, and sees to it that they are.
fn wait(decision: &mut Decision, context: &mut Context<'_, Respond>) -> Result<(), Error> {
    let (group, key) = (RowKey::of(SINK).group, key_of(KeyKind::User, &decision.anomaly.org, &decision.anomaly.user));
    let row = context.rows.write(RowKey::under(group, &key))?;
    if let Some(at) = gather(row, decision) {
        context.timers.set(Timer { at, group, key, tag: REPEATS });
    }
    Ok(())
}

impl Logic for Respond {
    type Record = RespondRecord;
    type Row = Told;
    type Out = ();
    const PORTS: usize = 0;

    fn port(_out: &()) -> usize {
        0
    }

    fn apply(&mut self, record: RespondRecord, context: &mut Context<'_, Self>) -> Result<(), Error> {
        self.take(record, context)
    }

    fn fire(&mut self, timer: Timer, context: &mut Context<'_, Self>) -> Result<(), Error> {
        self.last = self.last.max(context.now);
        let row = context.rows.write(RowKey::under(timer.group, &timer.key))?;
        let repeats = due(row, context.now);
        self.pending.orders.extend(repeats.and_then(|(repeats, last)| order_of_repeats(repeats, last)));
        Ok(())
    }

    fn step_done(&mut self, frontier: Option<Stamp>) -> Result<(), Error> {
        let through = match frontier {
            Some(stamp) => Micros(Micros::from_stamp(stamp).0.saturating_sub(1)),
            None => self.last,
        };
        self.issue(through)
    }

    /// What stands in the last millisecond of a snapshot is part of it.
    fn before_snapshot(&mut self, context: &mut Context<'_, Self>) -> Result<Vec<Work>, Error> {
        let through = context.now.max(self.last);
        self.issue(through)?;
        Ok(Vec::new())
    }
}
