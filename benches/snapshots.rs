//! What do snapshots cost while a job runs, and how long does it take to go on from one? One job over so many users, each
//! of whom comes three times: without snapshots between the first and the last, with one every 10 s, stopped in the
//! middle and gone on with at two and at four workers. `cargo bench --bench snapshots [-- USERS [ROUNDS]]`

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use aerie::run::{Watch, run};
use engine::metrics::{Phase, Restoring};
use engine::time::Stamp;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// How often each user comes. The first time makes the state, later ones read and change it.
const TIMES: u64 = 3;

/// 2026-01-01, in seconds.
const START: u64 = 1_767_225_600;

/// Event time that the activity covers, in seconds.
const COVERED: u64 = 3 * 86_400;

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let users = numbers.first().copied().unwrap_or(1_000_000);
    let rounds = numbers.get(1).copied().unwrap_or(2);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let input = folder.path().join("events.ndjson");
    let events = write_events(&input, users).expect("a file can be written");
    println!("{users} users, {events} events, state memory 256MiB, 2 workers, {rounds} rounds");

    let bench = Bench { folder: folder.path().to_owned(), input, events };
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        without.push(bench.whole(&format!("without{round}"), "1h").0);
        let (rate, watch) = bench.whole(&format!("with{round}"), "10s");
        with.push(rate);
        show(&watch);
    }
    let (without, with) = (median(without), median(with));
    println!("without {without:.0} events/s, a snapshot every 10 s {with:.0} events/s, {:.3} of it", with / without);
    for workers in [2, 4] {
        bench.go_on(workers);
    }
}

/// What the snapshots of a run came to.
fn show(watch: &Watch) {
    let snapshots = watch.status.snapshots();
    println!(
        "  {} snapshots; the last took {:.2} s, {:.0} MB of it new of {:.0} MB; published in {:.0} ms",
        snapshots.published,
        snapshots.seconds,
        snapshots.new_bytes as f64 / 1e6,
        snapshots.bytes as f64 / 1e6,
        snapshots.publishing * 1e3
    );
    for phase in Phase::ALL {
        let spent = snapshots.phases.of(phase);
        let mean = spent.seconds / spent.stretches.max(1) as f64;
        println!(
            "  {:<7} {:>7} stretches, mean {:>8.3} ms, longest {:>9.3} ms, together {:>8.3} s",
            phase.name(),
            spent.stretches,
            mean * 1e3,
            spent.longest * 1e3,
            spent.seconds
        );
    }
}

struct Bench {
    folder: PathBuf,
    input: PathBuf,
    events: u64,
}

impl Bench {
    fn job(&self, name: &str, snapshot_every: &str, workers: usize) -> config::Job {
        let flags = config::Flags {
            input: vec![self.input.clone()],
            data_dir: Some(self.folder.join(name)),
            workers: Some(workers.to_string()),
            snapshot_every: Some(snapshot_every.to_owned()),
            ..config::Flags::default()
        };
        config::Job::from_flags(flags, Vec::new()).expect("flags that fit")
    }

    /// Events per second of a run from beginning to end.
    fn whole(&self, name: &str, snapshot_every: &str) -> (f64, Watch) {
        let watch = Watch::default();
        let start = Instant::now();
        let finished = run(&self.job(name, snapshot_every, 2), &watch).expect("a job that runs");
        let rate = self.events as f64 / start.elapsed().as_secs_f64();
        assert_eq!(finished.totals.applied, self.events);
        std::fs::remove_dir_all(self.folder.join(name)).expect("a folder can be removed");
        (rate, watch)
    }

    /// Stops a job in the middle, goes on at another number of workers, and says how long that took.
    fn go_on(&self, workers: usize) {
        let name = format!("stopped{workers}");
        let watch = Watch::default();
        let half = self.events * 2 / 3;
        let (job, stopping) = (self.job(&name, "5s", 2), watch.clone());
        let stopper = thread::spawn(move || {
            wait_until(|| stopping.status.received() >= half);
            stopping.stop.store(true, Ordering::SeqCst);
        });
        run(&job, &watch).expect("a job that can be stopped");
        stopper.join().expect("no panic");
        let cut = watch.status.snapshots().newest.unwrap_or_default();

        let watch = Watch::default();
        let (job, looking) = (self.job(&name, "1h", workers), watch.clone());
        let start = Instant::now();
        let going = thread::spawn(move || run(&job, &looking));
        wait_until(|| !watch.status.partitions().is_empty());
        let ready = start.elapsed();
        wait_until(|| watch.status.applied() > cut);
        let applied = start.elapsed();
        watch.stop.store(true, Ordering::SeqCst);
        going.join().expect("no panic").expect("a job that goes on");
        println!(
            "2 to {workers} workers, cut at {}: sources open after {:.2} s (of that {:.2} s to fetch and compare), \
             first new event time applied after {:.2} s",
            seconds(cut),
            ready.as_secs_f64(),
            watch.status.restored(Restoring::Fetch),
            applied.as_secs_f64()
        );
        std::fs::remove_dir_all(self.folder.join(name)).expect("a folder can be removed");
    }
}

fn seconds(stamp: Stamp) -> u64 {
    stamp / 1_000
}

fn wait_until(holds: impl Fn() -> bool) {
    while !holds() {
        thread::sleep(Duration::from_millis(1));
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Users in an order that looks like chance, each in every third of the file.
fn write_events(path: &Path, users: u64) -> std::io::Result<u64> {
    let mut file = BufWriter::new(File::create(path)?);
    let events = TIMES * users;
    for n in 0..events {
        let user = (n % users).wrapping_mul(2_654_435_761) % users;
        let micros = n * (COVERED * 1_000_000 / events);
        writeln!(
            file,
            r#"{{"id":"e{n}","date_create":{}.{:06},"action":"file_downloaded","actor":{{"type":"user","user":{{"id":"U{user:08}"}}}},"entity":{{"type":"file","file":{{"id":"F{}"}}}},"context":{{"location":{{"type":"enterprise","id":"E{}"}},"ua":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/134","session_id":"{user}","ip_address":"80.1.{}.{}","asn":64500}}}}"#,
            START + micros / 1_000_000,
            micros % 1_000_000,
            n % 1_000,
            user % 50,
            user / 250 % 250,
            user % 250
        )?;
    }
    file.flush()?;
    Ok(events)
}
