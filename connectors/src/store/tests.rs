//! Tests of the store in a file.

use super::*;
use engine::ledger::conformance;
use engine::ledger::{Order, Term};
use engine::source::journal::{Journal, JournalEntry, Judgement, MemoryJournal};
use engine::source::partition::PartitionState;
use rusqlite::Connection;
use std::time::{Duration, Instant};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn store(folder: &tempfile::TempDir) -> Store {
    Store::open_file(&folder.path().join("store.sqlite")).expect("the store opens")
}

/// Runs statements on the file behind the store's back.
fn meddle(folder: &tempfile::TempDir, statements: &str) {
    Connection::open(folder.path().join("store.sqlite")).unwrap().execute_batch(statements).unwrap();
}

#[test]
fn it_is_a_ledger() {
    let folder = folder();
    conformance::check(&mut || Box::new(store(&folder))).unwrap();
}

/// Triggers that break one promise each, and the part of the suite that has to notice.
const FAULTS: [(&str, &str); 17] = [
    (
        "issue:",
        "after insert on numbers when new.name = 'issued_through' begin \
        delete from numbers where name = 'issued_through'; end",
    ),
    (
        "issue:",
        "after update on numbers when new.value = 40 begin \
        update numbers set value = 30 where value = 40; end",
    ),
    ("issue:", "before insert on entries when new.id = 'e2' begin select raise(ignore); end"),
    ("issue:", "after insert on orders begin update orders set payload = x'00' where seq = new.seq; end"),
    ("steps:", "before insert on entries when new.id = 's1-entry' begin select raise(ignore); end"),
    ("steps:", "before insert on settlements begin select raise(ignore); end"),
    ("steps:", "after update of text on attempts begin update attempts set text = null; end"),
    ("outcomes:", "after update of doubt_ms on orders begin update orders set doubt_ms = null; end"),
    ("outcomes:", "after update of error on orders begin update orders set due_ms = 0 where due_ms = 200; end"),
    ("groups:", "after update of lane on orders begin update orders set lane = 'call'; end"),
    ("groups:", "after insert on turns begin delete from turns; end"),
    ("groups:", "before insert on groups when new.grp = 'big' begin select raise(ignore); end"),
    ("limits:", "after update of released_ms on groups begin update groups set released_ms = 0; end"),
    ("find:", "before insert on terms when new.kind = 2 begin select raise(ignore); end"),
    ("an admin's hand:", "after update of held on orders begin update orders set held = 0; end"),
    ("receipts:", "before insert on receipts begin select raise(ignore); end"),
    (
        "generations:",
        "after update on numbers when new.name = 'generation' begin \
        update numbers set value = 3 where name = 'generation'; end",
    ),
];

#[test]
fn the_suite_notices_every_planted_fault() {
    for (part, trigger) in FAULTS {
        let folder = folder();
        drop(store(&folder));
        meddle(&folder, &format!("create trigger fault {trigger}"));
        let problem = conformance::check(&mut || Box::new(store(&folder))).expect_err(trigger);
        assert!(problem.starts_with(part), "{trigger}: {problem}");
    }
}

#[test]
fn commits_are_synced_in_wal_mode() {
    let folder = folder();
    let file = sqlite::File::open(&folder.path().join("store.sqlite")).unwrap();
    let read = |name: &str| -> String {
        file.connection.query_row(&format!("select cast({name} as text) from pragma_{name}"), [], |r| r.get(0)).unwrap()
    };
    assert_eq!((read("journal_mode").as_str(), read("synchronous").as_str()), ("wal", "2"));
}

fn entry(id: usize) -> Entry {
    Entry {
        id: format!("{id:064x}"),
        at: Micros(id as u64 + 1),
        dated: Micros(id as u64),
        group: format!("g{}", id % 10),
        terms: [1, 2, 3].map(|kind| Term { kind, value: format!("v{}", id % 100) }).to_vec(),
        body: format!("{{\"id\":{id}}}").repeat(40),
    }
}

#[test]
fn ten_thousand_entries_are_issued_and_compared_within_seconds() {
    let folder = folder();
    let mut store = store(&folder);
    let batch = Batch { entries: (0..10_000).map(entry).collect(), ..Batch::default() };
    for repeated in [0, 10_000] {
        let start = Instant::now();
        let issued = store.issue(&batch, Micros(20_000)).unwrap();
        assert_eq!((issued.repeated, issued.new_entries), (repeated, 10_000 - repeated));
        let took = start.elapsed();
        // Measured: 0.2 s of a processor's time for both, unoptimised. The rest is for a busy machine.
        assert!(took < Duration::from_secs(20), "took {took:?}");
    }
}

