//! The promise: a job on topics comes to what a job on files of the same lines comes to, whatever happens to it and to
//! the brokers meanwhile, and it passes nothing over in silence.

use crate::broker::Kafka;
use crate::inputs::{EXIT, Event, TOGGLES, answers, office_hours, recently, scattered};
use crate::outputs::{Outputs, lines_so_far, snapshots, values};
use crate::scratch;
use crate::support::{Dice, Ended, Place, Running, aerie, get, start_in};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const SEED: u64 = 61;
const PARTITIONS: usize = 6;

/// A job that reads topics.
struct TopicJob {
    data_dir: PathBuf,
    file: PathBuf,
}

impl TopicJob {
    fn new(place: &Place, name: &str, kafka: &Kafka, source: &str) -> Self {
        let (data_dir, file) = (place.path(name), place.path(&format!("{name}.toml")));
        let text = format!(
            "control = [{:?}]\ntor_list = {:?}\n[job]\ndata_dir = {:?}\nsnapshot_every = \"500ms\"\nsnapshots_kept = 200\n\
             [http]\nlisten = \"127.0.0.1:0\"\n[kafka]\nbrokers = [{:?}]\ntls = false\n[respond]\n\
             max_response_age = \"7d\"\n[[source]]\nkind = \"kafka\"\n{source}\n",
            place.write_lines("control", &[answers("E1", &TOGGLES)]).display().to_string(),
            place.write("tor.txt", EXIT).display().to_string(),
            data_dir.display().to_string(),
            kafka.address(),
        );
        fs::write(&file, text).expect("a file can be written");
        TopicJob { data_dir, file }
    }

    fn start(&self) -> Running {
        start_in(&["run", "--json", "--config", &self.file.display().to_string()], &self.data_dir, &[])
    }

    fn decided(&self) -> usize {
        lines_so_far(&self.data_dir.join("decisions.ndjson")).len()
    }

    fn entered(&self) -> usize {
        lines_so_far(&self.data_dir.join("audit.ndjson")).len()
    }

    /// Derived once more from a snapshot, it comes to the same.
    #[track_caller]
    fn assert_replayed(&self, from: u64) {
        let (dir, file) = (self.data_dir.display().to_string(), self.file.display().to_string());
        let replayed = aerie(&["replay", "--data-dir", &dir, "--from", &from.to_string(), "--config", &file, "--json"]);
        let report = replayed.done().json();
        assert_eq!(report["differing"], 0, "{report}");
        assert!(report["compared"]["decisions"].as_u64() > Some(0), "{report}");
    }
}

#[test]
fn a_job_on_topics() {
    let mut kafka = Kafka::start(scratch::folder());
    a_silent_topic_keeps_nobody_waiting(&kafka);
    added_partitions_are_read_from_the_next_start(&kafka);
    what_was_lost_before_it_was_read_is_refused(&kafka);
    it_comes_to_what_files_come_to_whatever_happens(&mut kafka);
}

/// Lines for each partition, with some that are no events, and at the end some that let time go on far enough for
/// everything before to be decided and every case to be closed.
fn parts() -> Vec<Vec<Vec<u8>>> {
    let mut dice = Dice::new(SEED);
    let began = recently() - 3 * 3_600;
    let lines = office_hours(began, 3_000, &mut dice);
    let mut parts: Vec<Vec<Vec<u8>>> = scattered(&lines, PARTITIONS, &mut dice)
        .into_iter()
        .map(|lines| lines.into_iter().map(String::into_bytes).collect())
        .collect();
    let poison: [&[u8]; 5] = [b"\xff\xfe", b"{", b"[1]", b"{\"id\":\"x\"}", &[b'x'; 70_000]];
    for poison in poison {
        let part = &mut parts[dice.below(PARTITIONS as u64) as usize];
        let at = dice.below(part.len() as u64) as usize;
        part.insert(at, poison.to_vec());
    }
    for (number, part) in parts.iter_mut().enumerate() {
        for last in 0..2 {
            let event = Event::new(&format!("last{number}.{last}"), began + 3 * 3_600 + last).user("LAST");
            part.push(event.line().into_bytes());
        }
    }
    parts
}

