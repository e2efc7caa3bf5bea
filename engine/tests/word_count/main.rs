//! The engine's promises, on a job that counts words: one answer, whatever the order, the split, the batches, the
//! number of workers, the snapshots, the crashes and the rescaling.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod damage;
mod failing;
mod job;
mod live;
mod planted;
mod regressions;
mod run;
mod scratch;
mod stream;

use engine::flow::Ended;
use engine::time::{Micros, Span};
use job::oracle;
use run::{Outcome, Variant, output, words};
use std::path::Path;
use std::time::Duration;
use stream::{Dice, START, Shape, lines, scatter, stream};

const IN_TIME: Shape = Shape { records: 6_000, pace: 20_000_000, disorder: 4_000_000, late_one_in: 0, late_by: 1 };
const LATE: Shape = Shape { late_one_in: 40, late_by: 400_000_000, ..IN_TIME };

fn complete(folder: &Path, partitions: &[Vec<String>], variant: &Variant) -> Outcome {
    let outcome = words(folder, partitions, variant);
    assert!(matches!(outcome.ended, Ok(Ended::Complete)), "{outcome:?}");
    outcome
}

fn plain(partitions: &[Vec<String>]) -> (String, String) {
    let folder = scratch::folder();
    complete(folder.path(), partitions, &Variant::default());
    output(folder.path())
}

#[test]
fn the_answer_is_that_of_the_oracle() {
    for seed in 0..10 {
        let stream = stream(seed, IN_TIME);
        let expected =
            oracle(&stream.iter().map(|(t, w, i)| (Micros(*t), Micros(*t), w.clone(), i.clone())).collect::<Vec<_>>());
        assert!(expected.len() > 20, "seed {seed}: too little to tell");
        let (reports, asides) = plain(&[lines(&stream)]);
        assert_eq!(reports.lines().collect::<Vec<_>>(), expected, "seed {seed}");
        assert_eq!(asides, "");
    }
}

#[test]
fn order_split_batches_and_workers_do_not_show() {
    for seed in 100..104 {
        let lines = lines(&stream(seed, IN_TIME));
        let expected = plain(std::slice::from_ref(&lines));
        for (workers, split, block) in [(1, 7, 64), (2, 1, 1000), (2, 3, 7), (4, 7, 64), (4, 1, 1), (3, 5, 311)] {
            let folder = scratch::folder();
            let variant = Variant { workers, block, ..Variant::default() };
            let outcome = complete(folder.path(), &scatter(&lines, split, seed), &variant);
            assert_eq!(output(folder.path()), expected, "seed {seed}, {workers} workers, {split} partitions");
            assert_eq!(outcome.received, lines.len() as u64);
            assert_eq!(outcome.words + outcome.duplicates, lines.len() as u64);
        }
    }
}

#[test]
fn late_records_are_judged_alike_at_every_worker_count() {
    for seed in 200..204 {
        let partitions = scatter(&lines(&stream(seed, LATE)), 3, seed);
        let expected = plain(&partitions);
        for workers in [2, 4] {
            let folder = scratch::folder();
            complete(folder.path(), &partitions, &Variant { workers, block: 33, ..Variant::default() });
            assert_eq!(output(folder.path()), expected, "seed {seed}, {workers} workers");
        }
    }
}

/// Crashes and stops a job at random, each time going on at another worker count, until it is complete.
fn torment(seed: u64, partitions: &[Vec<String>], dice: &mut Dice) -> ((String, String), u64, u64) {
    let folder = scratch::folder();
    let (mut crashes, mut late_restores) = (0, 0);
    loop {
        let variant = Variant {
            workers: 1 + dice.below(4) as usize,
            block: 1 + dice.below(40) as usize,
            budget: 1 << (10 + dice.below(8)),
            snapshot_every: Duration::from_millis(dice.below(8)),
            crash_after: if crashes < 12 { 10 + dice.below(400) } else { u64::MAX },
            stop_after_snapshots: dice.one_in(3).then(|| 1 + dice.below(3)),
            ..Variant::default()
        };
        let outcome = words(folder.path(), partitions, &variant);
        late_restores += u64::from(outcome.restored.is_some_and(|at| at > 0));
        match outcome.ended {
            Ok(Ended::Complete) => {
                let lines = partitions.iter().map(Vec::len).sum::<usize>() as u64;
                assert_eq!(outcome.received, lines, "seed {seed}");
                return (output(folder.path()), crashes, late_restores);
            }
            _ => crashes += 1,
        }
    }
}

