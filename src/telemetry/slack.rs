//! The metrics of Slack sources.

use super::Kind::{Counter, Gauge};
use super::{Figure, load};
use crate::run::Watch;
use crate::slack_log::Polls;
use std::sync::{Arc, PoisonError};

pub(super) const FIGURES: &[Figure] = &[
    Figure {
        name: "aerie_slack_polls_total",
        help: "Requests for pages of a Slack org's audit log in this run by outcome.",
        kind: Counter,
        labels: &["org", "outcome"],
        read: |watch| {
            let outcomes = |org: &String, polls: &Arc<Polls>| {
                let sample = |(outcome, count): (&str, u64)| (vec![org.clone(), outcome.to_owned()], count as f64);
                polls.outcomes().map(sample).collect::<Vec<_>>()
            };
            by_org(watch, outcomes).into_iter().flatten().collect()
        },
    },
    Figure {
        name: "aerie_slack_read_to_end_timestamp_seconds",
        help: "Wall time at which a Slack org's audit log was last read to its end in this run; zero if it was not.",
        kind: Gauge,
        labels: &["org"],
        read: |watch| by_org(watch, |org, polls| (vec![org.clone()], load(&polls.read_to_end) as f64)),
    },
    Figure {
        name: "aerie_slack_taken_before_timestamp_seconds",
        help: "Date before which all entries of a Slack org's audit log are taken.",
        kind: Gauge,
        labels: &["org"],
        read: |watch| by_org(watch, |org, polls| (vec![org.clone()], load(&polls.taken_before) as f64)),
    },
];

fn by_org<T>(watch: &Watch, of: impl Fn(&String, &Arc<Polls>) -> T) -> Vec<T> {
    let polls = watch.polls.lock().unwrap_or_else(PoisonError::into_inner);
    polls.iter().map(|(org, polls)| of(org, polls)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Sample;
    use super::*;

    #[test]
    fn each_org_has_its_own() {
        let watch = Watch::default();
        let none = FIGURES.iter().all(|figure| (figure.read)(&watch).is_empty());
        assert!(none, "without a Slack source there is nothing to show");
        for org in ["E1", "E2"] {
            watch.polls.lock().unwrap().insert(org.to_owned(), Arc::default());
        }
        let counts: Vec<_> = FIGURES.iter().map(|figure| (figure.read)(&watch).len()).collect();
        assert_eq!(counts, [14, 2, 2]);
        let labels: Vec<Sample> = (FIGURES[1].read)(&watch);
        assert_eq!(labels, [(vec!["E1".to_owned()], 0.0), (vec!["E2".to_owned()], 0.0)]);
    }
}
