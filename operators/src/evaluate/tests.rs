//! Tests of `evaluate`.

use super::*;
use serde_json::{Value, json};

fn label(id: &str, user: &str, reason: &str, kind: &str, more: &Value) -> String {
    let mut label = json!({
        "label_id": id, "org": "E1", "user": user, "reasons": [reason], "start": 1_000, "end": 2_000,
        "first_detectable": 1_100.5, "kind": kind, "note": "", "scenario": id, "difficulty": "moderate",
    });
    more.as_object().unwrap().iter().for_each(|(key, value)| label[key] = value.clone());
    label.to_string()
}

fn anomaly(id: &str, user: &str, session: &str, reasons: &[&str], at: u64) -> String {
    json!({
        "id": id, "date_create": at / 1_000_000, "action": "anomaly",
        "actor": {"type": "user", "user": {"id": user}},
        "context": {"location": {"type": "enterprise", "id": "E1"}, "session_id": session},
        "details": {"reason": reasons, "action_timestamp": at},
    })
    .to_string()
}

fn response(id: &str, anomaly: &str, user: &str, reasons: &[&str], at: u64) -> String {
    json!({
        "id": id, "date_create": at / 1_000_000, "action": "user_sessions_reset_by_anomaly_event_response",
        "actor": {"type": "user", "user": {"id": user}},
        "context": {"location": {"type": "enterprise", "id": "E1"}, "session_id": null},
        "details": {"reason": reasons, "action_timestamp": at, "anomaly_id": anomaly},
    })
    .to_string()
}

fn decision(anomaly: &str, user: &str, reason: &str, outcome: &str) -> String {
    json!({
        "anomaly_id": anomaly, "org": "E1", "user": user, "session_id": null, "reason": [reason],
        "by_reason": {reason: outcome}, "decision": outcome, "date_create": 1_200,
    })
    .to_string()
}

fn each(lines: &[String]) -> impl Iterator<Item = io::Result<String>> {
    lines.iter().cloned().map(io::Result::Ok)
}

fn score(labels: &[String], audit: &[String], decisions: Option<&[String]>) -> Result<Report, Error> {
    let (mut labels, mut audit) = (each(labels), each(audit));
    let mut decided = decisions.map(each);
    let decisions = decided.as_mut().map(|lines| Lines { name: "decisions.ndjson", lines });
    let labels = Lines { name: "labels.ndjson", lines: &mut labels };
    evaluate(vec![Run { labels, audit: Lines { name: "audit.ndjson", lines: &mut audit }, decisions }], Some(1_000))
}

fn row<'a>(report: &'a Report, reason: &str) -> &'a ReasonRow {
    report.reasons.iter().find(|row| row.reason == reason).unwrap()
}

const S: u64 = 1_000_000;

