//! The promise: an entry of Slack's audit log is accepted unchanged. The shapes are those of Slack's reference and of
//! published captures; the names are made up.

use crate::inputs::{EXIT, START, control};
use crate::outputs::{Outputs, values};
use crate::support::Place;
use serde_json::{Value, json};

const ENTRIES: &[&str] = &[
    // The reference's example: session_id is text, ua is a name.
    r#"{"id":"0123a45b-6c7d-8900-e12f-3456789gh0i1","date_create":1521214343,"action":"user_login","actor":{"type":"user","user":{"id":"W123AB456","name":"Charlie Parker","email":"bird@slack.com"}},"entity":{"type":"user","user":{"id":"W123AB456","name":"Charlie Parker","email":"bird@slack.com"}},"context":{"location":{"type":"enterprise","id":"E1701NCCA","name":"Birdland","domain":"birdland"},"ua":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_12_6) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/64.0.3282.186 Safari/537.36","session_id":"847288190092","ip_address":"1.23.45.678"}}"#,
    // A capture: session_id is a number, app is null, a team beside the user's mail.
    r#"{"id":"5d4a7e7c-8a0e-4b8c-9b6e-1b7a3c9c2f10","date_create":1727190000,"action":"file_downloaded","actor":{"type":"user","user":{"id":"U01ABCDEF","name":"primary-owner","email":"aaron@demo.com","team":"T01234567"}},"entity":{"type":"file","file":{"id":"F0AAAAAAA","name":"plan.pdf","filetype":"pdf","title":"Plan"}},"context":{"location":{"type":"workspace","id":"T01234567","name":"Workspace 1","domain":"workspace-1"},"ua":"","ip_address":"","session_id":5676438098901,"app":null},"details":{"url_private":"https://files.slack.com/files-pri/T01234567-F0AAAAAAA/plan.pdf"}}"#,
    // An app acted: session_id is null, app is an object with much in it.
    r#"{"id":"d3b1a7a2-1f0e-4c0e-8f2c-0c9a2a5e9a55","date_create":1727190001,"action":"user_channel_join","actor":{"type":"user","user":{"id":"U01ABCDEF","name":"primary-owner","email":"aaron@demo.com","team":"T01234567"}},"entity":{"type":"channel","channel":{"id":"C0AAAAAAA","name":"general","privacy":"public","is_shared":false,"is_org_shared":false,"teams_shared_with":[],"original_connected_channel_id":null,"is_salesforce_channel":false}},"context":{"location":{"type":"workspace","id":"T01234567","name":"Workspace 1","domain":"workspace-1"},"ua":"","session_id":null,"ip_address":"81.2.69.143","app":{"id":"A0AAAAAAA","name":"Workflow","scopes":["channels:join"],"scopes_bot":[],"is_distributed":true,"creator":"U01ABCDEF","team":"T01234567"}},"details":{"type":"app"}}"#,
    // A server-side scan.
    r#"{"id":"7d9d1d6e-3c3a-4f59-9b2f-6a4c5e1b0d11","date_create":1727190002,"action":"file_malicious_content_detected","actor":{"type":"user","user":{"id":"USLACKUSER","name":"","email":"","team":"T01234567"}},"entity":{"type":"file","file":{"id":"F0BBBBBBB","name":"x.exe","filetype":"binary","title":"x"}},"context":{"location":{"type":"workspace","id":"T01234567","name":"Workspace 1","domain":"workspace-1"},"ua":"","session_id":null,"ip_address":"127.0.0.1"}}"#,
    // Newer members that nobody knows here.
    r#"{"id":"2b8e3a3c-52d5-4a3d-9f9b-6d9a6c1b4e77","date_create":1727190003,"action":"some_action_of_next_year","actor":{"type":"user","account_type":"human","user":{"id":"U01ABCDEF","name":"primary-owner","email":"aaron@demo.com","team":"T01234567"}},"entity":{"type":"canvas","canvas":{"id":"F0CCCCCCC","filetype":"quip","title":"c"}},"context":{"location":{"type":"enterprise","id":"E01234567","name":"Org","domain":"org"},"ua":"Mozilla/5.0","session_id":5676438098901,"ip_address":"81.2.69.143","acting_agent":null,"agent_message":{"team":"T01234567","channel_id":"C0AAAAAAA","message_ts":"1.2","thread_ts":"1.2"}},"details":{"new_value":["a"],"previous_value":{"nested":{"deep":[1,2.5e3,null,true]}}}}"#,
    // An anomaly that Slack found: recorded.
    r#"{"id":"9f1d6a7e-9f3a-4a7e-8a53-f2f3d6a0a3b4","date_create":1727190004,"action":"anomaly","actor":{"type":"user","user":{"id":"U01ABCDEF","name":"primary-owner","email":"aaron@demo.com","team":"T01234567"}},"entity":{"type":"user","user":{"id":"U01ABCDEF","name":"primary-owner","email":"aaron@demo.com","team":"T01234567"}},"context":{"location":{"type":"enterprise","id":"E01234567","name":"Org","domain":"org"},"ua":"Mozilla/5.0","session_id":5676438098901,"ip_address":"81.2.69.143"},"details":{"action_timestamp":1727190004123456,"location":"Reno, Nevada","reason":["asn","ip_address"],"previous_ip_address":"","previous_ua":"","ip_address_details":["new-asn"]}}"#,
];

