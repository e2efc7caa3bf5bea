//! The promise: what a job holds of a user can be read, from any snapshot and while it runs, with what was decided; two
//! snapshots can be compared; where the sources stand is told live, else from a snapshot. Looking changes nothing.

use crate::inputs::{EXIT, Event, TOGGLES, answers, control, recently};
use crate::outputs::{lines_so_far, snapshots};
use crate::support::{Config, Ended, Place, Running, aerie};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

fn inspect(config: &Config, more: &[&str]) -> Ended {
    let dir = config.data_dir.display().to_string();
    aerie(&[&["inspect", "--data-dir", &dir], more].concat())
}

fn user(config: &Config, user: &str, more: &[&str]) -> Value {
    let words = [&["--org", "E1", "--user", user, "--json"], more].concat();
    inspect(config, &words).done().json()
}

fn append(path: &Path, events: &[Event]) {
    let mut file = OpenOptions::new().append(true).open(path).expect("the input is there");
    let text: String = events.iter().map(|event| format!("{}\n", event.line())).collect();
    file.write_all(text.as_bytes()).expect("the input can be appended to");
}

/// A download by U1.
fn download(start: u64, sec: u64) -> Event {
    Event::new(&format!("d{sec}"), start + sec).user("U1").session("s1").download(sec)
}

/// A visit through the exit, and an event that moves the time past it.
fn through_the_exit(start: u64, sec: u64, user: &str) -> [Event; 2] {
    let visit = Event::new(&format!("x{sec}"), start + sec).user(user).session("x").ip(EXIT);
    [visit, Event::new(&format!("y{sec}"), start + sec + 30).user("U9").session("s9")]
}

struct Followed {
    place: Place,
    config: Config,
    input: PathBuf,
    start: u64,
}

impl Followed {
    fn new() -> Self {
        let place = Place::new();
        let start = recently();
        let input = place.write("events", "");
        let directory =
            control("user", "E1", "U1", json!({"name": "One \u{1b}[31m", "email": "u1@example.com"}), start);
        let config = place
            .config("data", std::slice::from_ref(&input), "follow = true\nmax_delay = \"1h\"", "")
            .control(&place.write_lines("control", &[answers("E1", &TOGGLES), directory]))
            .tor_list(&place.write("tor.txt", EXIT));
        Followed { place, config, input, start }
    }

    /// Runs until so many decisions are there, calls `running`, and stops. Gives the newest snapshot.
    fn run(&self, events: &[Event], decisions: usize, running: impl FnOnce(&str)) -> String {
        append(&self.input, events);
        let path = self.config.data_dir.join("decisions.ndjson");
        let mut job = self.config.start();
        job.running_until("the decisions", || lines_so_far(&path).len() >= decisions);
        running(&job.address().to_string());
        job.terminate().done();
        snapshots(&self.config.data_dir).last().expect("a snapshot").to_string()
    }
}

