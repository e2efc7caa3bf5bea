//! The promise: every anomaly that could be answered is decided by the first rule that applies, each rule is reached, limits
//! hold and are told of, what an org sets is on the audit log, and the kill switch stops effects at once.

use crate::inputs::{EXIT, Event, START, control, in_order};
use crate::outputs::{Outputs, ledger, lines_so_far, snapshots};
use crate::support::{Job, Place, Totals, aerie};
use engine::ledger::{Ledger, Page};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The names of all outcomes, in the order of the contract.
const OUTCOMES: [&str; 11] = [
    "external_user",
    "bot_user",
    "app_actor",
    "disabled",
    "excluded_user",
    "excluded_group",
    "already_answered",
    "loop_protected",
    "rate_limited",
    "shadow",
    "responded",
];

/// What is set in the orgs of the scenario.
fn set() -> Vec<String> {
    let before = START - 86_400;
    let user = |org: &str, user: &str, value: Value| control("user", org, user, value, before);
    let tor = |response: Value| json!({"responses": {"tor": response}});
    let owner = |org: &str| json!({"name": "Olga", "email": format!("owner@{org}.example"), "is_primary_owner": true});
    let excluded = json!({"enabled": true, "exclude_users": ["EXCLUDED"], "exclude_groups": ["S1"]});
    let mut records = vec![
        user("E1", "OWNER", owner("e1")),
        user("E3", "OWNER", owner("e3")),
        user("E1", "EXTERNAL", json!({"is_external": true})),
        user("E1", "BOT", json!({"is_bot": true})),
        user("E1", "MEMBER", json!({"groups": ["S1"]})),
        control("settings", "E1", "aer", tor(excluded), before),
        control("settings", "E2", "aer", tor(json!({"enabled": false})), before),
        control("control", "E4", "shadow", json!({"on": true, "reasons": ["tor"]}), before),
    ];
    // What is set midway holds from then on.
    records.push(control("settings", "E2", "aer", json!({}), START + 7_200));
    let list = json!({"trusted_cidr": ["203.0.113.0/24"]});
    records.push(control("allow_list", "E2", "trusted", list, START + 7_200));
    records
}

/// What happens: who comes through an exit, in which session, so many minutes after the start.
fn visit(org: &str, user: &str, session: &str, minutes: u64) -> Event {
    let id = format!("{org}-{user}-{session}-{minutes}");
    Event::new(&id, START + minutes * 60).org(org).user(user).session(session).ip(EXIT)
}

fn happens() -> Vec<String> {
    let app = json!({"id": "A1", "name": "Sync"});
    let mut events = vec![
        visit("E1", "EXTERNAL", "x", 1),
        visit("E1", "BOT", "b", 2),
        visit("E1", "APPLIED", "a", 3).member("/context", "app", app),
        visit("E1", "EXCLUDED", "e", 4),
        visit("E1", "MEMBER", "m", 5),
        visit("E2", "OFF", "o1", 6),
        visit("E4", "DRY", "d", 7),
        // The same session once more when the first case is over.
        visit("E1", "TWICE", "t", 8),
        visit("E1", "TWICE", "t", 130),
        // By then the toggle has been set back to its default.
        visit("E2", "OFF", "o2", 125),
    ];
    // An attacker who comes again and again, by nothing that the user is known by.
    events.extend((0..12).map(|n| visit("E1", "VICTIM", &format!("v{n}"), 10 + 2 * n)));
    // More people than an org may have answered within an hour.
    events.extend((0..13).map(|n| visit("E3", &format!("P{n:02}"), &format!("p{n}"), 10 + n)));
    // A person with habits, in sessions of their own through an exit.
    let day = 24 * 60;
    let habit = |n: u64| {
        let id = format!("habit-{n}");
        Event::new(&id, START - (n + 1) * day * 60).user("HONEST").session("home")
    };
    events.extend((0..5).map(habit));
    events.extend([20, 25, 31, 80, 92, 100, 300].map(|minutes| visit("E1", "HONEST", &format!("h{minutes}"), minutes)));
    // Somebody else much later, so that all cases close.
    events.push(Event::new("last", START + 2 * day * 60).user("LATER").session("l"));
    in_order(events.iter().map(Event::line).collect())
}

fn scenario(place: &Place, name: &str) -> Job {
    let events = place.write_lines("events.ndjson", &happens());
    let exits = place.write("exits.txt", format!("{EXIT}\n"));
    place.job(name, &[events]).control(&place.write_lines("control.ndjson", &set())).tor_list(&exits)
}

