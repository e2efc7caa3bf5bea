//! Decide as the engine runs it, over the memory store: every path, policy that changes midway, and one outcome
//! whatever the order of arrival.

mod limits;
mod oracle;

use super::record::{GlobalChange, OrgChange, UserChange};
use super::rows::Known;
use super::*;
use crate::model::anomaly::{Mark, MarkKind};
use crate::model::control::{ResponseSetting, Settings};
use crate::model::decision::Recipient;
use crate::model::event::{Person, Place};
use engine::coordinator::message::Announcement;
use engine::fault::{Faults, Poison};
use engine::keyed::operator::{Input, Keyed, keyed};
use engine::keyed::{Logic, Record};
use engine::metrics::Status;
use engine::snapshot::objects::Objects;
use engine::snapshot::repository::Repository;
use engine::state::memory::MemoryStores;
use engine::state::store::Stores;
use engine::state::table::Table;
use engine::time::{Micros, Span, Stamp};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use timely::dataflow::operators::{Inspect, Probe, ToStream, vec::Input as _};

/// A point of event time, in seconds after the start of 2026.
pub(crate) fn at(second: u64) -> Micros {
    Micros::from_secs(1_767_225_600 + second)
}

/// An anomaly of user U1 in org E1, in session S1 that was first seen at 0, with honest marks.
pub(crate) fn anomaly(second: u64, reasons: &[Reason]) -> Anomaly {
    let mark = |kind| Mark { kind, known: true };
    Anomaly {
        id: Id::of("anomaly", &[b"E1", &second.to_le_bytes()]),
        at: at(second),
        time: at(second),
        org: "E1".into(),
        user: "U1".into(),
        kind: KeyKind::User,
        reasons: reasons.to_vec(),
        evidence: Vec::new(),
        actor: Person { id: "U1".into(), name: "Ada".into(), email: "ada@event.example".into(), team: "T1".into() },
        place: Place { kind: "enterprise".into(), id: "E1".into(), name: "Example".into(), domain: "example".into() },
        ua: "Slack/4.35".into(),
        session: Some("S1".into()),
        ip_address: "203.0.113.7".into(),
        previous_ip_address: String::new(),
        previous_ua: String::new(),
        location: String::new(),
        first_seen: at(0),
        marks: vec![mark(MarkKind::Tls), mark(MarkKind::Client), mark(MarkKind::Network)],
        by_app: false,
        is_external: None,
        imported: false,
    }
}

/// The same by somebody who has none of the user's marks.
fn by_a_stranger(anomaly: Anomaly) -> Anomaly {
    let marks = anomaly.marks.iter().map(|mark| Mark { known: false, ..mark.clone() }).collect();
    Anomaly { marks, ..anomaly }
}

/// Runs a logic as the engine does, over the memory store, on records in any order. What comes out, and its totals.
pub(crate) fn drive<L: Logic<Record: Sync, Out: Sync>>(
    logic: impl FnOnce() -> L + Send + Sync + 'static,
    records: Vec<L::Record>,
    seed: u64,
) -> (Vec<L::Out>, Status) {
    let (status, poison) = (Status::default(), Poison::default());
    let (of_worker, set) = (status.clone(), poison.clone());
    let out = timely::execute_directly(move |worker| {
        let out = Rc::new(RefCell::new(Vec::new()));
        let scratch = tempfile::tempdir().unwrap();
        let repository = Repository::new(Objects::in_folder(scratch.path()).unwrap());
        let (mut input, probe) = worker.dataflow::<Stamp, _, _>(|scope| {
            let (input, stream) = scope.new_input();
            let operator = Keyed {
                name: "tested".into(),
                logic: logic(),
                table: Table::new(MemoryStores.create(&scratch.path().join("state")).unwrap(), 1 << 20),
                restored: None,
                totals: of_worker.totals("tested", 0, L::TOTALS, vec![0; L::TOTALS.len()]),
                checkpoints: scratch.path().join("checkpoint"),
                shelf: Arc::new(Mutex::new(repository.shelf(1, "tested.0", Vec::new()))),
                poison: set,
                faults: Faults::default(),
            };
            let streams =
                keyed(scope, vec![Input::Keyed(stream)], Vec::<Announcement>::new().to_stream(scope), operator);
            for port in streams.ports {
                let out = out.clone();
                port.inspect(move |value: &L::Out| out.borrow_mut().push(value.clone()));
            }
            (input, streams.applied.probe().0)
        });
        for (stamp, batch) in batches(records, seed) {
            input.advance_to(stamp);
            batch.into_iter().for_each(|record| input.send(record));
            input.flush();
            worker.step();
        }
        input.close();
        while !probe.done() {
            worker.step();
        }
        out.take()
    });
    if let Some(error) = poison.take() {
        panic!("{error}");
    }
    (out, status)
}

