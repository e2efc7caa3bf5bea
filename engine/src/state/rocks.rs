//! The byte store on disk, and the only file that names RocksDB. Owned here: its options, how checkpoints are
//! taken, and how shards of earlier checkpoints become a store. RocksDB serves as a cache of the last snapshot that
//! is larger than memory: it has no write-ahead log, and nothing in its folder is worth more than the snapshot.

use super::codec;
use super::memory::empty_folder;
use super::store::{ByteStore, CheckpointFile, Stores, Visit, Writes, group_prefix};
use crate::error::Error;
use crate::key::{KeyGroup, Map};
use crate::time::Stamp;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::compaction_filter::Decision;
use rocksdb::properties::BACKGROUND_ERRORS;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBPinnableSlice, ErrorKind,
    InfoLogger, IteratorMode, LogLevel, Options, PrefixRange, ReadOptions, WriteBatch, WriteBufferManager,
    WriteOptions,
};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The name of the one column family, fixed by RocksDB.
const FAMILY: &str = "default";

/// Files that one store holds open. A job has a few stores per worker, and a process is often allowed 1,024 files.
const OPEN_FILES: i32 = 64;

/// Unflushed writes may take one in this many bytes of the memory. The rest caches blocks.
const WRITE_SHARE: usize = 3;

/// The most that one store collects before it writes a file.
const WRITE_BUFFER_MAX: usize = 32 << 20;

/// The least, for jobs with very little memory. Below it RocksDB writes a file every few rows.
const WRITE_BUFFER_MIN: usize = 1 << 20;

/// Size of the batches that a restore copies in.
const COPY_BATCH: usize = 4 << 20;

/// How far scans read ahead. They are rare and long.
const READ_AHEAD: usize = 1 << 20;

/// Opens stores on disk. All stores of a process share one block cache and one budget for unflushed writes.
pub struct RocksStores {
    cache: Cache,
    write_buffers: WriteBufferManager,
    write_buffer: usize,
}

impl RocksStores {
    /// Stores that together hold about `memory_bytes` in memory: blocks, their indexes and filters, and writes on
    /// their way to disk.
    pub fn new(memory_bytes: usize) -> Self {
        let cache = Cache::new_lru_cache(memory_bytes);
        let writes = memory_bytes / WRITE_SHARE;
        RocksStores {
            write_buffers: WriteBufferManager::new_write_buffer_manager_with_cache(writes, false, cache.clone()),
            write_buffer: (writes / 4).clamp(WRITE_BUFFER_MIN, WRITE_BUFFER_MAX),
            cache,
        }
    }

    /// Options of a store that drops values last touched before `expiry`.
    fn options(&self, expiry: &Arc<AtomicU64>) -> Options {
        let mut options = self.reading_options();
        options.create_if_missing(true);
        options.set_write_buffer_manager(&self.write_buffers);
        options.set_write_buffer_size(self.write_buffer);
        options.set_max_write_buffer_number(3);
        options.set_compression_type(DBCompressionType::Lz4);
        // The pool of threads is the process's: one flush and one compaction at a time beside the workers.
        options.set_max_background_jobs(2);
        options.set_bytes_per_sync(1 << 20);
        let expiry = Arc::clone(expiry);
        options.set_compaction_filter(c"expiry", move |_level, _key, value| {
            let before = expiry.load(Ordering::Relaxed);
            let expired = before > 0 && codec::touched(value).is_some_and(|touched| touched < before);
            if expired { Decision::Remove } else { Decision::Keep }
        });
        options
    }

    /// What reading needs, of one's own store or of a checkpoint.
    fn reading_options(&self) -> Options {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&self.cache);
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_cache_index_and_filter_blocks_with_high_priority(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        blocks.set_bloom_filter(10.0, false);
        blocks.set_block_size(8 << 10);
        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        options.set_max_open_files(OPEN_FILES);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options.set_skip_stats_update_on_db_open(true);
        // Into the program's log; RocksDB would otherwise write files of its own, also into checkpoints it only reads.
        options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Warn, log));
        options
    }

    fn open(&self, folder: &Path) -> Result<RocksStore, Error> {
        let expiry = Arc::new(AtomicU64::new(0));
        let options = self.options(&expiry);
        let family = ColumnFamilyDescriptor::new(FAMILY, options.clone());
        let db = DB::open_cf_descriptors(&options, folder, [family]).map_err(failed("open", folder))?;
        Ok(RocksStore { db, folder: folder.to_owned(), expiry, tables: Mutex::default() })
    }

    /// A checkpoint as a database that is only read.
    fn open_checkpoint(&self, checkpoint: &Path) -> Result<DB, Error> {
        DB::open_for_read_only(&self.reading_options(), checkpoint, false).map_err(failed("open", checkpoint))
    }
}

