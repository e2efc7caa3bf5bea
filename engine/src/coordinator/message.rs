//! What the coordinator, the sources and the operators tell each other. They speak only over streams, so several
//! processes change nothing.

use crate::snapshot::shelf::StoredFile;
use crate::source::partition::PartitionState;
use crate::time::{Micros, Stamp};
use crate::window::{Place, Seen};
use serde::{Deserialize, Serialize};

/// From the coordinator to everyone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Announcement {
    /// Sent before the horizon is released up to `horizon`.
    Advance {
        /// No frontier passes this.
        horizon: Stamp,
        /// Sources read while their watermark is before this.
        read_to: Stamp,
        /// All sources have passed this: no snapshot before it will be asked for.
        sources: Stamp,
        /// Idle partitions follow to here.
        idle_to: Option<Micros>,
    },
    /// Take a snapshot of everything up to and including `at`, once the frontier has passed it.
    Snapshot {
        /// The cut.
        at: Stamp,
        /// The snapshot's number.
        id: u64,
    },
    /// Somebody wants to see rows: who has one answers with [`Answer::Seen`].
    Look {
        /// The question's number.
        id: u64,
        /// The rows.
        rows: Vec<Place>,
    },
    /// Sources read no more and answer with [`Answer::Stopped`].
    Stop,
    /// Every worker drops the dataflow as it is.
    Leave,
}

/// From a source to the coordinator, as data: what its frontier cannot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Index of the partition.
    pub partition: u32,
    /// Newest event time that counted.
    pub newest: Micros,
    /// The partition's watermark.
    pub watermark: Micros,
    /// Lines read so far.
    pub received: u64,
    /// Position of the next line.
    pub position: u64,
    /// What it is doing.
    pub activity: Activity,
}

/// What a partition is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activity {
    /// It gave records, or may give some at once.
    Active,
    /// It was read to its end and had nothing for the allowed delay.
    Idle,
    /// It has ended.
    Ended,
}

/// From sources and operators to the coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// One operator's part of a snapshot on one worker.
    Part {
        /// The snapshot's number.
        id: u64,
        /// The part.
        part: Part,
    },
    /// A part could not be stored, for a reason that may pass: there will be no such snapshot.
    Failed {
        /// The snapshot's number.
        id: u64,
        /// What went wrong, and where.
        error: String,
    },
    /// A row that was asked for.
    Seen {
        /// The question's number.
        id: u64,
        /// Which of its rows.
        index: usize,
        /// The row, or why it cannot be told.
        seen: Result<Seen, String>,
    },
    /// The sources of one worker have stopped.
    Stopped {
        /// The worker.
        worker: usize,
        /// Lowest watermark of its partitions that have not ended.
        lowest: Option<Stamp>,
    },
}

/// What one operator on one worker adds to a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Name of the operator.
    pub operator: String,
    /// The worker.
    pub worker: usize,
    /// Files of its keyed state, in the repository.
    pub files: Vec<StoredFile>,
    /// Its running totals on this worker.
    pub totals: Vec<u64>,
    /// Where its partitions are read again, by index.
    pub partitions: Vec<(u32, PartitionState)>,
}

impl Part {
    /// Name of a part, as a folder.
    pub fn folder(operator: &str, worker: usize) -> String {
        format!("{operator}.{worker}")
    }
}
