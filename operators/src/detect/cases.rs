//! The open cases of a user or app: conditions that persist, each raised once. Owned here: what is evidence of which
//! case, and when a case closes. One timer per row stands at the earliest point at which a case may close; it moves on
//! only when it fires, so evidence costs nothing.

use crate::limits::{CASE_QUIET, CASES_MAX};
use crate::model::anomaly::CaseClosed;
use crate::model::event::{KeyKind, Person, Place};
use crate::model::id::Id;
use crate::model::reason::Reason;
use engine::time::Micros;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One open case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Hash of the session, if it is about one.
    pub session: Option<u64>,
    /// The session's id.
    pub session_id: Option<String>,
    /// Why it was opened.
    pub reason: Reason,
    /// The anomaly that opened it.
    pub anomaly_id: Id,
    /// Events that showed the condition.
    pub count: u64,
    /// Event time of the earliest.
    pub first: Micros,
    /// Event time of the latest.
    pub last: Micros,
    /// Effective time of the evidence applied last.
    pub quiet_since: Micros,
    /// The user as the first event names them.
    pub actor: Person,
    /// Where the first event happened.
    pub place: Place,
}

/// The cases of one user or app, at most [`CASES_MAX`] of each reason.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cases {
    open: Vec<Case>,
    /// When the timer is due, if one is armed.
    armed: Option<Micros>,
}

impl Case {
    fn due(&self) -> Micros {
        self.quiet_since.plus(CASE_QUIET)
    }

    /// The closing of this case.
    pub fn close(self, at: Micros, kind: KeyKind, org: &str, user: &str) -> CaseClosed {
        CaseClosed {
            id: Id::of("case_closed", &[self.anomaly_id.as_str().as_bytes(), self.reason.code().as_bytes()]),
            at,
            org: org.to_owned(),
            user: user.to_owned(),
            kind,
            session: self.session_id,
            reason: self.reason,
            anomaly_id: self.anomaly_id,
            count: self.count,
            first: self.first,
            last: self.last,
            actor: self.actor,
            place: self.place,
        }
    }
}

impl Cases {
    /// Takes an event as evidence of the case it belongs to. False if there is none open.
    pub fn note(&mut self, session: Option<u64>, reason: Reason, at: Micros, time: Micros) -> bool {
        let case = self.open.iter_mut().find(|case| case.session == session && case.reason == reason);
        let Some(case) = case else { return false };
        case.count += 1;
        case.first = case.first.min(time);
        case.last = case.last.max(time);
        case.quiet_since = at;
        true
    }

    /// Opens a case, and returns the one that had to go for room: the quietest of the same reason, so that no reason
    /// closes another's cases.
    pub fn open(&mut self, case: Case) -> Option<Case> {
        let of_reason = || self.open.iter().enumerate().filter(|(_, other)| other.reason == case.reason);
        let full = of_reason().count() >= CASES_MAX;
        let quietest = of_reason().min_by_key(|(place, case)| (case.quiet_since, *place));
        let place = quietest.filter(|_| full).map(|(place, _)| place);
        let evicted = place.map(|place| self.open.remove(place));
        self.open.push(case);
        evicted
    }

    /// Whether a case of this reason is open for a session that `matches`.
    pub fn has(&self, reason: Reason, matches: impl Fn(Option<u64>) -> bool) -> bool {
        self.open.iter().any(|case| case.reason == reason && matches(case.session))
    }

    /// The reasons of the open cases that an event of this session may be part of: its own, or those without session.
    pub fn touch(&self, session: Option<u64>) -> impl Iterator<Item = Reason> {
        let open = self.open.iter().filter(move |case| case.session.is_none() || case.session == session);
        open.map(|case| case.reason)
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// When to arm the timer, if it is not.
    pub fn arm(&mut self) -> Option<Micros> {
        let due = self.open.iter().map(Case::due).min();
        if self.armed.is_some() || due.is_none() {
            return None;
        }
        self.armed = due;
        due
    }

    /// The timer fired: takes out the cases that have been quiet for long enough.
    pub fn fire(&mut self, now: Micros) -> Vec<Case> {
        self.armed = None;
        let (quiet, open) = std::mem::take(&mut self.open).into_iter().partition(|case| case.due() <= now);
        self.open = open;
        quiet
    }

    /// Takes out all cases. A timer that is armed finds what is opened meanwhile.
    pub fn close_all(&mut self) -> Vec<Case> {
        std::mem::take(&mut self.open)
    }

    /// Those open by anomaly and reason, for people.
    pub fn view(&self) -> Value {
        let view = |case: &Case| {
            let fields = json!({
                "reason": case.reason.code(),
                "anomaly_id": case.anomaly_id.as_str(),
                "session_id": case.session_id,
                "count": case.count,
                "first_us": case.first.0,
                "last_us": case.last.0,
                "closes_us": case.due().0,
            });
            (format!("{} {}", case.reason.code(), case.anomaly_id.as_str()), fields)
        };
        Value::Object(self.open.iter().map(view).collect())
    }

    /// Roughly the bytes on the heap.
    pub fn weight(&self) -> usize {
        self.open.len() * 512
    }
}
