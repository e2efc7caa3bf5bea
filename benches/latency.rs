//! How long after the event that crosses the line are the sessions ended? A job follows two files that grow at a given rate,
//! with a snapshot every ten seconds; now and then somebody comes through an exit, and a receiver in this process takes
//! down when it is called. Told beyond `max_disorder`, for which every event waits, at half of them and at 99 of a hundred.
//! `cargo bench --bench latency [-- RATE [SECONDS [SNAPSHOT_EVERY]]]`
//!
//! RATE is in events a second: take half of what `throughput` prints for two workers on the same machine. A rate that the
//! job does not keep up with is told, and the figures are of no use then.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use aerie::run::{Watch, run};
use config::{Job, JobFile, Layers};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How far out of order an event may be: the default.
const MAX_DISORDER: Duration = Duration::from_secs(5);

/// What is not counted at the start: the first snapshots, and threads that have not been scheduled yet.
const WARM_UP: Duration = Duration::from_secs(10);

/// How often somebody comes through the exit, each in an org of their own, so that no limit is reached.
const ATTACK_EVERY: Duration = Duration::from_millis(200);

/// How long the last of them are waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often each other user comes, so that state is made, read and changed, and no volume is unusual.
const TIMES: u64 = 20;

/// How long a writer pauses between what it writes.
const PAUSE: Duration = Duration::from_millis(5);

/// A Tor exit.
const EXIT: &str = "185.220.101.7";

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// When something happened to whom.
type Times = Arc<Mutex<BTreeMap<String, Instant>>>;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let number = |at: usize, default: u64| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(default);
    let (rate, seconds) = (number(0, 20_000).max(1), number(1, 60).max(1));
    let every = words.get(2).map_or("10s", String::as_str);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (receiver, called) = receiver();
    let files = ["a.ndjson", "b.ndjson"].map(|name| folder.path().join(name));
    let job = job(folder.path(), &files, receiver, every);
    let watch = Watch::default();
    let watched = watch.clone();
    let running = thread::spawn(move || run(&job, &watched));

    let mut writer = Writer::new(&files, rate, (WARM_UP.as_secs() + seconds) * rate / TIMES);
    writer.write_for(WARM_UP, false);
    let before = (Instant::now(), writer.written, watch.status.snapshots().published);
    writer.write_for(Duration::from_secs(seconds), true);
    let took = before.0.elapsed().as_secs_f64();
    let written = writer.written - before.1;
    let behind = writer.written.saturating_sub(watch.status.received());
    let snapshots = watch.status.snapshots().published - before.2;
    // What comes after moves the time past the last of them.
    let since = Instant::now();
    while locked(&called).len() < writer.attacks.len() && since.elapsed() < PATIENCE && !running.is_finished() {
        writer.write_for(PAUSE, false);
    }
    watch.stop.store(true, Ordering::SeqCst);
    running.join().expect("no panic").expect("a job that can be stopped");

    println!(
        "{:.0} events/s for {took:.0} s in 2 files, {} users, 2 workers, {snapshots} snapshots; {:.2} s of it unread at the \
         end",
        written as f64 / took,
        writer.users,
        behind as f64 / rate as f64
    );
    let called = locked(&called).clone();
    show(&writer.attacks, &called);
}

fn show(attacks: &BTreeMap<String, Instant>, called: &BTreeMap<String, Instant>) {
    let taken = |(user, written): (&String, &Instant)| Some(called.get(user)?.duration_since(*written).as_secs_f64());
    let mut beyond: Vec<f64> = attacks.iter().filter_map(taken).map(|took| took - MAX_DISORDER.as_secs_f64()).collect();
    beyond.sort_by(f64::total_cmp);
    println!("{} of {} who came through an exit were answered", beyond.len(), attacks.len());
    let [median, most, longest] = [50, 99, 100].map(|percent| percentile(&beyond, percent));
    println!(
        "from the event to the call, beyond max_disorder of {MAX_DISORDER:?}: {median:.3} s (p50), {most:.3} s (p99), \
         {longest:.3} s (longest)"
    );
}

/// The value that so many of a hundred do not exceed.
fn percentile(ascending: &[f64], percent: usize) -> f64 {
    let last = ascending.len().saturating_sub(1);
    ascending.get((ascending.len() * percent / 100).min(last)).copied().unwrap_or(f64::NAN)
}

