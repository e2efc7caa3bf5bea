//! What follows when a limit is reached, a response comes to nothing, or an org changes its mind.

use super::*;
use crate::model::change::What;
use crate::model::control::{AllowList, Ended};

fn shadow(second: u64, on: bool) -> DecideRecord {
    let switch = Some(Switch { on, reasons: None });
    DecideRecord::org(at(second), "E1", OrgChange::Shadow { position: second, switch })
}

fn resume(second: u64) -> DecideRecord {
    DecideRecord::org(at(second), "E1", OrgChange::Resume { at: at(second) })
}

fn person(user: &str) -> Recipient {
    Recipient {
        user: user.into(),
        name: String::new(),
        email: Some(format!("{user}@directory.example")),
        dm: None,
        locale: String::new(),
        affected: false,
        primary_owner: true,
        security_admin: false,
    }
}

fn owner(on: bool) -> DecideRecord {
    DecideRecord::org(at(0), "E1", OrgChange::Owner { on, owner: person("OWNER") })
}

fn admin() -> DecideRecord {
    DecideRecord::org(at(0), "E1", OrgChange::Admin { on: true, admin: person("ADMIN") })
}

fn settled(second: u64, user: &str, of: &Anomaly, ended: Ended) -> DecideRecord {
    let response = Id::of("response", &[of.id.as_str().as_bytes()]);
    DecideRecord::user(at(second), "E1", user, UserChange::Settled { response, ended })
}

/// Of each decision, whom it has told of which limit.
fn told(decided: &[Decision]) -> Vec<Option<(&'static str, Vec<String>)>> {
    let one = |decision: &Decision| {
        let escalation = decision.escalation.as_ref()?;
        Some((escalation.cause.name(), escalation.recipients.iter().map(|person| person.user.clone()).collect()))
    };
    decided.iter().map(one).collect()
}

#[test]
fn admins_are_told_once_a_day_that_somebody_is_left_in_peace() {
    let minutes = [0, 5, 6, 10, 11, 70, 71, 300, 24 * 60 + 4, 24 * 60 + 5, 24 * 60 + 6];
    let anomalies = || minutes.iter().map(|mins| again("U1", *mins).into());
    let decided = decisions(anomalies().chain([owner(true)]).collect());
    let names = names(&decided);
    let said = told(&decided);
    let first = Some(("loop_protected", vec!["OWNER".to_owned()]));
    for (n, (name, told)) in names.iter().zip(&said).enumerate() {
        // In minute 5 for the first time, and then not for a day.
        let due = n == 1 || n == 9;
        assert_eq!(*name == "loop_protected" && due, told.is_some(), "{n}: {name}");
        assert!(told.is_none() || *told == first);
    }
    assert!(said[1].is_some() && decided[1].response.is_none());
    // Who has themselves told of responses is told instead; nobody, where nobody can be.
    let decided = decisions(anomalies().chain([owner(true), admin()]).collect());
    assert_eq!(told(&decided)[1], Some(("loop_protected", vec!["ADMIN".to_owned()])));
    assert!(told(&decisions(anomalies().collect())).iter().all(Option::is_none));
    assert!(told(&decisions(anomalies().chain([owner(true), owner(false)]).collect())).iter().any(Option::is_some));
}

#[test]
fn a_dry_run_tells_nobody_and_stops_nothing() {
    let mut records: Vec<DecideRecord> = (0..3).map(|mins| again("U1", mins).into()).collect();
    records.extend((0..15).map(|n| again(&format!("U{n:03}"), 100 + n).into()));
    records.extend([shadow(0, true), owner(true), admin()]);
    let decided = said(records, true).0;
    assert!(names(&decided).contains(&"loop_protected") && names(&decided).contains(&"rate_limited"));
    assert!(decided.iter().all(|decision| decision.escalation.is_none() && !decision.latches));
}

/// Anomalies of so many people, a minute each from minute `from` on.
fn people(from: u64, count: u64) -> impl Iterator<Item = DecideRecord> {
    (0..count).map(move |n| again(&format!("P{from}-{n:03}"), from + n).into())
}

