//! What admins do that is unexpected of them, and all that is not.

use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const DAY: u64 = 86_400;
const HOUR: u64 = 3_600;
const LAPTOP: (&str, &str, &str) = ("Chrome", "Windows", "131");
const STRANGER: (&str, &str, &str) = ("Firefox", "Linux", "128");

/// What an admin does on a day, so many hours after noon, on their laptop in the office.
fn at(day: u64, hours: i64, kind: u32) -> Act {
    let secs = (day * DAY).checked_add_signed(hours * HOUR as i64).expect("after the first noon");
    let action = if kind == 0 { Action::Other } else { Action::Administrative(kind) };
    let id = format!("{day}.{hours}.{kind}");
    Act { action, tls: Some("t1"), client: Some(LAPTOP), asn: Some(1), ..act(id, secs) }
}

fn elsewhere(act: Act) -> Act {
    Act { asn: Some(2), ..act.ip("198.51.100.7").session("s2") }
}

fn stranger(act: Act) -> Act {
    Act { tls: Some("t9"), client: Some(STRANGER), ua: "Mozilla/5.0 other".to_owned(), ..act.session("s3") }
}

/// An admin who has worked for so many days, around noon, and took action 1 on each of them.
fn admin(days: u64) -> World {
    let mut world = World::without_volumes();
    world.run((0..days).flat_map(|day| [at(day, 0, 1), at(day, 1, 0), at(day, 3, 0)]));
    assert!(world.anomalies().is_empty());
    world
}

/// The events that raised something for this reason; a strange network is one for others, too.
fn raised(world: &World) -> Vec<String> {
    let anomalies = world.anomalies().into_iter();
    let found = anomalies.filter(|anomaly| anomaly.reasons.contains(&Reason::UnexpectedAdminAction));
    found.map(|anomaly| anomaly.evidence[0].event_ids[0].clone()).collect()
}

fn found(acts: impl IntoIterator<Item = Act>) -> Vec<String> {
    let mut world = admin(8);
    world.run(acts);
    raised(&world)
}

#[test]
fn two_clues_raise_and_are_shown() {
    let mut world = admin(8);
    world.apply(&stranger(elsewhere(at(8, 8, 2))));
    assert_eq!(raised(&world), ["8.8.2"]);
    let evidence = world.anomalies()[0].evidence.iter();
    let evidence: Vec<_> = evidence.filter(|one| one.reason == Reason::UnexpectedAdminAction.code()).collect();
    let shown: Vec<_> = evidence.iter().map(|one| (one.metric.as_str(), one.observed.as_str())).collect();
    let expected = [
        ("admin_action", "Administrative(2)"),
        ("hour_of_day_utc", "20"),
        ("network", "198.51.100.7"),
        ("client", "Firefox Linux"),
    ];
    assert_eq!(shown, expected);
    assert!(evidence.iter().all(|one| one.samples == Some(8) && one.threshold_source == "history"));
    assert_eq!(found([stranger(elsewhere(at(8, 1, 2)))]), ["8.1.2"]);
    assert_eq!(found([stranger(at(8, 8, 2))]), ["8.8.2"]);
    assert_eq!(found([elsewhere(at(8, 8, 2))]), ["8.8.2"]);
    assert_eq!(found((2..8).map(|kind| elsewhere(at(8, 0, kind)))), ["8.0.6"]);
}

#[test]
fn one_clue_is_honest_life() {
    let none: [&str; 0] = [];
    // A night shift, a trip with one's own laptop, a new laptop at home, a migration, an hour at the edge of the day.
    assert_eq!(found((2..6).map(|kind| at(8, i64::from(kind) * 3, kind))), none);
    assert_eq!(found((2..6).map(|kind| elsewhere(at(8, 1, kind)))), none);
    assert_eq!(found((2..6).map(|kind| stranger(at(8, 1, kind)))), none);
    assert_eq!(found((2..20).map(|kind| at(8, 1, kind))), none);
    assert_eq!(found((2..20).map(|kind| elsewhere(at(8, i64::from(kind), 1)))), none);
    assert_eq!(found([elsewhere(at(8, -1, 2)), elsewhere(at(8, 4, 2))]), none);
    // An upgrade changes the fingerprint and not the measured client.
    assert_eq!(found([Act { tls: Some("t2"), ..at(8, 8, 2).session("s4") }]), none);
    // Everything strange, and the kind is usual; or it is no administrative action; or an app's.
    assert_eq!(found([stranger(elsewhere(at(8, 8, 1))), stranger(elsewhere(at(8, 8, 0)))]), none);
    assert_eq!(found([Act { by_app: true, ..stranger(elsewhere(at(8, 8, 2))) }]), none);
    // Without address or marks there are no clues.
    assert_eq!(found([Act { tls: None, client: None, asn: None, ua: String::new(), ..at(8, 8, 2).ip("") }]), none);
}