impl Stores for RocksStores {
    fn create(&self, folder: &Path) -> Result<Arc<dyn ByteStore>, Error> {
        empty_folder(folder)?;
        Ok(Arc::new(self.open(folder)?))
    }

    fn restore(&self, folder: &Path, checkpoints: &[PathBuf], groups: Range<u16>) -> Result<Arc<dyn ByteStore>, Error> {
        empty_folder(folder)?;
        let range = group_prefix(KeyGroup(groups.start))..group_prefix(KeyGroup(groups.end));
        if let [checkpoint] = checkpoints
            && lies_within(&self.open_checkpoint(checkpoint)?, checkpoint, &range)?
        {
            adopt(checkpoint, folder)?;
            return Ok(Arc::new(self.open(folder)?));
        }
        let store = self.open(folder)?;
        for checkpoint in checkpoints {
            store.copy(&self.open_checkpoint(checkpoint)?, checkpoint, &range)?;
        }
        Ok(Arc::new(store))
    }
}

/// Entries of one operator on one worker, on disk.
struct RocksStore {
    db: DB,
    folder: PathBuf,
    expiry: Arc<AtomicU64>,
    /// The table files that the last checkpoint held. A table never changes, and within the life of a store no name
    /// is used twice, so that it is read for one checkpoint only.
    tables: Mutex<Map<String, CheckpointFile>>,
}

impl ByteStore for RocksStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.db.get(key).map_err(failed("read", &self.folder))
    }

    fn get_sorted(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let values = self.db.batched_multi_get_cf(self.family()?, keys.iter().copied(), true);
        let owned = |value: Option<DBPinnableSlice<'_>>| value.map(|value| value.to_vec());
        values.into_iter().map(|value| value.map(owned).map_err(failed("read", &self.folder))).collect()
    }

    fn write(&self, writes: &Writes) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        for (key, value) in &writes.entries {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        self.apply(batch)
    }

    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        let mut reading = scanning();
        reading.set_iterate_range(PrefixRange(prefix));
        visit_all(&self.db, reading, &self.folder, visit)
    }

    fn cut(&self, folder: &Path) -> Result<(), Error> {
        Checkpoint::new(&self.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(folder))
            .map_err(failed("write a checkpoint of", &self.folder))?;
        self.refuse_background_errors()
    }

    fn settle(&self, folder: &Path) -> Result<Vec<CheckpointFile>, Error> {
        let mut known = std::mem::take(&mut *self.tables.lock().unwrap_or_else(PoisonError::into_inner));
        let mut tables = Map::default();
        let mut files = Vec::new();
        for name in file_names(folder)? {
            let path = folder.join(&name);
            let file = match known.remove(&name) {
                Some(known) => known,
                None => describe(&path, name)?,
            };
            if is_table(&path) {
                tables.insert(file.name.clone(), file.clone());
            }
            files.push(file);
        }
        *self.tables.lock().unwrap_or_else(PoisonError::into_inner) = tables;
        Ok(files)
    }

    fn expire_before(&self, stamp: Stamp) {
        self.expiry.fetch_max(stamp, Ordering::Relaxed);
    }
}

impl RocksStore {
    fn family(&self) -> Result<&ColumnFamily, Error> {
        self.db
            .cf_handle(FAMILY)
            .ok_or_else(|| Error::Fault(format!("{} was opened without its column family", self.folder.display())))
    }

    fn apply(&self, batch: WriteBatch) -> Result<(), Error> {
        let mut unlogged = WriteOptions::default();
        unlogged.disable_wal(true);
        self.db.write_opt(batch, &unlogged).map_err(failed("write to", &self.folder))
    }

