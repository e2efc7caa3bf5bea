//! The promise: the outcome is a function of the input alone. Same bytes of `decisions.ndjson`, of sorted
//! `audit.ndjson` and of the outbox at any number of workers, however the input is cut into files, and in any order
//! within the allowed disorder.

use crate::inputs::{Sample, disordered, scattered};
use crate::outputs::Outputs;
use crate::support::{Dice, Place};
use operators::sample::Plan;

const SEEDS: [u64; 3] = [11, 12, 13];
const FILES: usize = 7;

fn plan(seed: u64) -> Plan {
    Plan { seed, orgs: 3, users: 10, days: 2 }
}

/// Runs one sample in many ways and compares all with the first.
fn one_outcome(seed: u64) {
    let place = Place::new();
    let sample = Sample::of(plan(seed)).in_order();
    let mut dice = Dice::new(seed);
    let whole = sample.whole(&place, "one");
    let totals = whole.clone().workers(1).run();
    let first = Outputs::of(&whole.data_dir);
    assert!(first.decisions.lines().count() > 2 && !first.responses().is_empty(), "nothing to compare: {totals:?}");

    let parts = scattered(&sample.events, FILES, &mut dice);
    let write = |name: &str, lines: &[String]| place.write_lines(name, lines);
    let files: Vec<_> = parts.iter().enumerate().map(|(n, lines)| write(&format!("part{n}"), lines)).collect();
    let mixed = write("mixed", &disordered(&sample.events, &mut dice));
    let mixed_parts = parts.iter().enumerate().map(|(n, lines)| {
        let lines = disordered(lines, &mut dice);
        write(&format!("mixed{n}"), &lines)
    });
    let mixed_parts: Vec<_> = mixed_parts.collect();
    let ways = [
        ("2 workers", whole.beside("two").workers(2)),
        ("4 workers", whole.beside("four").workers(4)),
        ("7 files, 2 workers", sample.job(&place, "scattered", &files).workers(2)),
        ("disorder, 4 workers", sample.job(&place, "disordered", &[mixed]).workers(4)),
        ("7 files in disorder, 3 workers", sample.job(&place, "both", &mixed_parts).workers(3)),
    ];
    for (what, job) in ways {
        let again = job.run();
        let what = format!("seed {seed}, {what} against 1 worker");
        assert_eq!(again, totals, "{what}");
        Outputs::of(&job.data_dir).assert_same_results(&first, &what);
    }
}

#[test]
fn the_first_seed_has_one_outcome() {
    one_outcome(SEEDS[0]);
}

#[test]
fn the_second_seed_has_one_outcome() {
    one_outcome(SEEDS[1]);
}

#[test]
fn the_third_seed_has_one_outcome() {
    one_outcome(SEEDS[2]);
}

/// Late lines, too: their effective time is a function of their file.
#[test]
fn lateness_is_a_function_of_the_file() {
    let place = Place::new();
    let sample = Sample::of(plan(SEEDS[0]));
    let mut dice = Dice::new(SEEDS[0]);
    let mut lines = sample.events.clone();
    for _ in 0..200 {
        let from = dice.below(lines.len() as u64 - 2_000) as usize;
        let line = lines.remove(from);
        lines.insert(from + dice.between(500, 1_999) as usize, line);
    }
    let job = sample.job(&place, "one", &[place.write_lines("late", &lines)]);
    let totals = job.clone().workers(1).run();
    assert!(totals.of("late") > 0, "{totals:?}");
    let first = Outputs::of(&job.data_dir);
    for workers in [2, 4] {
        let again = job.beside(&format!("again{workers}")).workers(workers);
        assert_eq!(again.run(), totals);
        Outputs::of(&again.data_dir).assert_same(&first, &format!("{workers} workers against 1"));
    }
}
