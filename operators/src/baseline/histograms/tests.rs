//! Tests of `histograms`.

use super::*;
use crate::baseline::buckets::bucket;
use crate::baseline::{Class, Metric};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SUBJECT: Subject = Subject { metric: Metric::FileDownloads, class: Class::ALL_HOURS };

fn moved(day: u16, from: Option<u16>, to: Option<u16>) -> Move {
    Move { at: Micros::ZERO, org: "E1".to_owned(), subject: SUBJECT, day, from, to }
}

fn sum(deltas: impl IntoIterator<Item = Delta>) -> BTreeMap<u16, i64> {
    let mut sums = BTreeMap::new();
    for delta in deltas {
        *sums.entry(delta.bucket).or_default() += delta.change;
    }
    sums.retain(|_, count| *count != 0);
    sums
}

#[test]
fn only_net_changes_are_released() {
    let mut row = OrgHistograms::default();
    for (from, to) in [(None, Some(1)), (Some(1), Some(2)), (Some(2), Some(3)), (None, Some(3)), (None, Some(1))] {
        row.apply(&moved(5, from, to)).expect("the bucket is there");
    }
    row.apply(&moved(5, Some(1), None)).expect("the bucket is there");
    let released = row.release(Micros(7), "E1");
    assert_eq!(sum(released.clone()), BTreeMap::from([(3, 2), (SENTINEL, 1)]));
    assert_eq!(released.len(), 2);
    assert!(row.release(Micros(8), "E1").is_empty());
}

#[test]
fn a_sample_that_was_never_there_is_a_fault() {
    let mut row = OrgHistograms::default();
    assert!(matches!(row.apply(&moved(5, Some(1), Some(2))), Err(Error::Fault(_))));
}

#[test]
fn what_was_released_agrees_with_the_samples_and_is_what_a_restart_sends() {
    for seed in 0..50u64 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let (mut row, mut sent) = (OrgHistograms::default(), Vec::new());
        let mut samples = BTreeMap::<(u16, u32), u32>::new();
        for today in 100..160u16 {
            row.expire(Micros::ZERO.plus(Span::from_days(u64::from(today))));
            sent.extend(row.release(Micros(0), "E1"));
            for _ in 0..20 {
                let user = dice.random_range(0..6);
                let from = samples.get(&(today, user)).map(|peak| bucket(*peak));
                let peak = samples.get(&(today, user)).copied().unwrap_or(0) + dice.random_range(1..30);
                let taken_back = from.is_some() && dice.random_range(0..10) == 0;
                let to = (!taken_back).then(|| bucket(peak));
                if taken_back {
                    samples.remove(&(today, user))
                } else {
                    samples.insert((today, user), peak)
                };
                if from != to {
                    row.apply(&moved(today, from, to)).expect("the bucket is there");
                }
                if dice.random_range(0..4) == 0 {
                    sent.extend(row.release(Micros(0), "E1"));
                }
            }
            assert_eq!(sum(sent.clone()), sum(row.released(Micros(9), "E1")), "seed {seed}");
        }
        sent.extend(row.release(Micros(0), "E1"));
        let mut expected = BTreeMap::from([(SENTINEL, 1i64)]);
        for ((_, _), peak) in samples.range((159 - BASELINE_DAYS as u16, 0)..) {
            *expected.entry(bucket(*peak)).or_default() += 1;
        }
        assert_eq!(sum(sent), expected, "seed {seed}");
    }
}

#[test]
fn a_day_counts_for_the_days_that_follow_it_and_then_goes() {
    let mut row = OrgHistograms::default();
    row.apply(&moved(100, None, Some(4))).expect("nothing leaves");
    assert_eq!(sum(row.release(Micros(0), "E1")).len(), 2);
    row.expire(Micros::ZERO.plus(Span::from_days(129)).minus(Span(1)));
    assert!(row.release(Micros(0), "E1").is_empty());
    row.expire(Micros::ZERO.plus(Span::from_days(129)));
    assert_eq!(sum(row.release(Micros(0), "E1")), BTreeMap::from([(4, -1)]));
    assert_eq!(sum(row.released(Micros(0), "E1")), BTreeMap::from([(SENTINEL, 1)]));
}