#[test]
fn what_is_held_of_a_user_is_shown_and_compared() {
    let followed = Followed::new();
    let (config, start) = (&followed.config, followed.start);
    let first: Vec<Event> =
        [1, 2, 3].map(|sec| download(start, sec)).into_iter().chain(through_the_exit(start, 40, "U1")).collect();
    let before = followed.run(&first, 1, |_| {});

    let shown = user(config, "U1", &[]);
    assert_eq!((&shown["known"], shown["snapshot"].to_string()), (&true.into(), before), "{shown}");
    let before = "before";
    aerie(&["snapshots", "save", before, "--data-dir", &config.data_dir.display().to_string()]).done();
    let detect = &shown["detect"];
    assert_eq!(detect["volumes"]["file_downloads_1h"]["last_hour"], 3, "{detect}");
    assert_eq!(detect["recent_ids"], 4, "{detect}");
    assert_eq!(detect["sessions"].as_object().map(|sessions| sessions.len()), Some(2), "{detect}");
    let cases: Vec<&Value> = detect["cases"].as_object().expect("cases").values().collect();
    assert_eq!(
        (cases.len(), &cases[0]["reason"], &cases[0]["session_id"]),
        (1, &"tor".into(), &"x".into()),
        "{detect}"
    );
    let bar = json!({"value": 400, "source": "prior", "samples": 0, "before_habit": 400, "floor": 50});
    assert_eq!(shown["thresholds"]["in_force"]["file_downloads_1h"], bar);
    assert_eq!(shown["decide"]["directory"]["email"], "u1@example.com");
    assert_eq!(shown["decide"]["answered_us"], json!([(start + 40) * 1_000_000]));
    assert_eq!(shown["org"]["responses"]["excessive_downloads"]["enabled"], true);
    assert_eq!(shown["recorded"]["decisions"][0]["decision"], "responded");
    assert_eq!(shown["recorded"]["decisions"][0]["anomaly_id"], cases[0]["anomaly_id"]);
    assert_eq!(shown["recorded"]["orders"].as_array().map(Vec::len), Some(1));
    let entry = shown["recorded"]["entries"].as_array().expect("entries").iter().find(|e| e["action"] == "anomaly");
    assert_eq!(entry.expect("the anomaly's entry")["details"]["reason"], json!(["tor"]));

    let text = inspect(config, &["--org", "E1", "--user", "U1"]).done().stdout;
    let row = |first: &str| {
        let found = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        found.into_iter().find(|words| words.first() == Some(&first)).unwrap_or_default()
    };
    let bar = ["3", "0", "400", "prior,", "org", "has", "taught", "nothing", "3", "on"];
    assert_eq!(row("file_downloads_1h").get(1..11), Some(&bar[..]), "{text}");
    let anomaly = cases[0]["anomaly_id"].as_str().expect("an id");
    assert_eq!((row("tor")[1], row("tor").last()), ("1", Some(&anomaly)), "{text}");
    assert_eq!((row("x").get(5), row("mail").last()), (Some(&EXIT), Some(&"u1@example.com")), "{text}");

    let second: Vec<Event> =
        [80, 81].map(|sec| download(start, sec)).into_iter().chain(through_the_exit(start, 120, "U2")).collect();
    let after = followed.run(&second, 2, |_| {});
    let changes = user(config, "U1", &["--between", before, &after]);
    let of = |path: &str| {
        let all = changes["changes"].as_array().expect("a list");
        let found = all.iter().find(|change| change["path"] == path);
        found.map(|change| (change["before"].clone(), change["after"].clone()))
    };
    assert_eq!(of("/detect/volumes/file_downloads_1h/last_hour"), Some((3.into(), 5.into())), "{changes}");
    assert_eq!(of("/detect/recent_ids"), Some((4.into(), 6.into())), "{changes}");
    assert_eq!(of("/decide/answered_us"), None, "{changes}");
    assert_eq!(user(config, "U1", &["--at", before])["detect"], shown["detect"], "an older one is as it was");
    assert_eq!(user(config, "U1", &["--between", &after, &after])["changes"], json!([]));
    drop(followed.place);
}

/// What the running job says of a user once it has applied everything before `secs`.
fn live(config: &Config, running: &mut Running, id: &str, secs: u64) -> Value {
    let mut shown = Value::Null;
    running.running_until("it tells of a user live", || {
        // At the very start there may be neither a job that answers nor a snapshot.
        let ended = inspect(config, &["--org", "E1", "--user", id, "--json"]);
        shown = if ended.code == Some(0) { ended.json() } else { Value::Null };
        shown["snapshot"].is_null() && shown["cut_ms"].as_u64() >= Some(secs * 1_000 - 1)
    });
    shown
}

#[test]
fn what_a_running_job_holds_is_what_its_next_snapshot_holds() {
    held_live_as_in_the_next_snapshot("workers = 2");
}

#[test]
fn of_several_processes_the_one_that_owns_a_row_answers() {
    held_live_as_in_the_next_snapshot("workers = 1\nprocesses = 2");
}

fn held_live_as_in_the_next_snapshot(settings: &str) {
    let followed = Followed::new();
    let (config, start) = (&followed.config.clone().settings(settings), followed.start);
    let users = ["U1", "U2", "U3", "U4"];
    let mut events: Vec<Event> = users.iter().map(|user| download(start, 1).user(user).session(user)).collect();
    events.extend([2, 3].map(|sec| download(start, sec)));
    events.extend(through_the_exit(start, 40, "U1"));
    append(&followed.input, &events);
    let mut job = config.start();
    let shown = users.map(|user| live(config, &mut job, user, start + 65));
    assert_eq!(shown[0]["detect"]["volumes"]["file_downloads_1h"]["last_hour"], 3, "{}", shown[0]);
    assert_eq!(shown[0]["decide"]["answered_us"], json!([(start + 40) * 1_000_000]), "{}", shown[0]);
    let text = inspect(config, &["--org", "E1", "--user", "U1"]).done();
    assert!(text.stdout.contains("user U1 of E1, live: ") && !text.stderr.contains("not live"), "{text:?}");
    let stranger = inspect(config, &["--org", "E1", "--user", "a b&org=E2\"", "--json"]).done();
    assert_eq!((&stranger.json()["known"], &stranger.json()["snapshot"]), (&false.into(), &Value::Null));
    job.terminate().done();

    for (user_id, mut live) in users.into_iter().zip(shown) {
        let mut stored = user(config, user_id, &[]);
        assert!(stored["snapshot"].is_u64(), "{stored}");
        stored["snapshot"] = Value::Null;
        // What is on record of a response may still change after it was looked at.
        live["recorded"] = stored["recorded"].clone();
        assert_eq!(live, stored, "{user_id}");
    }
    let after = inspect(config, &["--org", "E1", "--user", "U1", "--json"]).done();
    assert!(after.stderr.contains("not live, but from a snapshot: no job runs"), "{}", after.stderr);
}

