//! `session_fingerprint`: a session that two clients hold, or whose client changes without an upgrade; and everything
//! honest that looks like it. Only where entries carry what a fingerprint is taken from.

use super::super::act::Verb;
use super::super::client::{CHROME_WINDOWS, HEADLESS, REWRITTEN_TLS, SLACK_MAC, SLACK_WINDOWS};
use super::super::label::{Difficulty, Label};
use super::super::life;
use super::super::network;
use super::super::person::{Kind, SECOND, slot};
use super::{Loot, NETWORK, OF_STRANGER, SERVER, Scenario, Stage, When, measured, origin, program};
use crate::model::reason::Reason;
use engine::time::{Micros, Span};

pub(super) const SCENARIOS: &[Scenario] = &[
    measured(
        "cookie_replay_automation",
        "A copied cookie is replayed from a rented server by an automated browser while the victim goes on.",
        replay_automation,
    ),
    measured(
        "cookie_replay_same_build",
        "A copied cookie is replayed from far away by the same build on another device.",
        replay_same_build,
    ),
    measured(
        "cookie_replay_copied_profile",
        "The whole profile was copied: same build, same device id, only network and a stamp just out of grace tell.",
        replay_copied_profile,
    ),
    measured("client_swap", "The session goes on in another program on another system.", client_swap),
    measured(
        "tls_swap",
        "Everything claimed stays the same, but the handshake is suddenly that of a rewriting proxy.",
        tls_swap,
    ),
    Scenario {
        when: When::Work(2),
        ..measured(
            "cookie_persisting",
            "Malware on the victim's machine hands on the cookie of every new session.",
            persisting,
        )
    },
    Scenario {
        when: When::Work(2),
        ..measured(
            "profile_loop",
            "An honest user keeps one profile on two own computers and is signed out for it again and again.",
            profile_loop,
        )
    },
    measured("parallel_requests", "Requests under way during a rotation carry the older stamp.", parallel_requests),
    measured(
        "unacknowledged_rotation",
        "The client never stored a rotated cookie and goes on with the older stamp.",
        unacknowledged_rotation,
    ),
    measured("app_update", "The app updates itself within a session; version and handshake change.", app_update),
    measured("wifi_mobile_switch", "A phone on the move changes between Wi-Fi and carrier.", wifi_mobile_switch),
    measured("vpn_egress", "The VPN is switched on and off within a session.", vpn_egress),
    measured("office_nat", "Someone comes from home into the office, whose address everybody shares.", office_nat),
    measured(
        "late_flush",
        "A producer holds back twenty minutes of honest activity and flushes it at once.",
        late_flush,
    ),
    measured("server_scan", "The server scans files on the user's behalf: no agent, loopback.", server_scan),
];

const HISTORY: Verb = Verb::Call { method: "conversations.history" };

/// The victim goes on until minute `until`; the label is that of an attack within the session.
fn held_twice(stage: &mut Stage<'_>, loot: &Loot, difficulty: Difficulty, first: Micros, until: u64) -> Label {
    let place = stage.place();
    stage.works((26, until), 120, place);
    let session_id = Some(loot.session.to_string());
    let also = OF_STRANGER.to_vec();
    Label { session_id, also, ..stage.attack(Reason::SessionFingerprint, difficulty, first) }
}

fn replay_automation(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let loot = stage.robbed();
    let (first, server) = (stage.minute(24), network::cloud(&mut stage.dice));
    let thief = origin(server, program(&HEADLESS, first), Some(stage.stranger_device()), loot.session, loot.stamp);
    for i in 0..60 {
        stage.sends(first.plus(Span::from_secs(i * 10)), HISTORY, thief);
    }
    held_twice(stage, &loot, Difficulty::Blatant, first, 40)
}