/// The records shuffled, in batches with the stamp of their earliest: sometimes one point of time, sometimes all.
fn batches<R: Record>(mut records: Vec<R>, seed: u64) -> Vec<(Stamp, Vec<R>)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    records.shuffle(&mut rng);
    let mut batches = Vec::new();
    while let Some(stamp) = records.iter().map(|record| record.at().stamp()).min() {
        let until = if rng.random_bool(0.9) { stamp } else { Stamp::MAX };
        let (batch, later) = records.into_iter().partition(|record| record.at().stamp() <= until);
        batches.push((stamp, batch));
        records = later;
    }
    batches
}

fn decisions(records: Vec<DecideRecord>) -> Vec<Decision> {
    said(records, false).0
}

/// What is decided and what else is said, with or without a latch.
fn said(records: Vec<DecideRecord>, latch: bool) -> (Vec<Decision>, Vec<DecideOut>) {
    let (mut decisions, mut words) = (Vec::new(), Vec::new());
    for out in drive(move || Decide::new(false, latch), records, 1).0 {
        match out {
            DecideOut::Decision(decision) => decisions.push(*decision),
            word => words.push(word),
        }
    }
    (decisions, words)
}

/// The decisions among what is said.
fn decided(out: Vec<DecideOut>) -> Vec<Decision> {
    let decision = |out| match out {
        DecideOut::Decision(decision) => Some(*decision),
        _ => None,
    };
    out.into_iter().filter_map(decision).collect()
}

fn outcomes(decision: &Decision) -> Vec<(&'static str, &'static str)> {
    decision.by_reason.iter().map(|(reason, outcome)| (reason.code(), outcome.name())).collect()
}

fn settings(second: u64, position: u64, responses: &[(Reason, ResponseSetting)]) -> DecideRecord {
    let settings = Settings { responses: responses.iter().cloned().collect(), ..Settings::default() };
    DecideRecord::org(at(second), "E1", OrgChange::Settings { position, settings: Some(settings) })
}

fn toggle(enabled: bool) -> ResponseSetting {
    ResponseSetting { enabled: Some(enabled), ..ResponseSetting::default() }
}

fn known(change: impl Fn(&mut Known)) -> DecideRecord {
    let mut known = Known { name: "Ada L.".into(), email: "ada@directory.example".into(), ..Known::default() };
    change(&mut known);
    DecideRecord::user(at(0), "E1", "U1", UserChange::Directory { position: 0, known: Some(known) })
}

fn exempt(second: u64, on: bool, reason: Reason) -> DecideRecord {
    DecideRecord::user(at(second), "E1", "U1", UserChange::Exempt { on, reason })
}

fn switch(reasons: Option<&[Reason]>) -> Option<Switch> {
    Some(Switch { on: true, reasons: reasons.map(|reasons| reasons.iter().copied().collect()) })
}

fn excluding(user: &str) -> ResponseSetting {
    ResponseSetting { exclude_users: [user.to_owned()].into(), ..ResponseSetting::default() }
}

