//! The volume rules: too much of one thing within an hour of any clock, of each kind; and what is a lot without being
//! too much. What only downloads have is in `excessive_downloads`.

use super::super::client::CHROME_WINDOWS;
use super::super::label::{Difficulty, Label};
use super::super::org::Style;
use super::super::person::{Kind, Role};
use super::super::volume::Volume;
use super::{OF_STRANGER, Scenario, Stage, When, measured, program, scene, times};
use crate::model::reason::Reason;
use engine::time::{Micros, Span};

const DOWNLOADS: usize = Volume::Downloads as usize;
const SHARES: usize = Volume::Shares as usize;
const CALLS: usize = Volume::Calls as usize;
const SEARCHES: usize = Volume::Searches as usize;
const DELETIONS: usize = Volume::Deletions as usize;

pub(super) const SCENARIOS: &[Scenario] = &[
    scene("shares_thief", "A thief with a stolen password shares everything in sight.", thief::<SHARES>),
    scene("shares_leaver", "Someone about to leave shares files with themselves.", leaver::<SHARES>),
    scene(
        "shares_across_the_hour",
        "Just too many shares, half of them after the full hour.",
        across_the_hour::<SHARES>,
    ),
    scene("shares_busy", "A team is set up: many shares, well under what is too much here.", busy::<SHARES>),
    measured("calls_thief", "A thief with a stolen password calls the API without a pause.", thief::<CALLS>),
    measured(
        "calls_leaver",
        "A tool in the own session calls the API far more often than clients do.",
        leaver::<CALLS>,
    ),
    measured("calls_across_the_hour", "Just too many API calls, half after the full hour.", across_the_hour::<CALLS>),
    measured("calls_busy", "The app catches up after a holiday: a burst of calls within minutes.", catch_up),
    measured("searches_thief", "A thief with a stolen password searches for secrets.", thief::<SEARCHES>),
    measured("searches_leaver", "Someone searches through everything before leaving.", leaver::<SEARCHES>),
    measured(
        "searches_across_the_hour",
        "Just too many searches, half after the full hour.",
        across_the_hour::<SEARCHES>,
    ),
    measured("searches_busy", "Someone has to find a contract: many searches, not too many.", busy::<SEARCHES>),
    measured("deletions_thief", "A thief with a stolen password destroys what was written.", thief::<DELETIONS>),
    measured("deletions_leaver", "Someone about to leave deletes their messages.", leaver::<DELETIONS>),
    measured(
        "deletions_across_the_hour",
        "Just too many deletions, half after the full hour.",
        across_the_hour::<DELETIONS>,
    ),
    measured("channel_cleanup", "Someone cleans a channel up: many deletions, not too many.", busy::<DELETIONS>),
    Scenario {
        role: Some(Role::Researcher),
        when: When::Hour(|person| person.burst_hour()),
        ..measured("searches_by_habit", "A researcher searches and reads a lot, as every day at this hour.", by_habit)
    },
    Scenario {
        role: None,
        fits: |org| org.style == Style::CallCentre,
        when: When::LastDay,
        ..scene("call_centre", "Everybody works behind one address and searches all day.", call_centre)
    },
];

/// Every reason that much of something may also give.
fn tolerated(own: Volume) -> Vec<Reason> {
    Volume::ALL.iter().map(|volume| volume.reason()).filter(|reason| *reason != own.reason()).collect()
}

/// When a burst goes over the least that the rule may call too many.
pub(super) fn too_many(stage: &Stage<'_>, volume: Volume, (begin, count, minutes): (Micros, u64, u64)) -> Micros {
    let bar = stage.org().bar_least(volume) as usize;
    times(begin, count, minutes).nth(bar).expect("bursts are larger than the bar")
}

