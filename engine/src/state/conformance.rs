//! What every byte store must do, as a test that any implementation can be put through. A new store is done when
//! [`check`] passes. It uses only the contract, and says which promise was broken instead of panicking.

use super::Row;
use super::codec;
use super::store::{ByteStore, CheckpointFile, Stores, Writes};
use crate::error::Error;
use crate::key::KeyGroup;
use crate::time::{Span, Stamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// A row of bytes, for tests of stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample(pub Vec<u8>);

impl Row for Sample {
    const TYPE: u16 = u16::MAX;
    const VERSION: u16 = 1;
    const TTL: Option<Span> = None;

    fn weight(&self) -> usize {
        size_of::<Self>() + self.0.len()
    }
}

/// A broken promise, or an error where there must be none.
type Check = Result<(), String>;
type Promise = fn(&Bench<'_>) -> Check;
type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// Puts the stores through the whole contract in folders below `scratch`, which must exist and be empty. Returns the
/// first broken promise.
pub fn check(stores: &dyn Stores, scratch: &Path) -> Check {
    let checks: [(&str, Promise); 13] = [
        ("puts_and_deletes", puts_and_deletes),
        ("later_writes_win_within_a_batch", later_writes_win_within_a_batch),
        ("scans_are_ordered_and_end_at_the_prefix", scans_are_ordered_and_end_at_the_prefix),
        ("a_visitor_can_end_a_scan", a_visitor_can_end_a_scan),
        ("sorted_reads_answer_each_key", sorted_reads_answer_each_key),
        ("empty_and_large_values", empty_and_large_values),
        ("checkpoints_stand_still", checkpoints_stand_still),
        ("lasting_names_keep_their_content", lasting_names_keep_their_content),
        ("what_follows_a_cut_is_not_in_it", what_follows_a_cut_is_not_in_it),
        ("the_flow_goes_on_beside_checkpoints", the_flow_goes_on_beside_checkpoints),
        ("opening_replaces_what_was_there", opening_replaces_what_was_there),
        ("shards_split_and_merge", shards_split_and_merge),
        ("expiry_drops_nothing_younger", expiry_drops_nothing_younger),
    ];
    for (name, check) in checks {
        let scratch = scratch.join(name);
        fs::create_dir(&scratch).map_err(|why| format!("{}: {why}", scratch.display()))?;
        check(&Bench { stores, scratch }).map_err(|broken| format!("{name}: {broken}"))?;
    }
    Ok(())
}

/// What a check works with.
struct Bench<'a> {
    stores: &'a dyn Stores,
    scratch: PathBuf,
}

impl Bench<'_> {
    fn folder(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    fn create(&self) -> Result<Arc<dyn ByteStore>, String> {
        self.stores.create(&self.folder("store")).map_err(text)
    }

    fn restore(&self, name: &str, from: &[&str], groups: Range<u16>) -> Result<Arc<dyn ByteStore>, String> {
        let from: Vec<_> = from.iter().map(|name| self.folder(name)).collect();
        self.stores.restore(&self.folder(name), &from, groups).map_err(text)
    }

    /// Takes a checkpoint and holds the list of its files against the folder.
    fn checkpoint(&self, store: &dyn ByteStore, name: &str) -> Check {
        let folder = self.folder(name);
        let listed = sorted(store.checkpoint(&folder).map_err(text)?);
        equal("the files of a checkpoint, in its list and in its folder", &listed, &files_in(&folder)?)
    }
}

fn puts_and_deletes(bench: &Bench<'_>) -> Check {
    let store = bench.create()?;
    equal("a new store", &entries(&*store)?, &Entries::new())?;
    write(&*store, &[(b"\0\x01a", Some(b"1")), (b"\0\x01b", Some(b"2"))])?;
    write(&*store, &[(b"\0\x01a", None), (b"\0\x01b", Some(b"3")), (b"\0\x01c", None)])?;
    equal("a deleted value", &get(&*store, b"\0\x01a")?, &None)?;
    equal("a replaced value", &get(&*store, b"\0\x01b")?, &Some(b"3".to_vec()))?;
    equal("a value that never was", &get(&*store, b"\0\x01c")?, &None)?;
    write(&*store, &[])?;
    equal("all entries", &entries(&*store)?, &Entries::from([(b"\0\x01b".to_vec(), b"3".to_vec())]))
}

fn later_writes_win_within_a_batch(bench: &Bench<'_>) -> Check {
    let store = bench.create()?;
    write(&*store, &[(b"\0\0a", Some(b"1")), (b"\0\0a", None), (b"\0\0b", None), (b"\0\0b", Some(b"2"))])?;
    equal("put, then deleted", &get(&*store, b"\0\0a")?, &None)?;
    equal("deleted, then put", &get(&*store, b"\0\0b")?, &Some(b"2".to_vec()))
}

fn scans_are_ordered_and_end_at_the_prefix(bench: &Bench<'_>) -> Check {
    let store = bench.create()?;
    let mut all = Entries::new();
    let bytes = [0x00, 0x01, 0x7f, 0xfe, 0xff];
    for first in bytes {
        for second in bytes {
            all.insert(vec![first, second], vec![1]);
            for third in bytes {
                all.insert(vec![first, second, third], vec![2]);
                all.insert(vec![first, second, third, 0xff], vec![third]);
            }
        }
    }
    put_all(&*store, all.iter().rev())?;
    let prefixes = all.keys().cloned().chain([vec![], vec![0], vec![0xff], vec![0x80], vec![0xff; 5]]);
    for prefix in prefixes {
        let mut seen = Vec::new();
        scan(&*store, &prefix, &mut seen)?;
        let expected: Vec<_> = all.iter().filter(|(key, _)| key.starts_with(&prefix)).map(owned).collect();
        equal(&format!("a scan of {prefix:02x?}"), &seen, &expected)?;
    }
    Ok(())
}

fn a_visitor_can_end_a_scan(bench: &Bench<'_>) -> Check {
    let store = bench.create()?;
    write(&*store, &[(b"\0\0a", Some(b"1")), (b"\0\0b", Some(b"2"))])?;
    let mut visits = 0;
    let result = store.scan(&[], &mut |_, _| {
        visits += 1;
        Err(Error::Fault("enough".to_owned()))
    });
    equal("visits until the error", &visits, &1)?;
    match result {
        Err(Error::Fault(text)) if text == "enough" => Ok(()),
        other => Err(format!("the visitor's error must come back, not {other:?}")),
    }
}

fn sorted_reads_answer_each_key(bench: &Bench<'_>) -> Check {
    let store = bench.create()?;
    equal("no keys", &store.get_sorted(&[]).map_err(text)?, &Vec::new())?;
    let all = numbered(0..3_000);
    put_all(&*store, all.iter())?;
    bench.checkpoint(&*store, "copy")?; // from here on, the entries are wherever old ones are
    let newer: Entries = all.keys().step_by(5).map(|key| (key.clone(), b"newer".to_vec())).collect();
    put_all(&*store, newer.iter())?;
    let mut keys: Vec<_> = all.keys().cloned().collect();
    keys.extend(all.keys().step_by(3).map(|key| [key, &b"?"[..]].concat()));
    keys.push(keys[0].clone());
    keys.sort_unstable();
    let answers = store.get_sorted(&keys.iter().map(Vec::as_slice).collect::<Vec<_>>()).map_err(text)?;
    let expected: Vec<_> = keys.iter().map(|key| newer.get(key).or_else(|| all.get(key)).cloned()).collect();
    equal("number of answers", &answers.len(), &keys.len())?;
    ensure(answers == expected, || "each key's answer must stand at the key's place".to_owned())
}

fn empty_and_large_values(bench: &Bench<'_>) -> Check {
    let store = bench.create()?;
    let large: Vec<u8> = (0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let all = Entries::from([(vec![0, 3], Vec::new()), (vec![0, 3, 1], large.clone()), (vec![0, 3, 2], Vec::new())]);
    put_all(&*store, all.iter())?;
    bench.checkpoint(&*store, "copy")?;
    for store in [&*store, &*bench.restore("restored", &["copy"], 0..256)?] {
        ensure(entries(store)? == all, || "values of 0 bytes and of 1 MiB must come back".to_owned())?;
        let answers = store.get_sorted(&[&[0, 3], &[0, 3, 1]]).map_err(text)?;
        ensure(answers == [Some(Vec::new()), Some(large.clone())], || "also in sorted reads".to_owned())?;
    }
    Ok(())
}

fn checkpoints_stand_still(bench: &Bench<'_>) -> Check {
    let store = bench.create()?;
    bench.checkpoint(&*store, "empty")?;
    let before = numbered(0..500);
    put_all(&*store, before.iter())?;
    bench.checkpoint(&*store, "first")?;
    let first = files_in(&bench.folder("first"))?;
    write(&*store, &[(b"\0\0new", Some(b"1")), (&numbered_key(7), None), (&numbered_key(8), Some(b"changed"))])?;
    bench.checkpoint(&*store, "second")?;
    let after = entries(&*store)?;
    ensure(store.checkpoint(&bench.folder("first")).is_err(), || "a folder that exists must be refused".to_owned())?;

    equal("a checkpoint of nothing", &entries(&*bench.restore("a", &["empty"], 0..256)?)?, &Entries::new())?;
    let restored = bench.restore("b", &["first"], 0..256)?;
    equal("the first checkpoint", &entries(&*restored)?, &before)?;
    put_all(&*restored, numbered(0..2_000).keys().map(|key| (key, b"another life")).collect::<Vec<_>>())?;
    bench.checkpoint(&*restored, "third")?;
    drop(restored);
    equal("the second checkpoint", &entries(&*bench.restore("b", &["second"], 0..256)?)?, &after)?;
    equal("the first checkpoint, again", &entries(&*bench.restore("b", &["first"], 0..256)?)?, &before)?;
    equal("the checkpoint of a restored store", &entries(&*bench.restore("b", &["third"], 0..256)?)?.len(), &2_000)?;
    equal("the first checkpoint's files after it all", &files_in(&bench.folder("first"))?, &first)
}

fn lasting_names_keep_their_content(bench: &Bench<'_>) -> Check {
    let mut store = bench.create()?;
    let mut contents = BTreeMap::new();
    let mut from = "store".to_owned();
    for (round, name) in ["one", "two", "three", "four"].into_iter().enumerate() {
        let first = round as u32 * 300;
        put_all(&*store, numbered(first..first + 400).iter())?;
        for file in store.checkpoint(&bench.folder(name)).map_err(text)?.into_iter().filter(|file| file.lasting) {
            let content = (file.size, file.crc32c);
            let before = *contents.entry(file.name.clone()).or_insert(content);
            equal(&format!("the content of {} in {from}", file.name), &content, &before)?;
        }
        if round % 2 == 1 {
            from = format!("whole {name}");
            drop(store);
            store = bench.restore(&from, &[name], 0..256)?;
        }
    }
    Ok(())
}

fn what_follows_a_cut_is_not_in_it(bench: &Bench<'_>) -> Check {
    let store = bench.create()?;
    let before = numbered(0..300);
    put_all(&*store, before.iter())?;
    let folder = bench.folder("copy");
    store.cut(&folder).map_err(text)?;
    write(&*store, &[(&numbered_key(7), None), (&numbered_key(8), Some(b"changed")), (b"\0\0new", Some(b"1"))])?;
    let after = entries(&*store)?;
    let files = store.settle(&folder).map_err(text)?;
    equal("the copy", &entries(&*bench.restore("restored", &["copy"], 0..256)?)?, &before)?;
    equal("the store", &entries(&*store)?, &after)?;
    bench.checkpoint(&*store, "next")?;
    equal("the next copy", &entries(&*bench.restore("restored", &["next"], 0..256)?)?, &after)?;
    equal("the files of a copy, settled and later", &files_in(&folder)?, &sorted(files))
}

/// One thread writes in rounds and another reads, while checkpoints are taken: each holds one round, whole.
fn the_flow_goes_on_beside_checkpoints(bench: &Bench<'_>) -> Check {
    let store = bench.create()?;
    let still = numbered(0..2_000);
    put_all(&*store, still.iter())?;
    let keys: Vec<_> = (0..40_u8).map(|n| vec![0, n, n, b'r']).collect();
    let round = |n: u64| keys.iter().map(move |key| (key, n.to_be_bytes()));
    put_all(&*store, round(0))?;
    let (begun, ended, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let (store, begun, ended, stop) = (&*store, &begun, &ended, &stop);
    thread::scope(|scope| {
        let writer = scope.spawn(move || {
            for n in (1..).take_while(|_| !stop.load(Ordering::SeqCst)) {
                begun.store(n, Ordering::SeqCst);
                put_all(store, round(n))?;
                ended.store(n, Ordering::SeqCst);
            }
            Ok(())
        });
        let reader = scope.spawn(|| reads_never_go_back(store, &keys, &still, stop));
        let copies = (0..4).try_for_each(|copy| {
            let from = ended.load(Ordering::SeqCst);
            while ended.load(Ordering::SeqCst) < from + 5 && !writer.is_finished() {
                thread::yield_now();
            }
            let earliest = ended.load(Ordering::SeqCst);
            bench.checkpoint(store, &copy.to_string())?;
            let latest = begun.load(Ordering::SeqCst);
            let restored = bench.restore("restored", &[&copy.to_string()], 0..256)?;
            let rounds: Vec<_> = keys.iter().map(|key| get(&*restored, key)).collect::<Result<_, _>>()?;
            let whole =
                (earliest..=latest).any(|n| rounds.iter().all(|found| *found == Some(n.to_be_bytes().to_vec())));
            ensure(whole, || format!("a copy must hold one of the rounds {earliest} to {latest}: {}", brief(&rounds)))
        });
        stop.store(true, Ordering::SeqCst);
        let joined = [writer.join(), reader.join()].into_iter().map(|end| end.unwrap_or(Err("a panic".to_owned())));
        joined.chain([copies]).collect()
    })
}

fn reads_never_go_back(store: &dyn ByteStore, keys: &[Vec<u8>], still: &Entries, stop: &AtomicBool) -> Check {
    let mut last = vec![None; keys.len()];
    let asked: Vec<_> = keys.iter().map(Vec::as_slice).collect();
    while !stop.load(Ordering::SeqCst) {
        let found = store.get_sorted(&asked).map_err(text)?;
        ensure(found.iter().zip(&last).all(|(found, last)| found >= last), || {
            format!("reads went back from {} to {}", brief(&last), brief(&found))
        })?;
        last = found;
        for (key, value) in still.iter().step_by(97) {
            equal("an entry that nobody changes", &get(store, key)?.as_ref(), &Some(value))?;
        }
    }
    Ok(())
}

fn opening_replaces_what_was_there(bench: &Bench<'_>) -> Check {
    let store = bench.create()?;
    put_all(&*store, numbered(0..10).iter())?;
    bench.checkpoint(&*store, "copy")?;
    put_all(&*store, numbered(10..20).iter())?;
    drop(store);
    equal("a store created over another", &entries(&*bench.create()?)?, &Entries::new())?;
    equal("a restored one", &entries(&*bench.restore("store", &["copy"], 0..256)?)?, &numbered(0..10))?;
    equal("a restore of nothing", &entries(&*bench.restore("store", &[], 0..256)?)?, &Entries::new())
}

/// Two workers' state becomes that of three, then of one, and no entry is lost or doubled.
fn shards_split_and_merge(bench: &Bench<'_>) -> Check {
    let all = numbered(0..2_000);
    let owned_of = |worker, workers| within(&all, KeyGroup::owned_by(worker, workers));
    for worker in 0..2 {
        let name = format!("two-{worker}");
        let store = bench.stores.create(&bench.folder("store")).map_err(text)?;
        put_all(&*store, owned_of(worker, 2).iter())?;
        bench.checkpoint(&*store, &name)?;
    }
    for worker in 0..3 {
        let groups = KeyGroup::owned_by(worker, 3);
        let store = bench.restore("store", &["two-0", "two-1"], groups.clone())?;
        equal("one of three shards from two", &entries(&*store)?, &owned_of(worker, 3))?;
        bench.checkpoint(&*store, &format!("three-{worker}"))?;
    }
    let merged = bench.restore("store", &["three-0", "three-1", "three-2"], 0..256)?;
    equal("one shard from three", &entries(&*merged)?, &all)?;
    put_all(&*merged, all.iter())?;
    bench.checkpoint(&*merged, "one")?;
    for groups in [0..256, 0..1, 255..256, 5..5, 17..200] {
        let part = bench.restore("part", &["one"], groups.clone())?;
        equal(&format!("groups {groups:?} of one shard"), &entries(&*part)?, &within(&all, groups))?;
    }
    let disjoint = bench.restore("part", &["two-0"], KeyGroup::owned_by(1, 2))?;
    equal("groups that a shard has not", &entries(&*disjoint)?, &Entries::new())
}

fn expiry_drops_nothing_younger(bench: &Bench<'_>) -> Check {
    let store = bench.create()?;
    let mut young = Entries::new();
    for at in 0..200_u64 {
        let key = numbered_key(at as u32);
        let value = value_touched(at)?;
        put_all(&*store, [(&key, &value)])?;
        if at >= 100 {
            young.insert(key, value);
        }
    }
    for (key, value) in [(vec![0, 0], Vec::new()), (vec![0, 1], b"no envelope".to_vec())] {
        put_all(&*store, [(&key, &value)])?;
        young.insert(key, value);
    }
    store.expire_before(100);
    store.expire_before(50);
    bench.checkpoint(&*store, "copy")?;
    for store in [&*store, &*bench.restore("restored", &["copy"], 0..256)?] {
        let left = entries(store)?;
        for (key, value) in &young {
            equal("a value that is not to expire", &left.get(key), &Some(value))?;
        }
    }
    Ok(())
}

fn value_touched(at: Stamp) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    codec::encode(&Sample(at.to_be_bytes().to_vec()), at, &mut bytes).map_err(text)?;
    Ok(bytes)
}

/// Entries spread over all groups.
fn numbered(numbers: Range<u32>) -> Entries {
    numbers.map(|n| (numbered_key(n), n.to_string().repeat(n as usize % 40).into_bytes())).collect()
}

fn numbered_key(n: u32) -> Vec<u8> {
    [&[0, n as u8, (n % 3) as u8], n.to_string().as_bytes()].concat()
}

fn within(all: &Entries, groups: Range<u16>) -> Entries {
    let group = |key: &[u8]| u16::from_be_bytes([key[0], key[1]]);
    all.iter().filter(|(key, _)| groups.contains(&group(key))).map(owned).collect()
}

fn owned((key, value): (&Vec<u8>, &Vec<u8>)) -> (Vec<u8>, Vec<u8>) {
    (key.clone(), value.clone())
}

fn write(store: &dyn ByteStore, entries: &[(&[u8], Option<&[u8]>)]) -> Check {
    let entries = entries.iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect();
    store.write(&Writes { entries }).map_err(text)
}

fn put_all<K: AsRef<[u8]>, V: AsRef<[u8]>>(store: &dyn ByteStore, entries: impl IntoIterator<Item = (K, V)>) -> Check {
    let owned = |(key, value): (K, V)| (key.as_ref().to_vec(), Some(value.as_ref().to_vec()));
    store.write(&Writes { entries: entries.into_iter().map(owned).collect() }).map_err(text)
}

fn get(store: &dyn ByteStore, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
    store.get(key).map_err(text)
}

fn scan(store: &dyn ByteStore, prefix: &[u8], seen: &mut Vec<(Vec<u8>, Vec<u8>)>) -> Check {
    let mut visit = |key: &[u8], value: &[u8]| {
        seen.push((key.to_vec(), value.to_vec()));
        Ok(())
    };
    store.scan(prefix, &mut visit).map_err(text)
}

fn entries(store: &dyn ByteStore) -> Result<Entries, String> {
    let mut seen = Vec::new();
    scan(store, &[], &mut seen)?;
    let count = seen.len();
    let entries: Entries = seen.into_iter().collect();
    equal("entries of a scan, each once", &count, &entries.len())?;
    Ok(entries)
}

/// The files of a folder by name, as a checkpoint lists them.
fn files_in(folder: &Path) -> Result<Vec<CheckpointFile>, String> {
    let at = |why: std::io::Error| format!("{}: {why}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(at)? {
        let path = entry.map_err(at)?.path();
        let content = fs::read(&path).map_err(at)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.push(CheckpointFile {
            name,
            size: content.len() as u64,
            crc32c: crc32c::crc32c(&content),
            lasting: false,
        });
    }
    Ok(sorted(files))
}

/// In order of names, without what a folder cannot show.
fn sorted(mut files: Vec<CheckpointFile>) -> Vec<CheckpointFile> {
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files.iter_mut().for_each(|file| file.lasting = false);
    files
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Check {
    ensure(found == expected, || format!("{what}: expected {}, found {}", brief(expected), brief(found)))
}

fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(broken()) }
}

/// Values can be long; the start of them tells enough.
fn brief(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").chars().take(2_000).collect()
}

fn text(error: Error) -> String {
    error.to_string()
}
