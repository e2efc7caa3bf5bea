//! The source journal: what was judged by a clock, so that recovery and replay need none. Owned here: the contract of
//! the store. Not owned here: the judgements themselves (the source operator) and where they are kept (connectors).

use crate::error::Error;
use crate::time::Micros;

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

    /// Forgets the entries of a partition with a number below `seq`: no retained snapshot reaches back to them.
    ///
    /// # Errors
    /// [`Error::Fault`] if a newer generation has taken over. Else as the store fails.
    fn drop_before(&mut self, partition: &str, seq: u64) -> Result<(), Error>;
}
