//! Control records against the contract's table, and against garbage.

use super::*;
use crate::model::control::{AllowList, Channels, DirectoryRow, ResponseSetting, Settings, Switch};
use crate::model::reason::Reason;
use engine::time::Micros;
use proptest::prelude::*;

fn parse(line: &str) -> Result<ControlRecord, Vec<String>> {
    parse_control(line.as_bytes(), 7).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn value(kind: &str, org: &str, key: &str, value: &str) -> Result<ControlValue, Vec<String>> {
    let line = format!(r#"{{"kind":"{kind}","org":"{org}","key":"{key}","value":{value},"date_create":1767225600}}"#);
    parse(&line).map(|record| record.value)
}

fn texts(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_user_row_is_read_whole() {
    let row = r#"{"name":"Ann","email":"a@x","locale":"de-DE","is_primary_owner":true,"is_external":false,"is_bot":null,
        "roles":["security_admin"],"groups":["S2","S1"],"slack_user_id":"W1","title":"ignored"}"#;
    let expected = DirectoryRow {
        name: "Ann".into(),
        email: "a@x".into(),
        locale: "de-DE".into(),
        is_primary_owner: true,
        is_external: false,
        is_bot: false,
        roles: texts(&["security_admin"]),
        groups: texts(&["S1", "S2"]),
        slack_user_id: Some("W1".into()),
    };
    assert_eq!(value("user", "E1", "U1", row), Ok(ControlValue::User(Some(expected))));
    assert_eq!(value("user", "E1", "U1", "{}"), Ok(ControlValue::User(Some(DirectoryRow::default()))));
    let problems = value("user", "E1", "U1", r#"{"is_bot":"no","groups":"S1","roles":[1]}"#).unwrap_err();
    assert_eq!(
        problems,
        [
            "value.is_bot: must be true or false (is \"no\")",
            "value.roles[0]: must be a string (is \"1\")",
            "value.groups: must be an array (is \"S1\")",
        ]
    );
}

#[test]
fn null_deletes_in_every_kind() {
    for (kind, org, key, expected) in [
        ("user", "E1", "U1", ControlValue::User(None)),
        ("settings", "E1", "aer", ControlValue::Settings(None)),
        ("allow_list", "E1", "trusted", ControlValue::AllowList(None)),
        ("workspace", "E1", "T1", ControlValue::Workspace(None)),
        ("control", "*", "hold", ControlValue::Switch(None)),
        ("threat_list", "*", "ioc_ip", ControlValue::ThreatList(None)),
    ] {
        assert_eq!(value(kind, org, key, "null"), Ok(expected));
    }
    let missing = parse(r#"{"kind":"workspace","org":"E1","key":"T1","date_create":1}"#).unwrap_err();
    assert_eq!(missing, ["value: is required"]);
}

#[test]
fn settings_keep_what_was_set_of_reasons_with_a_toggle() {
    let settings = r#"{"responses":{"tor":{"enabled":false,"exclude_users":["U1"],"exclude_groups":["S1"]},
        "asn":{"enabled":true},"excessive_downloads":{}},"notifications":{"security_admins":{"dm":true}}}"#;
    let tor = ResponseSetting { enabled: Some(false), exclude_users: texts(&["U1"]), exclude_groups: texts(&["S1"]) };
    let responses = [(Reason::Tor, tor), (Reason::ExcessiveDownloads, ResponseSetting::default())].into();
    let expected = Settings {
        responses,
        primary_owner: Channels::default(),
        security_admins: Channels { email: false, dm: true },
    };
    assert_eq!(value("settings", "E1", "aer", settings), Ok(ControlValue::Settings(Some(expected))));
    assert_eq!(value("settings", "E1", "aer", "{}"), Ok(ControlValue::Settings(Some(Settings::default()))));
}

#[test]
fn misspelt_settings_are_refused_with_the_nearest_name() {
    let problems = value(
        "settings",
        "E1",
        "aer",
        r#"{"responses":{"tro":{},"excesive_downloads":{},"tor":{"exclude_user":[]}},"notification":{}}"#,
    );
    assert_eq!(
        problems.unwrap_err(),
        [
            "value.notification: is not a known member; did you mean `notifications`? (is \"an object\")",
            "value.responses.excesive_downloads: is not a reason code; did you mean `excessive_downloads`? \
             (is \"excesive_downloads\")",
            "value.responses.tor.exclude_user: is not a known member; did you mean `exclude_users`? (is \"an array\")",
            "value.responses.tro: is not a reason code; did you mean `tor`? (is \"tro\")",
        ]
    );
}

#[test]
fn an_allow_list_takes_both_names_of_the_asns() {
    let list = r#"{"trusted_cidr":["203.0.113.7/24","198.51.100.1","2001:db8::/32","::ffff:192.0.2.0/120"],
        "trusted_asn":[64500],"trusted_asns":[64501,64500]}"#;
    let cidr = ["203.0.113.0/24", "198.51.100.1/32", "2001:db8::/32", "192.0.2.0/24"];
    let expected = AllowList {
        trusted_cidr: cidr.iter().map(|net| net.parse().unwrap()).collect(),
        trusted_asn: [64500, 64501].into(),
    };
    assert_eq!(value("allow_list", "E1", "trusted", list), Ok(ControlValue::AllowList(Some(expected))));
}

#[test]
fn wide_prefixes_are_not_trusted() {
    let trusts = |net: &str| value("allow_list", "E1", "trusted", &format!(r#"{{"trusted_cidr":["{net}"]}}"#)).is_ok();
    for (net, narrow) in [
        ("10.0.0.0/8", true),
        ("10.0.0.0/7", false),
        ("0.0.0.0/0", false),
        ("2001:d00::/24", true),
        ("2001:c00::/23", false),
        ("::/0", false),
        ("::ffff:0:0/96", false),
        ("::ffff:10.0.0.0/104", true),
        ("::ffff:10.0.0.0/103", false),
        ("nowhere", false),
    ] {
        assert_eq!(trusts(net), narrow, "{net}");
    }
}

#[test]
fn switches_name_what_they_cover() {
    let expected = Switch { on: true, reasons: Some([Reason::Tor, Reason::Asn].into()) };
    let line = r#"{"on":true,"reasons":["tor","asn"]}"#;
    assert_eq!(value("control", "*", "shadow", line), Ok(ControlValue::Switch(Some(expected))));
    let all = Switch { on: false, reasons: None };
    assert_eq!(value("control", "E1", "hold", r#"{"on":false}"#), Ok(ControlValue::Switch(Some(all))));
    assert_eq!(value("control", "E1", "resume", "{}").unwrap_err(), ["value.on: is required"]);
    let problems = value("control", "E1", "shadwo", r#"{"on":true,"reasons":["torr"]}"#).unwrap_err();
    assert_eq!(
        problems,
        [
            "key: is not a key of kind `control`; did you mean `shadow`? (is \"shadwo\")",
            "value.reasons[0]: is not a reason code; did you mean `tor`? (is \"torr\")",
        ]
    );
}

#[test]
fn threat_lists_have_entries_of_their_own_kind() {
    let list = |name: &str, entries: &str| value("threat_list", "*", name, &format!(r#"{{"entries":{entries}}}"#));
    let set = |list| Ok(ControlValue::ThreatList(Some(list)));
    let ip = |text: &str| text.parse().unwrap();
    let exits = ThreatList::TorExit([ip("192.0.2.1"), ip("2001:db8::1")].into());
    assert_eq!(list("tor_exit", r#"["192.0.2.1","::ffff:192.0.2.1","2001:DB8::1"]"#), set(exits));
    assert_eq!(list("suspicious_asn", "[1,2]"), set(ThreatList::SuspiciousAsn([1, 2].into())));
    assert_eq!(list("cloud_asn", "[]"), set(ThreatList::CloudAsn([].into())));
    let nets = ThreatList::IocIp(["192.0.2.0/24".parse().unwrap(), "198.51.100.9/32".parse().unwrap()].into());
    assert_eq!(list("ioc_ip", r#"["192.0.2.0/24","198.51.100.9"]"#), set(nets));
    let tools = ThreatList::AutomationTls([("t13d".to_owned(), "Go-based tool".to_owned())].into());
    assert_eq!(list("automation_tls", r#"[{"fingerprint":"t13d","tool":"Go-based tool"}]"#), set(tools));
    for (name, entries) in [
        ("tor_exit", r#"["192.0.2.0/24"]"#),
        ("suspicious_asn", r#"["AS1"]"#),
        ("cloud_asn", "[4294967296]"),
        ("ioc_ip", "[7]"),
        ("automation_tls", r#"[{"fingerprint":"x"}]"#),
        ("automation_tls", r#"[{"fingerprint":"","tool":"x"}]"#),
        ("tor_exits", "[]"),
    ] {
        assert_eq!(list(name, entries).unwrap_err().len(), 1, "{name} {entries}");
    }
}

#[test]
fn orgs_and_keys_fit_their_kind() {
    for (kind, org, key, fits) in [
        ("user", "*", "U1", false),
        ("workspace", "*", "T1", false),
        ("workspace", "E1", "T1", true),
        ("workspace", "", "T1", false),
        ("workspace", "E1", "", false),
    ] {
        assert_eq!(value(kind, org, key, "{}").is_ok(), fits, "{kind} {org} {key}");
    }
    assert!(value("threat_list", "E1", "tor_exit", r#"{"entries":[]}"#).is_err());
    assert!(value("settings", "E1", "response", "{}").is_err());
    assert!(value("allow_list", "E1", "trust", "{}").is_err());
    assert!(value("workspace", &"E".repeat(NAME_BYTES_MAX + 1), "T1", "{}").is_err());
    let unknown = value("workspaces", "E1", "T1", "{}").unwrap_err();
    assert_eq!(unknown, ["kind: is not a kind; did you mean `workspace`? (is \"workspaces\")"]);
}

#[test]
fn times_are_seconds_from_the_beginning_to_2100() {
    let at = |time: &str| {
        let line = format!(r#"{{"kind":"workspace","org":"E1","key":"T1","value":{{}},"date_create":{time}}}"#);
        parse(&line).map(|record| record.at.0).ok()
    };
    assert_eq!(at("0"), Some(0));
    assert_eq!(at("1767225600.1234567"), Some(1_767_225_600_123_456));
    assert_eq!(at("4102444799.999999"), Some(4_102_444_799_999_999));
    for time in ["-1", "4102444800", "1767225600000", "\"1767225600\"", "null", "1e99"] {
        assert_eq!(at(time), None, "{time}");
    }
}

#[test]
fn all_problems_of_a_record_come_together() {
    let problems = parse(r#"{"kind":"user","org":7,"value":{"name":1},"date_create":-1,"date_create":2}"#).unwrap_err();
    assert_eq!(
        problems,
        [
            "org: must be a string",
            "key: is required",
            "date_create: must stand only once",
            "value.name: must be a string (is \"1\")",
        ]
    );
}

#[test]
fn a_file_has_lines_with_numbers() {
    let line = |key: &str| format!(r#"{{"kind":"workspace","org":"E1","key":"{key}","value":{{}},"date_create":5}}"#);
    let content = format!("\u{feff}{}\r\n\r\n  \n{}\n", line("T1"), line("T2"));
    let records = parse_control_file("c.ndjson", content.as_bytes(), 100).unwrap();
    let places: Vec<_> = records.iter().map(|record| (record.key.as_str(), record.position)).collect();
    assert_eq!(places, [("T1", 100), ("T2", 103)]);
    assert_eq!(line_count(content.as_bytes()), 4);

    let content = format!("{}\n# comment\n{}\n[]\n\u{1b}[2J", line("T1"), line(""));
    let problems = parse_control_file("c.ndjson", content.as_bytes(), 0).unwrap_err();
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "c.ndjson:2: must be one JSON object (is \"# comment\")",
            "c.ndjson:3: key: must have 1 to 1024 bytes",
            "c.ndjson:4: must be one JSON object (is \"[]\")",
            "c.ndjson:5: must be one JSON object (is \"\\u{1b}[2J\")",
        ]
    );
    assert_eq!(parse_control_file("empty", b"", 0), Ok(Vec::new()));
}

#[test]
fn a_flood_of_problems_is_cut_off() {
    let content = "x\n".repeat(1_000);
    let problems = parse_control_file("c", content.as_bytes(), 0).unwrap_err();
    assert_eq!(problems.len(), PROBLEMS_MAX + 1);
    assert_eq!(problems[PROBLEMS_MAX].hint, "and 900 more problems");
}

#[test]
fn a_tor_list_holds_from_the_beginning() {
    let content = b"\xef\xbb\xbf# exits\r\n192.0.2.1\r\n\n 2001:db8::1 # two\n192.0.2.1\n";
    let record = parse_tor_list("tor.txt", content).unwrap();
    assert_eq!((record.at, &*record.org, &*record.key), (Micros::ZERO, "*", "tor_exit"));
    let exits = ["192.0.2.1", "2001:db8::1"].iter().map(|ip| ip.parse().unwrap()).collect();
    assert_eq!(record.value, ControlValue::ThreatList(Some(ThreatList::TorExit(exits))));
    let problems = parse_tor_list("tor.txt", b"192.0.2.1\n<html>\n192.0.2.0/24").unwrap_err();
    let places: Vec<_> = problems.into_iter().map(|problem| problem.place).collect();
    assert_eq!(places, [Some(("tor.txt".to_owned(), 2)), Some(("tor.txt".to_owned(), 3))]);
}

#[test]
fn records_take_effect_by_time_then_position() {
    let record = |at: u64, position: u64| ControlRecord {
        at: Micros(at),
        position,
        org: "E1".into(),
        key: "T1".into(),
        value: ControlValue::Workspace(None),
    };
    let sorted = in_force(vec![record(2, 0), record(1, 5), record(1, 4), record(0, 9)]);
    let places: Vec<_> = sorted.iter().map(|record| (record.at.0, record.position)).collect();
    assert_eq!(places, [(0, 9), (1, 4), (1, 5), (2, 0)]);
}

#[test]
fn deep_nesting_is_refused_without_recursion() {
    for depth in [129, 10_000, 1_000_000] {
        let line = format!(r#"{{"kind":"user","value":{}"#, "[".repeat(depth));
        assert_eq!(parse(&line).unwrap_err().len(), 1);
    }
    let depth = |depth: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert!(value("user", "E1", "U1", &depth(126)).is_ok());
    assert!(value("user", "E1", "U1", &depth(127)).is_err());
}

proptest! {
    #[test]
    fn garbage_is_a_problem_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(parse_control(&bytes, 0).is_err());
        let _ = parse_control_file("f", &bytes, 0);
        let _ = parse_tor_list("f", &bytes);
    }

    #[test]
    fn values_of_any_shape_are_read_or_told(
        kind in "user|settings|allow_list|workspace|control|threat_list",
        key in "aer|trusted|hold|tor_exit|automation_tls|ioc_ip|U1",
        org in "E1|\\*",
        value in "null|\\{\\}|\\[\\]|7|\\{\"(entries|responses|on|roles|trusted_cidr)\":(null|\\[(1|null|\\{\\})?\\]|true|\"x\"|\\{\"tor\":7\\})\\}",
    ) {
        let line = format!(r#"{{"kind":"{kind}","org":"{org}","key":"{key}","value":{value},"date_create":1}}"#);
        if let Err(problems) = parse(&line) {
            prop_assert!(!problems.is_empty());
        }
    }
}
