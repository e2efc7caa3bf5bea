//! Tests of `frozen`: a table against a plain map, with checkpoints begun at random points over a store whose other
//! thread goes on only when it is told to.

use super::*;
use crate::fault::Faults;
use crate::key::{self, KeyGroup};
use crate::state::memory::MemoryStores;
use crate::state::rocks::RocksStores;
use crate::state::store::{Stores, Visit};
use crate::state::table::Work;
use crate::state::{RowKey, codec};
use crate::time::{Micros, Span, Stamp};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, mpsc};
use std::thread::{self, ThreadId};
use tempfile::TempDir;

const TTL: Span = Span::from_secs(20);
const BUDGET: usize = 2_500;

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Blob(Vec<u8>);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {:?}", self.0.len(), self.0.first())
    }
}

impl Row for Blob {
    const TYPE: u16 = 1;
    const VERSION: u16 = 1;
    const TTL: Option<Span> = Some(TTL);

    fn weight(&self) -> usize {
        size_of::<Self>() + self.0.capacity()
    }
}

/// Lets the other thread take so many steps.
#[derive(Default)]
struct Gate {
    permits: Mutex<usize>,
    granted: Condvar,
}

impl Gate {
    fn grant(&self, steps: usize) {
        let mut permits = self.permits.lock().unwrap();
        *permits = permits.saturating_add(steps);
        self.granted.notify_all();
    }

    fn close(&self) {
        *self.permits.lock().unwrap() = 0;
    }

    fn pass(&self) {
        let mut permits = self.granted.wait_while(self.permits.lock().unwrap(), |permits| *permits == 0).unwrap();
        *permits -= 1;
    }
}

thread_local! {
    static GATE: RefCell<Option<Arc<Gate>>> = const { RefCell::new(None) };
}

/// When the table waits, its thread goes on until it tells something, which takes two steps at most: it would wait for
/// ever otherwise.
pub(super) fn about_to_wait() {
    GATE.with_borrow(|gate| gate.iter().for_each(|gate| gate.grant(2)));
}

/// A store that other threads than the one that made it use one step at a time.
struct Gated {
    store: Arc<dyn ByteStore>,
    gate: Arc<Gate>,
    here: ThreadId,
}

impl Gated {
    fn pass(&self) {
        if thread::current().id() != self.here {
            self.gate.pass();
        }
    }
}

impl ByteStore for Gated {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.store.get(key)
    }
    fn get_sorted(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.store.get_sorted(keys)
    }
    fn write(&self, writes: &Writes) -> Result<(), Error> {
        self.pass();
        self.store.write(writes)
    }
    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        self.store.scan(prefix, visit)
    }
    fn cut(&self, folder: &Path) -> Result<(), Error> {
        self.pass();
        self.store.cut(folder)
    }
    fn settle(&self, folder: &Path) -> Result<Vec<CheckpointFile>, Error> {
        self.pass();
        self.store.settle(folder)
    }
    fn expire_before(&self, stamp: Stamp) {
        self.store.expire_before(stamp);
    }
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

/// What a table holds, by the slowest obvious way.
#[derive(Clone, Default)]
struct Model {
    now: Micros,
    rows: BTreeMap<Vec<u8>, (Blob, Micros)>,
    timers: BTreeSet<Timer>,
}

impl Model {
    fn row(&self, name: &[u8]) -> Option<&Blob> {
        let (blob, written) = self.rows.get(name)?;
        // Expiry is counted from the millisecond of the last write.
        (Micros::from_stamp(written.stamp()).plus(TTL) >= self.now).then_some(blob)
    }

    fn assert_holds(&self, table: &mut Table<Blob>, what: &str) {
        let mut found = BTreeMap::new();
        let scan = table.scan(|key, blob| {
            found.insert(key.bytes.to_vec(), blob.clone());
            Ok(())
        });
        scan.unwrap();
        let alive = self.rows.keys().filter_map(|name| Some((name.clone(), self.row(name)?.clone())));
        assert_eq!(found, alive.collect(), "{what}: rows");
        assert_eq!(table.timers().unwrap(), self.timers.iter().cloned().collect::<Vec<_>>(), "{what}: timers");
    }
}

/// One run of random operations on a table and its model.
struct Trial<'a> {
    stores: &'a dyn Stores,
    scratch: TempDir,
    gate: Arc<Gate>,
    random: Random,
    table: Table<Blob>,
    model: Model,
    /// The checkpoint under way: its folder, the model at its cut, and whether its work was done.
    begun: Option<(PathBuf, Model, Arc<AtomicBool>)>,
    folders: usize,
    /// Checkpoints that were through.
    through: usize,
    /// Reads and writes while one was under way, and how often something was parked or flying then.
    meanwhile: [usize; 3],
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.gate.grant(usize::MAX); // the table's thread is joined next
    }
}

