//! The manifest: the one file that makes a folder a snapshot.

use crate::coordinator::message::Part;
use crate::error::Error;
use crate::key;
use crate::source::partition::PartitionState;
use crate::state::store::CheckpointFile;
use crate::time::Stamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the snapshot format that this engine writes and reads.
pub const FORMAT: u32 = 1;

/// What a snapshot is, in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// Number of the snapshot, ascending within a repository.
    pub id: u64,
    /// The cut: state holds the records up to and including this stamp (ms of event time).
    pub at: Stamp,
    /// Whether the job's input had ended and everything was applied.
    pub complete: bool,
    /// What the job is: inputs and semantics, not the number of workers.
    pub fingerprint: BTreeMap<String, String>,
    /// How many key groups there are.
    pub key_groups: u16,
    /// The hash that maps keys to groups.
    pub key_hash: String,
    /// How many workers wrote it.
    pub workers: usize,
    /// Where each partition is read again, by name.
    pub partitions: BTreeMap<String, PartitionState>,
    /// Keyed state, by operator.
    pub operators: BTreeMap<String, OperatorState>,
}

/// One operator's state within a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorState {
    /// Files per worker, relative to the worker's folder.
    pub shards: BTreeMap<usize, Vec<CheckpointFile>>,
    /// Running totals over all workers.
    pub totals: Vec<u64>,
}

impl Manifest {
    /// A manifest of the parts that all operators on all workers gave.
    pub fn of(id: u64, at: Stamp, complete: bool, job: &Job, parts: impl IntoIterator<Item = Part>) -> Self {
        let mut partitions = BTreeMap::new();
        let mut operators: BTreeMap<String, OperatorState> = BTreeMap::new();
        for part in parts {
            for (index, state) in part.partitions {
                if let Some(name) = job.partitions.get(index as usize) {
                    partitions.insert(name.clone(), state);
                }
            }
            let operator = operators.entry(part.operator).or_default();
            operator.shards.insert(part.worker, part.files);
            operator.totals.resize(operator.totals.len().max(part.totals.len()), 0);
            operator.totals.iter_mut().zip(part.totals).for_each(|(sum, total)| *sum += total);
        }
        Manifest {
            format: FORMAT,
            id,
            at,
            complete,
            fingerprint: job.fingerprint.clone(),
            key_groups: key::GROUPS,
            key_hash: key::HASH.to_owned(),
            workers: job.workers,
            partitions,
            operators,
        }
    }

    /// Bytes of keyed state.
    pub fn bytes(&self) -> u64 {
        self.operators.values().flat_map(|operator| operator.shards.values()).flatten().map(|file| file.size).sum()
    }

    /// Refuses a snapshot that does not belong to this engine or job, and says what differs.
    pub fn check(&self, job: &Job) -> Result<(), Error> {
        if self.format != FORMAT {
            let (is, reads) = (self.format, FORMAT);
            return Err(Error::Corrupt(format!(
                "snapshot {} has format {is}, this program reads format {reads}: run the version that wrote it",
                self.id
            )));
        }
        if self.key_groups != key::GROUPS || self.key_hash != key::HASH {
            return Err(Error::Corrupt(format!(
                "snapshot {} has {} key groups by {}, this program has {} by {}: its state cannot be moved over",
                self.id,
                self.key_groups,
                self.key_hash,
                key::GROUPS,
                key::HASH
            )));
        }
        let names = self.fingerprint.keys().chain(job.fingerprint.keys());
        for name in names {
            let (was, is) = (self.fingerprint.get(name), job.fingerprint.get(name));
            if was != is {
                let show = |value: Option<&String>| value.map_or("absent".to_owned(), |value| format!("`{value}`"));
                return Err(Error::Invalid(format!(
                    "this data directory belongs to another job: {name} was {}, now it is {}; \
                     use the same inputs and settings, or another --data-dir",
                    show(was),
                    show(is)
                )));
            }
        }
        Ok(())
    }
}

/// What a job is, as far as its snapshots are concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// Inputs and semantics that must be the same when it goes on.
    pub fingerprint: BTreeMap<String, String>,
    /// Names of its partitions, by index.
    pub partitions: Vec<String>,
    /// How many workers it has now.
    pub workers: usize,
}
