//! The promise: sessions are ended once. A receiver that honours keys sees one key for each response, however badly it
//! answers and whenever the program is killed; what may have happened at one that does not is shown to an admin instead
//! of being repeated for long.

use crate::inputs::{EXIT, Event, Sample};
use crate::outputs::{Outputs, ledger, lines_so_far};
use crate::receiver::{Act, Receiver};
use crate::support::{Config, Place, Running, aerie};
use connectors::sign::WebhookKeys;
use connectors::store::Store;
use engine::ledger::{Ledger, OrderStatus, Page, State};
use operators::sample::Plan;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A job whose activity is happening now.
struct Live {
    input: PathBuf,
    config: Config,
}

impl Live {
    fn new(place: &Place, sessions: &str) -> Self {
        let input = place.write("events", "");
        let source = "follow = true\nmax_delay = \"200ms\"\nmax_disorder = \"1s\"";
        let sections = format!("[destinations]\nallow_private = [\"127.0.0.1\"]\n[sessions]\n{sessions}");
        let config = place.config("data", std::slice::from_ref(&input), source, &sections);
        let config = config.tor_list(&place.write("tor", format!("{EXIT}\n"))).settings("snapshot_every = \"100ms\"");
        Live { input, config }
    }

    /// Each of these users comes from an exit, which is answered.
    fn attack(&self, users: &[&str]) {
        self.attack_in("E1", users);
    }

    /// [`Live::attack`] on users of this org.
    fn attack_in(&self, org: &str, users: &[&str]) {
        let mut file = OpenOptions::new().append(true).open(&self.input).expect("the input is there");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs_f64();
        for user in users {
            let event = Event::new(&format!("e{user}"), 0).org(org).user(user).session(user).ip(EXIT);
            writeln!(file, "{}", event.set("/date_create", json!(now)).line()).expect("the input can be appended to");
        }
    }

    /// The session in which a user came from the exit does so again.
    fn goes_on(&self, user: &str, nth: u64) {
        let mut file = OpenOptions::new().append(true).open(&self.input).expect("the input is there");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs_f64();
        let event = Event::new(&format!("e{user}.{nth}"), 0).user(user).session(user).ip(EXIT);
        writeln!(file, "{}", event.set("/date_create", json!(now)).line()).expect("the input can be appended to");
    }

    /// Where the responses to users stand.
    fn orders(&self) -> BTreeMap<String, OrderStatus> {
        let decisions = lines_so_far(&self.config.data_dir.join("decisions.ndjson"));
        let decided = decisions.iter().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
        let users: BTreeMap<String, String> = decided
            .filter_map(|line| Some((line["response_id"].as_str()?.to_owned(), line["user"].as_str()?.to_owned())))
            .collect();
        let Ok(ledger) = Store::read_file(&self.config.data_dir.join("control.sqlite")) else {
            return BTreeMap::new();
        };
        let page = Page { state: None, group: None, before: None, limit: 100 };
        let orders = ledger.orders(page).unwrap_or_default();
        orders.into_iter().filter_map(|status| Some((users.get(&status.order.id)?.clone(), status))).collect()
    }

    /// Waits until the responses to users have come to rest.
    fn rested(&self, running: &mut Running, users: &[&str]) -> BTreeMap<String, OrderStatus> {
        let rests = |status: &OrderStatus| status.due_ms.is_none();
        running.running_until("all responses to come to rest", || {
            let orders = self.orders();
            users.iter().all(|user| orders.get(*user).is_some_and(rests))
        });
        self.orders()
    }
}

fn states(orders: &BTreeMap<String, OrderStatus>) -> Vec<(&str, State)> {
    orders.iter().map(|(user, status)| (user.as_str(), status.state)).collect()
}

