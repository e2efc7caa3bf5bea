//! Running a job: its workers, its one dataflow, and how that is assembled. `run` starts the workers; a [`Flow`] is
//! what the assembly calls on each of them, in the same order on all.

use crate::clock::{Clock, Stopwatch};
use crate::cluster::Mesh;
use crate::coordinator::conduct::{Conductor, Score};
use crate::coordinator::coordinator;
use crate::coordinator::message::{Activity, Announcement, Answer, Part, Progress};
use crate::error::Error;
use crate::fault::{Faults, Poison};
use crate::keyed::operator::{Input, Keyed, keyed};
use crate::keyed::{Logic, Sendable};
use crate::metrics::{Restoring, Status};
use crate::snapshot::manifest::Job;
use crate::snapshot::repository::Repository;
use crate::snapshot::restore::{self, Restore};
use crate::source::journal::{Journal, JournalEntry, Judgement};
use crate::source::operator::{Sources, sources};
use crate::source::partition::PartitionState;
use crate::source::scheduled::{Inbox, Known, scheduled};
use crate::source::seat::Seat;
use crate::source::{Decode, Partition, Timing};
use crate::state::store::Stores;
use crate::state::table::Table;
use crate::time::{Micros, Span, Stamp};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use timely::WorkerConfig;
use timely::dataflow::operators::core::feedback;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Concatenate, ConnectLoop, Feedback as _};
use timely::dataflow::{Scope, StreamVec};
use timely::execute::execute_from;

/// A stream of records, each with its own time, stamped no later than that.
pub type Stream<'s, R> = StreamVec<'s, Stamp, R>;

/// What the sources of a job give.
pub struct Read<'s, D: Decode> {
    /// Records for keyed operators.
    pub records: Stream<'s, D::Record>,
    /// Refused lines and records beyond the lateness limit, for the writer.
    pub asides: Stream<'s, D::Aside>,
}

/// What a job is run with.
#[derive(Clone)]
pub struct Settings {
    /// Threads of dataflow, over all processes.
    pub workers: usize,
    /// Inputs and semantics that must not change between runs, by name.
    pub fingerprint: BTreeMap<String, String>,
    /// What is read, in an order that every run keeps.
    pub partitions: Vec<(Arc<dyn Partition>, Timing)>,
    /// Folder of this process's live keyed state. Rebuilt at every start, in a folder of its generation.
    pub state: PathBuf,
    /// Where snapshots go.
    pub repository: Repository,
    /// How long to wait from one snapshot to the next.
    pub snapshot_every: Duration,
    /// How many snapshots are kept.
    pub snapshots_kept: usize,
    /// Judgements by the clock.
    pub journal: Arc<Mutex<dyn Journal>>,
    /// Paces, and judges live partitions.
    pub clock: Clock,
    /// Set from outside to stop with a last snapshot.
    pub stop: Arc<AtomicBool>,
    /// Shows how the run goes.
    pub status: Status,
    /// Planted by tests.
    pub faults: Faults,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All input was read and everything was emitted.
    Complete,
    /// It was told to stop; a later run goes on from here.
    Stopped,
}

/// What a run found when it started.
#[derive(Debug)]
pub struct Start {
    /// What it starts from.
    pub restore: Restore,
    /// Workers of this process that have yet to open their stores.
    opening: AtomicUsize,
}

impl Start {
    /// Looks for what to start from, and takes it over as a generation above `least_generation`.
    pub fn find(settings: &Settings, least_generation: u64) -> Result<Self, Error> {
        let restore = restore::choose(&settings.repository, &settings.job(), least_generation, &settings.state)?;
        Start::of(settings, restore, settings.workers)
    }

    /// What another process has found: its snapshot, of which the files that concern the workers `own` are fetched.
    pub fn follow(
        settings: &Settings,
        snapshot: Option<u64>,
        generation: u64,
        own: Range<usize>,
    ) -> Result<Self, Error> {
        let threads = own.len();
        let (repository, job) = (&settings.repository, settings.job());
        let restore = restore::follow(repository, &job, snapshot, generation, own, &settings.state)?;
        Start::of(settings, restore, threads)
    }

    /// The newest snapshot, to be looked at and not to be started from.
    pub fn newest(settings: &Settings) -> Result<Self, Error> {
        let restore = restore::newest(&settings.repository, &settings.job())?;
        Start::of(settings, restore, 0)
    }

    fn of(settings: &Settings, restore: Restore, threads: usize) -> Result<Self, Error> {
        if threads > 0 {
            remove_former(&settings.state, restore.generation)?;
            settings.status.restoring(Restoring::Choose, 0, restore.choosing);
            settings.status.restoring(Restoring::Fetch, 0, restore.fetching);
        }
        Ok(Start { restore, opening: AtomicUsize::new(threads) })
    }