#[test]
fn a_limit_of_the_org_is_told_once_an_hour() {
    let records = people(0, 15).chain(people(40, 20)).chain(people(100, 30)).chain([owner(true)]);
    let decided = decisions(records.collect());
    let minutes: Vec<u64> = decided
        .iter()
        .filter(|decision| decision.escalation.is_some())
        .map(|decision| decision.anomaly.at.since(at(0)).0 / 60_000_000)
        .collect();
    assert_eq!(minutes.first(), Some(&10), "the eleventh person");
    assert!(minutes.windows(2).all(|pair| pair[1] - pair[0] >= 60) && minutes.len() > 1, "{minutes:?}");
    assert!(decided.iter().all(|decision| !decision.latches));
}

#[test]
fn a_latched_stop_lasts_until_it_is_lifted() {
    let everybody = |mins: u64| people(0, 11).chain(people(mins, 1));
    let last = |records: Vec<DecideRecord>| {
        let decided = said(records, true).0;
        let names = names(&decided);
        assert_eq!(names[9..11], ["responded", "rate_limited"]);
        names.last().copied().unwrap()
    };
    // A day later there is room, but nobody has said so; nor does it help to have been answered before.
    assert_eq!(last(everybody(24 * 60).collect()), "rate_limited");
    assert_eq!(last(people(0, 11).chain([by_a_stranger(again("P0-000", 20)).into()]).collect()), "rate_limited");
    assert_eq!(names(&said(everybody(24 * 60).collect(), false).0).last(), Some(&"responded"));
    // Lifted, by the org's switch or by that of all; before it fell that says nothing.
    let lifts: [fn(u64) -> DecideRecord; 2] =
        [resume, |second| DecideRecord::global(at(second), GlobalChange::Resume { at: at(second) })];
    for lift in lifts {
        assert_eq!(last(everybody(20).chain([lift(11 * 60)]).collect()), "responded");
        assert_eq!(last(everybody(20).chain([lift(9 * 60)]).collect()), "rate_limited");
        assert_eq!(last(everybody(20).chain([lift(10 * 60)]).collect()), "rate_limited", "at the very time");
    }
    // The hour begins anew: ten more, and then the stop falls again, and is told of again.
    let records = people(0, 12).chain(people(15, 12)).chain([resume(14 * 60), owner(true)]);
    let decided = said(records.collect(), true).0;
    let expected = [vec!["responded"; 10], vec!["rate_limited"; 2]].concat();
    assert_eq!(names(&decided), [&expected[..], &expected[..]].concat());
    let told: Vec<bool> = decided.iter().map(|decision| decision.escalation.is_some()).collect();
    assert_eq!(told.iter().filter(|told| **told).count(), 2);
    assert!(told[10] && told[22] && decided[10].escalation.as_ref().unwrap().latched);
}

#[test]
fn what_came_to_nothing_does_not_count_and_what_is_not_known_gives_no_peace() {
    let first = again("U1", 0);
    // The same session, again after an hour.
    let goes_on =
        |mins: u64| Anomaly { first_seen: first.first_seen, session: first.session.clone(), ..again("U1", mins) };
    let after = |ended: Option<Ended>| {
        let mut records: Vec<DecideRecord> = vec![first.clone().into(), goes_on(90).into()];
        records.extend(ended.map(|ended| settled(80 * 60, "U1", &first, ended)));
        let decided = decisions(records);
        let verdict = decided[1].response.as_ref().map(|response| response.verdict);
        (names(&decided)[1], verdict)
    };
    assert_eq!(after(None), ("already_answered", None));
    assert_eq!(after(Some(Ended::No)), ("responded", Some(Verdict::First)));
    assert_eq!(after(Some(Ended::Unknown)), ("responded", Some(Verdict::Repeat)), "it may have been ended: it counts");
    // It was done after all, by hand: what began since goes on, what was there before is over.
    let other = |mins: u64, seen: u64| Anomaly { first_seen: at(seen * 60), ..again("U1", mins) };
    let records = |seen| {
        vec![
            first.clone().into(),
            settled(10 * 60, "U1", &first, Ended::No),
            settled(60 * 60, "U1", &first, Ended::AfterAll),
            other(180, seen).into(),
        ]
    };
    assert_eq!(names(&decisions(records(59)))[1], "already_answered");
    assert_eq!(names(&decisions(records(61)))[1], "responded");
    // Another's response, or one that nobody knows, changes nothing.
    let stranger = [first.clone().into(), settled(10, "U2", &first, Ended::No), goes_on(90).into()];
    assert_eq!(names(&decisions(stranger.to_vec()))[1], "already_answered");
    let unknown = [first.clone().into(), settled(10, "U1", &goes_on(5), Ended::No), goes_on(90).into()];
    assert_eq!(names(&decisions(unknown.to_vec()))[1], "already_answered");
}

