//! How fast is the whole job, from file to audit log, against two ceilings taken in the same run: reading the lines, and
//! parsing them? And where does the time go? `cargo bench --bench throughput [-- EVENTS [ROUNDS]]`
//!
//! Rounds are interleaved, so that what else the machine does falls on all of them alike; ratios are of medians. Where the
//! time goes is told of runs of their own, whose rate beside the others' shows what the telling costs.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use aerie::run::{Finished, Watch, run};
use connectors::file::{LineReader, Mode, Read};
use engine::metrics::Spent;
use operators::decode::{EventDecoder, WorkspaceDirectory};
use operators::sample::{Outputs, Plan, generate};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const BLOCK_BYTES: usize = 1 << 20;

/// What takes less than this share of the time is not told by itself.
const SMALL: f64 = 0.001;

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let events = numbers.first().copied().unwrap_or(2_000_000);
    let rounds = numbers.get(1).copied().unwrap_or(3);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let input = Input::generate(folder.path(), events);
    println!("{} events in 2 files, {} MB, {rounds} rounds", input.events, input.bytes / 1_000_000);

    let mut loops = [
        Loop::new("read lines, 1 thread"),
        Loop::new("parse, 1 thread"),
        Loop::new("job, 1 worker"),
        Loop::new("job, 2 workers"),
        Loop::new("job, 1 worker, told"),
    ];
    let mut told = Told::default();
    for round in 0..rounds {
        loops[0].take(|| input.files.iter().map(|file| read(file, |_| {})).sum());
        loops[1].take(|| input.parse());
        let data_dir = |name: &str| folder.path().join(format!("{name}.{round}"));
        loops[2].take(|| input.job(&data_dir("one"), 1, &Watch::default()));
        loops[3].take(|| input.job(&data_dir("two"), 2, &Watch::default()));
        loops[4].take(|| told.take(|watch| input.job(&data_dir("told"), 1, watch)));
    }
    let [read, parse, ..] = loops.each_ref().map(Loop::median);
    println!("{:<22} {:>12} {:>10} {:>10}", "loop", "k events/s", "of read", "of parse");
    for timed in &loops {
        let rate = timed.median();
        println!("{:<22} {:>12.0} {:>9.2} {:>10.2}", timed.name, rate / 1e3, rate / read, rate / parse);
    }
    told.show(1e9 / read, 1e9 / parse);
}

/// Where the time of one worker goes, over all rounds.
#[derive(Default)]
struct Told {
    events: u64,
    seconds: f64,
    spent: BTreeMap<String, Spent>,
}

impl Told {
    fn take(&mut self, run: impl FnOnce(&Watch) -> u64) -> u64 {
        let watch = Watch::default();
        watch.status.profile().ask();
        let start = Instant::now();
        let events = run(&watch);
        self.seconds += start.elapsed().as_secs_f64();
        self.events += events;
        for (name, spent) in watch.status.profile().spent() {
            self.spent.entry(name).or_default().merge(spent);
        }
        events
    }

    /// `read` and `parse` are the two ceilings, in nanoseconds per event.
    fn show(&self, read: f64, parse: f64) {
        let mut rows: BTreeMap<&str, (f64, u64)> = BTreeMap::new();
        let mut within = 0.0;
        for (name, Spent { stretches, seconds, .. }) in &self.spent {
            let name = if *seconds < self.seconds * SMALL { "(all others)" } else { name };
            let row = rows.entry(name).or_default();
            *row = (row.0 + seconds, row.1 + stretches);
            within += seconds;
        }
        rows.insert("(before and after)", (self.seconds - within, 0));
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_by(|(_, (a, _)), (_, (b, _))| b.total_cmp(a));
        println!("\n{:<22} {:>9} {:>8} {:>10} {:>10}", "1 worker", "seconds", "share", "ns/event", "turns");
        for (name, (seconds, turns)) in rows {
            let (share, each) = (100.0 * seconds / self.seconds, seconds * 1e9 / self.events as f64);
            println!("{name:<22} {seconds:>9.3} {share:>7.2}% {each:>10.1} {turns:>10}");
        }
        println!(
            "sources: read, parse, judge, make records and send them; by the ceilings {read:.0} ns to read a line and {:.0} \
             to parse it",
            parse - read
        );
    }
}

