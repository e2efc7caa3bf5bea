//! The promise: a job derived once more from any of its snapshots, at any number of workers, comes to what it has on
//! record; what was tampered with, or would be another way by other settings, is listed by id. A replay changes nothing.

use crate::inputs::{EXIT, Event, Sample, TOGGLES, answers, recently};
use crate::outputs::{Outputs, ledger, lines, lines_so_far, snapshots, text, values};
use crate::support::{Ended, Job, Place, aerie};
use engine::ledger::{Ledger, Page};
use operators::sample::Plan;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;

const SEED: u64 = 61;
const PLAN: Plan = Plan { seed: SEED, orgs: 3, users: 20, days: 2 };

fn replay(data_dir: &Path, from: &str, more: &[&str]) -> Ended {
    let dir = data_dir.display().to_string();
    let words = [&["replay", "--json", "--data-dir", &dir, "--from", from], more].concat();
    aerie(&words)
}

/// It is equal, and there was something to compare. Gives the report.
#[track_caller]
fn assert_equal(data_dir: &Path, from: &str, more: &[&str]) -> Value {
    let ended = replay(data_dir, from, more);
    assert_eq!(ended.code, Some(0), "aerie {}\n{}\n{}", ended.what, ended.stdout, ended.stderr);
    let report = ended.json();
    assert_eq!(report["differing"], 0, "{report}");
    report
}

/// Ids of the differences of a kind of thing.
fn differing(report: &Value, of: &str) -> BTreeSet<String> {
    let all = report["differences"].as_array().expect("a list");
    let ids = all.iter().filter(|difference| difference["of"] == of);
    ids.map(|difference| difference["id"].as_str().expect("an id").to_owned()).collect()
}

/// Every file under a folder with its bytes.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder can be listed") {
        let path = entry.expect("a folder can be listed").path();
        match path.is_dir() {
            true => files.extend(content(&path)),
            false => drop(files.insert(path.display().to_string(), fs::read(&path).expect("a file can be read"))),
        }
    }
    files
}

/// Generated activity of which some is late and some is no event at all.
fn sample() -> Sample {
    let mut sample = Sample::of(PLAN);
    let events = std::mem::take(&mut sample.events);
    for (n, line) in events.iter().enumerate() {
        // What stood so far back is late by then, and within the limit or beyond it.
        let again = n.checked_sub(if n % 2 == 0 { 50 } else { 2_000 }).filter(|_| n % 149 == 0);
        sample.events.extend(again.map(|at| events[at].replacen("\"id\":\"", "\"id\":\"late-", 1)));
        sample.events.extend((n % 211 == 0).then(|| format!("no event, {n}")));
        sample.events.push(line.clone());
    }
    sample
}

/// A job that keeps all its snapshots.
fn job(place: &Place) -> Job {
    let keep = place.write("keep.toml", "[job]\nsnapshots_kept = 100\n").display().to_string();
    sample().whole(place, "data").with(&["--snapshot-every", "50ms", "--config", &keep]).workers(2)
}

/// Runs it, and gives its snapshots.
fn finished(job: &Job) -> Vec<u64> {
    job.run().assert_conserved();
    let ids = snapshots(&job.data_dir);
    assert!(ids.len() >= 4, "too few snapshots to start from: {ids:?}");
    ids
}

