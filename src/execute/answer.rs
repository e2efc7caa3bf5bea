//! What came of an attempt at something outside, and what the ledger is told of it. Owned here: the three answers and
//! when a step is tried again. Not owned here: how it is tried.

use engine::ledger::{Claim, StepOutcome};
use std::time::Duration;

/// What came of an attempt at something outside. Texts never hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It happened.
    Done {
        /// What later steps, and readers, should know of it.
        detail: Option<String>,
    },
    /// It certainly did not happen, and may another time.
    NotDone {
        /// Why.
        error: String,
        /// The receiver's own word on when to come again, or what is known of that.
        retry_after: Option<Duration>,
    },
    /// Nothing was tried: the receiver has asked to be left alone for so long.
    NotTried {
        /// How long from now.
        wait: Duration,
    },
    /// It certainly did not happen, and never will as things stand.
    Refused {
        /// Why, and what to do.
        error: String,
    },
    /// It may have happened.
    Unknown {
        /// Why it is not known.
        error: String,
        /// Whether a repeat does no harm: the receiver honours the key, or what it does twice is as if done once.
        repeatable: bool,
    },
}

/// How long after an attempt that may have happened a receiver that honours no key is asked again. A later repeat would
/// end what began since.
pub(super) const REPEAT_WITHIN_MS: u64 = 30_000;

impl Answer {
    /// The outcome of a step, at the wall time `now_ms`.
    pub(super) fn outcome(self, claim: &Claim, now_ms: u64) -> StepOutcome {
        let own = now_ms + backoff_ms(claim);
        let after = |wait: Duration| now_ms.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        match self {
            Answer::Done { detail } => StepOutcome::Done { detail },
            Answer::NotDone { error, retry_after } => {
                StepOutcome::NotDone { retry_at_ms: own.max(after(retry_after.unwrap_or_default())), error }
            }
            Answer::NotTried { wait } => StepOutcome::Postponed { until_ms: after(wait) },
            Answer::Refused { error } => StepOutcome::Dead { error },
            Answer::Unknown { error, repeatable: true } => StepOutcome::Unknown { retry_at_ms: Some(own), error },
            Answer::Unknown { error, repeatable: false } => {
                let last = claim.doubtful_since_ms.unwrap_or(now_ms) + REPEAT_WITHIN_MS;
                StepOutcome::Unknown { retry_at_ms: Some(own).filter(|at| *at <= last), error }
            }
        }
    }
}

/// Twice as long after each attempt, from a second to five minutes, and up to half as long again: what failed at once
/// does not come back at once. How much is a matter of the order's id.
fn backoff_ms(claim: &Claim) -> u64 {
    let pause = 500u64.saturating_mul(1 << claim.attempt.min(10)).min(300_000);
    let spread = claim
        .order
        .id
        .bytes()
        .fold(u64::from(claim.attempt), |spread, byte| (spread ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    pause + pause * (spread >> 32 & 0xff) / 512
}