    /// Takes over the entries of a checkpoint that lie in a range of keys.
    fn copy(&self, source: &DB, checkpoint: &Path, range: &Range<[u8; 2]>) -> Result<(), Error> {
        let mut reading = scanning();
        reading.set_iterate_range(range.clone());
        let mut batch = WriteBatch::default();
        visit_all(source, reading, checkpoint, &mut |key, value| {
            batch.put(key, value);
            if batch.size_in_bytes() >= COPY_BATCH { self.apply(std::mem::take(&mut batch)) } else { Ok(()) }
        })?;
        self.apply(batch)
    }

    /// A flush or compaction that failed in the background shows here, if no write has met it before.
    fn refuse_background_errors(&self) -> Result<(), Error> {
        let errors = self.db.property_int_value(BACKGROUND_ERRORS).map_err(failed("ask", &self.folder))?;
        match errors {
            None | Some(0) => Ok(()),
            Some(count) => Err(Error::Unavailable(format!(
                "the store in {} failed {count} times in the background (see the log); make room if the disk is full, \
                 then start again from the last snapshot",
                self.folder.display()
            ))),
        }
    }
}

fn scanning() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_readahead_size(READ_AHEAD);
    options
}

/// Visits all entries within the bounds of `reading`, in ascending order.
fn visit_all(db: &DB, reading: ReadOptions, folder: &Path, visit: &mut Visit<'_>) -> Result<(), Error> {
    let mut entries = db.raw_iterator_opt(reading);
    entries.seek_to_first();
    while let Some((key, value)) = entries.item() {
        visit(key, value)?;
        entries.next();
    }
    entries.status().map_err(failed("scan", folder))
}

/// Whether all entries of a checkpoint lie in a range of keys: whether the first and the last do.
fn lies_within(source: &DB, checkpoint: &Path, range: &Range<[u8; 2]>) -> Result<bool, Error> {
    for mode in [IteratorMode::Start, IteratorMode::End] {
        if let Some(entry) = source.iterator(mode).next() {
            let (key, _) = entry.map_err(failed("scan", checkpoint))?;
            if !(&range.start[..]..&range.end[..]).contains(&&key[..]) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Makes the files of a checkpoint those of a new store. Tables never change and are shared by hard links; the rest,
/// which a store writes to, is copied.
fn adopt(checkpoint: &Path, folder: &Path) -> Result<(), Error> {
    for name in file_names(checkpoint)? {
        let (from, to) = (checkpoint.join(&name), folder.join(&name));
        if !is_table(&from) || fs::hard_link(&from, &to).is_err() {
            // Links cannot cross file systems; copies can.
            fs::copy(&from, &to).map_err(Error::io("copy", &from))?;
        }
    }
    Ok(())
}

fn is_table(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("sst"))
}

/// The names in a folder, in ascending order.
fn file_names(folder: &Path) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let name = entry.map_err(Error::io("list", folder))?.file_name();
        names.push(name.into_string().map_err(|name| {
            Error::Corrupt(format!("{} holds a file that is not the store's: {name:?}; remove it", folder.display()))
        })?);
    }
    names.sort_unstable();
    Ok(names)
}

/// Reads a file for its size and checksum.
fn describe(path: &Path, name: String) -> Result<CheckpointFile, Error> {
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let mut buffer = vec![0; 1 << 16];
    let (mut size, mut crc32c) = (0, 0);
    loop {
        let length = file.read(&mut buffer).map_err(Error::io("read", path))?;
        if length == 0 {
            let lasting = is_table(path);
            return Ok(CheckpointFile { name, size, crc32c, lasting });
        }
        size += length as u64;
        crc32c = crc32c::crc32c_append(crc32c, &buffer[..length]);
    }
}

/// For `map_err` on RocksDB's calls: its error by remedy, with the folder.
fn failed(action: &'static str, folder: &Path) -> impl Fn(rocksdb::Error) -> Error {
    let folder = folder.display().to_string();
    move |why| match why.kind() {
        ErrorKind::Corruption => {
            Error::Corrupt(format!("cannot {action} the store in {folder}: {why}; restore another snapshot"))
        }
        _ => Error::Unavailable(format!(
            "cannot {action} the store in {folder}: {why}; check the disk, then start again from the last snapshot"
        )),
    }
}

