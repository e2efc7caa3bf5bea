//! The promise: a data folder belongs to one job. Run again on a complete one, there is nothing to do; over other inputs
//! it is refused with their names; a damaged snapshot is passed over with a report, and without an intact one nothing
//! starts.

use crate::inputs::{Sample, office_hours};
use crate::outputs::{Outputs, ledger, lines, manifest, own_file, snapshots};
use crate::support::{Dice, Job, Place};
use engine::ledger::Ledger;
use engine::time::Micros;
use operators::sample::Plan;
use std::fs;
use std::path::{Path, PathBuf};

const SEED: u64 = 51;
const PLAN: Plan = Plan { seed: SEED, orgs: 2, users: 15, days: 4 };

/// A complete job over two small files.
fn complete(place: &Place) -> (Job, Vec<PathBuf>) {
    let mut dice = Dice::new(SEED);
    let lines = office_hours(crate::inputs::START, 600, &mut dice);
    let files = vec![place.write_lines("one", &lines[..200]), place.write_lines("two", &lines[200..])];
    let job = place.job("data", &files);
    job.run();
    (job, files)
}

fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let names = ["audit.ndjson", "decisions.ndjson", "dead_letter.ndjson", "late.ndjson"];
    names.iter().map(|name| (folder.join(name), fs::read(folder.join(name)).unwrap_or_default())).collect()
}

#[test]
fn a_complete_job_has_nothing_to_do() {
    let place = Place::new();
    let (job, _) = complete(&place);
    let (before, totals) = (content(&job.data_dir), job.run());
    for workers in [1, 3] {
        let again = job.clone().workers(workers).end().done();
        assert_eq!(again.totals(), totals);
        assert_eq!(content(&job.data_dir), before);
    }
    assert_eq!(totals.of("received"), lines(&job.inputs[0]).len() as u64 + lines(&job.inputs[1]).len() as u64);
}

#[test]
fn other_inputs_are_refused_by_name() {
    let place = Place::new();
    let (job, files) = complete(&place);
    let before = content(&job.data_dir);
    let name = |path: &PathBuf| path.display().to_string();
    let other = place.write("other", fs::read(&files[1]).unwrap());
    let swapped = Job { inputs: vec![files[0].clone(), other.clone()], ..job.clone() };
    swapped.end().refused(2, &[&name(&files[1])]);
    let fewer = Job { inputs: vec![files[0].clone()], ..job.clone() };
    fewer.end().refused(2, &[&name(&files[1])]);
    let more = Job { inputs: vec![files[0].clone(), files[1].clone(), other.clone()], ..job.clone() };
    more.end().refused(2, &[&name(&other)]);
    assert_eq!(content(&job.data_dir), before, "a refusal changes nothing");
    job.run();
}

#[test]
fn changed_shorter_and_grown_files_are_refused_by_name() {
    let place = Place::new();
    let (job, files) = complete(&place);
    let good = fs::read(&files[1]).unwrap();
    let name = files[1].display().to_string();
    let changed = [b"{", &good[..good.len() - 1]].concat();
    for (what, bytes) in [
        ("changed", changed),
        ("shorter", good[..good.len() / 2].to_vec()),
        ("grown", [&good[..], b"{}\n"].concat()),
        ("empty", Vec::new()),
    ] {
        fs::write(&files[1], bytes).unwrap();
        println!("{what}");
        job.end().refused(2, &[&name]);
    }
    fs::remove_file(&files[1]).unwrap();
    job.end().refused(2, &[&name]);
    fs::write(&files[1], good).unwrap();
    job.run();
}

#[test]
fn another_folder_than_a_data_folder_is_refused() {
    let place = Place::new();
    let (job, _) = complete(&place);
    let file = place.write("file", "not a folder");
    Job { data_dir: file.clone(), ..job.clone() }.end().refused(2, &[&file.display().to_string()]);
}

/// Changes a byte in the middle.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).expect("a file can be read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(path, bytes).expect("a file can be written");
}

/// A job that was killed in the middle with some snapshots and issued decisions behind it, and what an undisturbed one
/// leaves.
fn interrupted(place: &Place) -> (Job, Outputs) {
    let sample = Sample::of(PLAN);
    let whole = sample.whole(place, "whole").with(&["--snapshot-every", "30ms"]);
    whole.run();
    let job = whole.beside("data").workers(2);
    let mut running = job.start();
    let issued = || ledger(&job.data_dir).and_then(|ledger| ledger.issued_through().ok()) > Some(Micros::ZERO);
    running.running_until("three snapshots", || snapshots(&job.data_dir).len() >= 3 && issued());
    assert!(running.kill(), "it had ended before it was killed: the input is too small for this machine");
    (job, Outputs::of(&whole.data_dir))
}

#[test]
fn a_damaged_snapshot_is_passed_over_with_a_report() {
    for of_manifest in [false, true] {
        let place = Place::new();
        let (job, outputs) = interrupted(&place);
        let newest = *snapshots(&job.data_dir).last().expect("there are snapshots");
        damage(&if of_manifest { manifest(&job.data_dir, newest) } else { own_file(&job.data_dir, newest) });
        let ended = job.end().done();
        let name = format!("snapshot {newest}");
        assert!(ended.stderr.contains(&name), "{name} is not in the report:\n{}", ended.stderr);
        Outputs::of(&job.data_dir).assert_same(&outputs, "from the snapshot before the damaged one");
    }
}

#[test]
fn without_an_intact_snapshot_nothing_starts() {
    let place = Place::new();
    let (job, _) = interrupted(&place);
    let ids = snapshots(&job.data_dir);
    for id in &ids {
        damage(&manifest(&job.data_dir, *id));
    }
    let before = content(&job.data_dir);
    let repository = job.data_dir.join("snapshots").display().to_string();
    job.end().refused(3, &[&repository]);
    assert_eq!(content(&job.data_dir), before);
}

/// State is expected where outputs are: a lost folder of snapshots is no fresh start.
#[test]
fn lost_snapshots_are_no_fresh_start() {
    let place = Place::new();
    let (job, _) = interrupted(&place);
    let repository = job.data_dir.join("snapshots");
    fs::remove_dir_all(&repository).unwrap();
    job.end().refused(3, &[&repository.display().to_string()]);
}