impl<'a> Trial<'a> {
    fn new(stores: &'a dyn Stores, seed: u64, faults: Faults) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let gate = Arc::new(Gate::default());
        GATE.set(Some(Arc::clone(&gate)));
        let store = stores.create(&scratch.path().join("store")).unwrap();
        let store = Gated { store, gate: Arc::clone(&gate), here: thread::current().id() };
        let mut table = Table::new(Arc::new(store), BUDGET);
        table.faults = faults;
        let random = Random(seed);
        let (model, begun) = (Model::default(), None);
        Trial { stores, scratch, gate, random, table, model, begun, folders: 0, through: 0, meanwhile: [0; 3] }
    }

    fn run(mut self, operations: usize) -> (usize, [usize; 3]) {
        for _ in 0..operations {
            self.note();
            match self.random.below(1_000) {
                0..350 => self.write(),
                350..550 => self.read(),
                550..580 => self.prefetch(),
                580..680 => self.end_step(),
                680..760 => self.move_on(),
                760..840 => self.change_timer(),
                840..910 => self.advance(),
                910..960 => self.gate.grant(1),
                960..990 => self.freeze(),
                990..994 => self.finish(),
                994..996 => self.table.flush().unwrap(),
                _ => self.model.assert_holds(&mut self.table, "the table"),
            }
        }
        self.finish();
        self.model.assert_holds(&mut self.table, "the table at the end");
        (self.through, self.meanwhile)
    }

    fn note(&mut self) {
        if let Some(under_way) = &self.table.under_way {
            self.meanwhile[0] += 1;
            self.meanwhile[1] += usize::from(!under_way.parked.is_empty());
            self.meanwhile[2] += usize::from(!under_way.flying.is_empty() || !under_way.open.is_empty());
        }
    }

    fn name(&mut self) -> Vec<u8> {
        vec![self.random.below(40) as u8]
    }

    fn write(&mut self) {
        let name = self.name();
        let mut row = self.model.row(&name).cloned();
        let found = self.table.write(row_key(&name)).unwrap();
        assert_eq!(*found, row, "{name:?} before a write");
        match self.random.below(5) {
            0 => row = None,
            1 => {} // touched only
            2 => row.get_or_insert(Blob(Vec::new())).0.push(1),
            _ => row = Some(Blob(vec![self.random.below(256) as u8; self.random.below(300) as usize])),
        }
        found.clone_from(&row);
        match row {
            Some(row) => self.model.rows.insert(name, (row, self.model.now)),
            None => self.model.rows.remove(&name),
        };
    }

    fn read(&mut self) {
        let name = self.name();
        let before = self.table.counters();
        let seen = self.table.peek(row_key(&name), self.model.now).unwrap();
        let seen: Option<Blob> = seen.map(|value| codec::decode(&value).unwrap().0);
        assert_eq!(seen.as_ref(), self.model.row(&name), "{name:?} looked at");
        assert_eq!(self.table.counters(), before, "looking changes nothing");
        assert_eq!(self.table.read(row_key(&name)).unwrap(), self.model.row(&name), "{name:?}");
    }

    fn prefetch(&mut self) {
        let names: Vec<_> = (0..self.random.below(20)).map(|_| self.name()).collect();
        let keys: Vec<_> = names.iter().map(|name| row_key(name)).collect();
        self.table.prefetch(&keys).unwrap();
        for name in &names {
            assert_eq!(self.table.read(row_key(name)).unwrap(), self.model.row(name), "{name:?} read ahead");
        }
    }

    fn end_step(&mut self) {
        self.table.end_step().unwrap();
        assert!(self.table.counters().held <= BUDGET as u64, "{:?}", self.table.counters());
        if let Some(under_way) = &self.table.under_way {
            let most = self.table.beside_max;
            assert!(under_way.parked.bytes <= most && under_way.flying_bytes <= most);
        }
    }

    fn move_on(&mut self) {
        let span = if self.random.below(10) == 0 { 15_000_000 } else { 200_000 };
        self.model.now = self.model.now.plus(Span(self.random.below(span)));
        self.table.set_now(self.model.now);
    }

