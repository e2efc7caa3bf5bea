//! The rows in memory. Owned here: finding a row by its name, which rows the store has yet to hear of, how much memory
//! they take, and which is to go next. Not owned here: the store.

use super::layout;
use crate::error::Error;
use crate::key::{KeyGroup, Map};
use crate::state::{Row, RowKey, codec};
use crate::time::Stamp;

/// No slot: the end of a chain, or no place in the list of dirty slots.
const NONE: u32 = u32::MAX;

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
    /// Where this slot stands in the list of dirty ones, if it is.
    dirty_at: u32,
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

    pub fn is_dirty(&self) -> bool {
        self.dirty_at != NONE
    }

    /// What the store has to be told of this row.
    pub fn entry(&self) -> Result<Option<Entry>, Error> {
        let value = match &self.row {
            Some(row) => {
                let mut value = Vec::with_capacity(codec::HEADER + row.weight());
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
        let beside = size_of::<Option<Self>>().saturating_sub(size_of::<R>());
        share + beside + self.name.len() + self.row.as_ref().map_or(size_of::<R>(), R::weight)
    }
}

/// The slots of a table.
pub(super) struct Slots<R> {
    /// From a hash to the first slot of the chain of those that have it.
    heads: Map<u64, u32>,
    slots: Vec<Option<Slot<R>>>,
    free: Vec<u32>,
    /// Each dirty slot once. A snapshot beside the flow can take this list and copy those of its slots that are written
    /// again before it is through.
    dirty: Vec<u32>,
    hand: usize,
    held: usize,
}

impl<R: Row> Slots<R> {
    pub fn new() -> Self {
        Slots { heads: Map::default(), slots: Vec::new(), free: Vec::new(), dirty: Vec::new(), hand: 0, held: 0 }
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
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("memory ends before four billion rows")
        });
        let next = self.heads.insert(key.hash, at).unwrap_or(NONE);
        let mut slot = Slot {
            name: key.bytes.into(),
            hash: key.hash,
            row,
            touched,
            step: 0,
            size: 0,
            next,
            dirty_at: NONE,
            group: key.group,
            stored,
            used: true,
        };
        slot.size = slot.measure();
        self.held += slot.size;
        self.slots[at as usize] = Some(slot);
        at
    }

    /// Takes a slot out.
    pub fn remove(&mut self, at: u32) -> Slot<R> {
        self.unlink(at);
        let dirty_at = self.get(at).dirty_at;
        self.mark_clean(at);
        let mut slot = self.slots[at as usize].take().expect("the slot was found just above");
        slot.dirty_at = dirty_at;
        self.held -= slot.size;
        self.free.push(at);
        slot
    }

    fn unlink(&mut self, at: u32) {
        let Slot { hash, next, .. } = *self.get(at);
        let mut before = self.heads[&hash];
        if before == at {
            match next {
                NONE => self.heads.remove(&hash),
                next => self.heads.insert(hash, next),
            };
            return;
        }
        while self.get(before).next != at {
            before = self.get(before).next;
        }
        self.get_mut(before).next = next;
    }

    pub fn get(&self, at: u32) -> &Slot<R> {
        self.slots[at as usize].as_ref().expect("only slots in use are referred to")
    }

    pub fn get_mut(&mut self, at: u32) -> &mut Slot<R> {
        self.slots[at as usize].as_mut().expect("only slots in use are referred to")
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
        &self.dirty
    }

    pub fn mark_dirty(&mut self, at: u32) {
        let place = self.dirty.len() as u32;
        let slot = self.get_mut(at);
        if !slot.is_dirty() {
            slot.dirty_at = place;
            self.dirty.push(at);
        }
    }

    fn mark_clean(&mut self, at: u32) {
        let place = std::mem::replace(&mut self.get_mut(at).dirty_at, NONE);
        if place != NONE {
            self.dirty.swap_remove(place as usize);
            if let Some(&moved) = self.dirty.get(place as usize) {
                self.get_mut(moved).dirty_at = place;
            }
        }
    }

    /// The store has been told of this slot's row.
    pub fn mark_stored(&mut self, at: u32) {
        self.mark_clean(at);
        let slot = self.get_mut(at);
        slot.stored = slot.row.is_some();
    }

    /// The slot to evict next: the first under the hand that was not used since the hand last passed it.
    pub fn victim(&mut self) -> Option<u32> {
        // Twice round is enough: on the first round all second chances are taken.
        for _ in 0..2 * self.slots.len() {
            let at = self.hand;
            self.hand = (self.hand + 1) % self.slots.len();
            if let Some(slot) = &mut self.slots[at]
                && !std::mem::take(&mut slot.used)
            {
                return Some(at as u32);
            }
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
                assert_eq!(slots.find(key(7, name)), (index != gone).then_some(places[index]));
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
        for at in places {
            assert!(slots.remove(at).is_dirty());
        }
        assert_eq!((slots.held(), slots.dirty().len(), slots.heads.len()), (0, 0, 0));
        assert_eq!(slots.victim(), None);
    }

    #[test]
    fn a_used_slot_has_a_second_chance() {
        let mut slots = Slots::new();
        let places: Vec<_> = (0..3_u8).map(|n| slots.insert(key(u64::from(n), &[n]), sample(), 0, false)).collect();
        assert_eq!(slots.victim(), Some(places[0])); // the first round took all second chances
        slots.settle(places[1]);
        assert_eq!(slots.victim(), Some(places[2]));
    }

    #[test]
    fn the_dirty_list_holds_each_dirty_slot_once() {
        let mut slots = Slots::new();
        let places: Vec<_> = (0..4_u8).map(|n| slots.insert(key(u64::from(n), &[n]), sample(), 0, false)).collect();
        for at in [0, 1, 2, 3, 1, 0] {
            slots.mark_dirty(places[at]);
        }
        slots.mark_stored(places[0]);
        slots.remove(places[3]);
        let mut dirty = slots.dirty().to_vec();
        dirty.sort_unstable();
        assert_eq!(dirty, [places[1], places[2]]);
    }
}
