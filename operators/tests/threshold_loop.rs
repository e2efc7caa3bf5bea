//! Detection and what orgs teach, as the engine runs them with the hour's feedback between them: one answer at every
//! number of workers; an org's own activity moves its bar, and a version that it took back raises nobody else.

use engine::coordinator::message::Announcement;
use engine::fault::{Faults, Poison};
use engine::key;
use engine::keyed::Logic;
use engine::keyed::operator::{Input, Keyed, keyed};
use engine::metrics::Status;
use engine::snapshot::objects::Objects;
use engine::snapshot::repository::Repository;
use engine::state::memory::MemoryStores;
use engine::state::store::Stores;
use engine::state::table::Table;
use engine::time::{Micros, Span};
use operators::baseline::distribution::distribution;
use operators::baseline::histograms::Histograms;
use operators::baseline::rollbacks::Rollbacks;
use operators::baseline::thresholds::Thresholds;
use operators::baseline::{VolumeRule, VolumeRules};
use operators::detect::record::{ANOMALIES, CLOSED, DetectOut, DetectRecord, MOVES, WENT_DOWN};
use operators::detect::user_agent_parser::UserAgentParser;
use operators::detect::{Detect, DetectSettings};
use operators::limits::THRESHOLD_DELAY;
use operators::model::event::{Action, Event, EventText, KeyKind, key_of};
use operators::model::software::Software;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use timely::dataflow::operators::capture::{Capture, Event as Captured};
use timely::dataflow::operators::core::to_stream::ToStream;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, ConnectLoop, Feedback};

/// Midnight of the first day, in seconds.
const START: u64 = 19_000 * 86_400;

fn event(org: &str, user: &str, id: &str, secs: u64) -> Event {
    let name = key_of(KeyKind::User, org, user);
    let time = Micros::from_secs(START + secs);
    Event {
        at: time,
        time,
        behind: Span(0),
        partition: 0,
        position: 0,
        key_len: name.len() as u16,
        id_len: id.len() as u16,
        key_hash: key::hash(&name),
        text: [&name, id.as_bytes()].concat().into(),
        id_hash: key::hash(id.as_bytes()),
        kind: KeyKind::User,
        person: key::hash(user.as_bytes()),
        action: Action::FileDownloaded,
        by_app: false,
        is_external: None,
        ok: true,
        session: Some(1),
        agent: None,
        ip: None,
        tls: None,
        client: None,
        measured: Software::default(),
        client_version: None,
        device: None,
        cookie: None,
        asn: None,
        country: None,
        is_anonymous: false,
        entity: None,
    }
}

fn read_text(event: &Event) -> EventText {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    EventText { id: text(event.id()), ua: text(event.line()), ..EventText::default() }
}

fn operator<L: Logic>(name: &str, logic: L, status: &Status, worker: usize, folder: &Path) -> Keyed<L> {
    let store = MemoryStores.create(&folder.join(format!("{name}-{worker}"))).expect("memory");
    let repository = Repository::new(Objects::in_folder(&folder.join("snapshots")).expect("a folder"));
    Keyed {
        name: name.to_owned(),
        logic,
        table: Table::new(store, 1 << 20),
        restored: None,
        totals: status.totals(name, worker, L::TOTALS, vec![0; L::TOTALS.len()]),
        checkpoints: folder.join(format!("{name}-{worker}.checkpoint")),
        shelf: Arc::new(Mutex::new(repository.shelf(1, &format!("{name}.{worker}"), Vec::new()))),
        poison: Poison::default(),
        faults: Faults::default(),
    }
}

/// What comes out over these events, sorted, and how many were applied.
fn run(events: &[Event], workers: usize) -> (Vec<DetectOut>, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, status) = (folder.path().to_owned(), Status::default());
    let (send, receive) = mpsc::channel();
    let (send, events, shared) = (Mutex::new(send), events.to_vec(), status.clone());
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let (index, peers) = (worker.index(), worker.peers());
        let own: Vec<Event> = events.iter().skip(index).step_by(peers).cloned().collect();
        let send = send.lock().expect("no panic").clone();
        let rules = VolumeRules::new(|_| VolumeRule::new(20, 2.0, 40, 80));
        worker.dataflow::<u64, _, _>(|scope| {
            let events = own.to_stream(scope).container::<Vec<_>>().map(DetectRecord::from);
            let none = || Vec::<Announcement>::new().to_stream(scope).container::<Vec<_>>();
            let (handle, taught) = scope.feedback::<Vec<DetectRecord>>(THRESHOLD_DELAY.millis());
            let agents = UserAgentParser::shipped();
            let settings = DetectSettings { imports: Arc::default(), volumes: rules, agents };
            let detect = keyed(
                scope,
                vec![Input::Keyed(events), Input::Broadcast(taught)],
                none(),
                operator("detect", Detect::new(settings, read_text), &shared, index, &path),
            );
            let mut ports: Vec<Option<_>> = detect.ports.into_iter().map(Some).collect();
            let mut port = |port: usize| ports[port].take().expect("taken once");
            let moves = port(MOVES).flat_map(|out| if let DetectOut::Move(moved) = out { Some(moved) } else { None });
            let histograms = operator("histograms", Histograms, &shared, index, &path);
            let deltas = keyed(scope, vec![Input::Keyed(moves)], none(), histograms).ports.remove(0);
            let quantiles = Input::Keyed(distribution(deltas));
            let thresholds = operator("thresholds", Thresholds::new(rules), &shared, index, &path);
            let thresholds = keyed(scope, vec![quantiles], none(), thresholds).ports.remove(0);
            let downs = port(WENT_DOWN);
            let downs = downs.flat_map(|out| if let DetectOut::WentDown(down) = out { Some(down) } else { None });
            let rollbacks = operator("rollbacks", Rollbacks, &shared, index, &path);
            let taken_back = keyed(scope, vec![Input::Keyed(downs)], none(), rollbacks).ports.remove(0);
            thresholds.map(DetectRecord::from).concat(taken_back.map(DetectRecord::from)).connect_loop(handle);
            port(ANOMALIES).concat(port(CLOSED)).capture_into(send);
        });
    });
    drop(guards.expect("workers start"));
    let mut out: Vec<DetectOut> = receive
        .into_iter()
        .filter_map(|captured| if let Captured::Messages(_, out) = captured { Some(out) } else { None })
        .flatten()
        .collect();
    out.sort_by_key(|out| serde_json::to_string(out).expect("plain data"));
    (out, status.total("detect", "applied"))
}

