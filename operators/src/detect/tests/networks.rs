//! Where users come from: what is a thief's network, and all that is an ordinary change.

use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

const DAY: u64 = 86_400;
const HOUR: u64 = 3_600;
const LAPTOP: (&str, &str, &str) = ("Chrome", "Windows", "131");
const PHONE: (&str, &str, &str) = ("Slack iOS", "iOS", "25.1");
const HOME_ASN: u32 = 1;
const SUSPICIOUS: u32 = 64_666;
const CLOUD: u32 = 64_700;
const HOTEL: u32 = 77;
const IOC: &str = "192.0.2.77";
const AWAY: &str = "198.51.100.7";

fn lists(world: &mut World) {
    let list = |world: &mut World, key: &str, list| world.control("*", key, ControlValue::ThreatList(Some(list)));
    list(world, "suspicious_asn", ThreatList::SuspiciousAsn([SUSPICIOUS].into()));
    list(world, "cloud_asn", ThreatList::CloudAsn([CLOUD].into()));
    list(world, "ioc_ip", ThreatList::IocIp(["192.0.2.64/26".parse().expect("a prefix")].into()));
}

/// On the laptop at home, so many hours after noon of a day.
fn home(day: u64, hours: u64) -> Act {
    let (tls, client) = (Some("t1"), Some(LAPTOP));
    let id = format!("home {day} {hours}");
    Act { tls, client, asn: Some(HOME_ASN), country: Some("DE"), ..act(id, day * DAY + hours * HOUR) }
}

/// The same laptop in another network, some minutes after noon of the sixth day, in a session of its own.
fn away(minutes: u64, asn: u32, country: &'static str) -> Act {
    let time = Micros::from_secs(NOON + 6 * DAY + minutes * 60);
    let act = Act { id: format!("away {minutes}"), time, asn: Some(asn), country: Some(country), ..home(6, 0) };
    act.ip(AWAY).session("s2")
}

fn phone(act: Act) -> Act {
    Act { tls: Some("t5"), client: Some(PHONE), ua: "com.tinyspeck.chatlyio/25.1".to_owned(), ..act.session("s3") }
}

fn kit(act: Act) -> Act {
    Act { tls: Some("t9"), client: Some(("Firefox", "Linux", "128")), ua: "Mozilla/5.0 kit".to_owned(), ..act }
}

/// A user who has worked at home for so many days.
fn world(days: u64) -> World {
    let mut world = World::without_volumes();
    lists(&mut world);
    world.run((0..days).flat_map(|day| [home(day, 0), home(day, 3)]));
    assert!(world.anomalies().is_empty());
    world
}

fn found(acts: impl IntoIterator<Item = Act>) -> Vec<(String, Vec<Reason>)> {
    let mut world = world(6);
    world.run(acts);
    world.raised()
}

/// `ip_address_details` of the one anomaly.
fn details(act: Act) -> String {
    let mut world = world(6);
    world.apply(&act);
    let anomalies = world.anomalies();
    let [anomaly] = anomalies.as_slice() else { panic!("{} anomalies", anomalies.len()) };
    assert!(anomaly.reasons.contains(&Reason::IpAddress));
    let details = anomaly.evidence.iter().find(|piece| piece.metric == "ip_address_details");
    details.map_or_else(String::new, |piece| piece.observed.clone())
}

const NONE: [(String, Vec<Reason>); 0] = [];

#[test]
fn a_suspicious_network_is_two_reasons_whatever_the_history() {
    for days in [0, 6] {
        let mut world = world(days);
        world.apply(&away(0, SUSPICIOUS, "DE"));
        assert_eq!(world.raised(), [("away 0".to_owned(), vec![Reason::Asn, Reason::IpAddress])]);
    }
    let mut world = world(6);
    world.apply(&away(0, SUSPICIOUS, "DE"));
    let evidence = &world.anomalies()[0].evidence;
    assert!(evidence.iter().all(|piece| piece.threshold_source == "threat_list:suspicious_asn"));
    assert!(evidence.iter().any(|piece| piece.metric == "asn" && piece.observed == SUSPICIOUS.to_string()));
    assert_eq!(details(away(0, SUSPICIOUS, "DE")), "new-asn");
    // A list that is replaced or deleted holds from then on.
    world.control("*", "suspicious_asn", ControlValue::ThreatList(None));
    world.apply(&away(30, SUSPICIOUS, "DE").session("s8"));
    assert_eq!(world.anomalies().len(), 1);
}

