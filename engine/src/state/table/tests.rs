//! Tests of `table`.

use super::*;
use crate::state::memory::MemoryStores;
use crate::state::store::Stores;
use crate::time::Span;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

/// Short-lived text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note(String);

impl Row for Note {
    const TYPE: u16 = 7;
    const VERSION: u16 = 1;
    const TTL: Option<Span> = Some(Span::from_secs(10));

    fn weight(&self) -> usize {
        size_of::<Self>() + self.0.len()
    }
}

const ROOMY: usize = 1 << 20;

fn table(budget: usize) -> (Table<Note>, TempDir) {
    let scratch = tempfile::tempdir().unwrap();
    let store = MemoryStores.create(&scratch.path().join("store")).unwrap();
    (Table::new(store, budget), scratch)
}

fn put(table: &mut Table<Note>, key: RowKey<'_>, text: &str) {
    *table.write(key).unwrap() = Some(Note(text.to_owned()));
}

fn text(table: &mut Table<Note>, key: RowKey<'_>) -> Option<String> {
    table.read(key).unwrap().map(|note| note.0.clone())
}

fn stored(table: &Table<Note>) -> usize {
    let mut count = 0;
    let mut visit = |_: &[u8], _: &[u8]| {
        count += 1;
        Ok(())
    };
    table.store.scan(&[], &mut visit).unwrap();
    count
}

#[test]
fn equal_hashes_are_two_rows() {
    for budget in [0, ROOMY] {
        let (mut table, _scratch) = table(budget);
        let colliding = |bytes| RowKey { group: KeyGroup(3), hash: 42, bytes };
        put(&mut table, colliding(b"one"), "1");
        put(&mut table, colliding(b"two"), "2");
        put(&mut table, RowKey { group: KeyGroup(4), hash: 42, bytes: b"one" }, "in another group");
        table.end_step().unwrap();
        assert_eq!(text(&mut table, colliding(b"one")).as_deref(), Some("1"));
        assert_eq!(text(&mut table, colliding(b"two")).as_deref(), Some("2"));
        assert_eq!(text(&mut table, colliding(b"three")), None);
        *table.write(colliding(b"one")).unwrap() = None;
        table.end_step().unwrap();
        assert_eq!(text(&mut table, colliding(b"one")), None);
        assert_eq!(text(&mut table, colliding(b"two")).as_deref(), Some("2"));
    }
}

#[test]
fn a_row_expires_in_memory_and_in_the_store_alike() {
    for budget in [0, ROOMY] {
        let (mut table, _scratch) = table(budget);
        table.set_now(Micros(5_000_999));
        put(&mut table, RowKey::of(b"a"), "here");
        table.end_step().unwrap();
        table.set_now(Micros(15_000_000));
        assert!(text(&mut table, RowKey::of(b"a")).is_some(), "reading does not prolong, and the end is included");
        table.set_now(Micros(15_000_001));
        assert_eq!(text(&mut table, RowKey::of(b"a")), None);
        table.end_step().unwrap();
        table.set_now(Micros(1));
        assert_eq!(text(&mut table, RowKey::of(b"a")), None, "time does not go back");
        assert_eq!(table.write(RowKey::of(b"a")).unwrap(), &None);
        put(&mut table, RowKey::of(b"a"), "again");
        table.set_now(Micros(25_000_000));
        table.end_step().unwrap();
        assert_eq!(text(&mut table, RowKey::of(b"a")).as_deref(), Some("again"));
    }
}

#[test]
fn what_a_step_touches_stays_until_it_ends() {
    let (mut table, _scratch) = table(1_000);
    let names: Vec<_> = (0..100_u32).map(u32::to_be_bytes).collect();
    for name in &names {
        put(&mut table, RowKey::of(name), &"x".repeat(100));
    }
    assert_eq!((stored(&table), table.counters().evictions), (0, 0));
    for name in &names {
        assert!(table.read(RowKey::of(name)).unwrap().is_some());
    }
    assert_eq!((table.counters().hits, table.counters().misses), (100, 100));
    table.end_step().unwrap();
    assert!(table.counters().held <= 1_000, "{:?}", table.counters());
    assert!(table.counters().evictions > 90);
    assert!(stored(&table) > 90);
}

