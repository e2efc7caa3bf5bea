//! Figures of responses: what has come of attempts in this run, and how all orders stand. Owned here: the counting. Not
//! owned here: what the figures are called outside (`telemetry`).

use engine::ledger::{State, StepOutcome};
use operators::respond::steps::LANES;
use std::sync::atomic::{AtomicU64, Ordering};

/// What can come of an attempt, in the order in which it is counted.
pub const OUTCOMES: [&str; 6] = ["done", "not_done", "unknown", "given_up", "expired", "postponed"];

/// Figures of responses in this run.
#[derive(Debug, Default)]
pub struct Responses {
    /// Ordered and not yet carried out to the end.
    pub open: AtomicU64,
    /// Of these, those that are held.
    pub held: AtomicU64,
    /// How long ago the event was that the oldest open one answers, in milliseconds.
    pub oldest_ms: AtomicU64,
    /// Orders of all runs by [`State::ALL`]; those that are done are not counted.
    pub states: [AtomicU64; State::ALL.len()],
    /// How often an org was held because too many responses of it were begun within an hour.
    pub orgs_held: AtomicU64,
    /// Sessions that were ended, as the receivers said.
    pub sessions_ended: AtomicU64,
    /// Messages that were sent.
    pub messages: AtomicU64,
    /// Attempts that failed.
    pub failures: AtomicU64,
    /// Re-derived items that differ from what was recorded, and were not acted on.
    pub differing: AtomicU64,
    /// Attempts by lane, then by outcome.
    attempts: [[AtomicU64; OUTCOMES.len()]; LANES.len()],
}

impl Responses {
    /// Counts an attempt at a step of this lane.
    pub(crate) fn count(&self, lane: &str, outcome: &StepOutcome) {
        let (outcome, failed) = match outcome {
            StepOutcome::Done { .. } => (0, false),
            StepOutcome::NotDone { .. } => (1, true),
            StepOutcome::Unknown { .. } => (2, true),
            StepOutcome::Dead { .. } | StepOutcome::Passed { .. } => (3, true),
            StepOutcome::Expired { .. } => (4, true),
            StepOutcome::Postponed { .. } => (5, false),
        };
        self.failures.fetch_add(u64::from(failed), Ordering::Relaxed);
        if let Some(at) = LANES.iter().position(|known| *known == lane) {
            self.attempts[at][outcome].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every lane and outcome, with how many attempts there were.
    pub fn attempts(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        LANES.into_iter().zip(&self.attempts).flat_map(|(lane, counts)| {
            let counts = OUTCOMES.into_iter().zip(counts);
            counts.map(move |(outcome, count)| (lane, outcome, count.load(Ordering::Relaxed)))
        })
    }
}
