//! Versions that orgs took back: several users who go down to one version within weeks are no attack but a rollout that
//! was undone. Owned here: who went down to what, and when it counts as taken back. Told once, and from an hour later
//! until [`ROLLBACK_LASTS`] after; then it starts anew. Bounded by [`ROLLBACKS_MAX`]: of more, the version of which was
//! heard least lately goes, of those that do not count as taken back.

use super::{Rollback, TakenBack, WentDown};
use crate::limits::{ROLLBACK_LASTS, ROLLBACK_USERS, ROLLBACKS_MAX, THRESHOLD_DELAY};
use engine::error::Error;
use engine::keyed::{Context, Logic, Record};
use engine::state::{Row, RowKey};
use engine::time::{Micros, Span};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

impl Record for WentDown {
    fn at(&self) -> Micros {
        self.at
    }

    fn key(&self) -> RowKey<'_> {
        RowKey::of(self.org.as_bytes())
    }

    fn order(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }
}

/// The versions that an org's users went down to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OrgRollbacks(BTreeMap<Rollback, Seen>);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    /// The first few users.
    users: BTreeSet<u32>,
    last: Micros,
    /// From when it counts as taken back, if it does.
    from: Option<Micros>,
}

impl Seen {
    fn is_over(&self, now: Micros) -> bool {
        now >= self.from.unwrap_or(self.last).plus(ROLLBACK_LASTS)
    }
}

impl Row for OrgRollbacks {
    const TYPE: u16 = 23;
    const VERSION: u16 = 1;
    const TTL: Option<Span> = None;

    fn weight(&self) -> usize {
        size_of::<Self>() + self.0.len() * (size_of::<Seen>() + 64)
    }
}

impl OrgRollbacks {
    /// Takes up that a user went down. Returns from when the version counts as taken back, if it does with this one.
    fn apply(&mut self, down: &WentDown) -> Option<Micros> {
        self.0.retain(|_, seen| !seen.is_over(down.at));
        if !self.0.contains_key(&down.rollback) && self.0.len() >= ROLLBACKS_MAX {
            let untold = self.0.iter().filter(|(_, seen)| seen.from.is_none());
            let quietest = *untold.min_by_key(|(rollback, seen)| (seen.last, **rollback))?.0;
            self.0.remove(&quietest);
        }
        let seen = self.0.entry(down.rollback).or_default();
        seen.last = down.at;
        if seen.from.is_some() {
            return None;
        }
        seen.users.insert(down.user);
        seen.from = (seen.users.len() >= ROLLBACK_USERS).then(|| down.at.plus(THRESHOLD_DELAY));
        seen.from
    }
}

/// The keyed logic, by org.
pub struct Rollbacks;

impl Logic for Rollbacks {
    type Record = WentDown;
    type Row = OrgRollbacks;
    type Out = TakenBack;
    const PORTS: usize = 1;

    fn port(_: &TakenBack) -> usize {
        0
    }

    fn apply(&mut self, down: WentDown, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let row = context.rows.write(down.key())?.get_or_insert_default();
        if let Some(at) = row.apply(&down) {
            context.out.emit(TakenBack { at, org: down.org, rollback: down.rollback });
        }
        Ok(())
    }

    fn restored(&mut self, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let Context { rows, out, .. } = context;
        rows.scan(|key, row| {
            let org = std::str::from_utf8(key.bytes).expect("the key is an org's name");
            for (rollback, seen) in &row.0 {
                if let Some(at) = seen.from {
                    out.emit(TakenBack { at, org: org.to_owned(), rollback: *rollback });
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down(hours: u64, version: u32, user: u32) -> WentDown {
        let at = Micros::from_secs(1_700_000_000 + hours * 3_600);
        WentDown { at, org: "E1".to_owned(), rollback: Rollback { family: 1, version }, user }
    }

    #[test]
    fn three_users_take_a_version_back_from_an_hour_later_for_four_weeks() {
        let mut row = OrgRollbacks::default();
        let mut told = |hours, version, user| row.apply(&down(hours, version, user)).is_some();
        assert!(!told(0, 5, 1) && !told(1, 5, 1) && !told(2, 5, 2) && !told(3, 6, 3));
        assert_eq!(row.apply(&down(4, 5, 3)), Some(down(5, 5, 0).at));
        let mut told = |hours, version, user| row.apply(&down(hours, version, user)).is_some();
        assert!(!told(5, 5, 4));
        // Over: it starts anew.
        let later = 5 + 28 * 24;
        assert!(!told(later, 5, 5) && !told(later, 5, 6) && told(later, 5, 7));
    }

    #[test]
    fn a_flood_of_versions_is_bounded_and_takes_none_that_was_told() {
        let mut row = OrgRollbacks::default();
        let told = (1..=3).filter_map(|user| row.apply(&down(0, 1, user))).count();
        let more = (100..10_000).filter_map(|version| row.apply(&down(1, version, 9))).count();
        assert_eq!((told, more), (1, 0));
        assert_eq!(row.0.len(), ROLLBACKS_MAX);
        assert!(row.0.contains_key(&Rollback { family: 1, version: 1 }));
        assert_eq!(row.apply(&down(2, 1, 4)), None);
    }
}