/// What was decided about each user, in order of time.
fn by_user(outputs: &Outputs) -> BTreeMap<String, Vec<String>> {
    let mut decided: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in outputs.decisions() {
        let text = |name: &str| line[name].as_str().expect("a text").to_owned();
        decided.entry(format!("{} {}", text("org"), text("user"))).or_default().push(text("decision"));
    }
    decided
}

fn entries(outputs: &Outputs, action: &str) -> Vec<Value> {
    let entries = outputs.audit.iter().map(|line| serde_json::from_str::<Value>(line).expect("an entry is JSON"));
    entries.filter(|entry| entry["action"] == action).collect()
}

/// Recipient and text of each mail that tells of a limit.
fn escalations(outputs: &Outputs) -> Vec<(String, String)> {
    let mails = outputs.outbox.values().filter(|mail| mail.contains("was not signed out"));
    let to = |mail: &String| {
        let line = mail.lines().find_map(|line| line.strip_prefix("To: ")).expect("a mail has a recipient");
        (line.to_owned(), mail.clone())
    };
    mails.map(to).collect()
}

#[test]
fn every_outcome_is_reached_and_limits_are_told_of() {
    let place = Place::new();
    let one = scenario(&place, "one").workers(1);
    let totals: Totals = one.run();
    let outputs = Outputs::of(&one.data_dir);
    let decided = by_user(&outputs);
    for (user, expected) in [
        ("E1 EXTERNAL", vec!["external_user"]),
        ("E1 BOT", vec!["bot_user"]),
        ("E1 APPLIED", vec!["app_actor"]),
        ("E2 OFF", vec!["disabled", "responded"]),
        ("E1 EXCLUDED", vec!["excluded_user"]),
        ("E1 MEMBER", vec!["excluded_group"]),
        ("E1 TWICE", vec!["responded", "already_answered"]),
        ("E1 VICTIM", [vec!["responded"; 10], vec!["loop_protected"; 2]].concat()),
        (
            "E1 HONEST",
            vec![
                "responded",
                "loop_protected",
                "responded",
                "loop_protected",
                "responded",
                "loop_protected",
                "loop_protected",
            ],
        ),
        ("E4 DRY", vec!["shadow"]),
        ("E3 P09", vec!["responded"]),
        ("E3 P10", vec!["rate_limited"]),
    ] {
        assert_eq!(decided[user], expected, "{user}");
    }
    let reached: Vec<&String> = totals.0["decisions"].as_object().expect("decisions by name").keys().collect();
    let mut all = OUTCOMES.to_vec();
    all.sort_unstable();
    assert_eq!(reached, all, "each outcome is reached");

    // The attacker's sessions ended each time, and the verdict says so; the honest user's three times.
    let verdicts = |user: &str| -> Vec<String> {
        let mut found: Vec<(u64, String)> = entries(&outputs, "user_sessions_reset_by_anomaly_event_response")
            .iter()
            .filter(|entry| entry["actor"]["user"]["id"] == user)
            .map(|entry| {
                let verdict = entry["details"]["verdict"].as_str().expect("a verdict").to_owned();
                (entry["date_create"].as_u64().expect("a time"), verdict)
            })
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, verdict)| verdict).collect()
    };
    assert_eq!(verdicts("VICTIM"), [vec!["first"], vec!["persisting"; 9]].concat());
    assert_eq!(verdicts("HONEST"), ["first", "repeat", "repeat"]);

    // Nobody of these orgs has set how they are told, so their owners are: of each person once a day, of an org once an
    // hour; of a dry run not at all.
    let told = escalations(&outputs);
    let to = |owner: &str| told.iter().filter(|(to, _)| to.contains(owner)).count();
    assert_eq!((to("owner@e1.example"), to("owner@e3.example"), told.len()), (2, 1, 3));
    assert!(
        told.iter().any(|(_, mail)| mail.contains("HONEST")) && told.iter().any(|(_, mail)| mail.contains("VICTIM"))
    );

    // The same at any number of workers.
    let four = one.beside("four").workers(4);
    four.run();
    Outputs::of(&four.data_dir).assert_same(&outputs, "four workers");
}

