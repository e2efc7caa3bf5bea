//! Random control histories through the dataflow against a recomputation from scratch at every time.

use super::*;
use crate::decide::record::{Address, Body};
use crate::decide::tests::{anomaly, drive};
use crate::decide::{Decide, DecideOut};
use crate::limits::RECIPIENTS_MAX;
use crate::model::anomaly::Anomaly;
use crate::model::control::{Channels, DirectoryRow, Ended, ResponseSetting, Settings};
use crate::model::decision::Recipient;
use crate::model::reason::Reason;
use crate::respond::steps::{Performance, order, perform};
use crate::respond::templates::Templates;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use timely::dataflow::InputHandle;
use timely::dataflow::operators::{Input, Inspect, Probe};

const ORGS: [&str; 2] = ["E1", "E2"];
const REASONS: [Reason; 3] = [Reason::Tor, Reason::UnexpectedScraping, Reason::ExcessiveDownloads];
const END: u64 = 30;

fn record(at_ms: u64, position: u64, org: &str, key: &str, value: ControlValue) -> ControlRecord {
    ControlRecord { at: Micros::from_stamp(at_ms), position, org: org.into(), key: key.into(), value }
}

fn subset(rng: &mut impl Rng, of: &[&str]) -> BTreeSet<String> {
    of.iter().filter(|_| rng.random_bool(0.4)).map(|name| (*name).to_owned()).collect()
}

fn channels(rng: &mut impl Rng) -> Channels {
    Channels { email: rng.random_bool(0.5), dm: rng.random_bool(0.5) }
}

fn row(rng: &mut impl Rng) -> DirectoryRow {
    DirectoryRow {
        name: "Ada".into(),
        email: ["ada@example.org", "no address", "eve@example.org"][rng.random_range(0..3)].into(),
        is_primary_owner: rng.random_bool(0.3),
        roles: subset(rng, &[admins::SECURITY_ADMIN, "other"]),
        groups: subset(rng, &["S1", "S2", "S3"]),
        slack_user_id: rng.random_bool(0.3).then(|| "W9".to_owned()),
        ..DirectoryRow::default()
    }
}

fn settings(rng: &mut impl Rng) -> Settings {
    let response =
        |rng: &mut _| ResponseSetting { exclude_groups: subset(rng, &["S1", "S2", "S3"]), ..Default::default() };
    Settings {
        responses: REASONS.iter().map(|reason| (*reason, response(rng))).collect(),
        primary_owner: channels(rng),
        security_admins: channels(rng),
    }
}

/// A history in the order of the input: ascending times, several records at one time, deletions.
fn history(rng: &mut impl Rng) -> Vec<ControlRecord> {
    let mut at = 0;
    let mut records = Vec::new();
    for position in 0..rng.random_range(1..60) {
        at = (at + rng.random_range(0..3) * rng.random_range(0..2)).min(END);
        let org = ORGS[rng.random_range(0..2)];
        let kept = rng.random_bool(0.8);
        records.push(if rng.random_bool(0.7) {
            let user = format!("U{}", rng.random_range(0..4));
            record(at, position, org, &user, ControlValue::User(kept.then(|| row(rng))))
        } else {
            record(at, position, org, "aer", ControlValue::Settings(kept.then(|| settings(rng))))
        });
    }
    records
}

/// Who is exempt for what.
type Exempt = BTreeSet<(String, String, Reason)>;
/// Who is told, by org.
type Told = BTreeSet<(usize, Recipient)>;

fn exempt_from_scratch(records: &[ControlRecord], at: Micros) -> Exempt {
    let mut exempt = Exempt::new();
    let in_force = in_force(records, at);
    for (org, user, row) in in_force.iter().filter_map(|r| match &r.value {
        ControlValue::User(Some(row)) => Some((&r.org, &r.key, row)),
        _ => None,
    }) {
        for settings in in_force.iter().filter(|r| r.org == *org).filter_map(|r| match &r.value {
            ControlValue::Settings(Some(settings)) => Some(settings),
            _ => None,
        }) {
            for (reason, response) in &settings.responses {
                if response.exclude_groups.intersection(&row.groups).next().is_some() {
                    exempt.insert((org.clone(), user.clone(), *reason));
                }
            }
        }
    }
    exempt
}