#[test]
fn every_path_of_a_decision() {
    let tor = || anomaly(100, &[Reason::Tor]);
    let shadow = |switch| DecideRecord::org(at(0), "E1", OrgChange::Shadow { position: 0, switch });
    let global = |switch| DecideRecord::global(at(0), GlobalChange::Shadow { position: 0, switch });
    let off = switch(None).map(|switch| Switch { on: false, ..switch });
    let app = |anomaly: Anomaly| Anomaly { kind: KeyKind::App, user: "A1".into(), by_app: true, ..anomaly };
    let table: Vec<(&str, Vec<DecideRecord>, Anomaly, Option<&str>)> = vec![
        ("nothing set", vec![], tor(), Some("responded")),
        ("no toggle", vec![], anomaly(100, &[Reason::Asn, Reason::IpAddress]), None),
        ("off by default", vec![], anomaly(100, &[Reason::ExcessiveDownloads]), Some("disabled")),
        (
            "switched on",
            vec![settings(0, 0, &[(Reason::ExcessiveDownloads, toggle(true))])],
            anomaly(100, &[Reason::ExcessiveDownloads]),
            Some("responded"),
        ),
        ("switched off", vec![settings(0, 0, &[(Reason::Tor, toggle(false))])], tor(), Some("disabled")),
        ("external by event", vec![], Anomaly { is_external: Some(true), ..tor() }, Some("external_user")),
        (
            "the directory's word wins",
            vec![known(|_| {})],
            Anomaly { is_external: Some(true), ..tor() },
            Some("responded"),
        ),
        ("external by directory", vec![known(|k| k.is_external = true)], tor(), Some("external_user")),
        ("bot", vec![known(|k| k.is_bot = true)], tor(), Some("bot_user")),
        ("an app on the user's behalf", vec![], Anomaly { by_app: true, ..tor() }, Some("app_actor")),
        ("an app's own row", vec![], app(tor()), Some("app_actor")),
        ("a bot behind an app", vec![known(|k| k.is_bot = true)], app(tor()), Some("bot_user")),
        ("user excluded", vec![settings(0, 0, &[(Reason::Tor, excluding("U1"))])], tor(), Some("excluded_user")),
        ("another excluded", vec![settings(0, 0, &[(Reason::Tor, excluding("U2"))])], tor(), Some("responded")),
        ("group excluded", vec![exempt(0, true, Reason::Tor)], tor(), Some("excluded_group")),
        ("for another reason", vec![exempt(0, true, Reason::UnexpectedScraping)], tor(), Some("responded")),
        ("org shadow", vec![shadow(switch(None))], tor(), Some("shadow")),
        ("org shadow off", vec![shadow(off.clone())], tor(), Some("responded")),
        ("org shadow for it", vec![shadow(switch(Some(&[Reason::Tor])))], tor(), Some("shadow")),
        ("org shadow for others", vec![shadow(switch(Some(&[Reason::SearchVolume])))], tor(), Some("responded")),
        ("shadow everywhere", vec![global(switch(None))], tor(), Some("shadow")),
        ("everywhere for it", vec![global(switch(Some(&[Reason::Tor])))], tor(), Some("shadow")),
        ("everywhere off", vec![global(off)], tor(), Some("responded")),
        (
            "disabled before shadow",
            vec![shadow(switch(None))],
            anomaly(9, &[Reason::SpoofedUserAgent]),
            Some("disabled"),
        ),
    ];
    for (name, mut records, anomaly, expected) in table {
        records.push(anomaly.into());
        let (out, status) = drive(|| Decide::new(false, false), records, 1);
        let decided = decided(out);
        assert_eq!(decided.len(), 1, "{name}");
        assert_eq!(decided[0].outcome().map(Outcome::name), expected, "{name}");
        assert_eq!(decided[0].response.is_some(), expected == Some("responded"), "{name}");
        assert_eq!(status.total("tested", "anomalies"), 1, "{name}");
        assert_eq!(status.total("tested", expected.unwrap_or("log_only")), 1, "{name}");
    }
    let decided = decided(drive(|| Decide::new(true, false), vec![tor().into()], 1).0);
    assert_eq!(outcomes(&decided[0]), [("tor", "shadow")], "the job's own flag");
}

