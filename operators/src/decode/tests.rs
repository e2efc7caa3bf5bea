//! Events against the contract's table, case by case, and in the shapes that Slack writes.

use super::*;
use crate::model::event::{EventText, Person, Place, Report};
use engine::time::Span;
use serde_json::{Value, json};

const AT: Micros = Micros::from_secs(1_767_225_600);

fn decoder() -> EventDecoder {
    EventDecoder::new(Arc::default(), None, None)
}

/// An event with every field of the contract's table.
pub fn full() -> Value {
    json!({
        "id": "a8b4f2e0-0001", "date_create": 1767225600, "action": "file_downloaded",
        "actor": {"type": "user", "user": {"id": "U1", "name": "Ann \"A\"", "email": "ann@example.org", "team": "T1",
            "is_external": false}},
        "entity": {"type": "file", "file": {"id": "F1", "name": "plan.pdf", "filetype": "pdf"}},
        "context": {
            "location": {"type": "workspace", "id": "T1", "name": "Sales", "domain": "sales"},
            "enterprise_id": "E1", "ua": "Mozilla/5.0 (Windows NT 10.0)", "session_id": "847288190092",
            "ip_address": "203.0.113.7", "app": {"id": "A1", "name": "Bot", "scopes": ["x"]},
            "tls_fingerprint": "t13d1516h2_8daaf6152771_02713d6af862",
            "client": {"name": "Slack Desktop", "os": "Windows", "version": "4.35"}, "device_id": "D1",
            "cookie_ts": 1767225000.5, "asn": 64500, "country": "DE"},
        "details": {"method": "files.info", "bytes": 1024, "ok": false, "reason": ["tor"]}
    })
}

fn arrival(at: Micros, partition: u32, position: u64) -> Arrival {
    Arrival { partition, position, at, behind: Span(0) }
}

pub fn stamped(line: &str) -> Event {
    let (mut decoder, mut out) = (decoder(), Vec::new());
    let parsed = decoder.parse(line.as_bytes()).unwrap();
    decoder.stamp(&parsed, arrival(parsed.time(), 3, 99), &mut out).unwrap();
    out.swap_remove(0)
}

/// The event with the value at a JSON pointer replaced, or removed if `None`.
fn with(pointer: &str, value: Option<Value>) -> Value {
    let mut event = full();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = event.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => drop(parent.insert(name.to_owned(), value)),
        None => drop(parent.remove(name).unwrap()),
    }
    event
}

/// The rejection's reason and field.
pub fn refused(line: &[u8]) -> Option<(&'static str, String)> {
    let rejection = decoder().parse(line).err()?;
    let field = rejection.detail.split(':').next().unwrap().to_owned();
    Some((rejection.reason.name(), field))
}

fn verdict(pointer: &str, value: Option<Value>) -> Option<(&'static str, String)> {
    refused(with(pointer, value).to_string().as_bytes())
}

#[test]
fn every_field_arrives() {
    let event = stamped(&full().to_string());
    assert_eq!((event.at, event.time, event.partition, event.position), (AT, AT, 3, 99));
    assert_eq!((event.names(), event.id()), (("E1", "U1"), &b"a8b4f2e0-0001"[..]));
    assert_eq!(event.line(), full().to_string().as_bytes());
    assert_eq!((event.key_hash, event.id_hash), (hash(event.key_bytes()), hash(event.id())));
    assert_eq!((event.kind, event.action, event.by_app), (KeyKind::User, Action::FileDownloaded, true));
    assert_eq!((event.is_external, event.ok), (Some(false), false));
    assert_eq!(event.session, Some(hash_of("847288190092")));
    assert_eq!(event.agent, Some(hash_of("Mozilla/5.0 (Windows NT 10.0)")));
    assert_eq!(event.ip, Some("203.0.113.7".parse().unwrap()));
    assert_eq!(event.tls, Some(hash_of("t13d1516h2_8daaf6152771_02713d6af862")));
    assert_eq!(event.client, Some(hash_pair("Slack Desktop", "Windows")));
    assert_eq!((event.device, event.asn), (Some(hash_of("D1")), Some(64_500)));
    assert_eq!(event.cookie, Some(Micros(1_767_225_000_500_000)));
    assert_eq!(event.entity, Some(hash_pair("file", "F1")));
}

