//! The promise: a producer that was silent for twenty minutes and then flushes its honest activity signs nobody out.
//! Its lines are late, take part, and are listed.

use crate::inputs::{EXIT, Event, TOGGLES, answers, recently};
use crate::outputs::{Outputs, lines_so_far, text, values};
use crate::support::Place;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

const MINUTES: u64 = 20;
const USERS: u64 = 12;
/// The user whose anomaly shows how far time has come without the silent producer.
const MARKER: &str = "MARKER";
const MARKER_AT: u64 = 15 * 60;

/// Second `sec` of an honest user at a desktop, whose session rotates its cookie every five minutes, whose client is
/// updated after ten and who goes home after eight. All of that is new in the other producers' lines before the silent
/// one's tell of the old.
fn at_work(user: u64, start: u64, sec: u64) -> Event {
    let version = if sec < 600 { "4.41.98" } else { "4.42.10" };
    let ip = if sec < 480 { "62.1.2.3".to_owned() } else { format!("80.1.{user}.21") };
    let event = Event::new(&format!("u{user}-{sec}"), start + sec)
        .user(&format!("U{user}"))
        .session(&format!("s{user}"))
        .ip(&ip)
        .set("/context/ua", json!(format!("Slack_SSB/{version} (Windows NT 10.0)")))
        .member("/context", "client", json!({"name": "Slack Desktop", "os": "Windows", "version": version}))
        .member(
            "/context",
            "tls_fingerprint",
            json!(if sec < 600 {
                "t13d1516h2_8daaf6152771_02713d6af862"
            } else {
                "t13d1517h2_8daaf6152771_b0da82dd1658"
            }),
        )
        .member("/context", "device_id", json!(format!("D{user}")))
        .member("/context", "cookie_ts", json!(start + sec / 300 * 300))
        .member("/context", "asn", json!(if sec < 480 { 64_510 } else { 64_496 }));
    if sec.is_multiple_of(4) { event.download(user * 10_000 + sec) } else { event }
}

/// Lines of three producers, the last of which is the silent one: its first line is of the beginning. One user in three
/// is served by it alone, one by the others alone, one by all in turn.
fn produced(start: u64) -> [Vec<(u64, String)>; 3] {
    let mut parts = [Vec::new(), Vec::new(), Vec::new()];
    for sec in 0..MINUTES * 60 {
        let user = sec * 7 % USERS;
        let producer = match user % 3 {
            0 => 2,
            1 => sec / 12 % 3,
            _ => sec % 2,
        };
        parts[producer as usize].push((sec, at_work(user, start, sec).line()));
    }
    let marker = Event::new("marker", start + MARKER_AT).user(MARKER).session("m").ip(EXIT);
    parts[0].push((MARKER_AT, marker.line()));
    parts[0].sort_by_key(|(sec, _)| *sec);
    parts
}

fn append(path: &Path, lines: &[(u64, String)]) {
    let mut file = OpenOptions::new().append(true).open(path).expect("the input is there");
    let text: String = lines.iter().map(|(_, line)| format!("{line}\n")).collect();
    file.write_all(text.as_bytes()).expect("the input can be appended to");
}

/// Nobody but the marker was decided upon.
fn assert_nobody_else(data_dir: &Path) {
    let outputs = Outputs::of(data_dir);
    let decisions = outputs.decisions();
    let others: Vec<_> = decisions.iter().filter(|decision| decision["user"] != MARKER).collect();
    assert!(others.is_empty(), "honest activity was decided upon: {others:?}");
    assert_eq!(decisions.len(), 1, "{decisions:?}");
}

fn id_of(line: &str) -> String {
    values(line)[0]["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_flush_after_twenty_minutes_signs_nobody_out() {
    let place = Place::new();
    let start = recently();
    let [one, two, silent] = produced(start);
    let files = ["one", "two", "silent"].map(|name| place.write(name, ""));
    append(&files[2], &silent[..1]);
    let config = place
        .config("data", &files, "follow = true\nmax_delay = \"400ms\"", "")
        .control(&place.write_lines("control", &[answers("E1", &TOGGLES)]))
        .tor_list(&place.write("tor.txt", EXIT));
    let mut running = config.start();
    let decisions = config.data_dir.join("decisions.ndjson");
    let (mut fed, mut sec) = ([0, 0], 0);
    running.running_until("the marker's decision, though one producer is silent", || {
        sec += 10;
        for (n, part) in [&one, &two].into_iter().enumerate() {
            let until = part.partition_point(|(at, _)| *at < sec);
            append(&files[n], &part[fed[n]..until.max(fed[n])]);
            fed[n] = until.max(fed[n]);
        }
        text(&decisions).contains(MARKER)
    });
    append(&files[2], &silent[1..]);
    let due: BTreeSet<_> = silent[1..].iter().filter(|(at, _)| *at < MARKER_AT).map(|(_, line)| id_of(line)).collect();
    let late = config.data_dir.join("late.ndjson");
    running.running_until(&format!("{} late lines", due.len()), || {
        let listed: BTreeSet<_> = lines_so_far(&late).iter().map(|line| id_of(line)).collect();
        due.is_subset(&listed)
    });
    let totals = running.terminate().done().totals();
    totals.assert_conserved();
    assert!(totals.of("too_late") == 0 && totals.of("rejected") == 0, "{totals:?}");
    assert!(values(&text(&late)).iter().all(|line| line["applied"] == true), "they take part");
    assert_nobody_else(&config.data_dir);
}

#[test]
fn nor_does_one_within_a_file() {
    let place = Place::new();
    let [one, two, silent] = produced(recently());
    let mut lines = [one, two].concat();
    lines.sort_by_key(|(sec, _)| *sec);
    let newest = lines.last().expect("there are lines").0;
    let late = silent.iter().filter(|(sec, _)| sec + 5 < newest).count() as u64;
    lines.extend(silent);
    let lines: Vec<_> = lines.into_iter().map(|(_, line)| line).collect();
    let job = place
        .job("data", &[place.write_lines("events", &lines)])
        .control(&place.write_lines("control", &[answers("E1", &TOGGLES)]))
        .tor_list(&place.write("tor.txt", EXIT));
    let totals = job.run();
    assert_eq!((totals.of("late"), totals.of("applied")), (late, lines.len() as u64), "{totals:?}");
    assert_nobody_else(&job.data_dir);
}
