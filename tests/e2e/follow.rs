//! The promise: a run that follows a growing file decides what a bounded run over the same file decides, as far as it
//! has come; SIGTERM ends it well, and another goes on where it was.

use crate::inputs::{EXIT, office_hours, recently};
use crate::outputs::{Outputs, lines_so_far, same_lines};
use crate::support::{Config, Dice, Place, Running};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

const SEED: u64 = 41;
const SECS: u64 = 2_900;

fn append(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().append(true).open(path).expect("the input is there");
    file.write_all(bytes).expect("the input can be appended to");
}

/// Appends in pieces that end anywhere, each after the one before may have been read, until so much is decided.
fn feed(running: &mut Running, config: &Config, input: &Path, bytes: &mut &[u8], until: usize, dice: &mut Dice) {
    let decisions = config.data_dir.join("decisions.ndjson");
    running.running_until(&format!("{until} decisions while its input grows"), || {
        let piece = (dice.between(1, 4_000) as usize).min(bytes.len());
        append(input, &bytes[..piece]);
        *bytes = &bytes[piece..];
        lines_so_far(&decisions).len() >= until
    });
}

#[test]
fn following_decides_a_prefix_of_what_a_bounded_run_decides() {
    let place = Place::new();
    let mut dice = Dice::new(SEED);
    let lines = office_hours(recently(), SECS, &mut dice);
    let whole: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let mut rest = whole.as_bytes();
    let input = place.write("events", "");
    let tor = place.write("tor.txt", EXIT);
    // Long enough that it is never taken for idle: then time is a function of the file alone.
    let config = place.config("follow", std::slice::from_ref(&input), "follow = true\nmax_delay = \"1h\"", "");
    let config = config.tor_list(&tor).settings("snapshot_every = \"100ms\"");

    let mut seen = String::new();
    for until in [5, 12, 20] {
        let mut running = config.start();
        feed(&mut running, &config, &input, &mut rest, until, &mut dice);
        // What an earlier run decided may be enough already; before it serves, a signal would simply end it.
        running.address();
        running.terminate().done().totals().assert_conserved();
        let decisions = Outputs::of(&config.data_dir).decisions;
        assert!(decisions.starts_with(&seen) && decisions.lines().count() >= until, "what was decided stays");
        seen = decisions;
    }
    let bounded = place.job("bounded", &[input]).tor_list(&tor);
    bounded.run();
    let all = Outputs::of(&bounded.data_dir).decisions;
    let prefix: String = all.chars().take(seen.len()).collect();
    same_lines(&seen, &prefix, "decisions of the followed file and the prefix of the bounded run's");
}

#[test]
fn a_followed_file_that_shrank_or_changed_is_refused() {
    let place = Place::new();
    let mut dice = Dice::new(SEED);
    let lines = office_hours(recently(), 300, &mut dice);
    for (name, change) in [("shorter", &lines[..10]), ("changed", &lines[1..])] {
        let input = place.write_lines(name, &lines);
        let config = place.config(&format!("{name}.data"), std::slice::from_ref(&input), "follow = true", "");
        let mut running = config.start();
        let address = running.address();
        running.running_until("it to be ready", || crate::support::get(address, "/readyz").0 == 200);
        running.terminate().done();
        place.write_lines(name, change);
        config.start().wait().refused(2, &[&input.display().to_string()]);
    }
}