#[test]
fn entries_as_slack_writes_them_take_part() {
    let place = Place::new();
    let lines: Vec<_> = ENTRIES.iter().map(|line| (*line).to_owned()).collect();
    let job = place.job("data", &[place.write_lines("slack.ndjson", &lines)]);
    let totals = job.run();
    totals.assert_conserved();
    let outputs = Outputs::of(&job.data_dir);
    assert_eq!(totals.of("applied"), ENTRIES.len() as u64, "{totals:?}\n{}", outputs.dead_letter);
    assert_eq!(totals.of("responses"), 0);
}

/// A session's number and its decimal text are one session, and both come out as text.
#[test]
fn a_number_and_its_text_are_one_session() {
    let place = Place::new();
    let entry = |id: &str, secs: u64, session: Value| {
        let mut entry: Value = serde_json::from_str(ENTRIES[1]).unwrap();
        entry["id"] = json!(id);
        entry["date_create"] = json!(secs);
        entry["context"]["session_id"] = session;
        entry["context"]["ip_address"] = json!(EXIT);
        entry.to_string()
    };
    let lines = [entry("1", START, json!(5_676_438_098_901_u64)), entry("2", START + 60, json!("5676438098901"))];
    let records = [control("workspace", "E01234567", "T01234567", json!({}), START - 100)];
    let job = place
        .job("data", &[place.write_lines("slack.ndjson", &lines)])
        .control(&place.write_lines("control.ndjson", &records))
        .tor_list(&place.write("tor.txt", EXIT));
    let totals = job.run();
    assert_eq!((totals.of("applied"), totals.of("responses")), (2, 1), "{totals:?}");
    let outputs = Outputs::of(&job.data_dir);
    let decisions = outputs.decisions();
    assert_eq!(decisions.len(), 1, "one session, one case: {decisions:?}");
    assert_eq!(decisions[0]["session_id"], "5676438098901");
    assert_eq!(decisions[0]["org"], "E01234567", "the org that the workspace belongs to");
    assert_eq!(decisions[0]["by_reason"], json!({"tor": "responded"}));
    let anomaly = outputs.audit.iter().find(|line| line.contains("\"anomaly\"")).map(|line| values(line)[0].clone());
    let anomaly = anomaly.expect("there is an anomaly entry");
    assert_eq!(anomaly["context"]["session_id"], "5676438098901");
    assert_eq!(anomaly["details"]["action_timestamp"], START * 1_000_000);
    assert_eq!(anomaly["details"]["reason"], json!(["tor"]));
    assert_eq!(anomaly["details"]["previous_ip_address"], "");
}

/// An anomaly that Slack found, as it stands in its log.
fn found(id: &str, user: &str, secs: u64, details: &Value) -> String {
    let mut entry: Value = serde_json::from_str(ENTRIES[5]).expect("the entry is JSON");
    entry["id"] = json!(id);
    entry["date_create"] = json!(secs);
    entry["actor"]["user"]["id"] = json!(user);
    entry["context"]["session_id"] = json!(format!("s{user}"));
    entry["details"] = details.clone();
    entry.to_string()
}

