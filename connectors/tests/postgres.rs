//! The store on a real PostgreSQL server: the contract, and what only a server can do to it.

#![expect(clippy::unwrap_used, reason = "a test")]

#[path = "support/postgres.rs"]
mod server;

use connectors::store::postgres::{Patience, Server, Tls};
use connectors::store::{Comes, Keep, Store};
use engine::error::Error;
use engine::ledger::{self, Ask, Batch, Entry, Ledger, Order, Recorded, Scope, State, StepOutcome, Term, conformance};
use engine::source::journal::{Journal, JournalEntry, Judgement};
use engine::source::partition::PartitionState;
use engine::time::Micros;
use server::{PASSWORD, Postgres};
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Tells the child where its store is.
const STORE: &str = "AERIE_TEST_POSTGRES_URL";

const PATIENCE: Duration = Duration::from_secs(120);

fn keep<'a>(at: u64, slot: &'a str, line: &'a str) -> Keep<'a> {
    Keep { at: Micros(at), line, comes_of: Comes::In(slot) }
}

fn start() -> Postgres {
    Postgres::start(tempfile::tempdir().unwrap())
}

fn at(url: &str, schema: &str) -> Server {
    Server::parse(url, schema, Tls::Off).unwrap().with_password(PASSWORD)
}

/// Who waits for as long as it takes.
fn patience() -> Patience {
    Patience::until(Arc::new(AtomicBool::new(false)))
}

fn open(server: &Postgres, schema: &str) -> Store {
    Store::open_server(&at(&server.url(), schema), patience()).unwrap()
}

/// Runs statements behind the store's back.
fn meddle(server: &Postgres, statements: &str) {
    let words = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statements];
    let psql = Command::new("psql").env("PGPASSWORD", PASSWORD).args(words).arg(server.url()).output().unwrap();
    assert!(psql.status.success(), "{}", String::from_utf8_lossy(&psql.stderr));
}

fn entry(id: &str, at: u64) -> Entry {
    let terms = vec![Term { kind: 1, value: "t".to_owned() }];
    let (id, at, body) = (id.to_owned(), Micros(at), format!("{{\"at\":{at}}}"));
    Entry { id, at, dated: at, group: "g".to_owned(), terms, body }
}

fn batch(at: u64) -> Batch {
    let (group, steps) = ("g".to_owned(), vec!["only".to_owned()]);
    Batch {
        entries: vec![entry(&format!("a-{at}"), at), entry(&format!("b-{at}"), at)],
        orders: vec![Order { id: format!("o-{at}"), at: Micros(at), group, payload: vec![0, 255], steps }],
        ..Batch::default()
    }
}

fn ask(now_ms: u64, limit: usize) -> Ask<'static> {
    Ask { lanes: &["only"], now_ms, lease_ms: 0, limit, per_group: usize::MAX }
}

#[test]
fn it_is_a_ledger() {
    let server = start();
    conformance::check(&mut || Box::new(open(&server, "first"))).unwrap();
    // Another schema is another store.
    assert_eq!(open(&server, "second").issued_through().unwrap(), Micros::ZERO);
}

#[test]
fn it_keeps_a_journal_and_control_records() {
    let server = start();
    let mut store = open(&server, "aerie");
    let judged = |partition: &str, seq: u64, judgement| JournalEntry {
        partition: partition.to_owned(),
        seq,
        position: seq * 100,
        judgement,
        watermark: Micros(seq),
    };
    let a = [judged("a", 1, Judgement::Idle), judged("a", 2, Judgement::Ahead), judged("a", 10, Judgement::Idle)];
    store.append(&[a[0].clone(), judged("b", 1, Judgement::Ahead), a[1].clone(), a[2].clone()]).unwrap();
    store.append(&a).unwrap();
    assert_eq!(open(&server, "aerie").load("a").unwrap(), a);
    let refused = store.append(&[judged("c", 1, Judgement::Idle), judged("a", 9, Judgement::Idle)]).unwrap_err();
    assert!(matches!(refused, Error::Fault(_)), "{refused}");
    assert_eq!(store.load("c").unwrap(), [], "nothing is written then");
    let mut from = PartitionState { position: 150, ..PartitionState::default() };
    from.judge.watermark = Micros(1);
    store.shorten("a", &[&from]).unwrap();
    assert_eq!(store.load("a").unwrap(), a[1..]);

    for (at, slot, line) in [(10, "a", "a1\0é"), (10, "b", "b1"), (10, "a", "a2"), (40, "a", "a4"), (30, "a", "a3")] {
        store.keep_control(&[keep(at, slot, line)]).unwrap();
    }
    let kept =
        |store: &Store| store.control().unwrap().into_iter().map(|kept| (kept.seq, kept.line)).collect::<Vec<_>>();
    assert_eq!(kept(&store)[0], (1, "a1\u{fffd}é".to_owned()));
    store.forget_control(Micros(39)).unwrap();
    let left = [(2, "b1"), (4, "a4"), (5, "a3")].map(|(seq, line)| (seq, line.to_owned()));
    assert_eq!(kept(&open(&server, "aerie")), left);
    store.take_over(5).unwrap();
    let mut old = open(&server, "aerie");
    assert!(ledger::is_superseded(&old.keep_control(&[keep(50, "a", "a5")]).unwrap_err()));
    assert!(ledger::is_superseded(&old.append(&a).unwrap_err()));
}