fn ask(now_ms: u64, lease_ms: u64, limit: usize) -> Ask<'static> {
    Ask { lanes: &["only"], now_ms, lease_ms, limit, per_group: usize::MAX }
}

fn order(id: &str, at: u64) -> Order {
    let (id, group, steps) = (id.to_owned(), "g".to_owned(), vec!["only".to_owned()]);
    Order { id, at: Micros(at), group, payload: vec![1], steps }
}

#[test]
fn two_handles_in_two_threads_issue_and_work_at_once() {
    let folder = folder();
    let mut issuer = store(&folder);
    let mut worker = store(&folder);
    const ORDERS: u64 = 200;
    let issuing = std::thread::spawn(move || {
        for at in 1..=ORDERS {
            let order = order(&at.to_string(), at);
            issuer.issue(&Batch { orders: vec![order], ..Batch::default() }, Micros(at)).unwrap();
        }
    });
    let mut done = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(120);
    while (done.len() as u64) < ORDERS {
        assert!(Instant::now() < deadline, "only {} orders done", done.len());
        for claim in worker.claim(&ask(1, 1_000, 7)).unwrap() {
            let receipt = Entry { id: claim.order.id.clone(), at: claim.order.at, ..entry(0) };
            assert_eq!(
                worker.record(&claim, &StepOutcome::Done { detail: None }, &[receipt], 1).unwrap(),
                Recorded::Applied
            );
            done.push(claim.order.id);
        }
    }
    issuing.join().unwrap();
    let logged: Vec<String> =
        worker.entries_after(0, usize::MAX).unwrap().into_iter().map(|(_, entry)| entry.id).collect();
    assert_eq!(logged, done);
    assert_eq!(logged, (1..=ORDERS).map(|at| at.to_string()).collect::<Vec<_>>());
}

#[test]
fn many_can_open_a_new_store_at_once() {
    for _ in 0..10 {
        let folder = folder();
        std::thread::scope(|scope| {
            for worker in 0..8 {
                let folder = &folder;
                scope.spawn(move || store(folder).receipt(&format!("{worker}"), "").unwrap());
            }
        });
        assert_eq!(store(&folder).receipts_after(0, 100).unwrap().len(), 8);
    }
}

#[test]
fn the_end_of_time_is_kept() {
    let folder = folder();
    store(&folder).issue(&Batch::default(), Micros(u64::MAX)).unwrap();
    assert_eq!(store(&folder).issued_through().unwrap(), Micros(u64::MAX));
}

#[test]
fn newer_foreign_and_damaged_files_are_refused_and_stay_as_they_are() {
    let folder = folder();
    let path = folder.path().join("store.sqlite");
    drop(store(&folder));
    meddle(&folder, "update numbers set value = 99 where name = 'format'");
    let error = Store::open_file(&path).unwrap_err();
    assert!(matches!(&error, Error::Corrupt(text) if text.contains("version 99")), "{error}");

    let foreign = folder.path().join("foreign.sqlite");
    Connection::open(&foreign).unwrap().execute_batch("create table t (x)").unwrap();
    let before = std::fs::read(&foreign).unwrap();
    assert!(matches!(Store::open_file(&foreign), Err(Error::Corrupt(_))));
    assert_eq!(std::fs::read(&foreign).unwrap(), before);

    let damaged = folder.path().join("damaged.sqlite");
    std::fs::write(&damaged, [b'x'; 8_192]).unwrap();
    assert!(matches!(Store::open_file(&damaged), Err(Error::Corrupt(_))));
    assert!(matches!(Store::open_file(&folder.path().join("no/such/folder")), Err(Error::Io { .. })));
}

#[test]
fn a_transaction_that_fails_half_way_leaves_nothing() {
    let folder = folder();
    let mut store = store(&folder);
    let mut batch = Batch { entries: (0..3).map(entry).collect(), ..Batch::default() };
    meddle(
        &folder,
        "create trigger fail before insert on entries when new.at = 3 begin select raise(abort, 'planted'); end",
    );
    let error = store.issue(&batch, Micros(9)).unwrap_err();
    assert!(error.to_string().contains("planted"), "{error}");
    assert_eq!((store.entries_after(0, 9).unwrap(), store.issued_through().unwrap()), (vec![], Micros::ZERO));
    batch.entries.pop();
    assert_eq!(store.issue(&batch, Micros(9)).unwrap().new_entries, 2);
}

