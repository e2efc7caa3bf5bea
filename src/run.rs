//! Running a checked job to its end: what it starts from, its dataflow, the executor beside it, and the totals at the
//! end. Owned here: the order in which these start and stop. Not owned here: the dataflow itself (`job`), how a
//! response is carried out (`execute`), what is shown of it (`progress`, `serve`), and what is different in a process
//! that only follows another (`member`).

pub use crate::execute::Responses;

use crate::execute::{Executor, Signal};
use crate::holds::Holds;
use crate::inbox::{inbox, kept};
use crate::input::{Input, ListChange};
use crate::inspect::running::Note;
use crate::job::{DECIDE, DETECT, FENCE, Parts, WRITER, assemble, open_in, parts, volume_rules};
use crate::lists::{Fetches, Fetching};
use crate::member::{self, Member};
use crate::outcomes::Outcomes;
use crate::store::StorePlace;
use connectors::file::Fence;
use connectors::store::Store;
use engine::clock::{Clock, Stopwatch};
use engine::cluster::{Gathered, Mesh};
use engine::error::Error;
use engine::fault::Faults;
use engine::flow::{Ended, Settings, Start};
use engine::keyed::Logic;
use engine::ledger::{Issued, Ledger};
use engine::metrics::Status;
use engine::snapshot::objects::Objects;
use engine::snapshot::repository::Repository;
use engine::time::Micros;
use engine::writer::Writer;
use operators::baseline::VolumeRules;
use operators::decide::Decide;
use operators::decode::RejectReason;
use operators::decode::source::{CLASS_TOO_LATE, class_of};
use operators::detect::Detect;
use operators::model::decision::Outcome;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Folder of snapshots in a data directory.
pub const SNAPSHOTS: &str = "snapshots";

/// Folder of live keyed state in a data directory.
pub const STATE: &str = "state";

/// How often the end of a job looks at what is open.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// What others may see of a job while it runs, and the one thing they may do: ask it to stop.
#[derive(Clone, Default)]
pub struct Watch {
    /// Figures of the dataflow.
    pub status: Status,
    /// Set to stop the job with a last snapshot.
    pub stop: Arc<AtomicBool>,
    /// See [`Phase`].
    pub phase: Arc<AtomicU8>,
    /// Figures of responses.
    pub responses: Arc<Responses>,
    /// Bytes of all bounded input files, zero if any is followed.
    pub input_bytes: Arc<AtomicU64>,
    /// The present generation, zero before it is known.
    pub generation: Arc<AtomicU64>,
    /// How often the processes of the job were started anew, by cause.
    pub restarts: Arc<BTreeMap<String, u64>>,
    /// This is one of several processes and not the first, to which alone the sources report.
    pub follows: bool,
    /// Which job it is, once it is known.
    pub job: Arc<OnceLock<Identity>>,
    /// Where it serves HTTP, if it does.
    pub http: Arc<OnceLock<SocketAddr>>,
    /// When threat lists are replaced, in order, as far as it is known.
    pub lists: Arc<Mutex<Vec<ListChange>>>,
    /// What fetching lists has come to.
    pub fetches: Arc<Fetches>,
}

/// Which job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its data directory, as the system knows it.
    pub data_dir: PathBuf,
    /// Names of its partitions, by index.
    pub partitions: Vec<String>,
    /// How the bars of volume rules are made.
    pub volume_rules: VolumeRules,
}

/// What a job is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Looking for what to start from.
    Starting = 0,
    /// Reading and applying.
    Running = 1,
    /// The dataflow has ended; open responses are carried out.
    Draining = 2,
    /// Over.
    Done = 3,
}

/// Totals of a job over all its runs, as `--json` prints them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Lines read.
    pub received: u64,
    /// Events that took part.
    pub applied: u64,
    /// Copies without effect.
    pub duplicate: u64,
    /// Events beyond the lateness limit.
    pub too_late: u64,
    /// Lines in the dead letter.
    pub rejected: u64,
    /// Of those applied, late ones.
    pub late: u64,
    /// Anomalies raised.
    pub anomalies: u64,
    /// Decisions by name.
    pub decisions: BTreeMap<String, u64>,
    /// Responses ordered.
    pub responses: u64,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Whether the input was read to its end.
    pub ended: Ended,
    /// Totals over all runs of the job.
    pub totals: Totals,
    /// Responses that were still open when the time to wait for them was over.
    pub open_responses: u64,
    /// The job was complete before; nothing was done.
    pub was_complete: bool,
    /// Damaged snapshots that were passed over at the start, with what is wrong with each.
    pub passed_over: Vec<String>,
}

