//! The kill switch in wall time. The dataflow throws it in the order of events, as its frontier comes to it; while a live
//! job waits for a silent source, or catches up, that is too late for a switch that is to stop effects now. Owned here:
//! which holds the clock has come to. Not owned here: what a hold does (the ledger).

use engine::error::Error;
use engine::ledger::{Ledger, Scope};
use engine::time::Micros;
use operators::model::control::{ControlRecord, Hold};
use operators::policy::hold;
use std::collections::BTreeMap;

/// Holds that are put on or lifted as time passes.
#[derive(Debug)]
pub(crate) struct Holds {
    /// In order of time, the latest first.
    waiting: Vec<Hold>,
    begun: bool,
}

impl Holds {
    /// Those of the control records, which are in order of time.
    pub(crate) fn of(control: &[ControlRecord]) -> Self {
        Holds { waiting: control.iter().rev().filter_map(hold).collect(), begun: false }
    }

    /// Throws what has come due by `now`. The first time, of what came before only holds that are on: one that was lifted
    /// may have been put on again by hand.
    pub(crate) fn throw(&mut self, ledger: &mut dyn Ledger, now: Micros) -> Result<(), Error> {
        let due = self.waiting.partition_point(|hold| hold.at > now);
        let last: BTreeMap<_, _> =
            self.waiting[due..].iter().rev().map(|hold| (hold.org.as_deref(), hold.on)).collect();
        for (org, on) in last.into_iter().filter(|(_, on)| *on || self.begun) {
            let scope = org.map_or(Scope::All, Scope::Group);
            ledger.hold(scope, on, now.0 / 1_000)?;
        }
        // What could not be thrown still waits.
        self.waiting.truncate(due);
        self.begun = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connectors::store::Store;

    #[test]
    fn a_hold_that_could_not_be_put_on_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sqlite");
        let mut store = Store::open_file(&path).unwrap();
        let hold = |secs, org: Option<&str>, on| Hold {
            at: Micros::from_secs(secs),
            position: 0,
            org: org.map(str::to_owned),
            on,
        };
        // One that was lifted, one that is on, and one that is to come.
        let mut holds = Holds {
            waiting: vec![
                hold(40, None, true),
                hold(30, Some("E1"), true),
                hold(20, None, false),
                hold(10, None, true),
            ],
            begun: false,
        };
        let mut reading = Store::read_file(&path).unwrap();
        assert!(holds.throw(&mut reading, Micros::from_secs(35)).is_err());
        holds.throw(&mut store, Micros::from_secs(35)).unwrap();
        let held = store.holds().unwrap();
        assert_eq!((held.all, held.groups), (false, vec!["E1".to_owned()]));
        assert!(holds.throw(&mut reading, Micros::from_secs(45)).is_err());
        holds.throw(&mut store, Micros::from_secs(45)).unwrap();
        assert!(store.holds().unwrap().all);
        assert!(holds.waiting.is_empty());
    }
}
