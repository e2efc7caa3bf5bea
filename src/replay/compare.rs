//! Holding a replay against the record: lines of all output files, audit entries, orders. Owned here: what must be equal, and
//! up to where. Whatever the record holds after the cut must be replayed; whatever is replayed must be on record as far
//! as the record is known to be whole, since a job that was stopped has not come to the end of its files.

use super::difference::{Difference, value};
use super::lines::{Line, LineKind, Open, Sides};
use super::record::{Record, entry, open};
use super::{Replayed, Report};
use crate::job::DECISIONS;
use connectors::store::Store;
use engine::error::Error;
use engine::ledger::{AttemptResult, Entry, Ledger, Order, OrderStatus, Page};
use engine::time::Micros;
use operators::decode::source::{DEAD_LETTER, LATE};
use operators::respond::steps::{AUDIT, Performance, perform};
use serde_json::{Value, json};

/// Most differences that are told; all are counted.
const DIFFERENCES_MAX: usize = 50;

/// Rows of a ledger read at once.
const PAGE: usize = 1_024;

/// Compares everything.
pub(super) fn compare(record: &Record, replayed: &Replayed, report: &mut Report) -> Result<(), Error> {
    for kind in KINDS {
        *(kind.count)(&mut report.compared) = lines(kind, record, replayed, report)?;
    }
    let ledgers = Ledgers {
        record,
        recorded: &record.ledger,
        replayed: &replayed.ledger,
        issued: record.ledger.issued_through()?,
    };
    ledgers.recorded_orders(report)?;
    ledgers.replayed_orders(report)?;
    ledgers.recorded_entries(report)?;
    ledgers.replayed_entries(report)
}

impl Report {
    pub(super) fn note(&mut self, difference: Option<Difference>) {
        let Some(difference) = difference else { return };
        self.differing += 1;
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(difference);
        }
    }
}

const ENTRY: &str = "entry";
const ORDER: &str = "order";

/// All kinds of line.
const KINDS: [LineKind; 3] = [
    LineKind { of: "decision", file: DECISIONS, id: id_of_decision, count: |compared| &mut compared.decisions },
    LineKind { of: "dead letter", file: DEAD_LETTER, id: id_of_aside, count: |compared| &mut compared.dead_letters },
    LineKind { of: "late event", file: LATE, id: id_of_aside, count: |compared| &mut compared.late },
];

fn id_of_decision(line: &Value) -> Option<String> {
    line["anomaly_id"].as_str().map(str::to_owned)
}

/// What was set aside is known by where it stood.
fn id_of_aside(line: &Value) -> Option<String> {
    Some(format!("{} at {}", line["source"].as_str()?, line["position"].as_u64()?))
}

/// Compares the lines of one kind, and gives how many are on record.
fn lines(kind: LineKind, record: &Record, replayed: &Replayed, report: &mut Report) -> Result<u64, Error> {
    let cut = replayed.kept.get(kind.file).copied().unwrap_or_default();
    record.check_start(kind.file, cut)?;
    let (path, derived) = (record.path(kind.file), replayed.folder.join(kind.file));
    let expected = |number: usize, line: &Line| {
        // Whoever writes lines counts them; of a decision it is also known when it was due.
        let counted = (cut.lines + number as u64) < record.lines_counted(kind.file);
        let due = match kind.file {
            DECISIONS => entry(&replayed.ledger, &line.id)?.is_none_or(|entry| record.has_decided(entry.at)),
            _ => false,
        };
        Ok(record.through().is_none() || counted || due)
    };
    let recorded: &Open<'_> = &|| record.lines_from(kind.file, cut);
    let derived: &Open<'_> = &|| open(&derived);
    Sides { kind, place: &path, recorded, replayed: derived, expected: &expected }.compare(report)
}

struct Ledgers<'a> {
    record: &'a Record,
    recorded: &'a Store,
    replayed: &'a Store,
    /// Up to where the record's ledger has issued.
    issued: Micros,
}

