//! Running a checked job to its end: what it starts from, its dataflow, the executor beside it, and the totals at the
//! end. Owned here: the order in which these start and stop. Not owned here: the dataflow itself (`job`), how a
//! response is carried out (`execute`), and what is shown of it (`progress`, `serve`).

use engine::error::Error;
use engine::flow::Ended;
use engine::metrics::Status;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};

/// What others may see of a job while it runs, and the one thing they may do: ask it to stop.
#[derive(Clone, Default)]
pub struct Watch {
    /// Figures of the dataflow.
    pub status: Status,
    /// Set to stop the job with a last snapshot.
    pub stop: Arc<AtomicBool>,
    /// See [`Phase`].
    pub phase: Arc<AtomicU8>,
    /// Figures of responses.
    pub responses: Arc<Responses>,
    /// Bytes of all bounded input files, zero if any is followed.
    pub input_bytes: Arc<AtomicU64>,
}

/// What a job is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Looking for what to start from.
    Starting = 0,
    /// Reading and applying.
    Running = 1,
    /// The dataflow has ended; open responses are carried out.
    Draining = 2,
    /// Over.
    Done = 3,
}

/// Figures of responses in this run.
#[derive(Debug, Default)]
pub struct Responses {
    /// Ordered and not yet carried out to the end.
    pub open: AtomicU64,
    /// Steps that were done, by kind.
    pub sessions_ended: AtomicU64,
    /// See above.
    pub messages: AtomicU64,
    /// Attempts that failed.
    pub failures: AtomicU64,
    /// Re-derived items that differ from what was recorded, and were not acted on.
    pub differing: AtomicU64,
}

/// Totals of a job over all its runs, as `--json` prints them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Lines read.
    pub received: u64,
    /// Events that took part.
    pub applied: u64,
    /// Copies without effect.
    pub duplicate: u64,
    /// Events beyond the lateness limit.
    pub too_late: u64,
    /// Lines in the dead letter.
    pub rejected: u64,
    /// Of those applied, late ones.
    pub late: u64,
    /// Anomalies raised.
    pub anomalies: u64,
    /// Decisions by name.
    pub decisions: BTreeMap<String, u64>,
    /// Responses ordered.
    pub responses: u64,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Whether the input was read to its end.
    pub ended: Ended,
    /// Totals over all runs of the job.
    pub totals: Totals,
    /// Responses that were still open when the time to wait for them was over.
    pub open_responses: u64,
    /// The job was complete before; nothing was done.
    pub was_complete: bool,
    /// Damaged snapshots that were passed over at the start, with what is wrong with each.
    pub passed_over: Vec<String>,
}

/// Runs a job until its input ends, it is told to stop, or something is broken.
pub fn run(_job: &config::Job, _watch: &Watch) -> Result<Finished, Error> {
    Err(Error::Fault("being assembled".to_owned()))
}