fn replay_same_build(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let loot = stage.robbed();
    let (first, far) = (stage.minute(30), stage.elsewhere());
    let thief = origin(far, loot.client, Some(stage.stranger_device()), loot.session, loot.stamp);
    for i in 0..12 {
        let verb = life::verb(&mut stage.dice);
        stage.sends(first.plus(Span::from_secs(i * 45)), verb, thief);
    }
    held_twice(stage, &loot, Difficulty::Moderate, first, 42)
}

fn replay_copied_profile(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let loot = stage.robbed();
    let (lag, far) = (stage.dice.between(125, 170), stage.elsewhere());
    let first = loot.since.plus(Span::from_secs(lag));
    let thief = origin(far, loot.client, Some(loot.device), loot.session, loot.stamp);
    for i in 0..3 {
        stage.sends(first.plus(Span::from_secs(i * 20)), HISTORY, thief);
    }
    held_twice(stage, &loot, Difficulty::Stealthy, first, 40)
}

fn client_swap(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let loot = stage.robbed();
    let (first, far) = (stage.minute(22), stage.elsewhere());
    let other = if loot.client.software.os == "Windows" { &SLACK_MAC } else { &CHROME_WINDOWS };
    let stamp = stage.desktop().session.stamp;
    let thief = origin(far, program(other, first), Some(stage.stranger_device()), loot.session, stamp);
    for i in 0..15 {
        let verb = life::verb(&mut stage.dice);
        stage.sends(first.plus(Span::from_secs(i * 40)), verb, thief);
    }
    let (session_id, also) = (Some(loot.session.to_string()), OF_STRANGER.to_vec());
    Label { session_id, also, ..stage.attack(Reason::SessionFingerprint, Difficulty::Moderate, first) }
}

fn tls_swap(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let loot = stage.robbed();
    let (first, place) = (stage.minute(22), stage.place());
    let stamp = stage.desktop().session.stamp;
    let same = loot.same_client(place, stamp);
    let rewritten = super::Origin { tls: Some(REWRITTEN_TLS), ..same };
    for i in 0..8 {
        stage.sends(first.plus(Span::from_secs(i * 50)), HISTORY, rewritten);
    }
    let (session_id, also) = (Some(loot.session.to_string()), OF_STRANGER.to_vec());
    Label { session_id, also, ..stage.attack(Reason::SessionFingerprint, Difficulty::Stealthy, first) }
}

fn persisting(stage: &mut Stage<'_>) -> Label {
    stage.take(4);
    let place = stage.place();
    let far = stage.elsewhere();
    let other = if stage.desktop().software.os == "Windows" { &SLACK_MAC } else { &SLACK_WINDOWS };
    for turn in 0..5 {
        stage.works((turn * 40, turn * 40 + 15), 180, place);
        let (session, first) = (&stage.desktop().session, stage.minute(turn * 40 + 16));
        let device = Some(stage.stranger_device());
        let thief = origin(far, program(other, first), device, session.id, session.stamp);
        for i in 0..6 {
            stage.sends(first.plus(Span::from_secs(i * 30)), HISTORY, thief);
        }
        let last = stage.last();
        stage.person_mut().sign_out(last.plus(Span::from_secs(1)));
    }
    let label = stage.attack(Reason::SessionFingerprint, Difficulty::Moderate, stage.minute(16));
    Label { also: OF_STRANGER.to_vec(), ..stage.chain(label, 10) }
}

fn profile_loop(stage: &mut Stage<'_>) -> Label {
    stage.take(4);
    let place = stage.place();
    let second = Some(slot(stage.person().number, SECOND));
    for turn in 0..8 {
        stage.works((turn * 25 + 1, turn * 25 + 8), 90, place);
        let at = stage.minute(turn * 25 + 9);
        let device = stage.desktop();
        let tls = device.tls;
        let other = origin(place, device.client(at), second, device.session.id, device.session.stamp);
        let other = super::Origin { tls, ..other };
        for i in 0..4 {
            stage.sends(at.plus(Span::from_secs(i * 30)), HISTORY, other);
        }
        let last = stage.last();
        stage.person_mut().sign_out(last.plus(Span::from_secs(1)));
    }
    let label = stage.benign(Reason::SessionFingerprint, stage.minute(9));
    let outcome = stage.org().outcome(Reason::SessionFingerprint, stage.person(), label.start);
    let expected_decisions = outcome.into_iter().collect();
    stage.chain(Label { difficulty: Difficulty::Loop, expected_decisions, ..label }, 3)
}