#[test]
fn many_can_make_the_tables_at_once_and_their_numbers_ascend() {
    let server = start();
    const EACH: u64 = 20;
    std::thread::scope(|scope| {
        for worker in 0..8_u64 {
            let server = &server;
            scope.spawn(move || {
                let mut store = open(server, "aerie");
                for n in 0..EACH {
                    assert!(store.receipt(&format!("{worker}-{n}"), "").unwrap());
                }
            });
        }
        // Who reads while they write never sees a number come before one that it has seen.
        let (store, deadline) = (open(&server, "aerie"), Instant::now() + PATIENCE);
        let (mut last, mut seen) = (0, 0);
        while seen < 8 * EACH {
            assert!(Instant::now() < deadline, "only {seen} came");
            for (seq, _) in store.receipts_after(last, 7).unwrap() {
                (last, seen) = (seq, seen + 1);
            }
        }
    });
}

#[test]
fn two_handles_issue_and_work_at_once() {
    let server = start();
    let (mut issuer, mut worker) = (open(&server, "aerie"), open(&server, "aerie"));
    const ORDERS: u64 = 100;
    let issuing =
        std::thread::spawn(move || (1..=ORDERS).for_each(|at| drop(issuer.issue(&batch(at), Micros(at)).unwrap())));
    let (mut done, deadline) = (BTreeSet::new(), Instant::now() + PATIENCE);
    while (done.len() as u64) < ORDERS {
        assert!(Instant::now() < deadline, "only {} orders are done", done.len());
        for claim in worker.claim(&Ask { lease_ms: 1_000, ..ask(1, 7) }).unwrap() {
            let recorded = worker.record(&claim, &StepOutcome::Done { detail: None }, &[], 1).unwrap();
            assert_eq!(recorded, Recorded::Applied);
            assert!(done.insert(claim.order.id));
        }
    }
    issuing.join().unwrap();
    assert_eq!(worker.count(State::Done).unwrap(), ORDERS);
}

#[test]
fn what_is_refused_is_told_without_the_password() {
    let server = start();
    let refused = |server: &Server| Store::open_server(server, patience()).unwrap_err();
    let wrong = Server::parse(&server.url(), "aerie", Tls::Off).unwrap().with_password("wrong-hunter3");
    let error = refused(&wrong);
    assert!(matches!(&error, Error::Invalid(text) if !text.contains("hunter3")), "{error:?}");
    assert!(!format!("{wrong:?}").contains("hunter3"));
    let nowhere = at(&server.url().replace("/postgres", "/nowhere"), "aerie");
    assert!(matches!(refused(&nowhere), Error::Invalid(_)));
    let unencrypted = Server::parse(&server.url(), "aerie", Tls::System).unwrap().with_password(PASSWORD);
    let error = refused(&unencrypted);
    assert!(matches!(&error, Error::Invalid(_)), "the server speaks no TLS: {error:?}");

    let missing = Store::existing_on_server(&at(&server.url(), "missing")).unwrap_err();
    assert!(matches!(&missing, Error::Invalid(text) if text.contains("no control store")), "{missing}");
    drop(open(&server, "aerie"));
    meddle(
        &server,
        "update aerie.numbers set value = 99 where name = 'format'; create schema other; create table other.t (x int)",
    );
    let newer = refused(&at(&server.url(), "aerie"));
    assert!(matches!(&newer, Error::Corrupt(text) if text.contains("version 99")), "{newer}");
    let foreign = refused(&at(&server.url(), "other"));
    assert!(matches!(&foreign, Error::Corrupt(text) if text.contains("something else")), "{foreign}");

    for url in ["postgresql://a:b@h/d", "mysql://h/d", "postgresql://a@h:x/d", "postgresql:///d"] {
        let refused = Server::parse(url, "aerie", Tls::Off).unwrap_err();
        assert!(!refused.contains("a:b"), "{refused}");
    }
    assert!(Server::parse("postgresql://a@h/d", "no schema; --", Tls::Off).is_err());
    let far = Server::parse("postgresql://a@db.example.org/d", "aerie", Tls::Off).unwrap();
    assert!(!far.is_private() && at(&server.url(), "aerie").is_private());
    assert!(Server::parse("postgresql:///d?host=/run/postgresql", "aerie", Tls::System).unwrap().is_private());
}

