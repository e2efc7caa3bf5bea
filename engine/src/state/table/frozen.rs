//! A checkpoint beside the flow. Owned here: the frozen rows on their way to the store, the newer ones that must wait
//! until the checkpoint's files exist, and when the flow is held after all. Not owned here: the thread that writes.
//!
//! At the cut the list of dirty rows becomes that of frozen ones. A frozen row is encoded once: in a slice of
//! [`Table::advance`], or before it is written again, or before it leaves memory. Its bytes *fly* until the store holds
//! them. A newer row that leaves memory before the checkpoint's files exist is *parked*. Reads look among parked rows,
//! then among flying ones, then in the store. Whatever else would change the store waits likewise: timers, expiry.

use super::background::{Background, Beside, Event, Order, Started};
use super::slots::Entry;
use super::{Row, Table};
use crate::clock::Stopwatch;
use crate::error::Error;
use crate::fault::Planted;
use crate::limits::{SLICE_BYTES, SLICE_ROWS};
use crate::metrics::{Phase, Phases};
use crate::state::Timer;
use crate::state::store::{ByteStore, CheckpointFile, Writes};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::thread::JoinHandle;

#[cfg(test)]
mod tests;

/// What a checkpoint came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// Its files.
    pub files: Vec<CheckpointFile>,
    /// What it took.
    pub phases: Box<Phases>,
}

/// Where a checkpoint stands.
#[derive(Debug, PartialEq)]
pub enum Advance {
    /// None is under way.
    Idle,
    /// There is more to do here: call again soon.
    More,
    /// The thread is at work, and will wake whoever asked for the checkpoint.
    Waiting,
    /// It is durable.
    Through(Taken),
}

impl<R: Row> Table<R> {
    /// Begins a checkpoint of the state as it is now in `folder`, which must not exist; its parent must. Costs no more
    /// than starting a thread. [`Table::advance`] carries it on, and is to be called at once and after each wake.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there is no thread for it; [`Error::Fault`] if another one is under way.
    pub fn freeze(&mut self, folder: &Path, beside: Beside) -> Result<(), Error> {
        if self.under_way.is_some() {
            return Err(Error::Fault("a table was frozen before its last checkpoint was through".to_owned()));
        }
        let background = Background { store: Arc::clone(&self.store), folder: folder.to_owned(), beside };
        let mut under_way = UnderWay::new(background.start()?);
        if !self.timers.is_empty() {
            let timers = Arc::new(std::mem::take(&mut self.timers));
            under_way.send(Order::Timers(timers), 0);
        }
        self.slots.freeze();
        self.under_way = Some(under_way);
        Ok(())
    }

    /// Does a slice of what the checkpoint under way needs from this thread. Never waits.
    ///
    /// # Errors
    /// Those of the store, and [`Error::Fault`] for a row that is too large to be stored.
    pub fn advance(&mut self) -> Result<Advance, Error> {
        let Some(under_way) = &mut self.under_way else { return Ok(Advance::Idle) };
        under_way.hear()?;
        // A look that finds nothing to do holds nobody.
        if self.has_work() {
            let clock = Stopwatch::start();
            let more = self.work_off()?;
            self.held(clock);
            if more {
                return Ok(Advance::More);
            }
        }
        let through = self.under_way.take_if(|under_way| under_way.is_through());
        Ok(through.map_or(Advance::Waiting, |under_way| Advance::Through(under_way.taken())))
    }

    /// Waits for the checkpoint under way, if there is one.
    ///
    /// # Errors
    /// As [`Table::advance`].
    pub fn finish(&mut self) -> Result<Option<Taken>, Error> {
        self.wait_until(UnderWay::is_through)?;
        Ok(self.under_way.take().map(UnderWay::taken))
    }

    /// A checkpoint that is durable when this returns. See [`Table::freeze`].
    ///
    /// # Errors
    /// As [`Table::freeze`] and [`Table::advance`].
    pub fn checkpoint(&mut self, folder: &Path) -> Result<Vec<CheckpointFile>, Error> {
        self.freeze(folder, Beside::default())?;
        Ok(self.finish()?.map(|taken| taken.files).unwrap_or_default())
    }

    /// Whether the store may hear of what is newer than the last cut.
    pub(super) fn is_open(&self, mistake: Planted) -> bool {
        self.under_way.as_ref().is_none_or(|under_way| under_way.linked) || self.faults.has(mistake)
    }

    /// Waits until the store may hear of everything, and has heard of all that was parked.
    pub(super) fn wait_until_open(&mut self) -> Result<(), Error> {
        self.wait_until(|under_way| under_way.linked && under_way.parked.is_empty())
    }