fn judged(partition: &str, seq: u64, judgement: Judgement) -> JournalEntry {
    JournalEntry { partition: partition.to_owned(), seq, position: seq * 100, judgement, watermark: Micros(seq) }
}

#[test]
fn a_journal_keeps_each_partition_in_order() {
    let folder = folder();
    let a = [judged("a", 1, Judgement::Idle), judged("a", 2, Judgement::Ahead), judged("a", 10, Judgement::Idle)];
    let b = judged("b", 1, Judgement::Ahead);
    let mut journal = store(&folder);
    journal.append(&[a[0].clone(), b.clone(), a[1].clone()]).unwrap();
    journal.append(&a[2..]).unwrap();
    drop(journal);

    let mut journal = store(&folder);
    assert_eq!(journal.load("a").unwrap(), a);
    assert_eq!(journal.load("b").unwrap(), std::slice::from_ref(&b));
    assert_eq!(journal.load("c").unwrap(), []);
    journal.append(&a).unwrap();
    journal.append(&[]).unwrap();
    assert_eq!(journal.load("a").unwrap(), a, "what is there already is left as it is");
}

/// Where a partition is read on: its position, and its watermark there.
fn standing(position: u64, watermark: u64) -> PartitionState {
    let mut state = PartitionState { position, ..PartitionState::default() };
    state.judge.watermark = Micros(watermark);
    state
}

#[test]
fn a_journal_forgets_what_counts_from_nowhere_and_nothing_after_what_does() {
    let folder = folder();
    let judged = |seq, position, judgement, watermark| JournalEntry {
        partition: "a".to_owned(),
        seq,
        position,
        judgement,
        watermark: Micros(watermark),
    };
    let entries = [
        judged(0, 100, Judgement::Idle, 10),
        judged(1, 100, Judgement::Idle, 20),
        judged(2, 100, Judgement::Ahead, 20),
        judged(3, 200, Judgement::Idle, 30),
        judged(5, 200, Judgement::Idle, 40),
    ];
    let mut journal = store(&folder);
    let b = self::judged("b", 0, Judgement::Ahead);
    journal.append(&[&entries[..], std::slice::from_ref(&b)].concat()).unwrap();
    let mut memory = MemoryJournal::default();
    memory.append(&entries).unwrap();
    let mut left = |from: &[PartitionState]| {
        let from: Vec<_> = from.iter().collect();
        journal.shorten("a", &from).unwrap();
        memory.shorten("a", &from).unwrap();
        let left = journal.load("a").unwrap();
        assert_eq!(memory.load("a").unwrap(), left, "in memory it is the same");
        left.iter().map(|entry| entry.seq).collect::<Vec<_>>()
    };
    assert_eq!(left(&[standing(0, 0)]), [0, 1, 2, 3, 5]);
    assert_eq!(left(&[standing(200, 40), standing(100, 10)]), [1, 2, 3, 5], "the one furthest back needs most");
    assert_eq!(left(&[standing(100, 20)]), [2, 3, 5], "the line at this position is still to be judged");
    assert_eq!(left(&[standing(101, 20)]), [3, 5]);
    assert_eq!(left(&[standing(200, 30)]), [5]);
    assert_eq!(left(&[standing(200, 40)]), [0; 0]);
    assert_eq!(journal.load("b").unwrap(), [b]);
    // Numbers may begin anew then.
    journal.append(&entries[..1]).unwrap();
}

#[test]
fn a_journal_refuses_two_stories_and_old_generations_and_writes_nothing_then() {
    let folder = folder();
    let mut journal = store(&folder);
    journal.append(&[judged("a", 5, Judgement::Idle)]).unwrap();
    for wrong in [judged("a", 5, Judgement::Ahead), judged("a", 4, Judgement::Idle)] {
        let error = journal.append(&[judged("b", 1, Judgement::Idle), wrong]).unwrap_err();
        assert!(matches!(error, Error::Fault(_)), "{error}");
    }
    store(&folder).claim_generation(1).unwrap();
    assert!(ledger::is_superseded(&journal.append(&[judged("a", 6, Judgement::Idle)]).unwrap_err()));
    assert!(ledger::is_superseded(&journal.shorten("a", &[&standing(900, 0)]).unwrap_err()));
    assert_eq!((journal.load("a").unwrap().len(), journal.load("b").unwrap().len()), (1, 0));
}

fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.collect();
    names.sort();
    names
}

#[test]
fn a_reader_beside_the_writer_sees_what_is_committed_and_changes_nothing() {
    let folder = folder();
    // A name that means something else in a URI.
    let inside = folder.path().join("a b?c#d%41");
    std::fs::create_dir(&inside).unwrap();
    let path = inside.join("store.sqlite");
    let order = order("o", 5);
    let mut writer = Store::open_file(&path).unwrap();
    writer.issue(&Batch { orders: vec![order.clone()], ..Batch::default() }, Micros(9)).unwrap();
    let copy = folder.path().join("copy.sqlite");
    for writing in [true, false] {
        let before = names(&inside);
        assert_eq!(before.len(), if writing { 3 } else { 1 }, "{before:?}");
        let mut reader = Store::read_file(&path).unwrap();
        assert_eq!(reader.order("o").unwrap().unwrap().order, order);
        assert!(reader.take_over(7).is_err(), "it only reads");
        assert_eq!(reader.freeze(&copy).unwrap().issued_through().unwrap(), Micros(9));
        let again = Store::read_file(&path).unwrap().freeze(&copy);
        assert!(again.is_err(), "nothing is written over");
        assert_eq!(names(&inside), before);
        std::fs::remove_file(&copy).unwrap();
        if writing {
            // The last one to close puts everything into the one file.
            drop(std::mem::replace(&mut writer, Store::open_file(&folder.path().join("other.sqlite")).unwrap()));
        }
    }
    let empty = folder.path().join("empty.sqlite");
    std::fs::write(&empty, "").unwrap();
    for (path, word) in [(empty, "empty"), (folder.path().join("none.sqlite"), "none.sqlite")] {
        let refused = Store::read_file(&path).unwrap_err().to_string();
        assert!(refused.contains(word), "{refused}");
    }
    assert!(!folder.path().join("none.sqlite").exists());
}

fn keep<'a>(at: u64, slot: &'a str, line: &'a str) -> Keep<'a> {
    Keep { at: Micros(at), line, comes_of: Comes::In(slot) }
}

#[test]
fn control_records_last_until_they_are_replaced_before_anybody_starts() {
    let folder = folder();
    let kept = |store: &Store| -> Vec<(u64, u64, String)> {
        let kept = store.control().unwrap().into_iter();
        kept.map(|Kept { seq, at, line }| (seq, at.0, line)).collect()
    };
    let mut first = store(&folder);
    first.take_over(1).unwrap();
    for (at, slot, line) in [(10, "a", "a1"), (10, "b", "b1"), (10, "a", "a2"), (40, "a", "a4"), (30, "a", "a3")] {
        first.keep_control(&[keep(at, slot, line)]).unwrap();
    }
    let all = [(1, 10, "a1"), (2, 10, "b1"), (3, 10, "a2"), (4, 40, "a4"), (5, 30, "a3")];
    let expect = |of: &[(u64, u64, &str)]| of.iter().map(|(s, a, l)| (*s, *a, (*l).to_owned())).collect::<Vec<_>>();
    drop(first);
    let mut second = store(&folder);
    assert_eq!(kept(&second), expect(&all));
    second.take_over(2).unwrap();
    second.forget_control(Micros(9)).unwrap();
    assert_eq!(kept(&second), expect(&all), "nothing is replaced by then");
    second.forget_control(Micros(29)).unwrap();
    assert_eq!(kept(&second), expect(&all[1..]));
    second.forget_control(Micros(39)).unwrap();
    assert_eq!(kept(&second), expect(&[all[1], all[3], all[4]]));
    second.forget_control(Micros(40)).unwrap();
    assert_eq!(kept(&second), expect(&[all[1], all[3]]));
    // A number is never given twice, whatever was forgotten.
    assert_eq!(second.keep_control(&[keep(50, "a", "a5"), keep(50, "c", "c5")]).unwrap(), [6, 7]);
    let mut superseded = store(&folder);
    superseded.claim_generation(2).unwrap();
    second.take_over(3).unwrap();
    assert!(superseded.keep_control(&[keep(60, "a", "a6")]).is_err());
    assert!(superseded.forget_control(Micros(60)).is_err());
}