/// A look-alike within the desktop's session.
fn honest_session(stage: &Stage<'_>) -> Label {
    let session_id = Some(stage.desktop().session.id.to_string());
    Label { session_id, tolerated: NETWORK.to_vec(), ..stage.benign(Reason::SessionFingerprint, stage.minute(0)) }
}

fn parallel_requests(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let place = stage.place();
    let loot = stage.robbed();
    for i in 1..=12 {
        let at = loot.since.plus(Span::from_secs(i * 9));
        let older = loot.same_client(place, loot.stamp);
        stage.sends(at, HISTORY, older);
    }
    stage.works((26, 50), 60, place);
    honest_session(stage)
}

fn unacknowledged_rotation(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let place = stage.place();
    let loot = stage.robbed();
    for i in 0..20 {
        let older = loot.same_client(place, loot.stamp);
        let verb = life::verb(&mut stage.dice);
        stage.sends(stage.minute(20).plus(Span::from_secs(i * 75)), verb, older);
    }
    stage.works((46, 55), 60, place);
    honest_session(stage)
}

fn app_update(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let place = stage.place();
    stage.works((2, 20), 60, place);
    let mut acts = std::mem::take(&mut stage.acts);
    stage.works((22, 50), 60, place);
    // After a restart the app is the next version. Honest life knows nothing of it: the update is rolled back at the
    // end of the hour, and with it the person signs in anew.
    for act in &mut stage.acts {
        act.origin.client = act.origin.client.map(|client| client.updated());
    }
    acts.append(&mut stage.acts);
    stage.acts = acts;
    let label = honest_session(stage);
    let last = stage.last();
    stage.person_mut().sign_out(last.plus(Span::from_secs(1)));
    label
}

fn wifi_mobile_switch(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    for turn in 0..14 {
        let (number, country) = (stage.person().number, stage.person().country);
        let carrier = network::mobile(number, stage.dice.below(60_000), country);
        let address = if turn % 2 == 0 { carrier } else { stage.person().home };
        for i in 0..4 {
            let verb = life::verb(&mut stage.dice);
            stage.own(Kind::Phone, stage.minute(turn * 4).plus(Span::from_secs(i * 25)), address, verb);
        }
    }
    let session_id = Some(stage.person().devices[Kind::Phone as usize].session.id.to_string());
    Label { session_id, ..honest_session(stage) }
}

fn vpn_egress(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let (home, vpn) = (stage.person().home, network::vpn(stage.org().index));
    for (turn, address) in [home, vpn, home, vpn].into_iter().enumerate() {
        stage.works((turn as u64 * 12, turn as u64 * 12 + 10), 50, address);
    }
    honest_session(stage)
}

fn office_nat(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let office = network::office(stage.org().index, stage.org().country);
    let home = stage.person().home;
    stage.works((1, 15), 60, home);
    stage.works((30, 55), 45, office);
    honest_session(stage)
}

fn late_flush(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let place = stage.place();
    stage.works((3, 25), 30, place);
    let flush = stage.minute(26);
    for act in &mut stage.acts {
        act.arrives = flush;
    }
    stage.works((27, 50), 60, place);
    honest_session(stage)
}

fn server_scan(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let place = stage.place();
    stage.works((2, 50), 90, place);
    for i in 0..30 {
        let session = (i % 2 == 0).then_some(stage.desktop().session.id);
        let scan = super::Origin { session, ..SERVER };
        let verb = Verb::Download { file: stage.dice.below(9_000), ok: true };
        stage.sends(stage.minute(5).plus(Span::from_secs(i * 60)), verb, scan);
    }
    Label { session_id: None, ..honest_session(stage) }
}