#[test]
fn what_an_org_sets_is_on_the_audit_log_once_under_the_names_of_slack() {
    let place = Place::new();
    let job = scenario(&place, "data").workers(2);
    job.run();
    job.run();
    let outputs = Outputs::of(&job.data_dir);
    let settings = entries(&outputs, "pref.anomaly_event_response_changed");
    let mut told: Vec<_> = settings
        .iter()
        .map(|entry| {
            let details = &entry["details"];
            let tor = |value: &str| details[value]["responses"]["tor"].as_bool().expect("a toggle");
            let org = entry["entity"]["enterprise"]["id"].as_str().expect("an org").to_owned();
            (entry["date_create"].as_u64().expect("a time"), org, tor("previous_value"), tor("new_value"))
        })
        .collect();
    told.sort();
    let e2 = |at, from, to| (at, "E2".to_owned(), from, to);
    assert_eq!(told, [e2(START - 86_400, true, false), e2(START + 7_200, false, true)]);
    let users = entries(&outputs, "user_anomaly_event_response_allowlist_changed");
    assert_eq!(users.len(), 1);
    assert_eq!(users[0]["entity"]["user"]["id"], "EXCLUDED");
    assert_eq!(
        (&users[0]["details"]["previous_value"], &users[0]["details"]["new_value"]),
        (&json!([]), &json!(["tor"]))
    );
    let groups = entries(&outputs, "usergroup_anomaly_event_response_allowlist_changed");
    assert_eq!((groups.len(), &groups[0]["entity"]["usergroup"]["id"]), (1, &json!("S1")));
    let lists = entries(&outputs, "anomaly_allow_list_changed");
    assert_eq!((lists.len(), &lists[0]["date_create"]), (1, &json!(START + 7_200)));
    assert_eq!(lists[0]["details"]["new_value"]["trusted_cidr"], json!(["203.0.113.0/24"]));
}

#[test]
fn what_is_held_is_decided_and_not_done() {
    let place = Place::new();
    let events: Vec<String> = [("E1", "U1"), ("E2", "U2")].map(|(org, user)| visit(org, user, user, 1).line()).to_vec();
    let hold = |org: &str, on: bool, secs: u64| control("control", org, "hold", json!({"on": on}), secs);
    let run = |name: &str, holds: &[String]| {
        let file = place.write_lines(&format!("{name}.control"), holds);
        let job = place.job(name, &[place.write_lines("events.ndjson", &events)]).control(&file);
        let exits = place.write("exits.txt", format!("{EXIT}\n"));
        let ended = job.tor_list(&exits).with(&["--drain-timeout", "1s"]).end();
        let outputs = Outputs::of(&place.path(name));
        assert_eq!(outputs.decisions().iter().filter(|line| line["decision"] == "responded").count(), 2, "{name}");
        let done = entries(&outputs, "user_sessions_reset_by_anomaly_event_response");
        let users: Vec<String> =
            done.iter().map(|entry| entry["actor"]["user"]["id"].as_str().expect("a user").to_owned()).collect();
        (ended.code, users)
    };
    assert_eq!(run("none", &[]).0, Some(0));
    assert_eq!(run("org", &[hold("E1", true, START - 60)]), (Some(1), vec!["U2".to_owned()]));
    assert_eq!(run("all", &[hold("*", true, 0)]), (Some(1), vec![]));
    let lifted = run("lifted", &[hold("*", true, 0), hold("*", false, START + 30)]);
    assert_eq!((lifted.0, lifted.1.len()), (Some(0), 2));
}

#[test]
fn the_kill_switch_works_while_nothing_happens() {
    let place = Place::new();
    let now = || now() as u64;
    let due = now() + 4;
    let file = place.write_lines("control.ndjson", &[control("control", "E1", "hold", json!({"on": true}), due)]);
    // Nobody says anything, and event time would stand still for an hour.
    let input = place.write("events.ndjson", "");
    let config = place.config("data", &[input], "follow = true\nmax_delay = \"1h\"", "").control(&file);
    let mut running = config.start();
    running.address();
    let held = || ledger(&config.data_dir).is_some_and(|store| store.holds().is_ok_and(|holds| holds.groups == ["E1"]));
    running.running_until("the org to be held", held);
    let (noticed, late) = (now(), now().saturating_sub(due));
    assert!(noticed >= due && late <= 5, "held {late} s after it was due");
}

