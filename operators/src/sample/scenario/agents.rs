//! What a client says of itself and what was measured: `user_agent`, `unexpected_user_agent`, `spoofed_user_agent` and
//! `unexpected_client`; and honest clients that change, are new, or say something odd.

use super::super::act::{Claim, Origin, Verb};
use super::super::client::{CURL, FIREFOX_LINUX, GO, HEADLESS, NODE, PYTHON, SLACK_LINUX, SLACK_WINDOWS};
use super::super::label::{Difficulty, Label};
use super::super::life;
use super::super::machines::{SCRIPTED, script};
use super::super::network;
use super::super::org::Style;
use super::super::person::{Kind, Role, SECOND, slot};
use super::{NETWORK, OF_STRANGER, SERVER, Scenario, Stage, When, is_mobile, measured, origin, program, scene};
use crate::model::decision::Outcome;
use crate::model::reason::Reason;
use engine::time::{Micros, Span};

pub(super) const SCENARIOS: &[Scenario] = &[
    scene("agent_other_family", "A session goes on in another browser on another system.", other_family),
    scene("agent_downgrade", "A copied cookie is replayed by the same program, long out of date.", downgrade),
    Scenario {
        fits: |org| org.rollback.is_none(),
        ..scene("agent_step_down", "Three requests of a session come from the version before.", step_down)
    },
    scene("agent_curl_session", "A stolen cookie is used with curl.", curl_session),
    scene("agent_python_token", "A stolen token is used from a script that says what it is.", python_token),
    scene("agent_implausible", "A stranger claims a program that nobody ever made.", implausible),
    scene("agent_single_call", "A stolen token is tried once, from a script.", single_call),
    measured("spoof_go_replay", "The desktop's cookie is replayed from a Go program that claims to be it.", go_replay),
    measured("spoof_python_login", "A script signs in and claims to be a browser.", python_login),
    measured("spoof_other_system", "A stranger claims another system than was measured.", other_system),
    Scenario {
        when: When::Work(1),
        ..measured(
            "spoof_own_script",
            "A user's own script replays the desktop's cookie every hour and signs in again after each reset.",
            own_script,
        )
    },
    measured("client_headless", "A stranger signs in with an automated browser that says so.", headless),
    measured("client_silent", "A stolen token is used from a Go program that says nothing of itself.", silent),
    measured("client_unheard_of", "A stolen token is used twice by a program that nobody has heard of.", unheard_of),
    Scenario {
        role: None,
        fits: |org| org.rollback.is_some(),
        when: When::Rollback,
        ..scene("agent_rollback", "The desktop app is rolled back, person by person, over a day and a half.", rollback)
    },
    Scenario { fits: is_mobile, ..scene("agent_ipad", "A tablet claims to be a computer.", tablet) },
    Scenario { fits: is_mobile, ..scene("agent_new_laptop", "Someone has a new computer at home.", new_laptop) },
    Scenario {
        role: Some(Role::Developer),
        fits: |org| org.trusts_builds(),
        ..measured(
            "script_at_desk",
            "A script that has run on a trusted build server for days is run once at its developer's desk.",
            script_at_desk,
        )
    },
];

const HISTORY: Verb = Verb::Call { method: "conversations.history" };

/// A token without a session, used by a program.
fn token(stage: &mut Stage<'_>, software: &'static super::Software, at: Micros) -> Origin {
    let address = Some(stage.elsewhere());
    Origin { address, client: Some(program(software, at)), ..SERVER }
}

/// The label of an attack by a stranger, who may rightly give many reasons.
fn stranger(stage: &Stage<'_>, reason: Reason, difficulty: Difficulty, first: Micros) -> Label {
    let mut also = [&OF_STRANGER[..], &[Reason::SessionFingerprint]].concat();
    also.retain(|other| *other != reason);
    Label { also, ..stage.attack(reason, difficulty, first) }
}

fn other_family(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let loot = stage.robbed();
    let (first, far) = (stage.minute(22), stage.elsewhere());
    let stamp = stage.desktop().session.stamp;
    let thief = origin(far, program(&FIREFOX_LINUX, first), Some(stage.stranger_device()), loot.session, stamp);
    stage.sends_many((first, 15, 10), thief, life::verb);
    let session_id = Some(loot.session.to_string());
    Label { session_id, ..stranger(stage, Reason::UserAgent, Difficulty::Blatant, first) }
}

fn downgrade(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let loot = stage.robbed();
    let (first, far) = (stage.minute(22), stage.elsewhere());
    let stamp = stage.desktop().session.stamp;
    let thief = Origin { client: Some(loot.client.outdated()), ..loot.same_client(far, stamp) };
    stage.sends_many((first, 12, 10), thief, life::verb);
    let session_id = Some(loot.session.to_string());
    Label { session_id, ..stranger(stage, Reason::UserAgent, Difficulty::Moderate, first) }
}

