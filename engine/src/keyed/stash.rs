//! Records that wait for the frontier. Owned here: finding the ones that may be applied, in the order in which they
//! apply, without sorting the rest.

use super::Record;
use crate::time::Stamp;
use std::collections::BTreeMap;

/// Records by coarse buckets of 2^12 ms: whole buckets are taken and sorted, only the one at the frontier is split.
const BUCKET_BITS: u32 = 12;

/// Records of one operator on one worker whose time has not come.
pub struct Stash<R> {
    buckets: BTreeMap<u64, Bucket<R>>,
    len: usize,
}

struct Bucket<R> {
    /// Earliest stamp of its records. Exact, because capabilities are held for it.
    earliest: Stamp,
    records: Vec<R>,
}

impl<R: Record> Default for Stash<R> {
    fn default() -> Self {
        Stash { buckets: BTreeMap::new(), len: 0 }
    }
}

impl<R: Record> Stash<R> {
    /// Puts a record by.
    pub fn push(&mut self, record: R) {
        let stamp = record.at().stamp();
        let bucket =
            self.buckets.entry(stamp >> BUCKET_BITS).or_insert_with(|| Bucket { earliest: stamp, records: Vec::new() });
        bucket.earliest = bucket.earliest.min(stamp);
        bucket.records.push(record);
        self.len += 1;
    }

    /// Stamp of the earliest record.
    pub fn earliest(&self) -> Option<Stamp> {
        self.buckets.first_key_value().map(|(_, bucket)| bucket.earliest)
    }

    /// How many records wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the earliest bucket's records up to and including stamp `through`, sorted by (effective time, order);
    /// `None` when there is none so early. Call again until it is.
    pub fn take_through(&mut self, through: Stamp) -> Option<Vec<R>> {
        let mut entry = self.buckets.first_entry()?;
        if entry.get().earliest > through {
            return None;
        }
        let last_of_bucket = (*entry.key() << BUCKET_BITS) | ((1 << BUCKET_BITS) - 1);
        let mut taken = if last_of_bucket <= through {
            entry.remove().records
        } else {
            let bucket = entry.get_mut();
            let (now, later): (Vec<R>, Vec<R>) =
                std::mem::take(&mut bucket.records).into_iter().partition(|r| r.at().stamp() <= through);
            match later.iter().map(|r| r.at().stamp()).min() {
                Some(earliest) => *bucket = Bucket { earliest, records: later },
                None => drop(entry.remove()),
            }
            now
        };
        self.len -= taken.len();
        taken.sort_unstable_by(|a, b| a.at().cmp(&b.at()).then_with(|| a.order(b)));
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::RowKey;
    use crate::time::Micros;
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};
    use std::cmp::Ordering;

    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    struct Item(u64, u32);

    impl Record for Item {
        fn at(&self) -> Micros {
            Micros(self.0)
        }
        fn key(&self) -> RowKey<'_> {
            RowKey::of(b"")
        }
        fn order(&self, other: &Self) -> Ordering {
            self.1.cmp(&other.1)
        }
    }

    proptest! {
        #[test]
        fn takes_all_that_is_due_in_order_and_nothing_else(
            items in proptest::collection::vec((0u64..20_000_000, 0u32..9), 0..200),
            mut limits in proptest::collection::vec(0u64..21_000, 1..8),
        ) {
            limits.sort_unstable();
            let mut stash = Stash::default();
            for (at, order) in &items {
                stash.push(Item(*at, *order));
            }
            let mut rest: Vec<Item> = items.iter().map(|(at, order)| Item(*at, *order)).collect();
            rest.sort();
            for limit in limits {
                let mut taken = Vec::new();
                while let Some(mut part) = stash.take_through(limit) {
                    taken.append(&mut part);
                }
                let due = rest.iter().take_while(|item| item.at().stamp() <= limit).count();
                prop_assert_eq!(&taken[..], &rest[..due]);
                rest.drain(..due);
                prop_assert_eq!(stash.earliest(), rest.first().map(|item| item.at().stamp()));
                prop_assert_eq!(stash.len(), rest.len());
            }
        }
    }
}
