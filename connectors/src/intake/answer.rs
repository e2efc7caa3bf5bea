//! What a request comes to, as an answer and as a figure.

use super::RETRY_AFTER;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER as AGAIN, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

/// What a request comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken and lasts.
    Accepted,
    /// What was sent is wrong.
    Invalid,
    /// There is no such token.
    Unauthorized,
    /// The token does not allow it.
    Forbidden,
    /// There is nothing at this path.
    NotFound,
    /// Only POST is known.
    WrongMethod,
    /// The body took too long.
    TimedOut,
    /// The body is too large, as it was sent or unpacked.
    TooLarge,
    /// The body is in no form that is understood.
    Unsupported,
    /// There is no room now.
    Busy,
    /// It could not be kept.
    Failed,
    /// The job stops.
    Stopping,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Outcome; 12] = [
        Outcome::Accepted,
        Outcome::Invalid,
        Outcome::Unauthorized,
        Outcome::Forbidden,
        Outcome::NotFound,
        Outcome::WrongMethod,
        Outcome::TimedOut,
        Outcome::TooLarge,
        Outcome::Unsupported,
        Outcome::Busy,
        Outcome::Failed,
        Outcome::Stopping,
    ];

    /// As a figure's label.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Invalid => "invalid",
            Outcome::Unauthorized => "unauthorized",
            Outcome::Forbidden => "forbidden",
            Outcome::NotFound => "not_found",
            Outcome::WrongMethod => "wrong_method",
            Outcome::TimedOut => "timed_out",
            Outcome::TooLarge => "too_large",
            Outcome::Unsupported => "unsupported",
            Outcome::Busy => "busy",
            Outcome::Failed => "failed",
            Outcome::Stopping => "stopping",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Outcome::Accepted => StatusCode::OK,
            Outcome::Invalid => StatusCode::BAD_REQUEST,
            Outcome::Unauthorized => StatusCode::UNAUTHORIZED,
            Outcome::Forbidden => StatusCode::FORBIDDEN,
            Outcome::NotFound => StatusCode::NOT_FOUND,
            Outcome::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Outcome::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Outcome::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Outcome::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Outcome::Busy => StatusCode::TOO_MANY_REQUESTS,
            Outcome::Failed | Outcome::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// An answer: what it came to, and what is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub(super) outcome: Outcome,
    body: Value,
}

impl Answer {
    /// So many lines were taken.
    pub fn accepted(lines: u64) -> Self {
        Answer { outcome: Outcome::Accepted, body: json!({ "accepted": lines }) }
    }

    /// Nothing was taken, and why.
    pub fn refused(outcome: Outcome, why: impl Into<String>) -> Self {
        Answer { outcome, body: json!({ "error": why.into() }) }
    }

    /// Nothing was taken, and all that is wrong.
    pub fn problems(outcome: Outcome, why: impl Into<String>, problems: Vec<String>) -> Self {
        Answer { outcome, body: json!({ "error": why.into(), "problems": problems }) }
    }

    /// What it came to.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// For the wire. With `close`, nothing more is heard on this connection.
    pub(super) fn into_response(self, close: bool) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(format!("{}\n", self.body))));
        *response.status_mut() = self.outcome.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self.outcome {
            Outcome::Unauthorized => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Outcome::WrongMethod => drop(headers.insert(ALLOW, HeaderValue::from_static("POST"))),
            Outcome::Unsupported => drop(headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"))),
            Outcome::Busy | Outcome::Failed | Outcome::Stopping => {
                drop(headers.insert(AGAIN, HeaderValue::from(RETRY_AFTER.as_secs())));
            }
            _ => {}
        }
        if close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// How many requests came to what, of one server.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; Outcome::ALL.len()]);

impl Counts {
    pub(super) fn count(&self, outcome: Outcome) {
        self.0[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many came to this.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_is_counted_under_its_own_name() {
        let counts = Counts::default();
        for (times, outcome) in Outcome::ALL.into_iter().enumerate() {
            (0..=times).for_each(|_| counts.count(outcome));
        }
        let counted: Vec<_> = Outcome::ALL.into_iter().map(|outcome| counts.of(outcome)).collect();
        assert_eq!(counted, (1..=12).collect::<Vec<_>>());
        let names: std::collections::BTreeSet<_> = Outcome::ALL.into_iter().map(Outcome::name).collect();
        assert_eq!(names.len(), Outcome::ALL.len());
    }
}
