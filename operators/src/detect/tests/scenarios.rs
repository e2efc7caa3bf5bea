//! What each rule says of written-out activity, and the life of a case.

use super::*;
use crate::limits::PRIOR_SAMPLES;

const DOWNLOADS: Subject = Subject { metric: Metric::FileDownloads, class: Class::ALL_HOURS };
const LAPTOP: &str = "laptop";
const CHROME: Option<(&str, &str, &str)> = Some(("Chrome", "Windows", "131"));

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn totals_and_their_names_agree() {
    assert_eq!(Detect::TOTALS.len(), Total::CasesEvicted as usize + 1);
    assert_eq!(Detect::TOTALS[Total::SuppressedTrusted as usize], "suppressed_trusted");
}

#[test]
fn tor_is_raised_once_per_session() {
    let mut world = World::new();
    world.run([
        act("a", 0),
        act("b", 10).ip(TOR),
        act("c", 20).ip(TOR),
        act("d", 30).ip(TOR).session("s2"),
        act("e", 40).ip(TOR).session(""),
        act("f", 50).ip(TOR).session(""),
    ]);
    assert_eq!(world.raised_ids(), ids(&["b", "d", "e"]));
    let first = world.anomalies()[0].clone();
    assert_eq!((first.previous_ip_address.as_str(), first.ip_address.as_str()), (HOME, TOR));
    assert_eq!(first.first_seen, Micros::from_secs(NOON));
    assert_eq!(first.evidence[0].threshold_source, "threat_list:tor_exit");
    assert_eq!(first.previous_ua, "");
}

#[test]
fn a_mapped_address_is_the_same_exit_node() {
    let mut world = World::new();
    world.run([act("a", 0).ip("::ffff:185.220.101.7")]);
    assert_eq!(world.raised_ids(), ids(&["a"]));
}

#[test]
fn a_list_holds_from_when_it_applied() {
    let mut world = World::new();
    world.apply(&act("a", 0).ip("198.51.100.1"));
    let exits = ["198.51.100.1".parse().expect("an address")].into();
    world.control("*", "tor_exit", ControlValue::ThreatList(Some(ThreatList::TorExit(exits))));
    world.run([act("b", 1).ip("198.51.100.1"), act("c", 2).ip(TOR).session("s2")]);
    world.control("*", "tor_exit", ControlValue::ThreatList(None));
    world.apply(&act("d", 3).ip("198.51.100.1").session("s3"));
    assert_eq!(world.raised_ids(), ids(&["b"]));
}

#[test]
fn a_trusted_network_raises_nothing_and_that_is_counted() {
    let mut world = World::new();
    world.trust("185.220.0.0/16");
    world.run([act("a", 0).ip(TOR), act("b", 1)]);
    assert!(world.anomalies().is_empty());
    assert_eq!((world.total(Total::SuppressedTrusted), world.total(Total::Applied)), (1, 2));
    let list = AllowList { trusted_asn: [64500].into(), ..AllowList::default() };
    world.control("E1", "trusted", ControlValue::AllowList(Some(list)));
    world.run([Act { asn: Some(64500), ..act("c", 2).ip(TOR) }, Act { asn: Some(1), ..act("d", 3).ip(TOR) }]);
    assert_eq!(world.raised_ids(), ids(&["d"]));
    world.control("E1", "trusted", ControlValue::AllowList(None));
    world.apply(&Act { asn: Some(64500), ..act("e", 4).ip(TOR).session("s9") });
    assert_eq!(world.raised_ids(), ids(&["d", "e"]));
}

#[test]
fn an_app_on_tor_is_no_case_of_the_persons_session() {
    let mut world = World::new();
    world.run([act("a", 0), Act { by_app: true, ..act("b", 1).ip(TOR) }, act("c", 2).ip(TOR)]);
    assert_eq!(world.raised_ids(), ids(&["b", "c"]));
    assert!(world.anomalies()[0].by_app && !world.anomalies()[1].by_app);
    assert!(world.state.sessions.get(key::hash(b"s1")).is_some());
}