fn told_from_scratch(records: &[ControlRecord], at: Micros) -> Told {
    let mut told = Told::new();
    let in_force = in_force(records, at);
    for settings in &in_force {
        let ControlValue::Settings(Some(set)) = &settings.value else { continue };
        for user in in_force.iter().filter(|r| r.org == settings.org) {
            let ControlValue::User(Some(row)) = &user.value else { continue };
            let admin = row.roles.contains("security_admin");
            let owner = row.is_primary_owner;
            let mail =
                (owner && set.primary_owner.email || admin && set.security_admins.email) && row.email.contains('@');
            let dm = owner && set.primary_owner.dm || admin && set.security_admins.dm;
            if mail || dm {
                let account = row.slack_user_id.clone().unwrap_or_else(|| user.key.clone());
                told.insert((
                    ORGS.iter().position(|org| *org == user.org).unwrap(),
                    Recipient {
                        user: user.key.clone(),
                        name: row.name.clone(),
                        email: mail.then(|| row.email.clone()),
                        dm: dm.then_some(account),
                        locale: row.locale.clone(),
                        affected: false,
                        primary_owner: owner && (set.primary_owner.email || set.primary_owner.dm),
                        security_admin: admin && (set.security_admins.email || set.security_admins.dm),
                    },
                ));
            }
        }
    }
    told
}

/// The records that hold at a time, by definition.
fn in_force(records: &[ControlRecord], at: Micros) -> Vec<ControlRecord> {
    let mut latest: BTreeMap<(bool, &str, &str), &ControlRecord> = BTreeMap::new();
    for record in records.iter().filter(|record| record.at <= at) {
        let slot = latest.entry((is_directory(record), &record.org, &record.key)).or_insert(record);
        if (slot.at, slot.position) < (record.at, record.position) {
            *slot = record;
        }
    }
    latest.into_values().cloned().collect()
}

/// What policy sends for a history: exemptions and all records for decide, in no order.
fn run(records: &[ControlRecord], workers: usize, seed: u64) -> (Vec<Exemption>, Vec<DecideRecord>) {
    let (send_exempt, exempt) = mpsc::channel();
    let (send_decide, decide) = mpsc::channel();
    let send = Arc::new(Mutex::new((send_exempt, send_decide)));
    let records = records.to_vec();
    timely::execute(timely::Config::process(workers), move |worker| {
        let mut input: InputHandle<u64, timely::container::CapacityContainerBuilder<Vec<ControlRecord>>> =
            InputHandle::new_with_builder();
        let (to_exempt, to_decide) = send.lock().unwrap().clone();
        let probe = worker.dataflow(|scope| {
            let policy = policy(scope.input_from(&mut input).map(Arc::new));
            policy.exemptions.inspect(move |change| to_exempt.send(change.clone()).unwrap());
            policy.decide.inspect(move |change| to_decide.send(change.clone()).unwrap()).probe().0
        });
        if worker.index() == 0 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut rest = records.as_slice();
            while !rest.is_empty() {
                let (batch, after) = rest.split_at(rng.random_range(1..=rest.len().min(9)));
                input.advance_to(batch[0].at.stamp());
                batch.iter().for_each(|record| input.send(record.clone()));
                rest = after;
                if rng.random_bool(0.6) {
                    input.flush();
                    worker.step();
                }
            }
        }
        input.close();
        while !probe.done() {
            worker.step();
        }
    })
    .unwrap()
    .join()
    .into_iter()
    .for_each(|worker| worker.unwrap());
    (exempt.into_iter().collect(), decide.into_iter().collect())
}

