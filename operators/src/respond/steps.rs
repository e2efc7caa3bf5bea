//! The steps of a response, as an executor goes through them: end the sessions, write the audit entry, tell everyone; or
//! only tell admins that nobody was answered. Owned here: the order of either, its steps and what each has to do. Not
//! owned here: doing it, and trying again.

use super::audit::{SESSIONS_RESET, response_entry, terms};
use super::escalation;
use super::message::{Message, message};
use super::words::escape_chat;
use crate::model::anomaly::Anomaly;
use crate::model::decision::{Decision, Escalation, Recipient, Response};
use crate::model::id::Id;
use engine::error::Error;
use engine::ledger::{Entry, Order};
use engine::time::Micros;
use serde::{Deserialize, Serialize};

/// The first step: end all sessions of the user.
pub const END_SESSIONS: &str = "end_sessions";

/// The second: the audit entry that says so.
pub const AUDIT: &str = "audit";

const MAIL: &str = "mail:";
const DM: &str = "dm:";

/// The lanes of all steps: which kinds there are.
pub const LANES: [&str; 4] = [END_SESSIONS, AUDIT, "mail", "dm"];

/// The version of the payload's layout.
const PAYLOAD_VERSION: u32 = 2;

/// What an order carries: all that its steps need.
#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    version: u32,
    anomaly: Anomaly,
    occasion: Occasion,
}

/// What an order is for.
#[derive(Debug, Serialize, Deserialize)]
enum Occasion {
    /// Sessions are to be ended.
    Response(Response),
    /// Admins are to be told that none are.
    Escalation(Escalation),
}

impl Payload {
    /// Whom there may be messages to.
    fn recipients(&self) -> &[Recipient] {
        match &self.occasion {
            Occasion::Response(response) => &response.recipients,
            Occasion::Escalation(escalation) => &escalation.recipients,
        }
    }

    /// The id of the order.
    fn id(&self) -> &Id {
        match &self.occasion {
            Occasion::Response(response) => &response.id,
            Occasion::Escalation(escalation) => &escalation.id,
        }
    }

    fn message(&self, recipient: &Recipient) -> Message {
        match &self.occasion {
            Occasion::Response(response) => message(recipient, &self.anomaly, response),
            Occasion::Escalation(escalation) => escalation::message(recipient, &self.anomaly, escalation),
        }
    }
}

/// The order of a decision: of a response, or of messages that there is none. `None` if it calls for neither.
pub fn order(decision: &Decision) -> Option<Order> {
    let (occasion, steps) = match (&decision.response, &decision.escalation) {
        (Some(response), _) => (Occasion::Response(response.clone()), steps(response)),
        (None, Some(escalation)) => {
            (Occasion::Escalation(escalation.clone()), messages(&escalation.recipients).collect())
        }
        (None, None) => return None,
    };
    let payload = Payload { version: PAYLOAD_VERSION, anomaly: decision.anomaly.clone(), occasion };
    Some(Order {
        id: payload.id().to_string(),
        at: decision.anomaly.at,
        group: decision.anomaly.org.clone(),
        payload: serde_json::to_vec(&payload).expect("a payload of names, numbers and lists has a JSON form"),
        steps,
    })
}

/// The steps of a response: sessions, entry, then the messages, the affected user's first.
pub fn steps(response: &Response) -> Vec<String> {
    [END_SESSIONS, AUDIT].map(str::to_owned).into_iter().chain(messages(&response.recipients)).collect()
}

/// A step for each message.
fn messages(recipients: &[Recipient]) -> impl Iterator<Item = String> {
    let mut people: Vec<&Recipient> = recipients.iter().collect();
    people.sort_by_key(|person| (!person.affected, &person.user));
    people.into_iter().flat_map(|person| {
        let mail = person.email.as_ref().map(|_| format!("{MAIL}{}", person.user));
        let dm = person.dm.as_ref().map(|_| format!("{DM}{}", person.user));
        mail.into_iter().chain(dm)
    })
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Left part of the Message-ID; the same for every attempt.
    pub id: String,
    /// Address of the recipient.
    pub to: String,
    /// Subject.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// HTML.
    pub html: String,
    /// For the `Date` header: effective time of the event that was answered.
    pub date: Micros,
}

/// A direct message to one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dm {
    /// The same for every attempt.
    pub id: String,
    /// Account of the recipient.
    pub to: String,
    /// Text with `&`, `<`, `>` escaped as Slack asks; links in it are not to be unfurled.
    pub text: String,
}

/// What the named step of an order has to do. `details` are what the steps before it left, by their index: the first
/// step's says how many sessions were ended.
///
/// # Errors
/// [`Error::Corrupt`] if the payload is not one of ours, of another version, or has no such step.
pub fn perform(step: &str, payload: &[u8], details: &[Option<String>]) -> Result<Performance, Error> {
    let payload = parse(payload)?;
    let to = |user: &str| payload.recipients().iter().find(|person| person.user == user);
    let performance = match (step, &payload.occasion) {
        (END_SESSIONS, Occasion::Response(response)) => {
            Some(Performance::EndSessions(end_sessions(&payload.anomaly, response)))
        }
        (AUDIT, Occasion::Response(response)) => {
            let ended = details.first().and_then(Option::as_deref).and_then(|count| count.parse().ok());
            Some(Performance::Entry(Entry {
                id: response.id.to_string(),
                at: payload.anomaly.at,
                dated: payload.anomaly.time,
                group: payload.anomaly.org.clone(),
                terms: terms(SESSIONS_RESET, &payload.anomaly.actor.id),
                body: response_entry(&payload.anomaly, response, ended),
            }))
        }
        _ => match (step.strip_prefix(MAIL), step.strip_prefix(DM)) {
            (Some(user), _) => to(user).and_then(|person| mail(person, &payload)).map(Performance::Mail),
            (None, Some(user)) => to(user).and_then(|person| dm(person, &payload)).map(Performance::Dm),
            (None, None) => None,
        },
    };
    performance.ok_or_else(|| Error::Corrupt(format!("order {} has no step `{step}`", payload.id())))
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

fn mail(person: &Recipient, payload: &Payload) -> Option<Mail> {
    let to = person.email.clone()?;
    let Message { subject, text, html } = payload.message(person);
    let id = Id::of("mail", &[payload.id().as_str().as_bytes(), person.user.as_bytes()]).to_string();
    Some(Mail { id, to, subject, text, html, date: payload.anomaly.at })
}

fn dm(person: &Recipient, payload: &Payload) -> Option<Dm> {
    let to = person.dm.clone()?;
    let message = payload.message(person);
    let id = Id::of("dm", &[payload.id().as_str().as_bytes(), person.user.as_bytes()]).to_string();
    Some(Dm { id, to, text: escape_chat(&format!("{}\n\n{}", message.subject, message.text)) })
}