#[test]
fn required_fields_are_required() {
    for (pointer, field) in [
        ("/id", "id"),
        ("/date_create", "date_create"),
        ("/action", "action"),
        ("/actor", "actor.user.id"),
        ("/actor/user", "actor.user.id"),
        ("/actor/user/id", "actor.user.id"),
        ("/context", "context.location.id"),
        ("/context/location", "context.location.id"),
        ("/context/location/id", "context.location.id"),
    ] {
        assert_eq!(verdict(pointer, None), Some(("missing_field", field.to_owned())), "{pointer}");
        let path = pointer[1..].replace('/', ".");
        assert_eq!(verdict(pointer, Some(Value::Null)), Some(("wrong_type", path)), "{pointer}");
    }
}

#[test]
fn optional_fields_may_be_absent_or_null() {
    let optional = "/actor/type /actor/user/name /actor/user/email /actor/user/team /actor/user/is_external /entity \
        /entity/type /entity/file /entity/file/id /context/location/type /context/location/name \
        /context/location/domain /context/enterprise_id /context/ua /context/session_id /context/ip_address \
        /context/app /context/app/id /context/app/name /context/tls_fingerprint /context/client /context/client/name \
        /context/client/os /context/client/version /context/device_id /context/cookie_ts /context/asn \
        /context/country /details /details/method /details/bytes /details/ok";
    for pointer in optional.split_whitespace() {
        let (absent, null) = (with(pointer, None).to_string(), with(pointer, Some(Value::Null)).to_string());
        let (absent, null) = (stamped(&absent), stamped(&null));
        let facts = |event: &Event| (event.session, event.agent, event.ip, event.entity, event.cookie, event.by_app);
        assert_eq!(facts(&absent), facts(&null), "{pointer}");
    }
}

#[test]
fn wrong_types_name_their_field() {
    let objects =
        "/actor /actor/user /entity /entity/file /context /context/location /context/app /context/client /details";
    let strings = "/id /action /actor/type /actor/user/id /actor/user/name /actor/user/email /actor/user/team \
        /entity/type /context/location/type /context/location/id /context/location/name /context/location/domain \
        /context/enterprise_id /context/ua /context/ip_address /context/app/id /context/app/name \
        /context/tls_fingerprint /context/client/name /context/client/os /context/client/version /context/device_id \
        /context/country /details/method";
    let numbers = "/date_create /context/cookie_ts /context/asn /details/bytes";
    let flags = "/actor/user/is_external /details/ok";
    let either = "/context/session_id /entity/file/id";
    let (text, number, flag) = (json!("x"), json!(7), json!(true));
    let (array, object) = (json!(["a", 1, {}]), json!({"id": "x"}));
    for (pointers, wrong) in [
        (objects, vec![&text, &number, &flag, &array]),
        (strings, vec![&number, &flag, &array, &object]),
        (numbers, vec![&text, &flag, &array, &object]),
        (flags, vec![&text, &number, &array, &object]),
        (either, vec![&flag, &array, &object]),
    ] {
        for (pointer, value) in pointers.split_whitespace().flat_map(|p| wrong.iter().map(move |value| (p, *value))) {
            let path = pointer[1..].replace('/', ".");
            assert_eq!(verdict(pointer, Some(value.clone())), Some(("wrong_type", path)), "{pointer} {value}");
        }
    }
}