    /// Folder of live state: a process of an older generation that is not quite gone must not find it.
    fn state(&self, settings: &Settings) -> PathBuf {
        restore::folder_of(&settings.state, self.restore.generation)
    }

    /// Looks at a snapshot of a repository, which the run starts from and does not take over: it publishes to the
    /// settings' own repository, which must be another one.
    pub fn look(settings: &Settings, of: &Repository, id: u64) -> Result<Self, Error> {
        let restore = restore::look(of, id, &restore::fetched(&settings.state, 0))?;
        if let Some(manifest) = &restore.manifest {
            manifest.check(&settings.job())?;
        }
        Start::of(settings, restore, settings.workers)
    }

    /// Shows what a job that is over came to: operators by name, each with the names of its totals.
    pub fn show_totals(&self, status: &Status, operators: &[(&str, &'static [&'static str])]) {
        for (operator, names) in operators {
            status.totals(operator, 0, names, self.restore.totals(operator, 0, names.len()));
        }
        let partitions = self.restore.manifest.iter().flat_map(|manifest| manifest.partitions.values());
        for (index, state) in partitions.enumerate() {
            status.report(Progress {
                partition: index as u32,
                newest: state.judge.newest,
                watermark: state.judge.watermark,
                received: state.received,
                activity: Activity::Ended,
            });
        }
    }

    /// Whether the job is over: all input was read and everything was emitted.
    pub fn is_complete(&self) -> bool {
        self.restore.manifest.as_ref().is_some_and(|manifest| manifest.complete)
    }
}

impl Settings {
    fn job(&self) -> Job {
        Job {
            fingerprint: self.fingerprint.clone(),
            partitions: self.partitions.iter().map(|(partition, _)| partition.name().to_owned()).collect(),
            workers: self.workers,
        }
    }
}

/// Removes what earlier generations left of live state: it is rebuilt from the fetched files.
fn remove_former(state: &Path, generation: u64) -> Result<(), Error> {
    let own = restore::folder_of(state, generation);
    std::fs::create_dir_all(&own).map_err(Error::io("create", &own))?;
    for entry in std::fs::read_dir(state).map_err(Error::io("list", state))? {
        let path = entry.map_err(Error::io("list", state))?.path();
        if path != own {
            std::fs::remove_dir_all(&path).map_err(Error::io("remove", path))?;
        }
    }
    Ok(())
}

/// Runs a job in one process to its end, or until it is told to stop. `assemble` builds the dataflow and is called on
/// each worker.
pub fn run<A>(settings: Settings, start: Start, assemble: A) -> Result<Ended, Error>
where
    A: for<'s> Fn(&mut Flow<'s>) -> Result<(), Error> + Send + Sync + 'static,
{
    run_on(Mesh::alone(), settings, start, assemble)
}

/// [`run`] as one process of several, each with an equal share of the workers. All but the first only follow: when to
/// stop and when to take a snapshot is the first one's to say. After an error this process has to end, so that the
/// others notice.
pub fn run_on<A>(mesh: Mesh, settings: Settings, start: Start, assemble: A) -> Result<Ended, Error>
where
    A: for<'s> Fn(&mut Flow<'s>) -> Result<(), Error> + Send + Sync + 'static,
{
    let poison = Poison::default();
    let shared = Arc::new(Shared { settings: settings.clone(), start, poison: poison.clone() });
    let threads = settings.workers / mesh.processes();
    let (builders, connections) = mesh.allocators(threads)?;
    let workers = execute_from(builders, Box::new(()), WorkerConfig::default(), move |worker| {
        shared.settings.status.profile().observe(worker);
        let leave = Rc::new(Cell::new(false));
        let dataflow = worker.next_dataflow_index();
        worker.dataflow_named::<Stamp, _, _>("job", |scope| {
            let mut flow = Flow::new(scope, shared.clone(), leave.clone());
            if shared.poison.check(assemble(&mut flow).and_then(|()| flow.finish())).is_none() {
                // Half a dataflow cannot be built. The poison tells why, so nothing is said of this.
                std::panic::resume_unwind(Box::new("the dataflow was not assembled"));
            }
        });
        while worker.has_dataflows() && !leave.get() && !shared.poison.is_set() {
            worker.step_or_park(Some(Duration::from_millis(10)));
        }
        if worker.has_dataflows() {
            // Capabilities must not be let go of here: every timer would fire.
            worker.drop_dataflow(dataflow);
        }
        leave.get()
    })
    .map_err(|error| Error::Unavailable(format!("the workers could not be started: {error}")))?;
    let joined: Result<Vec<bool>, String> = workers.join().into_iter().collect();
    let panicked = |error| Error::Fault(format!("a worker panicked: {error}"));
    let ended = poison.take().map_or_else(|| joined.map_err(panicked), Err);
    if ended.is_err() {
        // Letting go waits for the other processes, which go on until they notice that this one is gone.
        std::mem::forget(connections);
    }
    ended.map(|left| if left.contains(&true) { Ended::Stopped } else { Ended::Complete })
}

