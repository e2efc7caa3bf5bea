//! The promise: bad input never stops a job. What cannot be an event goes to the dead letter under the first reason
//! that applies; what cannot be read at all is told before anything starts.

use crate::inputs::{Event, START, control};
use crate::outputs::{Outputs, values};
use crate::support::{Ended, Place};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const LARGE: usize = 10_000_000;
const NESTED: usize = 10_000;

/// Lines and what they must be rejected for; `None` is a good line.
fn lines() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let event = |id: &str| Event::new(id, START);
    let line = |event: Event| event.line().into_bytes();
    let good = line(event("good"));
    let nested = [b"{\"id\":".to_vec(), vec![b'['; NESTED]].concat();
    let large = [b"{\"id\":\"".to_vec(), vec![b'x'; LARGE], b"\"}".to_vec()].concat();
    let wrong_utf8 = [&good[..10], &[0xc3, 0x28][..], &good[10..]].concat();
    let without = |pointer: &str, name: &str| {
        let mut value: Value = serde_json::from_slice(&good).expect("a good line is JSON");
        let parent = value.pointer_mut(pointer).and_then(Value::as_object_mut).expect("an object");
        parent.remove(name).expect("it was there");
        value.to_string().into_bytes()
    };
    let at = |id: &str, date: Value| line(event(id).set("/date_create", date));
    vec![
        (good.clone(), None),
        (good[..good.len() / 2].to_vec(), Some("not_json")),
        (b"null".to_vec(), Some("not_json")),
        (b"\"text\"".to_vec(), Some("not_json")),
        ([&good[..], &good[..]].concat(), Some("not_json")),
        (wrong_utf8, Some("not_utf8")),
        (large, Some("too_large")),
        (nested, Some("too_deep")),
        (line(event("x").set("/action", json!(7))), Some("wrong_type")),
        (line(event("x").set("/actor", json!("U1"))), Some("wrong_type")),
        (at("x", json!("yesterday")), Some("wrong_type")),
        (line(event("x").set("/context/ua", json!({}))), Some("wrong_type")),
        (without("", "id"), Some("missing_field")),
        (without("", "date_create"), Some("missing_field")),
        (without("/actor/user", "id"), Some("missing_field")),
        (without("/context/location", "id"), Some("missing_field")),
        (line(event("")), Some("bad_value")),
        (line(event(&"i".repeat(65))), Some("bad_value")),
        (at("x", json!(1)), Some("bad_time")),
        (at("x", json!(-5)), Some("bad_time")),
        (at("x", json!(32_472_144_000_u64)), Some("bad_time")),
        (line(event("last").set("/date_create", json!(START + 1))), None),
    ]
}

