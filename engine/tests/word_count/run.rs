//! Runs the word job: partitions in memory, files and snapshots in a temporary folder, crashes on demand.

use super::job::{Parts, assemble};
use engine::clock::Clock;
use engine::error::Error;
use engine::fault::{Faults, Planted};
use engine::flow::{Ended, Settings, Start, run};
use engine::metrics::{Phases, Status};
use engine::snapshot::objects::Objects;
use engine::snapshot::repository::Repository;
use engine::source::journal::MemoryJournal;
use engine::source::{Block, Line, Partition, Reader, Reading, Timing};
use engine::state::memory::MemoryStores;
use engine::state::store::Stores;
use engine::state::table::Work;
use engine::time::Micros;
use engine::writer::{Append, Written};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One look at a condition that is waited for, and the next.
pub const TICK: Duration = Duration::from_micros(200);

/// A partition of lines; the position is the index of a line.
pub struct Lines {
    name: String,
    lines: Arc<Vec<String>>,
    block: usize,
    /// Reads that are left before reading fails, as a crash would have it.
    fuse: Arc<AtomicU64>,
}

struct LinesReader {
    lines: Arc<Vec<String>>,
    next: usize,
    block: usize,
    fuse: Arc<AtomicU64>,
}

impl Partition for Lines {
    fn name(&self) -> &str {
        &self.name
    }

    fn live(&self) -> bool {
        false
    }

    fn open(&self, position: u64) -> Result<Box<dyn Reader>, Error> {
        let (lines, fuse) = (self.lines.clone(), self.fuse.clone());
        Ok(Box::new(LinesReader { lines, next: position as usize, block: self.block, fuse }))
    }
}

impl Reader for LinesReader {
    fn read(&mut self, block: &mut Block) -> Result<Reading, Error> {
        let burnt = self.fuse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err();
        if burnt {
            return Err(Error::Unavailable("crashed on demand".to_owned()));
        }
        block.bytes.clear();
        block.lines.clear();
        for line in self.lines.iter().skip(self.next).take(self.block) {
            let start = block.bytes.len();
            block.bytes.extend_from_slice(line.as_bytes());
            let position = self.next as u64;
            block.lines.push(Line { position, start, end: block.bytes.len(), oversize: None });
            self.next += 1;
        }
        block.next = self.next as u64;
        Ok(if block.lines.is_empty() { Reading::End } else { Reading::Lines })
    }
}

struct PlainFile(File);