fn it_comes_to_what_files_come_to_whatever_happens(kafka: &mut Kafka) {
    let place = Place::new();
    let parts = parts();
    let count: usize = parts.iter().map(Vec::len).sum();
    // Never idle: then time is a function of the lines alone.
    let job = TopicJob::new(&place, "topics", kafka, "topic = \"activity\"\nmax_delay = \"1h\"");
    let files = parts.iter().enumerate();
    let files: Vec<_> = files.map(|(n, part)| place.write(&format!("part{n}"), part.join(&b'\n'))).collect();
    let files = place.job("files", &files).control(&place.path("control")).tor_list(&place.path("tor.txt"));
    let files_totals = files.run();
    let expected = Outputs::of(&files.data_dir);
    let (decisions, entries) = (expected.decisions.lines().count(), expected.audit.len());
    assert!(decisions > 20 && entries > 2 * decisions, "{decisions} decisions and {entries} entries");

    kafka.create("activity", PARTITIONS as i32, &[]);
    let write = |kafka: &Kafka, from: usize, to: usize| {
        let messages = parts.iter().zip(0..).flat_map(|(part, number)| {
            let piece = &part[part.len() * from / 4..part.len() * to / 4];
            piece.iter().map(move |line| (number, line.as_slice()))
        });
        kafka.write("activity", messages);
    };
    // A quarter, and a kill while more is read; the broker goes; more; another kill; the rest.
    write(kafka, 0, 1);
    let mut running = job.start();
    running.running_until("decisions and snapshots", || job.decided() > 2 && !snapshots(&job.data_dir).is_empty());
    write(kafka, 1, 2);
    assert!(running.kill(), "it runs on");
    let mut running = job.start();
    let address = running.address();
    running.running_until("readiness", || get(address, "/readyz").0 == 200);
    kafka.kill();
    let err = running.stderr_file();
    let said = |words: &str| fs::read_to_string(&err).unwrap_or_default().contains(words);
    running.running_until("a word on brokers that are gone", || said("topic activity do not answer"));
    assert_eq!((get(address, "/livez").0, get(address, "/readyz").0), (200, 200));
    kafka.restart();
    write(kafka, 2, 3);
    running.running_until("more decisions", || job.decided() > decisions / 2);
    running.running_until("a word on brokers that are back", || said("topic activity is read again"));
    assert!(running.kill(), "it runs on");
    write(kafka, 3, 4);
    let mut running = job.start();
    let told = || fs::read_dir(job.data_dir.join("outbox")).map_or(0, Iterator::count);
    running.running_until("all decisions, entries and messages", || {
        job.decided() >= decisions && job.entered() >= entries && told() >= expected.outbox.len()
    });
    let totals = running.terminate().done().totals();
    Outputs::of(&job.data_dir).assert_same_results(&expected, "topics and files");
    let rejected = |outputs: &Outputs| {
        let mut reasons: Vec<_> = values(&outputs.dead_letter).iter().map(|line| line["reason"].to_string()).collect();
        reasons.sort_unstable();
        reasons
    };
    let left = Outputs::of(&job.data_dir);
    assert_eq!(rejected(&left), rejected(&expected));
    assert!(left.dead_letter.contains("\"source\":\"kafka:activity/"), "{}", left.dead_letter);
    // The last of each partition may wait for their time.
    assert!(totals.of("received") + 2 * PARTITIONS as u64 >= files_totals.of("received"), "{totals:?} of {count}");
    job.assert_replayed(snapshots(&job.data_dir)[0]);
}

fn a_silent_topic_keeps_nobody_waiting(kafka: &Kafka) {
    let place = Place::new();
    kafka.create("silent", 3, &[]);
    let job = TopicJob::new(&place, "silent", kafka, "topic = \"silent\"\nmax_delay = \"1s\"");
    let mut running = job.start();
    let address = running.address();
    running.running_until("readiness with nothing to read", || get(address, "/readyz").0 == 200);
    let now = recently() + 3_300;
    let events = [0, 1].map(|n| Event::new(&format!("e{n}"), now - 2 + n).session("x").ip(EXIT).line());
    kafka.write("silent", events.iter().map(|line| (1, line.as_bytes())));
    // Its neighbours have nothing and its own time would end here: it is decided all the same.
    running.running_until("a decision", || job.decided() == 1);
    let newest = || snapshots(&job.data_dir).pop().unwrap_or_default();
    let seen = newest();
    running.running_until("snapshots to go on", || newest() > seen + 1);
    let told = || kafka.told("aerie", "silent", 1);
    running.running_until("the group to be told", || told() == Some(2));
    assert_eq!(get(address, "/readyz").0, 200);
    running.terminate().done().totals().assert_conserved();
    job.assert_replayed(snapshots(&job.data_dir)[0]);
}