#[test]
fn a_job_that_was_killed_is_not_asked_and_another_at_its_port_not_believed() {
    let followed = Followed::new();
    let (config, start) = (&followed.config, followed.start);
    followed.run(&through_the_exit(start, 5, "U1"), 1, |_| {});
    let mut job = config.start();
    let address = job.address();
    live(config, &mut job, "U1", start + 30);
    assert!(job.kill());
    let ended = inspect(config, &["--org", "E1", "--user", "U1", "--json"]).done();
    assert!(ended.stderr.contains(&format!("nothing answers at {address}")), "{}", ended.stderr);
    assert!(ended.json()["snapshot"].is_u64());

    let other = Followed::new();
    other.run(&through_the_exit(start, 5, "U1"), 1, |address| {
        let ended = inspect(config, &["--org", "E1", "--user", "U1", "--json", "--http", address]).done();
        assert!(ended.stderr.contains("name the right one with --http"), "{}", ended.stderr);
        assert!(ended.json()["snapshot"].is_u64());
    });
}

#[test]
fn names_from_outside_give_a_terminal_no_orders() {
    let followed = Followed::new();
    followed.run(&through_the_exit(followed.start, 5, "U1"), 1, |_| {});
    let text = inspect(&followed.config, &["--org", "E1", "--user", "U1"]).done().stdout;
    assert!(text.contains("One ?[31m") && !text.contains('\u{1b}'), "{text:?}");
    for part in ["OPEN CASES", "WHAT THE ORG HAS SET", "  responded", "prior, org has taught nothing"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn of_an_unknown_user_or_org_nothing_is_known_which_is_no_error() {
    let followed = Followed::new();
    let (config, start) = (&followed.config, followed.start);
    followed.run(&through_the_exit(start, 5, "U1"), 1, |_| {});
    for (org, user) in [("E1", "nobody"), ("E9", "U1")] {
        let ended = inspect(config, &["--org", org, "--user", user, "--json"]).done();
        let shown = ended.json();
        assert_eq!(
            (&shown["known"], &shown["detect"], &shown["recorded"]["decisions"]),
            (&false.into(), &Value::Null, &json!([]))
        );
        assert!(ended.stderr.contains("nothing is known"), "{}", ended.stderr);
    }
    inspect(config, &["--org", "E1", "--user", "U1", "--at", "4711"]).refused(2, &["4711", "snapshots list"]);
    inspect(config, &["--org", "E1"]).refused(2, &["--user"]);
    inspect(config, &[]).refused(2, &["--user", "--job"]);
}

#[test]
fn where_sources_stand_is_told_live_and_else_from_a_snapshot() {
    let followed = Followed::new();
    let (config, start) = (&followed.config, followed.start);
    let name = followed.input.display().to_string();
    let mut live = Value::Null;
    let snapshot = followed.run(&through_the_exit(start, 5, "U1"), 1, |address| {
        live = inspect(config, &["--job", "--json", "--http", address]).done().json();
    });
    assert_eq!((&live["holds_the_frontier"], &live["snapshot"]), (&name.clone().into(), &Value::Null), "{live}");
    let source = &live["sources"][0];
    assert_eq!((&source["received"], &source["newest_us"]), (&2.into(), &((start + 35) * 1_000_000).into()), "{live}");
    assert!(live["horizon_ms"].as_u64() >= live["frontier_ms"].as_u64(), "{live}");

    let ended = inspect(config, &["--job", "--json", "--http", "127.0.0.1:1"]).done();
    assert!(ended.stderr.contains("not live"), "{}", ended.stderr);
    let stored = ended.json();
    assert_eq!((stored["snapshot"].to_string(), &stored["sources"][0]["name"]), (snapshot, &name.into()), "{stored}");
    assert_eq!(stored["applied_ms"], (start + 30) * 1_000 - 1, "{stored}");
    assert!(stored["sources"][0]["position"].is_u64(), "{stored}");
}
