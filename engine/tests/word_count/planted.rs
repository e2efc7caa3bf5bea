//! The tests beside this file have teeth: each of four faults, planted on purpose, changes what they compare.

use super::run::{Variant, output, words};
use super::scratch;
use super::stream::{Shape, lines, scatter, stream};
use engine::fault::Planted;
use engine::flow::Ended;
use std::time::Duration;

const DENSE: Shape = Shape { records: 20_000, pace: 2_000_000, disorder: 4_000_000, late_one_in: 0, late_by: 1 };
const LATE: Shape = Shape { late_one_in: 20, late_by: 400_000_000, ..DENSE };

fn whole(partitions: &[Vec<String>], variant: &Variant) -> (String, String) {
    let folder = scratch::folder();
    let outcome = words(folder.path(), partitions, variant);
    assert!(matches!(outcome.ended, Ok(Ended::Complete)), "{outcome:?}");
    output(folder.path())
}

/// Whether `run` differs, with the fault, from the undisturbed run without it; without it it never does. A fault need
/// not show each time, as threads race: the first seed of 64 with which it does is enough.
fn is_noticed(
    fault: Planted,
    shape: Shape,
    run: impl Fn(u64, &[Vec<String>], Option<Planted>) -> (String, String),
) -> bool {
    (0..64).any(|seed| {
        let partitions = scatter(&lines(&stream(seed, shape)), 3, seed);
        let expected = whole(&partitions, &Variant::default());
        assert_eq!(run(seed, &partitions, None), expected, "seed {seed}: differs without a fault");
        run(seed, &partitions, Some(fault)) != expected
    })
}

/// Runs with frequent snapshots, crashes so often, each time going on from the newest, and then runs to the end.
fn crashing(partitions: &[Vec<String>], crashes: usize, first: &Variant, second: &Variant) -> (String, String) {
    let folder = scratch::folder();
    for _ in 0..crashes {
        let outcome = words(folder.path(), partitions, first);
        assert!(outcome.ended.is_err(), "{outcome:?}");
    }
    let outcome = words(folder.path(), partitions, second);
    assert!(matches!(outcome.ended, Ok(Ended::Complete)), "{outcome:?}");
    assert!(outcome.restored.is_some());
    output(folder.path())
}

#[test]
fn limits_applied_without_waiting_for_their_frontier_are_noticed() {
    let noticed = is_noticed(Planted::IgnoresLastInput, DENSE, |_, partitions, planted| {
        whole(partitions, &Variant { workers: 2, block: 20, planted, ..Variant::default() })
    });
    assert!(noticed, "0 of 64 runs differ");
}

#[test]
fn limits_that_are_not_sent_again_are_noticed() {
    let noticed = is_noticed(Planted::SendsNothingAgain, DENSE, |_, partitions, planted| {
        let first =
            Variant { block: 10, snapshot_every: Duration::from_millis(1), crash_after: 1_200, ..Variant::default() };
        crashing(partitions, 1, &first, &Variant { workers: 2, planted, ..Variant::default() })
    });
    assert!(noticed, "0 of 64 runs differ");
}

/// One early cut in ten or so shows, and of each run only the last one can.
#[test]
fn a_snapshot_taken_before_the_frontier_has_passed_it_is_noticed() {
    let noticed = is_noticed(Planted::SnapshotsEarly, DENSE, |_, partitions, planted| {
        let first = Variant {
            workers: 2,
            block: 10,
            snapshot_every: Duration::from_millis(1),
            crash_after: 150,
            planted,
            ..Variant::default()
        };
        crashing(partitions, 12, &first, &Variant { workers: 2, planted, ..Variant::default() })
    });
    assert!(noticed, "0 of 64 runs differ");
}

#[test]
fn records_judged_in_another_order_are_noticed() {
    let noticed = is_noticed(Planted::JudgesOutOfOrder, LATE, |_, partitions, planted| {
        whole(partitions, &Variant { workers: 2, block: 20, planted, ..Variant::default() })
    });
    assert!(noticed, "0 of 64 runs differ");
}
