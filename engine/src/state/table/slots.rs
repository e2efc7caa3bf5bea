//! The rows in memory. Owned here: finding a row by its name, which rows the store has yet to hear of, how much memory
//! they take, and which is to go next. Not owned here: the store.

use super::layout;
use crate::error::Error;
use crate::key::{KeyGroup, Map};
use crate::state::{Row, RowKey, codec};
use crate::time::Stamp;

/// No slot: the end of a chain, or no place in a list.
const NONE: u32 = u32::MAX;

/// Slots that there is always room for.
const ROOM_MIN: usize = 1_024;

/// One row in memory, or the knowledge that there is none.
pub(super) struct Slot<R> {
    name: Box<[u8]>,
    hash: u64,
    /// The row, if there is one.
    pub row: Option<R>,
    /// Event time of the last write.
    pub touched: Stamp,
    /// The last step that used this slot.
    pub step: u64,
    /// Memory taken, as last measured.
    size: usize,
    /// The next slot with the same hash.
    next: u32,
    /// Where this slot stands in a list, if it is in one.
    place: u32,
    /// Which of the two lists that is.
    list: u8,
    group: KeyGroup,
    /// Whether the store holds a value for this row.
    stored: bool,
    /// The second chance: used since the hand last passed.
    used: bool,
}

/// A key of the store, and its new value or `None` to delete.
pub(super) type Entry = (Vec<u8>, Option<Vec<u8>>);

impl<R: Row> Slot<R> {
    fn is(&self, key: RowKey<'_>) -> bool {
        self.group == key.group && *self.name == *key.bytes
    }

    /// What the store has to be told of this row.
    pub fn entry(&self) -> Result<Option<Entry>, Error> {
        let value = match &self.row {
            Some(row) => {
                let mut value = Vec::with_capacity(codec::HEADER + size_of::<R>());
                codec::encode(row, self.touched, &mut value)?;
                Some(value)
            }
            None if self.stored => None,
            None => return Ok(None),
        };
        let mut key = Vec::new();
        layout::push_row_key(self.group, &self.name, &mut key);
        Ok(Some((key, value)))
    }

    /// Memory of the slot, its name, its row, and its share of the map and the lists.
    fn measure(&self) -> usize {
        let share = size_of::<(u64, u32)>() + 2 * size_of::<u32>();
        // A row's weight counts the row itself, which lies within the slot.
        let beside = size_of::<Self>().saturating_sub(size_of::<R>());
        share + beside + self.name.len() + self.row.as_ref().map_or(size_of::<R>(), R::weight)
    }
}

/// The slots of a table.
pub(super) struct Slots<R> {
    /// From a hash to the first slot of the chain of those that have it.
    heads: Map<u64, u32>,
    slots: Vec<Slot<R>>,
    /// Two lists of slots that the store has yet to hear of, each slot at most once: the dirty ones, and those that were
    /// dirty when the table was frozen. A slot is in one of them at most: a frozen one is told before it is changed.
    lists: [Vec<u32>; 2],
    /// Which list is that of the dirty ones. Freezing swaps the lists.
    dirty: u8,
    hand: usize,
    held: usize,
}

impl<R: Row> Slots<R> {
    pub fn new() -> Self {
        Slots { heads: Map::default(), slots: Vec::new(), lists: [Vec::new(), Vec::new()], dirty: 0, hand: 0, held: 0 }
    }

    /// Memory taken by all slots, as last measured.
    pub fn held(&self) -> usize {
        self.held
    }

    /// The slot of a row. Names decide; of rows with equal hash there may be several.
    pub fn find(&self, key: RowKey<'_>) -> Option<u32> {
        let mut at = *self.heads.get(&key.hash)?;
        while at != NONE {
            let slot = self.get(at);
            if slot.is(key) {
                return Some(at);
            }
            at = slot.next;
        }
        None
    }