fn added_partitions_are_read_from_the_next_start(kafka: &Kafka) {
    let place = Place::new();
    kafka.create("grown", 1, &[]);
    let job = TopicJob::new(&place, "grown", kafka, "topic = \"grown\"\nmax_delay = \"500ms\"");
    let now = recently() + 3_300;
    let event = |name: &str, at: u64| Event::new(&format!("{name}{at}"), at).user(name).session(name).ip(EXIT).line();
    let write = |partition: i32, name: &str, at: u64| {
        kafka.write("grown", [(partition, event(name, at).as_bytes())]);
    };
    // One alone would wait for another: it might be far ahead of its time.
    write(0, "first", now - 61);
    write(0, "first", now - 60);
    let mut running = job.start();
    running.running_until("a decision", || job.decided() == 1);
    let seen = snapshots(&job.data_dir).pop();
    running.running_until("a snapshot", || snapshots(&job.data_dir).pop() > seen);
    running.terminate().done();
    kafka.extend("grown", 2);
    // Before what has been decided.
    write(1, "second", now - 90);
    let mut running = job.start();
    running.running_until("what was there already", || job.decided() == 2);
    write(1, "third", now);
    running.running_until("what comes", || job.decided() == 3);
    let totals = running.terminate().done().totals();
    assert_eq!((totals.of("applied"), totals.of("too_late")), (4, 0), "{totals:?}");
    job.assert_replayed(snapshots(&job.data_dir)[0]);
}

fn what_was_lost_before_it_was_read_is_refused(kafka: &Kafka) {
    let place = Place::new();
    kafka.create("lost", 1, &[]);
    let job = TopicJob::new(&place, "lost", kafka, "topic = \"lost\"\nmax_delay = \"500ms\"");
    let now = recently() + 3_300;
    let line = |n: u64| Event::new(&format!("e{n}"), now - 100 + n).session("x").ip(EXIT).line();
    let write = |from: u64, to: u64| {
        let lines: Vec<_> = (from..to).map(line).collect();
        kafka.write("lost", lines.iter().map(|line| (0, line.as_bytes())));
    };
    write(0, 3);
    // What was gone before the job began is not missed.
    kafka.forget("lost", 0, 1);
    let mut running = job.start();
    running.running_until("a decision", || job.decided() == 1);
    running.running_until("the group to be told", || kafka.told("aerie", "lost", 0) == Some(3));
    running.terminate().done();
    write(3, 9);
    kafka.forget("lost", 0, 5);
    let words = ["partition 0 of topic lost begins at offset 5", "stands at 3", "2 offsets were removed"];
    job.start().wait().refused(2, &words);
    // Nor is it passed over the next time.
    job.start().wait().refused(2, &words);
    kafka.remove("lost");
    let nowhere: Ended = job.start().wait();
    nowhere.refused(2, &["topic lost"]);
    kafka.create("lost", 1, &[]);
    job.start().wait().refused(2, &["ends at offset 0", "stands at 3", "made anew"]);
}

/// Two million events, and how fast they are read; for a machine that has nothing else to do:
/// `cargo test --release --test e2e kafka::two_million -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes and gigabytes"]
fn two_million_events_from_a_topic_are_as_two_million_from_files() {
    const COPIES: u64 = 2_000_000;
    let kafka = Kafka::start(tempfile::tempdir().expect("a temporary folder can be made"));
    let place = Place::on_disk();
    let mut dice = Dice::new(SEED);
    let lines = office_hours(recently() - 5 * 86_400, COPIES, &mut dice);
    println!("{} events", lines.len());
    let mut parts = scattered(&lines, PARTITIONS, &mut dice);
    for (number, part) in parts.iter_mut().enumerate() {
        part.extend([0, 1].map(|last| Event::new(&format!("last{number}.{last}"), recently() + 60 + last).line()));
    }
    let files = parts.iter().enumerate();
    let files: Vec<_> = files.map(|(n, part)| place.write_lines(&format!("part{n}"), part)).collect();
    let job = TopicJob::new(&place, "topics", &kafka, "topic = \"many\"\nmax_delay = \"1h\"");
    let files = place.job("files", &files).control(&place.path("control")).tor_list(&place.path("tor.txt"));
    let since = Instant::now();
    files.start().patient(Duration::from_secs(1_800)).wait().done();
    let by_files = since.elapsed();
    let expected = Outputs::of(&files.data_dir).decisions;
    let decisions = expected.lines().count();
    kafka.create("many", PARTITIONS as i32, &[]);
    kafka.write("many", (0..).zip(&parts).flat_map(|(n, part)| part.iter().map(move |line| (n, line.as_bytes()))));
    let since = Instant::now();
    let mut running = job.start().patient(Duration::from_secs(1_800));
    running.running_until("all decisions", || job.decided() >= decisions);
    println!("by files {by_files:?}, by topic {:?}, {decisions} decisions", since.elapsed());
    running.terminate().done();
    crate::outputs::same_lines(&Outputs::of(&job.data_dir).decisions, &expected, "decisions");
}
