//! The source journal: what was judged by a clock, so that recovery and replay need none. Owned here: the contract of
//! the store, and one in memory. Not owned here: the judgements themselves (the source operator) and where they are kept
//! (connectors).

use super::partition::PartitionState;
use crate::error::Error;
use crate::time::Micros;
use std::collections::BTreeMap;

/// What a live source decided with the help of a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Judgement {
    /// Nothing came for so long that the partition no longer holds back the others.
    Idle,
    /// The record at the position stands too far ahead of the clock and was rejected.
    Ahead,
}

/// One judgement on one partition, as it was acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// The partition judged.
    pub partition: String,
    /// Number of the entry within its partition, ascending. The source gives it; gaps are allowed.
    pub seq: u64,
    /// Where the partition stood: the position of the rejected record, or the next position to be read when idle.
    pub position: u64,
    /// What was decided.
    pub judgement: Judgement,
    /// The partition's watermark after the judgement.
    pub watermark: Micros,
}

impl JournalEntry {
    /// Whether this says anything to who reads the partition on from there.
    pub fn counts_from(&self, state: &PartitionState) -> bool {
        match self.judgement {
            Judgement::Idle => (self.position, self.watermark) > (state.position, state.judge.watermark),
            Judgement::Ahead => self.position >= state.position,
        }
    }
}

/// A durable list of judgements. One source process writes it; recovery and replay read it.
pub trait Journal: Send {
    /// Writes entries, of any partitions, in one commit; they are durable on return. An entry that is there already,
    /// equal in all, is left as it is.
    ///
    /// # Errors
    /// [`Error::Fault`] if a number is taken by another entry or does not ascend, or if a newer generation has taken
    /// over: nothing is written then. Else as the store fails.
    fn append(&mut self, entries: &[JournalEntry]) -> Result<(), Error>;

    /// All entries of a partition, by ascending number.
    ///
    /// # Errors
    /// As the store fails.
    fn load(&self, partition: &str) -> Result<Vec<JournalEntry>, Error>;

    /// Forgets the first entries of a partition, up to the first one that [counts](JournalEntry::counts_from) from any of
    /// these states: the partition is read on from them and from nowhere else.
    ///
    /// # Errors
    /// [`Error::Fault`] if a newer generation has taken over. Else as the store fails.
    fn shorten(&mut self, partition: &str, from: &[&PartitionState]) -> Result<(), Error>;
}

/// A journal that lasts as long as a run that nobody goes on with, such as a replay.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal(BTreeMap<String, Vec<JournalEntry>>);

impl Journal for MemoryJournal {
    fn append(&mut self, entries: &[JournalEntry]) -> Result<(), Error> {
        entries.iter().for_each(|entry| self.0.entry(entry.partition.clone()).or_default().push(entry.clone()));
        Ok(())
    }

    fn load(&self, partition: &str) -> Result<Vec<JournalEntry>, Error> {
        Ok(self.0.get(partition).cloned().unwrap_or_default())
    }

    fn shorten(&mut self, partition: &str, from: &[&PartitionState]) -> Result<(), Error> {
        if let Some(entries) = self.0.get_mut(partition) {
            let counts = entries.iter().position(|entry| from.iter().any(|state| entry.counts_from(state)));
            entries.drain(..counts.unwrap_or(entries.len()));
        }
        Ok(())
    }
}