#[test]
fn crashes_stops_and_rescaling_do_not_show() {
    let (mut all_crashes, mut all_late) = (0, 0);
    for seed in 300..312 {
        let partitions = scatter(&lines(&stream(seed, LATE)), 1 + (seed % 4) as usize, seed);
        let expected = plain(&partitions);
        let (result, crashes, late_restores) = torment(seed, &partitions, &mut Dice(seed));
        assert_eq!(result, expected, "seed {seed}, after {crashes} crashes");
        all_crashes += crashes;
        all_late += late_restores;
    }
    assert!(all_crashes > 50 && all_late > 30, "{all_crashes} crashes, {all_late} restores of a later snapshot");
}

#[test]
fn a_gap_of_ten_months_costs_nothing_and_loses_nothing() {
    let mut words = stream(400, IN_TIME);
    let at = words.len() / 2;
    for word in &mut words[at..] {
        word.0 += 300 * 86_400_000_000;
    }
    let lines = lines(&words);
    let expected =
        oracle(&words.iter().map(|(t, w, i)| (Micros(*t), Micros(*t), w.clone(), i.clone())).collect::<Vec<_>>());
    for workers in [1, 2] {
        let folder = scratch::folder();
        complete(folder.path(), &scatter(&lines, 2, 1), &Variant { workers, ..Variant::default() });
        assert_eq!(output(folder.path()).0.lines().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn one_record_nine_months_ahead_makes_nobody_late() {
    let words = stream(500, IN_TIME);
    let mut with_rogue = lines(&words);
    with_rogue.insert(1_000, format!("{} rogue r1", START + 270 * 86_400_000_000));
    let folder = scratch::folder();
    let outcome = complete(folder.path(), std::slice::from_ref(&with_rogue), &Variant::default());
    let (reports, asides) = output(folder.path());
    assert_eq!(asides, "");
    assert_eq!(outcome.words + outcome.duplicates, with_rogue.len() as u64);
    assert_eq!(reports, plain(&[lines(&words)]).0);
}

/// The last record may stand alone, far beyond where the horizon was announced to.
#[test]
fn what_is_known_beforehand_holds_for_the_last_record_wherever_it_is() {
    let (start, day) = (Micros(START), Span::from_hours(24));
    let last = start.plus(Span::from_hours(240));
    let (early, late) = (format!("{} a1 i1", START), format!("{} b1 i2", last.0));
    for lines in [vec![late.clone()], vec![early.clone(), late.clone()], vec![early.clone(), early, late]] {
        for workers in [1, 2] {
            let folder = scratch::folder();
            let known = vec![(start, b'a', 9), (last.minus(day), b'b', 0), (last.plus(day), b'b', 5)];
            complete(folder.path(), std::slice::from_ref(&lines), &Variant { workers, known, ..Variant::default() });
            assert!(output(folder.path()).0.contains("b1 i2 1 > 0"), "{lines:?}, {workers} workers");
        }
    }
}

#[test]
fn two_million_records_within_one_second_are_one_step() {
    let lines: Vec<String> =
        (0..2_000_000u64).map(|n| format!("{} w{} i{n}", START + n % 1_000_000, n % 50_000)).collect();
    let folder = scratch::folder();
    let variant = Variant { workers: 2, block: 4_000, budget: 64 << 20, ..Variant::default() };
    let outcome = complete(folder.path(), &scatter(&lines, 2, 1), &variant);
    assert_eq!(outcome.words, 2_000_000);
    let (reports, _) = output(folder.path());
    assert_eq!(reports.lines().filter(|line| line.contains('>')).count(), 50_000);
}
