//! A process that is killed while it writes leaves whole transactions behind, and the next one goes on from there.

#![expect(clippy::unwrap_used, reason = "a test")]

use connectors::sqlite::SqliteStore;
use engine::ledger::{Batch, Entry, Ledger, Order, State, StepOutcome};
use engine::time::Micros;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Tells the child where its store is.
const STORE: &str = "AERIE_TEST_CRASH_STORE";

fn batch(at: u64) -> Batch {
    let entry = |name: &str| Entry { id: format!("{name}-{at}"), at: Micros(at), body: format!("{{\"at\":{at}}}") };
    let steps = vec!["only".to_owned()];
    Batch {
        entries: vec![entry("a"), entry("b")],
        orders: vec![Order { id: format!("o-{at}"), at: Micros(at), payload: vec![], steps }],
    }
}

/// Not a test of its own: what the child does until it is killed.
#[test]
fn child() {
    let Ok(path) = std::env::var(STORE) else { return };
    let mut store = SqliteStore::open(Path::new(&path)).unwrap();
    for at in store.issued_through().unwrap().0 + 1.. {
        store.issue(&batch(at), Micros(at)).unwrap();
        for claim in store.claim(at, 0, 1).unwrap() {
            let done = Entry { id: format!("done-{}", claim.order.id), at: claim.order.at, body: String::new() };
            let _ = store.record(&claim, &StepOutcome::Done { detail: None }, &[done], at).unwrap();
        }
    }
}

#[test]
fn a_killed_process_leaves_whole_transactions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    drop(SqliteStore::open(&path).unwrap());
    for _ in 0..5 {
        let before = SqliteStore::open(&path).unwrap().issued_through().unwrap().0;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child"])
            .env(STORE, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_for(&path, before + 20);
        child.kill().unwrap();
        child.wait().unwrap();
        check_whole(&path, before + 20);
    }
}

fn wait_for(path: &Path, through: u64) {
    let store = SqliteStore::open(path).unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while store.issued_through().unwrap().0 < through {
        assert!(Instant::now() < deadline, "the child does not get on");
        std::thread::yield_now();
    }
}

fn check_whole(path: &Path, at_least: u64) {
    let mut store = SqliteStore::open(path).unwrap();
    let through = store.issued_through().unwrap().0;
    assert!(through >= at_least);
    let done = store.count(State::Done).unwrap();
    let orders: u64 = State::ALL.iter().map(|state| store.count(*state).unwrap()).sum();
    assert_eq!(orders, through, "one order for each point in time");
    assert_eq!(store.entries_after(0, usize::MAX).unwrap().len() as u64, 2 * through + done);
    for at in 1..=through {
        let issued = store.issue(&batch(at), Micros(at)).unwrap();
        assert_eq!((issued.repeated, issued.differing), (3, vec![]), "at {at}");
    }
}