#[test]
fn a_receiver_that_honours_keys_sees_one_for_each_response_however_badly_it_answers() {
    let place = Place::new();
    let ok = || Act::answer(200, "", "{\"sessions_ended\": 2}");
    let receiver = Receiver::start(move |user, attempt| match (user, attempt) {
        ("U2", 1) => Act::answer(429, "Retry-After: 3\r\n", ""),
        ("U3", 1 | 2) => Act::answer(500, "", "no"),
        ("U4", 1 | 2) => Act::Reset,
        ("U5", _) => Act::answer(307, "Location: /elsewhere\r\n", ""),
        ("U6", _) => Act::Endless,
        ("U7", _) => Act::answer(403, "", "who are you?"),
        ("U8", 1) => Act::Hang,
        _ => ok(),
    });
    let sessions = format!("kind = \"webhook\"\nurl = \"http://{}/end\"", receiver.address);
    let mut live = Live::new(&place, &sessions);
    live.config = live.config.env("AERIE__SESSIONS__SECRET", SECRET);
    let users = ["U1", "U2", "U3", "U4", "U5", "U6", "U7", "U8"];
    let mut running = live.config.start();
    live.attack(&users);
    let orders = live.rested(&mut running, &users);
    let dead = |user: &str| ["U5", "U7"].contains(&user);
    let expected = users.map(|user| (user, if dead(user) { State::Dead } else { State::Done }));
    assert_eq!(states(&orders), expected);
    for (user, told) in [("U5", "redirects are not followed"), ("U7", "`who are you?`; see that both sides")] {
        let error = orders[user].error.as_deref().unwrap_or_default();
        assert!(error.contains(told), "{user}: {error}");
    }

    let mut keys = BTreeSet::new();
    let verify = WebhookKeys::parse(SECRET).expect("a secret");
    for (user, attempts) in users.into_iter().zip([1, 2, 3, 3, 1, 1, 1, 2]) {
        let calls = receiver.calls_of(user);
        assert_eq!(calls.len(), attempts, "{user}");
        for call in &calls {
            let id = call.header("idempotency-key");
            assert_eq!(id, orders[user].order.id, "the key is the id of the response");
            assert_eq!(call.header("webhook-id"), id);
            assert_eq!(call.body, calls[0].body);
            assert!(call.head.starts_with("POST /end "), "{}", call.head);
            let seconds = call.header("webhook-timestamp").parse().expect("a number");
            assert_eq!(call.header("webhook-signature"), verify.sign(id, seconds, &call.body));
        }
        keys.insert(orders[user].order.id.clone());
    }
    assert_eq!(keys.len(), users.len());
    let waited = |user: &str| {
        let calls = receiver.calls_of(user);
        calls[1].at - calls[0].at
    };
    assert!(waited("U2") >= Duration::from_secs(3), "{:?}", waited("U2"));
    assert!(waited("U3") >= Duration::from_millis(900), "{:?}", waited("U3"));

    let audit = lines_so_far(&live.config.data_dir.join("audit.ndjson"));
    let ended = |user: &str| {
        let values = audit.iter().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
        let found: Vec<_> = values
            .filter(|entry| entry["action"] == "user_sessions_reset_by_anomaly_event_response")
            .filter(|entry| entry["entity"]["user"]["id"] == user)
            .map(|entry| entry["details"]["sessions_ended"].clone())
            .collect();
        assert!(found.len() <= 1, "{user}: {found:?}");
        found.into_iter().next()
    };
    assert_eq!((ended("U1"), ended("U6"), ended("U7")), (Some(json!(2)), Some(Value::Null), None));
    let ended = running.terminate().done();
    assert!(!ended.stderr.contains("whsec_"), "{}", ended.stderr);
}

/// Its calls would keep every hand for many times as long as one of them may take.
#[test]
fn a_receiver_that_hangs_for_one_org_keeps_no_other_waiting_nor_their_messages() {
    const HANGING: [&str; 12] = ["H1", "H2", "H3", "H4", "H5", "H6", "H7", "H8", "H9", "Ha", "Hb", "Hc"];
    let place = Place::new();
    let receiver = Receiver::start(|user, _| match user.starts_with('H') {
        true => Act::Hang,
        false => Act::answer(204, "", ""),
    });
    let sessions = format!("kind = \"webhook\"\nurl = \"http://{}/\"", receiver.address);
    let mut live = Live::new(&place, &sessions);
    live.config = live.config.env("AERIE__SESSIONS__SECRET", SECRET);
    let mut running = live.config.start();
    live.attack(&HANGING[..10]);
    running.running_until("a call that hangs", || !receiver.calls_of("H1").is_empty());
    live.attack_in("E2", &["U1", "U2", "U3"]);
    live.attack(&HANGING[10..]);
    let orders = live.rested(&mut running, &["U1", "U2", "U3"]);
    for user in ["U1", "U2", "U3"] {
        assert_eq!(orders[user].state, State::Done, "its message was sent, too");
    }
    // No call has been given up meanwhile: nobody waited for that.
    let tried = HANGING.iter().filter_map(|user| orders.get(*user)).map(|status| status.attempt).max();
    assert_eq!(tried, Some(1));
    assert!(running.kill(), "it was running");
}

