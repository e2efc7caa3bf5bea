//! The promise: an admin sees what was ordered, tried and done, and can hold, release and try again; what comes too late,
//! or too often, is not done by itself.

use crate::inputs::{EXIT, Event, TOGGLES, answers, recently};
use crate::outputs::{Outputs, ledger};
use crate::support::{Config, Ended, Place, Running, aerie, get, metric};
use engine::ledger::{Ledger, State};
use serde_json::Value;
use std::path::Path;

/// Openings of sessions through the exit, in two orgs by turns, each by somebody else.
pub fn openings(start: u64, count: u64) -> Vec<String> {
    let opening = |n: u64| {
        let event = Event::new(&format!("e{n}"), start + n).org(["E1", "E2"][n as usize % 2]);
        event.user(&format!("U{n}")).session(&format!("s{n}")).ip(EXIT).line()
    };
    (0..count).map(opening).collect()
}

fn responses(data_dir: &Path, words: &[&str]) -> Ended {
    let dir = data_dir.display().to_string();
    aerie(&[&["responses"], words, &["--data-dir", &dir, "--json"]].concat())
}

fn listed(data_dir: &Path, words: &[&str]) -> Vec<Value> {
    let said = responses(data_dir, &[&["list"], words].concat()).done().json();
    said["responses"].as_array().expect("a list").clone()
}

#[test]
fn what_is_held_is_not_done_and_what_is_released_is() {
    let place = Place::new();
    let events = place.write_lines("events", &openings(recently(), 8));
    let control = place.write_lines("control", &[answers("E1", &TOGGLES), answers("E2", &TOGGLES)]);
    let job = place.job("data", &[events]).control(&control).tor_list(&place.write("tor.txt", EXIT));
    responses(&job.data_dir, &["list"]).refused(2, &["control.sqlite"]);
    // It dies before the first step of all is done.
    let struck = job.clone().env("FAILPOINTS", "execute.claimed=return(kill)").end();
    assert_eq!(struck.code, None, "{}", struck.stderr);
    responses(&job.data_dir, &["hold", "--all"]).done();
    let held = job.clone().with(&["--drain-timeout", "100ms"]).end();
    assert_eq!(held.code, Some(1), "{}", held.stderr);
    assert!(Outputs::of(&job.data_dir).outbox.is_empty(), "nothing is done while all is held");

    responses(&job.data_dir, &["hold", "--org", "E2"]).done();
    responses(&job.data_dir, &["release", "--all"]).done();
    let held = job.clone().with(&["--drain-timeout", "2s"]).end();
    assert_eq!(held.code, Some(1), "{}", held.stderr);
    assert_eq!(listed(&job.data_dir, &["--org", "E1", "--state", "done"]).len(), 4);
    let held = listed(&job.data_dir, &["--org", "E2"]);
    assert!(held.len() == 4 && held.iter().all(|response| response["next_step"] == "end_sessions"), "{held:?}");
    responses(&job.data_dir, &["release", "--org", "E2"]).done();
    job.run();
    let all = listed(&job.data_dir, &[]);
    assert!(all.len() == 8 && all.iter().all(|response| response["state"] == "done"), "{all:?}");

    let pages = [&["--limit", "5"][..], &["--limit", "5", "--before", &all[4]["number"].to_string()]];
    let paged: Vec<Value> = pages.iter().flat_map(|words| listed(&job.data_dir, words)).collect();
    assert_eq!(paged, all, "page by page it is the same");
    let number = all[0]["number"].to_string();
    let shown = responses(&job.data_dir, &["show", &number]).done().json();
    let steps = shown["response"]["steps"].as_array().expect("steps").len();
    let done = |attempt: &&Value| attempt["result"] == "done";
    assert_eq!(shown["attempts"].as_array().expect("attempts").iter().filter(done).count(), steps, "{shown}");
    assert!(shown["attempts"][0]["begun_ms"].as_u64() > Some(1_700_000_000_000), "{shown}");
    responses(&job.data_dir, &["retry", &number]).refused(2, &["done", "nothing to try again"]);
    let dir = job.data_dir.display().to_string();
    let table = aerie(&["responses", "show", &number, "--data-dir", &dir]).done().stdout;
    assert!(table.contains("end_sessions") && table.contains("response "), "{table}");
}

struct Followed {
    _place: Place,
    config: Config,
    running: Running,
}

fn follow(start: u64, respond: &str) -> Followed {
    let place = Place::new();
    let events = place.write_lines("events", &openings(start, 8));
    let control = place.write_lines("control", &[answers("E1", &TOGGLES), answers("E2", &TOGGLES)]);
    let sections = format!("[respond]\n{respond}");
    let config = place.config("data", &[events], "follow = true\nmax_delay = \"100ms\"", &sections);
    let config = config.control(&control).tor_list(&place.write("tor.txt", EXIT));
    let running = config.start();
    Followed { _place: place, config, running }
}

impl Followed {
    /// Waits until so many responses are in a state.
    fn until(&mut self, state: State, wanted: u64) {
        let dir = self.config.data_dir.clone();
        let count = || ledger(&dir).map_or(0, |store| store.count(state).expect("orders can be counted"));
        self.running.running_until(&format!("{wanted} {}", state.name()), || count() == wanted);
    }
}

#[test]
fn what_happened_too_long_ago_is_not_answered() {
    let mut followed = follow(recently() - 7_200, "");
    // The last of them waits for the frontier, which an idle file does not hold back.
    followed.until(State::Expired, 8);
    let outputs = Outputs::of(&followed.config.data_dir);
    assert!(outputs.outbox.is_empty() && outputs.responses().is_empty());
    let address = followed.running.address();
    let expired = "aerie_response_steps_total{kind=\"end_sessions\",outcome=\"expired\"}";
    followed.running.running_until("the figures", || metric(&get(address, "/metrics").1, expired) == Some(8));
    let all = listed(&followed.config.data_dir, &["--state", "expired"]);
    assert!(all[0]["error"].as_str().is_some_and(|why| why.contains("have passed")), "{all:?}");
    // An admin may want it all the same, and is told no: it is no younger now.
    responses(&followed.config.data_dir, &["retry", &all[0]["number"].to_string()]).done();
    followed.until(State::Expired, 8);
    followed.running.terminate().done();
}

#[test]
fn an_org_with_too_many_responses_is_held_and_others_are_not() {
    let mut followed = follow(recently() + 3_000, "max_per_org_and_hour = 3");
    followed.until(State::Done, 6);
    followed.until(State::Ready, 2);
    let address = followed.running.address();
    let figure = |name: &'static str| move || metric(&get(address, "/metrics").1, name) == Some(2);
    followed.running.running_until("both orgs to be held", figure("aerie_orgs_held_total"));
    followed.running.running_until("what is held", figure("aerie_responses_held"));
    assert!(followed.running.stderr().contains("the org is held"), "{}", followed.running.stderr());
    // The count begins anew with the release.
    responses(&followed.config.data_dir, &["release", "--org", "E1"]).done();
    followed.until(State::Done, 7);
    responses(&followed.config.data_dir, &["release", "--org", "E2"]).done();
    followed.until(State::Done, 8);
    followed.running.terminate().done();
}
