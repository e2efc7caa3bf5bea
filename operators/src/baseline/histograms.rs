//! How many user-days of an org have which peak, over the last [`BASELINE_DAYS`] days. Owned here: the counts, their
//! release as net changes at steps of [`BASELINE_STEP`], and their end. A sample that goes up and comes back within a
//! step is never heard of. One timer per org while something is pending, one for the oldest day.

use super::buckets::SENTINEL;
use super::{Delta, Move, Subject};
use crate::limits::{BASELINE_DAYS, BASELINE_STEP};
use engine::error::Error;
use engine::keyed::{Context, Logic, Record};
use engine::state::{Row, RowKey, Timer};
use engine::time::{Micros, Span};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

impl Record for Move {
    fn at(&self) -> Micros {
        self.at
    }

    fn key(&self) -> RowKey<'_> {
        RowKey::of(self.org.as_bytes())
    }

    fn order(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }
}

/// The samples of an org, by day, distribution and bucket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OrgHistograms {
    days: BTreeMap<u16, BTreeMap<(Subject, u16), u32>>,
    /// Net changes that were not released yet.
    pending: BTreeMap<(Subject, u16), i64>,
    /// Distributions whose sentinel was released.
    subjects: BTreeSet<Subject>,
    /// Whether a timer for the next release is armed.
    releasing: bool,
}

impl Row for OrgHistograms {
    const TYPE: u16 = 21;
    const VERSION: u16 = 1;
    const TTL: Option<Span> = None;

    fn weight(&self) -> usize {
        let cells: usize = self.days.values().map(BTreeMap::len).sum();
        size_of::<Self>() + 16 * cells + 64 * self.days.len() + 32 * self.pending.len()
    }
}

impl OrgHistograms {
    /// Takes up a move. Returns the first day that needs a timer for its end, if that is new.
    fn apply(&mut self, moved: &Move) -> Result<bool, Error> {
        let new_day = !self.days.contains_key(&moved.day);
        let day = self.days.entry(moved.day).or_default();
        if let Some(from) = moved.from {
            let count = day.get_mut(&(moved.subject, from)).filter(|count| **count > 0).ok_or_else(|| {
                Error::Fault(format!("org {:?}: a sample leaves bucket {from}, which is empty", moved.org))
            })?;
            *count -= 1;
            if *count == 0 {
                day.remove(&(moved.subject, from));
            }
            self.pend(moved.subject, from, -1);
        }
        if let Some(to) = moved.to {
            *self.days.entry(moved.day).or_default().entry((moved.subject, to)).or_default() += 1;
            self.pend(moved.subject, to, 1);
        }
        Ok(new_day)
    }

    fn pend(&mut self, subject: Subject, bucket: u16, change: i64) {
        let pending = self.pending.entry((subject, bucket)).or_default();
        *pending += change;
        if *pending == 0 {
            self.pending.remove(&(subject, bucket));
        }
    }

    /// Lets the days that end by now go.
    fn expire(&mut self, now: Micros) {
        while let Some(day) = self.days.first_entry().filter(|day| end_of(*day.key()) <= now) {
            for ((subject, bucket), count) in day.remove() {
                self.pend(subject, bucket, -i64::from(count));
            }
        }
    }

    /// Takes what is pending, and the sentinel of every new distribution.
    fn release(&mut self, at: Micros, org: &str) -> Vec<Delta> {
        let mut deltas = Vec::with_capacity(self.pending.len());
        for ((subject, bucket), change) in std::mem::take(&mut self.pending) {
            if self.subjects.insert(subject) {
                deltas.push(Delta { at, org: org.to_owned(), subject, bucket: SENTINEL, change: 1 });
            }
            deltas.push(Delta { at, org: org.to_owned(), subject, bucket, change });
        }
        deltas
    }

    /// All that was ever released and still stands.
    fn released(&self, at: Micros, org: &str) -> Vec<Delta> {
        let mut counts: BTreeMap<(Subject, u16), i64> = self.subjects.iter().map(|s| ((*s, SENTINEL), 1)).collect();
        for (cell, count) in self.days.values().flatten() {
            *counts.entry(*cell).or_default() += i64::from(*count);
        }
        for (cell, change) in &self.pending {
            *counts.entry(*cell).or_default() -= change;
        }
        let standing = counts.into_iter().filter(|(_, change)| *change != 0);
        standing.map(|((subject, bucket), change)| Delta { at, org: org.to_owned(), subject, bucket, change }).collect()
    }
}

/// When the samples of a day go.
fn end_of(day: u16) -> Micros {
    Micros::ZERO.plus(Span::from_days(u64::from(day) + u64::from(BASELINE_DAYS) + 1))
}

const RELEASE: u8 = 1;
const EXPIRE: u8 = 2;

/// The first stage: from moves to net changes of distributions.
pub struct Histograms;

impl Logic for Histograms {
    type Record = Move;
    type Row = OrgHistograms;
    type Out = Delta;
    const PORTS: usize = 1;

    fn port(_: &Delta) -> usize {
        0
    }

    fn apply(&mut self, moved: Move, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let key = moved.key();
        let row = context.rows.write(key)?.get_or_insert_default();
        let timer = |at, tag| Timer { at, group: key.group, key: key.bytes.to_vec(), tag };
        if row.apply(&moved)? {
            context.timers.set(timer(end_of(moved.day), EXPIRE));
        }
        if !row.releasing {
            row.releasing = true;
            let step = BASELINE_STEP.0;
            context.timers.set(timer(Micros((context.now.0 / step + 1) * step), RELEASE));
        }
        Ok(())
    }

    fn fire(&mut self, timer: Timer, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let Some(row) = context.rows.write(RowKey::under(timer.group, &timer.key))? else { return Ok(()) };
        let org = std::str::from_utf8(&timer.key).expect("the key is an org's name");
        if timer.tag == EXPIRE {
            row.expire(context.now);
        } else {
            row.releasing = false;
        }
        for delta in row.release(context.now, org) {
            context.out.emit(delta);
        }
        Ok(())
    }

    fn restored(&mut self, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let Context { now, rows, out, .. } = context;
        rows.scan(|key, row| {
            let org = std::str::from_utf8(key.bytes).expect("the key is an org's name");
            row.released(*now, org).into_iter().for_each(|delta| out.emit(delta));
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
