//! Ending sessions. Owned here: which receiver is asked. Not owned here: what it is asked and what its answer means (a
//! module each), what a call is about (`operators::respond`), and when it is made again (the ledger).

mod caep;
pub(super) mod reply;
pub(super) mod slack;
mod webhook;

use super::answer::Answer;
use crate::lists::NAME;
use crate::run::Responses;
use axum::http::header::{HeaderMap, HeaderValue, USER_AGENT};
use caep::Caep;
use config::Sessions;
use connectors::http::post::{Destination, Failure, Poster, Reply};
use engine::error::Error;
use engine::ledger::{Claim, Ledger};
use operators::respond::steps::EndSessions;
use slack::Slack;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use webhook::Webhook;

/// From a call to the end of its answer, so that an attempt ends well within its lease.
const TIMEOUT: Duration = Duration::from_secs(15);

/// When a call is made, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// Now.
    pub(super) now_ms: u64,
    /// When it was made first: the same for every attempt, until an admin has it made anew.
    first_ms: u64,
    /// When it was made first of those times that it may have been heeded.
    pub(super) doubtful_since_ms: Option<u64>,
}

impl Times {
    /// Those of an attempt that begins now.
    pub(super) fn of(claim: &Claim, now_ms: u64) -> Self {
        Times { now_ms, first_ms: claim.first_claimed_ms, doubtful_since_ms: claim.doubtful_since_ms }
    }
}

/// Who ends sessions. May be shared between threads.
pub(super) struct Terminator {
    receiver: Receiver,
    responses: Arc<Responses>,
}

/// Who is asked. Each may be asked by several threads at once.
enum Receiver {
    Local,
    Webhook(Webhook),
    Slack(Slack),
    Caep(Caep),
}

impl Terminator {
    /// The one that the job file chooses.
    ///
    /// # Errors
    /// [`Error::Invalid`] if one of its secrets cannot be read or is none.
    pub(super) fn open(sessions: &Sessions, responses: Arc<Responses>) -> Result<Self, Error> {
        let receiver = match sessions {
            Sessions::Local => Receiver::Local,
            Sessions::Webhook(webhook) => Receiver::Webhook(Webhook::open(webhook)?),
            Sessions::Slack(slack) => Receiver::Slack(Slack::open(slack)?),
            Sessions::Caep(caep) => Receiver::Caep(Caep::open(caep)?),
        };
        Ok(Terminator { receiver, responses })
    }

    /// Ends the sessions of a user.
    ///
    /// # Errors
    /// As the ledger fails, and as keys do.
    pub(super) fn end(&self, ledger: &mut dyn Ledger, call: &EndSessions, times: Times) -> Result<Answer, Error> {
        let (answer, counts) = match &self.receiver {
            Receiver::Local => {
                let first = ledger.receipt(&call.idempotency_key, &call.body)?;
                (Answer::Done { detail: None }, first)
            }
            Receiver::Webhook(webhook) => (webhook.end(call, times), true),
            Receiver::Slack(slack) => (slack.end(call, times), true),
            Receiver::Caep(caep) => (caep.end(call, times)?, true),
        };
        if counts && matches!(answer, Answer::Done { .. }) {
            self.responses.sessions_ended.fetch_add(1, Ordering::Relaxed);
        }
        Ok(answer)
    }
}

/// A receiver that is asked by HTTP.
pub(super) struct Line {
    poster: Poster,
    runtime: Runtime,
}

impl Line {
    fn open(to: &Destination) -> Result<Self, Error> {
        Line::within(to, TIMEOUT)
    }

    /// One whose calls take no longer than that.
    pub(super) fn within(to: &Destination, timeout: Duration) -> Result<Self, Error> {
        let headers = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static(NAME))]);
        // One thread moves the bytes of all who wait for an answer.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_io().enable_time().build();
        let runtime = runtime.map_err(|error| Error::Unavailable(format!("nobody can be asked anything: {error}")))?;
        Ok(Line { poster: Poster::new(to, headers, timeout)?, runtime })
    }

    pub(super) fn host(&self) -> &str {
        self.poster.host()
    }

    pub(super) fn post(&self, headers: HeaderMap, body: String) -> Result<Reply, Failure> {
        self.runtime.block_on(self.poster.post(headers, body))
    }
}

/// A header that nobody is to see.
fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests;