fn step_down(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let loot = stage.robbed();
    let (first, place) = (stage.minute(24), stage.place());
    let stamp = stage.desktop().session.stamp;
    let client = if loot.client.software.name == "Slack Desktop" {
        loot.client.rolled_back()
    } else {
        super::Client { release: loot.client.release - 1, ..loot.client }
    };
    let older = Origin { client: Some(client), ..loot.same_client(place, stamp) };
    stage.sends_many((first, 3, 2), older, life::verb);
    let session_id = Some(loot.session.to_string());
    Label { session_id, ..stranger(stage, Reason::UserAgent, Difficulty::Stealthy, first) }
}

fn curl_session(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let loot = stage.robbed();
    let (first, server) = (stage.minute(24), network::cloud(&mut stage.dice));
    let thief = origin(server, program(&CURL, first), Some(stage.stranger_device()), loot.session, loot.stamp);
    stage.sends_many((first, 40, 10), thief, |_| HISTORY);
    let session_id = Some(loot.session.to_string());
    Label { session_id, ..stranger(stage, Reason::UnexpectedUserAgent, Difficulty::Blatant, first) }
}

fn python_token(stage: &mut Stage<'_>) -> Label {
    let first = stage.minute(10);
    let thief = token(stage, &PYTHON, first);
    stage.sends_many((first, 20, 15), thief, |_| HISTORY);
    stranger(stage, Reason::UnexpectedUserAgent, Difficulty::Moderate, first)
}

fn implausible(stage: &mut Stage<'_>) -> Label {
    const NOBODYS: &str = "Mozilla/5.0 (Windows NT 10.0; iPhone; Android 15) AppleWebKit/537.36 Slack_SSB/0.0.0";
    let (first, far) = (stage.minute(10), stage.elsewhere());
    let session = stage.stranger_session(1);
    let (address, claim) = (Some(far), Some(Claim::Text(NOBODYS)));
    let thief = Origin { address, claim, session: Some(session), cookie: Some(first), ..SERVER };
    stage.sends(first, Verb::Login, thief);
    stage.sends_many((first.plus(Span::from_secs(5)), 15, 10), thief, life::verb);
    let session_id = Some(session.to_string());
    Label { session_id, ..stranger(stage, Reason::UnexpectedUserAgent, Difficulty::Moderate, first) }
}

fn single_call(stage: &mut Stage<'_>) -> Label {
    let first = stage.minute(25);
    let thief = token(stage, &NODE, first);
    stage.sends(first, HISTORY, thief);
    stranger(stage, Reason::UnexpectedUserAgent, Difficulty::Stealthy, first)
}

fn go_replay(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let loot = stage.robbed();
    let (first, server) = (stage.minute(24), network::cloud(&mut stage.dice));
    let thief = origin(server, program(&GO, first), Some(loot.device), loot.session, loot.stamp);
    let thief = Origin { claim: Some(Claim::Of(loot.client)), ..thief };
    stage.sends_many((first, 60, 10), thief, |_| HISTORY);
    let session_id = Some(loot.session.to_string());
    Label { session_id, ..stranger(stage, Reason::SpoofedUserAgent, Difficulty::Blatant, first) }
}

fn python_login(stage: &mut Stage<'_>) -> Label {
    let (first, far) = (stage.minute(10), stage.elsewhere());
    let claim = Some(Claim::Of(program(&super::super::client::CHROME_WINDOWS, first)));
    let thief = Origin { claim, ..stage.stranger(far, program(&PYTHON, first), 1, first) };
    stage.sends(first, Verb::Login, thief);
    stage.sends_many((first.plus(Span::from_secs(5)), 25, 15), thief, life::verb);
    let session_id = Some(stage.stranger_session(1).to_string());
    Label { session_id, ..stranger(stage, Reason::SpoofedUserAgent, Difficulty::Moderate, first) }
}

fn other_system(stage: &mut Stage<'_>) -> Label {
    let (first, far) = (stage.minute(20), stage.elsewhere());
    let claim = Some(Claim::Of(program(&SLACK_WINDOWS, first)));
    let thief = Origin { claim, ..stage.stranger(far, program(&SLACK_LINUX, first), 1, first) };
    stage.sends(first, Verb::Login, thief);
    stage.sends_many((first.plus(Span::from_secs(20)), 2, 2), thief, |_| HISTORY);
    let session_id = Some(stage.stranger_session(1).to_string());
    Label { session_id, ..stranger(stage, Reason::SpoofedUserAgent, Difficulty::Stealthy, first) }
}

