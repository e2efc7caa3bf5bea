//! What detection found, with what decision needs to judge it and what a person needs to believe it.

use super::event::{KeyKind, Person, Place};
use super::id::Id;
use super::reason::Reason;
use engine::time::Micros;
use serde::{Deserialize, Serialize};

/// One anomaly: everything that one event gave reason for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// Derived from (org, key kind, key, triggering event id).
    pub id: Id,
    /// Effective time of the triggering event.
    pub at: Micros,
    /// Event time of the triggering event.
    pub time: Micros,
    /// The org.
    pub org: String,
    /// The user, or the app for [`KeyKind::App`].
    pub user: String,
    /// Whose activity it is.
    pub kind: KeyKind,
    /// Why, sorted, without repetition.
    pub reasons: Vec<Reason>,
    /// What was observed, one entry or more per reason.
    pub evidence: Vec<Evidence>,
    /// The acting user as the event names them.
    pub actor: Person,
    /// Where it happened.
    pub place: Place,
    /// User agent, empty if none.
    pub ua: String,
    /// Session, if any.
    pub session: Option<String>,
    /// Address as it came, empty if none.
    pub ip_address: String,
    /// The session's address before the last change, empty if it never changed.
    pub previous_ip_address: String,
    /// The session's user agent before the last change, empty if it never changed.
    pub previous_ua: String,
    /// Place name for people, such as a country; empty if unknown.
    pub location: String,
    /// When the session was first seen; the event's own effective time when it has none.
    pub first_seen: Micros,
    /// What identifies the session, and whether the user was known by it before.
    pub marks: Vec<Mark>,
    /// Whether an app acted.
    pub by_app: bool,
    /// What the event says of the actor being external.
    pub is_external: Option<bool>,
    /// Whether the anomaly was imported from the input rather than found here.
    pub imported: bool,
}

/// Why a reason was given, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Code of the reason.
    pub reason: String,
    /// What was measured, such as `file_downloads_1h`.
    pub metric: String,
    /// What it came to, as text or number.
    pub observed: String,
    /// What it was held against; empty if nothing.
    pub threshold: String,
    /// Where the threshold came from; empty if there is none.
    pub threshold_source: String,
    /// How many samples the threshold rests on.
    pub samples: Option<u64>,
    /// Start of the window in event time.
    pub window_start: Option<Micros>,
    /// End of the window in event time.
    pub window_end: Option<Micros>,
    /// Events that show it, newest last, at most [`crate::limits::EVIDENCE_EVENTS_MAX`].
    pub event_ids: Vec<String>,
}

/// What a session is recognised by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MarkKind {
    /// TLS fingerprint, or the family of the user agent where there is none.
    Tls,
    /// Measured client.
    Client,
    /// AS number, or the address prefix where there is none.
    Network,
    /// Family of a user agent that is made for scripts. Known within detection alone; no anomaly carries it.
    Agent,
}

/// One mark of a session and whether it is an honest one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Which one.
    pub kind: MarkKind,
    /// Whether the user was known by it on at least three earlier days outside any case.
    pub known: bool,
}

/// The end of a case: a condition that persisted and has now been quiet for an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseClosed {
    /// Own id.
    pub id: Id,
    /// When it closed.
    pub at: Micros,
    /// The org.
    pub org: String,
    /// The user or app.
    pub user: String,
    /// Whose activity it was.
    pub kind: KeyKind,
    /// Session of the case, if it had one.
    pub session: Option<String>,
    /// Why it was opened.
    pub reason: Reason,
    /// The anomaly that opened it.
    pub anomaly_id: Id,
    /// Events that showed the condition.
    pub count: u64,
    /// Event time of the first.
    pub first: Micros,
    /// Event time of the last.
    pub last: Micros,
    /// The user as the first event names them.
    pub actor: Person,
    /// Where the first event happened.
    pub place: Place,
}

/// A person was active: told once per person and hour of effective time, from [`crate::limits::ACTIVE_AGE`] on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Active {
    /// Effective time of the event.
    pub at: Micros,
    /// The org.
    pub org: String,
    /// The hour, since 1970, for which this was told last; zero if never.
    pub previous: u32,
}
