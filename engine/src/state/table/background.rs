//! The thread of a checkpoint. Owned here: what happens beside the flow, and in which order: what was frozen goes to the
//! store, the store makes its files, the files and whatever else belongs to the snapshot become durable. Not owned here:
//! what is frozen, and what must wait meanwhile.

use super::layout;
use crate::clock::Stopwatch;
use crate::error::Error;
use crate::metrics::{Phase, Phases};
use crate::state::Timer;
use crate::state::store::{ByteStore, CheckpointFile, Writes};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

/// Something that must have happened before a checkpoint counts as durable, and that need not hold the flow.
pub type Work = Box<dyn FnOnce() -> Result<(), Error> + Send>;

/// Called after the thread has told something.
pub type Wake = Box<dyn Fn() + Send>;

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
    Through(Vec<CheckpointFile>, Phases),
    /// It failed. The last event.
    Failed(Error),
}

/// What a thread works with.
pub(super) struct Background {
    pub store: Arc<dyn ByteStore>,
    pub folder: PathBuf,
    pub work: Vec<Work>,
    pub wake: Wake,
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

    fn run(mut self, orders: &Receiver<Order>, events: &Sender<Event>) {
        let last = match self.take(orders, events) {
            Ok(Some((files, phases))) => Event::Through(files, phases),
            Ok(None) => return,
            Err(error) => Event::Failed(error),
        };
        self.tell(last, events);
    }

    /// Whether the table still listens does not matter: if not, it has given the checkpoint up.
    fn tell(&self, event: Event, events: &Sender<Event>) {
        if events.send(event).is_ok() {
            (self.wake)();
        }
    }

    /// The files, or `None` if the checkpoint was given up.
    fn take(
        &mut self,
        orders: &Receiver<Order>,
        events: &Sender<Event>,
    ) -> Result<Option<(Vec<CheckpointFile>, Phases)>, Error> {
        let mut phases = Phases::default();
        // Kept, so that they are not let go of in the flow.
        let mut timers = Vec::new();
        loop {
            let Ok(order) = orders.recv() else { return Ok(None) };
            let clock = Stopwatch::start();
            match order {
                Order::Rows(writes) => self.store.write(&writes)?,
                Order::Timers(changes) => {
                    write_timers(&*self.store, &changes)?;
                    timers.push(changes);
                }
                Order::Cut => break,
            }
            phases.add(Phase::Write, clock);
            self.tell(Event::Written, events);
        }
        let clock = Stopwatch::start();
        self.store.cut(&self.folder)?;
        phases.add(Phase::Link, clock);
        self.tell(Event::Linked, events);
        let clock = Stopwatch::start();
        for work in self.work.drain(..) {
            work()?;
        }
        let files = self.store.settle(&self.folder)?;
        phases.add(Phase::Sync, clock);
        Ok(Some((files, phases)))
    }
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
