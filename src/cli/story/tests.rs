//! The story of small outputs.

use super::read::{Activity, Mail, head_of};
use super::*;
use operators::evaluate::{Anomalies, ReasonRow, Responses};
use std::path::PathBuf;

const ANOMALY: &str = r#"{"id":"a1","date_create":1767225600,"action":"anomaly",
    "actor":{"type":"user","user":{"id":"U1","name":"Ada","email":"","team":"T"}},
    "context":{"location":{"type":"enterprise","id":"E1","name":"Studio","domain":"d"},"ua":"","session_id":null},
    "details":{"reason":["tor"],"action_timestamp":1767225600500000,
    "evidence":[{"reason":"tor","metric":"tor_exit","observed":"192.0.2.1","threshold_source":"threat_list:tor_exit"}]}}"#;

const LOGGED: &str = r#"{"id":"a2","date_create":1767225700,"action":"anomaly",
    "actor":{"type":"user","user":{"id":"U2","name":"\u001b[31mEve"}},
    "context":{"location":{"id":"E1","name":"Studio"}},
    "details":{"reason":["excessive_downloads"],"evidence":[{"reason":"excessive_downloads",
    "metric":"file_downloads_1h","observed":240,"threshold":100,"threshold_source":"org","samples":1200,
    "window_start":1767222100000000,"window_end":1767225700000000}]}}"#;

const RESPONSE: &str = r#"{"id":"r1","date_create":1767225600,
    "action":"user_sessions_reset_by_anomaly_event_response","actor":{"user":{"id":"U1","name":"Ada"}},
    "context":{"location":{"id":"E1","name":"Studio"}},
    "details":{"reason":["tor"],"anomaly_id":"a1","verdict":"first"}}"#;

const DECISIONS: [&str; 2] = [
    r#"{"anomaly_id":"a1","org":"E1","user":"U1","reason":["tor"],"by_reason":{"tor":"responded"},
        "decision":"responded","response_id":"r1","date_create":1767225600}"#,
    r#"{"anomaly_id":"a2","org":"E1","user":"U2","reason":["excessive_downloads"],
        "by_reason":{"excessive_downloads":"disabled"},"decision":"disabled","date_create":1767225700}"#,
];

fn told() -> Told {
    let mut told = Told {
        decisions: DECISIONS.iter().map(|line| serde_json::from_str(line).unwrap()).collect(),
        mails: vec![Mail { to: "ada@studio.example".to_owned(), subject: "You were signed out".to_owned() }],
        ..Told::default()
    };
    for line in [ANOMALY, LOGGED, RESPONSE, &RESPONSE.replace("user_sessions_reset_by_anomaly_event_response", "x")] {
        told.take(serde_json::from_str(line).unwrap());
    }
    told.activity.orgs.insert("E1".to_owned(), "Studio".to_owned());
    told
}

fn report() -> Report {
    let row = ReasonRow {
        reason: "tor",
        planted: 4,
        found: 3,
        missed: 1,
        recall: Some(0.75),
        by_difficulty: Vec::new(),
        right: 3,
        neutral: 0,
        false_on_look_alike: 0,
        false_unlabelled: 2,
        precision: Some(0.6),
        false_per_10k: None,
        delay_p50_s: Some(1.5),
        delay_p99_s: None,
        owed: 0,
        given: 0,
        wrongful: 0,
    };
    Report {
        labels: 9,
        anomalies: 5,
        user_days: Some(100),
        answerable: Anomalies::default(),
        log_only: Anomalies::default(),
        reasons: vec![row],
        responses: Responses {
            owed: 5,
            given: 4,
            wrongful: 2,
            on_look_alike: 1,
            over_limit: 1,
            ..Responses::default()
        },
        decisions: None,
        thresholds: Vec::new(),
        findings: Vec::new(),
        findings_dropped: 0,
    }
}

fn text(told: Told) -> String {
    let totals = Totals { received: 1_200, applied: 1_190, rejected: 10, ..Totals::default() };
    let files = Files::in_folder(Path::new("d/sample"));
    let story = Story { told, totals: &totals, report: &report(), dir: Path::new("d"), files: &files, serving: None };
    story.text()
}

#[test]
fn everything_is_told_from_the_outputs() {
    let text = text(told());
    for part in [
        "1,200 events by 0 people and bots in 1 org: Studio",
        "WHAT WAS FOUND: 2 anomalies",
        "2026-01-01 00:00:00 UTC  Ada (Studio): tor",
        "tor exit: 192.0.2.1, on the list tor_exit",
        "file downloads 1h: 240; limit 100, learned from the org (1,200 samples), in 60 min",
        "WHOSE SESSIONS WERE ENDED: 1 person, 1 response",
        "first response to this user in 24 hours",
        "WHO WAS TOLD: 1 mail to 1 person",
        "to ada@studio.example: You were signed out",
        "WHAT WAS LEFT ALONE, AND WHY: 1 anomaly",
        "the org has this response switched off",
        "responses: 4 of 5 owed were given; 2 wrongful: 1 on look-alikes, 0 without",
        "aerie evaluate --labels d/sample/labels.ndjson",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "a terminal would take orders from a name");
    assert!(!text.contains("metrics until"), "nothing is served any more");
}