#[test]
fn a_row_that_grew_is_measured_anew() {
    let (mut table, _scratch) = table(ROOMY);
    put(&mut table, RowKey::of(b"a"), "");
    table.end_step().unwrap();
    let before = table.counters().held;
    put(&mut table, RowKey::of(b"a"), &"x".repeat(5_000));
    table.end_step().unwrap();
    assert_eq!(table.counters().held, before + 5_000);
    *table.write(RowKey::of(b"a")).unwrap() = None;
    table.end_step().unwrap();
    assert_eq!(table.counters().held, before);
}

#[test]
fn rows_are_read_ahead_once() {
    let (mut table, _scratch) = table(0);
    put(&mut table, RowKey::of(b"a"), "1");
    put(&mut table, RowKey::of(b"b"), "2");
    table.end_step().unwrap();
    let before = table.counters().misses;
    let keys = [b"b", b"a", b"c", b"b"].map(|name| RowKey::of(name));
    table.prefetch(&keys).unwrap();
    table.prefetch(&keys).unwrap();
    for (key, expected) in keys.iter().zip([Some("2"), Some("1"), None, Some("2")]) {
        assert_eq!(text(&mut table, *key).as_deref(), expected);
    }
    assert_eq!(table.counters().misses, before + 3);
}

#[test]
fn the_store_hears_nothing_of_rows_that_never_were() {
    let (mut table, _scratch) = table(ROOMY);
    *table.write(RowKey::of(b"a")).unwrap() = None;
    assert!(table.slots.is_dirty(0));
    assert_eq!(table.slots.get(0).entry().unwrap(), None);
    table.flush().unwrap();
    put(&mut table, RowKey::of(b"a"), "1");
    table.flush().unwrap();
    assert_eq!(stored(&table), 1);
    *table.write(RowKey::of(b"a")).unwrap() = None;
    assert!(matches!(table.slots.get(0).entry(), Ok(Some((_, None)))));
    table.flush().unwrap();
    assert_eq!(stored(&table), 0);
}

#[test]
fn a_damaged_value_is_corrupt() {
    let (mut table, _scratch) = table(ROOMY);
    let mut key = Vec::new();
    layout::push_row_key(RowKey::of(b"a").group, b"a", &mut key);
    table.store.write(&Writes { entries: vec![(key, Some(vec![1; 40]))] }).unwrap();
    assert!(matches!(table.read(RowKey::of(b"a")), Err(Error::Corrupt(_))));
    assert!(matches!(table.prefetch(&[RowKey::of(b"a")]), Err(Error::Corrupt(_))));
    assert!(matches!(table.scan(|_, _| Ok(())), Err(Error::Corrupt(_))));
}

#[test]
fn timers_are_kept_apart_from_rows() {
    let (mut table, _scratch) = table(ROOMY);
    let timer = |at, name: &[u8], tag| {
        let RowKey { group, bytes, .. } = RowKey::of(name);
        Timer { at: Micros(at), group, key: bytes.to_vec(), tag }
    };
    let timers = [timer(5, b"z", 1), timer(7, b"", 255), timer(7, b"a", 0), timer(u64::MAX, b"a", 0)];
    put(&mut table, RowKey::of(b"a"), "1");
    for timer in timers.iter().rev() {
        table.put_timer(timer);
        table.put_timer(timer);
    }
    let mut sorted = timers.to_vec();
    sorted.sort_unstable();
    assert_eq!(table.timers().unwrap(), sorted);
    table.set_now(Micros::from_secs(1_000));
    table.flush().unwrap();
    table.end_step().unwrap();
    assert_eq!(table.timers().unwrap(), sorted, "timers do not expire");
    table.delete_timer(&timers[0]);
    sorted.retain(|timer| *timer != timers[0]);
    assert_eq!(table.timers().unwrap(), sorted);
    table.flush().unwrap();
    assert_eq!(table.timers().unwrap(), sorted);
    table.scan(|_, _| panic!("the only row has expired")).unwrap();
}
