//! The end of the dataflow: audit entries and orders are handed to the ledger, in one order, as the frontier passes
//! them. Owned here: what is handed over when. Not owned here: that it happens once (the ledger).

use super::audit::{ANOMALY, CASE_CLOSED, anomaly_entry, case_closed_entry, terms};
use super::steps::order;
use crate::model::anomaly::CaseClosed;
use crate::model::decision::Decision;
use crate::model::id::Id;
use engine::error::Error;
use engine::keyed::{Context, Logic, Record};
use engine::ledger::{Batch, Entry, Issued, Ledger};
use engine::state::table::Work;
use engine::state::{Row, RowKey};
use engine::time::{Micros, Span, Stamp};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// What comes into the sink. All of it goes to one worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RespondRecord {
    /// An anomaly and what was decided about it.
    Decision(Box<Decision>),
    /// The end of a case.
    Closed(Box<CaseClosed>),
}

impl RespondRecord {
    /// What orders the records of one time.
    fn name(&self) -> (&str, &str, &Id) {
        match self {
            RespondRecord::Decision(decision) => (&decision.anomaly.org, &decision.anomaly.user, &decision.anomaly.id),
            RespondRecord::Closed(case) => (&case.org, &case.user, &case.id),
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

impl Record for RespondRecord {
    fn at(&self) -> Micros {
        match self {
            RespondRecord::Decision(decision) => decision.anomaly.at,
            RespondRecord::Closed(case) => case.at,
        }
    }

    fn key(&self) -> RowKey<'_> {
        RowKey::of(b"respond")
    }

    fn order(&self, other: &Self) -> Ordering {
        self.name().cmp(&other.name())
    }
}

/// The sink remembers nothing: this row is never written.
#[derive(Serialize, Deserialize)]
pub struct Nothing;

impl Row for Nothing {
    const TYPE: u16 = 31;
    const VERSION: u16 = 1;
    const TTL: Option<Span> = None;

    fn weight(&self) -> usize {
        0
    }
}

/// The logic of the sink.
pub struct Respond {
    ledger: Box<dyn Ledger>,
    report: Box<dyn FnMut(&Issued)>,
    pending: Batch,
}

impl Respond {
    /// A sink into `ledger`. `report` hears what became of each batch: what was new, what was recorded before (after
    /// a recovery), and the ids of what is recorded otherwise, which was left as it is.
    pub fn new(ledger: Box<dyn Ledger>, report: Box<dyn FnMut(&Issued)>) -> Self {
        Respond { ledger, report, pending: Batch::default() }
    }

    /// Takes up what a record asks to be written and done.
    fn take(&mut self, record: RespondRecord) {
        match record {
            RespondRecord::Decision(decision) => {
                let anomaly = &decision.anomaly;
                self.pending.entries.push(Entry {
                    id: anomaly.id.to_string(),
                    at: anomaly.at,
                    dated: anomaly.time,
                    group: anomaly.org.clone(),
                    terms: terms(ANOMALY, &anomaly.actor.id),
                    body: anomaly_entry(anomaly),
                });
                self.pending.orders.extend(order(&decision));
            }
            RespondRecord::Closed(case) => {
                self.pending.entries.push(Entry {
                    id: case.id.to_string(),
                    at: case.at,
                    dated: case.at,
                    group: case.org.clone(),
                    terms: terms(CASE_CLOSED, &case.actor.id),
                    body: case_closed_entry(&case),
                });
            }
        }
    }

    /// Hands over what is pending. Nothing that stands at or before `through` is still to come.
    fn issue(&mut self, through: Micros) -> Result<(), Error> {
        if self.pending.entries.is_empty() {
            return Ok(());
        }
        let issued = self.ledger.issue(&self.pending, through)?;
        self.pending = Batch::default();
        (self.report)(&issued);
        Ok(())
    }

    /// The time of the last pending entry. Every order has an entry of the same time.
    fn last(&self) -> Micros {
        self.pending.entries.last().map_or(Micros::ZERO, |entry| entry.at)
    }
}

impl Logic for Respond {
    type Record = RespondRecord;
    type Row = Nothing;
    type Out = ();
    const PORTS: usize = 0;

    fn port(_out: &()) -> usize {
        0
    }

    fn apply(&mut self, record: RespondRecord, _context: &mut Context<'_, Self>) -> Result<(), Error> {
        self.take(record);
        Ok(())
    }

    fn step_done(&mut self, frontier: Option<Stamp>) -> Result<(), Error> {
        let through = match frontier {
            Some(stamp) => Micros(Micros::from_stamp(stamp).0.saturating_sub(1)),
            None => self.last(),
        };
        self.issue(through)
    }

    /// What stands in the last millisecond of a snapshot is part of it.
    fn before_snapshot(&mut self, context: &mut Context<'_, Self>) -> Result<Vec<Work>, Error> {
        let through = context.now.max(self.last());
        self.issue(through)?;
        Ok(Vec::new())
    }
}