#[test]
fn the_limit_of_the_org_counts_who_was_signed_out() {
    let failed = by_a_stranger(again("P0-003", 3));
    let mut records: Vec<DecideRecord> = people(0, 3).chain([failed.clone().into()]).collect();
    records.extend((4..12).map(|n| again(&format!("P0-{n:03}"), n).into()));
    records.push(settled(10 * 60 - 30, "P0-003", &failed, Ended::No));
    let expected = [vec!["responded"; 11], vec!["rate_limited"]].concat();
    assert_eq!(names(&decisions(records.clone())), expected);
    // Who had been answered before in the same hour still counts.
    records.push(again("P0-003", 2).into());
    let names = names(&decisions(records));
    assert_eq!(names.iter().filter(|name| **name == "responded").count(), 11);
    assert_eq!(names[10..], ["responded", "rate_limited", "rate_limited"]);
}

#[test]
fn an_org_that_changes_its_mind_takes_back_what_it_ordered() {
    let order = anomaly(10, &[Reason::Tor, Reason::UnexpectedScraping]);
    let id = Id::of("response", &[order.id.as_str().as_bytes()]);
    let both = |setting: ResponseSetting| {
        settings(20, 1, &[(Reason::Tor, setting.clone()), (Reason::UnexpectedScraping, setting)])
    };
    let table: Vec<(&str, Vec<DecideRecord>, Option<Outcome>)> = vec![
        ("nothing", vec![], None),
        ("both off", vec![both(toggle(false))], Some(Outcome::Disabled)),
        ("one off", vec![settings(20, 1, &[(Reason::Tor, toggle(false))])], None),
        ("excluded", vec![both(excluding("U1"))], Some(Outcome::ExcludedUser)),
        ("another excluded", vec![both(excluding("U2"))], None),
        ("a group for one", vec![exempt(20, true, Reason::Tor)], None),
        (
            "a group for both",
            vec![exempt(20, true, Reason::Tor), exempt(20, true, Reason::UnexpectedScraping)],
            Some(Outcome::ExcludedGroup),
        ),
        (
            "one by group, one off",
            vec![exempt(20, true, Reason::Tor), settings(20, 1, &[(Reason::UnexpectedScraping, toggle(false))])],
            Some(Outcome::ExcludedGroup),
        ),
        ("dry", vec![shadow(20, true)], Some(Outcome::Shadow)),
        ("a day later", vec![shadow(20 + 86_400, true)], None),
    ];
    for (name, changes, why) in table {
        let (decided, words) = said([vec![order.clone().into()], changes].concat(), false);
        assert_eq!(names(&decided), ["responded"], "{name}");
        let withdrawn: Vec<(&Id, Outcome)> = words
            .iter()
            .filter_map(|word| match word {
                DecideOut::Withdrawal(it) => Some((&it.id, it.why)),
                _ => None,
            })
            .collect();
        assert_eq!(withdrawn, why.map(|why| (&id, why)).into_iter().collect::<Vec<_>>(), "{name}");
    }
    // Once, however often it changes.
    let off = |second| settings(second, second, &[(Reason::Tor, toggle(false))]);
    let records = vec![anomaly(10, &[Reason::Tor]).into(), off(20), settings(30, 30, &[]), off(40)];
    let withdrawals = said(records, false).1.into_iter().filter(|word| matches!(word, DecideOut::Withdrawal(_)));
    assert_eq!(withdrawals.count(), 1);
}

