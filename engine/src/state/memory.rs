//! A byte store in memory, for tests, and for jobs whose state is small. Owned here: its one checkpoint file. It makes
//! the same promises as the store on disk; expired values are dropped when a checkpoint is taken.
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

const FILE: &str = "entries";
const MAGIC: &[u8; 8] = b"KVMEM002";

/// Opens stores in memory. Their folders stay empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryStores;

impl Stores for MemoryStores {
    fn create(&self, folder: &Path) -> Result<Box<dyn ByteStore>, Error> {
        empty_folder(folder)?;
        Ok(Box::new(MemoryStore::default()))
    }

    fn restore(&self, folder: &Path, checkpoints: &[PathBuf], groups: Range<u16>) -> Result<Box<dyn ByteStore>, Error> {
        empty_folder(folder)?;
        let mut store = MemoryStore::default();
        let (first, end) = (group_prefix(KeyGroup(groups.start)), group_prefix(KeyGroup(groups.end)));
        for checkpoint in checkpoints {
            let path = checkpoint.join(FILE);
            let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
            let entries = parse(&bytes)
                .map_err(|what| Error::Corrupt(format!("{}: {what}; restore another snapshot", path.display())))?;
            let owned = entries.into_iter().filter(|(key, _)| (&first[..]..&end[..]).contains(key));
            store.entries.extend(owned.map(|(key, value)| (key.to_vec(), value.to_vec())));
        }
        Ok(Box::new(store))
    }
}

/// Entries of one operator on one worker, in memory.
#[derive(Debug, Default)]
struct MemoryStore {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    expiry: Stamp,
}

impl ByteStore for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.entries.get(key).cloned())
    }

    fn get_sorted(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    fn write(&mut self, writes: Writes) -> Result<(), Error> {
        for (key, value) in writes.entries {
            match value {
                Some(value) => self.entries.insert(key, value),
                None => self.entries.remove(&key),
            };
        }
        Ok(())
    }

    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        let from = self.entries.range::<[u8], _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        for (key, value) in from.take_while(|(key, _)| key.starts_with(prefix)) {
            visit(key, value)?;
        }
        Ok(())
    }

    fn checkpoint(&mut self, folder: &Path) -> Result<Vec<CheckpointFile>, Error> {
        let expiry = self.expiry;
        self.entries.retain(|_, value| codec::touched(value).is_none_or(|touched| touched >= expiry));
        let bytes = self.to_bytes();
        fs::create_dir(folder).map_err(Error::io("create", folder))?;
        let path = folder.join(FILE);
        let mut file = File::create_new(&path).map_err(Error::io("create", &path))?;
        file.write_all(&bytes).map_err(Error::io("write", &path))?;
        file.sync_all().map_err(Error::io("sync", &path))?;
        sync(folder)?;
        sync_parent(folder)?;
        let (size, crc32c) = (bytes.len() as u64, crc32c::crc32c(&bytes));
        Ok(vec![CheckpointFile { name: FILE.to_owned(), size, crc32c, lasting: false }])
    }

    fn expire_before(&mut self, stamp: Stamp) {
        self.expiry = self.expiry.max(stamp);
    }
}

impl MemoryStore {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [&MAGIC[..], &[0; 4]].concat();
        bytes.extend_from_slice(&(self.entries.len() as u64).to_le_bytes());
        for (key, value) in &self.entries {
            bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
        }
        let (head, content) = bytes.split_at_mut(MAGIC.len() + 4);
        head[MAGIC.len()..].copy_from_slice(&crc32c::crc32c(content).to_le_bytes());
        bytes
    }
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

/// Makes a file's content, or a folder's names, survive a power cut.
pub(super) fn sync(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::io("sync", path))
}

/// Makes the name of `path` itself survive a power cut.
pub(super) fn sync_parent(path: &Path) -> Result<(), Error> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => sync(Path::new(".")),
        Some(parent) => sync(parent),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_damaged_byte_and_every_truncation_of_a_checkpoint_is_noticed() {
        let mut store = MemoryStore::default();
        store.entries.insert(vec![0, 1, 2], vec![3; 5]);
        store.entries.insert(vec![0, 2], Vec::new());
        let bytes = store.to_bytes();
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
        let mut store = MemoryStore::default();
        for (key, touched) in [(b"\0\0a", 9), (b"\0\0b", 10)] {
            let mut value = Vec::new();
            codec::encode(&crate::state::conformance::Sample(Vec::new()), touched, &mut value).unwrap();
            store.entries.insert(key.to_vec(), value);
        }
        store.entries.insert(b"\0\0c".to_vec(), Vec::new());
        store.expire_before(10);
        store.checkpoint(&scratch.path().join("one")).unwrap();
        assert_eq!(store.entries.keys().collect::<Vec<_>>(), [b"\0\0b", b"\0\0c"]);
    }
}