#[test]
fn a_finished_run_is_replayed_from_every_snapshot_at_any_number_of_workers() {
    let place = Place::new();
    let job = job(&place);
    let ids = finished(&job);
    let before = content(&job.data_dir);
    let all = Outputs::of(&job.data_dir);
    let (decided, entries) = (all.decisions.lines().count() as u64, all.audit.len() as u64);
    let page = Page { group: None, state: None, before: None, limit: 10_000 };
    let orders =
        ledger(&job.data_dir).expect("there is a store").orders(page).expect("orders can be read").len() as u64;
    assert!(decided > 5 && orders > all.responses().len() as u64, "too little to compare");
    assert!(all.dead_letter.lines().count() > 5 && all.late.lines().count() > 5, "too little to compare");
    assert!(all.late.contains("\"applied\":true") && all.late.contains("\"applied\":false"), "{}", all.late);
    let mut compared = Vec::new();
    for (n, id) in ids.iter().enumerate() {
        let workers = [1, 2, 4][n % 3].to_string();
        let report = assert_equal(&job.data_dir, &id.to_string(), &["--workers", &workers]);
        compared.push(report["compared"]["decisions"].as_u64().expect("a number"));
        if n == 0 {
            assert_eq!(report["compared"]["decisions"], decided, "the first snapshot is before everything");
            assert_eq!(report["compared"]["entries"], entries);
            assert_eq!(report["compared"]["orders"], orders, "responses, and messages on repeats and limits");
            assert_eq!(report["compared"]["dead_letters"], all.dead_letter.lines().count() as u64);
            assert_eq!(report["compared"]["late"], all.late.lines().count() as u64);
        }
    }
    assert!(compared.is_sorted_by(|a, b| a >= b) && compared.last() == Some(&0), "{compared:?}");
    for workers in ["1", "4"] {
        assert_equal(&job.data_dir, &ids[1].to_string(), &["--workers", workers]);
    }
    assert_eq!(content(&job.data_dir), before, "a replay only reads");
}

#[test]
fn a_run_that_was_killed_is_replayed_as_it_stands_and_once_it_is_done() {
    let place = Place::new();
    let job = job(&place);
    for _ in 0..2 {
        let before = snapshots(&job.data_dir).last().copied().unwrap_or(0);
        let mut running = job.start();
        running.running_until("two more snapshots", || {
            snapshots(&job.data_dir).last().is_some_and(|newest| *newest >= before + 2)
        });
        assert!(running.kill(), "it had ended before it was killed: the input is too small for this machine");
        for id in snapshots(&job.data_dir) {
            assert_equal(&job.data_dir, &id.to_string(), &["--workers", "2"]);
        }
    }
    job.run();
    for (id, workers) in snapshots(&job.data_dir).iter().zip(["1", "2", "4", "1", "2", "4"]) {
        assert_equal(&job.data_dir, &id.to_string(), &["--workers", workers]);
    }
}

#[test]
fn another_threshold_shows_in_the_decisions_that_it_changes() {
    let place = Place::new();
    let job = job(&place);
    let ids = finished(&job);
    let settings = "[detect.excessive_downloads]\nuntaught = 100000\n";
    let config = place.write("other.toml", settings);
    let config = config.display().to_string();
    let other = sample().whole(&place, "other").with(&["--config", &config]);
    other.run();
    let by_id = |dir: &Path| -> BTreeMap<String, Value> {
        let decisions = Outputs::of(dir).decisions();
        decisions.into_iter().map(|line| (line["anomaly_id"].as_str().expect("an id").to_owned(), line)).collect()
    };
    let (was, would_be) = (by_id(&job.data_dir), by_id(&other.data_dir));
    let expected: BTreeSet<String> =
        was.keys().chain(would_be.keys()).filter(|id| was.get(*id) != would_be.get(*id)).cloned().collect();
    assert!(!expected.is_empty() && expected.len() < 40, "{expected:?}");
    let ended = replay(&job.data_dir, &ids[0].to_string(), &["--config", &config]).refused(1, &["--config"]);
    let report = ended.json();
    assert_eq!(differing(&report, "decision"), expected, "{report}");
    assert!(report["differing"].as_u64() >= Some(expected.len() as u64));
}