#[test]
fn totals_are_named_as_the_outcomes_are() {
    let names: Vec<&str> = Outcome::ALL.iter().map(|outcome| outcome.name()).collect();
    assert_eq!(Decide::TOTALS[2..], names);
    assert!(Outcome::ALL.iter().enumerate().all(|(index, outcome)| *outcome as usize == index));
}

#[test]
fn reasons_of_one_anomaly_are_judged_each_by_itself() {
    let mixed = anomaly(100, &[Reason::ExcessiveDownloads, Reason::IpAddress, Reason::Tor, Reason::UnexpectedScraping]);
    let decided = decisions(vec![exempt(0, true, Reason::UnexpectedScraping), mixed.into()]);
    let expected =
        [("excessive_downloads", "disabled"), ("tor", "responded"), ("unexpected_scraping", "excluded_group")];
    assert_eq!(outcomes(&decided[0]), expected);
    let response = decided[0].response.as_ref().unwrap();
    assert_eq!((&*response.reasons, response.verdict), (&[Reason::Tor][..], Verdict::First));
    assert_eq!(response.id, Id::of("response", &[decided[0].anomaly.id.as_str().as_bytes()]));
}

#[test]
fn policy_applies_from_its_time_on_and_before_anomalies_of_the_same_time() {
    let tor = |second| -> DecideRecord {
        let session = Some(format!("S{second}"));
        by_a_stranger(Anomaly { first_seen: at(second), session, ..anomaly(second, &[Reason::Tor]) }).into()
    };
    let decided = decisions(vec![
        tor(10),
        settings(20, 1, &[(Reason::Tor, toggle(true))]),
        settings(20, 2, &[(Reason::Tor, toggle(false))]),
        tor(20),
        settings(30, 3, &[(Reason::Tor, excluding("U1"))]),
        tor(30),
        exempt(40, true, Reason::Tor),
        DecideRecord::org(at(40), "E1", OrgChange::Settings { position: 4, settings: None }),
        tor(40),
        exempt(50, false, Reason::Tor),
        DecideRecord::org(at(50), "E1", OrgChange::Shadow { position: 5, switch: switch(None) }),
        tor(50),
        DecideRecord::org(at(60), "E1", OrgChange::Shadow { position: 6, switch: None }),
        tor(60),
    ]);
    let names: Vec<&str> = decided.iter().map(|decision| decision.outcome().unwrap().name()).collect();
    assert_eq!(names, ["responded", "disabled", "excluded_user", "excluded_group", "shadow", "responded"]);
}

#[test]
fn a_session_that_a_response_ended_is_answered_and_a_later_one_is_not() {
    let seen = |second, first_seen: u64, session: Option<&str>| -> DecideRecord {
        let session = session.map(str::to_owned);
        by_a_stranger(Anomaly { first_seen: at(first_seen), session, ..anomaly(second, &[Reason::Tor]) }).into()
    };
    let decided = decisions(vec![
        seen(10, 0, Some("S1")),
        seen(11, 0, Some("S1")),
        seen(12, 10, Some("S2")),
        seen(13, 11, Some("S3")),
        seen(14, 14, None),
        seen(15, 13, Some("S4")),
    ]);
    let names: Vec<&str> = decided.iter().map(|decision| decision.outcome().unwrap().name()).collect();
    let ended = "already_answered";
    assert_eq!(names, ["responded", ended, ended, "responded", "responded", ended]);
    let verdicts: Vec<_> = decided.iter().filter_map(|d| d.response.as_ref()).map(|r| r.verdict).collect();
    assert_eq!(verdicts, [Verdict::First, Verdict::Persisting, Verdict::Persisting]);
    // Two sessionless events at one time: the first answers, and the second is its own first sight at that time.
    let twin = |id: &[u8]| {
        DecideRecord::from(Anomaly {
            id: Id::of("a", &[id]),
            session: None,
            first_seen: at(9),
            ..anomaly(9, &[Reason::Tor])
        })
    };
    let names: Vec<_> = decisions(vec![twin(b"1"), twin(b"2")]).iter().map(|d| d.outcome().unwrap().name()).collect();
    assert_eq!(names, ["responded", ended]);
}