/// Ten days on which 60 users of one org download up to ten files an hour, then two who take 60 within one.
fn activity(seed: u64) -> Vec<Event> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let mut events = Vec::new();
    for day in 0..10u64 {
        for user in 0..60u32 {
            for n in 0..dice.random_range(1..10) {
                let secs = day * 86_400 + 36_000 + dice.random_range(0..3_000);
                events.push(event("E1", &format!("U{user}"), &format!("{day}.{user}.{n}"), secs));
            }
        }
    }
    for (org, first) in [("E1", 0), ("E2", 0), ("E1", 10 * 86_400)] {
        for n in 0..60 {
            events.push(event(org, "thief", &format!("{org}.{first}.{n}"), first + n * 10));
        }
    }
    events.shuffle(&mut dice);
    events
}

#[test]
fn an_orgs_own_activity_moves_its_bar_alike_at_any_number_of_workers() {
    for seed in [1, 2] {
        let events = activity(seed);
        let (out, applied) = run(&events, 1);
        assert_eq!(applied, events.len() as u64, "seed {seed}");
        let raised: Vec<_> =
            out.iter().filter_map(|out| if let DetectOut::Anomaly(a) = out { Some(a) } else { None }).collect();
        // On the first day and in the other org, 60 is under the prior's bar of 80; by the tenth day E1 has taught less.
        assert_eq!(raised.len(), 1, "seed {seed}: {raised:?}");
        let evidence = &raised[0].evidence[0];
        assert_eq!((raised[0].org.as_str(), evidence.threshold_source.as_str()), ("E1", "org"), "seed {seed}");
        let bar: u64 = evidence.threshold.parse().expect("a number");
        assert!((20..60).contains(&bar) && evidence.samples.is_some_and(|n| n > 400), "seed {seed}: {evidence:?}");
        assert_eq!(out.len(), 2, "its case closes");
        for workers in [2, 3] {
            assert_eq!(run(&events, workers), (out.clone(), applied), "seed {seed}, {workers} workers");
        }
    }
}

/// An event of a user's one session, with Slack's app in a version.
fn in_version(org: &str, user: u64, version: u64, secs: u64) -> Event {
    let name = key_of(KeyKind::User, org, &format!("U{user}"));
    let id = format!("{user}.{secs}");
    let ua =
        format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/134.0.0.0 Safari/537.36 Slack_SSB/4.{version}.1");
    Event {
        action: Action::Other,
        text: [&name, id.as_bytes(), ua.as_bytes()].concat().into(),
        agent: Some(key::hash(ua.as_bytes())),
        ..event(org, &format!("U{user}"), &id, secs)
    }
}

/// A version is taken back, a user every ten minutes: who went down more than an hour after the third is not told of.
#[test]
fn a_version_that_was_taken_back_raises_the_first_few_alike_at_any_number_of_workers() {
    let mut events = Vec::new();
    for user in 0..40 {
        let down = 7_200 + user * 600;
        events.extend([in_version("E1", user, 41, 0), in_version("E1", user, 40, down)]);
        events.extend((1..4).map(|n| in_version("E1", user, 40, down + n * 7_200)));
    }
    events.extend([in_version("E2", 1, 41, 0), in_version("E2", 1, 40, 30_000)]);
    events.shuffle(&mut ChaCha8Rng::seed_from_u64(1));
    let (out, applied) = run(&events, 1);
    assert_eq!(applied, events.len() as u64);
    let mut raised: Vec<String> = Vec::new();
    for one in &out {
        if let DetectOut::Anomaly(anomaly) = one {
            raised.push(format!("{} {}", anomaly.org, anomaly.user));
        }
    }
    raised.sort();
    // The third user goes down at 8,400 seconds; an hour later is that of the ninth.
    let expected: Vec<String> = (0..8).map(|user| format!("E1 U{user}")).chain(["E2 U1".to_owned()]).collect();
    assert_eq!(raised, expected);
    for workers in [2, 3] {
        assert_eq!(run(&events, workers), (out.clone(), applied), "{workers} workers");
    }
}