#[test]
fn found_missed_late_and_false_are_told_apart() {
    let attack = json!({"must_respond": true, "also": ["ip_address"], "max_responses": 1});
    let labels = [
        label("L1", "U1", "tor", "attack", &attack),
        label("L2", "U2", "tor", "attack", &json!({"session_id": "7", "difficulty": "stealthy"})),
        label("L3", "U3", "tor", "benign", &json!({})),
        label("L4", "*", "excessive_downloads", "benign", &json!({"tolerated": ["excessive_downloads"]})),
    ];
    let audit = [
        anomaly("a1", "U1", "5", &["ip_address", "tor"], 1_110 * S),
        anomaly("a2", "U2", "8", &["tor"], 1_200 * S), // another session
        anomaly("a3", "U3", "5", &["tor"], 1_300 * S), // a look-alike
        anomaly("a4", "U1", "5", &["tor"], 2_001 * S), // after the window
        anomaly("a5", "U9", "5", &["excessive_downloads"], 1_500 * S), // tolerated of everybody
        json!({"id": "x", "date_create": 1, "action": "user_login", "actor": {"user": {"id": "U1"}},
               "context": {"location": {"id": "E1"}}})
        .to_string(),
    ];
    let report = score(&labels, &audit, None).unwrap();
    let tor = row(&report, "tor");
    assert_eq!((tor.planted, tor.found, tor.missed, tor.recall), (2, 1, 1, Some(0.5)));
    assert_eq!((tor.right, tor.false_on_look_alike, tor.false_unlabelled), (1, 1, 2));
    assert_eq!((tor.precision, tor.false_per_10k), (Some(0.25), Some(30.0)));
    assert_eq!((tor.delay_p50_s, tor.delay_p99_s), (Some(9.5), Some(9.5)));
    assert_eq!(tor.by_difficulty.len(), 2);
    assert_eq!((row(&report, "ip_address").neutral, row(&report, "ip_address").precision), (1, None));
    assert_eq!(row(&report, "excessive_downloads").neutral, 1);
    assert_eq!(report.anomalies, 5);
    let counted = |a: &Anomalies| (a.total, a.false_alarms, a.false_per_10k);
    assert_eq!(counted(&report.answerable), (5, 3, Some(30.0)), "one comes along with what is tolerated, one is right");
    assert_eq!(counted(&report.log_only), (0, 0, Some(0.0)), "the log-only reason stands beside one that is not");
    assert_eq!((report.responses.owed, report.responses.given), (1, 0));
    assert!(report.findings.iter().any(|f| f.what == "missed" && f.label_id.as_deref() == Some("L2")));
    let text = report.to_text();
    assert!(text.contains("50.0 %") && text.contains("stealthy") && text.contains("missed"), "{text}");
    assert!(serde_json::to_string(&report).unwrap().contains("\"recall\":0.5"));
}

#[test]
fn wrongful_responses_have_their_kinds() {
    let labels = [
        label("L1", "U1", "tor", "attack", &json!({"must_respond": true, "max_responses": 1})),
        label("L2", "U2", "tor", "attack", &json!({"max_responses": 0, "also": ["unexpected_scraping"]})),
        label("L3", "U3", "tor", "benign", &json!({"max_responses": 0})),
        label("L4", "U4", "tor", "benign", &json!({"max_responses": 2, "chain": true, "difficulty": "loop"})),
    ];
    let mut audit = Vec::new();
    let mut answer = |id: u64, user: &str, reasons: &[&str]| {
        let (anomaly_id, at) = (format!("a{id}"), (1_200 + id) * S);
        audit.push(anomaly(&anomaly_id, user, "5", reasons, at));
        audit.push(response(&format!("r{id}"), &anomaly_id, user, reasons, at));
    };
    answer(1, "U1", &["tor"]);
    answer(2, "U2", &["tor"]); // against policy
    answer(3, "U2", &["unexpected_scraping"]); // rightly comes along
    answer(4, "U3", &["tor"]); // a look-alike
    answer(5, "U4", &["tor"]);
    answer(6, "U4", &["tor"]);
    answer(7, "U4", &["tor"]); // over the limit
    answer(8, "U7", &["tor"]); // nobody planted anything there
    let report = score(&labels, &audit, None).unwrap();
    let r = &report.responses;
    assert_eq!((r.total, r.owed, r.given), (8, 1, 1));
    let tor = row(&report, "tor");
    assert_eq!((tor.owed, tor.given, tor.wrongful), (1, 1, 4), "by reason");
    assert_eq!((r.against_policy, r.on_look_alike, r.over_limit, r.unlabelled, r.wrongful), (1, 1, 1, 1, 4));
    assert_eq!(r.wrongful_per_10k, Some(40.0));
    assert_eq!(row(&report, "tor").by_difficulty.last().unwrap().recall, Some(1.0), "the loop is found");
}

