//! Ways in which other engines are known to have lost or repeated something after a crash, each held here by name. Two
//! more of them are held elsewhere: state of another number of key groups in `tests/repository`, a crash between the
//! ledger's commit and the snapshot's publication in the program's test of fault points.

use super::run::{Variant, output, repository, words};
use super::scratch;
use super::stream::{Dice, Shape, lines, scatter, stream};
use super::{complete, plain};
use std::time::Duration;

const SHAPE: Shape =
    Shape { records: 4_000, pace: 20_000_000, disorder: 4_000_000, late_one_in: 40, late_by: 400_000_000 };

fn crash(folder: &std::path::Path, partitions: &[Vec<String>], variant: &Variant) -> Option<u64> {
    let outcome = words(folder, partitions, variant);
    assert!(outcome.ended.is_err(), "{outcome:?}");
    outcome.restored
}

/// A job that died before its first periodic snapshot was resumed with fewer workers, and the data of the others was
/// skipped (bytewax #181).
#[test]
fn a_crash_before_any_later_snapshot_skips_nothing_at_fewer_workers() {
    for seed in 700..704 {
        let partitions = scatter(&lines(&stream(seed, SHAPE)), 4, seed);
        let expected = plain(&partitions);
        for after in [1, 2, 5, 30] {
            let folder = scratch::folder();
            crash(folder.path(), &partitions, &Variant { workers: 4, crash_after: after, ..Variant::default() });
            let outcome = complete(folder.path(), &partitions, &Variant::default());
            assert!(outcome.restored.is_none_or(|at| at == 0), "seed {seed}: {outcome:?}");
            assert_eq!(output(folder.path()), expected, "seed {seed}, crash after {after} reads");
        }
    }
}

/// Windows that waited to close when a job died never closed afterwards, because timers were not part of what was
/// recovered (bytewax #138).
#[test]
fn timers_that_were_armed_before_a_crash_fire_after_it_once() {
    let mut words = stream(710, SHAPE);
    // Long after the last word of the first half, so that its timers are due while nothing comes.
    let at = words.len() / 2;
    words[at..].iter_mut().for_each(|word| word.0 += 40 * 86_400_000_000);
    let partitions = [lines(&words)];
    let expected = plain(&partitions);
    let quiet = |text: &str| text.lines().filter(|line| line.contains("quiet")).count();
    assert!(quiet(&expected.0) > 5, "too few timers to tell");
    let mut restored_with_timers = 0;
    for crash_after in (10..60).step_by(5) {
        let folder = scratch::folder();
        let frequent = Variant { snapshot_every: Duration::from_millis(1), block: 64, ..Variant::default() };
        crash(folder.path(), &partitions, &Variant { crash_after, ..frequent });
        let outcome = complete(folder.path(), &partitions, &Variant { workers: 3, ..Variant::default() });
        restored_with_timers += usize::from(outcome.restored.is_some_and(|at| at > 0));
        assert_eq!(output(folder.path()), expected, "crash after {crash_after} reads");
    }
    assert!(restored_with_timers > 0, "every run started from the beginning");
}

/// A job that was restarted again before it had done anything came back with broken or doubled state (pathway #73 and its
/// change log: "restarted more than once in quick succession").
#[test]
fn restarts_in_quick_succession_change_nothing() {
    for seed in 720..724 {
        let partitions = scatter(&lines(&stream(seed, SHAPE)), 2, seed);
        let expected = plain(&partitions);
        let (folder, mut dice) = (scratch::folder(), Dice(seed));
        let frequent = Variant { snapshot_every: Duration::from_millis(1), ..Variant::default() };
        crash(folder.path(), &partitions, &Variant { crash_after: 40, ..frequent.clone() });
        let mut from = None;
        for start in 0..6 {
            let workers = 1 + dice.below(4) as usize;
            let restored = crash(folder.path(), &partitions, &Variant { workers, crash_after: 0, ..frequent.clone() });
            assert!(start == 0 || restored == from, "seed {seed}: nothing was read in between");
            from = restored;
        }
        complete(folder.path(), &partitions, &Variant::default());
        assert_eq!(output(folder.path()), expected, "seed {seed}");
    }
}

/// A restart was given a snapshot whose files had been collected as garbage (arroyo #802).
#[test]
fn whatever_can_be_restored_is_whole_however_often_old_snapshots_went() {
    let partitions = scatter(&lines(&stream(730, SHAPE)), 3, 730);
    let (folder, mut dice) = (scratch::folder(), Dice(730));
    for _ in 0..12 {
        let variant = Variant {
            workers: 1 + dice.below(3) as usize,
            snapshot_every: Duration::from_millis(1),
            block: 8,
            crash_after: 20 + dice.below(40),
            ..Variant::default()
        };
        words(folder.path(), &partitions, &variant);
        let repository = repository(folder.path());
        let found = repository.list().unwrap();
        assert!(!found.is_empty());
        for found in found {
            repository.verify(&found.manifest.unwrap()).unwrap();
        }
    }
    complete(folder.path(), &partitions, &Variant::default());
    assert_eq!(output(folder.path()), plain(&partitions));
}
