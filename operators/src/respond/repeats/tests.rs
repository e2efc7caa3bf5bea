//! Tests of `repeats`: written-out days, and a slow version of the rule over random ones.

use super::*;
use crate::decide::tests::{anomaly, at};
use crate::model::anomaly::Anomaly;
use crate::model::decision::{Response, Verdict};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn person(user: &str, affected: bool) -> Recipient {
    Recipient {
        user: user.into(),
        name: String::new(),
        email: Some(format!("{user}@example.org")),
        dm: None,
        locale: String::new(),
        affected,
        primary_owner: !affected,
        security_admin: false,
    }
}

fn responded(minute: u64, reason: Reason) -> Decision {
    let anomaly = Anomaly { id: Id::of("a", &[&minute.to_le_bytes()]), ..anomaly(60 * minute, &[reason]) };
    let response = Response {
        id: Id::of("r", &[&minute.to_le_bytes()]),
        reasons: vec![reason],
        verdict: Verdict::First,
        recipients: vec![person("A0", false), person("U1", true)],
    };
    Decision { by_reason: Default::default(), anomaly, response: Some(response), latches: false, escalation: None }
}

/// At which minutes admins are told of how many responses, given the minutes of the responses. The affected user is told
/// of each.
fn told(minutes: &[u64]) -> Vec<(u64, u64)> {
    let (mut row, mut timer, mut told) = (None, None::<Micros>, Vec::new());
    let minute = |at: Micros| at.since(self::at(0)).0 / 60_000_000;
    let fire = |row: &mut Option<Told>, timer: &mut Option<Micros>, told: &mut Vec<(u64, u64)>, before: Micros| {
        while let Some(now) = timer.filter(|at| *at < before) {
            *timer = None;
            let (repeats, last) = due(row, now).expect("nothing is due without a repeat");
            let recipients = &last.response.as_ref().expect("a response").recipients;
            assert_eq!(recipients.iter().map(|person| &*person.user).collect::<Vec<_>>(), ["A0"]);
            assert_eq!(repeats.at, now);
            told.push((minute(now), repeats.count));
        }
    };
    for now in minutes {
        let mut decision = responded(*now, Reason::Tor);
        fire(&mut row, &mut timer, &mut told, decision.anomaly.at);
        if let Some(at) = gather(&mut row, &mut decision) {
            assert_eq!(timer.replace(at), None, "one timer at a time");
        }
        let recipients = decision.response.expect("it stays a response").recipients;
        assert!(recipients.iter().any(|person| person.affected), "the affected user is told of each");
        if recipients.len() == 2 {
            told.push((*now, 1));
        }
    }
    fire(&mut row, &mut timer, &mut told, Micros(u64::MAX));
    told
}

#[test]
fn the_first_is_told_at_once_and_what_follows_in_one_message() {
    assert_eq!(told(&[0]), [(0, 1)]);
    assert_eq!(told(&[0, 10, 20, 59]), [(0, 1), (60, 3)]);
    assert_eq!(told(&[0, 60]), [(0, 1), (60, 1)], "the wait is over, nothing was gathered");
    assert_eq!(told(&[0, 10, 60]), [(0, 1), (60, 2)], "what comes when it is due is part of it");
    assert_eq!(told(&[0, 200]), [(0, 1), (200, 1)]);
    assert_eq!(told(&[0, 10, 80, 400]), [(0, 1), (60, 1), (300, 1), (1_260, 1)]);
    let hourly: Vec<u64> = (0..10).map(|hour| 61 * hour).collect();
    assert_eq!(told(&hourly), [(0, 1), (61, 1), (301, 3), (1_261, 5)]);
    let day = 24 * 60;
    assert_eq!(
        told(&[0, 5, day + 5, day + 10]),
        [(0, 1), (60, 1), (day + 5, 1), (day + 65, 1)],
        "a day of peace ends it"
    );
}

#[test]
fn a_message_on_repeats_says_why_over_all_of_them_and_shows_the_last() {
    let mut row = None;
    for (minute, reason) in [(0, Reason::Tor), (3, Reason::UnexpectedScraping), (5, Reason::Tor), (4, Reason::Tor)] {
        gather(&mut row, &mut responded(minute, reason));
    }
    let (repeats, last) = due(&mut row, at(3_600)).unwrap();
    assert_eq!((repeats.count, repeats.since), (3, at(180)));
    assert_eq!(repeats.reasons, [Reason::Tor, Reason::UnexpectedScraping]);
    assert_eq!(last.anomaly.id, responded(4, Reason::Tor).anomaly.id);
    assert_eq!(repeats.id, Id::of("repeats", &[responded(3, Reason::Tor).response.unwrap().id.as_str().as_bytes()]));
    assert_eq!(due(&mut row, at(9_000)), None, "once");
}

#[test]
fn where_nobody_else_is_told_nothing_waits() {
    let mut row = None;
    for minute in [0, 10, 20] {
        let mut decision = responded(minute, Reason::Tor);
        let recipients = &mut decision.response.as_mut().unwrap().recipients;
        recipients.retain(|person| person.affected);
        assert_eq!(gather(&mut row, &mut decision), None);
        assert_eq!(decision.response.unwrap().recipients.len(), 1);
    }
    assert_eq!(due(&mut row, at(3_600)), None);
}

#[test]
fn every_response_is_told_once_and_never_too_often() {
    let seed = 5;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for round in 0..300 {
        let mean = [5, 40, 300, 1_500][round % 4];
        let mut now = 0;
        let minutes: Vec<u64> = (0..rng.random_range(1..60))
            .map(|_| {
                now += rng.random_range(1..2 * mean);
                now
            })
            .collect();
        let told = told(&minutes);
        let note = format!("seed {seed}, round {round}: {minutes:?} gave {told:?}");
        assert_eq!(told.iter().map(|(_, count)| count).sum::<u64>(), minutes.len() as u64, "{note}");
        assert_eq!(told[0], (minutes[0], 1), "{note}");
        assert!(told.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 60), "{note}");
        for (minute, _) in &told {
            let day = told.iter().filter(|(other, _)| (*minute..minute + 24 * 60).contains(other)).count();
            assert!(day <= 5, "{note}");
        }
        let told_of = |response: u64| told.iter().any(|(at, _)| (response..=response + 16 * 60).contains(at));
        assert!(minutes.iter().all(|response| told_of(*response)), "{note}");
    }
}