#[test]
fn a_program_that_is_killed_during_a_call_makes_it_again_under_the_same_key() {
    let place = Place::new();
    let receiver = Receiver::start(|user, attempt| match (user, attempt) {
        ("U1", 1) => Act::Hang,
        _ => Act::answer(204, "", ""),
    });
    let sessions = format!("kind = \"webhook\"\nurl = \"http://{}/\"", receiver.address);
    let mut live = Live::new(&place, &sessions);
    live.config = live.config.env("AERIE__SESSIONS__SECRET", SECRET);
    let mut running = live.config.start();
    live.attack(&["U1", "U2"]);
    running.running_until("a call", || !receiver.calls_of("U1").is_empty());
    assert!(running.kill(), "it was running");
    let mut running = live.config.start();
    let orders = live.rested(&mut running, &["U1", "U2"]);
    assert_eq!(states(&orders), [("U1", State::Done), ("U2", State::Done)]);
    let calls = receiver.calls_of("U1");
    let keys: BTreeSet<_> = calls.iter().map(|call| call.header("idempotency-key")).collect();
    assert_eq!((calls.len(), keys.len()), (2, 1));
    running.terminate().done();
}

/// An hour, which is what a step is tried for by default, is made two seconds here.
#[test]
fn what_goes_on_after_a_receiver_was_gone_for_too_long_is_answered_anew() {
    let place = Place::new();
    let back = Arc::new(AtomicBool::new(false));
    let is_back = back.clone();
    let receiver = Receiver::start(move |user, _| match user == "U0" || is_back.load(Ordering::SeqCst) {
        true => Act::answer(204, "", ""),
        false => Act::answer(503, "", ""),
    });
    let sessions =
        format!("kind = \"webhook\"\nurl = \"http://{}/\"\n[respond]\ngive_up_after = \"2s\"", receiver.address);
    let mut live = Live::new(&place, &sessions);
    live.config = live.config.env("AERIE__SESSIONS__SECRET", SECRET);
    let mut running = live.config.start();
    live.attack(&["U0", "U1"]);
    let first = live.rested(&mut running, &["U0", "U1"])["U1"].clone();
    assert_eq!(first.state, State::Dead);
    assert!(first.error.is_some_and(|error| error.contains("given up after 2s")));
    back.store(true, Ordering::SeqCst);
    // The same session goes on, and the case that was open is over once it is heard that nobody ended it.
    let mut events = 0;
    let others = || -> Vec<String> {
        let calls = receiver.calls_of("U1").into_iter().map(|call| call.header("idempotency-key").to_owned());
        calls.filter(|key| *key != first.order.id).collect()
    };
    running.running_until("a call under another key", || {
        events += 1;
        live.goes_on("U1", events);
        !others().is_empty()
    });
    let entries = live.config.data_dir.join("audit.ndjson");
    let resets = || -> Vec<Value> {
        let lines = lines_so_far(&entries).into_iter().map(|line| serde_json::from_str(&line).expect("a line is JSON"));
        let of_user = |entry: &Value| entry["entity"]["user"]["id"] == "U1" && entry["details"]["verdict"].is_string();
        lines.filter(of_user).collect()
    };
    running.running_until("its audit entry", || !resets().is_empty());
    assert_eq!((others().len(), resets().len()), (1, 1), "once, however long it goes on");
    assert_eq!((&resets()[0]["id"], &resets()[0]["details"]["verdict"]), (&json!(others()[0]), &json!("first")));
    running.terminate().done();
}

