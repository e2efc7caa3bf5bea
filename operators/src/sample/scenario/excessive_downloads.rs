//! `excessive_downloads`: bursts over what the org is used to, within an hour of any clock; a ramp over days; and
//! everything that is a lot without being too much here.

use super::super::act::Verb;
use super::super::calendar::Local;
use super::super::label::{Difficulty, Label};
use super::super::org::Style;
use super::super::person::{Kind, Role};
use super::super::volume::Volume;
use super::volumes::{OF_DOWNLOADS, attack, burst};
use super::{Scenario, Stage, When, scene, times, whole_org};
use crate::model::decision::Outcome;
use crate::model::reason::Reason;
use engine::time::Span;

pub(super) const SCENARIOS: &[Scenario] = &[
    scene(
        "downloads_thief",
        "A thief with a stolen password downloads ten times what the rule should see.",
        OF_DOWNLOADS[0],
    ),
    scene(
        "downloads_leaver",
        "Someone about to leave downloads three to five times the org's high quantile from the own desktop.",
        OF_DOWNLOADS[1],
    ),
    scene(
        "downloads_across_the_hour",
        "A burst a quarter over what the rule should see, half before and half after the full hour.",
        OF_DOWNLOADS[2],
    ),
    Scenario {
        when: When::Ramp,
        ..scene(
            "downloads_ramp",
            "Someone downloads a little more every day, so that habit and org get used to it.",
            slow_ramp,
        )
    },
    scene("downloads_failed", "A broken sync client tries again and again; every download fails.", failed),
    scene("downloads_busy", "A busy hour that stays well under what is too much here.", OF_DOWNLOADS[3]),
    Scenario {
        role: Some(Role::Archivist),
        when: When::Hour(|person| person.burst_hour()),
        ..scene("downloads_by_habit", "An archivist downloads a lot, as every day at this hour.", by_habit)
    },
    Scenario {
        role: Some(Role::Exporter),
        when: When::FirstDay,
        ..scene("downloads_export_app", "An app exports files on the user's behalf, every night.", export_app)
    },
    Scenario {
        role: None,
        fits: |org| org.style == Style::Bank,
        when: When::LastDay,
        ..scene("downloads_quarter_end", "The quarter ends: everybody in the org downloads more.", quarter_end)
    },
    Scenario {
        role: None,
        fits: |org| org.style == Style::Studio || org.style == Style::CallCentre,
        when: When::FirstDay,
        ..scene(
            "downloads_cold_start",
            "Nothing is known of the org yet, and people download or search a lot.",
            cold_start,
        )
    },
];

fn failed(stage: &mut Stage<'_>) -> Label {
    stage.take(2);
    let (begin, count, place) = (stage.minute(10), stage.org().bar_least(Volume::Downloads) * 2, stage.place());
    for at in times(begin, count, 45) {
        let file = stage.dice.below(9_000);
        stage.own(Kind::Desktop, at, place, Verb::Download { file, ok: false });
    }
    stage.benign(Reason::ExcessiveDownloads, begin)
}

fn by_habit(stage: &mut Stage<'_>) -> Label {
    Label { end: stage.minute(60), ..stage.benign(Reason::ExcessiveDownloads, stage.minute(0)) }
}

fn export_app(stage: &mut Stage<'_>) -> Label {
    // The app is judged by itself, every night anew; nobody's sessions end for it.
    Label {
        end: stage.world.calendar.end(),
        tolerated: vec![Reason::ExcessiveDownloads],
        expected_decisions: vec![Outcome::AppActor],
        ..stage.benign(Reason::ExcessiveDownloads, stage.minute(0))
    }
}

fn quarter_end(stage: &mut Stage<'_>) -> Label {
    debug_assert!(Local::of(stage.minute(0), 0).is_workday());
    let label = whole_org(stage, Reason::ExcessiveDownloads, 1);
    Label { reasons: vec![Reason::ExcessiveDownloads, Reason::UnexpectedApiCallVolume], ..label }
}

fn cold_start(stage: &mut Stage<'_>) -> Label {
    let label = whole_org(stage, Reason::ExcessiveDownloads, 5);
    Label { reasons: vec![Reason::ExcessiveDownloads, Reason::SearchVolume], ..label }
}

/// What is downloaded in the busiest hour of each working day, in hundredths of what is surely too much. From one day
/// to the next it grows no faster than a user's own habit may follow; the last is over what any habit allows.
const RAMP: [(u64, u64); 7] = [(0, 30), (1, 42), (4, 59), (5, 83), (6, 117), (7, 165), (8, 240)];

fn slow_ramp(stage: &mut Stage<'_>) -> Label {
    stage.take(8 * 24 + 10);
    let (place, begin) = (stage.place(), stage.minute(0));
    let mut first = None;
    for (day, percent) in RAMP {
        let from = day * 24 * 60;
        stage.works((from, from + 50), 240, place);
        let start = stage.minute(from + 60);
        let much = (start, stage.org().bar_sure(Volume::Downloads, begin) * percent / 100, 50);
        burst(stage, Volume::Downloads, much);
        let bar = stage.org().bar_least(Volume::Downloads).max(stage.org().bar_sure(Volume::Downloads, begin));
        first = first.or_else(|| times(much.0, much.1, much.2).nth(bar as usize));
    }
    let first = first.expect("the ramp goes over the bar");
    let label = attack(stage, Volume::Downloads, Difficulty::Stealthy, begin, first);
    // Found within three days, or not at all; each of them may be answered.
    let max_responses = label.max_responses.map(|most| most * 3);
    Label { end: first.plus(Span::from_days(3)), max_responses, ..label }
}