#[test]
fn impossible_values_name_their_field() {
    for (pointer, value, reason) in [
        ("/id", json!(""), "bad_value"),
        ("/id", json!("é".repeat(33)), "bad_value"),
        ("/action", json!(""), "bad_value"),
        ("/actor/user/id", json!(""), "bad_value"),
        ("/actor/user/id", json!("U".repeat(NAME_BYTES_MAX + 1)), "bad_value"),
        ("/context/location/id", json!(""), "bad_value"),
        ("/context/enterprise_id", json!("E".repeat(NAME_BYTES_MAX + 1)), "bad_value"),
        ("/context/session_id", json!(1.5), "bad_value"),
        ("/context/asn", json!(4_294_967_296_u64), "bad_value"),
        ("/context/asn", json!(-1), "bad_value"),
        ("/context/asn", json!(1.5), "wrong_type"),
        ("/context/country", json!("DEU"), "bad_value"),
        ("/context/country", json!("1D"), "bad_value"),
        ("/context/cookie_ts", json!(0), "bad_time"),
        ("/context/cookie_ts", json!(1_767_225_600_000_u64), "bad_time"),
        ("/date_create", json!(946_684_799), "bad_time"),
        ("/date_create", json!(4_102_444_800_u64), "bad_time"),
        ("/date_create", json!(-1), "bad_time"),
        ("/date_create", json!(1e300), "bad_time"),
    ] {
        let path = pointer[1..].replace('/', ".");
        assert_eq!(verdict(pointer, Some(value.clone())), Some((reason, path)), "{pointer} {value}");
    }
    for (pointer, value) in [
        ("/id", json!("é".repeat(32))),
        ("/date_create", json!(946_684_800)),
        ("/date_create", json!(4_102_444_799.5)),
        ("/context/country", json!("T1")),
        ("/context/asn", json!(4_294_967_295_u64)),
        ("/action", json!("something_new")),
    ] {
        assert_eq!(verdict(pointer, Some(value)), None, "{pointer}");
    }
}

#[test]
fn times_are_exact() {
    let line = full().to_string();
    for (text, micros) in [
        ("1767225600.000001", AT.0 + 1),
        ("1767225600.9999999", AT.0 + 999_999),
        ("17672256e2", AT.0),
        ("1.7672256001E+9", AT.0 + 100_000),
    ] {
        let line = line.replace("\"date_create\":1767225600", &format!("\"date_create\":{text}"));
        assert_eq!(stamped(&line).time, Micros(micros), "{text}");
    }
}

