//! What do snapshots cost while a job runs, what do they store, and how long does it take to go on from one? One job over
//! so many users, each of whom comes three times: without snapshots between the first and the last, with one every 10 s and
//! every second; a job that stores what a share of its users changed; and one that is stopped in the middle and goes on at
//! two and at four workers, without and with a directory of all users. `cargo bench --bench snapshots [-- USERS [ROUNDS]]`

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use aerie::run::{Watch, repository, run};
use engine::metrics::{Phase, Restoring};
use engine::time::Stamp;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often each user comes. The first time makes the state, later ones read and change it.
const TIMES: u64 = 3;

/// 2026-01-01, in seconds.
const START: u64 = 1_767_225_600;

/// Event time that the activity covers, in seconds.
const COVERED: u64 = 3 * 86_400;

/// Threads of dataflow, where nothing else is said.
const WORKERS: usize = 2;

/// Of a hundred users, how many are touched between two snapshots.
const TOUCHED: [u64; 3] = [1, 10, 100];

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let users = numbers.first().copied().unwrap_or(1_000_000);
    let rounds = numbers.get(1).copied().unwrap_or(2);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let input = folder.path().join("events.ndjson");
    let events = write_events(&input, users).expect("a file can be written");
    println!("{users} users, {events} events, state memory 256MiB, 2 workers, {rounds} rounds");

    let directory = folder.path().join("control.ndjson");
    write_directory(&directory, users).expect("a file can be written");
    let bench = Bench { folder: folder.path().to_owned(), input, directory, users, events };
    let mut rates = [("1h", Vec::new()), ("10s", Vec::new()), ("1s", Vec::new())];
    for round in 0..rounds {
        for (every, rates) in &mut rates {
            rates.push(bench.whole(&format!("whole{every}{round}"), every));
        }
    }
    let [without, ten, one] = rates.map(|(_, rates)| median(rates));
    println!(
        "events/s: {without:.0} without snapshots, {ten:.0} with one every 10 s ({:.3} of it), {one:.0} with one every \
         second ({:.3} of it)",
        ten / without,
        one / without
    );
    bench.touched();
    bench.go_on(WORKERS, false);
    bench.go_on(WORKERS, true);
    bench.go_on(2 * WORKERS, true);
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

/// Watches a run until `over`, and gives how long each of its snapshots held a worker: all stretches of all operators,
/// over the number of workers, in seconds, ascending. The first and the last snapshot hold nobody.
fn held_by_snapshots(watch: &Watch, over: Arc<AtomicBool>) -> JoinHandle<Vec<f64>> {
    let status = watch.status.clone();
    thread::spawn(move || {
        let (mut all, mut counted, mut published) = (Vec::new(), 0.0, 0);
        while !over.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
            let snapshots = status.snapshots();
            // All parts of a snapshot are counted before it is published, and none of the next.
            if snapshots.published > published {
                let seconds = snapshots.phases.of(Phase::Held).seconds;
                if snapshots.newest.is_some_and(|cut| cut != 0 && cut != Stamp::MAX) {
                    all.push((seconds - counted) / WORKERS as f64);
                }
                (counted, published) = (seconds, snapshots.published);
            }
        }
        all.sort_by(f64::total_cmp);
        all
    })
}

/// The value that so many of a hundred do not exceed.
fn percentile(ascending: &[f64], percent: usize) -> f64 {
    let last = ascending.len().saturating_sub(1);
    ascending.get((ascending.len() * percent / 100).min(last)).copied().unwrap_or_default()
}

struct Bench {
    folder: PathBuf,
    input: PathBuf,
    directory: PathBuf,
    users: u64,
    events: u64,
}

impl Bench {
    fn job(&self, name: &str, input: &Path, snapshot_every: &str, workers: usize) -> config::Job {
        self.job_that(name, input, snapshot_every, workers, false)
    }

    fn job_that(&self, name: &str, input: &Path, snapshot_every: &str, workers: usize, follow: bool) -> config::Job {
        let flags = config::Flags {
            follow,
            input: vec![input.to_owned()],
            data_dir: Some(self.folder.join(name)),
            workers: Some(workers.to_string()),
            snapshot_every: Some(snapshot_every.to_owned()),
            ..config::Flags::default()
        };
        config::Job::from_flags(flags, Vec::new()).expect("flags that fit")
    }

    /// Events per second of a run from beginning to end.
    fn whole(&self, name: &str, snapshot_every: &str) -> f64 {
        let (watch, over) = (Watch::default(), Arc::new(AtomicBool::new(false)));
        let held = held_by_snapshots(&watch, over.clone());
        let start = Instant::now();
        let finished = run(&self.job(name, &self.input, snapshot_every, WORKERS), &watch).expect("a job that runs");
        let rate = self.events as f64 / start.elapsed().as_secs_f64();
        over.store(true, Ordering::SeqCst);
        let held = held.join().expect("no panic");
        assert_eq!(finished.totals.applied, self.events);
        std::fs::remove_dir_all(self.folder.join(name)).expect("a folder can be removed");
        if !held.is_empty() {
            let [median, most, longest] = [50, 99, 100].map(|percent| percentile(&held, percent) * 1e3);
            println!(
                "every {snapshot_every}: {} snapshots on the way, each held a worker for {median:.2} ms (median), \
                 {most:.2} ms (p99), {longest:.2} ms (longest)",
                held.len()
            );
            show(&watch);
        }
        rate
    }

