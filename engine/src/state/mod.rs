//! Keyed state: what an operator remembers of each key. Owned here: the byte store's contract and its two
//! implementations, the envelope around each value, and the table of decoded rows in front of the store. Not owned
//! here: when a row may change (the keyed operator decides) and what is in it (the logic does).

pub mod codec;
pub mod conformance;
pub mod memory;
pub mod rocks;
pub mod store;
pub mod table;

use crate::key::{self, KeyGroup};
use crate::time::{Micros, Span};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value in keyed state.
///
/// Stored with bincode behind an envelope of (format, type, version, touched, length, checksum); see [`codec`].
pub trait Row: Serialize + DeserializeOwned + 'static {
    /// Number of this type within the job. Never reused for another type.
    const TYPE: u16;
    /// Version of the layout. Raised with every change of it, together with [`Row::migrate`].
    const VERSION: u16;
    /// After this long without being written, a row reads as absent. By event time, so every run agrees.
    const TTL: Option<Span>;

    /// Roughly the bytes of memory that the decoded value takes, heap included. Called once per applied step and
    /// key, so it should be cheap.
    fn weight(&self) -> usize;

    /// Reads a row of an older version; `None` when that version cannot be read any more.
    fn migrate(_version: u16, _bytes: &[u8]) -> Option<Self> {
        None
    }
}

/// The address of a row: its full name, the hash of that, and the key group that places it on a worker.
///
/// A row may lie under another key's group, so that rows which depend on each other share a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowKey<'a> {
    /// Where the row lies.
    pub group: KeyGroup,
    /// The pinned hash of `bytes`.
    pub hash: u64,
    /// The full name. Rows are told apart by it, never by the hash alone.
    pub bytes: &'a [u8],
}

impl<'a> RowKey<'a> {
    /// The row of a key in the key's own group.
    pub fn of(bytes: &'a [u8]) -> Self {
        let hash = key::hash(bytes);
        RowKey { group: KeyGroup::of(hash), hash, bytes }
    }

    /// A row that lies in the group of another key.
    pub fn under(group: KeyGroup, bytes: &'a [u8]) -> Self {
        RowKey { group, hash: key::hash(bytes), bytes }
    }
}

/// A promise to call a logic back at a point of event time. Part of keyed state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    /// When it is due.
    pub at: Micros,
    /// Where the key that set it lies.
    pub group: KeyGroup,
    /// The name of the row that it belongs to.
    pub key: Vec<u8>,
    /// What it is for; the logic's own numbering.
    pub tag: u8,
}