/// Runs a job until its input ends, it is told to stop, or something is broken.
pub fn run(job: &config::Job, watch: &Watch) -> Result<Finished, Error> {
    run_as(job, watch, None)
}

/// [`run`] as one process of several.
pub fn run_as(job: &config::Job, watch: &Watch, member: Option<&Member>) -> Result<Finished, Error> {
    let input = Input::of(job, &watch.stop)?;
    fs::create_dir_all(&job.data_dir).map_err(|error| {
        let folder = job.data_dir.display();
        Error::Invalid(format!("cannot create the data directory {folder}: {error}; choose another --data-dir"))
    })?;
    match member {
        Some(member) if !member.leads() => member::follow(job, watch, &input, member),
        _ => lead(job, watch, input, member),
    }
}

/// The one process, or the first of several: it alone holds the data directory, carries out responses and knows the
/// totals.
fn lead(job: &config::Job, watch: &Watch, input: Input, member: Option<&Member>) -> Result<Finished, Error> {
    let _lock = lock(&job.data_dir)?;
    let data_dir = job.data_dir.canonicalize().map_err(Error::io("find", &job.data_dir))?;
    let _note = watch.http.get().map(|address| Note::leave(&data_dir, *address)).transpose()?;
    let volume_rules = volume_rules(&job.detect);
    watch.job.get_or_init(|| Identity { data_dir, partitions: input.names().to_vec(), volume_rules });
    let repository = repository(&job.data_dir, job.snapshots.as_deref())?;
    let fingerprint = input.fingerprint(&repository)?;
    let ledger = StorePlace::of(job, &watch.stop)?;
    let store = ledger.open()?;
    let input = &input.with(kept(&store)?);
    *watch.lists.lock().unwrap_or_else(PoisonError::into_inner) = input.lists();
    let store = Arc::new(Mutex::new(store));
    let settings = settings(job, watch, input, fingerprint, repository, store.clone(), member);
    let leader = member.map(|member| member.lead(job, watch, input)).transpose()?;
    let (start, generation) = start(&settings, &store, &ledger)?;
    Fence::raise(&job.data_dir.join(FENCE), generation)?;
    watch.generation.store(generation, Ordering::Relaxed);
    let passed_over = start.restore.passed_over.iter().map(|(id, error)| format!("snapshot {id}: {error}")).collect();
    let was_complete = start.is_complete();
    let met = leader.map_or(Ok(Met::Alone), |leader| member::gather(leader, generation, &start))?;
    let mut known = totals_of(&start);
    let (ended, open_responses) = if let Met::Stopped = met {
        (Ended::Stopped, 0)
    } else {
        let executor = Executor::open(&ledger, generation, job, watch)?;
        let carrying = Carrying { job, watch, input, ledger: &ledger, generation };
        let ended = carrying.out(executor, settings.clone(), start, met)?;
        known = match member {
            None => totals(&watch.status),
            // Each process has counted its own part; together they stand in the last snapshot, if it came to one.
            Some(_) if settings.repository.ids()?.is_empty() => known,
            Some(_) => totals_of(&Start::newest(&settings)?),
        };
        ended
    };
    let mut totals = known;
    if ended == Ended::Stopped {
        // Lines beyond the last snapshot will be read again, and count then.
        totals.received = totals.applied + totals.duplicate + totals.too_late + totals.rejected;
    }
    Ok(Finished { ended, totals, open_responses, was_complete, passed_over })
}

/// The snapshots of a data directory, or those under a URL.
pub fn repository(data_dir: &Path, url: Option<&str>) -> Result<Repository, Error> {
    Ok(Repository::new(match url {
        Some(url) => Objects::at_url(url, std::env::vars())?,
        None => Objects::in_folder(&data_dir.join(SNAPSHOTS))?,
    }))
}

/// As [`repository`], of a job that has run: nothing is created.
pub fn existing_repository(data_dir: &Path, url: Option<&str>) -> Result<Repository, Error> {
    let folder = data_dir.join(SNAPSHOTS);
    if url.is_none() && !folder.is_dir() {
        return Err(Error::Invalid(format!(
            "{} has no folder {SNAPSHOTS}: name the data directory of a job, or say where its snapshots lie with \
             --snapshots URL",
            data_dir.display()
        )));
    }
    repository(data_dir, url)
}

