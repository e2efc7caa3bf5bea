//! What volume rules count, what they hold it against, and what an org learns of whom.

use super::*;
use crate::limits::{HIGH_DAYS_MAX, PRIOR_SAMPLES};
use crate::model::event::Method;

const DAY: u64 = 86_400;

/// NOON is on a Tuesday.
const AFTERNOON: Class = Class(3);

fn taught(class: Class, value: u64) -> Threshold {
    let subject = Subject { metric: Metric::FileDownloads, class };
    Threshold { at: Micros::ZERO, org: "E1".to_owned(), subject, value, samples: PRIOR_SAMPLES }
}

/// A user of old in an org whose bar is so many files; its quantile is the same, as the margin is one.
fn world(bar: u64) -> World {
    let mut world = World::new();
    world.references.threshold(taught(Class::ALL_HOURS, bar));
    world.state.first_seen = Some(Micros::ZERO);
    world
}

#[test]
fn each_rule_counts_its_own_actions() {
    let expected = [
        (Action::FileDownloaded, vec![Reason::ExcessiveDownloads]),
        (Action::FileShared, vec![Reason::ExcessiveFileShares]),
        (Action::MessageDeleted, vec![Reason::UnexpectedMessageDeletion]),
        (Action::ApiCall(Method::Other), vec![Reason::UnexpectedApiCallVolume]),
        (Action::ApiCall(Method::Search), vec![Reason::SearchVolume, Reason::UnexpectedApiCallVolume]),
        (Action::ApiCall(Method::Share), vec![Reason::ExcessiveFileShares, Reason::UnexpectedApiCallVolume]),
        (Action::ApiCall(Method::Delete), vec![Reason::UnexpectedApiCallVolume, Reason::UnexpectedMessageDeletion]),
        (Action::Login, vec![]),
    ];
    for (action, reasons) in expected {
        let mut world = World::new();
        world.run((0..11).map(|n| Act { action, ..act(n, n * 60) }));
        let raised: Vec<_> = world.anomalies().iter().flat_map(|anomaly| anomaly.reasons.clone()).collect();
        assert_eq!(raised, reasons, "{action:?}");
    }
}

#[test]
fn what_is_usual_at_these_hours_goes_before_what_is_usual_at_all() {
    let mut world = world(20);
    world.references.threshold(taught(AFTERNOON, 12));
    // The window reaches back into the morning, of which nothing more is known.
    world.run((0..13).map(|n| download(format!("noon{n}"), n)));
    assert!(world.raised_ids().is_empty());
    world.run((0..13).map(|n| download(n, 2 * 3_600 + n)));
    assert_eq!(world.raised_ids(), ["12"]);
    assert_eq!(world.anomalies()[0].evidence[0].threshold_source, "org:weekdays_12_18");
    // A quarter of a day later, the bar of all hours holds.
    world.run((0..21).map(|n| download(format!("evening{n}"), 6 * 3_600 + n)));
    assert_eq!(world.raised_ids(), ["12", "evening20"]);
    assert_eq!(world.anomalies()[1].evidence[0].threshold_source, "org");
}

#[test]
fn a_quarter_of_the_day_has_a_sample_of_its_own() {
    let mut world = World::new();
    world.run((0..3).map(|n| download(n, n)));
    world.run((3..5).map(|n| download(n, 6 * 3_600 + n)));
    assert_eq!(world.moves().last(), Some(&(Some(2), Some(3))));
    assert_eq!(world.moves_of(AFTERNOON).last(), Some(&(Some(2), Some(3))));
    assert_eq!(world.moves_of(Class(4)), [(None, Some(1)), (Some(1), Some(2))]);
}

#[test]
fn one_user_raises_the_orgs_quantile_on_a_few_days_of_a_month_only() {
    let mut world = world(5);
    world.control("E1", "aer", ControlValue::Settings(None));
    let mut highest = Vec::new();
    for day in 0..30 {
        // Six in all, never within one hour: the sample is above the quantile, and nothing is raised.
        world.settings.volumes = VolumeRules::new(|_| VolumeRule::new(1, 2.0, 1, 1));
        world.references.threshold(taught(Class::ALL_HOURS, 10));
        world.run((0..6).map(|n| download(format!("{day}.{n}"), day * DAY + n)));
        highest.push(world.moves().last().and_then(|(_, to)| *to).expect("a sample"));
    }
    assert!(world.anomalies().is_empty());
    let high: Vec<usize> = (0..30).filter(|day| highest[*day] == 6).collect();
    assert_eq!(high, [0, 1, 2, 28, 29], "{HIGH_DAYS_MAX} in 28 days: {highest:?}");
    assert!(highest.iter().all(|sample| matches!(sample, 5 | 6)));
}

#[test]
fn an_org_that_has_taught_enough_does_not_learn_from_whoever_has_just_come() {
    let moves = |first_seen: Option<Micros>, samples| {
        let mut world = World::new();
        world.references.threshold(Threshold { samples, ..taught(Class::ALL_HOURS, 50) });
        world.state.first_seen = first_seen;
        world.apply(&download("a", 0));
        world.moves().len()
    };
    assert_eq!(moves(None, PRIOR_SAMPLES), 0);
    assert_eq!(moves(None, PRIOR_SAMPLES - 1), 1);
    assert_eq!(moves(Some(act("", 0).time.minus(Span::from_days(2))), PRIOR_SAMPLES), 0);
    assert_eq!(moves(Some(act("", 0).time.minus(Span::from_days(3))), PRIOR_SAMPLES), 1);
}

#[test]
fn whoever_takes_a_little_more_every_day_makes_no_habit_of_it() {
    let mut world = world(100);
    let mut count = 20.0;
    for day in 0..60 {
        world.run((0..count as u64).map(|n| download(format!("{day}.{n}"), day * DAY + n)));
        if day >= 20 {
            count *= 1.3;
        }
        if !world.anomalies().is_empty() {
            break;
        }
    }
    let evidence = &world.anomalies()[0].evidence[0];
    assert_eq!((evidence.threshold.as_str(), evidence.threshold_source.as_str()), ("100", "org"));
    // The first day on which there were more than the bar, not a day later.
    assert!(count / 1.3 <= 131.0, "{count}");
}

#[test]
fn a_single_day_makes_no_habit() {
    let mut world = world(20);
    world.run((0..40).map(|n| download(n, n)));
    for day in 1..6 {
        world.run((0..3).map(|n| download(format!("{day}.{n}"), day * DAY + n)));
    }
    let later = 6 * DAY;
    world.run((0..21).map(|n| download(format!("later{n}"), later + n)));
    assert_eq!(world.raised_ids(), ["20", "later20"]);
}
