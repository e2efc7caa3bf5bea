//! The trailing distribution of every org and what its quantile is, maintained by differential dataflow: a change costs
//! what it touches, not what there is. Holds no state of its own across a restart; [`super::histograms`] fills it again.

use super::{Delta, Quantile, Subject, buckets};
use crate::limits::QUANTILE_PERMILLE;
use differential_dataflow::AsCollection;
use engine::time::Micros;
use timely::dataflow::Stream;
use timely::dataflow::operators::vec::{Filter, Map};

/// From changes of distributions to changes of their quantiles, at the same times.
///
/// Every distribution that is to reach zero samples must hold the sentinel; of one that vanishes nothing is said.
pub fn distribution<'scope>(deltas: Stream<'scope, u64, Vec<Delta>>) -> Stream<'scope, u64, Vec<Quantile>> {
    deltas
        .map(|delta: Delta| {
            let Delta { at, org, subject, bucket, change } = delta;
            (((org, subject), bucket), at.stamp(), change as isize)
        })
        .as_collection()
        .reduce_named("Quantile", |_: &(String, Subject), input: &[(&u16, isize)], output: &mut Vec<(_, isize)>| {
            let counts = input.iter().map(|(bucket, count)| (**bucket, *count as i64));
            output.push((buckets::quantile(counts, QUANTILE_PERMILLE), 1));
        })
        .inner
        .filter(|(_, _, change)| *change > 0)
        .map(|(((org, subject), (value, samples)), stamp, _)| Quantile {
            at: Micros::from_stamp(stamp),
            org,
            subject,
            value,
            samples,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{Class, Metric};
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::collections::BTreeMap;
    use std::sync::mpsc;
    use timely::dataflow::operators::capture::{Capture, Event};
    use timely::dataflow::operators::core::to_stream::ToStream;

    const SUBJECT: Subject = Subject { metric: Metric::FileDownloads, class: Class::ALL_HOURS };

    fn delta(at: u64, org: u32, bucket: u16, change: i64) -> Delta {
        Delta { at: Micros::from_stamp(at), org: format!("E{org}"), subject: SUBJECT, bucket, change }
    }

    fn run(deltas: &[Delta], workers: usize) -> Vec<Quantile> {
        let (send, receive) = mpsc::channel();
        let (deltas, send) = (deltas.to_vec(), std::sync::Mutex::new(send));
        let config = timely::Config::process(workers);
        let guards = timely::execute(config, move |worker| {
            let send = send.lock().expect("no panic").clone();
            let (index, peers) = (worker.index(), worker.peers());
            let own: Vec<Delta> = deltas.iter().skip(index).step_by(peers).cloned().collect();
            worker.dataflow::<u64, _, _>(|scope| {
                distribution(own.to_stream(scope).container::<Vec<_>>()).capture_into(send);
            });
        });
        drop(guards.expect("workers start"));
        let batches = receive.into_iter().filter_map(|event: Event<u64, Vec<Quantile>>| match event {
            Event::Messages(_, quantiles) => Some(quantiles),
            Event::Progress(_) => None,
        });
        let mut found: Vec<Quantile> = batches.flatten().collect();
        found.sort();
        found
    }

    /// All over again at every time at which anything changed.
    fn batch(deltas: &[Delta]) -> Vec<Quantile> {
        let mut groups: BTreeMap<&str, BTreeMap<u64, Vec<&Delta>>> = BTreeMap::new();
        for delta in deltas {
            groups.entry(&delta.org).or_default().entry(delta.at.stamp()).or_default().push(delta);
        }
        let mut found = Vec::new();
        for (org, times) in groups {
            let mut last = None;
            for at in times.keys() {
                let mut counts = BTreeMap::<u16, i64>::new();
                for delta in times.range(..=at).flat_map(|(_, deltas)| deltas) {
                    *counts.entry(delta.bucket).or_default() += delta.change;
                }
                let next = buckets::quantile(counts.iter().map(|(b, n)| (*b, *n)), QUANTILE_PERMILLE);
                if last.replace(next) != Some(next) {
                    let (value, samples) = next;
                    let (at, org) = (Micros::from_stamp(*at), org.to_owned());
                    found.push(Quantile { at, org, subject: SUBJECT, value, samples });
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn agrees_with_a_batch_computation_in_any_order_at_any_number_of_workers() {
        for seed in 0..6u64 {
            let mut dice = ChaCha8Rng::seed_from_u64(seed);
            let mut deltas = Vec::new();
            for org in 0..3 {
                deltas.push(delta(0, org, buckets::SENTINEL, 1));
                for _ in 0..60 {
                    let (at, bucket) = (dice.random_range(0..500), dice.random_range(1..40));
                    let count = dice.random_range(1..50);
                    deltas.push(delta(at, org, bucket, count));
                    if dice.random_range(0..3) == 0 {
                        deltas.push(delta(at + dice.random_range(1..100), org, bucket, -count));
                    }
                }
            }
            deltas.shuffle(&mut dice);
            let expected = batch(&deltas);
            assert!(expected.len() > 50, "seed {seed}");
            for workers in [1, 3] {
                assert_eq!(run(&deltas, workers), expected, "seed {seed}, {workers} workers");
            }
        }
    }

    #[test]
    fn a_distribution_that_runs_empty_says_so() {
        let deltas = [delta(0, 1, buckets::SENTINEL, 1), delta(0, 1, 7, 3), delta(5, 1, 7, -3)];
        let values: Vec<_> = run(&deltas, 1).into_iter().map(|q| (q.at.stamp(), q.value, q.samples)).collect();
        assert_eq!(values, [(0, 7, 3), (5, 0, 0)]);
    }
}
