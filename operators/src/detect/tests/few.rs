//! Small counts, written out and against a slow version.

use super::*;
use crate::model::event::Method;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const HOUR: u64 = 3_600;

fn malware(id: impl ToString, secs: u64, file: &str) -> Act {
    let entity = (!file.is_empty()).then(|| file.to_owned());
    Act { action: Action::MaliciousFile, entity, ua: String::new(), ..act(id, secs).ip("127.0.0.1").session("") }
}

fn publish(id: impl ToString, secs: u64) -> Act {
    let method = Some("functions.workflows.publish");
    Act { action: Action::ApiCall(Method::Publish), method, ..act(id, secs) }
}

fn probe(id: impl ToString, secs: u64, person: &str) -> Act {
    let action = Action::ApiCall(Method::Credential);
    Act { kind: KeyKind::App, by_app: true, ok: false, action, person: person.to_owned(), ..act(id, secs) }
}

fn raised(acts: impl IntoIterator<Item = Act>) -> Vec<(String, Vec<Reason>)> {
    let mut world = World::without_volumes();
    world.run(acts);
    world.raised()
}

#[test]
fn three_malicious_files_within_a_day_raise() {
    let third = |id: &str| (id.to_owned(), vec![Reason::ExcessiveMalwareUploads]);
    let until = |secs| raised([malware("a", 0, "F1"), malware("b", 6 * HOUR, "F2"), malware("c", secs, "F3")]);
    assert_eq!(until(24 * HOUR - 1), [third("c")]);
    assert_eq!(until(24 * HOUR), []);
    let unnamed = || (0..3).map(|n| malware(n, n * HOUR, ""));
    assert_eq!(raised(unnamed()), [third("2")]);
    assert_eq!(raised(unnamed().map(|act| Act { kind: KeyKind::App, by_app: true, ..act })), [third("2")]);
    // One file scanned again and again, an app's files at its person, two files: nothing.
    assert_eq!(raised((0..30).map(|n| malware(n, n * HOUR / 2, ["F1", "F2"][n as usize % 2]))), []);
    assert_eq!(raised(unnamed().map(|act| Act { by_app: true, ..act })), []);
}

#[test]
fn thirty_publications_within_an_hour_raise_and_name_the_method() {
    let mut world = World::without_volumes();
    world.run((0..31).map(|n| publish(n, n * 120)));
    assert_eq!(world.raised(), [("29".to_owned(), vec![Reason::PotentialSpam])]);
    let evidence = &world.anomalies()[0].evidence;
    let shown: Vec<_> = evidence.iter().map(|one| (one.metric.as_str(), one.observed.as_str())).collect();
    assert_eq!(shown, [("publish_calls_1h", "30"), ("api_call_method", "functions.workflows.publish")]);
    assert_eq!((evidence[0].threshold.as_str(), evidence[0].threshold_source.as_str()), ("30", "fixed"));
    let last = Micros::from_secs(NOON + 29 * 120);
    assert_eq!((evidence[0].window_start, evidence[0].window_end), (Some(last.minus(Span::from_hours(1))), Some(last)));
    assert_eq!(raised((0..200).map(|n| publish(n, n * 180))), []);
    assert_eq!(raised((0..60).map(|n| Act { by_app: true, ..publish(n, n) })), []);
    assert_eq!(raised((0..60).map(|n| Act { by_app: true, kind: KeyKind::App, ..publish(n, n) })), []);
    assert_eq!(raised((0..60).map(|n| Act { action: Action::ApiCall(Method::Other), ..publish(n, n) })), []);
}

#[test]
fn an_app_that_fails_for_five_persons_or_twenty_times_raises() {
    let found = |id: &str| [(id.to_owned(), vec![Reason::UnexpectedCredentialTesting])];
    assert_eq!(raised((0..8).map(|n| probe(n, n * 60, &format!("U{n}")))), found("4"));
    assert_eq!(raised((0..30).map(|n| probe(n, n * 60, "U1"))), found("19"));
    // Both at once are one reason of one event.
    let both = (0..20).map(|n| probe(n, n, if n < 19 { "U0" } else { "U1" }));
    let with = (0..3).map(|n| probe(format!("x{n}"), 18, &format!("V{n}")));
    let acts: Vec<Act> = both.clone().take(16).chain(with).chain(both.skip(19)).collect();
    assert_eq!(raised(acts), found("19"));
    // A look every five minutes with one expired token, four persons, what succeeds, what a person does.
    assert_eq!(raised((0..100).map(|n| probe(n, n * 300, "U1"))), []);
    assert_eq!(raised((0..16).map(|n| probe(n, n * 60, &format!("U{}", n % 4)))), []);
    assert_eq!(raised((0..30).map(|n| Act { ok: true, ..probe(n, n, &format!("U{n}")) })), []);
    assert_eq!(raised((0..30).map(|n| Act { kind: KeyKind::User, by_app: false, ..probe(n, n, "U1") })), []);
}