fn job(folder: &Path, files: &[PathBuf; 2], receiver: SocketAddr, every: &str) -> Job {
    for file in files {
        File::create(file).expect("a file can be made");
    }
    let exits = folder.join("exits.txt");
    std::fs::write(&exits, format!("{EXIT}\n")).expect("a file can be written");
    let text = format!(
        "tor_list = {exits:?}\n[job]\ndata_dir = {:?}\nworkers = 2\nsnapshot_every = {every:?}\n[[source]]\n\
         kind = \"file\"\npaths = {files:?}\nfollow = true\nmax_disorder = {:?}\n\
         [destinations]\nallow_private = [\"127.0.0.1\"]\n[sessions]\nkind = \"webhook\"\nurl = \"http://{receiver}/\"\n",
        folder.join("data"),
        format!("{}s", MAX_DISORDER.as_secs()),
    );
    let file = Some(JobFile { name: "latency.toml".to_owned(), text });
    let environment = vec![("AERIE__SESSIONS__SECRET".to_owned(), SECRET.to_owned())];
    Job::load(&Layers { file, environment, ..Layers::default() }).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Writes events of now at a rate, into its files by turns.
struct Writer {
    files: Vec<File>,
    rate: u64,
    users: u64,
    written: u64,
    began: Instant,
    /// Who came through an exit, and when that was written.
    attacks: BTreeMap<String, Instant>,
    attacked: Instant,
}

impl Writer {
    fn new(files: &[PathBuf; 2], rate: u64, users: u64) -> Self {
        let open = |file: &PathBuf| File::options().append(true).open(file).expect("the file is there");
        let (files, now) = (files.iter().map(open).collect(), Instant::now());
        Writer { files, rate, users: users.max(1_000), written: 0, began: now, attacks: BTreeMap::new(), attacked: now }
    }

    /// Writes for so long, with somebody who comes through the exit now and then.
    fn write_for(&mut self, time: Duration, attack: bool) {
        let since = Instant::now();
        while since.elapsed() < time {
            let due = (self.began.elapsed().as_secs_f64() * self.rate as f64) as u64;
            let mut blocks = [String::new(), String::new()];
            let micros = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_micros();
            let now = Instant::now();
            for n in self.written..due {
                let user = n.wrapping_mul(2_654_435_761) % self.users;
                let org = format!("E{}", user % 50);
                let ip = format!("80.1.{}.{}", user / 250 % 250, user % 250);
                event(&mut blocks[(n % 2) as usize], n, micros, (&org, &format!("U{user:08}"), &ip));
            }
            self.written = self.written.max(due);
            if attack && self.attacked.elapsed() >= ATTACK_EVERY {
                let (n, turn) = (self.written, self.attacks.len());
                let user = format!("A{turn}");
                event(&mut blocks[turn % 2], n, micros, (&format!("X{turn}"), &user, EXIT));
                self.written += 1;
                self.attacked = now;
                self.attacks.insert(user, now);
            }
            for (file, block) in self.files.iter_mut().zip(blocks) {
                file.write_all(block.as_bytes()).expect("the file can be written");
            }
            thread::sleep(PAUSE);
        }
    }
}

fn event(to: &mut String, n: u64, micros: u128, (org, user, ip): (&str, &str, &str)) {
    let (secs, fraction) = (micros / 1_000_000, micros % 1_000_000);
    writeln!(
        to,
        r#"{{"id":"e{n}","date_create":{secs}.{fraction:06},"action":"file_downloaded","actor":{{"type":"user","user":{{"id":"{user}"}}}},"entity":{{"type":"file","file":{{"id":"F{}"}}}},"context":{{"location":{{"type":"enterprise","id":"{org}"}},"ua":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/134","session_id":"{user}","ip_address":"{ip}","asn":64500}}}}"#,
        n % 1_000,
    )
    .expect("a string takes everything");
}

/// A receiver that ends whatever it is told to, and when it was first told to of whom.
fn receiver() -> (SocketAddr, Times) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it has an address");
    let called = Times::default();
    let calls = called.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let now = Instant::now();
            let user = take(stream).expect("a call can be read");
            locked(&calls).entry(user).or_insert(now);
        }
    });
    (address, called)
}

/// Reads a call and answers it; whom it is about.
fn take(stream: TcpStream) -> std::io::Result<String> {
    let mut reader = BufReader::new(&stream);
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line)?;
        if let Some((name, value)) =
            line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        {
            length = value.trim().parse().unwrap_or_else(|_| panic!("{name} is no number"));
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    (&stream).write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")?;
    let call: serde_json::Value = serde_json::from_slice(&body)?;
    Ok(call["user"].as_str().unwrap_or_default().to_owned())
}

fn locked(times: &Times) -> std::sync::MutexGuard<'_, BTreeMap<String, Instant>> {
    times.lock().unwrap_or_else(PoisonError::into_inner)
}
