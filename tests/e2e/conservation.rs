//! The promise: nothing is lost and nothing is counted twice. Received = applied + duplicate + too late + rejected, in
//! the last line of `--json` and in `/metrics`; each late line stands in `late.ndjson` and each rejected one in
//! `dead_letter.ndjson`, with the byte offset at which it is found in its file.

use crate::inputs::{Event, START};
use crate::outputs::{Outputs, values};
use crate::support::{Dice, Job, Place, Totals, get, metric};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

const SEEDS: [u64; 2] = [31, 32];
const EVENTS: u64 = 1_500;
const MAX_DISORDER: u64 = 5;
const LATENESS_LIMIT: u64 = 3_600;

/// What must become of the lines of a file, by the contract alone.
#[derive(Debug, Default, PartialEq)]
struct Expected {
    received: u64,
    applied: u64,
    duplicate: u64,
    too_late: u64,
    rejected: u64,
    late: u64,
    /// Offset to (id, behind in ms, applied).
    late_lines: BTreeMap<u64, (String, u64, bool)>,
    /// Offset to reason.
    dead_lines: BTreeMap<u64, String>,
}

/// A file as it is built, with what must become of it. Event times are whole seconds and never far ahead.
#[derive(Default)]
struct Built {
    bytes: Vec<u8>,
    newest: u64,
    ids: BTreeMap<String, u64>,
    expected: Expected,
}

impl Built {
    fn push(&mut self, line: &[u8]) -> u64 {
        let at = self.bytes.len() as u64;
        self.bytes.extend_from_slice(line);
        self.bytes.push(b'\n');
        self.expected.received += 1;
        at
    }

    fn event(&mut self, id: &str, secs: u64, user: &str) {
        let offset = self.push(Event::new(id, secs).user(user).line().as_bytes());
        let watermark = self.newest.max(secs) - MAX_DISORDER;
        self.newest = self.newest.max(secs);
        let behind = watermark.saturating_sub(secs);
        if behind > LATENESS_LIMIT {
            self.expected.too_late += 1;
            self.expected.late_lines.insert(offset, (id.to_owned(), behind * 1_000, false));
        } else if self.ids.insert(id.to_owned(), secs).is_some() {
            self.expected.duplicate += 1;
        } else {
            self.expected.applied += 1;
            if behind > 0 {
                self.expected.late += 1;
                self.expected.late_lines.insert(offset, (id.to_owned(), behind * 1_000, true));
            }
        }
    }

    fn garbage(&mut self, line: &[u8], reason: &str) {
        let offset = self.push(line);
        self.expected.rejected += 1;
        self.expected.dead_lines.insert(offset, reason.to_owned());
    }
}

