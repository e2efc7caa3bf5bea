//! Sources: ordered partitions of lines, read from remembered positions. Owned here: the contracts of readers and
//! decoders, watermarks, lateness, the jump guard, and where each partition is read again after a restore. Not owned
//! here: where bytes come from (connectors) and what they mean (the decoder).

pub mod journal;
pub mod operator;
pub mod partition;
pub mod scheduled;
pub mod seat;

use crate::error::Error;
use crate::keyed::Sendable;
use crate::time::{Micros, Span};

/// Lines of one partition, read together.
#[derive(Debug, Default)]
pub struct Block {
    /// The bytes of all lines.
    pub bytes: Vec<u8>,
    /// The lines, in order.
    pub lines: Vec<Line>,
    /// Where reading goes on after this block.
    pub next: u64,
}

/// One line of a [`Block`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its position in the partition.
    pub position: u64,
    /// Where it starts in the block's bytes.
    pub start: usize,
    /// Where it ends, without its line end.
    pub end: usize,
    /// Set when the line was over the size limit: its whole length, of which the block holds only the first part.
    pub oversize: Option<u64>,
}

/// What a reader has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The block holds at least one line.
    Lines,
    /// Nothing for now: the partition was read to its present end.
    Pending,
    /// Nothing for now, and whether there is more is not known: what holds the partition has not answered. It is not
    /// idle, so the others wait for it.
    Unknown,
    /// The partition has ended for good.
    End,
}

/// Reads one partition.
pub trait Reader: Send {
    /// Fills `block`, whose content is replaced. Does not wait for data.
    fn read(&mut self, block: &mut Block) -> Result<Reading, Error>;
}

/// A partition that a job reads.
pub trait Partition: Send + Sync {
    /// Name, unique within the job and the same in every run: it stands in dead letters and manifests.
    fn name(&self) -> &str;

    /// Whether the partition may grow while it is read: then idleness and the clock matter.
    fn live(&self) -> bool;

    /// Opens it at a position that an earlier reading gave, or at 0.
    fn open(&self, position: u64) -> Result<Box<dyn Reader>, Error>;

    /// A snapshot exists by now from which the partition is read on at this position. Heard by the process that leads, of
    /// every partition, also of those that others read.
    fn kept(&self, position: u64) {
        let _ = position;
    }
}

/// How a partition's records are judged.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How far behind the newest record the watermark stays.
    pub max_disorder: Span,
    /// A record further ahead than this does not move the watermark by itself.
    pub max_jump: Span,
    /// A record further behind the watermark than this takes no part.
    pub lateness_limit: Span,
    /// After this long without data, measured by the wall clock, a live partition is idle.
    pub max_delay: Span,
    /// A record of a live partition further ahead of the wall clock than this is rejected.
    pub ahead_limit: Span,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            max_disorder: Span::from_secs(5),
            max_jump: Span::from_mins(10),
            lateness_limit: Span::from_hours(1),
            max_delay: Span::from_secs(15),
            ahead_limit: Span::from_mins(5),
        }
    }
}

/// Where and when a record stands, once its partition has judged it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Index of the partition in the job.
    pub partition: u32,
    /// Position in it.
    pub position: u64,
    /// Effective time.
    pub at: Micros,
    /// How far the record's own time lies behind; zero if in time.
    pub behind: Span,
}

/// Why a line does not become a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Over the size limit; its whole length.
    TooLarge(u64),
    /// Too far ahead of the others of its partition, and too many of that kind wait already.
    TooFarAhead,
    /// Ahead of the wall clock.
    AheadOfClock,
}

/// Makes records of lines. Pure: what it gives depends on the line, the arrival and what it was built with.
pub trait Decode: 'static {
    /// What flows on to keyed operators.
    type Record: Sendable;
    /// What is written aside: refused lines and records beyond the lateness limit.
    type Aside: Sendable;
    /// A line that was understood but has no place in time yet.
    type Parsed<'a>;
    /// Why a line cannot be used.
    type Rejection;

    /// Reads a line: its event time, and what was understood of it.
    fn parse<'a>(&mut self, line: &'a [u8]) -> Result<(Micros, Self::Parsed<'a>), Self::Rejection>;

    /// Makes the records of a parsed line, which has now been judged.
    fn record(
        &mut self,
        line: &[u8],
        parsed: Self::Parsed<'_>,
        arrival: Arrival,
        out: &mut Vec<Self::Record>,
    ) -> Result<(), Self::Rejection>;

    /// What is written of a line that [`Decode::parse`] or [`Decode::record`] rejected.
    fn rejected(&mut self, line: &[u8], rejection: Self::Rejection, arrival: Arrival) -> Self::Aside;

    /// What is written of a line that the source refused.
    fn refused(&mut self, line: &[u8], refused: Refused, arrival: Arrival) -> Self::Aside;

    /// What is written of a record beyond the lateness limit.
    fn too_late(&mut self, line: &[u8], parsed: Self::Parsed<'_>, arrival: Arrival) -> Self::Aside;
}