#[test]
fn what_an_org_changes_is_told_once_and_at_its_time() {
    let list = AllowList { trusted_asn: [64_500].into(), ..AllowList::default() };
    let allow =
        |second: u64, list| DecideRecord::org(at(second), "E1", OrgChange::AllowList { position: second, list });
    let records = vec![
        settings(10, 1, &[(Reason::Tor, excluding("U1"))]),
        settings(20, 2, &[(Reason::Tor, excluding("U1"))]),
        settings(30, 3, &[]),
        allow(40, Some(list.clone())),
        allow(50, Some(list)),
        allow(60, None),
    ];
    let words = said(records, false).1;
    let told: Vec<(u64, &What)> = words
        .iter()
        .filter_map(|word| match word {
            DecideOut::Change(change) => Some((change.at.since(at(0)).0 / 1_000_000, &change.what)),
            _ => None,
        })
        .collect();
    let [
        (10, What::User(user, step)),
        (30, What::User(again, back)),
        (40, What::AllowList(_)),
        (60, What::AllowList(_)),
    ] = &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!((user, again), (&"U1".to_owned(), &"U1".to_owned()));
    assert_eq!((&step.to, &back.from), (&back.from, &step.to));
}

#[test]
fn events_that_happened_before_a_reset_do_not_sign_out_again() {
    // They come late, in sessions that nobody has seen; what they tell of was over when the sessions were ended.
    let late = |n: u64| {
        let id = Id::of("late", &[&n.to_le_bytes()]);
        Anomaly {
            id,
            time: at(600 - n),
            first_seen: at(610 + n),
            session: Some(format!("L{n}")),
            ..by_a_stranger(anomaly(610 + n, &[Reason::Tor]))
        }
    };
    let reset = Anomaly { first_seen: at(590), ..anomaly(600, &[Reason::Tor]) };
    let records: Vec<DecideRecord> = std::iter::once(reset.into()).chain((0..50).map(|n| late(n).into())).collect();
    let decided = decisions(records);
    let expected = [vec!["responded"], vec!["already_answered"; 50]].concat();
    assert_eq!(names(&decided), expected);
}

#[test]
fn who_feeds_events_ends_no_more_sessions_than_the_budgets_allow_and_none_of_another_org() {
    for seed in 0..6u64 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let mut records = Vec::new();
        // Of E1 whatever the attacker likes, for two days; E2 lives quietly.
        for n in 0..4_000u64 {
            let second = dice.random_range(0..2 * 86_400);
            let known = dice.random_bool(0.5);
            let mark = |kind| Mark { kind, known };
            let reason = [Reason::Tor, Reason::UnexpectedScraping][dice.random_range(0..2)];
            records.push(
                Anomaly {
                    id: Id::of("fed", &[&n.to_le_bytes()]),
                    user: format!("U{}", dice.random_range(0..40)),
                    session: Some(format!("S{n}")),
                    first_seen: at(second),
                    marks: vec![mark(MarkKind::Tls), mark(MarkKind::Network)],
                    ..anomaly(second, &[reason])
                }
                .into(),
            );
        }
        records.push(Anomaly { id: Id::of("e2", &[]), org: "E2".into(), ..anomaly(86_400, &[Reason::Tor]) }.into());
        let decided = decisions(records);
        let answered: Vec<(&str, &str, Micros, Verdict)> = decided
            .iter()
            .filter_map(|d| Some((&*d.anomaly.org, &*d.anomaly.user, d.anomaly.at, d.response.as_ref()?.verdict)))
            .collect();
        assert_eq!(answered.iter().filter(|(org, ..)| *org == "E2").count(), 1, "seed {seed}: it is answered as ever");
        assert!(answered.len() > 50, "seed {seed}");
        for (org, user, now, _) in &answered {
            let within =
                |span| answered.iter().filter(move |(o, _, at, _)| o == org && at <= now && now.since(*at) < span);
            let of_user = within(Span::from_hours(24)).filter(|(_, other, ..)| other == user);
            assert!(of_user.clone().count() <= 10, "seed {seed}: {user}");
            let people: std::collections::BTreeSet<_> =
                within(Span::from_hours(1)).map(|(_, other, ..)| other).collect();
            assert!(people.len() <= 10, "seed {seed}: {people:?}");
        }
    }
}