/// A session's events: (second, device, TLS, version, network, stamp), and which of them raise.
fn fingerprints(rows: &[(u64, &'static str, &'static str, &'static str, u32, u64)]) -> Vec<usize> {
    let mut world = World::new();
    for (row, (secs, device, tls, version, asn, cookie)) in rows.iter().enumerate() {
        let client = (!version.is_empty()).then_some(("Chrome", "Windows", *version));
        world.apply(&Act {
            device: (!device.is_empty()).then_some(device),
            tls: (!tls.is_empty()).then_some(tls),
            client,
            asn: Some(*asn),
            cookie: (*cookie > 0).then_some(*cookie),
            ..act(row, *secs)
        });
    }
    world.raised_ids().iter().map(|id| id.parse().expect("a row")).collect()
}

#[test]
fn a_stale_stamp_from_elsewhere_after_the_grace_raises() {
    let own = |secs, cookie| (secs, LAPTOP, "t1", "131", 1, cookie);
    let thief = |secs, cookie| (secs, LAPTOP, "t1", "131", 2, cookie);
    assert_eq!(fingerprints(&[own(0, 100), own(600, 700), thief(720, 100)]), [0usize; 0]);
    assert_eq!(fingerprints(&[own(0, 100), own(600, 700), thief(721, 100)]), [2]);
    // The session's own client may: its rotation was lost. And so may whoever moved the session along.
    assert_eq!(fingerprints(&[own(0, 100), own(600, 700), own(721, 100), own(5_000, 100)]), [0usize; 0]);
    assert_eq!(fingerprints(&[own(0, 100), thief(600, 700), thief(900, 100)]), [0usize; 0]);
    // The superseding stamp need not be the newest: what counts is since when there was any newer one.
    let rotating = [own(0, 100), own(60, 160), own(120, 220), own(180, 280), thief(185, 100)];
    assert_eq!(fingerprints(&rotating), [4]);
    // Who presents the newest is nothing odd, wherever they are.
    assert_eq!(fingerprints(&[own(0, 100), thief(600, 100), own(900, 100), thief(901, 950)]), [0usize; 0]);
}

#[test]
fn when_the_owner_is_stale_the_others_return_shows_two_holders() {
    let own = |secs, cookie| (secs, LAPTOP, "t1", "131", 1, cookie);
    let thief = |secs, cookie| (secs, LAPTOP, "t1", "131", 2, cookie);
    assert_eq!(fingerprints(&[own(0, 100), thief(600, 700), own(721, 100)]), [0usize; 0]);
    assert_eq!(fingerprints(&[own(0, 100), thief(600, 700), own(721, 100), thief(730, 700)]), [3]);
}

#[test]
fn a_change_of_client_that_no_upgrade_explains_raises() {
    let at = |secs, device, tls, version| (secs, device, tls, version, 1, 0);
    let none = [0usize; 0];
    assert_eq!(fingerprints(&[at(0, LAPTOP, "t1", "131"), at(9, "other", "t1", "131")]), [1]);
    assert_eq!(fingerprints(&[at(0, LAPTOP, "t1", "131"), at(9, LAPTOP, "t2", "131")]), [1]);
    assert_eq!(fingerprints(&[at(0, LAPTOP, "t1", "131"), at(9, LAPTOP, "t2", "132")]), none);
    assert_eq!(fingerprints(&[at(0, LAPTOP, "t1", "131"), at(9, LAPTOP, "t1", "132")]), none);
    assert_eq!(fingerprints(&[at(0, "", "t1", ""), at(9, "", "", ""), at(10, LAPTOP, "t1", "131")]), none);
    // An upgrade goes one way: stragglers of the old are tolerated for the grace.
    let old = |secs| at(secs, LAPTOP, "t1", "131");
    let new = |secs| at(secs, LAPTOP, "t2", "132");
    assert_eq!(fingerprints(&[old(0), new(100), old(110), new(111), old(220), new(225)]), none);
    assert_eq!(fingerprints(&[old(0), new(100), old(221), new(225), old(226)]), [2]);
    // A further version that has the first one's fingerprint is a further upgrade.
    assert_eq!(fingerprints(&[old(0), new(100), at(900, LAPTOP, "t1", "133")]), none);
    // Two changes within one second: their order cannot be told.
    assert_eq!(fingerprints(&[old(0), at(0, "other", "t1", "131"), old(0)]), none);
    assert_eq!(fingerprints(&[old(0), at(0, "other", "t1", "131"), at(1, "other", "t1", "131")]), [2]);
}

#[test]
fn a_measured_system_that_changes_raises_and_says_so() {
    let mut world = World::new();
    world.run([
        Act { client: CHROME, ..act("a", 0) },
        Act { client: Some(("Chrome", "Linux", "131")), ua: "other".to_owned(), ..act("b", 60) },
        Act { client: CHROME, ..act("c", 61) },
    ]);
    assert_eq!(world.raised(), [("b".to_owned(), vec![Reason::SessionFingerprint])]);
    let anomaly = world.anomalies()[0];
    assert_eq!(
        (anomaly.evidence[0].metric.as_str(), anomaly.evidence[0].observed.as_str()),
        ("client", "Chrome Linux")
    );
    assert_eq!(anomaly.previous_ua, act("a", 0).ua);
}

#[test]
fn the_thief_and_the_owner_in_turn_are_one_case() {
    let mut world = World::new();
    world.apply(&Act { device: Some("a"), ..act(0, 0) });
    world.run((1..50).map(|n| Act { device: Some(if n % 2 == 0 { "a" } else { "b" }), ..act(n, n * 60) }));
    assert_eq!(world.raised_ids(), ids(&["1"]));
    world.advance(Micros(u64::MAX));
    assert_eq!(world.closed()[0].count, 49);
}

#[test]
fn downloads_raise_when_the_count_crosses_in_any_hour() {
    let mut world = World::new();
    world.run((0..12).map(|n| download(n, n * 60)));
    assert_eq!(world.raised(), [("10".to_owned(), vec![Reason::ExcessiveDownloads])]);
    let evidence = &world.anomalies()[0].evidence[0];
    assert_eq!((evidence.observed.as_str(), evidence.threshold.as_str()), ("11", "10"));
    assert_eq!((evidence.threshold_source.as_str(), evidence.samples), ("prior", Some(0)));
    assert_eq!(evidence.window_start, Some(Micros::from_secs(NOON + 11 * 60 - 3_600)));
    // The eleventh an hour after the first, failed ones, ones by an app: none of them crosses.
    let mut world = World::new();
    world.run((0..10).map(|n| download(n, n)));
    world.apply(&Act { ok: false, ..download("failed", 100) });
    world.apply(&Act { by_app: true, ..download("app", 101) });
    world.run([act("other", 102), download("later", 3_600)]);
    assert!(world.anomalies().is_empty());
}

#[test]
fn what_one_session_was_raised_for_is_not_held_against_the_next() {
    let mut world = World::new();
    world.run((0..30).map(|n| download(n, n)));
    world.run((30..40).map(|n| download(n, n).session("s2")));
    assert_eq!(world.raised_ids(), ids(&["10"]));
    // But it is when that one goes on as well.
    world.apply(&download(40, 41).session("s2"));
    assert_eq!(world.raised_ids(), ids(&["10", "40"]));
    // Spread over many sessions it still crosses.
    let mut world = World::new();
    world.run((0..11).map(|n| download(n, n).session(&format!("s{n}"))));
    assert_eq!(world.raised_ids(), ids(&["10"]));
}

#[test]
fn the_threshold_in_force_counts_and_habit_raises_it_within_the_cap() {
    let taught = |value| taught(value, 500);
    let mut world = World::new();
    world.references.threshold(taught(20));
    world.run((0..21).map(|n| download(n, n)));
    assert_eq!(world.raised_ids(), ids(&["20"]));
    assert_eq!(world.anomalies()[0].evidence[0].threshold_source, "org");
    // Eighteen a day for six days: the bar is one and a half times that, here under the cap of twice 20.
    let mut world = World::new();
    world.references.threshold(taught(20));
    for day in 0..7 {
        world.run((0..18).map(|n| download(format!("{day}.{n}"), day * 86_400 + n)));
    }
    let last = 7 * 86_400;
    world.run((0..28).map(|n| download(format!("last.{n}"), last + n)));
    assert_eq!(world.raised_ids(), ids(&["last.27"]));
    assert_eq!(world.anomalies()[0].evidence[0].threshold_source, "habit");
    world.references.threshold(taught(5));
    assert_eq!(world.state.volumes.as_mut().expect("there are").open(Metric::FileDownloads).bar(bar(5)).value, 10);
}

fn taught(value: u64, samples: u64) -> Threshold {
    Threshold { at: Micros::ZERO, org: "E1".to_owned(), subject: DOWNLOADS, value, samples }
}

fn bar(value: u64) -> crate::detect::signal::Bar {
    crate::detect::signal::Bar { value, source: crate::detect::signal::BarSource::Org(Class::ALL_HOURS), samples: 1 }
}

#[test]
fn the_days_sample_moves_up_and_is_taken_back_with_a_case() {
    let mut world = World::new();
    world.state.first_seen = Some(Micros::ZERO);
    world.references.threshold(taught(10, PRIOR_SAMPLES));
    world.run((0..3).map(|n| download(n, n * 4_000)));
    assert_eq!(world.moves(), [(None, Some(1))]);
    world.run((3..20).map(|n| download(n, 8_000 + n)));
    assert_eq!(world.moves().last(), Some(&(Some(10), None)));
    world.run((20..30).map(|n| download(n, 9_000 + n)));
    assert_eq!(world.moves().last(), Some(&(Some(10), None)));
    world.apply(&download("tomorrow", 86_400));
    assert_eq!(world.moves().last(), Some(&(None, Some(1))));
}

#[test]
fn an_org_that_has_taught_little_learns_from_cases_too() {
    let mut world = World::new();
    world.references.threshold(taught(10, PRIOR_SAMPLES - 1));
    world.run((0..20).map(|n| download(n, n)));
    assert_eq!(world.raised_ids(), ids(&["10"]));
    assert!(world.moves().iter().all(|(_, to)| to.is_some()), "{:?}", world.moves());
}

#[test]
fn who_is_not_to_be_learned_from_moves_nothing() {
    let moves = |prepare: fn(&mut World), act: Act| {
        let mut world = World::new();
        prepare(&mut world);
        world.apply(&act);
        world.moves().len()
    };
    let standing = |world: &mut World, is_external, is_bot| {
        world.state.standing = Some(Standing { is_external, is_bot, is_admin: false })
    };
    let guest = || Act { is_external: Some(true), ..download(1, 1) };
    assert_eq!(moves(|_| {}, download(1, 1)), 1);
    assert_eq!(moves(|_| {}, guest()), 0);
    assert_eq!(moves(|_| {}, download(1, 1).ip(TOR)), 0);
    assert_eq!(moves(|_| {}, Act { kind: KeyKind::App, ..download(1, 1) }), 0);
    let mut world = World::new();
    for (n, (external, bot, expected)) in
        [(true, false, 0), (false, true, 0), (false, false, 1)].into_iter().enumerate()
    {
        standing(&mut world, external, bot);
        world.apply(&Act { is_external: Some(true), ..download(n, n as u64 * 86_400) });
        assert_eq!(world.moves().len(), expected);
    }
    let excluded = |world: &mut World| {
        let response = ResponseSetting { exclude_users: ["U1".to_owned()].into(), ..ResponseSetting::default() };
        let settings =
            Settings { responses: BTreeMap::from([(Reason::ExcessiveDownloads, response)]), ..Settings::default() };
        world.control("E1", "aer", ControlValue::Settings(Some(settings)));
    };
    assert_eq!(moves(excluded, download(1, 1)), 0);
    assert_eq!(moves(|world| world.state.set_exempt(Reason::ExcessiveDownloads, true), download(1, 1)), 0);
    assert_eq!(moves(|world| world.trust("203.0.113.0/24"), download(1, 1)), 1);
}

#[test]
fn trusted_downloads_are_not_held_against_the_user() {
    let mut world = World::new();
    world.trust("203.0.113.0/24");
    world.run((0..30).map(|n| download(n, n)));
    world.run((30..40).map(|n| download(n, n).ip("198.51.100.1")));
    assert!(world.anomalies().is_empty());
    assert_eq!(world.total(Total::SuppressedTrusted), 20);
    world.apply(&download("eleventh", 41).ip("198.51.100.1"));
    assert_eq!(world.raised_ids(), ids(&["eleventh"]));
}

#[test]
fn several_reasons_of_one_event_are_one_anomaly_with_a_case_each() {
    let mut world = World::new();
    world.run((0..10).map(|n| download(n, n)));
    world.apply(&download("x", 20).ip(TOR));
    assert_eq!(world.raised(), [("x".to_owned(), vec![Reason::ExcessiveDownloads, Reason::Tor])]);
    world.advance(Micros(u64::MAX));
    let closed: Vec<_> = world.closed().iter().map(|closed| closed.reason).collect();
    assert_eq!(closed.len(), 2);
    assert_ne!(world.closed()[0].id, world.closed()[1].id);
    assert!(world.closed().iter().all(|closed| closed.anomaly_id == world.anomalies()[0].id));
}

#[test]
fn a_case_closes_after_an_hour_without_evidence_and_then_a_new_one_opens() {
    let mut world = World::new();
    world.run([act("a", 0).ip(TOR), act("b", 3_600).ip(TOR), act("c", 3_700), act("d", 7_201).ip(TOR)]);
    assert_eq!(world.raised_ids(), ids(&["a", "d"]));
    let closed = world.closed()[0].clone();
    assert_eq!((closed.count, closed.first, closed.last), (2, act("", 0).time, act("", 3_600).time));
    assert_eq!(closed.at, Micros::from_secs(NOON + 7_200));
    assert_eq!(closed.session.as_deref(), Some("s1"));
    world.advance(Micros(u64::MAX));
    assert_eq!((world.closed().len(), world.state.cases.is_none(), world.timer), (2, true, None));
}

#[test]
fn a_copy_has_no_effect_and_is_counted() {
    let mut world = World::new();
    world.run((0..9).map(|n| download(n, n)));
    world.run((0..9).map(|n| download(n, 100 + n)));
    world.run([download(0, 5).late(200), act("new", 201)]);
    assert!(world.anomalies().is_empty());
    let totals = [Total::Applied, Total::Duplicate, Total::Late].map(|total| world.total(total));
    assert_eq!(totals, [10, 10, 0]);
}

#[test]
fn a_late_event_takes_part_and_is_told() {
    let mut world = World::new();
    world.run([act("a", 100), act("b", 10).late(120).ip(TOR)]);
    assert_eq!(world.raised_ids(), ids(&["b"]));
    let anomaly = world.anomalies()[0];
    assert_eq!((anomaly.time, anomaly.at), (Micros::from_secs(NOON + 10), Micros::from_secs(NOON + 120)));
    let late: Vec<_> =
        world.out.iter().filter_map(|out| if let DetectOut::Late(l) = out { Some(l) } else { None }).collect();
    assert_eq!((late.len(), late[0].behind_ms, late[0].id.as_str()), (1, 110_000, "b"));
    assert_eq!(world.total(Total::Late), 1);
}

#[test]
fn an_order_based_rule_skips_a_late_event_that_the_session_has_moved_past() {
    let mut world = World::new();
    world.run([
        Act { device: Some("a"), ..act(1, 100) },
        Act { device: Some("b"), ..act(2, 50).late(200) },
        Act { device: Some("a"), ..act(3, 201) },
    ]);
    assert!(world.anomalies().is_empty());
    world.apply(&Act { device: Some("b"), ..act(4, 202).late(900) });
    assert_eq!(world.raised_ids(), ids(&["4"]));
}

#[test]
fn marks_are_known_after_three_days_outside_any_case() {
    let day = |n: u64| Act { tls: Some("t1"), client: CHROME, asn: Some(7), ..act(format!("day{n}"), n * 86_400) };
    let known = |world: &World| world.anomalies().last().map(|a| a.marks.iter().map(|m| m.known).collect::<Vec<_>>());
    let attack = |n: u64| Act { id: format!("tor{n}"), ip: TOR, ..day(n) };
    let mut world = World::new();
    world.run((0..3).map(day));
    world.apply(&Act { session: Some("s2".to_owned()), ..attack(3) });
    assert_eq!(known(&world), Some(vec![true; 3]));
    // Under a case, from Tor, by an app, from a private address: no mark is learned.
    for spoil in [
        |act: Act| act.ip(TOR),
        |act: Act| Act { by_app: true, ..act },
        |act: Act| act.ip("10.1.2.3"),
        |act: Act| act.ip(""),
    ] {
        let mut world = World::new();
        world.run((0..3).map(|n| spoil(day(n))));
        world.apply(&attack(3));
        assert_eq!(known(&world), Some(vec![false; 3]));
    }
    let mut world = World::new();
    world.run((0..3).flat_map(|n| [attack(n), Act { id: format!("x{n}"), ..day(n) }]));
    world.apply(&attack(3).session("s3"));
    assert_eq!(known(&world), Some(vec![false; 3]));
}

#[test]
fn a_fingerprint_that_an_update_changed_is_known_as_the_one_before_was() {
    let day = |n: u64| Act { tls: Some("t1"), client: CHROME, asn: Some(7), ..act(format!("day{n}"), n * 86_400) };
    let updated = |n: u64| Act { tls: Some("t2"), client: Some(("Chrome", "Windows", "132")), ..day(n) };
    let knows_tls = |first: Act| {
        let mut world = World::new();
        world.run((0..3).map(day));
        world.run([first, Act { id: "tor".to_owned(), ip: TOR, ..updated(4) }.session("s9")]);
        world.anomalies().last().expect("Tor").marks[0].known
    };
    assert!(knows_tls(updated(3)));
    assert!(!knows_tls(updated(3).session("s2")), "no update that the session shows");
    assert!(!knows_tls(updated(3).ip(TOR)), "nothing is learned there");
    assert!(!knows_tls(Act { client: CHROME, ..updated(3) }), "another client of the same version");
    // Between two sessions it is the device that shows it.
    let known = |device| {
        let mut world = World::new();
        world.run((0..3).map(|n| Act { device: Some("d1"), ..day(n) }));
        world.apply(&Act { device: Some(device), ip: TOR, ..updated(3).session("s2") });
        world.anomalies()[0].marks[0].known
    };
    assert_eq!(["d1", "d2"].map(known), [true, false]);
}

#[test]
fn without_tls_the_agents_family_is_the_mark() {
    let mut world = World::new();
    let day = |n: u64| Act { ua: format!("Mozilla/5.0 Chrome/{}.0.0.0", 120 + n), ..act(n, n * 86_400) };
    world.run((0..3).map(day));
    world.apply(&day(3).ip(TOR));
    assert!(world.anomalies()[0].marks[0].known);
    world.apply(&Act { ua: "curl/8.1".to_owned(), ..day(4).ip(TOR) });
    assert!(!world.anomalies()[1].marks[0].known);
}

#[test]
fn a_user_is_active_once_an_hour_from_the_second_day_on() {
    let mut world = World::new();
    world.run((0..10).map(|n| act(n, n * 1_200)));
    assert!(world.out.is_empty());
    world.run((0..10).map(|n| act(format!("later{n}"), 86_400 + n * 1_200)));
    let active = world.out.iter().filter_map(|out| if let DetectOut::Active(a) = out { Some(a) } else { None });
    let hours: Vec<_> = active.map(|active| (active.at.secs() / 3_600, u64::from(active.previous))).collect();
    let first = NOON / 3_600 + 24;
    assert_eq!(hours, [(first, 0), (first + 1, first), (first + 2, first + 1), (first + 3, first + 2)]);
}
