//! The promise: databases in MaxMind's format say of an address what its event does not, a job is known by their content,
//! and its replay reads the same ones.

use crate::inputs::{Event, START, control};
use crate::outputs::{Outputs, snapshots, values};
use crate::support::{Job, Place, aerie, get, metric};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// An address that the test databases know: AS 29518, Sweden.
const SWEDEN: &str = "89.160.20.128";

fn database(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("operators/tests/mmdb").join(name)
}

/// One event from Sweden, and the list that it is on.
fn job(place: &Place) -> Job {
    let input = place.write_lines("events.ndjson", &[Event::new("e1", START).session("s1").ip(SWEDEN).line()]);
    let list = control("threat_list", "*", "suspicious_asn", json!({"entries": [29_518]}), START - 60);
    let asn = place.write("asn.mmdb", fs::read(database("GeoLite2-ASN-Test.mmdb")).expect("a database"));
    let country = database("GeoLite2-Country-Test.mmdb");
    place
        .job("data", &[input])
        .control(&place.write_lines("control.ndjson", &[list]))
        .env("AERIE__NETWORKS__ASN", &asn.display().to_string())
        .env("AERIE__NETWORKS__COUNTRY", &country.display().to_string())
}

fn anomaly(job: &Job) -> Value {
    let outputs = Outputs::of(&job.data_dir);
    let line = outputs.audit.iter().find(|line| line.contains("\"anomaly\"")).expect("an anomaly entry");
    values(line)[0].clone()
}

#[test]
fn an_address_is_looked_up_and_the_replay_looks_it_up_again() {
    let place = Place::new();
    let job = job(&place);
    job.run().assert_conserved();
    let details = &anomaly(&job)["details"];
    assert_eq!(details["reason"], json!(["asn", "ip_address"]));
    assert_eq!((&details["location"], &details["ip_address_details"]), (&json!("SE"), &json!(["new-asn"])));
    let first = snapshots(&job.data_dir)[0].to_string();
    let dir = job.data_dir.display().to_string();
    let replay = |more: &[&str]| aerie(&[&["replay", "--json", "--data-dir", &dir, "--from", &first], more].concat());
    let report = replay(&[]).done().json();
    assert_eq!((&report["differing"], &report["compared"]["entries"]), (&json!(0), &json!(3)), "{report}");
    let elsewhere = place.path("elsewhere.mmdb");
    fs::rename(place.path("asn.mmdb"), &elsewhere).expect("a file can be moved");
    replay(&[]).refused(2, &["asn.mmdb", "--control"]);
    replay(&["--control", &elsewhere.display().to_string()]).done();
}

#[test]
fn a_job_is_known_by_its_databases_and_refuses_what_is_none() {
    let place = Place::new();
    let job = job(&place);
    job.run();
    let other = fs::read(database("GeoLite2-Country-Test.mmdb")).expect("a database");
    place.write("asn.mmdb", &other);
    job.end().refused(2, &["asn.mmdb", "is about `asn`", "GeoLite2-Country"]);
    place.write("asn.mmdb", "<html>");
    job.end().refused(2, &["asn.mmdb", "no MaxMind database"]);
    let mut changed = fs::read(database("GeoLite2-ASN-Test.mmdb")).expect("a database");
    changed.push(0);
    place.write("asn.mmdb", &changed);
    job.end().refused(2, &["asn database"]);
    fs::remove_file(place.path("asn.mmdb")).expect("it can be removed");
    job.end().refused(2, &["asn.mmdb", "check the path"]);
}

#[test]
fn the_age_of_a_list_is_served() {
    let place = Place::new();
    // One line alone would wait for another to confirm its time.
    let lines = [Event::new("e1", START).line(), Event::new("e2", START + 60).line()];
    let job = Job { inputs: vec![place.write_lines("live.ndjson", &lines)], ..job(&place) };
    let mut running = job.with(&["--follow"]).env("AERIE__HTTP__LISTEN", "127.0.0.1:0").start();
    let address = running.address();
    let series = "aerie_threat_list_replaced_timestamp_seconds{list=\"suspicious_asn\"}";
    running.running_until("the list applies", || metric(&get(address, "/metrics").1, series) == Some(START - 60));
    running.terminate().done();
}