    fn change_timer(&mut self) {
        let name = self.name();
        let timer = Timer { at: Micros(self.random.below(9)), group: row_key(&name).group, key: name, tag: 0 };
        let set = self.random.below(2) == 0;
        match self.random.below(3) {
            0 => self.table.change_timers(BTreeMap::from([(timer.clone(), set)])),
            _ if set => self.table.put_timer(&timer),
            _ => self.table.delete_timer(&timer),
        }
        match set {
            true => self.model.timers.insert(timer),
            false => self.model.timers.remove(&timer),
        };
        assert_eq!(self.table.timers().unwrap(), self.model.timers.iter().cloned().collect::<Vec<_>>());
    }

    fn freeze(&mut self) {
        if self.begun.is_some() {
            return;
        }
        self.gate.close();
        self.table.beside_max = [300, 3_000, 1 << 20][self.random.below(3) as usize];
        self.folders += 1;
        let folder = self.scratch.path().join(self.folders.to_string());
        let done = Arc::new(AtomicBool::new(false));
        let (gate, flag) = (Arc::clone(&self.gate), Arc::clone(&done));
        let work: Work = Box::new(move || {
            gate.pass();
            flag.store(true, Ordering::SeqCst);
            Ok(())
        });
        self.table.freeze(&folder, Beside { work: vec![work], ..Beside::default() }).unwrap();
        self.begun = Some((folder, self.model.clone(), done));
    }

    fn advance(&mut self) {
        match self.table.advance().unwrap() {
            Advance::Through(taken) => self.check(&taken),
            Advance::Idle => assert!(self.begun.is_none()),
            Advance::More | Advance::Waiting => assert!(self.begun.is_some()),
        }
    }

    fn finish(&mut self) {
        if let Some(taken) = self.table.finish().unwrap() {
            self.check(&taken);
        }
        assert!(self.begun.is_none());
    }

    /// The checkpoint is exactly the state at its cut, also as time goes on from there.
    fn check(&mut self, taken: &Taken) {
        let (folder, mut model, done) = self.begun.take().unwrap();
        assert!(!taken.files.is_empty() && done.load(Ordering::SeqCst));
        self.folders += 1;
        let restored = self.scratch.path().join(self.folders.to_string());
        let store = self.stores.restore(&restored, &[folder], 0..key::GROUPS).unwrap();
        let mut table = Table::new(store, BUDGET);
        table.set_now(model.now);
        model.assert_holds(&mut table, "a checkpoint");
        model.now = model.now.plus(Span(self.random.below(TTL.0)));
        table.set_now(model.now);
        model.assert_holds(&mut table, "a checkpoint, later");
        self.through += 1;
    }
}

/// Few hashes, so that most of them collide.
fn row_key(name: &[u8]) -> RowKey<'_> {
    RowKey { group: KeyGroup::of(key::hash(name)), hash: key::hash(name) % 9, bytes: name }
}

fn table(budget: usize) -> (Table<Blob>, TempDir) {
    let scratch = tempfile::tempdir().unwrap();
    GATE.set(None);
    (Table::new(MemoryStores.create(&scratch.path().join("store")).unwrap(), budget), scratch)
}

fn fill(table: &mut Table<Blob>, rows: u32) {
    for n in 0..rows {
        *table.write(RowKey::of(&n.to_be_bytes())).unwrap() = Some(Blob(vec![n as u8; 100]));
        if n % 1_000 == 999 {
            table.end_step().unwrap();
        }
    }
}

#[test]
fn each_checkpoint_over_memory_is_the_state_at_its_cut() {
    let mut sums = (0, [0; 3]);
    for seed in 0..60 {
        println!("seed {seed}");
        let (through, meanwhile) = Trial::new(&MemoryStores, seed, Faults::default()).run(1_500);
        sums.0 += through;
        sums.1.iter_mut().zip(meanwhile).for_each(|(sum, more)| *sum += more);
    }
    let (through, [meanwhile, parked, flying]) = sums;
    assert!(through > 200 && meanwhile > 20_000 && parked > 2_000 && flying > 5_000, "{sums:?}");
}

#[test]
fn each_checkpoint_over_disk_is_the_state_at_its_cut() {
    let stores = RocksStores::new(4 << 20);
    for seed in 1_000..1_004 {
        println!("seed {seed}");
        assert!(Trial::new(&stores, seed, Faults::default()).run(1_000).0 > 0);
    }
}

#[test]
fn every_mistake_is_noticed() {
    for fault in [Planted::WritesEarly, Planted::CopiesNothing, Planted::ExpiresEarly, Planted::ForgetsFlying] {
        let mut seeds = 0..60;
        let run = |seed| Trial::new(&MemoryStores, seed, Faults::plant(fault)).run(1_500);
        let found = seeds.find(|seed| catch_unwind(AssertUnwindSafe(|| run(*seed))).is_err());
        assert!(found.is_some(), "{fault:?} is not noticed");
    }
}