/// Garbage by the reason it must be rejected for.
const GARBAGE: [(&[u8], &str); 6] = [
    (b"{\"id\":\"x", "not_json"),
    (b"\xff\xfe{}", "not_utf8"),
    (br#"{"id":7,"date_create":1772000000,"action":"a"}"#, "wrong_type"),
    (br#"{"id":"x","date_create":1772000000}"#, "missing_field"),
    (b"[1,2,3]", "not_json"),
    (br#"{"id":"x","date_create":0,"action":"a","actor":{"type":"user","user":{"id":"U"}},"context":{"location":{"type":"enterprise","id":"E"}}}"#, "bad_time"),
];

/// An hour and a half of thirty users, with copies, latecomers and garbage in between.
fn build(name: &str, dice: &mut Dice) -> Built {
    let mut file = Built::default();
    let mut said: Vec<(String, u64, String)> = Vec::new();
    let mut secs = START;
    // Before there is a present, nothing is late.
    for n in 0..3 {
        file.event(&format!("{name}-first-{n}"), secs, "U0");
    }
    for n in 0..EVENTS {
        secs += dice.between(0, 8);
        let (id, user) = (format!("{name}-{n}"), format!("U{}", dice.below(30)));
        match dice.below(20) {
            0 if !said.is_empty() => {
                // A copy while its id is still remembered, at most as late as it may be.
                let recent = said.len().saturating_sub(50);
                let (id, at, user) = said[dice.between(recent as u64, said.len() as u64 - 1) as usize].clone();
                file.event(&id, at, &user);
            }
            1 => file.event(&id, secs - dice.between(1, 3_000), &user),
            2 => file.event(&id, secs - LATENESS_LIMIT - dice.between(10, 9_000), &user),
            3 => {
                let (line, reason) = GARBAGE[dice.below(GARBAGE.len() as u64) as usize];
                file.garbage(line, reason);
            }
            4 => file.event(&id, secs - dice.between(0, MAX_DISORDER), &user),
            5 => {
                // No line at all: blank ones and the ends of CRLF are not counted.
                file.bytes.extend_from_slice(b"\n\r\n");
            }
            _ => {
                file.event(&id, secs, &user);
                said.push((id, secs, user));
            }
        }
    }
    file
}

fn assert_totals(totals: &Totals, files: &[(PathBuf, Built)]) {
    totals.assert_conserved();
    let sum = |of: fn(&Expected) -> u64| files.iter().map(|(_, file)| of(&file.expected)).sum::<u64>();
    assert_eq!(totals.of("received"), sum(|e| e.received));
    assert_eq!(totals.of("rejected"), sum(|e| e.rejected));
    assert_eq!(totals.of("too_late"), sum(|e| e.too_late));
    assert_eq!(totals.of("duplicate"), sum(|e| e.duplicate));
    assert_eq!(totals.of("late"), sum(|e| e.late));
    assert_eq!(totals.of("applied"), sum(|e| e.applied));
}

/// The file that an output line names, and its index.
fn file_of<'a>(line: &Value, files: &'a [(PathBuf, Built)]) -> &'a (PathBuf, Built) {
    let source = line["source"].as_str().expect("a line names its source");
    let found = files.iter().find(|(path, _)| source.contains(&path.display().to_string()));
    found.unwrap_or_else(|| panic!("`{source}` tells none of the files that were read"))
}

fn line_at(path: &PathBuf, offset: u64) -> Vec<u8> {
    let bytes = fs::read(path).expect("the input can be read");
    let rest = &bytes[offset as usize..];
    assert!(offset == 0 || bytes[offset as usize - 1] == b'\n', "{offset} is no start of a line");
    rest[..rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())].to_vec()
}

fn assert_late(outputs: &Outputs, files: &[(PathBuf, Built)]) {
    let mut seen = BTreeMap::new();
    for line in values(&outputs.late) {
        let (path, _) = file_of(&line, files);
        let offset = line["position"].as_u64().expect("a late line has a position");
        let event: Value = serde_json::from_slice(&line_at(path, offset)).expect("late lines are events");
        assert_eq!((&event["id"], &line["org"]), (&line["id"], &Value::from("E1")));
        let members: Vec<_> = line.as_object().expect("an object").keys().map(String::as_str).collect();
        let told = (
            line["id"].as_str().expect("an id").to_owned(),
            line["behind_ms"].as_u64().expect("behind_ms is a number"),
            line["applied"].as_bool().expect("applied is true or false"),
        );
        assert_eq!(members.len(), 6, "{line}");
        assert_eq!(seen.insert((path.clone(), offset), told), None, "stands twice: {line}");
    }
    let expected = files.iter().flat_map(|(path, file)| {
        file.expected.late_lines.iter().map(move |(at, line)| ((path.clone(), *at), line.clone()))
    });
    assert_eq!(seen, expected.collect());
}