#[test]
fn decisions_are_held_against_the_expectation() {
    let expect = |outcomes: &[&str], must: bool| json!({"expected_decisions": outcomes, "must_respond": must});
    let labels = [
        label("L1", "U1", "tor", "attack", &expect(&["responded"], true)),
        label("L2", "U2", "tor", "attack", &expect(&["disabled"], false)),
        label("L3", "U3", "tor", "attack", &expect(&["excluded_user"], false)),
        label("L4", "U4", "tor", "attack", &expect(&["responded"], true)),
        label("L5", "U5", "tor", "benign", &expect(&["app_actor"], false)),
    ];
    let audit: Vec<_> =
        (1..=3).map(|n| anomaly(&format!("a{n}"), &format!("U{n}"), "5", &["tor"], 1_200 * S)).collect();
    let decisions = [
        decision("a1", "U1", "tor", "responded"),
        decision("a1b", "U1", "tor", "already_answered"),
        decision("a2", "U2", "tor", "disabled"),
        decision("a3", "U3", "tor", "responded"),
    ];
    let report = score(&labels, &audit, Some(&decisions)).unwrap();
    let found = report.decisions.clone().unwrap();
    assert_eq!((found.expected, found.honoured, found.broken, found.missing), (4, 2, 1, 1));
    assert!(report.findings.iter().any(|f| f.what == "decision" && f.detail == "responded"));
}

#[test]
fn what_a_toggle_kept_from_being_answered_wrongly_is_counted() {
    let labels = [
        label("L1", "U1", "tor", "attack", &json!({"also": ["unexpected_scraping"]})),
        label("L2", "U2", "tor", "benign", &json!({"tolerated": ["tor"]})),
    ];
    let decisions = [
        decision("a1", "U1", "tor", "disabled"),                 // an attack
        decision("a2", "U1", "unexpected_scraping", "disabled"), // rightly comes along
        decision("a3", "U2", "tor", "disabled"),                 // tolerated, but not to be answered
        decision("a4", "U2", "tor", "app_actor"),                // is never answered
        decision("a5", "U9", "tor", "responded"),                // nobody planted anything there
    ];
    let responses = score(&labels, &[], Some(&decisions)).unwrap().responses;
    assert_eq!((responses.wrongful_if_all_on, responses.wrongful_if_all_on_per_10k), (Some(2), Some(20.0)));
}

