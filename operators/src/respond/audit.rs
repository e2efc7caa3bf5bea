//! The three audit entries that we write, in Slack's entry shape. Owned here: their keys, in a fixed order, on one
//! line. Names in `details` stay clear of those that Slack's Python and Java clients give a type of their own.

use super::evidence::{Observed, Particulars};
use crate::model::anomaly::{Anomaly, CaseClosed, Evidence};
use crate::model::decision::Response;
use crate::model::event::{KeyKind, Person, Place};
use engine::ledger::Term;
use engine::time::Micros;
use serde::Serialize;

/// The action of an anomaly's entry.
pub const ANOMALY: &str = "anomaly";

/// The action of a response's entry.
pub const SESSIONS_RESET: &str = "user_sessions_reset_by_anomaly_event_response";

/// The action of the entry of a case's end.
pub const CASE_CLOSED: &str = "anomaly_case_closed";

/// The kinds of terms that an audit entry is found under, besides its org and date: its action, who acted, and on what.
pub const BY_ACTION: u8 = 1;
/// See above: the id of the actor.
pub const BY_ACTOR: u8 = 2;
/// See above: the id of the entity.
pub const BY_ENTITY: u8 = 3;

/// What an entry is found under whose actor and entity are one person.
pub fn terms(action: &str, person: &str) -> Vec<Term> {
    let terms = [(BY_ACTION, action), (BY_ACTOR, person), (BY_ENTITY, person)];
    terms.map(|(kind, value)| Term { kind, value: value.to_owned() }).to_vec()
}

/// The entry of an anomaly. Its id is the anomaly's.
pub fn anomaly_entry(anomaly: &Anomaly) -> String {
    let details = AnomalyDetails {
        reason: codes(&anomaly.reasons),
        action_timestamp: anomaly.time.0,
        applied_at: applied_at(anomaly),
        location: &anomaly.location,
        previous_ip_address: &anomaly.previous_ip_address,
        previous_ua: &anomaly.previous_ua,
        particulars: Particulars::of(&anomaly.evidence),
        evidence: anomaly.evidence.iter().map(EvidenceView::of).collect(),
    };
    line(anomaly.id.as_str(), anomaly.time, ANOMALY, &anomaly.actor, context(anomaly), details)
}

/// The entry of a response whose sessions have been ended; `sessions_ended` is how many, if the receiver said. Its id
/// is the response's.
pub fn response_entry(anomaly: &Anomaly, response: &Response, sessions_ended: Option<u64>) -> String {
    let details = ResponseDetails {
        reason: codes(&response.reasons),
        anomaly_id: anomaly.id.as_str(),
        action_timestamp: anomaly.time.0,
        applied_at: applied_at(anomaly),
        sessions_ended,
        verdict: response.verdict.name(),
    };
    line(response.id.as_str(), anomaly.time, SESSIONS_RESET, &anomaly.actor, context(anomaly), details)
}

/// The entry of a case's end, at the time when it closed.
pub fn case_closed_entry(case: &CaseClosed) -> String {
    let context = Context {
        location: Location::of(&case.place),
        ua: "",
        session_id: case.session.as_deref(),
        ip_address: "",
        app: app(case.kind, &case.user),
    };
    let details = CaseClosedDetails {
        reason: [case.reason.code()],
        anomaly_id: case.anomaly_id.as_str(),
        action_timestamp: case.at.0,
        count: case.count,
        first: case.first.0,
        last: case.last.0,
    };
    line(case.id.as_str(), case.at, CASE_CLOSED, &case.actor, context, details)
}

fn line(
    id: &str,
    time: Micros,
    action: &str,
    person: &Person,
    context: Context<'_>,
    details: impl Serialize,
) -> String {
    let subject = Subject { kind: "user", user: person };
    let entry = Entry { id, date_create: time.secs(), action, actor: subject, entity: subject, context, details };
    serde_json::to_string(&entry).expect("strings, numbers and lists of them always have a JSON form")
}

fn codes(reasons: &[crate::model::reason::Reason]) -> Vec<&'static str> {
    reasons.iter().map(|reason| reason.code()).collect()
}

/// Only a trigger that came late applied at another time than its own.
fn applied_at(anomaly: &Anomaly) -> Option<u64> {
    (anomaly.at != anomaly.time).then_some(anomaly.at.0)
}

fn context(anomaly: &Anomaly) -> Context<'_> {
    Context {
        location: Location::of(&anomaly.place),
        ua: &anomaly.ua,
        session_id: anomaly.session.as_deref(),
        ip_address: &anomaly.ip_address,
        app: app(anomaly.kind, &anomaly.user),
    }
}

fn app(kind: KeyKind, name: &str) -> Option<App<'_>> {
    (kind == KeyKind::App).then_some(App { id: name })
}

#[derive(Serialize)]
struct Entry<'a, D> {
    id: &'a str,
    date_create: u64,
    action: &'a str,
    actor: Subject<'a>,
    entity: Subject<'a>,
    context: Context<'a>,
    details: D,
}

#[derive(Clone, Copy, Serialize)]
struct Subject<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    user: &'a Person,
}

#[derive(Serialize)]
struct Context<'a> {
    location: Location<'a>,
    ua: &'a str,
    session_id: Option<&'a str>,
    ip_address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<App<'a>>,
}

#[derive(Serialize)]
struct Location<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    name: &'a str,
    domain: &'a str,
}

impl<'a> Location<'a> {
    fn of(place: &'a Place) -> Self {
        Location { kind: &place.kind, id: &place.id, name: &place.name, domain: &place.domain }
    }
}

#[derive(Serialize)]
struct App<'a> {
    id: &'a str,
}

#[derive(Serialize)]
struct AnomalyDetails<'a> {
    reason: Vec<&'static str>,
    action_timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied_at: Option<u64>,
    location: &'a str,
    previous_ip_address: &'a str,
    previous_ua: &'a str,
    #[serde(flatten)]
    particulars: Particulars<'a>,
    evidence: Vec<EvidenceView<'a>>,
}

#[derive(Serialize)]
struct ResponseDetails<'a> {
    reason: Vec<&'static str>,
    anomaly_id: &'a str,
    action_timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied_at: Option<u64>,
    sessions_ended: Option<u64>,
    verdict: &'static str,
}

#[derive(Serialize)]
struct CaseClosedDetails<'a> {
    reason: [&'static str; 1],
    anomaly_id: &'a str,
    action_timestamp: u64,
    count: u64,
    first: u64,
    last: u64,
}

/// A piece of evidence with only the fields that apply.
#[derive(Serialize)]
struct EvidenceView<'a> {
    reason: &'a str,
    metric: &'a str,
    observed: Observed<'a>,
    #[serde(skip_serializing_if = "Observed::is_empty")]
    threshold: Observed<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    threshold_source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    samples: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_start: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_end: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    event_ids: &'a [String],
}

impl<'a> EvidenceView<'a> {
    fn of(evidence: &'a Evidence) -> Self {
        EvidenceView {
            reason: &evidence.reason,
            metric: &evidence.metric,
            observed: Observed(&evidence.observed),
            threshold: Observed(&evidence.threshold),
            threshold_source: &evidence.threshold_source,
            samples: evidence.samples,
            window_start: evidence.window_start.map(|at| at.0),
            window_end: evidence.window_end.map(|at| at.0),
            event_ids: &evidence.event_ids,
        }
    }
}
