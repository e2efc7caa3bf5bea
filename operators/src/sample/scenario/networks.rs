//! `asn` and `ip_address`: networks that are on a list, rented, or impossibly far; and honest people on the move.

use super::super::act::{Origin, Verb};
use super::super::client::{CHROME_WINDOWS, FIREFOX_LINUX};
use super::super::label::{Difficulty, Label};
use super::super::life;
use super::super::network::{self, Address};
use super::super::org::Style;
use super::super::person::Kind;
use super::{OF_STRANGER, Scenario, Stage, When, is_mobile, measured, program, scene};
use crate::model::reason::Reason;
use engine::time::{Micros, Span};

pub(super) const SCENARIOS: &[Scenario] = &[
    measured("asn_login", "A thief signs in from a host whose network is on a list.", asn_login),
    measured("asn_replay", "A copied cookie is replayed from a network that is on a list.", asn_replay),
    measured(
        "asn_single_request",
        "One request of an own device goes through a network on a list.",
        asn_single_request,
    ),
    scene("ip_reported", "A thief signs in from an address that others have reported.", ip_reported),
    measured("ip_cloud", "A thief signs in from a rented server, with the programs that people here have.", ip_cloud),
    measured("ip_new_stranger", "A thief signs in from an unknown network with an unknown program.", ip_new_stranger),
    measured(
        "ip_impossible_travel",
        "Half an hour after the person worked at the usual place, the same build is used on another continent.",
        ip_impossible_travel,
    ),
    Scenario {
        fits: |org| is_mobile(org) && !org.is_plain(),
        ..measured(
            "ip_carrier_flips",
            "A phone gets another address from its carrier with every request.",
            carrier_flips,
        )
    },
    Scenario {
        when: When::Work(2),
        ..measured("ip_travel", "Someone works on the own computer in a hotel abroad.", travel)
    },
    measured("ip_new_line", "The home has a new provider; everything else is as always.", new_line),
    measured("ip_pool", "A service sends each request of an own device through another address.", pool),
    Scenario {
        fits: |org| org.style == Style::Studio || org.style == Style::University,
        ..measured("ip_vpn_abroad", "The VPN, which leaves in another country, goes on and off.", vpn_abroad)
    },
];

/// The label of an attack from an odd network.
fn odd(stage: &Stage<'_>, reason: Reason, difficulty: Difficulty, first: Micros) -> Label {
    let mut also = [&OF_STRANGER[..], &[Reason::SessionFingerprint]].concat();
    also.retain(|other| *other != reason);
    Label { also, ..stage.attack(reason, difficulty, first) }
}

/// A stranger signs in at minute 10 and looks around.
fn login(stage: &mut Stage<'_>, from: Address, software: &'static super::Software) -> Micros {
    let first = stage.minute(10);
    let thief = stage.stranger(from, program(software, first), 1, first);
    stage.sends(first, Verb::Login, thief);
    stage.sends_many((first.plus(Span::from_secs(4)), 20, 15), thief, life::verb);
    first
}

/// The label of what a stranger did who signed in.
fn logged_in(stage: &Stage<'_>, reason: Reason, difficulty: Difficulty, first: Micros) -> Label {
    let session_id = Some(stage.stranger_session(1).to_string());
    Label { session_id, ..odd(stage, reason, difficulty, first) }
}

fn asn_login(stage: &mut Stage<'_>) -> Label {
    let from = network::bulletproof(&mut stage.dice);
    let first = login(stage, from, &CHROME_WINDOWS);
    logged_in(stage, Reason::Asn, Difficulty::Blatant, first)
}

fn asn_replay(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let loot = stage.robbed();
    let (first, from) = (stage.minute(24), network::bulletproof(&mut stage.dice));
    let stamp = stage.desktop().session.stamp;
    stage.sends_many((first, 12, 8), loot.same_client(from, stamp), life::verb);
    let session_id = Some(loot.session.to_string());
    Label { session_id, ..odd(stage, Reason::Asn, Difficulty::Moderate, first) }
}