fn assert_dead(outputs: &Outputs, files: &[(PathBuf, Built)]) {
    let mut seen = BTreeMap::new();
    for line in values(&outputs.dead_letter) {
        let (path, _) = file_of(&line, files);
        let offset = line["position"].as_u64().expect("a dead letter has a position");
        let raw = line["raw"].as_str().expect("raw is text");
        assert_eq!(unescape(raw), line_at(path, offset), "raw is the line");
        assert!(!line["detail"].as_str().expect("detail is text").is_empty(), "{line}");
        let reason = line["reason"].as_str().expect("reason is text").to_owned();
        assert_eq!(line.as_object().map(serde_json::Map::len), Some(5), "{line}");
        assert_eq!(seen.insert((path.clone(), offset), reason), None, "stands twice: {line}");
    }
    let expected = files.iter().flat_map(|(path, file)| {
        file.expected.dead_lines.iter().map(move |(at, reason)| ((path.clone(), *at), reason.clone()))
    });
    assert_eq!(seen, expected.collect());
}

/// What the contract calls escaped: `\x` and two hex digits stand for a byte.
fn unescape(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).expect("two hex digits"));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}

fn built(place: &Place, seed: u64) -> Vec<(PathBuf, Built)> {
    let mut dice = Dice::new(seed);
    let file = |name: &str, dice: &mut Dice| {
        let file = build(name, dice);
        (place.write(&format!("{name}.ndjson"), &file.bytes), file)
    };
    let files = vec![file("a", &mut dice), file("b", &mut dice)];
    for (_, file) in &files {
        let e = &file.expected;
        assert!(e.late > 9 && e.too_late > 9 && e.duplicate > 9 && e.rejected > 9, "too little of something: {e:?}");
    }
    files
}

#[test]
fn every_line_is_counted_once_and_every_odd_one_is_listed() {
    for seed in SEEDS {
        let place = Place::new();
        let files = built(&place, seed);
        let inputs: Vec<_> = files.iter().map(|(path, _)| path.clone()).collect();
        for workers in [1, 3] {
            let job: Job = place.job(&format!("data{workers}"), &inputs).workers(workers);
            assert_totals(&job.run(), &files);
            let outputs = Outputs::of(&job.data_dir);
            assert_late(&outputs, &files);
            assert_dead(&outputs, &files);
        }
    }
}

#[test]
fn metrics_count_the_same() {
    let place = Place::new();
    let files = built(&place, SEEDS[0]);
    let inputs: Vec<_> = files.iter().map(|(path, _)| path.clone()).collect();
    let mut running = place.config("data", &inputs, "follow = true\nmax_delay = \"300ms\"", "").start();
    let address = running.address();
    let all: u64 = files.iter().map(|(_, file)| file.expected.received).sum();
    let count = |page: &str, outcome: &str| {
        metric(page, &format!("aerie_events_total{{outcome=\"{outcome}\"}}")).unwrap_or_default()
    };
    let parts = ["applied", "duplicate", "too_late", "rejected"];
    let mut page = String::new();
    running.running_until("all lines to be counted in /metrics", || {
        page = get(address, "/metrics").1;
        parts.iter().map(|part| count(&page, part)).sum::<u64>() == all
    });
    let totals = running.terminate().done().totals();
    assert_totals(&totals, &files);
    for name in [&parts[..], &["received", "late"]].concat() {
        assert_eq!(count(&page, name), totals.of(name), "{name}\n{page}");
    }
}

/// The totals of a stopped job are those of its last snapshot: what it read beyond comes again.
#[test]
fn the_totals_of_a_stopped_job_add_up() {
    let place = Place::new();
    let files = built(&place, SEEDS[0]);
    let inputs: Vec<_> = files.iter().map(|(path, _)| path.clone()).collect();
    let config = place.config("data", &inputs, "follow = true\nmax_delay = \"1h\"", "");
    let mut running = config.start();
    let address = running.address();
    running.running_until("most lines to be counted", || {
        let page = get(address, "/metrics").1;
        metric(&page, "aerie_events_total{outcome=\"applied\"}").is_some_and(|applied| applied > EVENTS)
    });
    running.terminate().done().totals().assert_conserved();
}