    /// Waits while more lies beside the rows than may.
    pub(super) fn make_room(&mut self) -> Result<(), Error> {
        let most = self.beside_max;
        self.wait_until(|under_way| under_way.parked.bytes <= most && under_way.flying_bytes <= most)
    }

    /// Encodes a frozen row, as it is about to change or to leave. Returns its bytes.
    pub(super) fn preserve(&mut self, at: u32) -> Result<usize, Error> {
        let entry = self.slots.get(at).entry()?;
        self.slots.mark_stored(at);
        match (entry, &mut self.under_way) {
            (Some(entry), Some(under_way)) => Ok(under_way.fly(entry)),
            _ => Ok(0),
        }
    }

    /// Whether there is anything to do here before the thread tells more.
    fn has_work(&self) -> bool {
        self.under_way.as_ref().is_some_and(|under_way| match under_way.linked {
            true => !under_way.parked.is_empty(),
            false => under_way.orders.is_some() && under_way.flying_bytes <= self.beside_max,
        })
    }

    /// Does what can be done here at once, a slice of it. Returns whether there is more.
    fn work_off(&mut self) -> Result<bool, Error> {
        let works = self.has_work();
        let Some(under_way) = self.under_way.as_mut().filter(|_| works) else { return Ok(false) };
        if under_way.linked {
            return under_way.unpark(&*self.store);
        }
        let clock = Stopwatch::start();
        let (mut rows, mut bytes) = (0, 0);
        while rows < SLICE_ROWS
            && bytes < SLICE_BYTES
            && let Some(&at) = self.slots.frozen().last()
        {
            bytes += self.preserve(at)?;
            rows += 1;
        }
        let frozen = !self.slots.frozen().is_empty();
        let Some(under_way) = &mut self.under_way else { return Ok(false) };
        if rows > 0 {
            under_way.phases.add(Phase::Encode, clock);
        }
        if !frozen {
            under_way.seal();
            under_way.send(Order::Cut, 0);
            under_way.orders = None;
        }
        Ok(frozen)
    }

    fn wait_until(&mut self, done: impl Fn(&UnderWay) -> bool) -> Result<(), Error> {
        if self.under_way.as_ref().is_none_or(&done) {
            return Ok(());
        }
        let clock = Stopwatch::start();
        while let Some(under_way) = &mut self.under_way {
            under_way.hear()?;
            if done(under_way) {
                break;
            }
            if !self.work_off()?
                && let Some(under_way) = self.under_way.as_mut().filter(|under_way| !done(under_way))
            {
                under_way.wait()?;
            }
        }
        self.held(clock);
        Ok(())
    }

    fn held(&mut self, since: Stopwatch) {
        if let Some(under_way) = &mut self.under_way {
            under_way.phases.add(Phase::Held, since);
        }
    }
}

/// Entries of the store by key.
#[derive(Default)]
struct Entries {
    by_key: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Roughly the memory that they take.
    bytes: usize,
}

impl Entries {
    fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Returns the bytes of the entry.
    fn put(&mut self, (key, value): Entry) -> usize {
        let weight = weight(&key, value.as_ref());
        let key_length = key.len();
        if let Some(before) = self.by_key.insert(key, value) {
            self.bytes -= weight_of(key_length, before.as_ref());
        }
        self.bytes += weight;
        weight
    }

    fn remove(&mut self, key: &[u8]) {
        if let Some(value) = self.by_key.remove(key) {
            self.bytes -= weight(key, value.as_ref());
        }
    }

    /// Takes entries of about so many bytes.
    fn take(&mut self, most: usize) -> Writes {
        let mut entries = Vec::new();
        let before = self.bytes;
        while before - self.bytes < most
            && let Some((key, value)) = self.by_key.pop_first()
        {
            self.bytes -= weight(&key, value.as_ref());
            entries.push((key, value));
        }
        Writes { entries }
    }
}

fn weight(key: &[u8], value: Option<&Vec<u8>>) -> usize {
    weight_of(key.len(), value)
}

fn weight_of(key: usize, value: Option<&Vec<u8>>) -> usize {
    size_of::<Entry>() + key + value.map_or(0, Vec::len)
}

/// What is beside the rows of a table while a checkpoint is under way.
pub(super) struct UnderWay {
    /// `None` once everything was sent.
    orders: Option<Sender<Order>>,
    events: Receiver<Event>,
    thread: Option<JoinHandle<()>>,
    /// Frozen rows that are being collected, each once.
    open: Entries,
    /// What was sent and is not in the store yet, oldest first, with its bytes.
    flying: VecDeque<(Order, usize)>,
    flying_bytes: usize,
    /// Newer rows that wait for the checkpoint's files.
    parked: Entries,
    /// Whether these files exist.
    linked: bool,
    files: Option<Vec<CheckpointFile>>,
    phases: Phases,
}