#[test]
fn an_admins_first_week_raises_nothing() {
    let after = |days| {
        let mut world = admin(days);
        world.apply(&stranger(elsewhere(at(days, 8, 2))));
        raised(&world).len()
    };
    assert_eq!([0, 1, 4, 5].map(after), [0, 0, 0, 1]);
    // Whom the directory calls an admin has a history before the first action of an admin.
    for is_admin in [false, true] {
        let mut world = World::without_volumes();
        world.state.standing = Some(Standing { is_admin, ..Standing::default() });
        world.run((0..6).map(|day| at(day, 0, 0)));
        assert_eq!(world.state.admin.is_some(), is_admin);
        world.apply(&stranger(elsewhere(at(6, 8, 2))));
        assert_eq!(raised(&world).len(), usize::from(is_admin));
    }
}

#[test]
fn what_a_thief_does_does_not_become_usual() {
    let mut world = admin(8);
    for day in 8..14 {
        world.run([at(day, 0, 1), stranger(elsewhere(at(day, 8, 2)))]);
    }
    assert_eq!(raised(&world).len(), 6);
    // What the admin does themselves does, after two days.
    let mut world = admin(8);
    world.run([at(8, 0, 2), at(9, 0, 2), stranger(elsewhere(at(10, 8, 2)))]);
    assert!(raised(&world).is_empty());
    // From Tor nothing is learned, and from a trusted network nothing is raised.
    let mut world = admin(8);
    world.run((8..12).map(|day| at(day, 0, 2).ip(TOR)));
    world.apply(&stranger(elsewhere(at(12, 8, 2))));
    assert_eq!(raised(&world), ["12.8.2"]);
    let mut world = admin(8);
    world.trust("198.51.100.0/24");
    world.apply(&stranger(elsewhere(at(8, 8, 2))));
    assert_eq!((raised(&world).len(), world.total(Total::SuppressedTrusted)), (0, 1));
}

#[test]
fn what_another_rule_has_a_case_of_does_not_become_usual_either() {
    // A kit at a cloud provider's is busy for a week before its first administrative action. Another rule says so from
    // the first day on, or is not there to say it.
    for edit in [None, Some(isolation::Edit::Without(Reason::IpAddress))] {
        let mut world = admin(8);
        world.settings.edit = edit;
        let clouds = ThreatList::CloudAsn([2].into());
        world.control("*", "cloud_asn", ControlValue::ThreatList(Some(clouds)));
        world.run((8..15).flat_map(|day| [at(day, 0, 1), stranger(elsewhere(at(day, 8, 0)))]));
        world.apply(&stranger(elsewhere(at(15, 8, 2))));
        assert_eq!(raised(&world), ["15.8.2"], "{edit:?}");
        // So it is with the user's own client there.
        world.run((16..23).flat_map(|day| [at(day, 0, 1), elsewhere(at(day, 8, 0))]));
        world.apply(&elsewhere(at(23, 8, 2)));
        assert_eq!(raised(&world), ["15.8.2", "23.8.2"], "{edit:?}");
    }
    // A trip with one's own laptop becomes usual, and so does a new laptop at home.
    let mut world = admin(8);
    world.run((8..12).flat_map(|day| [elsewhere(at(day, 8, 0)), stranger(at(day, 1, 0))]));
    world.apply(&stranger(elsewhere(at(12, 8, 2))));
    assert_eq!(raised(&world), [""; 0]);
}

