//! Which snapshots are kept: the newest ones, and those with a name.

use crate::time::Stamp;
use std::collections::BTreeSet;

/// The numbers of the snapshots that may go, of all that there are: (number, cut), ascending. Kept are those with a
/// name and the newest one of each of the `keep` last cuts. A job that starts again and again from one cut writes a
/// manifest of it each time; these must not push out what there is to fall back on.
pub fn surplus(snapshots: &[(u64, Stamp)], named: &BTreeSet<u64>, keep: usize) -> Vec<u64> {
    let mut cuts = BTreeSet::new();
    let mut surplus = Vec::new();
    for (id, at) in snapshots.iter().rev() {
        let kept = cuts.len() < keep && cuts.insert(*at);
        if !kept && !named.contains(id) {
            surplus.push(*id);
        }
    }
    surplus.reverse();
    surplus
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_each_of_the_last_cuts_and_the_named_ones_are_kept() {
        let none = BTreeSet::new();
        let snapshots = [(0, 0), (1, 10), (2, 20), (3, 30), (4, 30), (5, 30)];
        assert_eq!(surplus(&snapshots, &none, 3), [0, 3, 4]);
        assert_eq!(surplus(&snapshots, &none, 1), [0, 1, 2, 3, 4]);
        assert_eq!(surplus(&snapshots, &BTreeSet::from([0, 3]), 1), [1, 2, 4]);
        assert_eq!(surplus(&snapshots, &none, 9), [3, 4]);
        assert_eq!(surplus(&[], &none, 3), [0; 0]);
    }

    #[test]
    fn a_cut_that_went_back_counts_as_one_of_its_own() {
        // After a fall back the cuts do not ascend.
        assert_eq!(surplus(&[(1, 10), (2, 20), (3, 10), (4, 15)], &BTreeSet::new(), 3), [1]);
    }
}
