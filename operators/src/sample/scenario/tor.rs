//! `tor`: an exit in use, by a thief or by the user, where it is answered and where the org has decided otherwise.

use super::super::act::Verb;
use super::super::client::{HEADLESS, TOR_BROWSER};
use super::super::label::{Difficulty, Label};
use super::super::life;
use super::super::network;
use super::super::org::Style;
use super::super::person::{Kind, Role};
use super::{NETWORK, OF_STRANGER, Scenario, Stage, When, origin, program, scene};
use crate::model::reason::Reason;
use engine::time::Span;

const fn by_user(name: &'static str, note: &'static str, role: Role) -> Scenario {
    Scenario { role: Some(role), ..scene(name, note, own_desktop) }
}

pub(super) const SCENARIOS: &[Scenario] = &[
    scene(
        "tor_stolen_cookie",
        "A buyer of stolen cookies replays one through Tor with an automated browser.",
        stolen_cookie,
    ),
    scene("tor_stolen_password", "A thief signs in through Tor Browser with a stolen password.", stolen_password),
    by_user("tor_own_desktop", "A user sends the own desktop through Tor.", Role::Member),
    scene("tor_single_request", "One request of an own device goes through Tor, all others do not.", single_request),
    by_user("tor_exempt_user", "A user whom some orgs exclude by name works through Tor.", Role::Exempt),
    by_user("tor_exempt_group", "A member of the red team works through Tor.", Role::RedTeam),
    by_user("tor_guest_listed", "A guest, as the directory says, works through Tor.", Role::GuestListed),
    by_user("tor_guest_unlisted", "A guest whom only the events call one works through Tor.", Role::GuestUnlisted),
    by_user("tor_bot", "A bot runs behind Tor.", Role::Bot),
    Scenario {
        when: When::Work(2),
        ..scene(
            "tor_persisting",
            "A thief with a stolen password comes back through Tor every 20 minutes, each time in a new session.",
            persisting,
        )
    },
    scene(
        "tor_many_sessions",
        "A thief with a stolen password opens thirty sessions in an hour through Tor while the victim works on.",
        many_sessions,
    ),
    Scenario {
        when: When::Work(2),
        ..scene(
            "tor_loop",
            "An honest user of Tor signs in again after every reset, from the same device.",
            honest_loop,
        )
    },
    Scenario {
        fits: |org| org.style == Style::Bank,
        ..scene(
            "tor_trusted_network",
            "The security lab runs an exit of its own; the org trusts the lab's network.",
            trusted_network,
        )
    },
    scene("tor_neighbour", "An address in a prefix full of exits that is none itself.", neighbour),
];

fn stolen_cookie(stage: &mut Stage<'_>) -> Label {
    stage.take(2);
    let loot = stage.robbed();
    let place = stage.place();
    let first = stage.minute(22);
    for i in 0..40 {
        let at = first.plus(Span::from_secs(i * 20));
        let client = program(&HEADLESS, first);
        let thief = origin(stage.exit(), client, Some(stage.stranger_device()), loot.session, loot.stamp);
        stage.sends(at, Verb::Call { method: "conversations.history" }, thief);
    }
    stage.works((23, 35), 150, place);
    let also = [&OF_STRANGER[..], &[Reason::SessionFingerprint]].concat();
    let session_id = Some(loot.session.to_string());
    Label { session_id, also, ..stage.attack(Reason::Tor, Difficulty::Blatant, first) }
}

fn stolen_password(stage: &mut Stage<'_>) -> Label {
    let first = stage.minute(5);
    let session = stage.stranger_session(1);
    visit(stage, session, first, 25, 60);
    let session_id = Some(session.to_string());
    Label { session_id, also: OF_STRANGER.to_vec(), ..stage.attack(Reason::Tor, Difficulty::Moderate, first) }
}

/// A thief signs in through Tor Browser and looks around.
fn visit(stage: &mut Stage<'_>, session: u64, first: engine::time::Micros, events: u64, gap: u64) {
    let (exit, client) = (stage.exit(), program(&TOR_BROWSER, first));
    let thief = origin(exit, client, Some(stage.stranger_device()), session, first);
    stage.sends(first, Verb::Login, thief);
    for i in 1..=events {
        let verb = life::verb(&mut stage.dice);
        stage.sends(first.plus(Span::from_secs(i * gap)), verb, thief);
    }
}

fn own_desktop(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let exit = stage.exit();
    stage.works((5, 35), 120, exit);
    let session_id = Some(stage.desktop().session.id.to_string());
    let first = stage.minute(5);
    Label { session_id, tolerated: NETWORK.to_vec(), ..stage.attack(Reason::Tor, Difficulty::Moderate, first) }
}

fn single_request(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let (place, exit, first) = (stage.place(), stage.exit(), stage.minute(25));
    stage.works((2, 24), 180, place);
    stage.own(Kind::Desktop, first, exit, Verb::Call { method: "files.info" });
    stage.works((27, 50), 180, place);
    let session_id = Some(stage.desktop().session.id.to_string());
    Label { session_id, tolerated: NETWORK.to_vec(), ..stage.attack(Reason::Tor, Difficulty::Stealthy, first) }
}

fn persisting(stage: &mut Stage<'_>) -> Label {
    let first = stage.minute(3);
    for turn in 0..13 {
        let session = stage.stranger_session(turn + 1);
        visit(stage, session, stage.minute(3 + turn * 20), 6, 35);
    }
    let label = stage.attack(Reason::Tor, Difficulty::Moderate, first);
    Label { also: OF_STRANGER.to_vec(), ..stage.chain(label, 10) }
}

fn many_sessions(stage: &mut Stage<'_>) -> Label {
    for turn in 0..30 {
        let session = stage.stranger_session(turn + 1);
        visit(stage, session, stage.minute(3).plus(Span::from_secs(turn * 110)), 2, 20);
    }
    let label = stage.attack(Reason::Tor, Difficulty::Blatant, stage.minute(3));
    Label { also: OF_STRANGER.to_vec(), ..stage.chain(label, 10) }
}

fn honest_loop(stage: &mut Stage<'_>) -> Label {
    stage.take(4);
    for turn in 0..10 {
        let exit = stage.exit();
        stage.works((5 + turn * 20, 12 + turn * 20), 60, exit);
        let last = stage.last();
        stage.person_mut().sign_out(last.plus(Span::from_secs(1)));
    }
    let label = stage.benign(Reason::Tor, stage.minute(5));
    let outcome = stage.org().outcome(Reason::Tor, stage.person(), label.start);
    let expected_decisions = outcome.into_iter().collect();
    let (difficulty, tolerated) = (Difficulty::Loop, NETWORK.to_vec());
    stage.chain(Label { difficulty, tolerated, expected_decisions, ..label }, 3)
}

fn trusted_network(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let lab = network::lab_exit(stage.org().index);
    stage.works((5, 45), 90, lab);
    stage.benign(Reason::Tor, stage.minute(5))
}

fn neighbour(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    stage.works((5, 45), 90, network::beside_exits());
    Label { tolerated: NETWORK.to_vec(), ..stage.benign(Reason::Tor, stage.minute(5)) }
}
