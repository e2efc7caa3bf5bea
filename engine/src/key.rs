//! Keys: how a record finds the worker and the state row that belong to it. Owned here: the pinned hash, the key
//! groups and the table from group to worker. All three are part of the snapshot format.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// How many key groups there are. Fixed for the life of the state: snapshots with another number are refused.
pub const GROUPS: u16 = 256;

/// The name of the hash that maps keys to groups, as the manifest holds it.
pub const HASH: &str = "xxh3-64";

/// The pinned hash of a key's bytes (XXH3, 64 bits, seed 0).
pub fn hash(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}

/// One of [`GROUPS`] parts of the key space, the unit in which state moves between workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyGroup(pub u16);

impl KeyGroup {
    /// The group of a key by its hash.
    pub const fn of(hash: u64) -> Self {
        KeyGroup((hash % GROUPS as u64) as u16)
    }

    /// The worker that owns this group among `workers`.
    pub const fn worker(self, workers: usize) -> usize {
        self.0 as usize * workers / GROUPS as usize
    }

    /// All groups.
    pub fn all() -> Range<u16> {
        0..GROUPS
    }

    /// The groups that a worker owns: contiguous, disjoint, and together all of them.
    pub fn owned_by(worker: usize, workers: usize) -> Range<u16> {
        let groups = GROUPS as usize;
        let first = |worker: usize| (worker * groups).div_ceil(workers) as u16;
        first(worker)..first(worker + 1)
    }
}

/// A map with a fixed hash seed. Nothing may depend on its order of iteration.
#[expect(clippy::disallowed_types, reason = "the hasher is fixed here")]
pub type Map<K, V> = std::collections::HashMap<K, V, foldhash::fast::FixedState>;

/// A set with a fixed hash seed. Nothing may depend on its order of iteration.
#[expect(clippy::disallowed_types, reason = "the hasher is fixed here")]
pub type Set<K> = std::collections::HashSet<K, foldhash::fast::FixedState>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_pinned_one() {
        assert_eq!(hash(b""), 0x2d06_8005_38d3_94c2);
    }

    #[test]
    fn every_group_has_one_owner_at_every_worker_count() {
        for workers in 1..=GROUPS as usize {
            for worker in 0..workers {
                for group in KeyGroup::owned_by(worker, workers) {
                    assert_eq!(KeyGroup(group).worker(workers), worker);
                }
            }
            let owned: usize = (0..workers).map(|w| KeyGroup::owned_by(w, workers).len()).sum();
            assert_eq!(owned, GROUPS as usize);
        }
    }
}
