//! The steps of a response, as an executor goes through them: end the sessions, write the audit entry, tell everyone; or
//! only tell admins of repeats, or that nobody was answered. Owned here: the order of each, its steps and what each has to
//! do. Not owned here: doing it, and trying again.

use super::audit::{SESSIONS_RESET, response_entry, terms};
use super::message::{Message, Occasion, Repeats, Telling, message};
use super::templates::Templates;
use super::words::escape_chat;
use crate::model::anomaly::Anomaly;
use crate::model::decision::{Decision, Recipient, Response};
use crate::model::id::Id;
use engine::error::Error;
use engine::ledger::{Entry, Order};
use engine::time::Micros;
use serde::{Deserialize, Serialize};

/// The first step: end all sessions of the user.
pub const END_SESSIONS: &str = "end_sessions";

/// The second: the audit entry that says so.
pub const AUDIT: &str = "audit";

/// Lane of the steps that send a mail; the recipient stands after a colon.
pub const MAIL: &str = "mail";

/// Lane of the steps that send a direct message, likewise.
pub const DM: &str = "dm";

/// The lanes of all steps: which kinds there are.
pub const LANES: [&str; 4] = [END_SESSIONS, AUDIT, MAIL, DM];

/// The version of the payload's layout.
const PAYLOAD_VERSION: u32 = 2;

/// What an order carries: all that its steps need.
#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    version: u32,
    anomaly: Anomaly,
    occasion: Occasion,
}

/// The order of a decision: of a response, or of messages that there is none. `None` if it calls for neither.
pub fn order(decision: &Decision) -> Option<Order> {
    let (occasion, first) = match (decision.response.clone(), decision.escalation.clone()) {
        (Some(response), _) => (Occasion::Response(response), &[END_SESSIONS, AUDIT][..]),
        (None, Some(escalation)) => (Occasion::Escalation(escalation), &[][..]),
        (None, None) => return None,
    };
    let first = first.iter().map(|step| (*step).to_owned());
    let steps = first.chain(messages(occasion.recipients())).collect();
    Some(Payload::of(decision.anomaly.clone(), occasion).order(decision.anomaly.at, steps))
}

/// The order of a message on repeats; `last` is the last of them. Its recipients are told and nothing else is done.
pub fn order_of_repeats(repeats: Repeats, last: Decision) -> Option<Order> {
    let response = last.response?;
    let (at, steps) = (repeats.at, messages(&response.recipients));
    (!steps.is_empty()).then(|| Payload::of(last.anomaly, Occasion::Repeats(response, repeats)).order(at, steps))
}

impl Payload {
    fn of(anomaly: Anomaly, occasion: Occasion) -> Self {
        Payload { version: PAYLOAD_VERSION, anomaly, occasion }
    }

    fn order(&self, at: Micros, steps: Vec<String>) -> Order {
        Order {
            id: self.occasion.id().to_string(),
            at,
            group: self.anomaly.org.clone(),
            payload: serde_json::to_vec(self).expect("a payload of names, numbers and lists has a JSON form"),
            steps,
        }
    }
}

/// The steps that tell people, the affected user first.
fn messages(recipients: &[Recipient]) -> Vec<String> {
    let mut people: Vec<&Recipient> = recipients.iter().collect();
    people.sort_by_key(|person| (!person.affected, &person.user));
    let steps = people.into_iter().flat_map(|person| {
        let mail = person.email.as_ref().map(|_| format!("{MAIL}:{}", person.user));
        let dm = person.dm.as_ref().map(|_| format!("{DM}:{}", person.user));
        mail.into_iter().chain(dm)
    });
    steps.collect()
}

/// Whose sessions an order is to end: the org and the user; none if it ends no sessions.
///
/// # Errors
/// [`Error::Corrupt`] if the payload is not one of ours, or of another version.
pub fn ends_sessions_of(payload: &[u8]) -> Result<Option<(String, String)>, Error> {
    let Payload { anomaly, occasion, .. } = parse(payload)?;
    Ok(matches!(occasion, Occasion::Response(_)).then_some((anomaly.org, anomaly.user)))
}

/// What a step has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Performance {
    /// End all sessions of a user.
    EndSessions(EndSessions),
    /// Record an audit entry.
    Entry(Entry),
    /// Send a mail.
    Mail(Mail),
    /// Send a direct message.
    Dm(Dm),
}

/// A call to end all sessions of a user. Whoever makes it records as the step's detail how many sessions were ended,
/// in decimal digits, or nothing if the receiver did not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndSessions {
    /// The same for every attempt.
    pub idempotency_key: String,
    /// The org.
    pub org: String,
    /// The user.
    pub user: String,
    /// The anomaly that is answered.
    pub anomaly: String,
    /// Codes of what triggered it.
    pub reasons: Vec<&'static str>,
    /// JSON object: `response_id`, `anomaly_id`, `org`, `user`, `session_id` (the one that the anomaly came from, or
    /// null), `reason` (codes), `verdict`, `action_timestamp` (µs).
    pub body: String,
}