#[test]
fn what_is_trusted_or_raised_already_is_not_held_against_another_session() {
    let mut world = World::without_volumes();
    world.trust("203.0.113.0/24");
    world.run((0..40).map(|n| publish(n, n)));
    world.run((40..69).map(|n| publish(n, n).ip("198.51.100.1")));
    assert!(world.anomalies().is_empty());
    assert_eq!(world.total(Total::SuppressedTrusted), 11);
    world.apply(&publish("more", 70).ip("198.51.100.1"));
    assert_eq!(world.raised_ids(), ["more"]);
    world.run((71..99).map(|n| publish(n, n).ip("198.51.100.1").session("s2")));
    assert_eq!(world.raised_ids(), ["more"]);
}

/// Which publications raise, from the list of all of them in order of application.
fn oracle(acts: &[Act]) -> Vec<String> {
    let (mut raised, mut cases) = (Vec::new(), BTreeMap::<Option<String>, Micros>::new());
    for (n, act) in acts.iter().enumerate() {
        let at = act.at.unwrap_or(act.time);
        cases.retain(|_, quiet_since| quiet_since.plus(Span::from_hours(1)) >= at);
        let held: Vec<u64> = acts[..=n]
            .iter()
            .filter(|other| other.session == act.session || !cases.contains_key(&other.session))
            .map(|other| other.time.secs())
            .collect();
        let own = act.time.secs();
        // The fullest hour ends with one of them.
        let ends = held.iter().filter(|end| (own..own + HOUR).contains(*end));
        let within = |end: u64| held.iter().filter(|t| **t <= end && **t + HOUR > end).count();
        let crowded = ends.copied().any(|end| within(end) >= 30);
        if crowded && cases.insert(act.session.clone(), at).is_none() {
            raised.push(act.id.clone());
        }
    }
    raised
}

#[test]
fn publications_agree_with_the_list() {
    let mut total = 0;
    for seed in 0..30u64 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let (sessions, pace) = (dice.random_range(1..4), dice.random_range(60..300));
        let mut secs = 0;
        let acts: Vec<Act> = (0..200)
            .map(|n| {
                secs += if dice.random_range(0..40) == 0 { 5_000 } else { dice.random_range(0..pace) };
                publish(n, secs).session(["", "a", "b"][dice.random_range(0..sessions)])
            })
            .collect();
        let mut world = World::without_volumes();
        world.run(acts.clone());
        assert_eq!(world.raised_ids(), oracle(&acts), "seed {seed}");
        total += world.anomalies().len();
    }
    assert!(total > 20, "the streams show something: {total}");
}

#[test]
fn persons_agree_with_the_list() {
    let mut total = 0;
    for seed in 0..60u64 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let mut secs = 0;
        let pace = dice.random_range(400..1_200);
        let acts: Vec<Act> = (0..100)
            .map(|n| {
                secs += dice.random_range(0..pace);
                probe(n, secs, &format!("U{}", dice.random_range(0..8)))
            })
            .collect();
        let crowded = |n: &usize| {
            let end = acts[*n].time.secs();
            let within = acts[..=*n].iter().filter(|other| other.time.secs() + HOUR > end);
            let mut persons: Vec<&str> = within.clone().map(|other| other.person.as_str()).collect();
            persons.sort_unstable();
            persons.dedup();
            persons.len() >= 5 || within.count() >= 20
        };
        let evidence = (0..acts.len()).filter(crowded).count() as u64;
        let mut world = World::without_volumes();
        world.run(acts.clone());
        world.advance(Micros(u64::MAX));
        assert_eq!(world.closed().iter().map(|closed| closed.count).sum::<u64>(), evidence, "seed {seed}");
        total += evidence;
    }
    assert!(total > 100, "the streams show something: {total}");
}

#[test]
fn a_late_flush_of_files_raises_only_what_arrival_in_time_would_have() {
    let mut found = 0;
    for seed in 0..200u64 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let mut hours: Vec<u64> = (0..dice.random_range(2..7)).map(|_| dice.random_range(0..72)).collect();
        hours.sort_unstable();
        let acts: Vec<Act> = hours.iter().enumerate().map(|(n, hour)| malware(n, hour * HOUR, "")).collect();
        let flush = 90 * HOUR;
        let mut flushed: Vec<Act> = acts
            .iter()
            .map(|act| if dice.random_range(0..3) == 0 { act.clone().late(flush) } else { act.clone() })
            .collect();
        flushed.sort_by_key(|act| (act.at.unwrap_or(act.time), act.time));
        let in_time = !raised(acts).is_empty();
        // Files are remembered for two windows: what is late by more than one may be missed, and nothing is made up.
        let late = !raised(flushed).is_empty();
        assert!(in_time || !late, "seed {seed}");
        found += u64::from(late);
    }
    assert!(found > 30, "the streams show something: {found}");
}

#[test]
fn a_flood_is_bounded() {
    let mut world = World::without_volumes();
    world.run((0..3_000).map(|n| publish(n, n / 3).session(&format!("s{}", n % 50))));
    let row = world.state.few.as_ref().expect("something was counted");
    assert!(row.weight() < 4_000, "{}", row.weight());
    assert_eq!(world.raised_ids()[0], "29");
}
