//! What a response says: golden entries, messages that hostile values cannot bend, steps, and the sink's order.

use super::audit::{anomaly_entry, case_closed_entry, response_entry};
use super::message::{self, Message, Occasion, Repeats, Telling, utc};
use super::sink::{Respond, RespondRecord};
use super::steps::{Performance, ends_sessions_of, order, order_of_repeats, perform};
use super::templates::Templates;
use super::words::clean;
use crate::decide::rows::{OrgRow, UserRow};
use crate::decide::tests::{anomaly, at, drive};
use crate::decide::{DecideOut, decide};
use crate::limits::MESSAGE_VALUE_CHARS_MAX;
use crate::model::anomaly::{Anomaly, CaseClosed, Evidence};
use crate::model::change::{Change, Step, What};
use crate::model::control::{AllowList, Hold};
use crate::model::decision::{Decision, Escalation, Outcome, Recipient, Response, Verdict, Withdrawal};
use crate::model::event::KeyKind;
use crate::model::id::Id;
use crate::model::reason::Reason;
use engine::error::Error;
use engine::ledger::*;
use engine::time::{Micros, Span};
use serde_json::Value;
use std::sync::{Arc, Mutex};

fn id(text: &str) -> Id {
    Id(text.into())
}

fn evidence() -> Vec<Evidence> {
    let piece = |metric: &str, observed: &str, threshold: &str| Evidence {
        reason: "unexpected_scraping".into(),
        metric: metric.into(),
        observed: observed.into(),
        threshold: threshold.into(),
        ..Evidence::default()
    };
    vec![
        Evidence {
            threshold_source: "org".into(),
            samples: Some(40),
            window_start: Some(at(0)),
            window_end: Some(at(60)),
            event_ids: vec!["e1".into(), "e2".into()],
            ..piece("distinct_entities_1h", "412", "120.5")
        },
        piece("scraping_tool", "Go-based tool", ""),
        piece("ip_address_details", "new-asn, cloud-asn", ""),
        piece("user_agent_change_details", "Slack/1", "Slack/2"),
    ]
}

fn responded(anomaly: Anomaly) -> Decision {
    decide(anomaly, &OrgRow::default(), &UserRow::default(), &Default::default())
}

fn response(reasons: &[Reason]) -> Response {
    Response { id: id("r1"), reasons: reasons.to_vec(), verdict: Verdict::Repeat, recipients: Vec::new() }
}

fn recipient(user: &str, locale: &str, affected: bool) -> Recipient {
    Recipient {
        user: user.into(),
        name: "Bob".into(),
        email: Some(format!("{user}@example.org")),
        dm: Some(format!("W-{user}")),
        locale: locale.into(),
        affected,
        primary_owner: !affected,
        security_admin: false,
    }
}

/// What a recipient is told of a response.
fn message(recipient: &Recipient, anomaly: &Anomaly, response: &Response) -> Message {
    said(recipient, anomaly, Occasion::Response(response.clone()), None)
}

fn said(recipient: &Recipient, anomaly: &Anomaly, occasion: Occasion, ended: Option<u64>) -> Message {
    let (recipient, anomaly) = (recipient.clone(), anomaly.clone());
    message::message(&Templates::built_in(), &Telling { recipient, anomaly, occasion, ended })
}

fn repeats() -> Repeats {
    Repeats { id: id("d1"), at: at(4_000), count: 4, since: at(200), reasons: vec![Reason::Tor] }
}