/// What all workers of a run share.
struct Shared {
    settings: Settings,
    start: Start,
    poison: Poison,
}

/// The assembly of a job's dataflow on one worker.
pub struct Flow<'s> {
    scope: Scope<'s, Stamp>,
    shared: Arc<Shared>,
    leave: Rc<Cell<bool>>,
    announcements: StreamVec<'s, Stamp, Announcement>,
    announce: Loop<'s, Announcement>,
    answers: Vec<StreamVec<'s, Stamp, Answer>>,
    progress: Option<StreamVec<'s, Stamp, Progress>>,
    applied: Vec<StreamVec<'s, Stamp, ()>>,
    operators: BTreeSet<String>,
}

impl<'s> Flow<'s> {
    fn new(scope: Scope<'s, Stamp>, shared: Arc<Shared>, leave: Rc<Cell<bool>>) -> Self {
        // A loop that adds no time is legal: every path through it is cut at the coordinator's inputs.
        let (announce, announcements) = scope.feedback::<Vec<Announcement>>(0);
        Flow {
            scope,
            shared,
            leave,
            announcements,
            announce: Loop::new(announce),
            answers: Vec::new(),
            progress: None,
            applied: Vec::new(),
            operators: BTreeSet::new(),
        }
    }

    /// This worker's index, and how many there are.
    pub fn place(&self) -> (usize, usize) {
        (self.scope.index(), self.scope.peers())
    }

    /// The cut that the job was restored to.
    pub fn restored(&self) -> Option<Stamp> {
        self.shared.start.restore.at()
    }

