//! The byte store's contract: what every place for keyed state must do, RocksDB or memory.

use crate::error::Error;
use crate::key::KeyGroup;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Puts and deletes that take effect together. Later ones win over earlier ones of the same key.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    /// Key, and the new value or `None` to delete.
    pub entries: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// Called with each key and value of a scan; an error ends the scan.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), Error> + 'a;

/// Ordered bytes to bytes, owned by one operator on one worker. Every key starts with its key group, two bytes big
/// endian. Checked by [`super::conformance`].
///
/// One thread takes checkpoints while another reads and writes; neither waits for the other longer than a lock takes.
pub trait ByteStore: Send + Sync {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// The values of many keys, which come in ascending order, in that order.
    fn get_sorted(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, Error>;

    /// Applies writes, all or none.
    fn write(&self, writes: &Writes) -> Result<(), Error>;

    /// Visits all entries whose key starts with `prefix`, in ascending order of keys.
    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), Error>;

    /// Makes a copy of the store as it is now in `folder`, which must not exist; its parent must. What is written
    /// before the call is in it, what is written after it returned is not, and what is written meanwhile is in it whole
    /// or not at all. The copy is no checkpoint before it was settled.
    fn cut(&self, folder: &Path) -> Result<(), Error>;

    /// The files that [`ByteStore::cut`] left in `folder`, read for their checksums. Who keeps them makes them durable.
    fn settle(&self, folder: &Path) -> Result<Vec<CheckpointFile>, Error>;

    /// [`ByteStore::cut`], then [`ByteStore::settle`].
    fn checkpoint(&self, folder: &Path) -> Result<Vec<CheckpointFile>, Error> {
        self.cut(folder)?;
        self.settle(folder)
    }

    /// From now on, values last touched before this point of event time (see [`super::codec`]) may be dropped.
    fn expire_before(&self, stamp: crate::time::Stamp);
}

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CheckpointFile {
    /// Path relative to the checkpoint's folder.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// CRC32C of the content.
    pub crc32c: u32,
    /// Whether no other content will ever have this name, in this store or one that takes its checkpoint over whole.
    pub lasting: bool,
}

/// Opens stores of one kind. One per job, shared by its workers.
pub trait Stores: Send + Sync {
    /// An empty store that lives in `folder`, which is created. What was there is removed.
    fn create(&self, folder: &Path) -> Result<Arc<dyn ByteStore>, Error>;

    /// A store in `folder` that holds, of the given checkpoints, the entries whose key group is in `groups`. The
    /// checkpoints are not changed, and no two of them hold the same group. What was in `folder` is removed.
    fn restore(&self, folder: &Path, checkpoints: &[PathBuf], groups: Range<u16>) -> Result<Arc<dyn ByteStore>, Error>;
}

/// The first two bytes of every key of a group.
pub fn group_prefix(group: KeyGroup) -> [u8; 2] {
    group.0.to_be_bytes()
}