#[test]
fn the_entry_of_an_anomaly() {
    let anomaly = Anomaly {
        id: id("a1"),
        at: at(130),
        time: Micros(at(100).0 + 250_000),
        evidence: evidence(),
        location: "DE".into(),
        previous_ip_address: "198.51.100.1".into(),
        ..anomaly(100, &[Reason::IpAddress, Reason::UnexpectedScraping])
    };
    let person = r#"{"type":"user","user":{"id":"U1","name":"Ada","email":"ada@event.example","team":"T1"}}"#;
    let expected = [
        r#"{"id":"a1","date_create":1767225700,"action":"anomaly","#,
        &format!(r#""actor":{person},"entity":{person},"#),
        r#""context":{"location":{"type":"enterprise","id":"E1","name":"Example","domain":"example"},"#,
        r#""ua":"Slack/4.35","session_id":"S1","ip_address":"203.0.113.7"},"#,
        r#""details":{"reason":["ip_address","unexpected_scraping"],"action_timestamp":1767225700250000,"#,
        r#""applied_at":1767225730000000,"location":"DE","previous_ip_address":"198.51.100.1","previous_ua":"","#,
        r#""ip_address_details":["new-asn","cloud-asn"],"scraping_tool":"Go-based tool","#,
        r#""user_agent_change_details":{"from":"Slack/2","to":"Slack/1"},"#,
        r#""evidence":[{"reason":"unexpected_scraping","metric":"distinct_entities_1h","observed":412,"#,
        r#""threshold":120.5,"threshold_source":"org","samples":40,"window_start":1767225600000000,"#,
        r#""window_end":1767225660000000,"event_ids":["e1","e2"]},"#,
        r#"{"reason":"unexpected_scraping","metric":"scraping_tool","observed":"Go-based tool"},"#,
        r#"{"reason":"unexpected_scraping","metric":"ip_address_details","observed":"new-asn, cloud-asn"},"#,
        r#"{"reason":"unexpected_scraping","metric":"user_agent_change_details","observed":"Slack/1","#,
        r#""threshold":"Slack/2"}]}}"#,
    ];
    assert_eq!(anomaly_entry(&anomaly), expected.concat());
}

#[test]
fn the_entry_of_an_anomaly_in_time_without_a_session_or_of_an_app() {
    let entry = |anomaly| serde_json::from_str::<Value>(&anomaly_entry(&anomaly)).unwrap();
    let plain = entry(Anomaly { session: None, ..anomaly(100, &[Reason::Tor]) });
    assert_eq!(plain["context"]["session_id"], Value::Null);
    assert_eq!(plain["details"]["previous_ip_address"], "");
    assert_eq!(plain["details"].get("applied_at"), None);
    assert_eq!(plain["context"].get("app"), None);
    let app = entry(Anomaly { kind: KeyKind::App, user: "A1".into(), ..anomaly(100, &[Reason::Tor]) });
    assert_eq!((&app["context"]["app"]["id"], &app["actor"]["user"]["id"]), (&"A1".into(), &"U1".into()));
}

#[test]
fn the_entry_of_a_response() {
    let anomaly = Anomaly { id: id("a1"), ..anomaly(100, &[Reason::IpAddress, Reason::Tor]) };
    let person = r#"{"type":"user","user":{"id":"U1","name":"Ada","email":"ada@event.example","team":"T1"}}"#;
    let expected = |ended| {
        [
            r#"{"id":"r1","date_create":1767225700,"action":"user_sessions_reset_by_anomaly_event_response","#,
            &format!(r#""actor":{person},"entity":{person},"#),
            r#""context":{"location":{"type":"enterprise","id":"E1","name":"Example","domain":"example"},"#,
            r#""ua":"Slack/4.35","session_id":"S1","ip_address":"203.0.113.7"},"#,
            r#""details":{"reason":["tor"],"anomaly_id":"a1","action_timestamp":1767225700000000,"#,
            &format!(r#""sessions_ended":{ended},"verdict":"repeat"}}}}"#),
        ]
        .concat()
    };
    assert_eq!(response_entry(&anomaly, &response(&[Reason::Tor]), Some(3)), expected("3"));
    assert_eq!(response_entry(&anomaly, &response(&[Reason::Tor]), None), expected("null"));
    let late = Anomaly { at: at(200), ..anomaly };
    assert!(response_entry(&late, &response(&[Reason::Tor]), None).contains(r#""applied_at":1767225800000000"#));
}

fn closed(second: u64) -> CaseClosed {
    let anomaly = anomaly(second, &[Reason::Tor]);
    CaseClosed {
        id: Id::of("closed", &[&second.to_le_bytes()]),
        at: at(second),
        org: "E1".into(),
        user: "U1".into(),
        kind: KeyKind::User,
        session: Some("S1".into()),
        reason: Reason::Tor,
        anomaly_id: id("a1"),
        count: 7,
        first: at(100),
        last: at(second).minus(Span::from_hours(1)),
        actor: anomaly.actor,
        place: anomaly.place,
    }
}

#[test]
fn the_entry_of_a_closed_case() {
    let person = r#"{"type":"user","user":{"id":"U1","name":"Ada","email":"ada@event.example","team":"T1"}}"#;
    let expected = [
        r#"{"id":"c1","date_create":1767229800,"action":"anomaly_case_closed","#,
        &format!(r#""actor":{person},"entity":{person},"#),
        r#""context":{"location":{"type":"enterprise","id":"E1","name":"Example","domain":"example"},"#,
        r#""ua":"","session_id":"S1","ip_address":""},"#,
        r#""details":{"reason":["tor"],"anomaly_id":"a1","action_timestamp":1767229800000000,"#,
        r#""count":7,"first":1767225700000000,"last":1767226200000000}}"#,
    ];
    assert_eq!(case_closed_entry(&CaseClosed { id: id("c1"), ..closed(4_200) }), expected.concat());
}

#[test]
fn every_language_says_everything_in_both_forms() {
    let anomaly = Anomaly { evidence: evidence(), location: "DE".into(), ..anomaly(100, &[Reason::Tor]) };
    let response = response(Reason::WITH_TOGGLE);
    for (locale, time) in [("en", "2026-01-01 00:01:40 UTC"), ("de", "01.01.2026, 00:01:40 Uhr (UTC)")] {
        let of_response = Occasion::Response(response.clone());
        let of_repeats = Occasion::Repeats(response.clone(), repeats());
        for (affected, occasion, ended) in
            [(true, &of_response, Some(3)), (false, &of_response, None), (false, &of_repeats, None)]
        {
            let said = said(&recipient("U1", locale, affected), &anomaly, occasion.clone(), ended);
            for part in [&said.subject, &said.text, &said.html] {
                assert!(!part.is_empty() && !part.contains("{{") && !part.contains("}}"), "{part}");
            }
            assert!(!said.subject.contains('\n') && !said.subject.starts_with("Subject"));
            for whole in [&said.text, &said.html] {
                for word in ["203.0.113.7 (DE)", "Example", "Slack/4.35 (Go-based tool)", time, "Tor", "Bob"] {
                    assert!(whole.contains(word), "{word} in {whole}");
                }
                assert_eq!(whole.contains("n: 3") || whole.contains("s: 3"), ended == Some(3), "{whole}");
            }
        }
    }
    let told = said(&recipient("A1", "en", false), &anomaly, Occasion::Repeats(response, repeats()), None);
    assert_eq!(told.subject, "More responses for Ada in Example: 4");
    assert!(told.text.contains("Since 2026-01-01 00:03:20 UTC this came up again. Further responses: 4."));
    assert!(told.text.contains("as Primary Owner") && told.text.contains("Reference: d1"));
}

#[test]
fn who_is_told_reads_what_concerns_them_in_their_language() {
    let anomaly = anomaly(100, &[Reason::Tor]);
    let say = |locale, affected| message(&recipient("U2", locale, affected), &anomaly, &response(&[Reason::Tor]));
    assert_eq!(say("en-US", true).subject, "You were signed out of Example");
    assert_eq!(say("en-US", false).subject, "Ada was signed out of Example");
    assert_eq!(say("de-AT", true).subject, "Sie wurden bei Example abgemeldet");
    assert_eq!(say("DE_de", false).subject, "Ada wurde bei Example abgemeldet");
    let (user, admin) = (say("", true), say("", false));
    let seen = Anomaly { evidence: evidence(), ..anomaly.clone() };
    let shown = message(&recipient("U2", "", false), &seen, &response(&[Reason::Tor])).text;
    assert!(shown.contains("- unexpected_scraping: distinct_entities_1h = 412 (org: 120.5)\n"), "{shown}");
    assert!(user.text.contains("- a connection from a Tor exit node") && user.text.contains("sign in without Tor"));
    assert!(admin.text.contains("user U1") && admin.text.contains("looks like the user's own"));
    assert!(admin.text.contains("as Primary Owner") && !user.text.contains("Primary Owner"));
}

const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "Eve\r\nBcc: all@victim.example\r\n\r\nbody",
    "http://evil.example/login",
    "www.evil.example and mailto:a@evil.example",
    "https:\\\\evil.example",
    "javascript://evil.example/%0aalert(1)",
    "evil\u{3002}example",
    "a\u{202e}gpj.exe\u{200b}.com\u{0}\u{7}\u{1b}[31m",
    "h\u{200b}ttp:\u{200b}//evil.\u{ad}example",
    "{{reference}} {{evidence}} }}",
    "evil\u{2024}example evil\u{fe52}example a\u{fe6b}b http\u{fe55}//evil\u{ff0e}example",
    "\u{430}dmin@ev\u{456}l.example",
    "\u{5e9}\u{5dc}\u{202e}\u{2067}evil.example",
    "<!channel> <https://evil.example|sign in>",
    "\u{2028}\u{2029}\u{85}line",
];

#[test]
fn nothing_from_an_event_bends_a_message() {
    for (index, &hostile) in
        HOSTILE.iter().chain([&*"x".repeat(70_000), "é.".repeat(40_000).as_str()].iter()).enumerate()
    {
        let mut anomaly = anomaly(100, &[Reason::Tor]);
        for field in
            [&mut anomaly.ua, &mut anomaly.ip_address, &mut anomaly.location, &mut anomaly.user, &mut anomaly.org]
        {
            *field = hostile.into();
        }
        anomaly.session = Some(hostile.into());
        (anomaly.actor.name, anomaly.place.name) = (hostile.into(), hostile.into());
        anomaly.evidence = vec![Evidence {
            reason: hostile.into(),
            metric: "scraping_tool".into(),
            observed: hostile.into(),
            threshold: hostile.into(),
            ..Evidence::default()
        }];
        let response = response(&[Reason::Tor]);
        let escalation =
            Escalation { id: id("s1"), cause: Outcome::RateLimited, latched: true, recipients: Vec::new() };
        let occasions = [
            Occasion::Response(response.clone()),
            Occasion::Repeats(response.clone(), repeats()),
            Occasion::Escalation(escalation),
        ];
        for (affected, occasion) in
            occasions.iter().flat_map(|occasion| [true, false].map(|affected| (affected, occasion.clone())))
        {
            let person = Recipient { name: hostile.into(), ..recipient("U2", "en", affected) };
            let said = said(&person, &anomaly, occasion, Some(1));
            assert!(!said.subject.contains(['\r', '\n']) && said.subject.chars().count() < 900, "{index}");
            for part in [&said.subject, &said.text, &said.html] {
                assert!(part.len() < 30_000, "{index}: bounded");
                for link in [
                    "://",
                    ":\\\\",
                    "evil.example",
                    "evil\u{3002}",
                    "evil\u{2024}",
                    "l.example",
                    "@",
                    "href",
                    "src=\"",
                    "www.e",
                ] {
                    assert!(!part.contains(link), "{index}: {link} in {part}");
                }
                let odd = |c: char| {
                    c.is_control() && c != '\n' || "\u{200b}\u{ad}\u{2028}\u{2029}\u{202e}\u{2067}".contains(c)
                };
                assert!(!part.contains(odd), "{index}");
            }
            for tag in ["<script", "<img", "<!channel", "<https"] {
                assert!(!said.html.contains(tag), "{index}");
            }
        }
        for entry in [anomaly_entry(&anomaly), response_entry(&anomaly, &response, None)] {
            assert!(!entry.contains('\n') && serde_json::from_str::<Value>(&entry).is_ok());
        }
        assert!(clean(hostile).chars().count() <= 3 * MESSAGE_VALUE_CHARS_MAX + 1);
    }
    assert_eq!(
        clean("Slack_SSB/4.35.126 (Windows NT 10.0) 2001:db8::1"),
        "Slack_SSB/4.35.126 (Windows NT 10.0) 2001:db8::1"
    );
    assert_eq!(clean("http://evil.example"), "http[:]//evil[.]example");
}

#[test]
fn times_are_civil_utc() {
    for (secs, text) in [
        (0, "1970-01-01 00:00:00 UTC"),
        (951_782_399, "2000-02-28 23:59:59 UTC"),
        (951_868_800, "2000-03-01 00:00:00 UTC"),
        (1_709_164_800, "2024-02-29 00:00:00 UTC"),
        (1_767_225_599, "2025-12-31 23:59:59 UTC"),
        (4_102_444_800, "2100-01-01 00:00:00 UTC"),
    ] {
        assert_eq!(utc(Micros::from_secs(secs)), text);
    }
}

#[test]
fn the_steps_of_an_order_say_all_there_is_to_do() {
    let mut decision = responded(anomaly(100, &[Reason::Tor]));
    let told = &mut decision.response.as_mut().unwrap().recipients;
    *told = vec![recipient("A0", "", false), recipient("U1", "", true)];
    told[0].dm = None;
    told.push(Recipient { email: None, ..recipient("U:2", "", false) });
    let order = order(&decision).unwrap();
    assert_eq!(order.steps, ["end_sessions", "audit", "mail:U1", "dm:U1", "mail:A0", "dm:U:2"]);
    let response = decision.response.as_ref().unwrap();
    assert_eq!((&order.id, order.at), (&response.id.to_string(), at(100)));
    let details = [Some("4".to_owned())];
    let done: Vec<Performance> =
        order.steps.iter().map(|step| perform(step, &order.payload, &details).unwrap()).collect();
    let [
        Performance::EndSessions(end),
        Performance::Entry(entry),
        Performance::Mail(mail),
        Performance::Dm(dm),
        Performance::Mail(to_admin),
        Performance::Dm(other),
    ] = &*done
    else {
        panic!("{done:?}")
    };
    assert_eq!((&end.idempotency_key, &*end.user, &*end.org), (&order.id, "U1", "E1"));
    let body: Value = serde_json::from_str(&end.body).unwrap();
    assert_eq!((&body["session_id"], &body["reason"][0]), (&"S1".into(), &"tor".into()));
    assert_eq!((&entry.id, entry.at), (&order.id, at(100)));
    assert!(entry.body.contains(r#""sessions_ended":4,"verdict":"first""#));
    let templates = Templates::built_in();
    let read = mail.message(&templates);
    assert_eq!((&*mail.to, mail.date, &*read.subject), ("U1@example.org", at(100), "You were signed out of Example"));
    assert!(read.text.contains("Sessions ended: all of them, on all devices: 4"), "{}", read.text);
    assert_ne!(mail.id, to_admin.id);
    assert_eq!((&*dm.to, &*other.to), ("W-U1", "W-U:2"));
    assert!(other.text(&templates).starts_with("Ada was signed out of Example\n\n"));
    let Performance::Entry(unknown) = perform("audit", &order.payload, &[None]).unwrap() else { panic!() };
    assert!(unknown.body.contains(r#""sessions_ended":null"#));
}

#[test]
fn a_payload_that_is_not_ours_is_refused() {
    let payload = order(&responded(anomaly(100, &[Reason::Tor]))).unwrap().payload;
    let refused = |step: &str, payload: &[u8]| match perform(step, payload, &[]) {
        Err(Error::Corrupt(text)) => text,
        other => panic!("{other:?}"),
    };
    for step in ["", "mail:", "mail:U9", "dm:U1", "mails", "end"] {
        assert!(refused(step, &payload).contains("has no step"), "{step}: the user has no account for messages");
    }
    assert!(refused("audit", b"{").contains("cannot be read"));
    assert!(refused("audit", br#"{"version":3}"#).contains("version 3"));
    assert!(order(&responded(anomaly(100, &[Reason::Asn]))).is_none());
}

#[test]
fn a_message_on_repeats_is_an_order_of_its_own() {
    let mut decision = responded(anomaly(100, &[Reason::Tor]));
    decision.response.as_mut().unwrap().recipients = vec![recipient("A0", "", false)];
    let of_response = order(&decision).unwrap();
    let order = order_of_repeats(repeats(), decision.clone()).unwrap();
    assert_eq!((&*order.id, order.at, &*order.steps), ("d1", at(4_000), &["mail:A0", "dm:A0"].map(str::to_owned)[..]));
    let Performance::Mail(mail) = perform("mail:A0", &order.payload, &[]).unwrap() else { panic!() };
    let Performance::Mail(first) = perform("mail:A0", &of_response.payload, &[]).unwrap() else { panic!() };
    assert_ne!(mail.id, first.id, "it is another message");
    assert_eq!((mail.date, first.date), (at(4_000), at(100)));
    assert!(mail.message(&Templates::built_in()).text.contains("Further responses: 4."));
    for step in ["end_sessions", "audit", "mail:U1"] {
        assert!(perform(step, &order.payload, &[]).is_err(), "{step}: it ends nothing and tells nobody else");
    }
    decision.response.as_mut().unwrap().recipients.clear();
    assert!(order_of_repeats(repeats(), decision).is_none());
}

/// What was issued, by call.
type Calls = Arc<Mutex<Vec<(Batch, Micros)>>>;

/// Keeps what is issued; the sink calls nothing else.
struct Recorded(Calls);

impl Ledger for Recorded {
    fn issue(&mut self, batch: &Batch, through: Micros) -> Result<Issued, Error> {
        self.0.lock().unwrap().push((batch.clone(), through));
        Ok(Issued { repeated: batch.entries.len() as u64, ..Issued::default() })
    }
    fn claim_generation(&mut self, _: u64) -> Result<(), Error> {
        unreachable!("the sink only issues")
    }
    fn issued_through(&self) -> Result<Micros, Error> {
        unreachable!("the sink only issues")
    }
    fn take_over(&mut self, _: u64) -> Result<(), Error> {
        unreachable!("the sink only issues")
    }
    fn current_generation(&self) -> Result<u64, Error> {
        unreachable!("the sink only issues")
    }
    fn begun_since(&self, _: &Claim, _: u64) -> Result<u64, Error> {
        unreachable!("the sink only issues")
    }
    fn held_orders(&self) -> Result<u64, Error> {
        unreachable!("the sink only issues")
    }
    fn oldest_open(&self) -> Result<Option<Micros>, Error> {
        unreachable!("the sink only issues")
    }
    fn find(&self, _: &Query<'_>) -> Result<Vec<(u64, Entry)>, Error> {
        unreachable!("the sink only issues")
    }
    fn claim(&mut self, _: &Ask<'_>) -> Result<Vec<Claim>, Error> {
        unreachable!("the sink only issues")
    }
    fn record(&mut self, _: &Claim, _: &StepOutcome, _: &[Entry], _: u64) -> Result<engine::ledger::Recorded, Error> {
        unreachable!("the sink only issues")
    }
    fn receipt(&mut self, _: &str, _: &str) -> Result<bool, Error> {
        unreachable!("the sink only issues")
    }
    fn hold(&mut self, _: Scope<'_>, _: bool, _: u64) -> Result<bool, Error> {
        unreachable!("the sink only issues")
    }
    fn is_held(&self, _: &Claim) -> Result<bool, Error> {
        unreachable!("the sink only issues")
    }
    fn hold_back(&mut self, _: &str) -> Result<(), Error> {
        unreachable!("the sink only issues")
    }
    fn retry(&mut self, _: &str, _: u64) -> Result<bool, Error> {
        unreachable!("the sink only issues")
    }
    fn holds(&self) -> Result<Holds, Error> {
        unreachable!("the sink only issues")
    }
    fn open_orders(&self) -> Result<u64, Error> {
        unreachable!("the sink only issues")
    }
    fn count(&self, _: State) -> Result<u64, Error> {
        unreachable!("the sink only issues")
    }
    fn orders(&self, _: Page<'_>) -> Result<Vec<OrderStatus>, Error> {
        unreachable!("the sink only issues")
    }
    fn order(&self, _: &str) -> Result<Option<OrderStatus>, Error> {
        unreachable!("the sink only issues")
    }
    fn trail(&self, _: &str) -> Result<Vec<Attempt>, Error> {
        unreachable!("the sink only issues")
    }
    fn settled_after(&self, _: u64, _: usize) -> Result<Vec<Settlement>, Error> {
        unreachable!("the sink only issues")
    }
    fn entries_after(&self, _: u64, _: usize) -> Result<Vec<(u64, Entry)>, Error> {
        unreachable!("the sink only issues")
    }
    fn entries_before(&self, _: Option<u64>, _: usize) -> Result<Vec<(u64, Entry)>, Error> {
        unreachable!("the sink only issues")
    }
    fn entry_seq(&self, _: &str) -> Result<Option<u64>, Error> {
        unreachable!("the sink only issues")
    }
    fn receipts_after(&self, _: u64, _: usize) -> Result<Vec<(u64, Receipt)>, Error> {
        unreachable!("the sink only issues")
    }
}

fn issued(records: &[RespondRecord], seed: u64) -> Vec<(Batch, Micros)> {
    let calls = Calls::default();
    let (kept, heard) = (calls.clone(), Arc::new(Mutex::new(0)));
    let told = heard.clone();
    let sink = move || {
        let report = move |issued: &Issued| *told.lock().unwrap() += issued.repeated;
        Respond::new(Box::new(Recorded(kept)), Box::new(report))
    };
    drive(sink, records.to_vec(), seed);
    let calls = calls.lock().unwrap().clone();
    let entries: usize = calls.iter().map(|(batch, _)| batch.entries.len()).sum();
    assert_eq!(*heard.lock().unwrap(), entries as u64, "every outcome is reported");
    calls
}

#[test]
fn the_sink_gathers_what_repeats_into_one_order_whatever_came_first() {
    let of = |user: &str, second: u64| {
        let id = Id::of("a", &[user.as_bytes(), &second.to_le_bytes()]);
        let mut decision = responded(Anomaly { id, user: user.into(), ..anomaly(second, &[Reason::Tor]) });
        decision.response.as_mut().unwrap().recipients = vec![recipient("A0", "", false), recipient(user, "", true)];
        RespondRecord::from(decision)
    };
    let records: Vec<_> =
        [0, 600, 1_200, 9_000].into_iter().flat_map(|second| ["U1", "U2"].map(|user| of(user, second))).collect();
    let orders = |seed| -> Vec<(Micros, Vec<String>)> {
        let calls = issued(&records, seed);
        let orders = calls.into_iter().flat_map(|(batch, _)| batch.orders);
        orders.map(|order| (order.at, order.steps)).collect()
    };
    let steps = |steps: &[&str]| -> Vec<String> { steps.iter().map(|step| (*step).to_owned()).collect() };
    let own = |user: &str| [format!("mail:{user}"), format!("dm:{user}")];
    let answer = |second, user: &str, more: &[&str]| {
        (at(second), [steps(&["end_sessions", "audit"]), own(user).to_vec(), steps(more)].concat())
    };
    let admin = ["mail:A0", "dm:A0"];
    let mut expected = Vec::new();
    for (second, more) in [(0, &admin[..]), (600, &[]), (1_200, &[])] {
        expected.extend(["U1", "U2"].map(|user| answer(second, user, more)));
    }
    expected.extend([(at(3_600), steps(&admin)), (at(3_600), steps(&admin))]);
    expected.extend(["U1", "U2"].map(|user| answer(9_000, user, &[])));
    expected.extend([(at(18_000), steps(&admin)), (at(18_000), steps(&admin))]);
    for seed in 0..8 {
        assert_eq!(orders(seed), expected, "seed {seed}");
    }
}

#[test]
fn the_sink_issues_in_one_order_whatever_came_first() {
    let of = |user: &str, org: &str, second: u64, reason| {
        let id = Id::of("a", &[user.as_bytes(), org.as_bytes(), &second.to_le_bytes()]);
        let anomaly = Anomaly { id, user: user.into(), org: org.into(), ..anomaly(second, &[reason]) };
        RespondRecord::from(responded(anomaly))
    };
    let mut records: Vec<RespondRecord> = Vec::new();
    for second in [1, 1, 2, 5, 9] {
        for org in ["E2", "E10"] {
            for user in ["U2", "U1"] {
                records.push(of(
                    user,
                    org,
                    second * 10 + records.len() as u64 % 2,
                    [Reason::Tor, Reason::Asn][records.len() % 2],
                ));
            }
        }
        records.push(closed(second * 10 + 3).into());
    }
    records.dedup();
    let flat = |calls: &[(Batch, Micros)]| {
        let entries: Vec<Entry> = calls.iter().flat_map(|(batch, _)| batch.entries.clone()).collect();
        let orders: Vec<Order> = calls.iter().flat_map(|(batch, _)| batch.orders.clone()).collect();
        (entries, orders)
    };
    let first = flat(&issued(&records, 0));
    assert_eq!(first.0.len(), records.len());
    assert!(first.0.is_sorted_by_key(|entry| entry.at) && !first.1.is_empty());
    let mut calls_seen = std::collections::BTreeSet::new();
    for seed in 1..12 {
        let calls = issued(&records, seed);
        calls_seen.insert(calls.len());
        let mut before = Micros::ZERO;
        for (batch, through) in &calls {
            let times = || batch.entries.iter().map(|e| e.at).chain(batch.orders.iter().map(|o| o.at));
            assert!(times().all(|at| at > before && at <= *through), "seed {seed}: through {through}");
            assert!(*through > before);
            before = *through;
        }
        assert_eq!(flat(&calls), first, "seed {seed}");
    }
    assert!(calls_seen.len() > 1, "the frontier moved in different ways");
}

#[test]
fn what_was_set_is_handed_over_before_what_happened() {
    let hold = |second, position, on| RespondRecord::from(Hold { at: at(second), position, org: None, on });
    let decision = responded(anomaly(10, &[Reason::Tor]));
    let (order, entry) = (decision.response.as_ref().unwrap().id.clone(), decision.anomaly.id.clone());
    let withdrawal = |second| Withdrawal {
        at: at(second),
        org: "E1".into(),
        user: "U1".into(),
        id: order.clone(),
        why: Outcome::ExcludedUser,
    };
    let (from, to) = (AllowList::default(), AllowList { trusted_asn: [64_500].into(), ..AllowList::default() });
    let what = What::AllowList(Step { from, to });
    let change = Change { id: id("c1"), at: at(10), org: "E1".into(), what };
    let records = [
        decision.into(),
        hold(10, 2, true),
        hold(10, 3, false),
        DecideOut::Withdrawal(Box::new(withdrawal(20))).into(),
        DecideOut::Change(Box::new(change)).into(),
        hold(30, 1, true),
    ];
    for seed in 0..6 {
        let calls = issued(&records, seed);
        let batches = || calls.iter().map(|(batch, _)| batch);
        let entries: Vec<&str> = batches().flat_map(|batch| &batch.entries).map(|entry| &*entry.id).collect();
        assert_eq!(entries, ["c1", entry.as_str()], "seed {seed}");
        let throws: Vec<_> = batches().flat_map(|batch| &batch.throws).map(|it| (it.at, it.on)).collect();
        assert_eq!(throws, [(at(10), true), (at(10), false), (at(30), true)], "seed {seed}");
        let recalls: Vec<&Recall> = batches().flat_map(|batch| &batch.recalls).collect();
        assert_eq!(recalls.len(), 1);
        assert_eq!((&*recalls[0].order, recalls[0].at), (order.as_str(), at(20)), "seed {seed}");
        assert!(recalls[0].why.contains("withdrawn") && recalls[0].why.contains("excluded_user"));
    }
}

/// What admins of a language are told of a limit.
fn escalated(cause: Outcome, latched: bool, locale: &str) -> (Order, Message) {
    let mut anomaly = anomaly(10, &[Reason::Tor]);
    anomaly.actor.name = "Eve <b>\r\nBcc: x@y.example".into();
    let escalation = Escalation { id: id("s1"), cause, latched, recipients: vec![recipient("U9", locale, false)] };
    let told = said(&escalation.recipients[0], &anomaly, Occasion::Escalation(escalation.clone()), None);
    let by_reason = [(Reason::Tor, cause)].into();
    let decision = Decision { anomaly, by_reason, response: None, latches: latched, escalation: Some(escalation) };
    (order(&decision).unwrap(), told)
}

#[test]
fn that_a_limit_is_reached_is_told_and_nothing_else_is_done() {
    let mut texts = std::collections::BTreeSet::new();
    for locale in ["en-GB", "de-AT", "fi"] {
        for (cause, latched) in
            [(Outcome::LoopProtected, false), (Outcome::RateLimited, false), (Outcome::RateLimited, true)]
        {
            let (order, told) = escalated(cause, latched, locale);
            assert_eq!((&*order.id, &order.steps[..]), ("s1", &["mail:U9".to_owned(), "dm:U9".to_owned()][..]));
            assert_eq!(ends_sessions_of(&order.payload).unwrap(), None);
            let templates = Templates::built_in();
            for step in ["mail:U9", "dm:U9"] {
                match perform(step, &order.payload, &[]).unwrap() {
                    Performance::Mail(mail) => assert_eq!(mail.message(&templates), told),
                    Performance::Dm(dm) => {
                        let text = dm.text(&templates);
                        assert!(text.contains("U1") && !text.contains("<b>"), "{text}");
                    }
                    other => panic!("{other:?}"),
                }
            }
            for step in ["end_sessions", "audit", "mail:U1"] {
                assert!(perform(step, &order.payload, &[]).is_err(), "{step}");
            }
            assert!(!told.subject.contains(['\r', '\n']) && !told.text.contains("{{") && !told.html.contains("<b>"));
            assert!(told.text.contains("Tor") && told.text.contains("203.0.113.7") && told.text.contains("U1"));
            texts.insert(told.text);
        }
    }
    assert_eq!(texts.len(), 6, "three causes in two languages");
    let ended = order(&responded(anomaly(10, &[Reason::Tor]))).unwrap();
    assert_eq!(ends_sessions_of(&ended.payload).unwrap(), Some(("E1".to_owned(), "U1".to_owned())));
}
