//! The table: decoded rows in a bounded write-back cache in front of a byte store. Owned here: which rows are in
//! memory, when the store hears of a change, when a row has expired, and where timers are kept. Not owned here: what
//! is in a row, and the order in which rows are read and written.
//!
//! A hit costs one lookup by the key's hash and no allocation. Changed rows stay in memory until they are evicted, the
//! table is flushed or a checkpoint is taken; the store in between is behind, which is as it should be: the last
//! snapshot is what survives. A checkpoint is taken beside the flow, see [`frozen`]. After an error the table is not to
//! be used any further.

mod background;
pub mod frozen;
mod layout;
mod slots;
#[cfg(test)]
mod tests;

use super::store::{ByteStore, Writes};
use super::{Row, RowKey, Timer, codec};
use crate::error::Error;
use crate::fault::{Faults, Planted};
use crate::key::{GROUPS, KeyGroup};
use crate::limits::{BESIDE_MIN, BESIDE_SHARE};
use crate::time::{Micros, Stamp};
pub use background::{Beside, Keep, Wake, Work};
use frozen::UnderWay;
use slots::{Entry, Slots};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The size at which a batch of changes goes to the store.
const BATCH_BYTES: usize = 4 << 20;

/// How many rows are read ahead at a time.
const PREFETCH_ROWS: usize = 4_096;

/// How many changes of timers wait for the next flush before they go to the store on their own.
const TIMERS_MAX: usize = 16_384;

/// What a table has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reads and writes that found their row in memory, read ahead or not.
    pub hits: u64,
    /// Rows that had to be read from the store, ahead or at once.
    pub misses: u64,
    /// Rows that left memory to make room.
    pub evictions: u64,
    /// Bytes that the rows in memory take now, by [`Row::weight`] and what is around them.
    pub held: u64,
}

/// Decoded rows in front of a byte store. See the module.
///
/// Between two calls of [`Table::end_step`] lies a step. What a step touches stays in memory until it ends, also beyond
/// the budget: who calls must bound how many rows a step touches. Afterwards the table is within its budget again.
pub struct Table<R: Row> {
    /// Before the store, so that its thread has ended when the store is closed.
    under_way: Option<UnderWay>,
    store: Arc<dyn ByteStore>,
    slots: Slots<R>,
    budget: usize,
    /// The most that may lie beside the rows while a checkpoint is under way, on each of its two ways.
    beside_max: usize,
    now: Micros,
    step: u64,
    /// The slots that this step has used.
    stepped: Vec<u32>,
    /// Timers that the store has yet to hear of: set or cleared.
    timers: BTreeMap<Timer, bool>,
    counters: Counters,
    faults: Faults,
}

impl<R: Row> Table<R> {
    /// A table over a store, at the beginning of time, with nothing in memory. `budget_bytes` bounds the rows in memory
    /// between steps; while a checkpoint is under way a share of it, see [`BESIDE_SHARE`], may lie beside them.
    pub fn new(store: Arc<dyn ByteStore>, budget_bytes: usize) -> Self {
        Table {
            under_way: None,
            store,
            slots: Slots::new(),
            budget: budget_bytes,
            beside_max: (budget_bytes / BESIDE_SHARE).max(BESIDE_MIN),
            now: Micros::ZERO,
            step: 1,
            stepped: Vec::new(),
            timers: BTreeMap::new(),
            counters: Counters::default(),
            faults: Faults::default(),
        }
    }

    /// Moves event time on: rows written from now on carry this time, and rows that have expired by it read as absent.
    /// Time does not go back; an earlier point changes nothing.
    pub fn set_now(&mut self, at: Micros) {
        self.now = self.now.max(at);
    }