/// So many of a thing from the own desktop.
pub(super) fn burst(stage: &mut Stage<'_>, volume: Volume, (begin, count, minutes): (Micros, u64, u64)) {
    let place = stage.place();
    for at in times(begin, count, minutes) {
        let verb = volume.verb(&mut stage.dice);
        stage.own(Kind::Desktop, at, place, verb);
    }
}

/// An attack that begins before it can be told. The window slides on for an hour after it.
pub(super) fn attack(stage: &Stage<'_>, volume: Volume, difficulty: Difficulty, begin: Micros, first: Micros) -> Label {
    let end = stage.last().plus(Span::from_mins(61)).min(stage.world.calendar.end());
    Label { start: begin, end, tolerated: tolerated(volume), ..stage.attack(volume.reason(), difficulty, first) }
}

pub(super) fn thief<const V: usize>(stage: &mut Stage<'_>) -> Label {
    let volume = Volume::ALL[V];
    let begin = stage.minute(35);
    // A hundred thousand API calls would be no harder to tell than some thousand.
    let times = if volume == Volume::Calls { 3 } else { 10 };
    let much = (begin, stage.org().bar_sure(volume, begin) * times, 50);
    let far = stage.elsewhere();
    let thief = stage.stranger(far, program(&CHROME_WINDOWS, begin), 1, begin);
    stage.sends(begin, super::Verb::Login, thief);
    stage.sends_many(much, thief, |dice| volume.verb(dice));
    let first = too_many(stage, volume, much);
    let label = attack(stage, volume, Difficulty::Blatant, begin, first);
    Label { also: OF_STRANGER.to_vec(), ..label }
}

pub(super) fn leaver<const V: usize>(stage: &mut Stage<'_>) -> Label {
    let volume = Volume::ALL[V];
    stage.take(3);
    let begin = stage.minute(35);
    let much = (begin, stage.org().bar_sure(volume, begin) * stage.dice.between(150, 250) / 100, 45);
    burst(stage, volume, much);
    attack(stage, volume, Difficulty::Moderate, begin, too_many(stage, volume, much))
}

pub(super) fn across_the_hour<const V: usize>(stage: &mut Stage<'_>) -> Label {
    let volume = Volume::ALL[V];
    stage.take(3);
    let begin = stage.minute(32);
    let much = (begin, stage.org().bar_sure(volume, begin) * 5 / 4, 56);
    burst(stage, volume, much);
    attack(stage, volume, Difficulty::Stealthy, begin, too_many(stage, volume, much))
}

pub(super) fn busy<const V: usize>(stage: &mut Stage<'_>) -> Label {
    let volume = Volume::ALL[V];
    stage.take(2);
    // With what was done in the hour before, still under the bar.
    let much = (stage.minute(5), stage.org().bar_least(volume) / 2, 50);
    burst(stage, volume, much);
    stage.benign(volume.reason(), stage.minute(5))
}

/// What `excessive_downloads` plants of these.
pub(super) const OF_DOWNLOADS: [fn(&mut Stage<'_>) -> Label; 4] =
    [thief::<DOWNLOADS>, leaver::<DOWNLOADS>, across_the_hour::<DOWNLOADS>, busy::<DOWNLOADS>];

fn catch_up(stage: &mut Stage<'_>) -> Label {
    stage.take(2);
    burst(stage, Volume::Calls, (stage.minute(5), stage.org().bar_least(Volume::Calls) / 2, 4));
    stage.benign(Reason::UnexpectedApiCallVolume, stage.minute(5))
}

fn by_habit(stage: &mut Stage<'_>) -> Label {
    let label = stage.benign(Reason::SearchVolume, stage.minute(0));
    Label { end: stage.minute(60), reasons: vec![Reason::SearchVolume, Reason::UnexpectedApiCallVolume], ..label }
}

fn call_centre(stage: &mut Stage<'_>) -> Label {
    let label = super::whole_org(stage, Reason::SearchVolume, 1);
    Label { reasons: vec![Reason::SearchVolume, Reason::IpAddress], ..label }
}
