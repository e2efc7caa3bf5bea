//! Keyed state through its public interface: both stores keep the contract, and a table behaves like a plain map.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use engine::clock::Stopwatch;
use engine::error::Error;
use engine::key::{self, KeyGroup};
use engine::metrics::Phase;
use engine::state::conformance;
use engine::state::memory::MemoryStores;
use engine::state::rocks::RocksStores;
use engine::state::store::{ByteStore, CheckpointFile, Stores, Visit, Writes};
use engine::state::table::frozen::Advance;
use engine::state::table::{Beside, Table};
use engine::state::{Row, RowKey, Timer};
use engine::time::{Micros, Span, Stamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn the_store_in_memory_keeps_the_contract() {
    let scratch = tempfile::tempdir().unwrap();
    conformance::check(&MemoryStores, scratch.path()).unwrap();
}

#[test]
fn the_store_on_disk_keeps_the_contract() {
    let scratch = tempfile::tempdir().unwrap();
    conformance::check(&RocksStores::new(16 << 20), scratch.path()).unwrap();
}

#[test]
fn the_contract_is_noticed_to_be_broken() {
    for (fault, promise) in [
        (Fault::ScansRunOn, "scans_are_ordered_and_end_at_the_prefix"),
        (Fault::FirstWriteWins, "later_writes_win_within_a_batch"),
        (Fault::AnswersMoveUp, "sorted_reads_answer_each_key"),
        (Fault::FilesUnlisted, "the files of a checkpoint, in its list and in its folder"),
        (Fault::ForeignGroups, "shards_split_and_merge"),
        (Fault::OneShardOnly, "shards_split_and_merge"),
        (Fault::CutsLate, "what_follows_a_cut_is_not_in_it"),
        (Fault::ExpiresEarly, "expiry_drops_nothing_younger"),
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let broken = conformance::check(&BrokenStores(fault), scratch.path()).unwrap_err();
        assert!(broken.contains(promise), "{fault:?}: {broken}");
    }
}

#[test]
fn a_table_over_memory_behaves_like_a_map() {
    for seed in 0..20 {
        println!("seed {seed}");
        Trial::new(&MemoryStores, seed).run(1_200);
    }
}

#[test]
fn a_table_over_disk_behaves_like_a_map() {
    let stores = RocksStores::new(4 << 20);
    for seed in 1_000..1_003 {
        println!("seed {seed}");
        Trial::new(&stores, seed).run(1_000);
    }
}

/// A promise that a store does not keep.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    ScansRunOn,
    FirstWriteWins,
    AnswersMoveUp,
    FilesUnlisted,
    ForeignGroups,
    OneShardOnly,
    ExpiresEarly,
    CutsLate,
}

struct BrokenStores(Fault);

struct BrokenStore(Fault, Arc<dyn ByteStore>);

impl Stores for BrokenStores {
    fn create(&self, folder: &Path) -> Result<Arc<dyn ByteStore>, Error> {
        Ok(Arc::new(BrokenStore(self.0, MemoryStores.create(folder)?)))
    }

    fn restore(&self, folder: &Path, from: &[PathBuf], groups: Range<u16>) -> Result<Arc<dyn ByteStore>, Error> {
        let groups = if self.0 == Fault::ForeignGroups { 0..key::GROUPS } else { groups };
        let from = if self.0 == Fault::OneShardOnly { &from[..from.len().min(1)] } else { from };
        Ok(Arc::new(BrokenStore(self.0, MemoryStores.restore(folder, from, groups)?)))
    }
}

impl ByteStore for BrokenStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.1.get(key)
    }

    fn get_sorted(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let mut answers = self.1.get_sorted(keys)?;
        if self.0 == Fault::AnswersMoveUp {
            answers.sort_by_key(Option::is_none);
        }
        Ok(answers)
    }

    fn write(&self, writes: &Writes) -> Result<(), Error> {
        let mut writes = writes.clone();
        if self.0 == Fault::FirstWriteWins {
            writes.entries.reverse();
        }
        self.1.write(&writes)
    }

    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        let kept = if self.0 == Fault::ScansRunOn { prefix.len().saturating_sub(1) } else { prefix.len() };
        self.1.scan(&prefix[..kept], visit)
    }

    fn cut(&self, folder: &Path) -> Result<(), Error> {
        self.1.cut(folder)
    }

    fn settle(&self, folder: &Path) -> Result<Vec<CheckpointFile>, Error> {
        if self.0 == Fault::CutsLate {
            std::fs::remove_dir_all(folder).unwrap();
            self.1.cut(folder)?;
        }
        let files = self.1.settle(folder)?;
        Ok(if self.0 == Fault::FilesUnlisted { Vec::new() } else { files })
    }

    fn expire_before(&self, stamp: Stamp) {
        self.1.expire_before(if self.0 == Fault::ExpiresEarly { stamp + 1 } else { stamp });
    }
}

