//! Which events a user had lately, so that a copy has no effect. Owned here: how ids are kept small and when they go.

use crate::limits::{ID_HORIZON, IDS_MAX};
use engine::time::{Micros, Span};
use serde::{Deserialize, Serialize};

/// Ids go together when the quarter of an hour in which they came have passed the horizon.
const SLICE: Span = Span::from_mins(15);

/// 48 bits of an id's hash. Among the ids of one user and hour, a chance meeting takes 10^10 users.
type Print = [u8; 6];

/// The ids of at least the last [`ID_HORIZON`] by effective time, at most [`IDS_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecentIds {
    /// The ids of all slices, oldest slice first, ascending within each.
    #[serde(with = "super::short")]
    prints: Vec<Print>,
    /// Number of the slice and how many ids it has, oldest first.
    #[serde(with = "super::short")]
    slices: Vec<(u32, u16)>,
}

/// What became of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It was there already.
    Copy,
    /// It is new; so many older ones had to go for room.
    New(u64),
}

impl RecentIds {
    /// Notes the id of an event that applies now.
    pub fn note(&mut self, id_hash: u64, at: Micros) -> Noted {
        self.expire(at);
        let slice = (at.0 / SLICE.0) as u32;
        let print = [0, 1, 2, 3, 4, 5].map(|byte| (id_hash >> (8 * byte)) as u8);
        if self.contains(&print) {
            return Noted::Copy;
        }
        if self.slices.last().is_none_or(|last| last.0 != slice) {
            self.slices.push((slice, 0));
        }
        let evicted = self.make_room();
        let last = self.slices.last_mut().expect("the slice of now is kept");
        let start = self.prints.len() - last.1 as usize;
        last.1 += 1;
        let place = start + self.prints[start..].partition_point(|other| *other < print);
        self.prints.insert(place, print);
        Noted::New(evicted)
    }

    /// How many ids are kept.
    pub fn count(&self) -> usize {
        self.prints.len()
    }

    /// Roughly the bytes on the heap.
    pub fn weight(&self) -> usize {
        self.prints.capacity() * size_of::<Print>() + self.slices.capacity() * size_of::<(u32, u16)>()
    }

    fn contains(&self, print: &Print) -> bool {
        let mut start = 0;
        self.slices.iter().any(|slice| {
            let ids = &self.prints[start..start + slice.1 as usize];
            start += slice.1 as usize;
            ids.binary_search(print).is_ok()
        })
    }

    fn expire(&mut self, at: Micros) {
        let passed = |slice: &(u32, u16)| (u64::from(slice.0) + 1) * SLICE.0 + ID_HORIZON.0 <= at.0;
        let count = self.slices.partition_point(passed);
        let ids: usize = self.slices.drain(..count).map(|slice| slice.1 as usize).sum();
        self.prints.drain(..ids);
    }

    /// Lets an eighth of the oldest go at once, so that a flood does not move all of them for each event.
    fn make_room(&mut self) -> u64 {
        if self.prints.len() < IDS_MAX {
            return 0;
        }
        let mut left = IDS_MAX / 8;
        for slice in &mut self.slices {
            let gone = left.min(slice.1 as usize);
            slice.1 -= gone as u16;
            left -= gone;
        }
        let now = self.slices.last().expect("the slice of now is kept").0;
        self.slices.retain(|slice| slice.1 > 0 || slice.0 == now);
        self.prints.drain(..IDS_MAX / 8);
        (IDS_MAX / 8) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn a_copy_within_the_horizon_is_seen_and_one_after_it_is_not() {
        let mut ids = RecentIds::default();
        let start = Micros::from_secs(1_000_000);
        assert_eq!(ids.note(7, start), Noted::New(0));
        assert_eq!(ids.note(7, start.plus(ID_HORIZON)), Noted::Copy);
        assert_eq!(ids.note(7, start.plus(ID_HORIZON).plus(SLICE)), Noted::New(0));
    }

    #[test]
    fn agrees_with_a_plain_list_on_random_streams() {
        for seed in 0..20u64 {
            let mut dice = ChaCha8Rng::seed_from_u64(seed);
            let (mut ids, mut list) = (RecentIds::default(), Vec::<(u64, u64)>::new());
            let mut at = 1_700_000_000_000_000;
            for _ in 0..3_000 {
                at += dice.random_range(0..20_000_000u64);
                let id = dice.random_range(0..400u64) * 0x9e37_79b9;
                list.retain(|(_, then)| then / SLICE.0 * SLICE.0 + SLICE.0 + ID_HORIZON.0 > at);
                let known = list.iter().any(|(other, _)| *other == id);
                assert_eq!(ids.note(id, Micros(at)) == Noted::Copy, known, "seed {seed}");
                if !known {
                    list.push((id, at));
                }
                assert_eq!(ids.prints.len(), list.len(), "seed {seed}");
            }
        }
    }

    #[test]
    fn a_flood_is_bounded_and_counted() {
        let (mut ids, mut evicted) = (RecentIds::default(), 0);
        let mut dice = ChaCha8Rng::seed_from_u64(1);
        for n in 0..20_000u64 {
            let Noted::New(gone) = ids.note(dice.next_u64(), Micros::from_secs(1_000_000 + n / 100)) else { continue };
            evicted += gone;
            assert!(ids.prints.len() <= IDS_MAX);
        }
        assert_eq!(evicted as usize + ids.prints.len(), 20_000);
    }
}
