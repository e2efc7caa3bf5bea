//! Lines as they stand in the files, and what of them is judged.

use super::Lines;
use crate::model::decision::Outcome;
use crate::model::reason::Reason;
use crate::respond::audit::{ANOMALY, SESSIONS_RESET};
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
    pub(super) evidence: Vec<Piece>,
}

/// A piece of evidence, as far as it says what was held against.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Piece {
    #[serde(default)]
    pub(super) reason: String,
    #[serde(default)]
    pub(super) metric: String,
    #[serde(default)]
    pub(super) threshold: Value,
    #[serde(default)]
    pub(super) threshold_source: String,
    pub(super) samples: Option<u64>,
}

/// What an audit file says.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// Anomalies by id.
    pub(super) anomalies: BTreeMap<String, Mention>,
    /// Responses, with the id of the anomaly that each answers.
    pub(super) responses: Vec<(Option<String>, Mention)>,
}

impl Audit {
    pub(super) fn extend(&mut self, other: Audit) {
        self.anomalies.extend(other.anomalies);
        self.responses.extend(other.responses);
    }

    /// Gives every entry its org where decisions tell it: they name the org also where an entry's location is a
    /// workspace, and what is true of one entry is true of all of that workspace.
    pub(super) fn place(&mut self, decisions: &[DecisionLine]) {
        let by_location = |line: &DecisionLine| {
            let anomaly = self.anomalies.get(&line.anomaly_id)?;
            Some((anomaly.location.clone(), line.org.clone()))
        };
        let orgs: BTreeMap<String, String> = decisions.iter().filter_map(by_location).collect();
        let responses = self.responses.iter_mut().map(|(_, response)| response);
        for entry in self.anomalies.values_mut().chain(responses).filter(|entry| entry.org.is_none()) {
            entry.org = orgs.get(&entry.location).cloned();
        }
    }
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
    #[serde(default)]
    evidence: Vec<Piece>,
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
            evidence: entry.details.evidence,
        }
    }
}

/// Puts the number of the run before a name, if there are several.
fn number(run: Option<usize>, name: &mut String) {
    if let Some(run) = run {
        name.insert_str(0, &format!("{run}/"));
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

pub(super) fn labels(from: Lines<'_>, run: Option<usize>) -> Result<Vec<Label>, Error> {
    let (mut labels, mut ids) = (Vec::new(), BTreeSet::new());
    each(from, |mut label: Label| {
        if label.end < label.start {
            return Err(format!("label {}: `end` lies before `start`", label.label_id));
        }
        if !ids.insert(label.label_id.clone()) {
            return Err(format!("label_id {} stands here a second time", label.label_id));
        }
        [&mut label.label_id, &mut label.org].into_iter().for_each(|name| number(run, name));
        // `*` stays what it is.
        Some(&mut label.user).filter(|user| *user != "*").into_iter().for_each(|user| number(run, user));
        labels.push(label);
        Ok(())
    })?;
    Ok(labels)
}

pub(super) fn audit(from: Lines<'_>, run: Option<usize>) -> Result<Audit, Error> {
    let mut audit = Audit::default();
    each(from, |mut entry: Entry| {
        number(run, &mut entry.context.location.id);
        number(run, &mut entry.actor.user.id);
        entry.context.enterprise_id.as_mut().into_iter().for_each(|org| number(run, org));
        match entry.action.as_str() {
            ANOMALY => {
                number(run, &mut entry.id);
                audit.anomalies.insert(std::mem::take(&mut entry.id), entry.into());
            }
            SESSIONS_RESET => {
                entry.details.anomaly_id.as_mut().into_iter().for_each(|id| number(run, id));
                audit.responses.push((entry.details.anomaly_id.take(), entry.into()));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(audit)
}

pub(super) fn decisions(from: Lines<'_>, run: Option<usize>) -> Result<Vec<DecisionLine>, Error> {
    let mut decisions = Vec::new();
    each(from, |mut decision: DecisionLine| {
        let DecisionLine { anomaly_id, org, user, .. } = &mut decision;
        [anomaly_id, org, user].into_iter().for_each(|name| number(run, name));
        decisions.push(decision);
        Ok(())
    })?;
    Ok(decisions)
}

/// The part of an event that says whose day it is.
#[derive(Deserialize)]
struct Event {
    date_create: f64,
    actor: Actor,
    context: Context,
}

/// How many days (UTC) of all users together there are on which a user did something. Lines that are no events are none.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read.
pub fn user_days(from: Lines<'_>) -> Result<u64, Error> {
    let mut days: BTreeMap<(String, String), BTreeSet<u64>> = BTreeMap::new();
    for line in from.lines {
        let line = line.map_err(Error::io("read", from.name))?;
        let Ok(event) = serde_json::from_str::<Event>(&line) else { continue };
        let org = event.context.enterprise_id.unwrap_or(event.context.location.id);
        days.entry((org, event.actor.user.id)).or_default().insert(event.date_create as u64 / 86_400);
    }
    Ok(days.values().map(|days| days.len() as u64).sum())
}