#[test]
fn an_empty_run_has_a_story_too() {
    let text = text(Told::default());
    assert!(text.contains("WHAT WAS FOUND: 0 anomalies") && !text.contains("For instance"), "{text}");
    assert!(text.contains("WHOSE SESSIONS WERE ENDED: 0 people, 0 responses"), "{text}");
}

#[test]
fn several_responses_to_one_person_are_one_line() {
    let mut told = told();
    told.take(
        serde_json::from_str(&RESPONSE.replace("first", "persisting").replace("1767225600", "1767229200")).unwrap(),
    );
    let text = text(told);
    assert!(text.contains("1 person, 2 responses"), "{text}");
    assert!(text.contains("Ada (Studio): tor, 2 times; the last one: again; the session does not look"), "{text}");
}

#[test]
fn what_stayed_the_same_was_expected_to() {
    let evidence = |source: &str| {
        let json = serde_json::json!({"metric": "device_id", "observed": "D2", "threshold": "unchanged",
            "threshold_source": source});
        evidence_words(&serde_json::from_value(json).unwrap())
    };
    assert_eq!(evidence("session"), "device id: D2; expected unchanged within one session");
    assert_eq!(evidence(""), "device id: D2; limit unchanged");
    assert_eq!(evidence("elsewhere"), "device id: D2; limit unchanged, elsewhere");
}

#[test]
fn anomalies_without_a_decision_are_only_logged() {
    let mut told = told();
    told.decisions.pop();
    let text = text(told);
    assert!(text.contains("only logged") && !text.contains("disabled"), "{text}");
}

#[test]
fn every_outcome_and_reason_has_words() {
    let words: BTreeSet<_> = Outcome::ALL.iter().map(|outcome| why(*outcome)).collect();
    assert_eq!(words.len(), Outcome::ALL.len());
    assert_eq!(phrase("reason", "tor"), "a connection from a Tor exit node");
    assert_eq!(phrase("reason", "made\u{7}up"), "made?up");
}

#[test]
fn activity_is_what_can_be_read() {
    let event = |at: f64, user: &str| {
        format!(r#"{{"date_create":{at},"actor":{{"user":{{"id":"{user}"}}}},"context":{{"location":{{"id":"E"}}}}}}"#)
    };
    let text = format!("{}\nnot json\n{}\n", event(20.5, "U1"), event(10.0, "U2"));
    let activity = Activity::read(text.as_bytes());
    assert_eq!((activity.first, activity.last), (Micros::from_secs(10), Micros(20_500_000)));
    assert_eq!((activity.people.len(), activity.orgs.len()), (2, 1));
    assert_eq!(Activity::read(&b""[..]).first, Micros::ZERO);
}

#[test]
fn heads_of_mails_are_unfolded() {
    let mail = head_of("From: a\r\nTo: Ada\r\n <ada@x.example>\r\nSubject: You\r\n were\r\n\r\nSubject: not this\r\n");
    assert_eq!(mail, Mail { to: "Ada <ada@x.example>".to_owned(), subject: "You were".to_owned() });
}

#[test]
fn files_are_read_as_a_run_leaves_them() {
    let dir = tempfile::tempdir().unwrap();
    let one_line = |text: &str| text.lines().map(str::trim).collect::<String>() + "\n";
    let files = Files::in_folder(dir.path());
    let write = |path: PathBuf, text: String| std::fs::write(path, text).unwrap();
    write(files.events.clone(), one_line(ANOMALY));
    write(dir.path().join("audit.ndjson"), [LOGGED, ANOMALY, RESPONSE].map(one_line).concat());
    write(dir.path().join("decisions.ndjson"), DECISIONS.map(one_line).concat());
    std::fs::create_dir(dir.path().join("outbox")).unwrap();
    write(dir.path().join("outbox/m.eml"), "To: a@x.example\r\nSubject: s\r\n\r\nbody".to_owned());
    write(dir.path().join("outbox/m.json"), "{}".to_owned());
    write(dir.path().join("outbox/.m.eml.partial"), String::new());
    let told = Told::read(dir.path(), &files).unwrap();
    assert_eq!((told.anomalies.len(), told.responses.len(), told.decisions.len()), (2, 1, 2));
    assert_eq!(told.anomalies[0].id, "a1", "in order of time");
    assert_eq!((told.mails.len(), told.other_messages), (1, 1));

    write(dir.path().join("decisions.ndjson"), "{}\n".to_owned());
    let refused = Told::read(dir.path(), &files).unwrap_err().to_string();
    assert!(refused.contains("decisions.ndjson:1: "), "{refused}");
}