#[test]
fn an_address_seen_in_attacks_raises_even_at_home() {
    assert_eq!(details(home(6, 0).ip(IOC)), "in-ioc-list");
    assert_eq!(details(away(0, CLOUD, "DE").ip(IOC)), "new-asn, cloud-asn, in-ioc-list");
    assert_eq!(found([home(6, 0).ip("192.0.2.63")]), NONE);
}

#[test]
fn a_new_network_raises_with_one_clue() {
    assert_eq!(details(away(240, CLOUD, "DE")), "new-asn, cloud-asn");
    assert_eq!(details(kit(away(240, HOTEL, "DE"))), "new-asn");
    assert_eq!(details(Act { asn: None, ..kit(away(240, HOTEL, "DE")) }), "");
    // Three hours after noon the laptop was at home.
    let mut world = world(6);
    world.run([home(6, 3), away(180 + 119, HOTEL, "BR")]);
    let anomaly = world.anomalies()[0];
    let travel = anomaly.evidence.iter().find(|piece| piece.metric == "impossible_travel").expect("travelled");
    assert_eq!((travel.observed.as_str(), travel.threshold.as_str()), ("DE to BR in 7140 s", "7200 s"));
    assert_eq!((travel.window_start, travel.window_end), (Some(home(6, 3).time), Some(anomaly.time)));
    assert_eq!(anomaly.location, "BR");
}

#[test]
fn ordinary_changes_of_network_are_nothing() {
    // Another line, a hotel far away after a flight, the phone abroad while the laptop is at home.
    assert_eq!(found([away(240, HOTEL, "DE")]), NONE);
    assert_eq!(found([home(6, 3), away(180 + 120, HOTEL, "BR")]), NONE);
    assert_eq!(found((0..20).map(|n| away(240 + n, 100 + n as u32, "DE"))), NONE);
    // A new laptop at home, then at the hotel; one mark of a client alone is none.
    assert_eq!(found([kit(home(6, 3)).session("s4"), kit(away(240, HOTEL, "DE"))]), NONE);
    assert_eq!(found([Act { client: None, ..kit(away(240, HOTEL, "DE")) }]), NONE);
    assert_eq!(found([Act { tls: Some("t2"), ..away(240, HOTEL, "DE") }]), NONE);
    // Without a network or country there is nothing to compare.
    assert_eq!(found([Act { asn: None, country: None, ..kit(away(240, 0, "")) }.ip("10.0.0.1")]), NONE);
}

#[test]
fn the_phone_between_mobile_and_wifi_is_nothing() {
    let mut world = world(6);
    let mobile = |n: u64| Act { id: format!("m{n}"), ..phone(away(n, 300, "DE")) };
    world.run([Act { id: "first".to_owned(), ..phone(home(5, 4)) }]);
    world.run(
        (0..60).map(
            |n| if n % 2 == 0 { mobile(n) } else { phone(Act { id: format!("w{n}"), ..away(n, HOME_ASN, "DE") }) },
        ),
    );
    assert_eq!(world.raised(), NONE);
}

#[test]
fn who_travels_and_whose_phone_roams_is_nothing() {
    // The phone goes out at home, wherever it is; the laptop goes out where it is.
    let acts = (0..10).flat_map(|n| {
        let phone =
            Act { id: format!("p{n}"), country: Some("DE"), asn: Some(HOME_ASN), ..phone(away(300 + n, 0, "")) };
        [phone, away(300 + 60 + n, HOTEL, "FR")]
    });
    let mut acts: Vec<Act> = acts.collect();
    acts.sort_by_key(|act| act.time);
    let mut world = world(6);
    world.run([Act { id: "first".to_owned(), ..phone(home(5, 4)) }]);
    world.run(acts);
    assert_eq!(world.raised(), NONE);
}

