//! A byte store in memory, for tests, and for jobs whose state is small. Owned here: its one checkpoint file. It makes
//! the same promises as the store on disk; expired values are dropped when a checkpoint is taken. Reads go on while a
//! checkpoint is written, writes wait for it.
//!
//! The file `entries`: the bytes `KVMEM002`, the CRC32C of all that follows (u32), the number of entries (u64), then for
//! each its key's length (u32), its value's length (u32), key and value, in ascending order of keys. All integers are
//! little endian. (A checksum at the end would give all such files the same CRC32C, and swapped ones would look whole.)

use super::codec;
use super::store::{ByteStore, CheckpointFile, Stores, Visit, Writes, group_prefix};
use crate::error::Error;
use crate::key::KeyGroup;
use crate::time::Stamp;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

const FILE: &str = "entries";
const MAGIC: &[u8; 8] = b"KVMEM002";

/// Opens stores in memory. Their folders stay empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryStores;

impl Stores for MemoryStores {
    fn create(&self, folder: &Path) -> Result<Arc<dyn ByteStore>, Error> {
        empty_folder(folder)?;
        Ok(Arc::new(MemoryStore::default()))
    }

    fn restore(&self, folder: &Path, checkpoints: &[PathBuf], groups: Range<u16>) -> Result<Arc<dyn ByteStore>, Error> {
        empty_folder(folder)?;
        let mut all = Entries::new();
        let (first, end) = (group_prefix(KeyGroup(groups.start)), group_prefix(KeyGroup(groups.end)));
        for checkpoint in checkpoints {
            let path = checkpoint.join(FILE);
            let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
            let entries = parse(&bytes)
                .map_err(|what| Error::Corrupt(format!("{}: {what}; restore another snapshot", path.display())))?;
            let owned = entries.into_iter().filter(|(key, _)| (&first[..]..&end[..]).contains(key));
            all.extend(owned.map(|(key, value)| (key.to_vec(), value.to_vec())));
        }
        Ok(Arc::new(MemoryStore { entries: RwLock::new(all), expiry: AtomicU64::new(0) }))
    }
}

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// Entries of one operator on one worker, in memory.
#[derive(Debug, Default)]
struct MemoryStore {
    entries: RwLock<Entries>,
    expiry: AtomicU64,
}

impl ByteStore for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.reading().get(key).cloned())
    }

    fn get_sorted(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let entries = self.reading();
        Ok(keys.iter().map(|key| entries.get(*key).cloned()).collect())
    }

    fn write(&self, writes: &Writes) -> Result<(), Error> {
        let mut entries = self.writing();
        for (key, value) in &writes.entries {
            match value {
                Some(value) => entries.insert(key.clone(), value.clone()),
                None => entries.remove(key),
            };
        }
        Ok(())
    }

    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        let entries = self.reading();
        let from = entries.range::<[u8], _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        for (key, value) in from.take_while(|(key, _)| key.starts_with(prefix)) {
            visit(key, value)?;
        }
        Ok(())
    }

    fn cut(&self, folder: &Path) -> Result<(), Error> {
        fs::create_dir(folder).map_err(Error::io("create", folder))?;
        let expiry = self.expiry.load(Ordering::Relaxed);
        self.writing().retain(|_, value| codec::touched(value).is_none_or(|touched| touched >= expiry));
        let bytes = to_bytes(&self.reading());
        let path = folder.join(FILE);
        let mut file = File::create_new(&path).map_err(Error::io("create", &path))?;
        file.write_all(&bytes).map_err(Error::io("write", &path))
    }

    fn settle(&self, folder: &Path) -> Result<Vec<CheckpointFile>, Error> {
        let path = folder.join(FILE);
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        let (size, crc32c) = (bytes.len() as u64, crc32c::crc32c(&bytes));
        Ok(vec![CheckpointFile { name: FILE.to_owned(), size, crc32c, lasting: false }])
    }

    fn expire_before(&self, stamp: Stamp) {
        self.expiry.fetch_max(stamp, Ordering::Relaxed);
    }
}

impl MemoryStore {
    fn reading(&self) -> RwLockReadGuard<'_, Entries> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> RwLockWriteGuard<'_, Entries> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn to_bytes(entries: &Entries) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], &[0; 4]].concat();
    bytes.extend_from_slice(&(entries.len() as u64).to_le_bytes());
    for (key, value) in entries {
        bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
    }
    let (head, content) = bytes.split_at_mut(MAGIC.len() + 4);
    head[MAGIC.len()..].copy_from_slice(&crc32c::crc32c(content).to_le_bytes());
    bytes
}

/// Key and value within a file's bytes.
type BorrowedEntry<'a> = (&'a [u8], &'a [u8]);

/// The entries of a checkpoint's file, or what is wrong with it.
fn parse(bytes: &[u8]) -> Result<Vec<BorrowedEntry<'_>>, String> {
    let mut rest = bytes.strip_prefix(MAGIC).ok_or("this is no checkpoint of a store in memory")?;
    let stored = u32::from_le_bytes(*take_chunk(&mut rest)?);
    let computed = crc32c::crc32c(rest);
    if stored != computed {
        return Err(format!("checksum {computed:08x}, stored {stored:08x}"));
    }
    let count = u64::from_le_bytes(*take_chunk(&mut rest)?);
    let mut entries = Vec::new();
    for _ in 0..count {
        let key = u32::from_le_bytes(*take_chunk(&mut rest)?) as usize;
        let value = u32::from_le_bytes(*take_chunk(&mut rest)?) as usize;
        entries.push((take(&mut rest, key)?, take(&mut rest, value)?));
    }
    if rest.is_empty() { Ok(entries) } else { Err(format!("{} bytes follow the last entry", rest.len())) }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    let (head, tail) = rest.split_at_checked(length).ok_or("an entry is cut off")?;
    *rest = tail;
    Ok(head)
}

fn take_chunk<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], String> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or("an entry is cut off")?;
    *rest = tail;
    Ok(head)
}

/// Makes `folder` exist and be empty.
pub(super) fn empty_folder(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", folder)(why)),
        _ => fs::create_dir_all(folder).map_err(Error::io("create", folder)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_damaged_byte_and_every_truncation_of_a_checkpoint_is_noticed() {
        let bytes = to_bytes(&Entries::from([(vec![0, 1, 2], vec![3; 5]), (vec![0, 2], Vec::new())]));
        assert_eq!(parse(&bytes).unwrap(), [(&[0, 1, 2][..], &[3; 5][..]), (&[0, 2], &[])]);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(parse(&damaged).is_err(), "byte {at}");
            assert!(parse(&bytes[..at]).is_err(), "length {at}");
        }
    }

    #[test]
    fn expired_values_are_gone_after_a_checkpoint() {
        let scratch = tempfile::tempdir().unwrap();
        let store = MemoryStore::default();
        for (key, touched) in [(b"\0\0a", 9), (b"\0\0b", 10)] {
            let mut value = Vec::new();
            codec::encode(&crate::state::conformance::Sample(Vec::new()), touched, &mut value).unwrap();
            store.writing().insert(key.to_vec(), value);
        }
        store.writing().insert(b"\0\0c".to_vec(), Vec::new());
        store.expire_before(10);
        store.checkpoint(&scratch.path().join("one")).unwrap();
        assert_eq!(store.reading().keys().collect::<Vec<_>>(), [b"\0\0b", b"\0\0c"]);
    }
}