const TTL: Span = Span::from_secs(20);
const BUDGET: usize = 2_500;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Blob(Vec<u8>);

impl Row for Blob {
    const TYPE: u16 = 1;
    const VERSION: u16 = 1;
    const TTL: Option<Span> = Some(TTL);

    fn weight(&self) -> usize {
        size_of::<Self>() + self.0.capacity()
    }
}

type Address = (KeyGroup, Vec<u8>);

/// The table's key of an address. Few hashes, so that most of them collide.
fn row_key((group, name): &Address) -> RowKey<'_> {
    RowKey { group: *group, hash: key::hash(name) % 9, bytes: name }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// One run of random operations on a table and on the map that it must equal.
struct Trial<'a> {
    stores: &'a dyn Stores,
    scratch: tempfile::TempDir,
    random: Random,
    table: Table<Blob>,
    now: Micros,
    rows: BTreeMap<Address, (Blob, Micros)>,
    timers: BTreeSet<Timer>,
    folders: usize,
}

impl<'a> Trial<'a> {
    fn new(stores: &'a dyn Stores, seed: u64) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let store = stores.create(&scratch.path().join("store")).unwrap();
        Trial {
            stores,
            table: Table::new(store, BUDGET),
            scratch,
            random: Random(seed),
            now: Micros::ZERO,
            rows: BTreeMap::new(),
            timers: BTreeSet::new(),
            folders: 0,
        }
    }

    fn run(mut self, operations: usize) {
        for _ in 0..operations {
            match self.random.below(1_000) {
                0..400 => self.write(),
                400..600 => self.read(),
                600..640 => self.prefetch(),
                640..740 => self.end_step(),
                740..860 => self.move_on(),
                860..980 => self.change_timer(),
                980..985 => self.table.flush().unwrap(),
                985..992 => self.compare(),
                992..997 => self.restart(),
                _ => self.rescale(),
            }
        }
        self.compare();
    }

    /// Names of differing lengths, some a prefix of others, under their own group or another's.
    fn address(&mut self) -> Address {
        let n = self.random.below(40) as u8;
        let name = vec![n % 8; n as usize / 8];
        let own = KeyGroup::of(key::hash(&name));
        (if self.random.below(4) == 0 { KeyGroup(u16::from(n % 2) * 255) } else { own }, name)
    }

    fn expected(&self, address: &Address) -> Option<&Blob> {
        let (blob, written) = self.rows.get(address)?;
        // Expiry is counted from the millisecond of the last write.
        (Micros::from_stamp(written.stamp()).plus(TTL) >= self.now).then_some(blob)
    }

    fn write(&mut self) {
        let address = self.address();
        let mut row = self.expected(&address).cloned();
        let found = self.table.write(row_key(&address)).unwrap();
        assert_eq!(*found, row, "{address:?} before a write");
        match self.random.below(5) {
            0 => row = None,
            1 => {} // touched only
            2 => row.get_or_insert(Blob(Vec::new())).0.push(1),
            _ => row = Some(Blob(vec![self.random.below(256) as u8; self.random.below(300) as usize])),
        }
        found.clone_from(&row);
        match row {
            Some(row) => self.rows.insert(address, (row, self.now)),
            None => self.rows.remove(&address),
        };
    }

    fn read(&mut self) {
        let address = self.address();
        let found = self.table.read(row_key(&address)).unwrap().cloned();
        assert_eq!(found.as_ref(), self.expected(&address), "{address:?}");
    }

    fn prefetch(&mut self) {
        let addresses: Vec<_> = (0..self.random.below(20)).map(|_| self.address()).collect();
        let keys: Vec<_> = addresses.iter().map(row_key).collect();
        self.table.prefetch(&keys).unwrap();
        let before = self.table.counters().misses;
        for address in &addresses {
            let found = self.table.read(row_key(address)).unwrap().cloned();
            assert_eq!(found.as_ref(), self.expected(address), "{address:?} read ahead");
        }
        assert_eq!(self.table.counters().misses, before);
    }

    fn end_step(&mut self) {
        self.table.end_step().unwrap();
        assert!(self.table.counters().held <= BUDGET as u64, "{:?}", self.table.counters());
    }

    fn move_on(&mut self) {
        let span = if self.random.below(10) == 0 { 15_000_000 } else { 200_000 };
        self.now = self.now.plus(Span(self.random.below(span)));
        self.table.set_now(self.now);
    }

    fn change_timer(&mut self) {
        let (group, key) = self.address();
        let timer = Timer { at: Micros(self.random.below(9)), group, key, tag: self.random.below(2) as u8 };
        if self.random.below(2) == 0 {
            self.table.put_timer(&timer);
            self.timers.insert(timer);
        } else {
            self.table.delete_timer(&timer);
            self.timers.remove(&timer);
        }
    }