fn log(level: LogLevel, text: &str) {
    match level {
        LogLevel::Error | LogLevel::Fatal => tracing::error!(target: "engine::state", "{text}"),
        LogLevel::Warn => tracing::warn!(target: "engine::state", "{text}"),
        _ => tracing::debug!(target: "engine::state", "{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::conformance::Sample;
    use std::os::unix::fs::MetadataExt;

    fn stores() -> RocksStores {
        RocksStores::new(8 << 20)
    }

    fn value(touched: Stamp) -> Vec<u8> {
        let mut bytes = Vec::new();
        codec::encode(&Sample(vec![7; 100]), touched, &mut bytes).unwrap();
        bytes
    }

    fn put(store: &RocksStore, keys: Range<u32>, touched: Stamp) {
        let key = |n: u32| [&[0, n as u8][..], &n.to_be_bytes()].concat();
        let entries = keys.map(|n| (key(n), Some(value(touched)))).collect();
        store.write(&Writes { entries }).unwrap();
    }

    fn count(store: &dyn ByteStore) -> usize {
        let mut count = 0;
        let mut visit = |_: &[u8], _: &[u8]| {
            count += 1;
            Ok(())
        };
        store.scan(&[], &mut visit).unwrap();
        count
    }

    #[test]
    fn a_compaction_drops_expired_values_and_nothing_else() {
        let scratch = tempfile::tempdir().unwrap();
        let store = stores().open(scratch.path()).unwrap();
        put(&store, 0..100, 9);
        put(&store, 100..150, 10);
        store.write(&Writes { entries: vec![(vec![0, 0, 1], Some(Vec::new()))] }).unwrap();
        store.db.compact_range(None::<&[u8]>, None::<&[u8]>);
        assert_eq!(count(&store), 151);
        store.expire_before(10);
        store.expire_before(3);
        put(&store, 0..1, 11);
        store.db.flush().unwrap();
        store.db.compact_range(None::<&[u8]>, None::<&[u8]>);
        assert_eq!(count(&store), 52);
    }

    #[test]
    fn tables_are_shared_by_links_and_read_once() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = |name: &str| scratch.path().join(name);
        let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
        let store = stores().open(&folder("store")).unwrap();
        put(&store, 0..100, 1);
        let one = store.checkpoint(&folder("one")).unwrap();
        let table = one.iter().find(|file| is_table(Path::new(&file.name))).unwrap().clone();
        assert_eq!(store.tables.lock().unwrap()[&table.name], table);

        // A lie in the cache comes back, so the file is not read again.
        store.tables.lock().unwrap().get_mut(&table.name).unwrap().crc32c ^= 1;
        put(&store, 100..200, 2);
        let two = store.checkpoint(&folder("two")).unwrap();
        assert_eq!(two.iter().find(|file| file.name == table.name).unwrap().crc32c, table.crc32c ^ 1);

        stores().restore(&folder("restored"), &[folder("two")], 0..256).unwrap();
        for other in ["one", "two", "restored"] {
            assert_eq!(inode(folder("store").join(&table.name)), inode(folder(other).join(&table.name)));
        }
    }

    #[test]
    fn a_damaged_table_is_corrupt_and_names_the_folder() {
        let scratch = tempfile::tempdir().unwrap();
        let (live, copy) = (scratch.path().join("live"), scratch.path().join("copy"));
        let store = stores().open(&live).unwrap();
        put(&store, 0..100, 1);
        let files = store.checkpoint(&copy).unwrap();
        drop(store);
        let table = copy.join(&files.iter().find(|file| is_table(Path::new(&file.name))).unwrap().name);
        let mut bytes = fs::read(&table).unwrap();
        bytes[20] ^= 0xff;
        fs::remove_file(&table).unwrap();
        fs::write(&table, bytes).unwrap();
        // Opening may find the damage in the copy already; otherwise reading finds it in the restored store.
        let restored = scratch.path().join("restored");
        let error = match stores().restore(&restored, std::slice::from_ref(&copy), 0..256) {
            Err(error) => error,
            Ok(store) => store.scan(&[], &mut |_, _| Ok(())).unwrap_err(),
        };
        let folder = scratch.path().display().to_string();
        assert!(matches!(&error, Error::Corrupt(text) if text.contains(&folder)), "{error}");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_unavailable() {
        let scratch = tempfile::tempdir().unwrap();
        let store = stores().open(&scratch.path().join("store")).unwrap();
        put(&store, 0..10, 1);
        fs::remove_dir_all(scratch.path().join("store")).unwrap();
        let error = store.checkpoint(&scratch.path().join("copy")).unwrap_err();
        assert!(matches!(&error, Error::Unavailable(text) if text.contains("store")), "{error}");
    }
}
