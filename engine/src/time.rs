//! Event time, the only clock of the dataflow. Owned here: the two units (microseconds of records, milliseconds of
//! timely's stamps) and the one way between them. Not owned here: who decides what time a record has.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A point of event time in microseconds since 1970-01-01 UTC. Records are ordered by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Micros(pub u64);

/// The stamp that timely tracks progress with: whole milliseconds of event time, rounded down.
pub type Stamp = u64;

impl Micros {
    /// The beginning of time: control records and the first snapshot stand here, sources start after it.
    pub const ZERO: Micros = Micros(0);

    /// The earliest point within a stamp.
    pub const fn from_stamp(stamp: Stamp) -> Self {
        Micros(stamp.saturating_mul(1_000))
    }

    /// Whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Micros(secs.saturating_mul(1_000_000))
    }

    /// The stamp that this point falls in.
    pub const fn stamp(self) -> Stamp {
        self.0 / 1_000
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// This point moved back, not before the beginning.
    #[must_use]
    pub const fn minus(self, span: Span) -> Self {
        Micros(self.0.saturating_sub(span.0))
    }

    /// This point moved on.
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Micros(self.0.saturating_add(span.0))
    }

    /// How far `earlier` lies back, zero if it does not.
    pub const fn since(self, earlier: Micros) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// A length of event time in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span(pub u64);

impl Span {
    /// Whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Span(millis * 1_000)
    }

    /// Whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Span(secs * 1_000_000)
    }

    /// Whole minutes.
    pub const fn from_mins(mins: u64) -> Self {
        Span::from_secs(mins * 60)
    }

    /// Whole hours.
    pub const fn from_hours(hours: u64) -> Self {
        Span::from_mins(hours * 60)
    }

    /// Whole days of 24 hours.
    pub const fn from_days(days: u64) -> Self {
        Span::from_hours(days * 24)
    }

    /// This length without `other`, zero if that is longer.
    #[must_use]
    pub const fn less(self, other: Span) -> Self {
        Span(self.0.saturating_sub(other.0))
    }

    /// In whole milliseconds, rounded down.
    pub const fn millis(self) -> u64 {
        self.0 / 1_000
    }
}