#[test]
fn the_first_reason_in_the_contracts_order_is_given() {
    let refused = |line: &[u8]| refused(line).map(|(reason, _)| reason);
    let deep = format!("{{\"x\":{}", "[".repeat(128));
    let mut line = full().to_string().into_bytes();
    line.resize(EVENT_BYTES_MAX, b' ');
    assert_eq!(refused(&line), None);
    line.push(0xff);
    assert_eq!(refused(&line), Some("too_large"));
    assert_eq!(refused(&[deep.as_bytes(), b"\xff"].concat()), Some("not_utf8"));
    assert_eq!(refused(deep.as_bytes()), Some("too_deep"));
    for line in ["", "[]", "7", "{}{}", "{", "null", "{\"id\":01}", "{\"x\":\"\u{1}\"}", "\u{feff}{}", "{\"x\":'a'}"] {
        assert_eq!(refused(line.as_bytes()), Some("not_json"), "{line}");
    }
    assert_eq!(refused(b"[\"e1\",1767225600,\"x\",{},{},{}]"), Some("not_json"), "an array is not an object");
    let broken = r#"{"details":7,"context":{},"actor":{"user":{"id":""}},"action":"","date_create":1,"id":9"#;
    for (close, reason) in [("", "not_json"), ("}", "wrong_type")] {
        assert_eq!(refused(format!("{broken}{close}").as_bytes()), Some(reason));
    }
    let order = [
        (r#""details":7"#, "details"),
        (r#""context":{"location":{"id":"T1"},"country":"DEU"}"#, "context.country"),
        (r#""context":{"location":{"id":"T1"},"country":"DEU","asn":"x"}"#, "context.asn"),
        (r#""context":{"ua":7}"#, "context.location.id"),
        (r#""entity":7"#, "entity"),
        (r#""actor":{"user":{}}"#, "actor.user.id"),
        (r#""action":7"#, "action"),
        (r#""date_create":0"#, "date_create"),
        (r#""id":"""#, "id"),
    ];
    // Each defect stands in for the field of a good event, with all later defects still there.
    let mut event: serde_json::Map<String, Value> = full().as_object().unwrap().clone();
    for (member, field) in order {
        let defect: Value = serde_json::from_str(&format!("{{{member}}}")).unwrap();
        event.extend(defect.as_object().unwrap().clone());
        let found = self::refused(Value::Object(event.clone()).to_string().as_bytes()).unwrap().1;
        assert_eq!(found, field);
    }
}

#[test]
fn nesting_is_counted_outside_strings_and_never_recursed_into() {
    let within = |inner: &str| full().to_string().replacen('{', &format!("{{\"x\":{inner},"), 1);
    let line = |depth: usize| within(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    let reason = |line: String| refused(line.as_bytes()).map(|(reason, _)| reason);
    assert_eq!(reason(line(127)), None);
    assert_eq!(reason(line(128)), Some("too_deep"));
    assert_eq!(reason(within(&"[".repeat(128))), Some("too_deep"));
    assert_eq!(reason("[".repeat(10_000)), Some("too_deep"));
    assert_eq!(reason("{\"a\":".repeat(10_000)), Some("too_deep"));
    assert_eq!(reason("[".repeat(1_000_000)), Some("too_large"));
    assert!(nests_too_deep("[".repeat(1_000_000).as_bytes()));
    let brackets = with("/context/ua", Some(json!("[{\"\\".repeat(500))));
    assert_eq!(reason(brackets.to_string()), None);
}

#[test]
fn members_that_are_read_stand_once() {
    let twice = |find: &str, put: &str| refused(full().to_string().replacen(find, put, 1).as_bytes());
    let bad = |field: &str| Some(("bad_value", field.to_owned()));
    assert_eq!(twice("\"id\":\"a8b4", "\"id\":null,\"id\":\"a8b4"), bad("id"));
    assert_eq!(twice("\"ua\":", "\"ua\":null,\"ua\":"), bad("context.ua"));
    assert_eq!(twice("\"type\":\"file\"", "\"type\":\"file\",\"type\":\"file\""), bad("entity.type"));
    assert_eq!(twice("\"type\":\"file\"", "\"type\":\"file\",\"file\":{}"), bad("entity.file"));
    assert_eq!(twice("\"filetype\":", "\"x\":1,\"x\":2,\"filetype\":"), None);
}

#[test]
fn a_session_is_the_same_as_number_and_as_string() {
    let session = |json: Value| stamped(&with("/context/session_id", Some(json)).to_string()).session;
    assert_eq!(session(json!(847_288_190_092_u64)), session(json!("847288190092")));
    assert_eq!(session(json!(8.47288190092e11)), session(json!("847288190092")));
    assert_ne!(session(json!("0847")), session(json!(847)));
    assert_eq!(session(json!("")), None);
}

#[test]
fn an_address_that_is_none_is_absent_and_told() {
    let ip = |text: &str| {
        let line = with("/context/ip_address", Some(json!(text))).to_string();
        let bad = decoder().parse(line.as_bytes()).unwrap().bad_address();
        (stamped(&line).ip.map(|ip| ip.to_string()), bad)
    };
    assert_eq!(ip(""), (None, false));
    assert_eq!(ip("unknown"), (None, true));
    assert_eq!(ip("::ffff:198.51.100.3"), (Some("198.51.100.3".to_owned()), false));
    assert_eq!(ip("2001:DB8::1"), (Some("2001:db8::1".to_owned()), false));
    assert_eq!(ip("127.0.0.1"), (Some("127.0.0.1".to_owned()), false));
}

#[test]
fn an_entity_is_found_in_any_order_of_members() {
    let entity = |json: &str| {
        let line = with("/entity", Some(json!("@"))).to_string().replace("\"@\"", json);
        stamped(&line).entity
    };
    let file = Some(hash_pair("file", "F1"));
    assert_eq!(entity(r#"{"type":"file","file":{"id":"F1"}}"#), file);
    assert_eq!(entity(r#"{"file":{"name":"x","id":"F1"},"user":{"id":"U1"},"type":"file"}"#), file);
    assert_eq!(entity(r#"{"type":"\u0066ile","fil\u0065":{"id":"F1"}}"#), file);
    assert_eq!(entity(r#"{"type":"token","token":{"id":77}}"#), Some(hash_pair("token", "77")));
    for nothing in [
        r#"{}"#,
        r#"{"type":"message","message":{"channel":"C1"}}"#,
        r#"{"type":"file","user":{"id":"U1"}}"#,
        r#"{"file":{"id":"F1"}}"#,
        r#"{"type":"type"}"#,
        r#"{"type":"","":7}"#,
        r#"{"type":"file","file":{"id":""}}"#,
    ] {
        assert_eq!(entity(nothing), None, "{nothing}");
    }
}

#[test]
fn the_org_is_found_in_the_contracts_order() {
    let claim = crate::model::control::ControlRecord {
        at: AT.plus(Span(5)),
        position: 0,
        org: "E2".into(),
        key: "T1".into(),
        value: crate::model::control::ControlValue::Workspace(Some(())),
    };
    let workspaces = Arc::new(WorkspaceDirectory::new([&claim]));
    let (named, unnamed) = (full().to_string(), with("/context/enterprise_id", Some(json!(""))).to_string());
    let org = |line: &str, at, setting: Option<&str>| {
        let decoder = EventDecoder::new(workspaces.clone(), setting.map(str::to_owned), None);
        let parsed = decoder.parse(line.as_bytes()).unwrap();
        decoder.org(&parsed, at).unwrap().to_owned()
    };
    assert_eq!(org(&named, AT.plus(Span(5)), Some("E3")), "E1");
    assert_eq!(org(&unnamed, AT.plus(Span(5)), Some("E3")), "E2");
    assert_eq!(org(&unnamed, AT.plus(Span(4)), Some("E3")), "E3");
    assert_eq!(org(&unnamed, AT.plus(Span(4)), None), "T1");

    let mut guarded = EventDecoder::new(workspaces, None, Some(["E2".to_owned()].into()));
    let parsed = guarded.parse(unnamed.as_bytes()).unwrap();
    let mut out = Vec::new();
    let refused = guarded.stamp(&parsed, arrival(AT, 0, 0), &mut out).unwrap_err();
    assert_eq!((refused.reason, out.len()), (RejectReason::WrongOrg, 0));
    guarded.stamp(&parsed, arrival(AT.plus(Span(5)), 0, 0), &mut out).unwrap();
    assert_eq!(out[0].names(), ("E2", "U1"));
}

#[test]
fn lone_surrogates_do_not_cost_the_event() {
    let line = full().to_string();
    for (find, half) in [("\"Ann", "\\ud83d"), ("\"Sales", "\\uDE00"), ("\"team", "\\ud800")] {
        let put = |escape: &str| line.replacen(find, &find.replace('"', &format!("\"{escape}")), 1);
        let event = stamped(&put(half));
        assert_eq!(event.names(), ("E1", "U1"));
        assert_eq!(event.line(), put("\\ufffd").as_bytes());
    }
    let text = read_text(&stamped(&line.replacen("\"Ann", "\"\\ud83dAnn", 1)));
    assert_eq!(text.actor.name, "\u{fffd}Ann \"A\"");
    let broken = line.replacen("\"Ann", "\"\\ud83dAnn", 1).replace("1767225600", "5");
    assert_eq!(refused(broken.as_bytes()), Some(("bad_time", "date_create".to_owned())));
}

#[test]
fn the_text_is_read_again_and_bounded() {
    let expected = EventText {
        id: "a8b4f2e0-0001".into(),
        action: "file_downloaded".into(),
        actor: Person { id: "U1".into(), name: "Ann \"A\"".into(), email: "ann@example.org".into(), team: "T1".into() },
        location: Place { kind: "workspace".into(), id: "T1".into(), name: "Sales".into(), domain: "sales".into() },
        ua: "Mozilla/5.0 (Windows NT 10.0)".into(),
        session_id: Some("847288190092".into()),
        ip_address: "203.0.113.7".into(),
        app: Some("A1".into()),
        tls_fingerprint: Some("t13d1516h2_8daaf6152771_02713d6af862".into()),
        client_name: Some("Slack Desktop".into()),
        client_os: Some("Windows".into()),
        client_version: Some("4.35".into()),
        device_id: Some("D1".into()),
        country: Some("DE".into()),
        method: Some("files.info".into()),
        report: Report { reasons: vec!["tor".into()], ..Report::default() },
    };
    assert_eq!(read_text(&stamped(&full().to_string())), expected);
    let long = with("/context/ua", Some(json!("é".repeat(600) + "x"))).to_string();
    assert_eq!(read_text(&stamped(&long)).ua, "é".repeat(512));
    let reason = |json| read_text(&stamped(&with("/details/reason", Some(json)).to_string())).report.reasons;
    assert_eq!(reason(json!("asn")), ["asn"]);
    assert_eq!(reason(json!(7)), [""; 0]);
    assert_eq!(reason(json!(vec!["tor"; 100])).len(), REPORT_REASONS_MAX);
}

#[test]
fn slacks_own_entries_are_taken_unchanged() {
    let download = r#"{"id":"0123a45b-6c7d-8900-e12f-3456789gh0i1","date_create":1521214343,"action":"file_downloaded","actor":{"type":"user","user":{"id":"W123AB456","name":"Charlie Parker","email":"bird@slack.com","team":"T1"}},"entity":{"type":"file","file":{"id":"F1","name":"a.pdf","filetype":"application/pdf","title":"a"}},"context":{"location":{"type":"workspace","id":"T1","name":"Bird","domain":"bird"},"ua":"","session_id":847288190092,"ip_address":"","app":null},"action_description":"x"}"#;
    let event = stamped(download);
    assert_eq!(event.session, Some(hash_of("847288190092")));
    assert_eq!((event.agent, event.ip, event.by_app, event.ok), (None, None, false, true));
    assert_eq!(event.names(), ("T1", "W123AB456"));
    let by_app = r#"{"id":"x","date_create":1521214343,"action":"file_shared","actor":{"type":"user","user":{"id":"USLACKUSER","name":null,"email":null,"team":"T1","account_type":"x"}},"entity":{"type":"message","message":{"team":"T1","channel":"C1","timestamp":"1.2"}},"context":{"location":{"type":"enterprise","id":"E1","name":"O","domain":"o"},"ua":"","session_id":null,"ip_address":"127.0.0.1","app":{"id":"A1","name":"App","scopes":["a"],"scopes_bot":[],"creator":"U2","team":"T1","is_distributed":false},"acting_agent":"x","agent_message":{"team":"T1"}}}"#;
    let event = stamped(by_app);
    assert_eq!((event.session, event.by_app, event.entity), (None, true, None));
    assert_eq!(event.ip.map(public_ip), Some(false));
    let anomaly = r#"{"id":"1665ced8","date_create":1644428305,"action":"anomaly","actor":{"type":"user","user":{"id":"W1","name":"n","email":"e","team":"T1"}},"entity":{"type":"user","user":{"id":"W1","name":"n","email":"e","team":"T1"}},"context":{"location":{"type":"workspace","id":"E1","name":"o","domain":"d"},"ua":"u","session_id":"847288190092","ip_address":"1.23.45.678"},"details":{"action_timestamp":1644428253989994,"location":"Tokyo, JP","previous_ip_address":"","previous_ua":"","reason":["asn","ip_address"],"ip_address_details":["cloud-asn"]}}"#;
    let event = stamped(anomaly);
    assert_eq!((event.action, event.ip), (Action::Anomaly, None));
    assert_eq!(read_text(&event).report.reasons, ["asn", "ip_address"]);
    assert_eq!(read_text(&event).ip_address, "1.23.45.678");
}

#[test]
fn many_events_share_a_block() {
    let (mut decoder, mut out) = (decoder(), Vec::new());
    let line = full().to_string();
    for position in 0..1_000 {
        let parsed = decoder.parse(line.as_bytes()).unwrap();
        decoder.stamp(&parsed, arrival(AT, 0, position), &mut out).unwrap();
    }
    assert!(out.iter().all(|event| event.line() == line.as_bytes() && event.names().0 == "E1"));
    let neighbours = |pair: &[Event]| pair[0].text.as_ptr_range().end == pair[1].text.as_ptr();
    let together = out.windows(2).filter(|pair| neighbours(pair)).count();
    assert!(together > 1_800, "{together} of 999 lie beside the one before");
}

#[test]
fn what_an_app_does_is_also_judged_by_app() {
    let (mut decoder, mut out) = (decoder(), Vec::new());
    let by_app = full().to_string();
    let parsed = decoder.parse(by_app.as_bytes()).unwrap();
    decoder.stamp(&parsed, arrival(AT, 0, 7), &mut out).unwrap();
    let named: Vec<_> = out.iter().map(|event| (event.kind, event.names())).collect();
    assert_eq!(named, [(KeyKind::User, ("E1", "U1")), (KeyKind::App, ("E1", "A1"))]);
    assert!(out.iter().all(|event| event.id() == b"a8b4f2e0-0001" && event.line() == by_app.as_bytes()));
    assert!(out.iter().all(|event| event.person == hash(b"U1") && event.position == 7));
    for nameless in [json!({}), json!({"id": "", "name": ""})] {
        let line = with("/context/app", Some(nameless)).to_string();
        out.clear();
        let parsed = decoder.parse(line.as_bytes()).unwrap();
        decoder.stamp(&parsed, arrival(AT, 0, 7), &mut out).unwrap();
        assert_eq!(out.len(), 1, "{line}");
        assert!(out[0].by_app);
    }
}

#[test]
fn databases_say_what_the_event_does_not() {
    let decoder = decoder().with_networks(Arc::new(networks::tests::all()));
    let facts = |asn: Option<u32>, country: Option<&str>, ip: &str| {
        let mut event = with("/context/ip_address", Some(ip.into()));
        event["context"]["asn"] = json!(asn);
        event["context"]["country"] = json!(country);
        let line = event.to_string();
        let facts = decoder.parse(line.as_bytes()).unwrap().facts;
        (facts.asn, facts.country, facts.is_anonymous)
    };
    const SWEDEN: &str = "89.160.20.128";
    assert_eq!(facts(None, None, SWEDEN), (Some(29_518), Some(*b"SE"), false));
    assert_eq!(facts(Some(1), Some("no"), SWEDEN), (Some(1), Some(*b"NO"), false));
    assert_eq!(facts(None, Some("no"), SWEDEN), (Some(29_518), Some(*b"NO"), false));
    assert_eq!(facts(Some(1), Some("DE"), "1.2.0.1"), (Some(1), Some(*b"DE"), true));
    assert_eq!(facts(None, None, "10.0.0.1"), (None, None, false));
    assert_eq!(facts(None, None, "nowhere"), (None, None, false));
}