/// Finds what to start from and takes it over, as a generation that is new to both the snapshots and the ledger.
fn start(settings: &Settings, store: &Mutex<Store>, place: &StorePlace) -> Result<(Start, u64), Error> {
    let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
    let (current, issued) = (store.current_generation()?, store.issued_through()?);
    if issued > Micros::ZERO && settings.repository.ids()?.is_empty() {
        // The first snapshot is there before anything is issued, so this is no fresh start.
        return Err(Error::Corrupt(format!(
            "{} holds what was decided up to {issued}, but there is no snapshot to go on from in {}: bring the \
             snapshots back, or use another --data-dir",
            place.name(),
            settings.repository.place()
        )));
    }
    let start = Start::find(settings, current)?;
    // A job that is over claims no generation of its own; what is left of its responses needs one all the same.
    let generation = start.restore.generation.max(current + 1);
    store.take_over(generation)?;
    Ok((start, generation))
}

/// How a process that leads has met the others.
pub(crate) enum Met {
    /// There are none.
    Alone,
    /// All of them are there.
    All(Box<Gathered>),
    /// The job was told to stop before.
    Stopped,
}

/// The dataflow, and the executor beside it.
struct Carrying<'a> {
    job: &'a config::Job,
    watch: &'a Watch,
    input: &'a Input,
    ledger: &'a StorePlace,
    generation: u64,
}

impl Carrying<'_> {
    /// Carries the job, and its responses, out. Returns how it ended, and how many responses are open.
    fn out(&self, mut executor: Executor, settings: Settings, start: Start, met: Met) -> Result<(Ended, u64), Error> {
        let watch = self.watch;
        let signal = Signal::default();
        let executing = {
            let (signal, stop) = (signal.clone(), watch.stop.clone());
            thread::spawn(move || {
                let result = executor.run(&signal);
                if result.is_err() {
                    stop.store(true, Ordering::SeqCst);
                }
                result
            })
        };
        watch.enter(Phase::Running);
        let ended = self.flow(settings, start, met, &signal);
        watch.enter(Phase::Draining);
        let waited = drain(self.ledger, self.job, watch, &ended, &signal, &executing);
        signal.end();
        let executed = executing.join().unwrap_or_else(|_| Err(Error::Fault("the executor panicked".to_owned())));
        watch.enter(Phase::Done);
        // What broke the executor made the dataflow stop, so it is the first to be told.
        executed?;
        Ok((ended?, waited?))
    }

    /// The dataflow alone.
    fn flow(&self, settings: Settings, start: Start, met: Met, signal: &Signal) -> Result<Ended, Error> {
        let mut gathered = match met {
            Met::All(gathered) => Some(gathered),
            Met::Alone | Met::Stopped => None,
        };
        let ended = if start.is_complete() {
            start.show_totals(&self.watch.status, TOTALS);
            Ended::Complete
        } else {
            let Some(mesh) = gathered.as_mut().map_or(Ok(Some(Mesh::alone())), |gathered| gathered.mesh())? else {
                return Ok(Ended::Stopped);
            };
            let ledger = (self.ledger.clone(), self.generation);
            let outputs = open_in(self.job.data_dir.clone(), self.generation);
            let heard = heard(self.watch, signal.clone());
            let mut parts = parts(self.job, self.input, outputs, ledger, heard, mesh.processes());
            let _beside = self.beside(&mut parts, &settings.repository)?;
            engine::flow::run_on(mesh, settings, start, move |flow| assemble(flow, &parts))?
        };
        if let Some(gathered) = gathered {
            gathered.leave();
        }
        Ok(ended)
    }
}

/// What sends control records into a dataflow that runs.
type Beside = (Option<Fetching>, Outcomes);

impl Carrying<'_> {
    /// Starts what sends control records into the dataflow while it runs; it ends when this is dropped. Of activity that is
    /// over nobody hears anything: its time has nothing to do with that of lists and of effects, and a job over it is to
    /// come to the same each time.
    fn beside(&self, parts: &mut Parts, repository: &Repository) -> Result<Option<Beside>, Error> {
        if !self.input.is_live() {
            return Ok(None);
        }
        let open = || self.ledger.open_as(self.generation);
        let (post, arrived) = inbox(open()?, self.watch.lists.clone());
        parts.inbox = Some(Arc::new(Mutex::new(arrived)));
        let (lists, control) = (&self.job.threat_lists, &self.input.control);
        let fetching = Fetching::start(lists, control, open()?, repository.clone(), (self.watch, post.clone()))?;
        let outcomes = Outcomes::start(open()?, repository.clone(), Holds::of(control), post)?;
        Ok(Some((fetching, outcomes)))
    }
}

