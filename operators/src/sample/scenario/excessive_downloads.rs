//! `excessive_downloads`: bursts over what the org is used to, within an hour of any clock; and everything that is a
//! lot without being too much here.

use super::super::act::Verb;
use super::super::calendar::Local;
use super::super::client::CHROME_WINDOWS;
use super::super::label::{Difficulty, Label};
use super::super::life::EXPORT_HOUR;
use super::super::network;
use super::super::org::Style;
use super::super::person::{Kind, Role};
use super::{STRANGER, Scenario, Stage, When, origin, program};
use crate::model::decision::Outcome;
use crate::model::reason::Reason;
use engine::time::{Micros, Span};

const fn scene(name: &'static str, note: &'static str, play: fn(&mut Stage<'_>) -> Label) -> Scenario {
    Scenario { name, note, role: Some(Role::Member), fits: |_| true, when: When::Work(5), play }
}

pub(super) const SCENARIOS: &[Scenario] = &[
    scene("downloads_thief", "A thief with a stolen password downloads ten times what the rule should see.", thief),
    scene(
        "downloads_leaver",
        "Someone about to leave downloads three to five times the org's high quantile from the own desktop.",
        leaver,
    ),
    scene(
        "downloads_across_the_hour",
        "A burst a quarter over what the rule should see, half before and half after the full hour.",
        across_the_hour,
    ),
    scene("downloads_failed", "A broken sync client tries again and again; every download fails.", failed),
    scene("downloads_busy", "A busy hour that stays well under what is too much here.", busy),
    Scenario {
        role: Some(Role::Archivist),
        when: When::Hour(|person| person.burst_hour()),
        ..scene("downloads_by_habit", "An archivist downloads a lot, as every day at this hour.", by_habit)
    },
    Scenario {
        role: Some(Role::Exporter),
        when: When::Hour(|_| EXPORT_HOUR),
        ..scene("downloads_export_app", "An app exports files on the user's behalf, as every night.", export_app)
    },
    Scenario {
        role: None,
        fits: |org| org.style == Style::Bank,
        when: When::LastDay,
        ..scene("downloads_quarter_end", "The quarter ends: everybody in the org downloads more.", quarter_end)
    },
    Scenario {
        role: None,
        fits: |org| org.high > 100,
        when: When::FirstDay,
        ..scene("downloads_cold_start", "Nothing is known of the org yet, and it downloads a lot.", cold_start)
    },
];

/// The times of `count` downloads from `begin` on, evenly over `minutes`.
fn times(begin: Micros, count: u64, minutes: u64) -> impl Iterator<Item = Micros> {
    (0..count).map(move |i| begin.plus(Span::from_millis(i * minutes * 60_000 / count)))
}

/// So many downloads from the own desktop; returns the time of the one that is too many.
fn burst(stage: &mut Stage<'_>, begin: Micros, count: u64, minutes: u64) -> Micros {
    stage.take(3);
    let place = stage.place();
    for at in times(begin, count, minutes) {
        let file = stage.dice.below(9_000);
        stage.own(Kind::Desktop, at, place, Verb::Download { file, ok: true });
    }
    too_many(stage, begin, count, minutes)
}

/// When a burst goes over the least that the rule may call too many.
fn too_many(stage: &Stage<'_>, begin: Micros, count: u64, minutes: u64) -> Micros {
    let bar = stage.org().bar_least() as usize;
    times(begin, count, minutes).nth(bar).expect("bursts are larger than the bar")
}

/// An attack that begins before it can be told. The window slides on for an hour after it.
fn attack(stage: &Stage<'_>, difficulty: Difficulty, begin: Micros, first: Micros) -> Label {
    let tolerated = vec![Reason::UnexpectedApiCallVolume, Reason::UnexpectedScraping];
    let end = stage.last().plus(Span::from_mins(61)).min(stage.world.calendar.end());
    Label { start: begin, end, tolerated, ..stage.attack(Reason::ExcessiveDownloads, difficulty, first) }
}

fn thief(stage: &mut Stage<'_>) -> Label {
    let (begin, count) = (stage.minute(35), stage.org().bar_sure() * 10);
    let (far, session) = (network::elsewhere(&mut stage.dice), stage.stranger_session(1));
    let thief = origin(far, program(&CHROME_WINDOWS, begin), Some(stage.stranger_device()), session, begin);
    stage.sends(begin, Verb::Login, thief);
    for at in times(begin, count, 50) {
        let file = stage.dice.below(9_000);
        stage.sends(at, Verb::Download { file, ok: true }, thief);
    }
    let first = too_many(stage, begin, count, 50);
    Label { also: STRANGER.to_vec(), ..attack(stage, Difficulty::Blatant, begin, first) }
}

fn leaver(stage: &mut Stage<'_>) -> Label {
    let begin = stage.minute(35);
    let count = stage.org().bar_sure() * stage.dice.between(150, 250) / 100;
    let first = burst(stage, begin, count, 45);
    attack(stage, Difficulty::Moderate, begin, first)
}

fn across_the_hour(stage: &mut Stage<'_>) -> Label {
    let begin = stage.minute(32);
    let count = stage.org().bar_sure() * 5 / 4;
    let first = burst(stage, begin, count, 56);
    attack(stage, Difficulty::Stealthy, begin, first)
}

fn failed(stage: &mut Stage<'_>) -> Label {
    stage.take(2);
    let (begin, count, place) = (stage.minute(10), stage.org().bar_sure() * 2, stage.place());
    for at in times(begin, count, 45) {
        let file = stage.dice.below(9_000);
        stage.own(Kind::Desktop, at, place, Verb::Download { file, ok: false });
    }
    stage.benign(Reason::ExcessiveDownloads, begin)
}

fn busy(stage: &mut Stage<'_>) -> Label {
    stage.take(2);
    // With what was downloaded in the hour before, still under the bar.
    let (begin, count, place) = (stage.minute(5), stage.org().bar_least() / 2, stage.place());
    for at in times(begin, count, 50) {
        let file = stage.dice.below(9_000);
        stage.own(Kind::Desktop, at, place, Verb::Download { file, ok: true });
    }
    stage.benign(Reason::ExcessiveDownloads, begin)
}

fn by_habit(stage: &mut Stage<'_>) -> Label {
    Label { end: stage.minute(60), ..stage.benign(Reason::ExcessiveDownloads, stage.minute(0)) }
}

fn export_app(stage: &mut Stage<'_>) -> Label {
    // The app is judged by itself; nobody's sessions end for it.
    Label {
        end: stage.minute(60),
        tolerated: vec![Reason::ExcessiveDownloads],
        expected_decisions: vec![Outcome::AppActor],
        ..stage.benign(Reason::ExcessiveDownloads, stage.minute(0))
    }
}

fn quarter_end(stage: &mut Stage<'_>) -> Label {
    debug_assert!(Local::of(stage.minute(0), 0).is_workday());
    whole_org(stage, 1)
}

fn cold_start(stage: &mut Stage<'_>) -> Label {
    Label { tolerated: vec![Reason::ExcessiveDownloads], ..whole_org(stage, 3) }
}

fn whole_org(stage: &Stage<'_>, days: u64) -> Label {
    let end = stage.minute(days * 24 * 60).min(stage.world.calendar.end());
    Label { user: "*".to_owned(), end, ..stage.benign(Reason::ExcessiveDownloads, stage.minute(0)) }
}