    /// What a snapshot stores when so many of a hundred users were touched since the last one. The job is stopped for each
    /// of them, so that it holds these users and no others.
    fn touched(&self) {
        let input = self.folder.join("touched.ndjson");
        File::create(&input).expect("a file can be made");
        let job = self.job_that("touched", &input, "1h", WORKERS, true);
        let repository = repository(&job.data_dir, None).expect("a folder for snapshots");
        let mut end = End::default();
        for percent in [100].into_iter().chain(TOUCHED) {
            let touched = self.users * percent / 100;
            let what = if end.events == 0 { "seen first" } else { "touched" };
            end.append(&input, self.users, touched).expect("a file can be appended to");
            let (watch, job) = (Watch::default(), job.clone());
            let running = watch.clone();
            let running = thread::spawn(move || run(&job, &running));
            wait_until(|| watch.status.received() == end.events);
            watch.stop.store(true, Ordering::SeqCst);
            running.join().expect("no panic").expect("a job that can be stopped");
            let newest = repository.ids().expect("snapshots").last().copied().expect("a snapshot");
            let manifest = repository.manifest(newest).expect("an intact snapshot");
            println!(
                "{percent:>3} % of users {what}: {:>8.1} MB stored of {:.1} MB, {:.0} bytes for each",
                manifest.new_bytes() as f64 / 1e6,
                manifest.bytes() as f64 / 1e6,
                manifest.new_bytes() as f64 / touched.max(1) as f64
            );
        }
        std::fs::remove_dir_all(&job.data_dir).expect("a folder can be removed");
    }

    /// Stops a job in the middle, goes on at another number of workers, and says how long that took.
    fn go_on(&self, workers: usize, directory: bool) {
        let name = format!("stopped{workers}");
        let with_directory = |mut job: config::Job| {
            job.control.extend(directory.then(|| self.directory.clone()));
            job
        };
        let watch = Watch::default();
        let half = self.events * 2 / 3;
        let (job, stopping) = (with_directory(self.job(&name, &self.input, "5s", WORKERS)), watch.clone());
        let stopper = thread::spawn(move || {
            wait_until(|| stopping.status.received() >= half);
            stopping.stop.store(true, Ordering::SeqCst);
        });
        run(&job, &watch).expect("a job that can be stopped");
        stopper.join().expect("no panic");
        let cut = watch.status.snapshots().newest.unwrap_or_default();

        let watch = Watch::default();
        let (job, looking) = (with_directory(self.job(&name, &self.input, "1h", workers)), watch.clone());
        let start = Instant::now();
        let going = thread::spawn(move || run(&job, &looking));
        wait_until(|| !watch.status.partitions().is_empty());
        let ready = start.elapsed();
        wait_until(|| watch.status.applied() > cut);
        let applied = start.elapsed();
        watch.stop.store(true, Ordering::SeqCst);
        going.join().expect("no panic").expect("a job that goes on");
        println!(
            "{WORKERS} to {workers} workers, {}, cut at {}: sources open after {:.2} s (of that {:.2} s to fetch and compare), \
             first new event time applied after {:.2} s",
            if directory { "directory loaded" } else { "no directory" },
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
        write_event(&mut file, n, scattered(n % users, users), n * (COVERED * 1_000_000 / events))?;
    }
    file.flush()?;
    Ok(events)
}

/// Where a file that is appended to has come to.
#[derive(Default)]
struct End {
    /// Events in it.
    events: u64,
    /// Time of the last one, in microseconds from [`START`].
    micros: u64,
}

impl End {
    /// Appends one event of each of so many users, and one that moves the time past them.
    fn append(&mut self, path: &Path, users: u64, touched: u64) -> std::io::Result<()> {
        const APART: u64 = 10_000;
        const BEYOND: u64 = 60_000_000;
        let mut file = BufWriter::new(OpenOptions::new().append(true).open(path)?);
        for n in 0..touched {
            self.event(&mut file, scattered(n, users), APART)?;
        }
        self.event(&mut file, 0, BEYOND)?;
        file.flush()
    }

    fn event(&mut self, file: &mut impl Write, user: u64, after: u64) -> std::io::Result<()> {
        self.micros += after;
        self.events += 1;
        write_event(file, self.events, user, self.micros)
    }
}

fn scattered(n: u64, users: u64) -> u64 {
    n.wrapping_mul(2_654_435_761) % users
}

fn write_event(file: &mut impl Write, n: u64, user: u64, micros: u64) -> std::io::Result<()> {
    writeln!(
        file,
        r#"{{"id":"e{n}","date_create":{}.{:06},"action":"file_downloaded","actor":{{"type":"user","user":{{"id":"U{user:08}"}}}},"entity":{{"type":"file","file":{{"id":"F{}"}}}},"context":{{"location":{{"type":"enterprise","id":"{}"}},"ua":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/134","session_id":"{user}","ip_address":"80.1.{}.{}","asn":64500}}}}"#,
        START + micros / 1_000_000,
        micros % 1_000_000,
        n % 1_000,
        org(user),
        user / 250 % 250,
        user % 250
    )
}

fn org(user: u64) -> String {
    format!("E{}", user % 50)
}

/// A directory record of every user.
fn write_directory(path: &Path, users: u64) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for user in 0..users {
        writeln!(
            file,
            r#"{{"kind":"user","org":"{}","key":"U{user:08}","value":{{"name":"User {user}","email":"u{user}@example.com","locale":"en-GB"}},"date_create":{}}}"#,
            org(user),
            START - 1
        )?;
    }
    file.flush()
}