#[test]
fn whoever_jumps_in_honest_life_proves_nothing_by_jumping() {
    // In the first days, when no network is known yet, the laptop goes in and out of a VPN that leaves elsewhere.
    let mut world = World::without_volumes();
    lists(&mut world);
    let vpn = |day| Act { id: format!("vpn {day}"), asn: Some(9), country: Some("NL"), ..home(day, 1).session("s2") };
    world.run((0..6).flat_map(|day| [home(day, 0), vpn(day), home(day, 2)]));
    // It leaves the VPN in a hotel abroad.
    world.run([vpn(6), away(90, HOTEL, "FR")]);
    assert_eq!(world.raised(), NONE);
    world.run([away(300, CLOUD, "US")]);
    assert_eq!(world.raised_ids(), ["away 300"]);
}

#[test]
fn a_new_user_raises_nothing_by_history() {
    for days in 0..4 {
        let mut world = world(days);
        world.apply(&kit(away(0, CLOUD, "BR")));
        assert_eq!(world.anomalies().len(), usize::from(days == 3), "{days} days");
    }
}

#[test]
fn what_a_thief_uses_does_not_become_the_users_own() {
    let mut world = world(6);
    world.run((0..50).map(|n| away(240 + n, CLOUD, "DE")));
    world.run([home(7, 0), Act { id: "again".to_owned(), ..home(7, 3) }.ip(AWAY).session("s9")]);
    world.apply(&Act { id: "cloud again".to_owned(), asn: Some(CLOUD), ..home(8, 0).ip(AWAY).session("s9") });
    assert_eq!(world.raised_ids(), ["away 240", "cloud again"]);
    // Of a flood of networks none takes the place of what is known.
    world.run((0..2_000).map(|n| Act { id: format!("flood {n}"), ..away(3_000 + n, 1_000 + n as u32, "DE") }));
    world.apply(&Act { id: "at home".to_owned(), ..kit(home(9, 0)).session("s5") });
    assert_eq!(world.raised_ids(), ["away 240", "cloud again"]);
}

#[test]
fn tor_says_it_all_and_a_trusted_network_nothing() {
    assert_eq!(found([kit(away(0, CLOUD, "DE")).ip(TOR)]), [("away 0".to_owned(), vec![Reason::Tor])]);
    let mut world = world(6);
    world.trust("198.51.100.0/24");
    world.run([kit(away(0, CLOUD, "DE")), away(1, SUSPICIOUS, "DE")]);
    assert_eq!((world.anomalies().len(), world.total(Total::SuppressedTrusted)), (0, 2));
}

#[test]
fn an_app_has_networks_of_its_own_and_the_person_none_of_the_apps() {
    let as_app = |act: Act| Act { kind: KeyKind::App, by_app: true, ..act };
    let mut world = World::without_volumes();
    lists(&mut world);
    world.run((0..6).map(|day| as_app(home(day, 0))));
    world.run([as_app(away(240, HOTEL, "DE")), as_app(away(241, CLOUD, "DE"))]);
    assert_eq!(world.raised(), [("away 241".to_owned(), vec![Reason::IpAddress])]);
    // The person's copy of an app's event.
    assert_eq!(found([Act { by_app: true, ..kit(away(0, CLOUD, "DE")) }]), NONE);
    assert_eq!(found([Act { by_app: true, ..kit(away(0, SUSPICIOUS, "DE")) }]), NONE);
}

/// Which events are evidence, from the list of everything that happened before.
fn oracle(acts: &[Act]) -> Vec<String> {
    let day = |act: &Act| act.time.secs() / DAY;
    let (mut found, mut learned) = (Vec::new(), Vec::<&Act>::new());
    let mut quiet_since: BTreeMap<&Option<String>, u64> = BTreeMap::new();
    for act in acts {
        let secs = act.time.secs();
        quiet_since.retain(|_, since| *since + HOUR >= secs);
        let known = |asn: Option<u32>| {
            let days: BTreeSet<u64> = learned.iter().filter(|other| other.asn == asn).map(|other| day(other)).collect();
            days.iter().filter(|then| **then < day(act)).count() >= 3
        };
        let is_new = learned.iter().all(|other| other.asn != act.asn) && learned.iter().any(|other| known(other.asn));
        let strange = learned.iter().all(|other| other.tls != act.tls && other.client != act.client);
        let same: Vec<&&Act> = learned.iter().filter(|other| other.client == act.client).collect();
        let is_jump = |a: &Act, b: &Act| a.country != b.country && b.time.secs() - a.time.secs() < 2 * HOUR;
        let jumps = same.windows(2).any(|pair| is_jump(pair[0], pair[1]));
        let travel = !jumps && same.last().is_some_and(|last| is_jump(last, act));
        let odd = is_new && (act.asn == Some(CLOUD) || strange || travel);
        if odd {
            found.push(act.id.clone());
            quiet_since.insert(&act.session, secs);
        } else if !quiet_since.contains_key(&act.session) {
            learned.push(act);
        }
    }
    found
}