/// A mail to one person.
#[derive(Clone, Debug, PartialEq)]
pub struct Mail {
    /// Left part of the Message-ID; the same for every attempt.
    pub id: String,
    /// Address of the recipient.
    pub to: String,
    /// For the `Date` header: effective time of the event that was answered, or when a message on repeats was due.
    pub date: Micros,
    telling: Telling,
}

impl Mail {
    /// What it says.
    pub fn message(&self, templates: &Templates) -> Message {
        message(templates, &self.telling)
    }
}

/// A direct message to one person.
#[derive(Clone, Debug, PartialEq)]
pub struct Dm {
    /// The same for every attempt.
    pub id: String,
    /// The org.
    pub org: String,
    /// Account of the recipient.
    pub to: String,
    telling: Telling,
}

impl Dm {
    /// What it says, with `&`, `<`, `>` escaped as Slack asks; links in it are not to be unfurled.
    pub fn text(&self, templates: &Templates) -> String {
        let Message { subject, text, .. } = message(templates, &self.telling);
        escape_chat(&format!("{subject}\n\n{text}"))
    }
}

/// What the named step of an order has to do. `details` are what the steps before it left, by their index: the first
/// step's says how many sessions were ended.
///
/// # Errors
/// [`Error::Corrupt`] if the payload is not one of ours, of another version, or has no such step.
pub fn perform(step: &str, payload: &[u8], details: &[Option<String>]) -> Result<Performance, Error> {
    let Payload { anomaly, occasion, .. } = parse(payload)?;
    let id = occasion.id().clone();
    let ended = details.first().and_then(Option::as_deref).and_then(|count| count.parse().ok());
    let performance = match (step, &occasion) {
        (END_SESSIONS, Occasion::Response(response)) => {
            Some(Performance::EndSessions(end_sessions(&anomaly, response)))
        }
        (AUDIT, Occasion::Response(response)) => Some(Performance::Entry(Entry {
            id: id.to_string(),
            at: anomaly.at,
            dated: anomaly.time,
            group: anomaly.org.clone(),
            terms: terms(SESSIONS_RESET, &anomaly.actor.id),
            body: response_entry(&anomaly, response, ended),
        })),
        _ => tell(step, anomaly, occasion, ended),
    };
    performance.ok_or_else(|| Error::Corrupt(format!("order {id} has no step `{step}`")))
}

/// What a step that tells somebody has to do.
fn tell(step: &str, anomaly: Anomaly, occasion: Occasion, ended: Option<u64>) -> Option<Performance> {
    let (by_mail, user) = match step.split_once(':')? {
        (MAIL, user) => (true, user),
        (DM, user) => (false, user),
        _ => return None,
    };
    let recipient = occasion.recipients().iter().find(|person| person.user == user)?.clone();
    let (email, account) = (recipient.email.clone(), recipient.dm.clone());
    let id = |kind| Id::of(kind, &[occasion.id().as_str().as_bytes(), user.as_bytes()]).to_string();
    let (mail, dm, org) = (id("mail"), id("dm"), anomaly.org.clone());
    let date = match &occasion {
        Occasion::Response(_) | Occasion::Escalation(_) => anomaly.at,
        Occasion::Repeats(_, repeats) => repeats.at,
    };
    let telling = Telling { recipient, anomaly, occasion, ended };
    match by_mail {
        true => email.map(|to| Performance::Mail(Mail { id: mail, to, date, telling })),
        false => account.map(|to| Performance::Dm(Dm { id: dm, org, to, telling })),
    }
}

fn parse(payload: &[u8]) -> Result<Payload, Error> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let bad = |error: serde_json::Error| Error::Corrupt(format!("the payload of a response cannot be read: {error}"));
    let Version { version } = serde_json::from_slice(payload).map_err(bad)?;
    if version != PAYLOAD_VERSION {
        return Err(Error::Corrupt(format!(
            "the payload of a response has version {version}, this program reads {PAYLOAD_VERSION}"
        )));
    }
    serde_json::from_slice(payload).map_err(bad)
}

fn end_sessions(anomaly: &Anomaly, response: &Response) -> EndSessions {
    #[derive(Serialize)]
    struct Body<'a> {
        response_id: &'a str,
        anomaly_id: &'a str,
        org: &'a str,
        user: &'a str,
        session_id: Option<&'a str>,
        reason: &'a [&'static str],
        verdict: &'static str,
        action_timestamp: u64,
    }
    let reasons: Vec<&'static str> = response.reasons.iter().map(|reason| reason.code()).collect();
    let body = Body {
        response_id: response.id.as_str(),
        anomaly_id: anomaly.id.as_str(),
        org: &anomaly.org,
        user: &anomaly.user,
        session_id: anomaly.session.as_deref(),
        reason: &reasons,
        verdict: response.verdict.name(),
        action_timestamp: anomaly.time.0,
    };
    EndSessions {
        idempotency_key: response.id.to_string(),
        org: anomaly.org.clone(),
        user: anomaly.user.clone(),
        anomaly: anomaly.id.to_string(),
        body: serde_json::to_string(&body).expect("strings and numbers always have a JSON form"),
        reasons,
    }
}
