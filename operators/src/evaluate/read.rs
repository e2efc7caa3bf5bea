//! Lines as they stand in the files, and what of them is judged.

use super::Lines;
use crate::model::decision::Outcome;
use crate::model::reason::Reason;
use crate::sample::label::Label;
use engine::error::Error;
use engine::time::Micros;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// An anomaly or a response, as far as it is judged.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mention {
    /// The org, where the entry says so for certain.
    pub(super) org: Option<String>,
    /// `context.location.id`: the org, or a workspace of it.
    pub(super) location: String,
    pub(super) user: String,
    pub(super) session: Option<String>,
    pub(super) at: Micros,
    pub(super) reasons: Vec<Reason>,
}

/// What an audit file says.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// Anomalies by id.
    pub(super) anomalies: BTreeMap<String, Mention>,
    /// Responses, with the id of the anomaly that each answers.
    pub(super) responses: Vec<(Option<String>, Mention)>,
}

/// One line of `decisions.ndjson`.
#[derive(Debug, Deserialize)]
pub(super) struct DecisionLine {
    pub(super) anomaly_id: String,
    pub(super) org: String,
    pub(super) user: String,
    pub(super) session_id: Option<String>,
    pub(super) by_reason: BTreeMap<String, Outcome>,
    pub(super) date_create: u64,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    date_create: u64,
    action: String,
    actor: Actor,
    context: Context,
    #[serde(default)]
    details: Details,
}

#[derive(Deserialize)]
struct Actor {
    user: User,
}

#[derive(Deserialize)]
struct User {
    id: String,
}

#[derive(Deserialize)]
struct Context {
    location: Location,
    enterprise_id: Option<String>,
    session_id: Option<Value>,
}

#[derive(Deserialize)]
struct Location {
    id: String,
}

#[derive(Default, Deserialize)]
struct Details {
    #[serde(default)]
    reason: Value,
    action_timestamp: Option<u64>,
    anomaly_id: Option<String>,
}

impl From<Entry> for Mention {
    fn from(entry: Entry) -> Self {
        let codes = match &entry.details.reason {
            Value::Array(codes) => codes.iter().filter_map(Value::as_str).collect(),
            Value::String(code) => vec![code.as_str()],
            _ => Vec::new(),
        };
        Mention {
            org: entry.context.enterprise_id,
            location: entry.context.location.id,
            user: entry.actor.user.id,
            session: match entry.context.session_id {
                Some(Value::String(session)) => Some(session),
                Some(Value::Number(session)) => Some(session.to_string()),
                _ => None,
            },
            at: entry.details.action_timestamp.map_or(Micros::from_secs(entry.date_create), Micros),
            // A code that is not in the catalogue was found elsewhere and is not ours to score.
            reasons: codes.into_iter().filter_map(|code| code.parse().ok()).collect(),
        }
    }
}

/// Every line that is not blank, read as a `T`.
fn each<T: DeserializeOwned>(from: Lines<'_>, mut take: impl FnMut(T) -> Result<(), String>) -> Result<(), Error> {
    for (index, line) in from.lines.enumerate() {
        let line = line.map_err(Error::io("read", from.name))?;
        let text = line.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            continue;
        }
        let taken = serde_json::from_str(text).map_err(|error| error.to_string()).and_then(&mut take);
        taken.map_err(|reason| Error::Invalid(format!("{}:{}: {reason}", from.name, index + 1)))?;
    }
    Ok(())
}

pub(super) fn labels(from: Lines<'_>) -> Result<Vec<Label>, Error> {
    let (mut labels, mut ids) = (Vec::new(), BTreeSet::new());
    each(from, |label: Label| {
        if label.end < label.start {
            return Err(format!("label {}: `end` lies before `start`", label.label_id));
        }
        if !ids.insert(label.label_id.clone()) {
            return Err(format!("label_id {} stands here a second time", label.label_id));
        }
        labels.push(label);
        Ok(())
    })?;
    Ok(labels)
}

pub(super) fn audit(from: Lines<'_>) -> Result<Audit, Error> {
    let mut audit = Audit::default();
    each(from, |mut entry: Entry| {
        match entry.action.as_str() {
            "anomaly" => {
                audit.anomalies.insert(std::mem::take(&mut entry.id), entry.into());
            }
            "user_sessions_reset_by_anomaly_event_response" => {
                audit.responses.push((entry.details.anomaly_id.take(), entry.into()));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(audit)
}

pub(super) fn decisions(from: Lines<'_>) -> Result<Vec<DecisionLine>, Error> {
    let mut decisions = Vec::new();
    each(from, |decision: DecisionLine| {
        decisions.push(decision);
        Ok(())
    })?;
    Ok(decisions)
}