/// Operators whose totals make those of the job.
const TOTALS: &[(&str, &[&str])] = &[(DETECT, Detect::TOTALS), (DECIDE, Decide::TOTALS), (WRITER, Writer::TOTALS)];

/// Totals of the job at a snapshot.
fn totals_of(start: &Start) -> Totals {
    let status = Status::default();
    start.show_totals(&status, TOTALS);
    totals(&status)
}

/// Totals of the job so far, over all its runs, as far as this process knows them.
pub fn totals(status: &Status) -> Totals {
    let class = |class: u8| status.total(WRITER, engine::writer::class_name(class));
    let decisions = Outcome::ALL.iter().map(|outcome| (outcome.name(), status.total(DECIDE, outcome.name())));
    let decisions: BTreeMap<String, u64> =
        decisions.filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count)).collect();
    Totals {
        received: status.received(),
        applied: status.total(DETECT, "applied"),
        duplicate: status.total(DETECT, "duplicate"),
        too_late: class(CLASS_TOO_LATE),
        rejected: (0..CLASS_TOO_LATE).map(class).sum(),
        late: status.total(DETECT, "late"),
        anomalies: status.total(DECIDE, "anomalies"),
        responses: decisions.get(Outcome::Responded.name()).copied().unwrap_or_default(),
        decisions,
    }
}

/// Rejected lines by reason, so far.
pub fn rejections(watch: &Watch) -> Vec<(&'static str, u64)> {
    let count = |reason: &RejectReason| watch.status.total(WRITER, engine::writer::class_name(class_of(*reason)));
    RejectReason::ALL.iter().map(|reason| (reason.name(), count(reason))).collect()
}

impl Watch {
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::SeqCst);
    }
}

/// One run at a time in a data directory.
pub(crate) fn lock(data_dir: &Path) -> Result<File, Error> {
    let path = data_dir.join("lock");
    let file = File::create(&path).map_err(Error::io("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Invalid(format!(
            "another aerie runs in {}: wait for it to end, or choose another --data-dir",
            data_dir.display()
        ))),
        Err(TryLockError::Error(error)) => Err(Error::io("lock", path)(error)),
    }
}

pub(crate) fn settings(
    job: &config::Job,
    watch: &Watch,
    input: &Input,
    fingerprint: BTreeMap<String, String>,
    repository: Repository,
    journal: Arc<Mutex<Store>>,
    member: Option<&Member>,
) -> Settings {
    watch.input_bytes.store(input.bytes(), Ordering::Relaxed);
    let (index, processes) = member.map_or((0, 1), Member::place);
    Settings {
        workers: job.workers.get() * processes,
        fingerprint,
        partitions: input.partitions(),
        state: job.data_dir.join(STATE).join(index.to_string()),
        repository,
        snapshot_every: job.snapshot_every,
        snapshots_kept: job.snapshots_kept.get(),
        journal,
        clock: Clock::system(),
        stop: watch.stop.clone(),
        status: watch.status.clone(),
        faults: Faults::default(),
    }
}

/// Hears what became of each batch of the sink: counts what differs from the record, and wakes the executor.
pub(crate) fn heard(watch: &Watch, signal: Signal) -> Arc<dyn Fn(&Issued) + Send + Sync> {
    let responses = watch.responses.clone();
    Arc::new(move |issued| {
        responses.differing.fetch_add(issued.differing.len() as u64, Ordering::Relaxed);
        signal.wake();
    })
}

/// Waits until no response is open, the time for that is over, the executor has ended, or the job is told to stop.
/// Returns how many are open; none of a job that was stopped, since a later run goes on with them.
fn drain(
    ledger: &StorePlace,
    job: &config::Job,
    watch: &Watch,
    ended: &Result<Ended, Error>,
    signal: &Signal,
    executing: &JoinHandle<Result<(), Error>>,
) -> Result<u64, Error> {
    let ledger = ledger.open()?;
    let waiting = Stopwatch::start();
    loop {
        let open = ledger.open_orders()?;
        let stopped = watch.stop.load(Ordering::SeqCst) || !matches!(ended, Ok(Ended::Complete));
        if open == 0 || stopped || executing.is_finished() || waiting.elapsed() >= job.drain_timeout {
            return Ok(if stopped { 0 } else { open });
        }
        signal.wake();
        thread::sleep(DRAIN_LOOK);
    }
}
