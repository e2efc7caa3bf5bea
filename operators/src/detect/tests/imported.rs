//! Anomalies that were found elsewhere: which of them are raised, and as what.

use super::*;

fn report(reasons: &[&str]) -> Report {
    Report { reasons: reasons.iter().map(|code| (*code).to_owned()).collect(), ..Report::default() }
}

fn imported(id: &str, secs: u64, reasons: &[&str]) -> Act {
    Act { action: Action::Anomaly, report: report(reasons), ..act(id, secs) }
}

/// A world whose one partition may import.
fn world() -> World {
    let mut world = World::new();
    world.settings.imports = [true].into();
    world
}

#[test]
fn it_is_raised_only_from_a_partition_that_may_import() {
    let tor = |id: &str| imported(id, 5, &["tor", "never_heard_of", "asn", "tor"]).ip(TOR);
    let mut world = World::new();
    world.apply(&tor("a"));
    world.settings.imports = [].into();
    world.apply(&tor("b"));
    assert!(world.anomalies().is_empty());
    world.settings.imports = [true].into();
    world.apply(&tor("c"));
    world.apply(&imported("d", 5, &["never_heard_of"]));
    world.apply(&imported("e", 5, &[]));
    assert_eq!(world.raised(), [("c".to_owned(), vec![Reason::Asn, Reason::Tor])]);
    assert!(world.anomalies()[0].imported);
    let codes: Vec<_> = world.anomalies()[0].evidence.iter().map(|piece| piece.reason.as_str()).collect();
    assert_eq!(codes, ["tor", "never_heard_of", "asn"], "what is not known here is told all the same");
    assert_eq!((world.total(Total::ImportedAnomalies), world.total(Total::Applied)), (5, 5));
}

#[test]
fn a_copy_and_that_of_an_app_raise_nothing() {
    let mut world = world();
    world.run([imported("a", 5, &["tor"]), imported("a", 6, &["tor"])]);
    world.apply(&Act { kind: KeyKind::App, ..imported("b", 7, &["tor"]) });
    world.apply(&Act { by_app: true, ..imported("c", 8, &["tor"]) });
    assert_eq!(world.raised_ids(), ["a", "c"]);
    assert!(world.anomalies()[1].by_app, "decision leaves it alone");
    assert_eq!(world.total(Total::ImportedAnomalies), 2);
}

#[test]
fn its_details_are_those_of_who_found_it_and_ours_where_they_lack() {
    let mut world = world();
    world.run([act("a", 0).ip("198.51.100.1"), act("b", 1)]);
    let details = Report {
        acted: Some(Micros::from_secs(NOON + 2)),
        location: "Reno, Nevada".to_owned(),
        previous_ua: "Before".to_owned(),
        particulars: vec![
            ("ip_address_details".to_owned(), "new-asn,cloud-asn".to_owned()),
            ("scraping_tool".to_owned(), "Go-based tool".to_owned()),
            ("detected_client".to_owned(), "nobody asked".to_owned()),
        ],
        ..report(&["unexpected_scraping", "ip_address", "user_agent"])
    };
    world.apply(&Act { report: details, ..imported("c", 52, &[]) });
    let anomaly = world.anomalies()[0];
    let before = (anomaly.location.as_str(), anomaly.previous_ua.as_str(), anomaly.previous_ip_address.as_str());
    assert_eq!(before, ("Reno, Nevada", "Before", "198.51.100.1"));
    assert_eq!(anomaly.first_seen, Micros::from_secs(NOON), "the session's");
    assert_eq!((anomaly.time, anomaly.at), (Micros::from_secs(NOON + 52), Micros::from_secs(NOON + 52)));
    let told: Vec<_> = anomaly.evidence.iter().map(|piece| (piece.metric.as_str(), piece.observed.as_str())).collect();
    let ua = act("", 0).ua;
    assert_eq!(
        told,
        [
            ("imported", ""),
            ("scraping_tool", "Go-based tool"),
            ("imported", ""),
            ("ip_address_details", "new-asn,cloud-asn"),
            ("imported", ""),
            ("user_agent_change_details", ua.as_str())
        ]
    );
}

#[test]
fn it_is_as_old_as_what_it_tells_of_and_too_old_a_one_is_not_raised() {
    let acted = |id: &str, before: u64| {
        let acted = Some(Micros::from_secs(NOON + 10_000 - before));
        Act { report: Report { acted, ..report(&["tor"]) }, ..imported(id, 10_000, &[]).session("") }
    };
    let mut world = world();
    world.run([acted("a", 51), acted("b", 3_600), acted("c", 3_601)]);
    // A clock that is ahead makes it no younger.
    let ahead = Some(Micros::from_secs(NOON + 20_000));
    world.apply(&Act { report: Report { acted: ahead, ..report(&["tor"]) }, ..imported("d", 10_000, &[]).session("") });
    assert_eq!(world.raised_ids(), ["a", "b", "d"]);
    let first_seen: Vec<_> = world.anomalies().iter().map(|anomaly| anomaly.first_seen.secs() - NOON).collect();
    assert_eq!(first_seen, [9_949, 6_400, 10_000]);
}

#[test]
fn a_trusted_network_raises_nothing_whoever_found_it() {
    let mut world = world();
    world.trust("203.0.113.0/24");
    world.run([imported("a", 5, &["tor"]), imported("b", 6, &["tor"]).ip(TOR)]);
    assert_eq!(world.raised_ids(), ["b"]);
    assert_eq!(world.total(Total::SuppressedTrusted), 1);
}

#[test]
fn nothing_is_learned_from_it_and_no_case_is_opened() {
    let mut world = world();
    world.apply(&act("a", 0));
    let before = format!("{:?}", (&world.state.sessions, &world.state.marks, &world.state.agents, &world.state.cases));
    world.run((0..9).map(|n| Act { ua: "curl/8".to_owned(), ..imported(&format!("i{n}"), 5 + n, &["tor"]).ip(TOR) }));
    let after = format!("{:?}", (&world.state.sessions, &world.state.marks, &world.state.agents, &world.state.cases));
    assert_eq!((world.anomalies().len(), after), (9, before));
}
