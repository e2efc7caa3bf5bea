//! The one keyed operator. Owned here: the contract of its logic, the stash that holds records until the frontier
//! has passed them, their ordered application, timers, and the part of a snapshot that each worker takes. A logic is
//! plain code over (record, rows, output): it never sees a capability, a frontier or another worker.

pub mod operator;
pub mod stash;

use crate::error::Error;
use crate::state::table::{Table, Work};
use crate::state::{Row, RowKey, Timer};
use crate::time::{Micros, Stamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// Something that can cross to another worker.
pub trait Sendable: Clone + Send + Serialize + DeserializeOwned + 'static {}
impl<T: Clone + Send + Serialize + DeserializeOwned + 'static> Sendable for T {}

/// A record of a keyed operator's inputs. One type per operator; an enum when the inputs differ.
pub trait Record: Sendable {
    /// Effective time: when the record applies.
    fn at(&self) -> Micros;

    /// The row that the record is about. Its group routes the record; the row is read ahead of application.
    /// Records of broadcast inputs have no row of their own and are not routed: [`RowKey::of`] an empty name.
    fn key(&self) -> RowKey<'_>;

    /// Order of application among records of equal effective time. Total up to records that are the same bytes.
    fn order(&self, other: &Self) -> Ordering;
}

/// What an operator does with its records.
///
/// Calls come in order of effective time, then [`Record::order`]; a timer due at `t` fires after the records at `t`
/// and before any later one. Outputs are a function of these calls alone.
pub trait Logic: 'static {
    /// What comes in.
    type Record: Record;
    /// What is remembered per key.
    type Row: Row;
    /// What goes out, on one of [`Logic::PORTS`] ports.
    type Out: Sendable;
    /// How many output streams there are.
    const PORTS: usize;
    /// Names of the operator's running totals; see [`Context::totals`].
    const TOTALS: &'static [&'static str] = &[];

    /// Which output stream a value goes out on, below [`Logic::PORTS`].
    fn port(out: &Self::Out) -> usize;

    /// Which ports a timer's firing may emit on. A port that none of the pending timers can reach does not wait for
    /// them.
    fn timer_reaches(_tag: u8, _port: usize) -> bool {
        true
    }

    /// Applies one record.
    fn apply(&mut self, record: Self::Record, context: &mut Context<'_, Self>) -> Result<(), Error>;

    /// A timer came due.
    fn fire(&mut self, _timer: Timer, _context: &mut Context<'_, Self>) -> Result<(), Error> {
        Ok(())
    }

    /// Called once on a fresh start, before anything is applied.
    fn fresh(&mut self, _context: &mut Context<'_, Self>) -> Result<(), Error> {
        Ok(())
    }

    /// Called once after a restore, before anything is applied, with `context.now` the restored time: to send again,
    /// from keyed state, what was emitted but may not have been received.
    fn restored(&mut self, _context: &mut Context<'_, Self>) -> Result<(), Error> {
        Ok(())
    }

    /// All records and timers before `frontier` have been applied (`None`: there will be no more at all). For effects
    /// that are committed per step.
    fn step_done(&mut self, _frontier: Option<Stamp>) -> Result<(), Error> {
        Ok(())
    }

    /// The operator is about to take its part of a snapshot: whatever was written outside keyed state must be durable
    /// before the snapshot is. What takes long comes back as work, which is done beside the flow and before the part
    /// counts as taken; records may be applied meanwhile.
    fn before_snapshot(&mut self, _context: &mut Context<'_, Self>) -> Result<Vec<Work>, Error> {
        Ok(Vec::new())
    }
}

/// What a logic may touch while it applies a record. The fields are separate so that they can be used together.
pub struct Context<'a, L: Logic + ?Sized> {
    /// The effective time of what is being applied.
    pub now: Micros,
    /// The operator's rows on this worker.
    pub rows: &'a mut Table<L::Row>,
    /// Where output goes.
    pub out: &'a mut Outputs<L::Out>,
    /// Timers of this worker.
    pub timers: &'a mut Timers,
    /// Running totals over the whole job, all workers and restarts, in the order of [`Logic::TOTALS`].
    pub totals: &'a mut [u64],
}

/// Collects what a step emits, per port.
pub struct Outputs<O> {
    ports: Vec<Vec<O>>,
    port: fn(&O) -> usize,
}

impl<O> Outputs<O> {
    /// Sends a value on its port.
    pub fn emit(&mut self, value: O) {
        let port = (self.port)(&value);
        self.ports[port].push(value);
    }
}

/// The timers of one operator on one worker.
#[derive(Default)]
pub struct Timers {
    /// By tag, so that the earliest one that reaches a port is found at once.
    due: BTreeMap<u8, BTreeSet<Timer>>,
    /// Set (`true`) and cleared (`false`) since the last snapshot, for the store.
    changed: BTreeMap<Timer, bool>,
}

impl Timers {
    /// Arms a timer. The same (time, key, tag) twice is one timer.
    pub fn set(&mut self, timer: Timer) {
        self.changed.insert(timer.clone(), true);
        self.arm(timer);
    }

    /// Takes a timer back.
    pub fn clear(&mut self, timer: &Timer) {
        if self.due.get_mut(&timer.tag).is_some_and(|due| due.remove(timer)) {
            self.changed.insert(timer.clone(), false);
        }
    }

    /// Arms a timer that the store holds already.
    fn arm(&mut self, timer: Timer) {
        self.due.entry(timer.tag).or_default().insert(timer);
    }

    /// The next timer due before `at`.
    fn pop_before(&mut self, at: Micros) -> Option<Timer> {
        let first = self.due.values().filter_map(BTreeSet::first).min().filter(|timer| timer.at < at)?.clone();
        self.clear(&first);
        Some(first)
    }

    /// Stamp of the earliest timer of the tags that `reaches` names.
    fn earliest(&self, reaches: impl Fn(u8) -> bool) -> Option<Stamp> {
        let due = self.due.iter().filter(|(tag, _)| reaches(**tag)).filter_map(|(_, due)| due.first());
        due.map(|timer| timer.at.stamp()).min()
    }

    /// What changed since the last call.
    fn take_changed(&mut self) -> BTreeMap<Timer, bool> {
        std::mem::take(&mut self.changed)
    }
}