    /// Reads rows into memory that will be used within this step, those that are missing, in sorted batches.
    ///
    /// # Errors
    /// Those of the store, and [`Error::Corrupt`] for a value that cannot be decoded.
    pub fn prefetch(&mut self, keys: &[RowKey<'_>]) -> Result<(), Error> {
        let mut missing: Vec<_> = keys.iter().copied().filter(|key| self.slots.find(*key).is_none()).collect();
        missing.sort_unstable_by(|a, b| (a.group, a.bytes).cmp(&(b.group, b.bytes)));
        missing.dedup_by(|a, b| (a.group, a.bytes) == (b.group, b.bytes));
        for keys in missing.chunks(PREFETCH_ROWS) {
            self.load_sorted(keys)?;
        }
        Ok(())
    }

    /// The row of a key, if there is one that has not expired.
    ///
    /// # Errors
    /// As [`Table::prefetch`].
    pub fn read(&mut self, key: RowKey<'_>) -> Result<Option<&R>, Error> {
        let at = self.locate(key)?;
        Ok(self.slots.get(at).row.as_ref())
    }

    /// The row of a key, to be changed. `None` is a row that does not exist or has expired; setting `Some` makes it,
    /// setting `None` deletes it. Either way it counts as written now.
    ///
    /// # Errors
    /// As [`Table::prefetch`].
    pub fn write(&mut self, key: RowKey<'_>) -> Result<&mut Option<R>, Error> {
        let at = self.locate(key)?;
        if self.slots.is_frozen(at) && !self.faults.has(Planted::CopiesNothing) {
            self.preserve(at)?;
        }
        let slot = self.slots.mark_dirty(at);
        slot.touched = self.now.stamp();
        Ok(&mut slot.row)
    }

    /// The row of a key as the store would hold it, if there is one that has not expired at `now`. Looking changes
    /// nothing: the row does not come into memory and is no part of a step.
    ///
    /// # Errors
    /// Those of the store, and as [`Table::end_step`].
    pub fn peek(&self, key: RowKey<'_>, now: Micros) -> Result<Option<Vec<u8>>, Error> {
        let value = match self.slots.find(key) {
            Some(at) => self.slots.get(at).entry()?.and_then(|(_, value)| value),
            None => {
                let mut store_key = Vec::new();
                layout::push_row_key(key.group, key.bytes, &mut store_key);
                match self.under_way.as_ref().and_then(|under_way| under_way.find(&store_key, false)) {
                    Some(value) => value.map(<[u8]>::to_vec),
                    None => self.store.get(&store_key)?,
                }
            }
        };
        let now = self.now.max(now);
        let expired = |value: &Vec<u8>| codec::touched(value).is_some_and(|touched| has_expired::<R>(touched, now));
        Ok(value.filter(|value| !expired(value)))
    }

    /// Ends a step: measures the rows it used, and evicts rows until the table is within its budget.
    ///
    /// # Errors
    /// Those of the store, and [`Error::Fault`] for a row that is too large to be stored.
    pub fn end_step(&mut self) -> Result<(), Error> {
        for at in self.stepped.drain(..) {
            self.slots.settle(at);
        }
        self.step += 1;
        if let Some(ttl) = R::TTL
            && self.is_open(Planted::ExpiresEarly)
        {
            self.store.expire_before(self.now.minus(ttl).stamp());
        }
        if self.timers.len() > TIMERS_MAX && self.is_open(Planted::WritesEarly) {
            self.flush_timers()?;
        }
        self.evict()?;
        self.make_room()
    }

    /// Tells the store of all changes. While a checkpoint is under way this waits until its files exist.
    ///
    /// # Errors
    /// As [`Table::end_step`].
    pub fn flush(&mut self) -> Result<(), Error> {
        self.wait_until_open()?;
        let mut batch = Batch::default();
        while let Some(&at) = self.slots.dirty().last() {
            batch.push(self.slots.get(at).entry()?, &*self.store)?;
            self.slots.mark_stored(at);
        }
        batch.write(&*self.store)?;
        self.flush_timers()
    }

    /// Visits all rows that have not expired, in order of group, then name. They do not come into memory. An error of
    /// `visit` ends the scan.
    ///
    /// # Errors
    /// As [`Table::prefetch`] and [`Table::end_step`], since changes are flushed first.
    pub fn scan(&mut self, mut visit: impl FnMut(RowKey<'_>, &R) -> Result<(), Error>) -> Result<(), Error> {
        self.flush()?;
        for group in (0..GROUPS).map(KeyGroup) {
            self.store.scan(&layout::row_prefix(group), &mut |key, value| {
                let (row, touched) = codec::decode(value)?;
                if has_expired::<R>(touched, self.now) {
                    return Ok(());
                }
                visit(RowKey::under(group, layout::row_name(key)), &row)
            })?;
        }
        Ok(())
    }

    /// Keeps a timer. The store hears of it with the next flush.
    pub fn put_timer(&mut self, timer: &Timer) {
        self.timers.insert(timer.clone(), true);
    }

    /// Forgets a timer. The store hears of it with the next flush.
    pub fn delete_timer(&mut self, timer: &Timer) {
        self.timers.insert(timer.clone(), false);
    }

    /// Keeps the timers that are set (`true`) and forgets those that are cleared. The store hears of it with the next
    /// flush.
    pub fn change_timers(&mut self, mut changes: BTreeMap<Timer, bool>) {
        match self.timers.is_empty() {
            true => self.timers = changes,
            false => self.timers.append(&mut changes),
        }
    }

    /// All timers kept, in order of time, group, name and tag.
    ///
    /// # Errors
    /// Those of the store, and [`Error::Corrupt`] for a key that is not one of a timer.
    pub fn timers(&self) -> Result<Vec<Timer>, Error> {
        let mut timers = BTreeSet::new();
        let unreadable = || Error::Corrupt("a stored timer's key is cut off; restore an earlier snapshot".to_owned());
        for group in (0..GROUPS).map(KeyGroup) {
            self.store.scan(&layout::timer_prefix(group), &mut |key, _| {
                timers.insert(layout::timer(key).ok_or_else(unreadable)?);
                Ok(())
            })?;
        }
        let flying = self.under_way.iter().flat_map(UnderWay::timers);
        for (timer, set) in flying.chain(self.timers.iter().map(|(timer, set)| (timer, *set))) {
            match set {
                true => timers.insert(timer.clone()),
                false => timers.remove(timer),
            };
        }
        Ok(timers.into_iter().collect())
    }

    /// What this table has done, and what it holds.
    pub fn counters(&self) -> Counters {
        Counters { held: self.slots.held() as u64, ..self.counters }
    }

    /// The slot of a row, read from the store if need be, part of this step, and empty if the row has expired.
    fn locate(&mut self, key: RowKey<'_>) -> Result<u32, Error> {
        let at = match self.slots.find(key) {
            Some(at) => {
                self.counters.hits += 1;
                at
            }
            None => self.load(key)?,
        };
        let slot = self.slots.get_mut(at);
        if slot.step != self.step {
            slot.step = self.step;
            self.stepped.push(at);
        }
        if slot.row.is_some() && has_expired::<R>(slot.touched, self.now) {
            if self.slots.is_frozen(at) {
                self.preserve(at)?; // it has not expired at the cut
            }
            self.slots.get_mut(at).row = None;
        }
        Ok(at)
    }

    fn load(&mut self, key: RowKey<'_>) -> Result<u32, Error> {
        let mut store_key = Vec::new();
        layout::push_row_key(key.group, key.bytes, &mut store_key);
        let loaded = match self.beside(&store_key)? {
            Some(loaded) => loaded,
            None => Loaded::decode(self.store.get(&store_key)?.as_deref())?,
        };
        Ok(self.admit(key, loaded))
    }

    /// The row of a key of the store, if the store has yet to hear of it.
    fn beside(&self, store_key: &[u8]) -> Result<Option<Loaded<R>>, Error> {
        let Some(under_way) = &self.under_way else { return Ok(None) };
        under_way.find(store_key, self.faults.has(Planted::ForgetsFlying)).map(Loaded::decode).transpose()
    }

    /// Reads rows in one go. `keys` ascend by group and name, and none is in memory.
    fn load_sorted(&mut self, keys: &[RowKey<'_>]) -> Result<(), Error> {
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for key in keys {
            layout::push_row_key(key.group, key.bytes, &mut bytes);
            ends.push(bytes.len());
        }
        let store_keys: Vec<_> = ends.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
        let beside = store_keys.iter().map(|key| self.beside(key)).collect::<Result<Vec<_>, _>>()?;
        let asked: Vec<_> =
            store_keys.iter().zip(&beside).filter(|(_, beside)| beside.is_none()).map(|(key, _)| *key).collect();
        let mut answers = self.store.get_sorted(&asked)?.into_iter();
        for (key, beside) in keys.iter().zip(beside) {
            let loaded = match beside {
                Some(loaded) => loaded,
                None => Loaded::decode(answers.next().flatten().as_deref())?,
            };
            self.admit(*key, loaded);
        }
        Ok(())
    }

    /// Takes what the store holds of a row into memory and into this step, also that it holds nothing.
    fn admit(&mut self, key: RowKey<'_>, loaded: Loaded<R>) -> u32 {
        self.counters.misses += 1;
        let stored = loaded.row.is_some();
        let at = self.slots.insert(key, loaded.row, loaded.touched, stored);
        self.slots.get_mut(at).step = self.step;
        self.stepped.push(at);
        at
    }

    fn evict(&mut self) -> Result<(), Error> {
        let mut batch = Batch::default();
        while self.slots.held() > self.budget
            && let Some(at) = self.slots.victim()
        {
            if self.slots.is_frozen(at) {
                self.preserve(at)?;
            }
            let dirty = self.slots.is_dirty(at);
            let slot = self.slots.remove(at);
            self.counters.evictions += 1;
            let Some(entry) = (if dirty { slot.entry()? } else { None }) else { continue };
            let open = self.is_open(Planted::WritesEarly);
            match &mut self.under_way {
                Some(under_way) if !open => {
                    under_way.park(entry);
                    continue;
                }
                Some(under_way) => under_way.forget(&entry.0),
                None => {}
            }
            batch.push(Some(entry), &*self.store)?;
        }
        self.slots.shrink();
        batch.write(&*self.store)
    }

    fn flush_timers(&mut self) -> Result<(), Error> {
        background::write_timers(&*self.store, &std::mem::take(&mut self.timers))
    }
}

/// What the store holds of a row, or will hold.
struct Loaded<R> {
    row: Option<R>,
    touched: Stamp,
}

impl<R: Row> Loaded<R> {
    fn decode(value: Option<&[u8]>) -> Result<Self, Error> {
        let decoded = value.map(codec::decode).transpose()?;
        Ok(decoded.map_or(Loaded { row: None, touched: 0 }, |(row, touched)| Loaded { row: Some(row), touched }))
    }
}

/// Whether a row written at `touched` reads as absent at `now`.
fn has_expired<R: Row>(touched: Stamp, now: Micros) -> bool {
    R::TTL.is_some_and(|ttl| Micros::from_stamp(touched).plus(ttl) < now)
}

/// Changes of different rows on their way to the store, in pieces of about [`BATCH_BYTES`].
#[derive(Default)]
struct Batch {
    entries: Vec<Entry>,
    bytes: usize,
}

impl Batch {
    fn push(&mut self, entry: Option<Entry>, store: &dyn ByteStore) -> Result<(), Error> {
        let Some((key, value)) = entry else { return Ok(()) };
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        self.entries.push((key, value));
        if self.bytes >= BATCH_BYTES { self.write(store) } else { Ok(()) }
    }

    /// Writes what has been collected. In order of keys, which is what a store takes up fastest.
    fn write(&mut self, store: &dyn ByteStore) -> Result<(), Error> {
        if self.entries.is_empty() {
            return Ok(());
        }
        let Batch { mut entries, .. } = std::mem::take(self);
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        store.write(&Writes { entries })
    }
}