/// Anomalies of a new session each, so many minutes after the start.
fn again(user: &str, mins: u64) -> Anomaly {
    let (id, session) = (Id::of("again", &[user.as_bytes(), &mins.to_le_bytes()]), Some(format!("S{mins}")));
    Anomaly { id, user: user.into(), first_seen: at(mins * 60), session, ..anomaly(mins * 60, &[Reason::Tor]) }
}

fn names(decided: &[Decision]) -> Vec<&'static str> {
    decided.iter().map(|decision| decision.outcome().expect("it has a toggle").name()).collect()
}

#[test]
fn an_honest_user_is_answered_three_times_a_day_and_then_left_in_peace() {
    let minutes = [0, 5, 10, 40, 70, 300, 24 * 60 + 1];
    let decided = decisions(minutes.map(|mins| again("U1", mins).into()).to_vec());
    let (yes, no) = ("responded", "loop_protected");
    assert_eq!(names(&decided), [yes, no, yes, no, yes, no, yes]);
    let verdicts: Vec<_> = decided.iter().filter_map(|d| d.response.as_ref()).map(|r| r.verdict).collect();
    assert_eq!(verdicts, [Verdict::First, Verdict::Repeat, Verdict::Repeat, Verdict::Repeat]);
}

#[test]
fn an_attack_that_persists_is_answered_each_time_within_its_own_limit() {
    let decided = decisions((0..12).map(|mins| by_a_stranger(again("U1", mins)).into()).collect());
    let expected: Vec<_> = (0..12).map(|n| if n < 10 { "responded" } else { "loop_protected" }).collect();
    assert_eq!(names(&decided), expected);
    assert!(decided[1..10].iter().all(|d| d.response.as_ref().is_some_and(|r| r.verdict == Verdict::Persisting)));
    // What is left for the honest user was used up by the attack.
    let mut records: Vec<DecideRecord> = (0..3).map(|mins| by_a_stranger(again("U1", mins)).into()).collect();
    records.push(again("U1", 90).into());
    assert_eq!(names(&decisions(records))[3], "loop_protected");
}

#[test]
fn so_many_people_of_an_org_are_answered_within_an_hour_and_no_more() {
    let user = |n: u64| format!("U{n:03}");
    let burst = || (0..15).map(|n| again(&user(n), 100 + n).into());
    let expected: Vec<_> = (0..15).map(|n| if n < 10 { "responded" } else { "rate_limited" }).collect();
    assert_eq!(names(&decisions(burst().collect())), expected);
    // The first of them is no further person, and an hour later there is room again.
    let more = [by_a_stranger(again(&user(0), 130)).into(), again(&user(20), 161).into()];
    assert_eq!(names(&decisions(burst().chain(more).collect()))[15..], ["responded", "responded"]);
    // In an org of 300 who were active yesterday, it is fifteen. So it is in a dry run.
    let active =
        |mins: u64| DecideRecord::org(at(mins * 60), "E1", OrgChange::Active { at: at(mins * 60), previous: 0 });
    let people = || (0..300).map(|_| active(90));
    assert!(names(&decisions(people().chain(burst()).collect())).iter().all(|name| *name == "responded"));
    let shadow = DecideRecord::org(at(0), "E1", OrgChange::Shadow { position: 0, switch: switch(None) });
    let dry = decisions(burst().chain([shadow]).collect());
    assert_eq!(names(&dry)[9..11], ["shadow", "rate_limited"]);
}