fn check_exemptions(records: &[ControlRecord], mut changes: Vec<Exemption>, note: &str) {
    changes.sort();
    let mut changes = changes.into_iter().peekable();
    let mut exempt = Exempt::new();
    for at in (0..=END).map(Micros::from_stamp) {
        while let Some(change) = changes.next_if(|change| change.at <= at) {
            assert_eq!(change.at, at, "{note}: {change:?} comes with the time of its cause");
            let who = (change.org.clone(), change.user.clone(), change.reason);
            let news = if change.on { exempt.insert(who) } else { exempt.remove(&who) };
            assert!(news, "{note}: {change:?} changes something");
        }
        assert_eq!(exempt, exempt_from_scratch(records, at), "{note}: at {at}");
    }
    assert_eq!(changes.next(), None, "{note}");
}

/// Follows what is told of admins, or of owners, through a history, and holds it against a recomputation at every time.
fn check_people(
    records: &[ControlRecord],
    changes: &[DecideRecord],
    from_scratch: fn(&[ControlRecord], Micros) -> Told,
    pick: fn(OrgChange) -> Option<(bool, Recipient)>,
    note: &str,
) {
    use engine::keyed::Record;
    let mut changes: Vec<_> = changes.iter().map(|record| (record.at(), record.clone())).collect();
    changes.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.order(y)));
    let mut changes = changes
        .into_iter()
        .filter_map(|(at, record)| match record.into_parts() {
            (address, Body::Org(change)) => pick(change).map(|(on, person)| (at, address, on, person)),
            _ => None,
        })
        .peekable();
    let mut told = Told::new();
    for at in (0..=END).map(Micros::from_stamp) {
        while let Some((when, address, on, person)) = changes.next_if(|change| change.0 <= at) {
            assert_eq!(when, at, "{note}");
            let org = ORGS.iter().position(|org| Address::org(org) == address).unwrap();
            let news = if on { told.insert((org, person)) } else { told.remove(&(org, person)) };
            assert!(news, "{note}");
        }
        assert_eq!(told, from_scratch(records, at), "{note}: at {at}");
    }
    assert!(changes.next().is_none(), "{note}");
}

/// The first owner by id whom mail reaches, of each org.
fn owners_from_scratch(records: &[ControlRecord], at: Micros) -> Told {
    let mut owners = BTreeMap::<String, Recipient>::new();
    for record in in_force(records, at) {
        let ControlValue::User(Some(row)) = &record.value else { continue };
        if row.is_primary_owner && row.email.contains('@') {
            owners.entry(record.org.clone()).or_insert_with(|| Recipient {
                user: record.key.clone(),
                name: row.name.clone(),
                email: Some(row.email.clone()),
                dm: None,
                locale: row.locale.clone(),
                affected: false,
                primary_owner: true,
                security_admin: false,
            });
        }
    }
    let place = |org: &str| ORGS.iter().position(|known| *known == org).unwrap();
    owners.into_iter().map(|(org, owner)| (place(&org), owner)).collect()
}

fn check(records: &[ControlRecord], exemptions: Vec<Exemption>, decide: &[DecideRecord], note: &str) {
    check_exemptions(records, exemptions, note);
    let admin = |change| match change {
        OrgChange::Admin { on, admin } => Some((on, admin)),
        _ => None,
    };
    check_people(records, decide, told_from_scratch, admin, note);
    let owner = |change| match change {
        OrgChange::Owner { on, owner } => Some((on, owner)),
        _ => None,
    };
    check_people(records, decide, owners_from_scratch, owner, note);
}

#[test]
fn changes_add_up_to_a_recomputation_at_every_time() {
    let mut seen = (0, 0);
    for seed in 0..40 {
        let records = history(&mut ChaCha8Rng::seed_from_u64(seed));
        for workers in [1, 2] {
            let (exemptions, decide) = run(&records, workers, seed);
            seen.0 += exemptions.len();
            seen.1 += decide.len();
            let note = format!("seed {seed}, {workers} workers");
            check(&records, exemptions, &decide, &note);
        }
    }
    assert!(seen.0 > 300 && seen.1 > 300, "the histories exercise both: {seen:?}");
}