impl UnderWay {
    fn new((orders, events, thread): Started) -> Self {
        UnderWay {
            orders: Some(orders),
            events,
            thread: Some(thread),
            open: Entries::default(),
            flying: VecDeque::new(),
            flying_bytes: 0,
            parked: Entries::default(),
            linked: false,
            files: None,
            phases: Phases::default(),
        }
    }

    fn is_through(&self) -> bool {
        self.files.is_some() && self.parked.is_empty()
    }

    fn taken(mut self) -> Taken {
        Taken { files: self.files.take().unwrap_or_default(), phases: Box::new(self.phases) }
    }

    fn send(&mut self, order: Order, bytes: usize) {
        if !matches!(order, Order::Cut) {
            self.flying.push_back((order.clone(), bytes));
            self.flying_bytes += bytes;
        }
        // If nobody listens, the thread has failed and has told why.
        let _ = self.orders.as_ref().map(|orders| orders.send(order));
    }

    /// Sends a frozen row on its way, with others. Returns its bytes.
    fn fly(&mut self, entry: Entry) -> usize {
        let bytes = self.open.put(entry);
        if self.open.bytes >= SLICE_BYTES {
            self.seal();
        }
        bytes
    }

    fn seal(&mut self) {
        let bytes = self.open.bytes;
        let writes = self.open.take(usize::MAX);
        if !writes.entries.is_empty() {
            self.send(Order::Rows(Arc::new(writes)), bytes);
        }
    }

    /// Keeps a row that is newer than the cut and leaves memory.
    pub fn park(&mut self, entry: Entry) {
        self.parked.put(entry);
    }

    /// The store will hear of something newer.
    pub fn forget(&mut self, key: &[u8]) {
        self.parked.remove(key);
    }

    /// Writes some of what was parked. Returns whether there is more.
    fn unpark(&mut self, store: &dyn ByteStore) -> Result<bool, Error> {
        store.write(&self.parked.take(SLICE_BYTES))?;
        Ok(!self.parked.is_empty())
    }

    /// What the store will hold under a key, if it is to hear of it; the inner `None` is a value that will be gone.
    pub fn find(&self, key: &[u8], mistaken: bool) -> Option<Option<&[u8]>> {
        let collected = self.parked.by_key.get(key).or_else(|| self.open.by_key.get(key));
        let found = collected.or_else(|| {
            self.flying.iter().rev().filter(|_| !mistaken).find_map(|(order, _)| match order {
                Order::Rows(writes) => {
                    let entries = &writes.entries;
                    let at = entries.binary_search_by(|(other, _)| other.as_slice().cmp(key)).ok()?;
                    Some(&entries[at].1)
                }
                _ => None,
            })
        });
        found.map(Option::as_deref)
    }

    /// Timers set and cleared that the store may not hold yet.
    pub fn timers(&self) -> impl Iterator<Item = (&Timer, bool)> {
        let changes = self.flying.iter().filter_map(|(order, _)| match order {
            Order::Timers(changes) => Some(changes),
            _ => None,
        });
        changes.flat_map(|changes| changes.iter().map(|(timer, set)| (timer, *set)))
    }

    /// Takes in what the thread has told.
    fn hear(&mut self) -> Result<(), Error> {
        loop {
            match self.events.try_recv() {
                Ok(event) => self.take_in(event)?,
                Err(TryRecvError::Disconnected) if self.files.is_none() => return Err(silent()),
                Err(_) => return Ok(()),
            }
        }
    }

    /// Waits for the thread to tell something.
    fn wait(&mut self) -> Result<(), Error> {
        #[cfg(test)]
        tests::about_to_wait();
        let event = self.events.recv().map_err(|_| silent())?;
        self.take_in(event)
    }

    fn take_in(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Written => {
                let bytes = self.flying.pop_front().map_or(0, |(_, bytes)| bytes);
                self.flying_bytes -= bytes;
            }
            Event::Linked => self.linked = true,
            Event::Through(files, phases) => {
                self.files = Some(files);
                self.phases.add_all(&phases);
            }
            Event::Failed(error) => return Err(error),
        }
        Ok(())
    }
}

fn silent() -> Error {
    Error::Fault("the thread of a checkpoint ended without a word; see the log for its panic".to_owned())
}

impl Drop for UnderWay {
    /// Gives the checkpoint up if it is not through, and waits for the thread to end: nothing is written afterwards.
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic there is reported by the run's own error.
            let _ = thread.join();
        }
    }
}