impl Append for PlainFile {
    fn append(&mut self, line: &str) -> Result<(), Error> {
        self.0.write_all(format!("{line}\n").as_bytes()).map_err(Error::io("write", "output"))
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn sync(&mut self) -> Result<Work, Error> {
        let file = self.0.try_clone().map_err(Error::io("open once more", "output"))?;
        Ok(Box::new(move || file.sync_all().map_err(Error::io("sync", "output"))))
    }
}

/// How a run differs from the plain one.
#[derive(Clone)]
pub struct Variant {
    pub workers: usize,
    pub block: usize,
    pub budget: usize,
    pub snapshot_every: Duration,
    /// Crash after this many reads.
    pub crash_after: u64,
    /// Stop, with a last snapshot, once this many snapshots were published.
    pub stop_after_snapshots: Option<u64>,
    pub planted: Option<Planted>,
    pub timing: Timing,
    /// Limits of letters that are known beforehand.
    pub known: Vec<(Micros, u8, u64)>,
}

impl Default for Variant {
    fn default() -> Self {
        Variant {
            workers: 1,
            block: 64,
            budget: 1 << 20,
            snapshot_every: Duration::from_secs(3600),
            crash_after: u64::MAX,
            stop_after_snapshots: None,
            planted: None,
            timing: Timing::default(),
            known: Vec::new(),
        }
    }
}

/// How a run went.
#[derive(Debug)]
pub struct Outcome {
    pub ended: Result<Ended, Error>,
    pub restored: Option<u64>,
    pub words: u64,
    pub duplicates: u64,
    pub received: u64,
    pub phases: Phases,
}

/// The snapshots of a job in a folder.
pub fn repository(folder: &Path) -> Repository {
    Repository::new(Objects::in_folder(&folder.join("snapshots")).unwrap())
}

/// Runs the job over partitions in a folder, from the newest snapshot there.
pub fn words(folder: &Path, partitions: &[Vec<String>], variant: &Variant) -> Outcome {
    words_in(folder, partitions, variant, Arc::new(MemoryStores))
}

/// [`words`] with a store of choice.
pub fn words_in(folder: &Path, partitions: &[Vec<String>], variant: &Variant, stores: Arc<dyn Stores>) -> Outcome {
    run_in(folder, settings(folder, bounded(partitions, variant), variant), variant, stores)
}

/// Partitions that end.
pub fn bounded(partitions: &[Vec<String>], variant: &Variant) -> Vec<(Arc<dyn Partition>, Timing)> {
    let fuse = Arc::new(AtomicU64::new(variant.crash_after));
    let of = |(index, lines): (usize, &Vec<String>)| {
        let lines = Lines {
            name: format!("p{index}"),
            lines: Arc::new(lines.clone()),
            block: variant.block,
            fuse: fuse.clone(),
        };
        (Arc::new(lines) as Arc<dyn Partition>, variant.timing)
    };
    partitions.iter().enumerate().map(of).collect()
}

/// Settings of the job over partitions, with a journal of its own.
pub fn settings(folder: &Path, partitions: Vec<(Arc<dyn Partition>, Timing)>, variant: &Variant) -> Settings {
    Settings {
        workers: variant.workers,
        fingerprint: BTreeMap::from([("words".to_owned(), partitions.len().to_string())]),
        partitions,
        state: folder.join("state"),
        repository: repository(folder),
        snapshot_every: variant.snapshot_every,
        snapshots_kept: 3,
        journal: Arc::<Mutex<MemoryJournal>>::default(),
        clock: Clock::system(),
        stop: Arc::new(AtomicBool::new(false)),
        status: Status::default(),
        faults: variant.planted.map(Faults::plant).unwrap_or_default(),
    }
}

/// Runs the job by its settings, from the newest snapshot of the folder.
pub fn run_in(folder: &Path, settings: Settings, variant: &Variant, stores: Arc<dyn Stores>) -> Outcome {
    let start = Start::find(&settings, 0).expect("a snapshot that fits, or none");
    run_from(start, folder, settings, variant, stores)
}

/// [`run_in`] from what was found.
pub fn run_from(
    start: Start,
    folder: &Path,
    settings: Settings,
    variant: &Variant,
    stores: Arc<dyn Stores>,
) -> Outcome {
    let status = settings.status.clone();
    let restored = start.restore.at();
    let outputs = folder.to_owned();
    let open = move |file: &str, written: Written| -> Result<Box<dyn Append>, Error> {
        let path = outputs.join(file);
        let options = OpenOptions::new().create(true).write(true).truncate(false).open(&path);
        let mut file = options.map_err(Error::io("open", &path))?;
        assert!(file.metadata().unwrap().len() >= written.bytes, "{path:?} is shorter than the snapshot says");
        file.set_len(written.bytes).map_err(Error::io("cut", &path))?;
        file.seek(SeekFrom::End(0)).map_err(Error::io("seek", &path))?;
        Ok(Box::new(PlainFile(file)))
    };
    let parts = Parts { stores, budget: variant.budget, open: Arc::new(open), known: variant.known.clone() };
    let stopper = variant.stop_after_snapshots.map(|count| stop_after(count, &settings));
    let stop = settings.stop.clone();
    let ended = run(settings, start, move |flow| assemble(flow, &parts));
    if let Some(stopper) = stopper {
        stop.store(true, Ordering::SeqCst);
        stopper.join().unwrap();
    }
    Outcome {
        ended,
        restored,
        words: status.total("count", "words"),
        duplicates: status.total("count", "duplicates"),
        received: status.received(),
        phases: status.snapshots().phases,
    }
}

fn stop_after(count: u64, settings: &Settings) -> std::thread::JoinHandle<()> {
    let (stop, status) = (settings.stop.clone(), settings.status.clone());
    std::thread::spawn(move || {
        while !stop.load(Ordering::SeqCst) {
            if status.snapshots().published >= count {
                stop.store(true, Ordering::SeqCst);
            }
            std::thread::park_timeout(TICK);
        }
    })
}

/// The bytes of both output files.
pub fn output(folder: &Path) -> (String, String) {
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    (read("reports"), read("asides"))
}