#[test]
fn a_job_that_goes_on_derives_the_same_from_what_it_sends() {
    let mut left_out = 0;
    for seed in 100..140 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let records = history(&mut rng);
        let restored = rng.random_range(0..=END);
        let sent: Vec<_> = to_send(records.clone().into(), Some(restored)).collect();
        left_out += records.len() - sent.len();
        let (exemptions, decide) = run(&sent, 1, seed);
        let note = format!("seed {seed}, restored at {restored}");
        check(&records, exemptions, &decide, &note);
        assert_eq!(to_send(records.clone().into(), None).collect::<Vec<_>>(), records, "{note}");
        let later = |records: &[ControlRecord]| records.iter().filter(|it| it.at.stamp() > restored).count();
        assert_eq!(later(&sent), later(&records), "{note}");
    }
    assert!(left_out > 20, "{left_out}");
}

#[test]
fn no_more_admins_than_the_limit_are_told_and_owners_come_first() {
    let settings = Settings {
        primary_owner: Channels { email: false, dm: true },
        security_admins: Channels { email: false, dm: true },
        ..Settings::default()
    };
    let mut records = vec![record(0, 0, "E1", "aer", ControlValue::Settings(Some(settings)))];
    for number in 0..RECIPIENTS_MAX as u64 + 5 {
        let admin = DirectoryRow { roles: [admins::SECURITY_ADMIN.to_owned()].into(), ..DirectoryRow::default() };
        let value = ControlValue::User(Some(admin));
        records.push(record(0, number + 1, "E1", &format!("U{number:04}"), value));
    }
    let owner = DirectoryRow { is_primary_owner: true, ..DirectoryRow::default() };
    records.push(record(0, 999, "E1", "Z", ControlValue::User(Some(owner))));
    let (_, decide) = run(&records, 1, 0);
    let told: BTreeSet<String> = decide
        .into_iter()
        .filter_map(|record| match record.into_parts().1 {
            Body::Org(OrgChange::Admin { on: true, admin }) => Some(admin.user),
            _ => None,
        })
        .collect();
    assert_eq!(told.len(), RECIPIENTS_MAX);
    assert!(told.contains("Z") && told.contains("U0000") && !told.contains("U0204"));
}

/// From the directory and the settings to the steps of a response and the words in it: each of the four ways to wear the
/// hats with each of the sixteen ways to set the channels, for who is affected and for who is not.
#[test]
fn every_overlap_of_hats_and_channels_tells_people_and_not_hats() {
    let of = |bits: u64| {
        let on = |bit: u64| bits & 1 << bit != 0;
        (on(0), on(1), Channels { email: on(2), dm: on(3) }, Channels { email: on(4), dm: on(5) })
    };
    let (mut records, mut position) = (Vec::new(), 0);
    let mut add = |org: &str, key: &str, value| {
        position += 1;
        records.push(record(0, position, org, key, value));
    };
    for bits in 0..64 {
        let (owner, admin, primary_owner, security_admins) = of(bits);
        let org = format!("E{bits}");
        let settings = Settings { primary_owner, security_admins, ..Settings::default() };
        add(&org, "aer", ControlValue::Settings(Some(settings)));
        for (user, hats) in [("U1", true), ("U2", true), ("U3", false)] {
            let row = DirectoryRow {
                name: user.into(),
                email: format!("{user}@example.org"),
                is_primary_owner: hats && owner,
                roles: if hats && admin { [admins::SECURITY_ADMIN.to_owned()].into() } else { BTreeSet::new() },
                ..DirectoryRow::default()
            };
            add(&org, user, ControlValue::User(Some(row)));
        }
    }
    let (_, mut records) = run(&records, 1, 0);
    for bits in 0..64 {
        records.push(Anomaly { org: format!("E{bits}"), ..anomaly(100, &[Reason::Tor]) }.into());
    }
    let decided = drive(|| Decide::new(false, false), records, 1).0.into_iter().filter_map(|out| match out {
        DecideOut::Decision(decision) => Some(*decision),
        _ => None,
    });
    let decided: Vec<_> = decided.collect();
    assert_eq!(decided.len(), 64);
    for decision in decided {
        let bits = decision.anomaly.org[1..].parse().unwrap();
        let (owner, admin, by_owner, by_admin) = of(bits);
        let mail = owner && by_owner.email || admin && by_admin.email;
        let dm = owner && by_owner.dm || admin && by_admin.dm;
        let expected = [
            ("end_sessions", true),
            ("audit", true),
            ("mail:U1", true),
            ("dm:U1", dm),
            ("mail:U2", mail),
            ("dm:U2", dm),
        ];
        let expected: Vec<&str> = expected.iter().filter(|(_, told)| *told).map(|(step, _)| *step).collect();
        let order = order(&decision).unwrap();
        assert_eq!(order.steps, expected, "{bits:06b}");
        let told = (owner && (by_owner.email || by_owner.dm), admin && (by_admin.email || by_admin.dm));
        let hats = match told {
            (true, true) => "as Primary Owner and Security Admin.",
            (true, false) => "as Primary Owner.",
            _ => "as Security Admin.",
        };
        for step in &order.steps[2..] {
            let text = match perform(step, &order.payload, &[]).unwrap() {
                Performance::Mail(mail) => mail.message(&Templates::built_in()).text,
                Performance::Dm(dm) => dm.text(&Templates::built_in()),
                other => panic!("{other:?}"),
            };
            let affected = step.ends_with("U1");
            assert_eq!(text.contains("all your sessions were ended"), affected, "{bits:06b} {step}");
            assert_eq!(text.contains(hats), !affected, "{bits:06b} {step}");
        }
    }
}

