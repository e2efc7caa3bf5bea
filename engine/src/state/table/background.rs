//! The thread of a checkpoint. Owned here: what happens beside the flow, and in which order: what was frozen goes to the
//! store, the store makes its files, the files and whatever else belongs to the snapshot become durable. Not owned here:
//! what is frozen, and what must wait meanwhile.

use super::layout;
use crate::clock::Stopwatch;
use crate::error::Error;
use crate::fault::point;
use crate::metrics::{Phase, Phases};
use crate::state::Timer;
use crate::state::store::{ByteStore, CheckpointFile, Writes};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

/// Something that must have happened before a checkpoint counts as durable, and that need not hold the flow.
pub type Work = Box<dyn FnOnce() -> Result<(), Error> + Send>;

/// Takes the files of a checkpoint where they are kept, and makes them durable there. They lie in the checkpoint's folder
/// and nobody needs them afterwards.
pub type Keep = Box<dyn FnOnce(&[CheckpointFile]) -> Result<(), Error> + Send>;

/// Called after the thread has told something.
pub type Wake = Box<dyn Fn() + Send>;

/// What happens beside the flow besides the checkpoint itself.
pub struct Beside {
    /// Done before the files are kept.
    pub work: Vec<Work>,
    /// Done last.
    pub keep: Keep,
    /// See [`Wake`].
    pub wake: Wake,
}

impl Default for Beside {
    /// Nothing.
    fn default() -> Self {
        Beside { work: Vec::new(), keep: Box::new(|_| Ok(())), wake: Box::new(|| {}) }
    }
}

/// Changes of timers that go to the store at a time.
const TIMERS_AT_ONCE: usize = 4_096;

/// From the table to the thread. Dropping the sender before [`Order::Cut`] gives the checkpoint up.
#[derive(Clone)]
pub(super) enum Order {
    /// Timers set and cleared.
    Timers(Arc<BTreeMap<Timer, bool>>),
    /// Rows.
    Rows(Arc<Writes>),
    /// That was all.
    Cut,
}

/// From the thread to the table.
pub(super) enum Event {
    /// The store holds the oldest order that it did not hold before.
    Written,
    /// The checkpoint's files exist: what the store hears from now on is not in them.
    Linked,
    /// All is durable. The last event.
    Through(Vec<CheckpointFile>, Box<Phases>),
    /// It failed. The last event.
    Failed(Error),
}

/// What a thread works with.
pub(super) struct Background {
    pub store: Arc<dyn ByteStore>,
    pub folder: PathBuf,
    pub beside: Beside,
}

/// The table's ends of the channels, and the thread.
pub(super) type Started = (Sender<Order>, Receiver<Event>, JoinHandle<()>);

impl Background {
    /// Starts the thread. It bears the name of the checkpoint's folder.
    pub fn start(self) -> Result<Started, Error> {
        let (orders, ordered) = mpsc::channel();
        let (told, events) = mpsc::channel();
        let name = self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let thread = thread::Builder::new().name(name).spawn(move || self.run(&ordered, &told));
        let thread = thread.map_err(|why| {
            Error::Unavailable(format!("no thread for a checkpoint: {why}; allow the process more threads"))
        })?;
        Ok((orders, events, thread))
    }

    fn run(self, orders: &Receiver<Order>, events: &Sender<Event>) {
        let Background { store, folder, beside: Beside { work, keep, wake } } = self;
        // Whether the table still listens does not matter: if not, it has given the checkpoint up.
        let tell = |event: Event| {
            if events.send(event).is_ok() {
                wake();
            }
        };
        let mut phases = Phases::default();
        let taken = take(&*store, &folder, orders, &tell, &mut phases);
        let settled =
            taken.and_then(|taken| if taken { settle(&*store, &folder, work, keep, &mut phases) } else { Ok(None) });
        match settled {
            Ok(Some(files)) => tell(Event::Through(files, Box::new(phases))),
            Ok(None) => {}
            Err(error) => tell(Event::Failed(error)),
        }
    }
}

/// Writes what is ordered and cuts. False if the checkpoint was given up.
fn take(
    store: &dyn ByteStore,
    folder: &Path,
    orders: &Receiver<Order>,
    tell: &dyn Fn(Event),
    phases: &mut Phases,
) -> Result<bool, Error> {
    // Kept, so that they are not let go of in the flow.
    let mut timers = Vec::new();
    loop {
        let Ok(order) = orders.recv() else { return Ok(false) };
        let clock = Stopwatch::start();
        match order {
            Order::Rows(writes) => {
                point("state.write")?;
                store.write(&writes)?;
            }
            Order::Timers(changes) => {
                write_timers(store, &changes)?;
                timers.push(changes);
            }
            Order::Cut => break,
        }
        phases.add(Phase::Write, clock);
        tell(Event::Written);
    }
    point("state.cut")?;
    let clock = Stopwatch::start();
    store.cut(folder)?;
    phases.add(Phase::Link, clock);
    tell(Event::Linked);
    Ok(true)
}

/// Makes everything durable that belongs to the checkpoint. Returns its files.
fn settle(
    store: &dyn ByteStore,
    folder: &Path,
    work: Vec<Work>,
    keep: Keep,
    phases: &mut Phases,
) -> Result<Option<Vec<CheckpointFile>>, Error> {
    point("state.settle")?;
    let clock = Stopwatch::start();
    for work in work {
        work()?;
    }
    let files = store.settle(folder)?;
    phases.add(Phase::Sync, clock);
    let clock = Stopwatch::start();
    keep(&files)?;
    phases.add(Phase::Keep, clock);
    Ok(Some(files))
}

/// Tells the store of timers set and cleared.
pub(super) fn write_timers(store: &dyn ByteStore, changes: &BTreeMap<Timer, bool>) -> Result<(), Error> {
    let mut changes = changes.iter().map(|(timer, set)| (layout::timer_key(timer), set.then(Vec::new)));
    loop {
        let entries: Vec<_> = changes.by_ref().take(TIMERS_AT_ONCE).collect();
        if entries.is_empty() {
            return Ok(());
        }
        store.write(&Writes { entries })?;
    }
}
