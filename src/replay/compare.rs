//! Holding a replay against the record: lines of decisions, audit entries, orders. Owned here: what must be equal, and
//! up to where. Whatever the record holds after the cut must be replayed; whatever is replayed must be on record as far
//! as the record is known to be whole, since a job that was stopped has not come to the end of its files.

use super::difference::{Difference, Field, Kind, value};
use super::record::{Record, entry, lines_of};
use super::{Replayed, Report};
use connectors::sqlite::SqliteStore;
use engine::error::Error;
use engine::ledger::{AttemptResult, Entry, Ledger, Order, OrderStatus, Page};
use engine::time::Micros;
use operators::respond::steps::{AUDIT, Performance, perform};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Most differences that are told; all are counted.
const DIFFERENCES_MAX: usize = 50;

/// Rows of a ledger read at once.
const PAGE: usize = 1_024;

/// Compares everything.
pub(super) fn compare(record: &Record, replayed: &Replayed, report: &mut Report) -> Result<(), Error> {
    decisions(record, replayed, report)?;
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
    fn note(&mut self, difference: Option<Difference>) {
        let Some(difference) = difference else { return };
        self.differing += 1;
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(difference);
        }
    }
}

const DECISION: &str = "decision";
const ENTRY: &str = "entry";
const ORDER: &str = "order";

/// A line of decisions.
struct Line {
    id: String,
    bytes: Vec<u8>,
}

impl Line {
    fn of((number, bytes): (usize, Vec<u8>)) -> Self {
        let id = value(&bytes)["anomaly_id"].as_str().map(str::to_owned);
        Line { id: id.unwrap_or_else(|| format!("line {} after the cut", number + 1)), bytes }
    }

    fn value(&self) -> Value {
        value(&self.bytes)
    }
}

fn decisions(record: &Record, replayed: &Replayed, report: &mut Report) -> Result<(), Error> {
    let recorded = record.lines(replayed.decided)?;
    let derived = lines_of(&replayed.decisions)?;
    report.compared.decisions = recorded.len() as u64;
    let equal = recorded.iter().zip(&derived).take_while(|(a, b)| a == b).count();
    if equal == recorded.len() && equal == derived.len() {
        return Ok(());
    }
    let parsed = |lines: Vec<Vec<u8>>| lines.into_iter().enumerate().map(Line::of).collect::<Vec<_>>();
    let (recorded, mut derived) = (parsed(recorded), parsed(derived));
    let mut seen: BTreeSet<&str> = recorded[..equal].iter().map(|line| line.id.as_str()).collect();
    let (recorded, derived) = (&recorded[equal..], derived.split_off(equal));
    let places: BTreeMap<&str, usize> = derived.iter().enumerate().map(|(at, line)| (line.id.as_str(), at)).collect();
    // Lines stand in order of time, so the record has come at least this far.
    let mut reached = None;
    for line in recorded {
        let place = places.get(line.id.as_str()).copied();
        let difference = match place {
            _ if !seen.insert(&line.id) => Some(of_line(line, Kind::Repeated)),
            None => Some(Difference::only_recorded(DECISION, &line.id, line.value())),
            Some(at) if derived[at].bytes != line.bytes => Some(changed_line(line, &derived[at])),
            Some(at) if reached.is_some_and(|reached| at < reached) => Some(of_line(line, Kind::Moved)),
            Some(_) => None,
        };
        reached = reached.max(place);
        report.note(difference);
    }
    for (at, line) in derived.iter().enumerate().filter(|(_, line)| !seen.contains(line.id.as_str())) {
        let time = entry(&replayed.ledger, &line.id)?.map_or(Micros::ZERO, |entry| entry.at);
        if record.has_decided(time) || reached.is_some_and(|reached| at < reached) {
            report.note(Some(Difference::only_replayed(DECISION, &line.id, line.value())));
        }
    }
    Ok(())
}

fn of_line(line: &Line, kind: Kind) -> Difference {
    Difference { of: DECISION, id: line.id.clone(), kind, fields: Vec::new() }
}

/// The same decision in other bytes, be it only in how they are written.
fn changed_line(recorded: &Line, replayed: &Line) -> Difference {
    Difference::changed(DECISION, &recorded.id, &recorded.value(), &replayed.value()).unwrap_or_else(|| {
        let text = |line: &Line| Some(Value::String(String::from_utf8_lossy(&line.bytes).into_owned()));
        let field = Field { path: String::new(), recorded: text(recorded), replayed: text(replayed) };
        Difference { fields: vec![field], ..of_line(recorded, Kind::Changed) }
    })
}

struct Ledgers<'a> {
    record: &'a Record,
    recorded: &'a SqliteStore,
    replayed: &'a SqliteStore,
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

fn each_order(ledger: &SqliteStore, mut visit: impl FnMut(&OrderStatus) -> Result<(), Error>) -> Result<(), Error> {
    let mut before = None;
    loop {
        let orders = ledger.orders(Page { state: None, before, limit: PAGE })?;
        let Some(last) = orders.last() else { return Ok(()) };
        before = Some(last.seq);
        orders.iter().try_for_each(&mut visit)?;
    }
}

fn each_entry(ledger: &SqliteStore, mut visit: impl FnMut(&Entry) -> Result<(), Error>) -> Result<(), Error> {
    let mut after = 0;
    loop {
        let entries = ledger.entries_after(after, PAGE)?;
        let Some((last, _)) = entries.last() else { return Ok(()) };
        after = *last;
        entries.iter().try_for_each(|(_, entry)| visit(entry))?;
    }
}
