//! The promise: what can be restored is listed with what would be; a savepoint outlives retention; damage is found; the
//! snapshot that a job goes on from is not deleted by mistake.

use crate::inputs::Sample;
use crate::outputs::{Outputs, own_file, snapshots};
use crate::support::{Ended, Job, Place, aerie};
use operators::sample::Plan;
use serde_json::Value;
use std::fs;

const PLAN: Plan = Plan { seed: 71, orgs: 2, users: 20, days: 4 };

fn tool(job: &Job, words: &[&str]) -> Ended {
    let dir = job.data_dir.display().to_string();
    aerie(&[&["snapshots"], words, &["--data-dir", &dir, "--json"]].concat())
}

fn ids(list: &Value) -> Vec<u64> {
    list.as_array().expect("a list").iter().map(|row| row["id"].as_u64().expect("a number")).collect()
}

/// The ids that a list says a job would go on from.
fn next(list: &Value) -> Vec<u64> {
    let rows = list.as_array().expect("a list").iter().filter(|row| row["restored_next"] == true);
    rows.map(|row| row["id"].as_u64().expect("a number")).collect()
}

#[test]
fn a_savepoint_outlives_retention_and_is_replayed_and_deleted() {
    let place = Place::new();
    let keep = place.write("keep.toml", "[job]\nsnapshots_kept = 2\n").display().to_string();
    let job = Sample::of(PLAN).whole(&place, "data").with(&["--snapshot-every", "50ms", "--config", &keep]).workers(2);
    let mut running = job.start();
    running.running_until("two snapshots", || snapshots(&job.data_dir).len() >= 2);
    let saved = tool(&job, &["save", "early", &snapshots(&job.data_dir)[0].to_string()]);
    running.wait().done();
    let early = saved.done().json()["id"].as_u64().expect("a number");

    let list = tool(&job, &["list"]).done().json();
    assert_eq!((ids(&list), ids(&list).len()), (snapshots(&job.data_dir), 3), "{list}");
    assert_eq!((ids(&list)[0], &list[0]["names"]), (early, &serde_json::json!(["early"])), "{list}");
    assert_eq!(next(&list), [ids(&list)[2]], "{list}");
    let shown = tool(&job, &["show", "early"]).done().json();
    assert_eq!(shown["id"], early);
    assert!(shown["operators"]["detect"]["files"].is_u64(), "{shown}");
    assert!(shown["partitions"][job.inputs[0].display().to_string()]["position"].is_u64(), "{shown}");
    tool(&job, &["verify"]).done();

    let dir = job.data_dir.display().to_string();
    let report = aerie(&["replay", "--json", "--data-dir", &dir, "--from", "early"]).done().json();
    assert_eq!(report["compared"]["decisions"], Outputs::of(&job.data_dir).decisions().len(), "{report}");

    tool(&job, &["delete", &early.to_string()]).refused(2, &["early"]);
    tool(&job, &["delete", "early"]).done();
    tool(&job, &["delete", "early"]).refused(2, &["early"]);
    tool(&job, &["delete", &early.to_string()]).done();
    assert_eq!(snapshots(&job.data_dir), ids(&list)[1..]);
    tool(&job, &["verify"]).done();
}

#[test]
fn damage_is_found_and_the_newest_intact_one_is_kept() {
    let place = Place::new();
    let job = Sample::of(PLAN).whole(&place, "data").with(&["--snapshot-every", "50ms"]).workers(2);
    let mut running = job.start();
    running.running_until("four snapshots", || snapshots(&job.data_dir).len() >= 4);
    assert!(running.kill(), "it had ended before it was killed: the input is too small for this machine");
    let all = snapshots(&job.data_dir);
    let (newest, before) = (all[all.len() - 1], all[all.len() - 2]);
    assert_eq!(next(&tool(&job, &["list"]).done().json()), [newest]);
    let damaged = own_file(&job.data_dir, newest);
    let mut bytes = fs::read(&damaged).expect("a file can be read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&damaged, bytes).expect("it can be written");

    tool(&job, &["verify"]).refused(3, &[&newest.to_string()]);
    tool(&job, &["verify", &newest.to_string()]).refused(3, &["damaged"]);
    tool(&job, &["verify", &before.to_string()]).done();
    assert_eq!(next(&tool(&job, &["list"]).done().json()), [before]);
    assert_eq!(tool(&job, &["save", "good"]).done().json()["id"], before);
    tool(&job, &["delete", "good"]).done();
    tool(&job, &["delete", &before.to_string()]).refused(2, &["newest intact", "--force"]);
    tool(&job, &["delete", &newest.to_string()]).done();
    job.run().assert_conserved();
}
