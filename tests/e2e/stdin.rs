//! The promise: what is fed to stdin comes to what a file comes to, and ends with it; after `kill -9` the job reads what it
//! had kept once, and goes on with what it is fed then. Keeping may fail, panic or die.

use crate::faults::{ACTIONS, FED};
use crate::inputs::{EXIT, office_hours, recently};
use crate::outputs::Outputs;
use crate::support::{Dice, Job, Place, Running, start_fed};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

const SEED: u64 = 61;
const SECS: u64 = 2_900;

fn start(job: &Job) -> Running {
    start_fed(&job.words(), &job.data_dir, &job.environment, Stdio::piped())
}

/// Bytes in the inbox.
fn kept(data_dir: &Path) -> u64 {
    let Ok(files) = fs::read_dir(data_dir.join("inbox/stdin")) else { return 0 };
    let segment = |file: fs::DirEntry| file.path().extension().is_some_and(|suffix| suffix == "ndjson").then_some(file);
    let segments = files.filter_map(|file| segment(file.expect("a folder can be listed")));
    segments.map(|file| file.metadata().map_or(0, |found| found.len())).sum()
}

#[test]
fn what_is_fed_comes_to_what_a_file_comes_to_also_after_a_kill() {
    let place = Place::new();
    let lines = office_hours(recently(), SECS, &mut Dice::new(SEED));
    let (tor, input) = (place.write("tor.txt", EXIT), place.write_lines("events.ndjson", &lines));
    let file = place.job("file", &[input]).tor_list(&tor);
    let totals = file.run();
    let expected = Outputs::of(&file.data_dir);
    assert!(expected.responses().len() > 3, "too little to compare: {totals:?}");

    let fed = place.job("fed", &["-".into()]).tor_list(&tor).with(&["--snapshot-every", "100ms"]);
    let whole: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let half = whole[..whole.len() / 2].rfind('\n').expect("there are lines") + 1;
    let mut running = start(&fed);
    running.stdin().write_all(&whole.as_bytes()[..half]).expect("it reads");
    // The pipe is closed by now, so the inbox is; a job that was fed it all is no job to go on with.
    running.wait().done();
    assert_eq!(kept(&fed.data_dir), half as u64);

    let killed = Job { data_dir: place.path("killed"), ..fed.clone() };
    let mut running = start(&killed);
    let mut stdin = running.stdin();
    stdin.write_all(&whole.as_bytes()[..half]).expect("it reads");
    running.running_until("all that was fed to be kept", || kept(&killed.data_dir) == half as u64);
    assert!(running.kill());
    let mut running = start(&killed);
    let mut stdin = running.stdin();
    // A last line needs no end.
    stdin.write_all(whole[half..].trim_end().as_bytes()).expect("it reads");
    drop(stdin);
    let ended = running.wait().done().totals();
    ended.assert_conserved();
    assert_eq!((ended.of("received"), ended.of("applied")), (totals.of("received"), totals.of("applied")));
    Outputs::of(&killed.data_dir).assert_same_results(&expected, "fed in two halves with a kill between");
    let again = start(&killed).wait().done();
    assert!(again.stderr.contains("complete before"), "{}", again.stderr);
}

#[test]
fn several_processes_have_no_stdin_to_read() {
    let place = Place::new();
    let job = place.job("data", &["-".into()]).with(&["--processes", "2"]);
    job.end().refused(2, &["cannot read stdin with several processes"]);
}

#[test]
fn whatever_strikes_while_it_keeps_what_it_is_fed_the_rest_makes_it_whole() {
    let place = Place::new();
    let lines = office_hours(recently(), SECS, &mut Dice::new(SEED));
    let (tor, input) = (place.write("tor.txt", EXIT), place.write_lines("events.ndjson", &lines));
    let file = place.job("file", &[input]).tor_list(&tor);
    file.run();
    let expected = Outputs::of(&file.data_dir);
    let whole: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let fed = place.job("fed", &["-".into()]).tor_list(&tor).with(&["--snapshot-every", "100ms"]);
    for (point, action) in FED.iter().flat_map(|point| ACTIONS.map(|action| (*point, action))) {
        for pass in [0, 1] {
            let what = format!("{action} at pass {pass} of {point}");
            let job = Job { data_dir: place.path(&what.replace(['(', ')', ' '], "_")), ..fed.clone() };
            let armed = job.clone().env("FAILPOINTS", &format!("{point}={pass}*off->1*{action}->off"));
            let mut running = start(&armed);
            let mut stdin = running.stdin();
            // Less than a pipe holds, so that nobody waits for a reader that is gone.
            let first = whole[..20_000].rfind('\n').expect("there are lines") + 1;
            stdin.write_all(&whole.as_bytes()[..first]).expect("it reads");
            if pass > 0 {
                running.until("what was fed first to be kept", || kept(&job.data_dir) > 0);
            }
            let _ = stdin.write_all(&whole.as_bytes()[first..2 * first]);
            let struck = running.wait();
            let code = if action == "return(kill)" { None } else { Some(1) };
            assert_eq!(struck.code, code, "{what}: {}", struck.stderr);
            let kept = usize::try_from(kept(&job.data_dir)).expect("it is no more than was fed");
            let mut running = start(&job);
            running.stdin().write_all(&whole.as_bytes()[kept..]).expect("it reads");
            running.wait().done();
            Outputs::of(&job.data_dir).assert_same_results(&expected, &what);
        }
    }
}