    /// Adds a row that [`Slots::find`] does not find, clean.
    pub fn insert(&mut self, key: RowKey<'_>, row: Option<R>, touched: Stamp, stored: bool) -> u32 {
        let at = u32::try_from(self.slots.len()).expect("memory ends before four billion rows");
        let next = self.heads.insert(key.hash, at).unwrap_or(NONE);
        let mut slot = Slot {
            name: key.bytes.into(),
            hash: key.hash,
            row,
            touched,
            step: 0,
            size: 0,
            next,
            place: NONE,
            list: 0,
            group: key.group,
            stored,
            used: true,
        };
        slot.size = slot.measure();
        self.held += slot.size;
        self.slots.push(slot);
        at
    }

    /// Takes a slot out. The last slot moves to its place.
    pub fn remove(&mut self, at: u32) -> Slot<R> {
        let Slot { hash, next, .. } = *self.get(at);
        self.relink(hash, at, next);
        self.unlist(at);
        let slot = self.slots.swap_remove(at as usize);
        self.held -= slot.size;
        let last = self.slots.len() as u32;
        if at != last {
            let Slot { hash, place, list, .. } = *self.get(at);
            self.relink(hash, last, at);
            if place != NONE {
                self.lists[list as usize][place as usize] = at;
            }
        }
        slot
    }

    /// Makes what leads to slot `from`, in the chain of a hash, lead to slot `to`.
    fn relink(&mut self, hash: u64, from: u32, to: u32) {
        let mut before = self.heads[&hash];
        if before == from {
            match to {
                NONE => self.heads.remove(&hash),
                to => self.heads.insert(hash, to),
            };
            return;
        }
        while self.get(before).next != from {
            before = self.get(before).next;
        }
        self.get_mut(before).next = to;
    }

    /// Gives memory back that an unusually large step left behind.
    pub fn shrink(&mut self) {
        let room = 2 * self.slots.len() + ROOM_MIN;
        if self.slots.capacity() > 2 * room {
            self.slots.shrink_to(room);
            self.heads.shrink_to(room);
            self.lists.iter_mut().for_each(|list| list.shrink_to(room));
        }
    }

    pub fn get(&self, at: u32) -> &Slot<R> {
        &self.slots[at as usize]
    }

    pub fn get_mut(&mut self, at: u32) -> &mut Slot<R> {
        &mut self.slots[at as usize]
    }

    /// Measures a slot anew after its step, and gives it its second chance.
    pub fn settle(&mut self, at: u32) {
        let slot = self.get_mut(at);
        let before = slot.size;
        slot.size = slot.measure();
        slot.used = true;
        self.held = self.held - before + self.get(at).size;
    }

    /// The dirty slots, in no order that means anything.
    pub fn dirty(&self) -> &[u32] {
        &self.lists[self.dirty as usize]
    }

    /// The slots that were dirty when the table was frozen, and that the store was not told of since.
    pub fn frozen(&self) -> &[u32] {
        &self.lists[1 - self.dirty as usize]
    }

    pub fn is_dirty(&self, at: u32) -> bool {
        let slot = self.get(at);
        slot.place != NONE && slot.list == self.dirty
    }

    pub fn is_frozen(&self, at: u32) -> bool {
        let slot = self.get(at);
        slot.place != NONE && slot.list != self.dirty
    }

    /// The dirty slots become frozen ones, at the cost of two words. None is frozen before.
    pub fn freeze(&mut self) {
        self.dirty = 1 - self.dirty;
    }

    /// Adds a slot that is not frozen to the dirty ones, and gives it to be changed.
    pub fn mark_dirty(&mut self, at: u32) -> &mut Slot<R> {
        let list = &mut self.lists[self.dirty as usize];
        let slot = &mut self.slots[at as usize];
        if slot.place == NONE {
            (slot.place, slot.list) = (list.len() as u32, self.dirty);
            list.push(at);
        }
        slot
    }

    /// Takes a slot out of the list that it is in, if any.
    fn unlist(&mut self, at: u32) {
        let slot = self.get_mut(at);
        let (place, list) = (std::mem::replace(&mut slot.place, NONE), slot.list as usize);
        if place != NONE {
            self.lists[list].swap_remove(place as usize);
            if let Some(&moved) = self.lists[list].get(place as usize) {
                self.get_mut(moved).place = place;
            }
        }
    }

