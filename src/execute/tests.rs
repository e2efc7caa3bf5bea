//! Many hands on one ledger.

use super::*;
use config::{Flags, Job};
use engine::ledger::{AttemptResult, Page, Scope};
use operators::respond::steps::{END_SESSIONS, LANES};
use serde_json::json;
use std::path::Path;
use std::time::Instant;

/// A Wednesday in February 2026.
const START: u64 = 1_772_000_000;

/// A job whose orders are all in the ledger, none of them begun.
fn ordered(dir: &Path, orders: u64) -> Job {
    let write = |name: &str, lines: Vec<String>| {
        let path = dir.join(name);
        std::fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        path
    };
    let opening = |n: u64| {
        let (user, org) = (format!("U{n}"), format!("E{}", n % 3));
        json!({
            "id": format!("e{n}"), "date_create": START + n, "action": "api_call",
            "actor": {"type": "user", "user": {"id": user, "name": "", "email": format!("{user}@example.com"), "team": ""}},
            "context": {
                "location": {"type": "enterprise", "id": org, "name": "", "domain": ""},
                "ua": "", "session_id": format!("s{n}"), "ip_address": "185.220.101.7"},
            "details": {"method": "conversations.history"},
        })
        .to_string()
    };
    let answer = |org: u64| {
        let value = json!({"responses": {"tor": {"enabled": true}}});
        json!({"kind": "settings", "org": format!("E{org}"), "key": "aer", "value": value, "date_create": 1})
            .to_string()
    };
    let flags = Flags {
        input: vec![write("events", (0..orders).map(opening).collect())],
        control: vec![write("control", (0..3).map(answer).collect())],
        tor_list: Some(write("tor", vec!["185.220.101.7".to_owned()])),
        data_dir: Some(dir.join("data")),
        drain_timeout: Some("0s".to_owned()),
        ..Flags::default()
    };
    let job = Job::from_flags(flags, Vec::new()).unwrap();
    std::fs::create_dir_all(&job.data_dir).unwrap();
    let mut store = StorePlace::seen(&job).unwrap().open().unwrap();
    store.hold(Scope::All, true, 1).unwrap();
    let finished = crate::run::run(&job, &Watch::default()).unwrap();
    assert_eq!(finished.open_responses, orders);
    store.hold(Scope::All, false, 2).unwrap();
    job
}

/// Lets an executor with a thread for everything work until all is done.
fn carry_out(job: &Job, watch: &Watch) -> Store {
    let place = StorePlace::seen(job).unwrap();
    let store = place.open().unwrap();
    let generation = store.current_generation().unwrap();
    let mut executor = Executor::with(&place, generation, job, watch, |_| false).unwrap();
    let signal = Signal::default();
    thread::scope(|scope| {
        let running = scope.spawn(|| executor.run(&signal));
        let since = Instant::now();
        while store.open_orders().unwrap() > 0 {
            assert!(since.elapsed() < Duration::from_secs(120) && !running.is_finished(), "it does not get on");
            thread::yield_now();
        }
        signal.end();
        running.join().unwrap().unwrap();
    });
    store
}

#[test]
fn who_is_told_to_end_begins_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let job = ordered(dir.path(), 6);
    let place = StorePlace::seen(&job).unwrap();
    let store = place.open().unwrap();
    let generation = store.current_generation().unwrap();
    let mut executor = Executor::with(&place, generation, &job, &Watch::default(), |_| true).unwrap();
    let signal = Signal::default();
    signal.end();
    executor.run(&signal).unwrap();
    assert_eq!(store.count(State::Ready).unwrap(), 6, "with a receiver that hangs it could take hours");
}

#[test]
fn many_hands_do_each_step_once_and_in_order() {
    const ORDERS: u64 = 24;
    let dir = tempfile::tempdir().unwrap();
    let job = ordered(dir.path(), ORDERS);
    let watch = Watch::default();
    let store = carry_out(&job, &watch);
    let orders = store.orders(Page { state: Some(State::Done), group: None, before: None, limit: 100 }).unwrap();
    assert_eq!(orders.len() as u64, ORDERS);
    for status in &orders {
        let trail = store.trail(&status.order.id).unwrap();
        let steps: Vec<_> = trail.iter().map(|attempt| (attempt.step, attempt.result)).collect();
        let once: Vec<_> = (0..status.order.steps.len()).map(|step| (step, AttemptResult::Done)).collect();
        assert_eq!(steps, once, "sessions first, then the entry, then the messages");
    }
    assert_eq!(std::fs::read_dir(job.data_dir.join(OUTBOX)).unwrap().count() as u64, ORDERS);
    let entries = store.entries_after(0, 1_000).unwrap();
    let audit: String = entries.into_iter().map(|(_, entry)| entry.body + "\n").collect();
    assert_eq!(
        std::fs::read_to_string(job.data_dir.join(AUDIT)).unwrap(),
        audit,
        "the log is the ledger's, to its end"
    );
    for (lane, outcome, count) in watch.responses.attempts() {
        let expected = if outcome == "done" && lane != "dm" { ORDERS } else { 0 };
        assert_eq!(count, expected, "{lane} {outcome}");
    }
    assert!(LANES.contains(&END_SESSIONS) && watch.responses.open.load(Ordering::Relaxed) == 0);
}