impl Ledgers<'_> {
    /// Whether what is replayed at `at` must be in the record's ledger.
    fn must_be_recorded(&self, at: Micros) -> bool {
        at <= self.issued || self.record.has_decided(at)
    }

    fn recorded_orders(&self, report: &mut Report) -> Result<(), Error> {
        each_order(self.recorded, |status| {
            let order = &status.order;
            if !self.record.is_after_cut(order.at) {
                return Ok(());
            }
            report.compared.orders += 1;
            let replayed = self.replayed.order(&order.id)?;
            report.note(match &replayed {
                None => Some(Difference::only_recorded(ORDER, &order.id, order_value(order))),
                Some(replayed) => {
                    Difference::changed(ORDER, &order.id, &order_value(order), &order_value(&replayed.order))
                }
            });
            match (replayed, entry(self.recorded, &order.id)?) {
                (Some(replayed), None) if has_entry(status) => {
                    let missing = self.entry_of(&replayed.order)?;
                    report.note(Some(Difference::only_replayed(ENTRY, &order.id, entry_value(&missing))));
                }
                _ => {}
            }
            Ok(())
        })
    }

    fn replayed_orders(&self, report: &mut Report) -> Result<(), Error> {
        each_order(self.replayed, |OrderStatus { order, .. }| {
            if self.must_be_recorded(order.at) && self.recorded.order(&order.id)?.is_none() {
                report.note(Some(Difference::only_replayed(ORDER, &order.id, order_value(order))));
            }
            Ok(())
        })
    }

    fn recorded_entries(&self, report: &mut Report) -> Result<(), Error> {
        each_entry(self.recorded, |recorded| {
            if !self.record.is_after_cut(recorded.at) {
                return Ok(());
            }
            report.compared.entries += 1;
            let replayed = match entry(self.replayed, &recorded.id)? {
                None => match self.replayed.order(&recorded.id)? {
                    None => None,
                    Some(status) => Some(self.entry_of(&status.order)?),
                },
                found => found,
            };
            report.note(match replayed {
                None => Some(Difference::only_recorded(ENTRY, &recorded.id, entry_value(recorded))),
                Some(replayed) if replayed == *recorded => None,
                Some(replayed) => {
                    Difference::changed(ENTRY, &recorded.id, &entry_value(recorded), &entry_value(&replayed))
                }
            });
            Ok(())
        })
    }

    fn replayed_entries(&self, report: &mut Report) -> Result<(), Error> {
        each_entry(self.replayed, |replayed| {
            if self.must_be_recorded(replayed.at) && self.recorded.entry_seq(&replayed.id)?.is_none() {
                report.note(Some(Difference::only_replayed(ENTRY, &replayed.id, entry_value(replayed))));
            }
            Ok(())
        })
    }

    /// The entry that follows from an order once its sessions were ended, as many as the record says. Nothing is done.
    fn entry_of(&self, order: &Order) -> Result<Entry, Error> {
        let mut details = vec![None; order.steps.len()];
        for attempt in self.recorded.trail(&order.id)? {
            if attempt.result == AttemptResult::Done
                && let Some(detail) = details.get_mut(attempt.step)
            {
                *detail = attempt.text;
            }
        }
        match perform(AUDIT, &order.payload, &details)? {
            Performance::Entry(entry) => Ok(entry),
            other => Err(Error::Fault(format!("the step {AUDIT} of order {} gives {other:?}", order.id))),
        }
    }
}

/// Whether the step that writes an order's entry was done.
fn has_entry(status: &OrderStatus) -> bool {
    status.order.steps.iter().position(|step| step == AUDIT).is_some_and(|audit| status.step > audit)
}

fn order_value(order: &Order) -> Value {
    json!({"at": order.at.0, "steps": order.steps, "payload": value(&order.payload)})
}

fn entry_value(entry: &Entry) -> Value {
    json!({"at": entry.at.0, "body": value(entry.body.as_bytes())})
}

fn each_order(ledger: &Store, mut visit: impl FnMut(&OrderStatus) -> Result<(), Error>) -> Result<(), Error> {
    let mut before = None;
    loop {
        let orders = ledger.orders(Page { state: None, group: None, before, limit: PAGE })?;
        let Some(last) = orders.last() else { return Ok(()) };
        before = Some(last.seq);
        orders.iter().try_for_each(&mut visit)?;
    }
}

fn each_entry(ledger: &Store, mut visit: impl FnMut(&Entry) -> Result<(), Error>) -> Result<(), Error> {
    let mut after = 0;
    loop {
        let entries = ledger.entries_after(after, PAGE)?;
        let Some((last, _)) = entries.last() else { return Ok(()) };
        after = *last;
        entries.iter().try_for_each(|(_, entry)| visit(entry))?;
    }
}