    /// The store has been told of this slot's row, or will be before anything newer.
    pub fn mark_stored(&mut self, at: u32) {
        self.unlist(at);
        let slot = self.get_mut(at);
        slot.stored = slot.row.is_some();
    }

    /// The slot to remove next: the first from the hand on that was not used since the hand last passed it.
    pub fn victim(&mut self) -> Option<u32> {
        // Twice round is enough: on the first round all second chances are taken.
        for _ in 0..2 * self.slots.len() {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            if !std::mem::take(&mut self.slots[self.hand].used) {
                return Some(self.hand as u32);
            }
            self.hand += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::conformance::Sample;

    fn key(hash: u64, bytes: &[u8]) -> RowKey<'_> {
        RowKey { group: KeyGroup(3), hash, bytes }
    }

    fn sample() -> Option<Sample> {
        Some(Sample(vec![0; 10]))
    }

    #[test]
    fn any_of_a_chain_can_go() {
        for gone in 0..3 {
            let mut slots = Slots::new();
            let names: [&[u8]; 3] = [b"a", b"b", b"c"];
            let places = names.map(|name| slots.insert(key(7, name), sample(), 0, false));
            slots.remove(places[gone]);
            for (index, name) in names.into_iter().enumerate() {
                let found = slots.find(key(7, name)).map(|at| slots.get(at).name.to_vec());
                assert_eq!(found, (index != gone).then(|| name.to_vec()));
            }
        }
    }

    #[test]
    fn nothing_is_held_after_everything_left() {
        let mut slots = Slots::new();
        let places: Vec<_> =
            (0..50_u8).map(|n| slots.insert(key(u64::from(n % 5), &[n]), sample(), 0, false)).collect();
        for &at in &places {
            slots.mark_dirty(at);
            slots.get_mut(at).row = None;
            slots.settle(at);
        }
        slots.shrink();
        while let Some(at) = slots.victim() {
            let name = slots.get(at).name.clone();
            assert!(slots.is_dirty(at));
            slots.remove(at);
            assert_eq!(slots.find(key(u64::from(name[0] % 5), &name)), None);
        }
        assert_eq!((slots.held(), slots.dirty().len(), slots.heads.len()), (0, 0, 0));
        assert_eq!(slots.victim(), None);
    }

    #[test]
    fn a_used_slot_has_a_second_chance() {
        let mut slots = Slots::new();
        let places: Vec<_> = (0..3_u8).map(|n| slots.insert(key(u64::from(n), &[n]), sample(), 0, false)).collect();
        assert_eq!(slots.victim(), Some(places[0])); // the first round took all second chances
        slots.settle(places[0]);
        slots.settle(places[1]);
        assert_eq!(slots.victim(), Some(places[2]));
    }

    #[test]
    fn room_is_given_back() {
        let mut slots = Slots::new();
        for n in 0..20_000_u32 {
            slots.insert(key(u64::from(n), &n.to_be_bytes()), sample(), 0, false);
        }
        while slots.slots.len() > 10 {
            slots.remove(0);
        }
        slots.shrink();
        assert!(slots.slots.capacity() < 3 * ROOM_MIN, "{}", slots.slots.capacity());
    }

    #[test]
    fn the_dirty_list_holds_each_dirty_slot_once() {
        let mut slots = Slots::new();
        let places: Vec<_> = (0..4_u8).map(|n| slots.insert(key(u64::from(n), &[n]), sample(), 0, false)).collect();
        for at in [0, 1, 2, 3, 1, 0] {
            slots.mark_dirty(places[at]);
        }
        slots.mark_stored(places[0]);
        slots.remove(places[1]);
        let mut dirty: Vec<_> = slots.dirty().iter().map(|&at| slots.get(at).name[0]).collect();
        dirty.sort_unstable();
        assert_eq!(dirty, [2, 3]);
    }
}