#[test]
fn a_dry_run_counts_as_a_response_and_what_was_held_back_does_not() {
    let mut next = anomaly(30, &[Reason::Tor]);
    next.first_seen = at(20);
    next.marks[0].known = false;
    let records = |first| {
        vec![
            first,
            anomaly(10, &[Reason::Tor]).into(),
            settings(15, 1, &[]),
            DecideRecord::org(at(15), "E1", OrgChange::Shadow { position: 2, switch: None }),
            anomaly(16, &[Reason::Tor]).into(),
            next.clone().into(),
        ]
    };
    let shadow = DecideRecord::org(at(0), "E1", OrgChange::Shadow { position: 0, switch: switch(None) });
    let decided = decisions(records(shadow));
    assert_eq!(outcomes(&decided[1]), [("tor", "already_answered")]);
    assert_eq!(decided[2].response.as_ref().unwrap().verdict, Verdict::Persisting);
    let decided = decisions(records(settings(0, 0, &[(Reason::Tor, toggle(false))])));
    assert_eq!(outcomes(&decided[1]), [("tor", "responded")]);
    assert_eq!(decided[1].response.as_ref().unwrap().verdict, Verdict::First);
}

#[test]
fn every_overlap_of_hats_gives_one_message_per_person() {
    for bits in 0u32..1 << 6 {
        let on = |n: u32| bits & 1 << n != 0;
        let (email, dm, owner, security, listed, in_directory) = (on(0), on(1), on(2), on(3), on(4), on(5));
        let admin = |user: &str| Recipient {
            user: user.into(),
            name: "Admin".into(),
            email: email.then(|| format!("{user}@directory.example")),
            dm: dm.then(|| format!("W-{user}")),
            locale: "de".into(),
            affected: false,
            primary_owner: owner,
            security_admin: security,
        };
        let mut records = vec![anomaly(100, &[Reason::Tor]).into()];
        let tell = |user: &str| DecideRecord::org(at(0), "E1", OrgChange::Admin { on: true, admin: admin(user) });
        records.push(tell("U2"));
        if listed {
            records.push(tell("U1"));
        }
        if in_directory {
            records.push(known(|_| {}));
        }
        let decided = decisions(records);
        let recipients = &decided[0].response.as_ref().unwrap().recipients;
        let users: Vec<&str> = recipients.iter().map(|recipient| &*recipient.user).collect();
        assert_eq!(users, ["U1", "U2"], "{bits:b}");
        let affected = &recipients[0];
        assert!(affected.affected && !recipients[1].affected);
        let address = if in_directory { "ada@directory.example" } else { "ada@event.example" };
        assert_eq!(affected.email.as_deref(), Some(address), "always by mail");
        assert_eq!(affected.dm.as_deref(), (listed && dm).then_some("W-U1"));
        assert_eq!((affected.primary_owner, affected.security_admin), (listed && owner, listed && security));
        assert_eq!(recipients[1], admin("U2"));
    }
}

#[test]
fn admins_change_in_place_and_go() {
    let admin = |name: &str| Recipient {
        user: "U2".into(),
        name: name.into(),
        email: Some("b@directory.example".into()),
        dm: None,
        locale: String::new(),
        affected: false,
        primary_owner: true,
        security_admin: false,
    };
    let change = |second, on, name| DecideRecord::org(at(second), "E1", OrgChange::Admin { on, admin: admin(name) });
    let tor = |second| by_a_stranger(Anomaly { first_seen: at(second), ..anomaly(second, &[Reason::Tor]) }).into();
    let records = vec![
        change(0, true, "Zoe"),
        tor(1),
        change(10, false, "Zoe"),
        change(10, true, "Bob"),
        tor(11),
        change(20, false, "Bob"),
        tor(21),
    ];
    let names = |d: &Decision| -> Vec<String> {
        d.response.iter().flat_map(|r| r.recipients.iter().map(|p| p.name.clone())).collect()
    };
    let told: Vec<Vec<String>> = decisions(records).iter().map(names).collect();
    assert_eq!(told, [vec!["Ada", "Zoe"], vec!["Ada", "Bob"], vec!["Ada"]]);
}