    fn compare(&mut self) {
        let mut found = Vec::new();
        let scan = self.table.scan(|key, blob: &Blob| {
            found.push(((key.group, key.bytes.to_vec()), blob.clone()));
            Ok(())
        });
        scan.unwrap();
        let alive = self.rows.keys().filter_map(|address| Some((address.clone(), self.expected(address)?.clone())));
        assert_eq!(found, alive.collect::<Vec<_>>());
        assert_eq!(self.table.timers().unwrap(), self.timers.iter().cloned().collect::<Vec<_>>());
    }

    /// A checkpoint, changes that are lost, and a restore.
    fn restart(&mut self) {
        let copy = self.checkpoint();
        let kept = (self.now, self.rows.clone(), self.timers.clone());
        for _ in 0..self.random.below(40) {
            match self.random.below(4) {
                0 => self.end_step(),
                1 => self.move_on(),
                _ => self.write(),
            }
        }
        (self.now, self.rows, self.timers) = kept;
        self.restore(&[copy]);
    }

    /// A checkpoint, its groups spread over several stores, and these brought together again.
    fn rescale(&mut self) {
        let whole = self.checkpoint();
        let workers = 2 + self.random.below(3) as usize;
        let shards: Vec<_> = (0..workers)
            .map(|worker| {
                let folder = self.folder();
                let groups = KeyGroup::owned_by(worker, workers);
                let store = self.stores.restore(&folder, std::slice::from_ref(&whole), groups).unwrap();
                let copy = self.folder();
                Table::<Blob>::new(store, BUDGET).checkpoint(&copy).unwrap();
                copy
            })
            .collect();
        self.restore(&shards);
    }

    fn checkpoint(&mut self) -> PathBuf {
        let folder = self.folder();
        assert!(!self.table.checkpoint(&folder).unwrap().is_empty());
        folder
    }

    fn restore(&mut self, checkpoints: &[PathBuf]) {
        let store = self.stores.restore(&self.folder(), checkpoints, 0..key::GROUPS).unwrap();
        self.table = Table::new(store, BUDGET);
        self.table.set_now(self.now);
        self.compare();
    }

    fn folder(&mut self) -> PathBuf {
        self.folders += 1;
        self.scratch.path().join(self.folders.to_string())
    }
}

/// How long a worker is held by a checkpoint of a million dirty rows on disk, beside the flow and as one piece. Prints
/// what it measures: `cargo test -p engine --test state -- --ignored --nocapture held`.
#[test]
#[ignore = "takes a minute and measures; run it by name"]
fn how_long_a_worker_is_held_by_a_million_dirty_rows() {
    const ROWS: u32 = 1_000_000;
    let scratch = tempfile::tempdir().unwrap();
    let store = RocksStores::new(256 << 20).create(&scratch.path().join("store")).unwrap();
    let mut table: Table<Blob> = Table::new(store, 2 << 30);
    let mut random = Random(7);
    let mut step = |table: &mut Table<Blob>, numbers: &mut dyn Iterator<Item = u32>| {
        let clock = Stopwatch::start();
        for n in numbers {
            *table.write(RowKey::of(&n.to_be_bytes())).unwrap() = Some(Blob(vec![n as u8; 200]));
        }
        table.end_step().unwrap();
        clock.elapsed()
    };
    let fill = |table: &mut Table<Blob>, step: &mut dyn FnMut(&mut Table<Blob>, &mut dyn Iterator<Item = u32>) -> _| {
        (0..ROWS).step_by(4_000).map(|from| step(table, &mut (from..from + 4_000))).max().unwrap()
    };
    println!("longest step of 4,000 writes without a checkpoint: {:?}", fill(&mut table, &mut step));

    let clock = Stopwatch::start();
    table.flush().unwrap();
    table.checkpoint(&scratch.path().join("one")).unwrap();
    println!("as one piece: held {:?}", clock.elapsed());

    fill(&mut table, &mut step);
    let whole = Stopwatch::start();
    let (mut frozen, mut slice, mut between, mut steps) = (Duration::ZERO, Duration::ZERO, Duration::ZERO, 0);
    let clock = Stopwatch::start();
    table.freeze(&scratch.path().join("two"), Beside::default()).unwrap();
    frozen = frozen.max(clock.elapsed());
    let taken = loop {
        let clock = Stopwatch::start();
        let advance = table.advance().unwrap();
        slice = slice.max(clock.elapsed());
        if let Advance::Through(taken) = advance {
            break taken;
        }
        let numbers: Vec<_> = (0..400).map(|_| random.below(u64::from(ROWS)) as u32).collect();
        between = between.max(step(&mut table, &mut numbers.into_iter()));
        steps += 1;
    };
    println!("beside the flow: freeze {frozen:?}, longest slice {slice:?}, through after {:?}", whole.elapsed());
    println!("meanwhile {steps} steps of 400 writes, the longest {between:?}");
    for phase in Phase::ALL {
        println!("{}: {:?}", phase.name(), taken.phases.of(phase));
    }
}