#[test]
fn whoever_waits_to_be_woken_comes_to_the_end() {
    let (mut table, scratch) = table(64 << 20);
    table.beside_max = 1; // each batch waits for the one before
    fill(&mut table, 20_000);
    let (wake, woken) = mpsc::channel();
    let wake = Box::new(move || wake.send(()).unwrap());
    table.freeze(&scratch.path().join("copy"), Beside { wake, ..Beside::default() }).unwrap();
    let mut waits = 0;
    let taken = loop {
        match table.advance().unwrap() {
            Advance::More => {}
            Advance::Waiting => {
                woken.recv().unwrap();
                waits += 1;
            }
            Advance::Through(taken) => break taken,
            Advance::Idle => panic!("the checkpoint is gone"),
        }
    };
    assert!(waits > 3, "{waits}");
    assert_eq!(table.advance().unwrap(), Advance::Idle);
    for phase in Phase::ALL {
        assert!(taken.phases.of(phase).stretches > 0, "{phase:?}: {:?}", taken.phases);
    }
}

#[test]
fn freezing_encodes_nothing_and_a_slice_is_bounded() {
    let (mut table, scratch) = table(64 << 20);
    fill(&mut table, 10_000);
    table.freeze(&scratch.path().join("copy"), Beside::default()).unwrap();
    assert_eq!((table.slots.frozen().len(), table.slots.dirty().len()), (10_000, 0));
    assert_eq!(table.advance().unwrap(), Advance::More);
    assert_eq!(table.slots.frozen().len(), 10_000 - SLICE_ROWS);
    assert!(table.freeze(&scratch.path().join("other"), Beside::default()).is_err());
    assert_eq!(table.finish().unwrap().unwrap().files.len(), 1);
    assert_eq!(table.finish().unwrap(), None);
}

/// Fails, or panics, where it is told to.
struct Failing(Arc<dyn ByteStore>, &'static str);

impl Failing {
    fn at(&self, place: &str) -> Result<(), Error> {
        assert!(self.1 != format!("panic in {place}"), "on demand");
        if self.1 == place { Err(Error::Unavailable(format!("no {place}"))) } else { Ok(()) }
    }
}

impl ByteStore for Failing {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.0.get(key)
    }
    fn get_sorted(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.0.get_sorted(keys)
    }
    fn write(&self, writes: &Writes) -> Result<(), Error> {
        self.at("write")?;
        self.0.write(writes)
    }
    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        self.0.scan(prefix, visit)
    }
    fn cut(&self, folder: &Path) -> Result<(), Error> {
        self.at("cut")?;
        self.0.cut(folder)
    }
    fn settle(&self, folder: &Path) -> Result<Vec<CheckpointFile>, Error> {
        self.at("settle")?;
        self.0.settle(folder)
    }
    fn expire_before(&self, stamp: Stamp) {
        self.0.expire_before(stamp);
    }
}

#[test]
fn what_fails_beside_the_flow_comes_back() {
    for place in ["write", "cut", "settle", "work", "panic in cut"] {
        let (Table { store, .. }, scratch) = table(0);
        let mut table = Table::<Blob>::new(Arc::new(Failing(store, place)), 64 << 20);
        fill(&mut table, 10);
        let work: Work = Box::new(move || match place {
            "work" => Err(Error::Unavailable("no work".to_owned())),
            _ => Ok(()),
        });
        table.freeze(&scratch.path().join("copy"), Beside { work: vec![work], ..Beside::default() }).unwrap();
        match table.finish() {
            Err(Error::Unavailable(text)) => assert_eq!(text, format!("no {place}")),
            Err(Error::Fault(text)) => assert!(place.starts_with("panic") && text.contains("without a word"), "{text}"),
            other => panic!("{place}: {other:?}"),
        }
    }
}

#[test]
fn a_dropped_table_leaves_no_thread_behind() {
    for slices in 0..4 {
        let (mut table, scratch) = table(64 << 20);
        fill(&mut table, 3_000);
        let store = Arc::downgrade(&table.store);
        let (at_work, ended) = (Arc::new(()), Box::new(|| Ok(())) as Work);
        let held = Arc::clone(&at_work);
        let wake = Box::new(move || assert!(Arc::strong_count(&held) > 0));
        table.freeze(&scratch.path().join("copy"), Beside { work: vec![ended], wake, ..Beside::default() }).unwrap();
        (0..slices).for_each(|_| drop(table.advance().unwrap()));
        drop(table);
        assert_eq!((store.strong_count(), Arc::strong_count(&at_work)), (0, 1), "after {slices} slices");
    }
}