    /// Reads the job's partitions. Called once.
    pub fn sources<D: Decode>(&mut self, decoder: D) -> Result<Read<'s, D>, Error> {
        let name = "sources".to_owned();
        let settings = &self.shared.settings;
        let (worker, workers) = self.place();
        let restored = self.restored();
        let mut seats = Vec::new();
        for (index, (partition, timing)) in settings.partitions.iter().enumerate() {
            if index % workers == worker {
                let mut journal = settings.journal.lock().unwrap_or_else(PoisonError::into_inner);
                let state = match self.shared.start.restore.partition(partition.name()) {
                    Some(state) => state,
                    None => joined(partition.name(), restored, &mut *journal)?,
                };
                let journaled = journal.load(partition.name())?;
                seats.push(Seat::new(index as u32, partition.clone(), *timing, state, journaled, restored));
            }
        }
        let streams = sources(
            self.scope,
            self.announcements.clone(),
            Sources {
                name: name.clone(),
                seats,
                decoder,
                journal: settings.journal.clone(),
                clock: settings.clock.clone(),
                poison: self.shared.poison.clone(),
                faults: settings.faults,
                leave: self.leave.clone(),
                first_stamp: restored.map_or(1, |at| at.saturating_add(1)),
            },
        );
        self.operators.insert(name);
        self.answers.push(streams.answers);
        self.progress = Some(streams.progress);
        Ok(Read { records: streams.records, asides: streams.asides })
    }

    /// A stream of records whose times, in whole milliseconds, are known beforehand, in order of time, and of those that
    /// come into `inbox` while the job runs. The first worker sends them all; the inbox of another is not looked into.
    pub fn scheduled<R: Sendable>(
        &mut self,
        known: impl Iterator<Item = (Micros, R)> + 'static,
        inbox: Inbox<R>,
    ) -> Stream<'s, R> {
        let (known, inbox): (Known<R>, _) = match self.scope.index() {
            0 => (Box::new(known), inbox),
            _ => (Box::new(std::iter::empty()), None),
        };
        let first = self.restored().map_or(1, |at| at.saturating_add(1));
        let poison = self.shared.poison.clone();
        scheduled(self.scope, self.announcements.clone(), first, known, inbox, poison)
    }

    /// A keyed operator, with `budget` bytes of memory for decoded rows on this worker. Returns a stream per port.
    pub fn keyed<L: Logic>(
        &mut self,
        name: &str,
        logic: L,
        stores: &dyn Stores,
        budget: usize,
        inputs: Vec<Input<'s, L::Record>>,
    ) -> Result<Vec<Stream<'s, L::Out>>, Error> {
        let Shared { settings, start, poison } = &*self.shared;
        let (worker, workers) = self.place();
        let state = start.state(settings);
        let folder = state.join(format!("{name}.{worker}"));
        let checkpoints = start.restore.checkpoints(name, worker, workers)?;
        let opening = Stopwatch::start();
        let store = match self.restored() {
            Some(_) => stores.restore(&folder, &checkpoints, crate::key::KeyGroup::owned_by(worker, workers))?,
            None => stores.create(&folder)?,
        };
        settings.status.restoring(Restoring::Open, worker, opening.elapsed());
        let totals = start.restore.totals(name, worker, L::TOTALS.len());
        let streams = keyed(
            self.scope,
            inputs,
            self.announcements.clone(),
            Keyed {
                name: name.to_owned(),
                logic,
                table: Table::new(store, budget),
                restored: self.restored(),
                totals: settings.status.totals(name, worker, L::TOTALS, totals),
                checkpoints: state.join(format!("{name}.{worker}.checkpoint")),
                shelf: Arc::new(Mutex::new(settings.repository.shelf(
                    start.restore.generation,
                    &Part::folder(name, worker),
                    start.restore.stored(name, worker, workers),
                ))),
                poison: poison.clone(),
                faults: settings.faults,
            },
        );
        if !self.operators.insert(name.to_owned()) {
            return Err(Error::Fault(format!("two operators are called {name}")));
        }
        self.answers.push(streams.answers);
        self.applied.push(streams.applied);
        Ok(streams.ports)
    }

    /// A stream that will be connected later and comes back `delay` after it was sent.
    pub fn feedback<R: Sendable>(&mut self, delay: Span) -> (Loop<'s, R>, Stream<'s, R>) {
        let (handle, stream) = self.scope.feedback::<Vec<R>>(delay.millis());
        (Loop::new(handle), stream)
    }

    /// Connects everything to the coordinator.
    fn finish(self) -> Result<(), Error> {
        let Flow { scope, shared, announce, answers, progress, applied, operators, .. } = self;
        let Some(progress) = progress else {
            return Err(Error::Fault("a job needs sources".to_owned()));
        };
        let Shared { settings, start, poison } = &*shared;
        let max_delay = settings.partitions.iter().map(|(_, timing)| timing.max_delay).max().unwrap_or_default();
        let conductor = (scope.index() == 0).then(|| {
            Conductor::new(Score {
                job: settings.job(),
                operators,
                repository: settings.repository.clone(),
                keep: settings.snapshots_kept,
                journal: settings.journal.clone(),
                every: settings.snapshot_every,
                generation: start.restore.generation,
                next_id: start.restore.next_id,
                restored: start.restore.at(),
                partitions: settings.partitions.iter().map(|(partition, _)| partition.clone()).collect(),
                live: settings.partitions.iter().any(|(partition, _)| partition.live()),
                max_delay,
                clock: settings.clock.clone(),
                stop: settings.stop.clone(),
                poison: poison.clone(),
                status: settings.status.clone(),
            })
        });
        if start.opening.fetch_sub(1, Ordering::SeqCst) == 1 {
            start.restore.clean()?;
        }
        let answers = scope.concatenate(answers);
        let applied = scope.concatenate(applied);
        announce.connect(coordinator(scope, progress, applied, answers, conductor).broadcast());
        Ok(())
    }
}

/// A partition that has joined the job begins where that was restored to. A replay that starts earlier finds that in the
/// journal.
fn joined(name: &str, restored: Option<Stamp>, journal: &mut dyn Journal) -> Result<PartitionState, Error> {
    let mut state = PartitionState::default();
    state.judge.watermark = Micros::from_stamp(restored.unwrap_or_default().saturating_add(1));
    if journal.load(name)?.is_empty() {
        let (partition, position, watermark) = (name.to_owned(), state.position, state.judge.watermark);
        journal.append(&[JournalEntry { partition, seq: 0, position, judgement: Judgement::Idle, watermark }])?;
    }
    Ok(state)
}

/// The open end of a feedback. Left open after an error, it is not dropped: timely would panic over it and hide the error.
pub struct Loop<'s, R: Sendable>(ManuallyDrop<feedback::Handle<'s, Stamp, Vec<R>>>);

impl<'s, R: Sendable> Loop<'s, R> {
    fn new(handle: feedback::Handle<'s, Stamp, Vec<R>>) -> Self {
        Loop(ManuallyDrop::new(handle))
    }

    /// Connects the stream that comes back.
    pub fn connect(self, stream: Stream<'s, R>) {
        stream.connect_loop(ManuallyDrop::into_inner(self.0));
    }
}