/// Whoever starts on what is known of a month does not want people to be signed out for it.
#[test]
fn a_backfill_of_four_weeks_ends_nobodys_sessions_and_tells_nobody() {
    let place = Place::new();
    let sample = Sample::of(Plan { seed: 28, orgs: 2, users: 20, days: 28 });
    let receiver = Receiver::start(|_, _| Act::answer(204, "", ""));
    let sections = format!(
        "[destinations]\nallow_private = [\"127.0.0.1\"]\n[sessions]\nkind = \"webhook\"\nurl = \"http://{}/\"",
        receiver.address
    );
    let events = place.write_lines("events.ndjson", &sample.events);
    let config = place.config("data", &[events], "", &sections).env("AERIE__SESSIONS__SECRET", SECRET);
    let config = config.control(&place.write("control.ndjson", &sample.control));
    let config = config.tor_list(&place.write("tor.txt", &sample.tor));
    let totals = config.start().wait().done().totals();
    assert!(totals.of("responses") > 10, "too little to be stale: {totals:?}");
    let store = ledger(&config.data_dir).expect("there is a store");
    assert!(store.count(State::Expired).expect("orders can be counted") >= totals.of("responses"));
    for state in State::ALL.into_iter().filter(|state| *state != State::Expired) {
        assert_eq!(store.count(state).expect("orders can be counted"), 0, "{}", state.name());
    }
    let left = Outputs::of(&config.data_dir);
    assert_eq!((receiver.calls().len(), left.responses().len(), left.outbox.len()), (0, 0, 0));
}

#[test]
fn what_may_have_happened_at_a_receiver_without_keys_is_shown_and_not_repeated_for_long() {
    let place = Place::new();
    let said = |body: Value| Act::answer(200, "", &body.to_string());
    let receiver = Receiver::start(move |user, attempt| match (user, attempt) {
        ("U2", _) => Act::Reset,
        ("U3", 1) => Act::answer(429, "Retry-After: 2\r\n", "{\"ok\":false,\"error\":\"ratelimited\"}"),
        ("U4", _) => said(json!({"ok": false, "error": "cannot_reset_primary_owner"})),
        _ => said(json!({"ok": true})),
    });
    let sessions = format!("kind = \"slack\"\nurl = \"http://{}/api/\"", receiver.address);
    let mut live = Live::new(&place, &sessions);
    live.config = live.config.env("AERIE__SESSIONS__TOKEN", "E1 xoxp-hunter2 E2 xoxp-other");
    let users = ["U1", "U2", "U3", "U4"];
    let mut running = live.config.start();
    live.attack(&users);
    let orders = live.rested(&mut running, &users);
    let expected = [State::Done, State::Unknown, State::Done, State::Dead];
    assert_eq!(states(&orders), users.into_iter().zip(expected).collect::<Vec<_>>());
    let error = |user: &str| orders[user].error.clone().unwrap_or_default();
    assert!(error("U2").contains("gave no answer"), "{}", error("U2"));
    assert!(error("U4").contains("only the Primary Owner"), "{}", error("U4"));

    let calls = receiver.calls_of("U2");
    let span = calls[calls.len() - 1].at - calls[0].at;
    assert!(calls.len() >= 2 && span <= Duration::from_secs(31), "{} calls in {span:?}", calls.len());
    let rested = receiver.calls_of("U3");
    assert!(rested.len() == 2 && rested[1].at - rested[0].at >= Duration::from_secs(2), "{rested:?}");
    for call in receiver.calls() {
        assert!(call.head.starts_with("POST /api/admin.users.session.reset "), "{}", call.head);
        assert_eq!(call.header("authorization"), "Bearer xoxp-hunter2");
    }
    let ended = running.terminate().done();
    let audit = lines_so_far(&live.config.data_dir.join("audit.ndjson")).join("\n");
    let errors: String = users.map(error).concat();
    for text in [&ended.stderr, &ended.stdout, &audit, &errors] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_check_says_who_is_asked() {
    let told = aerie(&["check", "--config", "config/jobs/webhook.toml"]).done().stdout;
    assert!(told.contains("end      sessions by a signed call to sessions.internal"), "{told}");
    let told = aerie(&["check", "--config", "config/jobs/files.toml"]).done().stdout;
    assert!(told.contains("end      nobody's sessions"), "{told}");
}