#[test]
fn a_tampered_record_is_found() {
    let place = Place::new();
    let job = job(&place);
    let ids = finished(&job);
    let path = job.data_dir.join("decisions.ndjson");
    let good = lines(&path);
    let first = ids[0].to_string();
    let line = good.iter().position(|line| line.contains("\"decision\":\"responded\"")).expect("a response");
    let id = values(&good[line])[0]["anomaly_id"].as_str().expect("an id").to_owned();

    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut changed = good.clone();
        change(&mut changed);
        fs::write(&path, changed.iter().map(|line| format!("{line}\n")).collect::<String>())
            .expect("it can be written");
        replay(&job.data_dir, &first, &[]).refused(1, &["differs from the record in 1 place"]).json()
    };
    let report =
        with(&|lines| lines[line] = lines[line].replace("\"decision\":\"responded\"", "\"decision\":\"disabled\""));
    assert_eq!(differing(&report, "decision"), BTreeSet::from([id.clone()]), "{report}");
    let field = &report["differences"][0]["fields"][0];
    assert_eq!(
        (&field["path"], &field["recorded"], &field["replayed"]),
        (&"/decision".into(), &"disabled".into(), &"responded".into())
    );
    let report = with(&|lines| drop(lines.remove(line)));
    assert_eq!(
        (&report["differences"][0]["kind"], &report["differences"][0]["id"]),
        (&"only_replayed".into(), &id.clone().into())
    );
    let report = with(&|lines| lines.insert(line, lines[line].clone()));
    assert_eq!(report["differences"][0]["kind"], "repeated", "{report}");
    let report = with(&|lines| lines[line].insert(1, ' '));
    assert_eq!(differing(&report, "decision"), BTreeSet::from([id]), "other bytes of the same content: {report}");

    fs::write(&path, "").expect("it can be written");
    let last = ids[ids.len() - 2].to_string();
    replay(&job.data_dir, &last, &[]).refused(3, &["decisions.ndjson", "restore"]);
}

#[test]
fn what_was_set_aside_is_compared_as_well() {
    let place = Place::new();
    let job = job(&place);
    let first = finished(&job)[0].to_string();
    let kinds = [("dead_letter.ndjson", "dead letter"), ("late.ndjson", "late event")];
    let good = kinds.map(|(name, _)| lines(&job.data_dir.join(name)));
    let middle = |lines: &[String]| lines.len() / 2;
    for kind in ["only_replayed", "repeated", "changed"] {
        for ((name, _), good) in kinds.iter().zip(&good) {
            let (mut lines, at) = (good.clone(), middle(good));
            match kind {
                "only_replayed" => drop(lines.remove(at)),
                "repeated" => lines.insert(at, lines[at].clone()),
                _ => lines[at].insert(1, ' '),
            }
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            fs::write(job.data_dir.join(name), text).expect("it can be written");
        }
        let report = replay(&job.data_dir, &first, &[]).refused(1, &["differs from the record in 2 places"]).json();
        for ((_, of), good) in kinds.iter().zip(&good) {
            let about = &values(&good[middle(good)])[0];
            let id = format!("{} at {}", about["source"].as_str().expect("a source"), about["position"]);
            assert_eq!(differing(&report, of), BTreeSet::from([id]), "{report}");
        }
        assert_eq!(report["differences"][0]["kind"], kind, "{report}");
    }
}

#[test]
fn inputs_are_known_by_their_content_wherever_they_lie() {
    let place = Place::new();
    let job = job(&place);
    let first = finished(&job)[0].to_string();
    let moved = |from: &Path, to: &str| {
        let to = place.path(to);
        fs::rename(from, &to).expect("a file can be moved");
        to.display().to_string()
    };
    let events = moved(&job.inputs[0], "elsewhere.ndjson");
    replay(&job.data_dir, &first, &[]).refused(2, &[&job.inputs[0].display().to_string()]);
    let report = assert_equal(&job.data_dir, &first, &["--input", &events]);
    assert!(report["compared"]["decisions"].as_u64() > Some(5));
    let other = place.write_lines("stranger", &[Event::new("x", 1_772_000_000).line()]).display().to_string();
    replay(&job.data_dir, &first, &["--input", &events, &other]).refused(2, &[&other, "none of the input files"]);
    let control = moved(&job.control[0], "control.elsewhere");
    let tor = moved(job.tor_list.as_deref().expect("a list"), "tor.elsewhere");
    replay(&job.data_dir, &first, &["--input", &events]).refused(2, &["tor.txt", "--control"]);
    assert_equal(&job.data_dir, &first, &["--input", &events, "--control", &control, &tor]);
}

