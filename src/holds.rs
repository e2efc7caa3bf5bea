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
        let mut due = Vec::new();
        while self.waiting.last().is_some_and(|hold| hold.at <= now) {
            due.extend(self.waiting.pop());
        }
        let first = !std::mem::replace(&mut self.begun, true);
        let mut last: BTreeMap<Option<String>, bool> = BTreeMap::new();
        last.extend(due.into_iter().map(|hold| (hold.org, hold.on)));
        for (org, on) in last.into_iter().filter(|(_, on)| *on || !first) {
            let scope = org.as_deref().map_or(Scope::All, Scope::Group);
            ledger.hold(scope, on, now.0 / 1_000)?;
        }
        Ok(())
    }
}