#[test]
fn networks_agree_with_the_list() {
    let (mut total, mut travels) = (0, 0);
    for seed in 0..150u64 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let (mut secs, jumpy) = (0, dice.random_range(0..3) == 0);
        let acts: Vec<Act> = (0..220)
            .map(|n| {
                let pause = if dice.random_range(0..3) == 0 { 40_000 } else { 2_500 };
                secs += dice.random_range(1..pause);
                let mut pick = |of: u32| dice.random_range(0..of);
                let asn = [1, 1, 1, 1, 1, 1, 1, 2, 3 + n % 13, CLOUD][pick(10) as usize];
                // A network is in one country, but for users who are nowhere for sure.
                let country = ["DE", "DE", "FR"][if jumpy { pick(3) } else { [0, 0, 1, 2][asn as usize % 4] } as usize];
                let (tls, client) =
                    [("t1", LAPTOP), ("t1", LAPTOP), ("t5", PHONE), ("t9", ("x", "y", "1"))][pick(4) as usize];
                // A session has one client, or that would be odd by itself.
                let session = format!("{tls}{}", pick(3));
                let act = Act { asn: Some(asn), country: Some(country), ..act(n, secs).session(&session) };
                // Nothing is claimed, so that nothing contradicts what was measured.
                Act { tls: Some(tls), client: Some(client), ua: String::new(), ..act }
            })
            .collect();
        let mut world = World::without_volumes();
        lists(&mut world);
        let mut odd = Vec::new();
        for act in &acts {
            let before = world.evidence();
            world.apply(act);
            if world.evidence() > before {
                odd.push(act.id.clone());
            }
        }
        assert_eq!(odd, oracle(&acts), "seed {seed}");
        total += odd.len();
        let pieces = world.anomalies().iter().flat_map(|anomaly| anomaly.evidence.clone()).collect::<Vec<_>>();
        travels += pieces.iter().filter(|piece| piece.metric == "impossible_travel").count();
    }
    assert!(total > 300 && travels > 20, "the streams show something: {total}, {travels}");
}

#[test]
fn of_an_anonymised_network_only_a_new_client_says_something_and_nothing_is_learned() {
    let hidden = |act: Act| Act { is_anonymous: true, ..act };
    // A VPN of one's own for a month, on one's own laptop; its exits are in clouds and elsewhere.
    assert_eq!(found((0..30).map(|n| hidden(away(n * 30, CLOUD, ["BR", "US"][n as usize % 2])))), NONE);
    assert_eq!(details(hidden(kit(away(0, CLOUD, "BR")))), "new-asn, cloud-asn");
    // Four days on it do not make it known, nor a home.
    let mut world = world(6);
    world.run((6..10).map(|day| hidden(Act { asn: Some(HOTEL), country: Some("BR"), ..home(day, 0).session("s7") })));
    let before = world.state.clone();
    world.apply(&hidden(Act { id: "more".to_owned(), asn: Some(HOTEL), ..home(11, 0).session("s7") }));
    assert_eq!((&world.state.marks, &world.state.whereabouts), (&before.marks, &before.whereabouts));
    let mut world = World::new();
    world.run((0..6).map(|day| hidden(home(day, 0))));
    world.run([hidden(download(1, 7 * DAY))]);
    assert_eq!(world.moves().len(), 0);
    world.apply(&kit(away(7 * 24 * 60, CLOUD, "BR")));
    assert_eq!(world.raised(), NONE);
}