#[test]
fn the_order_of_arrival_does_not_show() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut records = Vec::new();
    for position in 0..400u64 {
        let second = rng.random_range(0..25) * 3_600;
        let (org, user) = (["E1", "E2"][rng.random_range(0..2)], ["U1", "U2", "U3"][rng.random_range(0..3)]);
        let reason = Reason::WITH_TOGGLE[rng.random_range(0..Reason::WITH_TOGGLE.len())];
        let reasons = [(reason, toggle(rng.random_bool(0.9)))];
        let settings = Settings { responses: reasons.into_iter().collect(), ..Settings::default() };
        records.push(match rng.random_range(0..8) {
            0 => DecideRecord::org(at(second), org, OrgChange::Settings { position, settings: Some(settings) }),
            1 => DecideRecord::org(at(second), org, OrgChange::Shadow { position, switch: switch(Some(&[reason])) }),
            2 => DecideRecord::global(at(second), GlobalChange::Shadow { position, switch: switch(Some(&[reason])) }),
            3 => DecideRecord::user(at(second), org, user, UserChange::Directory { position, known: None }),
            _ => Anomaly {
                id: Id::of("a", &[&position.to_le_bytes()]),
                org: org.into(),
                user: user.into(),
                first_seen: at(second).minus(Span::from_secs(rng.random_range(0..9_000))),
                ..anomaly(second, &[reason])
            }
            .into(),
        });
    }
    let lines = |seed| -> Vec<String> {
        let decided = decided(drive(|| Decide::new(false, false), records.clone(), seed).0);
        decided.iter().map(|d| format!("{:?} {:?}", decision_line(d), d.response)).collect()
    };
    let first = lines(0);
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for outcome in Outcome::ALL {
        let name = format!("\\\"decision\\\":\\\"{}\\\"", outcome.name());
        kinds.insert(outcome.name(), first.iter().filter(|line| line.contains(&name)).count());
    }
    for kind in ["responded", "shadow", "already_answered", "disabled"] {
        assert!(kinds[kind] > 0, "the records reach {kind}: {kinds:?}");
    }
    for seed in 1..12 {
        assert_eq!(lines(seed), first, "seed {seed}");
    }
}

#[test]
fn the_line_of_a_decision_has_the_keys_of_the_contract() {
    let decided = decisions(vec![anomaly(100, &[Reason::ExcessiveDownloads, Reason::IpAddress, Reason::Tor]).into()]);
    let (anomaly_id, response_id) = (&decided[0].anomaly.id, &decided[0].response.as_ref().unwrap().id);
    assert_eq!(
        decision_line(&decided[0]).unwrap(),
        format!(
            r#"{{"anomaly_id":"{anomaly_id}","org":"E1","user":"U1","session_id":"S1","reason":["excessive_downloads","ip_address","tor"],"by_reason":{{"excessive_downloads":"disabled","tor":"responded"}},"decision":"responded","response_id":"{response_id}","date_create":1767225700}}"#
        )
    );
    let quiet = Anomaly { session: None, ..anomaly(101, &[Reason::ExcessiveDownloads]) };
    let decided = decisions(vec![quiet.into(), anomaly(102, &[Reason::Asn]).into()]);
    assert_eq!(
        decision_line(&decided[0]).unwrap(),
        format!(
            r#"{{"anomaly_id":"{}","org":"E1","user":"U1","session_id":null,"reason":["excessive_downloads"],"by_reason":{{"excessive_downloads":"disabled"}},"decision":"disabled","date_create":1767225701}}"#,
            decided[0].anomaly.id
        )
    );
    assert_eq!(decision_line(&decided[1]), None, "log-only");
}