fn asn_single_request(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let (place, from, first) = (stage.place(), network::bulletproof(&mut stage.dice), stage.minute(25));
    stage.works((2, 24), 180, place);
    stage.own(Kind::Desktop, first, from, Verb::Call { method: "files.info" });
    stage.works((27, 50), 180, place);
    let session_id = Some(stage.desktop().session.id.to_string());
    Label { session_id, ..odd(stage, Reason::Asn, Difficulty::Stealthy, first) }
}

fn ip_reported(stage: &mut Stage<'_>) -> Label {
    let from = network::reported(&mut stage.dice);
    let first = login(stage, from, &CHROME_WINDOWS);
    logged_in(stage, Reason::IpAddress, Difficulty::Blatant, first)
}

fn ip_cloud(stage: &mut Stage<'_>) -> Label {
    let (from, software) = (network::cloud(&mut stage.dice), stage.desktop().software);
    let first = login(stage, from, software);
    logged_in(stage, Reason::IpAddress, Difficulty::Moderate, first)
}

fn ip_new_stranger(stage: &mut Stage<'_>) -> Label {
    let (far, software) = (stage.elsewhere(), &FIREFOX_LINUX);
    let first = login(stage, far, software);
    logged_in(stage, Reason::IpAddress, Difficulty::Moderate, first)
}

fn ip_impossible_travel(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let place = stage.place();
    stage.works((1, 18), 90, place);
    let (first, far) = (stage.minute(48), stage.elsewhere());
    let (client, tls) = (stage.desktop().client(first), stage.desktop().tls);
    let thief = Origin { tls, ..stage.stranger(far, client, 1, first) };
    stage.sends(first, Verb::Login, thief);
    stage.sends_many((first.plus(Span::from_secs(9)), 4, 5), thief, life::verb);
    logged_in(stage, Reason::IpAddress, Difficulty::Stealthy, first)
}

/// The label of somebody on the move.
fn mover(stage: &Stage<'_>, start: Micros) -> Label {
    let reasons = vec![Reason::IpAddress, Reason::SessionFingerprint];
    Label { reasons, ..stage.benign(Reason::IpAddress, start) }
}

fn carrier_flips(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    for i in 0..40 {
        let (number, country) = (stage.person().number, stage.person().country);
        let carrier = network::mobile(number, stage.dice.below(60_000), country);
        let (at, verb) = (stage.minute(3).plus(Span::from_secs(i * 70)), life::verb(&mut stage.dice));
        stage.own(Kind::Phone, at, carrier, verb);
    }
    mover(stage, stage.minute(3))
}

fn travel(stage: &mut Stage<'_>) -> Label {
    // The flight takes longer than the person was silent.
    stage.take(6);
    let hotel = network::hotel(stage.person().number, stage.person().country);
    stage.works((240, 330), 70, hotel);
    mover(stage, stage.minute(240))
}

fn new_line(stage: &mut Stage<'_>) -> Label {
    stage.take(2);
    let line = network::new_line(stage.person().number, stage.person().country);
    stage.works((5, 80), 60, line);
    mover(stage, stage.minute(5))
}

fn pool(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    for i in 0..30 {
        let country = stage.person().country;
        let address = network::pool(&mut stage.dice, country);
        let (at, verb) = (stage.minute(5).plus(Span::from_secs(i * 90)), life::verb(&mut stage.dice));
        stage.own(Kind::Desktop, at, address, verb);
    }
    mover(stage, stage.minute(5))
}

fn vpn_abroad(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let (home, vpn) = (stage.person().home, network::vpn(stage.org().index));
    for (turn, address) in [home, vpn, home, vpn, home].into_iter().enumerate() {
        stage.works((turn as u64 * 11, turn as u64 * 11 + 9), 50, address);
    }
    mover(stage, stage.minute(0))
}
