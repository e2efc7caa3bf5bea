//! Replay: a job is derived once more from one of its snapshots, with every effect muted, and held against its record.
//! It runs the job's own dataflow in a scratch folder, at any number of workers, into a ledger that no executor reads.
//! Owned here: what is run, and what counts as the record. Not owned here: how the two are compared (`compare`) and said.

mod compare;
pub(crate) mod difference;
mod lines;
pub(crate) mod record;

pub use difference::{Difference, Field, Kind};

use crate::inbox::kept;
use crate::input::{Input, Moved, Topics};
use crate::job::{FENCE, Parts, assemble, open_in, parts};
use crate::run::{Phase, SNAPSHOTS, STATE, Watch};
use crate::store::StorePlace;
use connectors::file::Fence;
use connectors::store::Store;
use engine::clock::Clock;
use engine::error::Error;
use engine::fault::Faults;
use engine::flow::{Ended, Settings, Start};
use engine::snapshot::manifest::Manifest;
use engine::snapshot::objects::Objects;
use engine::snapshot::repository::Repository;
use engine::source::journal::{Journal, MemoryJournal};
use engine::time::Stamp;
use engine::writer::{OpenAppend, Written};
use record::Record;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The ledger of a replay, in its scratch folder.
const LEDGER: &str = "replayed.sqlite";

/// The one generation of a replay.
const GENERATION: u64 = 1;

/// No snapshot but the last is taken: a replay does not go on after a crash.
const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

/// What a replay came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// The snapshot it started from.
    pub from: u64,
    /// Its cut, in milliseconds of event time; none at the end of all input, after which nothing comes.
    pub cut_ms: Option<Stamp>,
    /// Up to where the record is known to be whole; none if the job was complete.
    pub through_ms: Option<Stamp>,
    /// At how many workers.
    pub workers: usize,
    /// What was held against the record.
    pub compared: Compared,
    /// How many differences there are.
    pub differing: u64,
    /// The first of them.
    pub differences: Vec<Difference>,
}

/// How much of the record was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Lines of `decisions.ndjson`.
    pub decisions: u64,
    /// Lines of `dead_letter.ndjson`.
    pub dead_letters: u64,
    /// Lines of `late.ndjson`.
    pub late: u64,
    /// Audit entries in the ledger.
    pub entries: u64,
    /// Orders in the ledger.
    pub orders: u64,
}

/// Replays the job of `job.data_dir` from snapshot `from` of `repository`, by the settings of `job`, whose sources and
/// control files do not count: what is read are the files of the record, wherever they lie now.
///
/// # Errors
/// [`Error::Invalid`] for inputs that are not those of the record, [`Error::Corrupt`] for a damaged snapshot or record,
/// [`Error::Unavailable`] if it was told to stop before its end.
pub fn replay(
    job: &config::Job,
    repository: &Repository,
    from: u64,
    moved: &Moved,
    watch: &Watch,
) -> Result<Report, Error> {
    let manifest = repository.manifest(from)?;
    let scratch = tempfile::Builder::new().prefix("aerie-replay-").tempdir();
    let scratch = scratch.map_err(Error::io("make a folder in", std::env::temp_dir()))?;
    let record = Record::capture(job, repository, manifest.at, scratch.path())?;
    let (workers, through_ms) = (job.workers.get(), record.through());
    let mut report = Report { from, through_ms, workers, ..Report::default() };
    if !manifest.complete {
        report.cut_ms = Some(manifest.at);
        let replayed = derive(job, repository, &manifest, moved, &record, scratch.path(), watch)?;
        compare::compare(&record, &replayed, &mut report)?;
    }
    watch.enter(Phase::Done);
    Ok(report)
}

/// What was derived once more.
struct Replayed {
    ledger: Store,
    /// Where its output files lie, each from the cut on.
    folder: PathBuf,
    /// Of each, how long the record's file was at the cut.
    kept: BTreeMap<String, Written>,
}

/// Runs the dataflow from the snapshot to the end of what there is to read.
fn derive(
    job: &config::Job,
    repository: &Repository,
    manifest: &Manifest,
    moved: &Moved,
    record: &Record,
    scratch: &Path,
    watch: &Watch,
) -> Result<Replayed, Error> {
    let topics = Topics { kafka: job.kafka.as_ref(), partitions: &record.partitions };
    let input = Input::recorded(&manifest.fingerprint, moved, &topics)?.with(kept(&record.ledger)?);
    watch.input_bytes.store(input.bytes(), Ordering::Relaxed);
    let place = StorePlace::file(scratch.join(LEDGER));
    let mut journal = MemoryJournal::default();
    for name in input.names().iter() {
        journal.append(&record.ledger.load(name)?)?;
    }
    let settings = Settings {
        workers: job.workers.get(),
        fingerprint: manifest.fingerprint.clone(),
        partitions: input.partitions(),
        state: scratch.join(STATE),
        repository: Repository::new(Objects::in_folder(&scratch.join(SNAPSHOTS))?),
        snapshot_every: NEVER,
        snapshots_kept: 1,
        journal: Arc::new(Mutex::new(journal)),
        clock: Clock::system(),
        stop: watch.stop.clone(),
        status: watch.status.clone(),
        faults: Faults::default(),
    };
    let start = Start::look(&settings, repository, manifest.id)?;
    Fence::raise(&scratch.join(FENCE), GENERATION)?;
    let (outputs, kept) = from_the_cut(scratch.to_owned());
    let parts: Parts = parts(job, &input, outputs, (place.clone(), GENERATION), Arc::new(|_| {}), 1);
    watch.enter(Phase::Running);
    let ended = engine::flow::run(settings, start, move |flow| assemble(flow, &parts))?;
    if ended == Ended::Stopped {
        return Err(Error::Unavailable("the replay was stopped before its end: nothing was compared".to_owned()));
    }
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Replayed { ledger: place.open()?, folder: scratch.to_owned(), kept })
}

/// What is kept of each output file at a cut, by name.
type Kept = Arc<Mutex<BTreeMap<String, Written>>>;

/// Output files that begin at the cut, and how long the record's files were there.
fn from_the_cut(folder: PathBuf) -> (Arc<OpenAppend>, Kept) {
    let kept = Kept::default();
    let (open, seen) = (open_in(folder, GENERATION), kept.clone());
    let outputs = move |file: &str, written: Written| {
        seen.lock().unwrap_or_else(PoisonError::into_inner).insert(file.to_owned(), written);
        open(file, Written::default())
    };
    (Arc::new(outputs), kept)
}