#[test]
fn an_entry_of_a_workspace_finds_its_org() {
    let labels = [label("L1", "U1", "tor", "attack", &json!({}))];
    let entry = |location: &str| anomaly("a1", "U1", "5", &["tor"], 1_200 * S).replace(r#""id":"E1""#, location);
    let found = |location: &str| score(&labels, &[entry(location)], None).unwrap().reasons[0].found;
    assert_eq!(found(r#""id":"T1""#), 1, "no org of the labels: the user decides");
    let elsewhere = [anomaly("a1", "U1", "5", &["tor"], 1_200 * S)
        .replace("{\"location\"", "{\"enterprise_id\":\"E2\",\"location\"")];
    assert_eq!(score(&labels, &elsewhere, None).unwrap().reasons[0].found, 0, "the entry names another org");
}

#[test]
fn a_label_of_everybody_is_of_its_own_org() {
    let labels = [
        label("L1", "*", "excessive_downloads", "benign", &json!({"tolerated": ["excessive_downloads"]})),
        label("L2", "U2", "tor", "attack", &json!({"org": "E2"})),
    ];
    let entry = |id: &str, user: &str, reason: &str| {
        anomaly(id, user, "5", &[reason], 1_200 * S).replace(r#""id":"E1""#, r#""id":"T2""#)
    };
    let audit = [entry("a1", "U9", "excessive_downloads"), entry("a2", "U2", "tor")];
    let decided = [decision("a2", "U2", "tor", "disabled").replace(r#""org":"E1""#, r#""org":"E2""#)];
    let report = score(&labels, &audit, Some(&decided)).unwrap();
    assert_eq!(row(&report, "excessive_downloads").false_unlabelled, 1, "T2 is E2, as the other decision says");
    assert_eq!(row(&report, "tor").found, 1);
}

#[test]
fn several_runs_are_kept_apart_and_counted_together() {
    let labels = [label("L1", "U1", "tor", "attack", &json!({}))];
    let (found, missed) = ([anomaly("a1", "U1", "5", &["tor"], 1_200 * S)], []);
    let (mut one, mut two, mut audit, mut none) = (each(&labels), each(&labels), each(&found), each(&missed));
    let run = |labels, audit| Run {
        labels: Lines { name: "labels.ndjson", lines: labels },
        audit: Lines { name: "audit.ndjson", lines: audit },
        decisions: None,
    };
    let report = evaluate(vec![run(&mut one, &mut audit), run(&mut two, &mut none)], Some(20_000)).unwrap();
    let tor = row(&report, "tor");
    assert_eq!((tor.planted, tor.found, tor.right), (2, 1, 1));
    assert_eq!(report.findings[0].label_id.as_deref(), Some("2/L1"));
    assert_eq!(report.answerable.per_10k, Some(0.5));
}

#[test]
fn thresholds_are_told_with_where_they_came_from() {
    let held = |id: &str, at: u64, threshold: Value, source: &str| {
        let mut entry: Value = serde_json::from_str(&anomaly(id, "U1", "5", &["excessive_downloads"], at)).unwrap();
        entry["details"]["evidence"] = json!([{"reason": "excessive_downloads", "metric": "file_downloads_1h",
            "observed": 500, "threshold": threshold, "threshold_source": source, "samples": at / S}]);
        entry.to_string()
    };
    let audit = [
        held("a3", 1_300 * S, json!(90), "org"),
        held("a1", 1_100 * S, json!(100), "prior"),
        held("a2", 1_200 * S, json!(120), "org"),
        held("a4", 1_400 * S, json!("unchanged"), "session"),
    ];
    let report = score(&[], &audit, None).unwrap();
    let told: Vec<_> = report.thresholds.iter().map(|row| (&row.source[..], row.anomalies)).collect();
    assert_eq!(told, [("org", 2), ("prior", 1)]);
    let Held { threshold, samples, .. } = &report.thresholds[0].first;
    assert_eq!((threshold.as_u64(), *samples), (Some(120), 1_200));
    assert_eq!(report.thresholds[0].last.threshold.as_u64(), Some(90));
    assert!(report.to_text().contains("file_downloads_1h"), "{}", report.to_text());
}

#[test]
fn a_user_day_is_a_day_on_which_the_user_did_something() {
    let event = |user: &str, at: u64| {
        json!({"date_create": at, "actor": {"user": {"id": user}}, "context": {"location": {"id": "E1"}}}).to_string()
    };
    let lines = [event("U1", 10), event("U1", 20), event("U2", 86_399), event("U1", 86_400), "not json".to_owned()];
    assert_eq!(user_days(Lines { name: "events.ndjson", lines: &mut each(&lines) }).unwrap(), 3);
}

#[test]
fn bad_lines_are_named_and_nothing_panics() {
    let good = label("L1", "U1", "tor", "attack", &json!({}));
    for (bad, word) in [
        ("{", "EOF"),
        ("[]", "invalid"),
        (&label("L2", "U1", "torr", "attack", &json!({})), "torr"),
        (&label("L2", "U1", "tor", "attack", &json!({"end": 1})), "before"),
        (&label("L2", "U1", "tor", "attack", &json!({"start": -1e300})), "Unix"),
        (&label("L2", "U1", "tor", "odd", &json!({})), "odd"),
        (&good.clone(), "second"),
    ] {
        let error = score(&[good.clone(), String::new(), bad.to_owned()], &[], None).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::Invalid(_)) && message.starts_with("labels.ndjson:3:"), "{message}");
        assert!(message.contains(word), "{message}");
    }
    let error = score(&[good], &["{}".to_owned()], Some(&[])).unwrap_err().to_string();
    assert!(error.starts_with("audit.ndjson:1:"), "{error}");
    assert!(score(&[], &[], None).unwrap().reasons.is_empty());
}