#[test]
fn what_cannot_be_replayed_is_refused_with_what_to_do() {
    let place = Place::new();
    let job = job(&place);
    finished(&job);
    replay(&job.data_dir, "4711", &[]).refused(2, &["4711", "snapshots list"]);
    replay(&job.data_dir, "nobody", &[]).refused(2, &["nobody", "snapshots list"]);
    replay(&place.path("nowhere"), "0", &[]).refused(2, &["nowhere"]);
    let manifest = crate::outputs::manifest(&job.data_dir, 1);
    let mut bytes = fs::read(&manifest).expect("a manifest");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&manifest, bytes).expect("it can be written");
    replay(&job.data_dir, "1", &[]).refused(3, &["damaged"]);
}

/// Lines of each followed file, and seconds between them.
const LINES: u64 = 1_500;
const APART: u64 = 5;

/// The lines of one of three producers; now and then somebody comes through the exit.
fn produced(start: u64, producer: u64) -> Vec<String> {
    let line = |n: u64| {
        let user = format!("U{}", n % 7);
        let event = Event::new(&format!("p{producer}-{n}"), start + n * APART).user(&user);
        match n % 50 == producer * 9 {
            true => event.session(&format!("x{producer}-{n}")).ip(EXIT).line(),
            false => event.session(&format!("s{user}")).line(),
        }
    };
    (0..LINES).map(line).collect()
}

fn append(path: &Path, lines: &[String]) {
    let mut file = fs::OpenOptions::new().append(true).open(path).expect("the input is there");
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    file.write_all(text.as_bytes()).expect("the input can be appended to");
}

#[test]
fn a_followed_run_with_idle_partitions_and_a_late_producer_is_replayed_from_its_journal() {
    let place = Place::new();
    let start = recently() - LINES * APART;
    let files = ["one", "two", "late"].map(|name| place.write(name, ""));
    let parts = [0, 1, 2].map(|producer| produced(start, producer));
    let config = place
        .config("data", &files, "follow = true\nmax_delay = \"200ms\"", "")
        .control(&place.write_lines("control", &[answers("E1", &TOGGLES)]))
        .tor_list(&place.write("tor.txt", EXIT))
        .settings("snapshot_every = \"150ms\"\nsnapshots_kept = 100");
    let decisions = config.data_dir.join("decisions.ndjson");
    let mut running = config.start();
    append(&files[2], &parts[2][..60]);
    let mut fed = 0;
    running.running_until("two producers to have said all, though one is silent", || {
        append(&files[0], &parts[0][fed..=fed]);
        append(&files[1], &parts[1][fed..=fed]);
        fed += 1;
        fed == LINES as usize
    });
    append(&files[2], &parts[2][60..]);
    let late = config.data_dir.join("late.ndjson");
    running.running_until("late lines and decisions", || {
        lines_so_far(&late).len() > 100 && lines_so_far(&decisions).len() > 20
    });
    running.terminate().done().totals().assert_conserved();

    let ids = snapshots(&config.data_dir);
    assert!(ids.len() > 2, "{ids:?}");
    let count = text(&decisions).lines().count() as u64;
    let late = text(&late).lines().count() as u64;
    let from = |id: u64, workers: &str| assert_equal(&config.data_dir, &id.to_string(), &["--workers", workers]);
    for (n, id) in ids.iter().enumerate() {
        let report = from(*id, ["1", "2", "3"][n % 3]);
        assert!(n > 0 || report["compared"]["decisions"] == count, "{report}");
        assert!(n > 0 || report["compared"]["late"] == late, "{report}");
        assert!(report["through_ms"].is_u64(), "the job was not complete: {report}");
    }
    // What came later is no part of the record.
    append(&files[0], &[Event::new("after", start + LINES * APART).user("U1").session("y").ip(EXIT).line()]);
    from(ids[0], "2");
}