fn own_script(stage: &mut Stage<'_>) -> Label {
    stage.take(7);
    let place = stage.place();
    for turn in 0..6 {
        stage.works((turn * 60, turn * 60 + 25), 200, place);
        let at = stage.minute(turn * 60 + 30);
        let device = stage.desktop();
        let (claim, id, session) = (device.client(at), device.id, device.session.id);
        let run = origin(place, program(&GO, at), Some(id), session, device.session.stamp);
        let run = Origin { claim: Some(Claim::Of(claim)), ..run };
        stage.sends_many((at, 10, 1), run, |_| HISTORY);
        let last = stage.last();
        stage.person_mut().sign_out(last.plus(Span::from_secs(1)));
    }
    let label = stage.benign(Reason::SpoofedUserAgent, stage.minute(30));
    let outcome = stage.org().outcome(Reason::SpoofedUserAgent, stage.person(), label.start);
    let tolerated = [&OF_STRANGER[..], &[Reason::SessionFingerprint]].concat();
    let expected_decisions: Vec<Outcome> = outcome.into_iter().collect();
    stage.chain(Label { difficulty: Difficulty::Loop, tolerated, expected_decisions, ..label }, 3)
}

fn headless(stage: &mut Stage<'_>) -> Label {
    let (first, server) = (stage.minute(10), network::cloud(&mut stage.dice));
    let thief = stage.stranger(server, program(&HEADLESS, first), 1, first);
    stage.sends(first, Verb::Login, thief);
    stage.sends_many((first.plus(Span::from_secs(5)), 30, 15), thief, life::verb);
    let session_id = Some(stage.stranger_session(1).to_string());
    Label { session_id, ..stranger(stage, Reason::UnexpectedClient, Difficulty::Blatant, first) }
}

fn silent(stage: &mut Stage<'_>) -> Label {
    let first = stage.minute(15);
    let thief = Origin { claim: Some(Claim::Text("")), ..token(stage, &GO, first) };
    stage.sends_many((first, 15, 10), thief, |_| HISTORY);
    stranger(stage, Reason::UnexpectedClient, Difficulty::Moderate, first)
}

fn unheard_of(stage: &mut Stage<'_>) -> Label {
    let first = stage.minute(15);
    let thief = Origin { claim: Some(Claim::Text("acme-sync/1.0")), ..token(stage, &NODE, first) };
    stage.sends_many((first, 2, 2), thief, |_| HISTORY);
    stranger(stage, Reason::UnexpectedClient, Difficulty::Stealthy, first)
}

fn rollback(stage: &mut Stage<'_>) -> Label {
    debug_assert_eq!(stage.org().style, Style::Studio);
    let (from, until) = stage.world.calendar.rollback();
    let tolerated = vec![Reason::UserAgent];
    let until = until.plus(Span::from_hours(12)).min(stage.world.calendar.end());
    let benign = Label { start: from, first_detectable: from, ..stage.benign(Reason::UserAgent, from) };
    Label { user: "*".to_owned(), end: until, tolerated, ..benign }
}

fn tablet(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let home = stage.person().home;
    for i in 0..20 {
        let (at, verb) = (stage.minute(5).plus(Span::from_secs(i * 100)), life::verb(&mut stage.dice));
        stage.own(Kind::Tablet, at, home, verb);
    }
    let label = stage.benign(Reason::SpoofedUserAgent, stage.minute(5));
    let reasons = vec![Reason::SpoofedUserAgent, Reason::UnexpectedClient, Reason::UserAgent];
    Label { reasons, tolerated: NETWORK.to_vec(), ..label }
}

fn new_laptop(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let (home, begin) = (stage.person().home, stage.minute(5));
    let desktop = stage.desktop();
    let (session, device) = (super::session_id(slot(stage.plant.person, SECOND), 1), slot(stage.plant.person, SECOND));
    let software = if desktop.software.os == "Windows" { &super::super::client::SLACK_MAC } else { &SLACK_WINDOWS };
    let tls = desktop.tls;
    let own = Origin { tls, ..origin(home, program(software, begin), Some(device), session, begin) };
    stage.sends(begin, Verb::Login, own);
    stage.sends_many((begin.plus(Span::from_secs(3)), 30, 45), own, life::verb);
    let label = stage.benign(Reason::UserAgent, begin);
    let reasons = vec![Reason::UserAgent, Reason::UnexpectedClient, Reason::IpAddress, Reason::SessionFingerprint];
    Label { reasons, ..label }
}

fn script_at_desk(stage: &mut Stage<'_>) -> Label {
    let (place, begin) = (stage.place(), stage.minute(12));
    stage.sends_many((begin, 30, 20), script(place, begin), |_| SCRIPTED);
    let label = stage.benign(Reason::UnexpectedUserAgent, begin);
    let reasons = vec![Reason::UnexpectedUserAgent, Reason::UnexpectedClient, Reason::UnexpectedScraping];
    Label { reasons, ..label }
}