/// A loop over all events, and how many a second it did in each round.
struct Loop {
    name: &'static str,
    rates: Vec<f64>,
}

impl Loop {
    fn new(name: &'static str) -> Self {
        Loop { name, rates: Vec::new() }
    }

    fn take(&mut self, events: impl FnOnce() -> u64) {
        let start = Instant::now();
        let events = events();
        self.rates.push(events as f64 / start.elapsed().as_secs_f64());
    }

    fn median(&self) -> f64 {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    }
}

struct Input {
    files: Vec<PathBuf>,
    control: PathBuf,
    tor: PathBuf,
    events: u64,
    bytes: u64,
}

impl Input {
    /// About `events` events of four weeks, in two files by turns.
    fn generate(folder: &Path, events: usize) -> Self {
        let people = (events / 28 / 20 / 5).max(45);
        let plan = Plan { seed: 1, orgs: 5, users: people, days: 28 };
        let path = |name: &str| folder.join(name);
        let open = |name: &str| BufWriter::new(File::create(path(name)).expect("a file"));
        let (mut control, mut tor) = (open("control.ndjson"), open("tor.txt"));
        let mut halves = Halves { files: [open("a.ndjson"), open("b.ndjson")], lines: 0, limit: events as u64 };
        let mut outputs =
            Outputs { events: &mut halves, control: &mut control, tor: &mut tor, labels: &mut std::io::sink() };
        generate(plan, &mut outputs).expect("a plan within bounds");
        let written = halves.lines.min(halves.limit);
        drop((halves, control, tor));
        let files = vec![path("a.ndjson"), path("b.ndjson")];
        let bytes = files.iter().map(|file| file.metadata().expect("a file").len()).sum();
        Input { files, control: path("control.ndjson"), tor: path("tor.txt"), events: written, bytes }
    }

    fn parse(&self) -> u64 {
        let workspaces = Arc::new(WorkspaceDirectory::new(&[]));
        let decoder = EventDecoder::new(workspaces, None, None);
        let parse = |line: &[u8]| assert!(decoder.parse(std::hint::black_box(line)).is_ok(), "the sample is valid");
        self.files.iter().map(|file| read(file, parse)).sum()
    }

    fn job(&self, data_dir: &Path, workers: usize, watch: &Watch) -> u64 {
        let flags = config::Flags {
            input: self.files.clone(),
            control: vec![self.control.clone()],
            tor_list: Some(self.tor.clone()),
            data_dir: Some(data_dir.to_owned()),
            workers: Some(workers.to_string()),
            ..config::Flags::default()
        };
        let job = config::Job::from_flags(flags, Vec::new()).expect("flags that fit");
        let Finished { totals, .. } = run(&job, watch).expect("a job that runs");
        assert_eq!(totals.received, self.events);
        totals.received
    }
}

/// Lines by turns into two files, up to a limit.
struct Halves {
    files: [BufWriter<File>; 2],
    lines: u64,
    limit: u64,
}

impl Write for Halves {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.lines < self.limit {
                self.files[(self.lines % 2) as usize].write_all(line)?;
            }
            self.lines += u64::from(line.ends_with(b"\n"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.files.iter_mut().try_for_each(BufWriter::flush)
    }
}

fn read(file: &Path, mut each: impl FnMut(&[u8])) -> u64 {
    let mut reader = LineReader::open(file, Mode::Bounded).expect("a file");
    let mut lines = 0;
    while let Read::Lines(batch) = reader.next_batch(BLOCK_BYTES).expect("a readable file") {
        for (_, line) in batch.iter() {
            if let connectors::file::Line::Whole(bytes) = line {
                each(bytes);
            }
            lines += 1;
        }
    }
    lines
}