#[test]
fn each_record_goes_where_it_is_used() {
    let switch = Some(Switch { on: true, reasons: None });
    let settled = Settled { user: "U1".into(), ended: Ended::No };
    let records = [
        (record(1, 1, "E1", "U1", ControlValue::User(None)), [false, true, true, false]),
        (record(1, 2, "E1", "aer", ControlValue::Settings(None)), [true, false, true, false]),
        (record(1, 3, "E1", "trusted", ControlValue::AllowList(None)), [true, false, true, false]),
        (record(1, 4, "E1", "T1", ControlValue::Workspace(Some(()))), [false; 4]),
        (record(1, 5, "E1", "shadow", ControlValue::Switch(switch.clone())), [false, false, true, false]),
        (record(1, 6, "*", "shadow", ControlValue::Switch(switch.clone())), [false, false, false, true]),
        (record(1, 7, "*", "hold", ControlValue::Switch(switch.clone())), [false; 4]),
        (record(1, 8, "E1", "resume", ControlValue::Switch(switch.clone())), [false, false, true, false]),
        (record(1, 8, "*", "resume", ControlValue::Switch(switch)), [false, false, false, true]),
        (record(1, 8, "E1", "resume", ControlValue::Switch(None)), [false; 4]),
        (record(1, 8, "E1", "r1", ControlValue::Outcome(settled)), [false, false, true, false]),
        (record(1, 9, "*", "tor_exit", ControlValue::ThreatList(None)), [true, false, false, false]),
    ];
    for (record, expected) in records {
        let goes = [
            for_detect(&record),
            is_directory(&record),
            for_decide(&record).is_some(),
            for_decide_everywhere(&record).is_some(),
        ];
        assert_eq!(goes, expected, "{record:?}");
        assert_eq!(hold(&record).is_some(), record.key == "hold");
    }
}

#[test]
fn the_kill_switch_is_of_an_org_or_of_all_and_off_when_it_is_deleted() {
    let switch = |on| ControlValue::Switch(Some(Switch { on, reasons: None }));
    let of = |org: &str, value| hold(&record(3, 7, org, "hold", value)).map(|hold| (hold.org, hold.on));
    assert_eq!(of("E1", switch(true)), Some((Some("E1".into()), true)));
    assert_eq!(of("*", switch(true)), Some((None, true)));
    assert_eq!(of("*", switch(false)), Some((None, false)));
    assert_eq!(of("E1", ControlValue::Switch(None)), Some((Some("E1".into()), false)));
}