#[test]
fn a_store_that_is_frozen_stays_as_it_was() {
    let server = start();
    let mut store = open(&server, "aerie");
    store.issue(&batch(5), Micros(9)).unwrap();
    let mut frozen = Store::existing_on_server(&at(&server.url(), "aerie")).unwrap().freeze("unused".as_ref()).unwrap();
    store.issue(&batch(10), Micros(10)).unwrap();
    assert_eq!((frozen.issued_through().unwrap(), frozen.entries_after(0, 9).unwrap().len()), (Micros(9), 2));
    assert!(frozen.hold(Scope::All, true, 1).is_err(), "it only reads");
    assert_eq!(store.issued_through().unwrap(), Micros(10));
}

/// Not a test of its own: what the child does until it is killed.
#[test]
fn child() {
    let Ok(url) = std::env::var(STORE) else { return };
    work(&mut Store::open_server(&at(&url, "aerie"), patience()).unwrap(), u64::MAX);
}

/// Issues and carries out, up to a time.
fn work(store: &mut Store, end: u64) {
    for at in store.issued_through().unwrap().0 + 1..=end {
        store.issue(&batch(at), Micros(at)).unwrap();
        for claim in store.claim(&ask(at, 1)).unwrap() {
            let done = entry(&format!("done-{}", claim.order.id), claim.order.at.0);
            let _ = store.record(&claim, &StepOutcome::Done { detail: None }, &[done], at).unwrap();
        }
    }
}

fn check_whole(store: &mut Store) -> u64 {
    let through = store.issued_through().unwrap().0;
    let done = store.count(State::Done).unwrap();
    let orders: u64 = State::ALL.iter().map(|state| store.count(*state).unwrap()).sum();
    assert_eq!(orders, through, "one order for each point in time");
    assert_eq!(store.entries_after(0, 100_000).unwrap().len() as u64, 2 * through + done);
    for at in 1..=through {
        let issued = store.issue(&batch(at), Micros(at)).unwrap();
        assert_eq!((issued.repeated, issued.differing), (3, vec![]), "at {at}");
    }
    through
}

fn wait_for(store: &Store, through: u64) {
    let deadline = Instant::now() + PATIENCE;
    while store.issued_through().unwrap().0 < through {
        assert!(Instant::now() < deadline, "nothing gets on");
    }
}

#[test]
fn a_killed_process_leaves_whole_transactions() {
    let server = start();
    let mut store = open(&server, "aerie");
    for _ in 0..4 {
        let before = store.issued_through().unwrap().0;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child"])
            .env(STORE, server.url())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_for(&store, before + 20);
        child.kill().unwrap();
        child.wait().unwrap();
        // Whatever the killed one had begun is over once another can write.
        assert!(check_whole(&mut store) >= before + 20);
    }
}

#[test]
fn a_killed_server_is_waited_for_and_nothing_is_lost_or_done_twice() {
    let mut server = start();
    let mut store = open(&server, "aerie");
    let (mut worker, end) = (open(&server, "aerie"), 150);
    let working = std::thread::spawn(move || work(&mut worker, end));
    for through in [20, 60, 100] {
        wait_for(&store, through);
        server.kill();
        assert!(!working.is_finished(), "it waits");
        server.restart();
    }
    working.join().unwrap();
    assert_eq!(check_whole(&mut store), end);
}

#[test]
fn who_is_told_to_stop_does_not_wait() {
    let mut server = start();
    let stop = Arc::new(AtomicBool::new(false));
    let mut store = Store::open_server(&at(&server.url(), "aerie"), Patience::until(stop.clone())).unwrap();
    let mut hasty = Store::existing_on_server(&at(&server.url(), "aerie")).unwrap();
    server.kill();
    // A process of the killed server may answer once more before it notices.
    let refused = std::iter::repeat_with(|| hasty.hold(Scope::All, true, 1)).find_map(Result::err);
    assert!(matches!(refused, Some(Error::Unavailable(_))));
    let waiting = std::thread::spawn(move || store.receipt("k", ""));
    stop.store(true, Ordering::SeqCst);
    assert!(matches!(waiting.join().unwrap(), Err(Error::Unavailable(_))));
}

/// One that stands still inside a transaction loses it, so that the others can go on.
#[test]
fn who_stands_still_is_put_out() {
    let server = start();
    let mut store = open(&server, "aerie");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child"])
        .env(STORE, server.url())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(&store, 10);
    let stop = |signal: &str| {
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    };
    stop("-STOP");
    // Wherever it was stopped, another takes over.
    store.take_over(1).unwrap();
    assert_eq!(store.current_generation().unwrap(), 1);
    child.kill().unwrap();
    child.wait().unwrap();
}