#[test]
fn garbage_goes_to_the_dead_letter_with_the_first_reason_that_applies() {
    let place = Place::new();
    let lines = lines();
    let bytes: Vec<u8> = lines.iter().flat_map(|(line, _)| [&line[..], b"\r\n"].concat()).collect();
    let mut offset = 0;
    let mut expected = Vec::new();
    for (line, reason) in &lines {
        expected.extend(reason.map(|reason| (offset as u64, reason.to_owned())));
        offset += line.len() + 2;
    }
    let job = place.job("data", &[place.write("garbage", [b"\xef\xbb\xbf".to_vec(), bytes].concat())]);
    let totals = job.run();
    totals.assert_conserved();
    assert_eq!((totals.of("applied"), totals.of("rejected")), (2, expected.len() as u64), "{totals:?}");
    let dead = values(&Outputs::of(&job.data_dir).dead_letter);
    let seen: Vec<_> = dead
        .iter()
        .map(|line| {
            let raw = line["raw"].as_str().expect("raw is text");
            assert!(raw.len() <= 4 * 1_024, "raw is cut: {} bytes", raw.len());
            // The mark at the start of the file is part of its bytes.
            (line["position"].as_u64().expect("a position") - 3, line["reason"].as_str().unwrap_or("").to_owned())
        })
        .collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_single_line_of_the_far_future_does_not_make_the_others_late() {
    let place = Place::new();
    let far = Event::new("far", START + 86_400 * 365).line();
    let lines =
        [Event::new("1", START).line(), far, Event::new("2", START + 1).line(), Event::new("3", START + 2).line()];
    let totals = place.job("data", &[place.write_lines("far", &lines)]).run();
    assert_eq!((totals.of("applied"), totals.of("late"), totals.of("too_late")), (4, 0, 0), "{totals:?}");
}

#[test]
fn an_empty_file_is_no_error() {
    let place = Place::new();
    let job = place.job("data", &[place.write("empty", "")]);
    let totals = job.run();
    totals.assert_conserved();
    assert_eq!(totals.of("received"), 0);
    let outputs = Outputs::of(&job.data_dir);
    assert_eq!(outputs, Outputs::default());
    assert_eq!(job.run(), totals, "nothing to do");
}

#[test]
fn an_empty_file_beside_a_full_one_holds_nothing_back() {
    let place = Place::new();
    let full = place.write_lines("full", &[Event::new("1", START).line()]);
    assert_eq!(place.job("data", &[place.write("empty", ""), full]).run().of("applied"), 1);
}

/// The data folder does not exist or is empty: nothing was started.
fn assert_untouched(data_dir: &Path) {
    let content: Vec<_> =
        std::fs::read_dir(data_dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    assert!(content.is_empty(), "something was started: {content:?}");
}

#[test]
fn an_input_that_cannot_be_read_is_told_before_anything_starts() {
    let place = Place::new();
    let good = place.write_lines("good", &[Event::new("1", START).line()]);
    let folder = place.path("folder");
    std::fs::create_dir(&folder).unwrap();
    let dangling = place.path("dangling");
    std::os::unix::fs::symlink(place.path("nowhere"), &dangling).unwrap();
    for bad in [place.path("missing"), folder, dangling] {
        let job = place.job("data", &[good.clone(), bad.clone()]);
        job.end().refused(2, &[&bad.display().to_string()]);
        assert_untouched(&job.data_dir);
    }
    let twice = place.job("data", &[good.clone(), good.clone()]);
    twice.end().refused(2, &[&good.display().to_string()]);
    assert_untouched(&twice.data_dir);
}

/// A pipe has no position to go on from; and to open one that nobody writes to would wait for ever.
#[test]
fn a_pipe_is_no_file() {
    let place = Place::new();
    let good = place.write_lines("good", &[Event::new("1", START).line()]);
    let pipe = place.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let name = pipe.display().to_string();
    for job in [place.job("data", std::slice::from_ref(&pipe)), place.job("data", &[good]).control(&pipe)] {
        job.start().patient(Duration::from_secs(20)).wait().refused(2, &[&name]);
        assert_untouched(&job.data_dir);
    }
}

#[test]
fn every_problem_of_every_control_file_is_told_with_file_and_line() {
    let place = Place::new();
    let good = control("user", "E1", "U1", json!({"name": "One"}), START);
    let bad = |kind: &str, key: &str, value: Value| control(kind, "E1", key, value, START);
    let one = place.write_lines(
        "one.ndjson",
        &[
            good.clone(),
            bad("setting", "aer", json!({})),
            bad("settings", "aer", json!({"responses": {"tor": {"enabled": "yes"}}})),
            good.clone(),
            bad("allow_list", "trusted", json!({"trusted_cidr": ["0.0.0.0/0"]})),
        ],
    );
    let two = place.write_lines("two.ndjson", &[good, "{\"kind\":".to_owned()]);
    let events = place.write_lines("events", &[Event::new("1", START).line()]);
    let job = place.job("data", &[events]).control(&one).control(&two);
    let said: Ended = job.end();
    let at = |file: &Path, line: u64| format!("{}:{line}", file.display());
    let places = [at(&one, 2), at(&one, 3), at(&one, 5), at(&two, 2)];
    said.refused(2, &places.each_ref().map(String::as_str));
    assert_untouched(&job.data_dir);
}

#[test]
fn a_bad_exit_list_is_told_with_file_and_line() {
    let place = Place::new();
    let list = place.write("tor.txt", "# exits\n185.220.101.7\nnot an address\n");
    let events = place.write_lines("events", &[Event::new("1", START).line()]);
    let job = place.job("data", &[events]).tor_list(&list);
    job.end().refused(2, &[&format!("{}:3", list.display())]);
    assert_untouched(&job.data_dir);
}
