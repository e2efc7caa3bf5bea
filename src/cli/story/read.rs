//! What of the outputs the story needs. Owned here: reading it, line by line, with file and line in what goes wrong.

use crate::cli::generate::Files;
use crate::cli::{Failure, open};
use crate::execute::{AUDIT, OUTBOX};
use crate::job::DECISIONS;
use engine::error::Error;
use engine::time::Micros;
use operators::model::decision::Outcome;
use operators::respond::audit::{ANOMALY, SESSIONS_RESET};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, Read};
use std::path::Path;

/// Everything that was read.
#[derive(Debug, Default)]
pub(in crate::cli) struct Told {
    pub(super) activity: Activity,
    pub(super) anomalies: Vec<Entry>,
    pub(super) responses: Vec<Entry>,
    pub(super) decisions: Vec<Decision>,
    pub(super) mails: Vec<Mail>,
    pub(super) other_messages: u64,
}

/// What the input says of itself.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Activity {
    /// Names by id of where things happened.
    pub(super) orgs: BTreeMap<String, String>,
    pub(super) people: BTreeSet<String>,
    pub(super) first: Micros,
    pub(super) last: Micros,
}

/// An audit entry.
#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    #[serde(default)]
    pub(super) id: String,
    date_create: f64,
    pub(super) action: String,
    pub(super) actor: Actor,
    pub(super) context: Context,
    #[serde(default)]
    pub(super) details: Details,
}

impl Entry {
    pub(super) fn at(&self) -> Micros {
        Micros(self.details.action_timestamp.unwrap_or((self.date_create * 1e6) as u64))
    }

    /// What makes two anomalies alike to a reader.
    pub(super) fn kind(&self) -> (Vec<String>, Vec<String>) {
        let metrics = self.details.evidence.iter().map(|evidence| evidence.metric.clone()).collect();
        (self.details.reason.clone(), metrics)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Actor {
    pub(super) user: User,
}

#[derive(Debug, Deserialize)]
pub(super) struct User {
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Context {
    pub(super) location: Location,
}

#[derive(Debug, Deserialize)]
pub(super) struct Location {
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Details {
    #[serde(default)]
    pub(super) reason: Vec<String>,
    action_timestamp: Option<u64>,
    pub(super) verdict: Option<String>,
    #[serde(default)]
    pub(super) evidence: Vec<Evidence>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Evidence {
    pub(super) metric: String,
    pub(super) observed: Value,
    pub(super) threshold: Option<Value>,
    #[serde(default)]
    pub(super) threshold_source: String,
    pub(super) samples: Option<u64>,
    pub(super) window_start: Option<u64>,
    pub(super) window_end: Option<u64>,
}

/// A line of `decisions.ndjson`.
#[derive(Debug, Deserialize)]
pub(super) struct Decision {
    pub(super) anomaly_id: String,
    pub(super) user: String,
    pub(super) reason: Vec<String>,
    pub(super) decision: Outcome,
}

/// The head of a mail.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mail {
    pub(super) to: String,
    pub(super) subject: String,
}

impl Told {
    pub(in crate::cli) fn read(dir: &Path, files: &Files) -> Result<Told, Failure> {
        let mut told = Told { activity: Activity::read(open(&files.events)?), ..Told::default() };
        let audit = dir.join(AUDIT);
        for entry in lines::<Entry>(&audit)? {
            told.take(entry);
        }
        told.anomalies.sort_by_key(Entry::at);
        told.responses.sort_by_key(Entry::at);
        told.decisions = lines(&dir.join(DECISIONS))?;
        (told.mails, told.other_messages) = outbox(&dir.join(OUTBOX))?;
        Ok(told)
    }

    pub(super) fn take(&mut self, entry: Entry) {
        match entry.action.as_str() {
            ANOMALY => self.anomalies.push(entry),
            SESSIONS_RESET => self.responses.push(entry),
            _ => {}
        }
    }
}

/// The part of an event that the story needs.
#[derive(Deserialize)]
struct Event {
    date_create: f64,
    actor: Actor,
    context: Context,
}

impl Activity {
    /// Reads events; lines that are none are not activity.
    pub(super) fn read(from: impl BufRead) -> Activity {
        let mut activity = Activity { first: Micros(u64::MAX), ..Activity::default() };
        for line in from.lines().map_while(Result::ok) {
            let Ok(event) = serde_json::from_str::<Event>(&line) else { continue };
            let at = Micros((event.date_create * 1e6) as u64);
            activity.first = activity.first.min(at);
            activity.last = activity.last.max(at);
            activity.orgs.entry(event.context.location.id).or_insert(event.context.location.name);
            activity.people.insert(event.actor.user.id);
        }
        activity.first = activity.first.min(activity.last);
        activity
    }
}

fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, Failure> {
    let mut all = Vec::new();
    for (index, line) in open(path)?.lines().enumerate() {
        let line = line.map_err(Error::io("read", path))?;
        let read = serde_json::from_str(&line);
        all.push(read.map_err(|error| Failure::Failed(format!("{}:{}: {error}", path.display(), index + 1)))?);
    }
    Ok(all)
}

/// The mails of an outbox in order of their names, and how many other messages there are.
fn outbox(folder: &Path) -> Result<(Vec<Mail>, u64), Failure> {
    let (mut mails, mut others) = (BTreeMap::new(), 0);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        Err(error) => return Err(Error::io("list", folder)(error).into()),
    };
    for entry in entries {
        let path = entry.map_err(Error::io("list", folder))?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("eml") => drop(mails.insert(path.clone(), mail_head(&path)?)),
            Some("json") => others += 1,
            _ => {}
        }
    }
    Ok((mails.into_values().collect(), others))
}

/// A mail's headers end early; what follows is not read.
const MAIL_HEAD_BYTES: u64 = 16 * 1024;

fn mail_head(path: &Path) -> Result<Mail, Failure> {
    let mut head = Vec::new();
    open(path)?.take(MAIL_HEAD_BYTES).read_to_end(&mut head).map_err(Error::io("read", path))?;
    Ok(head_of(&String::from_utf8_lossy(&head)))
}

/// Recipient and subject, unfolded (RFC 5322, 2.2.3).
pub(super) fn head_of(text: &str) -> Mail {
    let mut headers: Vec<String> = Vec::new();
    for line in text.lines().take_while(|line| !line.is_empty()) {
        match headers.last_mut().filter(|_| line.starts_with([' ', '\t'])) {
            Some(header) => {
                header.push(' ');
                header.push_str(line.trim());
            }
            None => headers.push(line.to_owned()),
        }
    }
    let value = |name: &str| {
        let found = headers.iter().find_map(|header| header.strip_prefix(name)?.strip_prefix(':'));
        found.unwrap_or_default().trim().to_owned()
    };
    Mail { to: value("To"), subject: value("Subject") }
}