/// What Slack has found is decided on by the rules for our own where the job says so, and else only applied.
#[test]
fn what_slack_found_is_answered_where_the_job_says_so() {
    let place = Place::new();
    let at = |secs: u64| (START + secs) * 1_000_000;
    let scraping = |acted: u64| {
        json!({"action_timestamp": at(acted), "location": "Tokyo, JP", "previous_ip_address": "203.0.113.9",
               "previous_ua": "", "reason": ["unexpected_scraping", "a_code_of_next_year"],
               "scraping_tool": "Go-based tool"})
    };
    let reasons = |codes: &[&str]| json!({ "reason": codes, "action_timestamp": at(0) });
    let from_nowhere = |line: String| line.replace("81.2.69.143", "");
    let lines = [
        found("1", "U1", START + 50, &scraping(0)),
        // The sessions of then are over; later there are others, and who bears no mark of a stranger is left in peace.
        found("2", "U1", START + 60, &scraping(40)),
        from_nowhere(found("3", "U1", START + 200, &scraping(150))),
        found("4", "U2", START + 200, &reasons(&["session_fingerprint", "asn"])),
        found("5", "U3", START + 201, &reasons(&["tor"])),
        found("6", "U4", START + 202, &reasons(&["asn", "ip_address"])),
        found("7", "U5", START + 203, &reasons(&["a_code_of_next_year"])),
        found("8", "U6", START + 4_000, &reasons(&["tor"])),
        found("1", "U1", START + 50, &scraping(0)),
    ];
    let input = place.write_lines("slack.ndjson", &lines);
    let settings = json!({"responses": {"tor": {"enabled": true, "exclude_users": ["U3"]}}});
    let records = [control("settings", "E01234567", "aer", settings, START - 100)];
    let records = place.write_lines("control.ndjson", &records);
    let run = |name: &str, setting: &str| {
        let config = place.config(name, std::slice::from_ref(&input), "", "").control(&records).settings(setting);
        let totals = config.start().wait().done().totals();
        assert_eq!(["applied", "duplicate"].map(|of| totals.of(of)), [8, 1], "{totals:?}");
        (totals, Outputs::of(&config.data_dir))
    };
    let (totals, outputs) = run("recorded", "");
    let raised = outputs.audit.iter().filter(|line| line.contains("\"action\":\"anomaly\"")).count();
    assert_eq!((totals.of("anomalies"), outputs.decisions().len(), raised), (0, 0, 0));

    let (totals, outputs) = run("answered", "imported_anomalies = \"respond\"");
    let decisions = outputs.decisions();
    let decided: Vec<_> =
        decisions.iter().map(|line| (line["user"].as_str().unwrap(), line["decision"].as_str().unwrap())).collect();
    let expected = [
        ("U1", "responded"),
        ("U1", "already_answered"),
        ("U1", "loop_protected"),
        ("U2", "disabled"),
        ("U3", "excluded_user"),
    ];
    assert_eq!(decided, expected, "{decisions:?}");
    assert_eq!((totals.of("anomalies"), totals.of("responses")), (6, 1));
    let entries: Vec<Value> = outputs.audit.iter().map(|line| values(line)[0].clone()).collect();
    let first = entries.iter().find(|entry| entry["id"] == decisions[0]["anomaly_id"]).expect("an anomaly's entry");
    let details = &first["details"];
    assert_eq!(details["reason"], json!(["unexpected_scraping"]));
    assert_eq!((&details["location"], &details["scraping_tool"]), (&json!("Tokyo, JP"), &json!("Go-based tool")));
    assert_eq!(details["previous_ip_address"], "203.0.113.9");
    assert_eq!(details["evidence"][0]["event_ids"], json!(["1"]));
    let response = entries.iter().find(|entry| entry["action"] == "user_sessions_reset_by_anomaly_event_response");
    assert_eq!(response.expect("there was a response")["context"]["session_id"], "sU1");
}
