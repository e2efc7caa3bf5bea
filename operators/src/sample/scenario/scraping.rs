//! `unexpected_scraping`: a tool at work in somebody's name, or everything read one after the other; and those who read
//! a lot for a reason.

use super::super::act::{Origin, Verb};
use super::super::client::{CHROME_MAC, CHROME_WINDOWS, GO};
use super::super::label::{Difficulty, Label};
use super::super::life;
use super::super::network;
use super::super::person::{Kind, SECOND, slot};
use super::super::volume::Volume;
use super::volumes::{attack, too_many};
use super::{OF_STRANGER, Scenario, Stage, When, is_mobile, measured, origin, program, session_id};
use crate::model::reason::Reason;
use engine::time::{Micros, Span};

pub(super) const SCENARIOS: &[Scenario] = &[
    measured("scrape_tool", "A Go program with a copied cookie reads channel after channel.", tool),
    measured("scrape_breadth", "A thief's browser reads one channel after the other for an hour.", breadth_fast),
    measured("scrape_breadth_slow", "The same, hardly faster than a busy person reads.", breadth_slow),
    Scenario {
        when: When::Work(2),
        ..measured(
            "cli_ping_pong",
            "An honest user's command-line client and desktop sign each other out, turn by turn.",
            ping_pong,
        )
    },
    Scenario {
        fits: |org| is_mobile(org) && !org.is_plain(),
        ..measured("scrape_native", "A phone that was set up anew fetches everything.", native)
    },
    Scenario {
        fits: |org| is_mobile(org) && !org.is_plain(),
        ..measured("scrape_skim", "Someone skims many channels within minutes, in a browser at home.", skim)
    },
];

fn tool(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let loot = stage.robbed();
    let (first, server) = (stage.minute(24), network::cloud(&mut stage.dice));
    let thief = origin(server, program(&GO, first), Some(stage.stranger_device()), loot.session, loot.stamp);
    let much = stage.org().bar_sure(Volume::Breadth, first);
    stage.sends_many((first, much, 30), thief, |dice| Volume::Breadth.verb(dice));
    let session_id = Some(loot.session.to_string());
    let also = [&OF_STRANGER[..], &[Reason::SessionFingerprint]].concat();
    let label = attack(stage, Volume::Breadth, Difficulty::Blatant, first, first);
    Label { session_id, also, ..label }
}

fn breadth_fast(stage: &mut Stage<'_>) -> Label {
    breadth(stage, Difficulty::Moderate, 200)
}

fn breadth_slow(stage: &mut Stage<'_>) -> Label {
    breadth(stage, Difficulty::Stealthy, 125)
}

/// A thief's browser reads `percent` of what is surely too much, evenly over nearly an hour.
fn breadth(stage: &mut Stage<'_>, difficulty: Difficulty, percent: u64) -> Label {
    let begin = stage.minute(4);
    let far = stage.elsewhere();
    let thief = stage.stranger(far, program(&CHROME_WINDOWS, begin), 1, begin);
    stage.sends(begin, Verb::Login, thief);
    let much = (begin.plus(Span::from_secs(2)), stage.org().bar_sure(Volume::Breadth, begin) * percent / 100, 56);
    stage.sends_many(much, thief, |dice| Volume::Breadth.verb(dice));
    // Steady is what goes on for more than half an hour.
    let steady: Micros = begin.plus(Span::from_mins(33));
    let first =
        super::times(much.0, much.1, much.2).find(|at| *at >= too_many(stage, Volume::Breadth, much).max(steady));
    let first = first.expect("it goes on for longer than that");
    let label = attack(stage, Volume::Breadth, difficulty, begin, first);
    Label { also: OF_STRANGER.to_vec(), ..label }
}

fn ping_pong(stage: &mut Stage<'_>) -> Label {
    stage.take(5);
    let place = stage.place();
    for turn in 0..7 {
        stage.works((turn * 40, turn * 40 + 12), 120, place);
        let last = stage.last();
        stage.person_mut().sign_out(last.plus(Span::from_secs(1)));
        let at = stage.minute(turn * 40 + 14);
        let own = slot(stage.plant.person, SECOND);
        let cli = origin(place, program(&GO, at), Some(own), session_id(own, turn + 1), at);
        let cli = Origin { claim: Some(super::super::act::Claim::Text("slackcli/0.9.2")), ..cli };
        stage.sends(at, Verb::Login, cli);
        stage.sends_many((at.plus(Span::from_secs(3)), 12, 4), cli, |_| Verb::Call { method: "conversations.list" });
    }
    let label = stage.benign(Reason::UnexpectedScraping, stage.minute(14));
    let outcome = stage.org().outcome(Reason::UnexpectedScraping, stage.person(), label.start);
    let expected_decisions = outcome.into_iter().collect();
    let label = Label { difficulty: Difficulty::Loop, tolerated: OF_STRANGER.to_vec(), expected_decisions, ..label };
    stage.chain(label, 3)
}

fn native(stage: &mut Stage<'_>) -> Label {
    stage.take(2);
    let home = stage.person().home;
    let much = (stage.minute(3), stage.org().bar_least(Volume::Calls) * 8 / 10, 55);
    for at in super::times(much.0, much.1, much.2) {
        let verb = Volume::Breadth.verb(&mut stage.dice);
        stage.own(Kind::Phone, at, home, verb);
    }
    let label = stage.benign(Reason::UnexpectedScraping, stage.minute(3));
    Label { reasons: vec![Reason::UnexpectedScraping, Reason::UnexpectedApiCallVolume], ..label }
}

fn skim(stage: &mut Stage<'_>) -> Label {
    stage.take(2);
    let (home, begin) = (stage.person().home, stage.minute(5));
    let own = slot(stage.plant.person, SECOND);
    let tls = stage.desktop().tls;
    let browser = Origin { tls, ..origin(home, program(&CHROME_MAC, begin), Some(own), session_id(own, 1), begin) };
    stage.sends(begin, Verb::Login, browser);
    let much = (begin.plus(Span::from_secs(2)), stage.org().bar_least(Volume::Breadth) * 8 / 10, 15);
    stage.sends_many(much, browser, |dice| Volume::Breadth.verb(dice));
    stage.sends_many((stage.minute(25), 10, 20), browser, life::verb);
    stage.benign(Reason::UnexpectedScraping, begin)
}
