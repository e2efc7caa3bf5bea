//! A process that is killed while it writes leaves whole transactions behind, and the next one goes on from there.

#![expect(clippy::unwrap_used, reason = "a test")]

use connectors::store::Store;
use engine::ledger::{Ask, Batch, Entry, Ledger, Order, State, StepOutcome};
use engine::time::Micros;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Tells the child where its store is.
const STORE: &str = "AERIE_TEST_CRASH_STORE";

fn batch(at: u64) -> Batch {
    let (group, steps) = ("g".to_owned(), vec!["only".to_owned()]);
    Batch {
        entries: vec![entry(&format!("a-{at}"), at), entry(&format!("b-{at}"), at)],
        orders: vec![Order { id: format!("o-{at}"), at: Micros(at), group, payload: vec![], steps }],
        ..Batch::default()
    }
}

fn entry(id: &str, at: u64) -> Entry {
    let (id, at, body) = (id.to_owned(), Micros(at), format!("{{\"at\":{at}}}"));
    Entry { id, at, dated: at, group: "g".to_owned(), terms: Vec::new(), body }
}

/// Not a test of its own: what the child does until it is killed.
#[test]
fn child() {
    let Ok(path) = std::env::var(STORE) else { return };
    let mut store = Store::open_file(Path::new(&path)).unwrap();
    for at in store.issued_through().unwrap().0 + 1.. {
        store.issue(&batch(at), Micros(at)).unwrap();
        for claim in store.claim(&Ask { lanes: &["only"], now_ms: at, lease_ms: 0, limit: 1, per_group: 1 }).unwrap() {
            let done = entry(&format!("done-{}", claim.order.id), claim.order.at.0);
            let _ = store.record(&claim, &StepOutcome::Done { detail: None }, &[done], at).unwrap();
        }
    }
}

#[test]
fn a_killed_process_leaves_whole_transactions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    drop(Store::open_file(&path).unwrap());
    for _ in 0..5 {
        let before = Store::open_file(&path).unwrap().issued_through().unwrap().0;
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
    let store = Store::open_file(path).unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while store.issued_through().unwrap().0 < through {
        assert!(Instant::now() < deadline, "the child does not get on");
        std::thread::yield_now();
    }
}

fn check_whole(path: &Path, at_least: u64) {
    let mut store = Store::open_file(path).unwrap();
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
