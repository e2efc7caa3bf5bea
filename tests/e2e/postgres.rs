//! The promise: with its ledger on a PostgreSQL server a job comes to what it comes to with a file, also when it or the
//! server is killed, at whatever step of a response.

use crate::crash::assert_each_once_in;
use crate::inputs::{EXIT, START, TOGGLES, answers};
use crate::outputs::Outputs;
use crate::responses::openings;
use crate::scratch;
use crate::server::{PASSWORD, Postgres};
use crate::support::{Job, Place, Totals, start_in};
use connectors::store::Store;
use connectors::store::postgres::{Patience, Server, Tls};
use std::fs;

/// Responses, each of three steps: two of one org, two of another.
const RESPONSES: usize = 4;

struct Stage {
    _place: Place,
    server: Postgres,
    job: Job,
    totals: Totals,
    outputs: Outputs,
}

impl Stage {
    fn new() -> Self {
        let place = Place::new();
        let events = place.write_lines("events", &openings(START, RESPONSES as u64));
        let control = place.write_lines("control", &[answers("E1", &TOGGLES), answers("E2", &TOGGLES)]);
        let job = place.job("file", &[events]).control(&control).tor_list(&place.write("tor.txt", EXIT));
        let totals = job.run();
        let outputs = Outputs::of(&job.data_dir);
        assert_eq!((outputs.responses().len(), outputs.outbox.len()), (RESPONSES, RESPONSES), "{totals:?}");
        Stage { _place: place, server: Postgres::start(scratch::folder()), job, totals, outputs }
    }

    /// The same job with its ledger in a schema of this name.
    fn on_server(&self, name: &str) -> Job {
        let job = self.job.beside(name);
        let set = |job: Job, (key, value): (&str, &str)| job.env(&format!("AERIE__LEDGER__{key}"), value);
        let url = self.server.url();
        [("URL", url.as_str()), ("SCHEMA", name), ("PASSWORD", PASSWORD), ("TLS", "false")].into_iter().fold(job, set)
    }

    fn store(&self, name: &str) -> Store {
        let server = Server::parse(&self.server.url(), name, Tls::Off).expect("the URL is one");
        Store::open_server(&server.with_password(PASSWORD), Patience::default()).expect("the store opens")
    }

    /// What is left is what the job with a file has left, and each effect was had once.
    fn assert_same(&self, job: &Job, name: &str, totals: &Totals) {
        assert_eq!(*totals, self.totals, "{name}");
        let left = Outputs::of(&job.data_dir);
        left.assert_same(&self.outputs, name);
        assert_each_once_in(&self.store(name), &left);
        assert!(!job.data_dir.join("control.sqlite").exists(), "there is no other store");
    }
}

#[test]
fn a_job_on_a_server_comes_to_what_it_comes_to_in_a_file() {
    let stage = Stage::new();
    let job = stage.on_server("whole");
    let ended = job.clone().workers(2).end().done();
    stage.assert_same(&job, "whole", &ended.totals());
    assert!(!ended.stderr.contains(PASSWORD));
    let (dir, env) = (job.data_dir.display().to_string(), job.environment.as_slice());
    let aerie = |words: &[&str]| start_in(words, &job.data_dir, env).wait();
    let listed = aerie(&["responses", "list", "--json", "--data-dir", &dir]).done().json();
    let listed = listed["responses"].as_array().expect("a list").len();
    assert_eq!(listed, stage.outputs.responses().len());
    let replayed = aerie(&["replay", "--data-dir", &dir, "--from", "0", "--json"]).done().json();
    assert_eq!(replayed["differing"], 0, "{replayed}");
    let processes = stage.on_server("several").with(&["--processes", "2"]);
    stage.assert_same(&processes, "several", &processes.run());
    // The ledger goes with the data directory's snapshots.
    fs::remove_dir_all(&job.data_dir).expect("a folder can be removed");
    job.end().refused(3, &["there is no snapshot"]);
}

#[test]
fn killed_between_any_two_steps_of_a_response_it_does_each_once() {
    let stage = Stage::new();
    for point in ["execute.claimed", "execute.attempted", "store.commit", "store.committed"] {
        for pass in [0, 1, 2, 3, 4, 7, 11] {
            let name = format!("{}_{pass}", point.replace('.', "_"));
            let job = stage.on_server(&name);
            let armed = job.clone().env("FAILPOINTS", &format!("{point}={pass}*off->1*return(kill)->off"));
            let struck = armed.end();
            assert_eq!(struck.code, None, "{point} was not passed {pass} times: {}", struck.stderr);
            stage.assert_same(&job, &name, &job.run());
            fs::remove_dir_all(&job.data_dir).expect("a folder can be removed");
        }
    }
}

#[test]
fn a_server_that_is_killed_is_waited_for() {
    let mut stage = Stage::new();
    let job = stage.on_server("killed");
    let outbox = job.data_dir.join("outbox");
    let files = || fs::read_dir(&outbox).map_or(0, Iterator::count);
    let mut running = job.start();
    for kills in 1..3 {
        if !running.until("messages", || files() >= kills) {
            break;
        }
        stage.server.kill();
        stage.server.restart();
    }
    stage.assert_same(&job, "killed", &running.wait().done().totals());
}