/// Which actions are evidence, from the list of everything that happened before.
fn oracle(acts: &[Act]) -> Vec<String> {
    let (mut found, mut learned, mut fresh) = (Vec::new(), Vec::<&Act>::new(), Vec::<&Act>::new());
    let day = |act: &Act| act.time.secs() / DAY;
    let hour = |act: &Act| act.time.secs() / HOUR % 24;
    let mut quiet_since: BTreeMap<&Option<String>, u64> = BTreeMap::new();
    for act in acts {
        let secs = act.time.secs();
        quiet_since.retain(|_, since| *since + HOUR >= secs);
        let earlier: Vec<&&Act> = learned.iter().filter(|other| day(other) < day(act)).collect();
        let days = |of: &dyn Fn(&Act) -> bool| {
            let mut days: Vec<u64> = earlier.iter().filter(|other| of(other)).map(|other| day(other)).collect();
            days.dedup();
            days.len()
        };
        let is_new = matches!(act.action, Action::Administrative(_)) && days(&|other| other.action == act.action) < 2;
        let mut odd = false;
        // Another network than those that are known, with another client: nothing vouches for it.
        let here = |other: &Act| other.asn == act.asn;
        let networks = (0..12).map(Some);
        let knows_another = networks.into_iter().any(|asn| days(&|other| other.asn == asn) >= 3);
        let foreign = days(&here) < 3 && knows_another && days(&|other| other.tls == act.tls) < 3;
        if is_new {
            fresh.push(act);
            let held = |other: &&&Act| other.session == act.session || !quiet_since.contains_key(&other.session);
            let within = fresh.iter().filter(|other| other.time.secs() + HOUR > secs).filter(held);
            let kinds: std::collections::BTreeSet<String> = within.map(|act| format!("{:?}", act.action)).collect();
            let around = |step: u64| days(&|other| hour(other) == (hour(act) + step) % 24) >= 3;
            let clues = [
                ![23, 0, 1].into_iter().any(around),
                days(&|other| other.asn == act.asn) < 1,
                days(&|other| other.tls == act.tls) < 3,
                kinds.len() >= 5,
            ];
            odd = days(&|_| true) >= 5 && clues.into_iter().filter(|clue| *clue).count() >= 2;
        }
        if odd {
            found.push(act.id.clone());
            quiet_since.insert(&act.session, secs);
        } else if !foreign && !quiet_since.contains_key(&act.session) {
            learned.push(act);
        }
    }
    found
}

#[test]
fn admin_actions_agree_with_the_list() {
    let mut total = 0;
    for seed in 0..80u64 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let mut secs = 0;
        let acts: Vec<Act> = (0..300)
            .map(|n| {
                secs +=
                    if dice.random_range(0..4) == 0 { dice.random_range(0..70_000) } else { dice.random_range(1..900) };
                let action = match dice.random_range(0..40) {
                    kind @ 1..30 => Action::Administrative(kind),
                    _ => Action::Other,
                };
                let mut rarely = || dice.random_range(0..6) == 0;
                let tls = if rarely() { ["t2", "t3", "t4"][n as usize % 3] } else { "t1" };
                let asn = Some(if rarely() { 2 + n % 7 } else { 1 });
                // A session has one client, or that would be odd by itself.
                let session = format!("{}{}", if rarely() { "b" } else { "a" }, tls);
                Act { action, tls: Some(tls), asn, ..act(n, secs).session(&session) }
            })
            .collect();
        let mut world = World::without_volumes();
        // The directory calls them an admin, so that everything is history.
        world.state.standing = Some(Standing { is_admin: true, ..Standing::default() });
        let mut odd = Vec::new();
        for act in &acts {
            let before = world.evidence_of(Reason::UnexpectedAdminAction);
            world.apply(act);
            if world.evidence_of(Reason::UnexpectedAdminAction) > before {
                odd.push(act.id.clone());
            }
        }
        assert_eq!(odd, oracle(&acts), "seed {seed}");
        total += odd.len();
    }
    assert!(total > 100, "the streams show something: {total}");
}
