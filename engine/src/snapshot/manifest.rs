//! The manifest: the one object that makes a snapshot of files.

use super::shelf::{FILES, StoredFile};
use crate::coordinator::message::Part;
use crate::error::Error;
use crate::key;
use crate::source::partition::PartitionState;
use crate::time::Stamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the snapshot format that this engine writes and reads.
pub const FORMAT: u32 = 2;

/// The first word of a manifest.
const MAGIC: &str = "snapshot";

/// What a snapshot is, in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Number of the snapshot, ascending within a repository.
    pub id: u64,
    /// The generation that published it. The first one of a generation that goes on is a copy of the one restored.
    pub generation: u64,
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
    /// Files by the worker that wrote them.
    pub shards: BTreeMap<usize, Vec<StoredFile>>,
    /// Running totals over all workers.
    pub totals: Vec<u64>,
}

impl Manifest {
    /// A manifest of the parts that all operators on all workers gave.
    pub fn of(cut: Cut, job: &Job, parts: impl IntoIterator<Item = Part>) -> Self {
        let Cut { id, generation, at, complete } = cut;
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
            id,
            generation,
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

    /// All files of keyed state.
    pub fn files(&self) -> impl Iterator<Item = &StoredFile> + Clone {
        self.operators.values().flat_map(|operator| operator.shards.values()).flatten()
    }

    /// Bytes of keyed state.
    pub fn bytes(&self) -> u64 {
        self.files().map(|file| file.size).sum()
    }

    /// Bytes that were stored for this snapshot and are in no earlier one: those of its own generation's newest number.
    /// None for one that was taken over.
    pub fn new_bytes(&self) -> u64 {
        let own = format!("{FILES}/{:010}/", self.generation);
        let own = self.files().filter(|file| file.object.starts_with(&own));
        let newest = own.clone().map(|file| file.snapshot).max();
        own.filter(|file| Some(file.snapshot) == newest).map(|file| file.size).sum()
    }

    /// The manifest as bytes: a line with the format and a checksum, then JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let body = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::Fault(format!("manifest {} cannot be written as JSON: {error}", self.id)))?;
        let crc32c = checksum(FORMAT, &body);
        Ok([first_line(FORMAT, crc32c).into_bytes(), vec![b'\n'], body].concat())
    }

    /// Reads a manifest. `place` tells in errors where it was.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is damaged, [`Error::Unfit`] if it is whole and of another format.
    pub fn parse(bytes: &[u8], place: &str) -> Result<Self, Error> {
        let damaged = |why: &dyn std::fmt::Display| Error::Corrupt(format!("{place} is damaged: {why}"));
        let end =
            bytes.iter().take(64).position(|byte| *byte == b'\n').ok_or_else(|| damaged(&"it has no first line"))?;
        let (head, body) = (String::from_utf8_lossy(&bytes[..end]), &bytes[end + 1..]);
        let words: Vec<&str> = head.split(' ').collect();
        let &[MAGIC, format, crc32c] = &words[..] else { return Err(damaged(&"its first line is no manifest's")) };
        let number = |error: std::num::ParseIntError| damaged(&error);
        let (format, crc32c) = (format.parse().map_err(number)?, u32::from_str_radix(crc32c, 16).map_err(number)?);
        // One checksum has one spelling, so that no bit of it can change unseen.
        if checksum(format, body) != crc32c || head != first_line(format, crc32c) {
            return Err(damaged(&"its checksum is wrong"));
        }
        if format != FORMAT {
            return Err(Error::Unfit(format!(
                "{place} has format {format}, this program reads format {FORMAT}: run the version that wrote it"
            )));
        }
        serde_json::from_slice(body).map_err(|error| damaged(&error))
    }

    /// Refuses a snapshot that does not belong to this engine or job, and says what differs.
    pub fn check(&self, job: &Job) -> Result<(), Error> {
        if self.key_groups != key::GROUPS || self.key_hash != key::HASH {
            return Err(Error::Unfit(format!(
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
        match self.partitions.keys().find(|name| !job.partitions.contains(name)) {
            None => Ok(()),
            Some(gone) => Err(Error::Invalid(format!(
                "this data directory has read {gone}, which is not there any more: bring it back, or use another \
                 --data-dir"
            ))),
        }
    }
}

fn first_line(format: u32, crc32c: u32) -> String {
    format!("{MAGIC} {format} {crc32c:08x}")
}

/// Of the format and the body, so that neither can change unseen.
fn checksum(format: u32, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&format.to_le_bytes()), body)
}

/// Which snapshot one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Its number.
    pub id: u64,
    /// Whose it is.
    pub generation: u64,
    /// What it holds the records up to.
    pub at: Stamp,
    /// Whether all input had ended.
    pub complete: bool,
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
