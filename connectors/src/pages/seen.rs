//! Which entries were handed on, as far back as they are asked for again.

use super::Entry;
use std::collections::BTreeSet;

/// Most entries that are remembered; the oldest are forgotten first. One that is forgotten is handed on once more.
const ENTRIES_MAX: usize = 1_000_000;

/// Entries by their second and id.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeSet<(u64, u64)>);

impl Seen {
    pub(super) fn has(&self, entry: &Entry) -> bool {
        self.0.contains(&(entry.at, entry.id))
    }

    /// False if it was there.
    pub(super) fn add(&mut self, entry: &Entry) -> bool {
        let new = self.0.insert((entry.at, entry.id));
        if self.0.len() > ENTRIES_MAX {
            self.0.pop_first();
        }
        new
    }

    /// Forgets the entries before a second.
    pub(super) fn forget_before(&mut self, second: u64) {
        self.0 = self.0.split_off(&(second, 0));
    }
}