/// As many sessions, people and old events as they like, of an org that is theirs and of one that is not.
#[test]
fn who_feeds_events_ends_no_more_sessions_than_the_budgets_allow() {
    let place = Place::new();
    let mut fed = vec![visit("E1", "LATE", "l", 1)];
    fed.extend((0..14).map(|n| visit("E1", "VICTIM", &format!("v{n}"), 2 + n)));
    fed.extend((0..40).map(|n| visit("E1", &format!("P{n:02}"), &format!("p{n}"), 19 + n)));
    fed.extend((0..5).map(|n| visit("E2", &format!("Q{n}"), &format!("q{n}"), 59)));
    // In sessions that nobody knows, from before their sessions were ended.
    fed.extend(
        (0..6).map(|n| Event::new(&format!("old{n}"), START + 30 + n).user("LATE").session(&format!("o{n}")).ip(EXIT)),
    );
    let events = place.write_lines("events.ndjson", &fed.iter().map(Event::line).collect::<Vec<_>>());
    let config = place.config("data", &[events], "speaks_for = [\"E1\"]", "");
    config.tor_list(&place.write("exits.txt", format!("{EXIT}\n"))).start().wait().done();
    let outputs = Outputs::of(&place.path("data"));
    let decided = by_user(&outputs);
    assert_eq!(decided["E1 LATE"], [vec!["responded"], vec!["already_answered"; 6]].concat());
    assert_eq!(decided["E1 VICTIM"], [vec!["responded"; 10], vec!["loop_protected"; 4]].concat());
    let answered = |user: &String| decided[user].iter().any(|decision| decision == "responded");
    assert_eq!(decided.keys().filter(|user| answered(user)).count(), 10, "people within an hour");
    assert!(decided.keys().all(|user| user.starts_with("E1 ")));
    assert_eq!(outputs.dead_letter.lines().filter(|line| line.contains("wrong_org")).count(), 5);
    let ledger = ledger(&place.path("data")).expect("there is a store");
    assert_eq!(ledger.receipts_after(0, 100).expect("receipts can be read").len(), 1 + 10 + 8);
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs_f64()
}

/// An event of one session through an exit.
fn visit_at(id: &str, secs: f64) -> Event {
    Event::new(id, 0).user("U1").session("s1").ip(EXIT).set("/date_create", json!(secs))
}

/// Appends an event.
fn append(input: &Path, event: Event) {
    let mut file = OpenOptions::new().append(true).open(input).expect("the input is there");
    writeln!(file, "{}", event.line()).expect("the input can be appended to");
}

#[test]
fn what_an_org_no_longer_wants_is_taken_back_and_what_goes_on_is_answered_anew() {
    let place = Place::new();
    let start = now() as u64;
    let tor = |on: bool| json!({"responses": {"tor": {"enabled": on}}});
    // Nothing is done for the org, as if its receiver were gone; it switches the toggle off, and on again.
    let set = [
        control("control", "E1", "hold", json!({"on": true}), start - 60),
        control("settings", "E1", "aer", tor(false), start + 4),
        control("settings", "E1", "aer", tor(true), start + 8),
    ];
    let input = place.write("events.ndjson", "");
    let source = "follow = true\nmax_delay = \"200ms\"\nmax_disorder = \"1s\"";
    let config = place.config("data", std::slice::from_ref(&input), source, "");
    let exits = place.write("exits.txt", format!("{EXIT}\n"));
    let settings = "snapshot_every = \"100ms\"\nsnapshots_kept = 1000";
    let config = config.control(&place.write_lines("control.ndjson", &set)).tor_list(&exits).settings(settings);
    let mut running = config.start();
    running.address();
    let states = || -> Vec<(String, String)> {
        let Some(ledger) = ledger(&config.data_dir) else { return Vec::new() };
        let page = Page { state: None, group: None, before: None, limit: 10 };
        let orders = ledger.orders(page).unwrap_or_default().into_iter();
        orders.map(|order| (order.state.name().to_owned(), order.error.unwrap_or_default())).collect()
    };
    // A first event alone could be one whose clock is wrong.
    append(&input, Event::new("e0", start).user("U0").session("s0"));
    append(&input, visit_at("e1", (start + 1) as f64));
    running.running_until("a response to be ordered", || states().len() == 1);
    running.running_until("it to be taken back", || {
        states().iter().any(|(state, error)| state == "expired" && error.contains("withdrawn"))
    });
    // The same session goes on: it is no longer taken for ended, and its case is closed.
    running.running_until("the toggle to be on again", || now() as u64 >= start + 10);
    let decisions = config.data_dir.join("decisions.ndjson");
    let answered = || {
        let lines = lines_so_far(&decisions);
        lines.iter().filter(|line| line.contains("\"decision\":\"responded\"")).count()
    };
    let mut events = 0;
    running.running_until("what goes on to be answered", || {
        events += 1;
        append(&input, visit_at(&format!("again{events}"), now()));
        answered() == 2
    });
    running.running_until("it to be ordered", || states().len() == 2);
    running.terminate().done();
    let snapshot = snapshots(&config.data_dir).first().expect("a first snapshot").to_string();
    let dir = config.data_dir.display().to_string();
    let words = ["replay", "--json", "--data-dir", &dir, "--from", &snapshot, "--workers", "2"];
    let report = aerie(&words).done().json();
    assert_eq!((&report["differing"], &report["compared"]["orders"]), (&json!(0), &json!(2)), "{report}");
}
