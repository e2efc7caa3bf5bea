//! Ending sessions. Owned here: which receiver is asked, and what its answer means. Not owned here: what is asked
//! (`operators::respond`), and when again (the ledger).

use super::answer::Answer;
use crate::run::Responses;
use engine::error::Error;
use engine::ledger::Ledger;
use operators::respond::steps::EndSessions;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Who ends sessions.
pub(super) struct Terminator {
    responses: Arc<Responses>,
}

impl Terminator {
    /// The local one, which records the call.
    pub(super) fn new(responses: Arc<Responses>) -> Self {
        Terminator { responses }
    }

    /// Ends the sessions of a user, once per key.
    pub(super) fn end(&self, ledger: &mut dyn Ledger, call: &EndSessions) -> Result<Answer, Error> {
        if ledger.receipt(&call.idempotency_key, &call.body)? {
            self.responses.sessions_ended.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Answer::Done { detail: None })
    }
}
