//! What people are told of a response: the affected user that and why they were signed out and what to do, admins
//! whose sessions were ended and on what evidence. Plain text and HTML, in the recipient's language where there is one.

use super::templates::{Language, Template, Templates};
use super::words::{Value, clean};
use crate::limits::MESSAGE_EVIDENCE_MAX;
use crate::model::anomaly::{Anomaly, Evidence};
use crate::model::decision::{Escalation, Outcome, Recipient, Response};
use crate::model::id::Id;
use crate::model::reason::Reason;
use engine::time::Micros;
use serde::{Deserialize, Serialize};

/// A message to one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as HTML, without a link or anything to load.
    pub html: String,
}

/// What one person is to be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Telling {
    /// Who.
    pub recipient: Recipient,
    /// What was found.
    pub anomaly: Anomaly,
    /// What came of it.
    pub occasion: Occasion,
    /// How many sessions were ended, if that is known.
    pub ended: Option<u64>,
}

/// What an order is for, and its messages about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Occasion {
    /// Sessions are ended.
    Response(Response),
    /// Admins are told of several responses, of which this is the last.
    Repeats(Response, Repeats),
    /// Admins are told that nobody was answered.
    Escalation(Escalation),
}

/// Responses to one user that admins were not told of one by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeats {
    /// Of the message.
    pub id: Id,
    /// When it is due.
    pub at: Micros,
    /// How many there were.
    pub count: u64,
    /// Event time of the first.
    pub since: Micros,
    /// Why, over all of them.
    pub reasons: Vec<Reason>,
}

impl Occasion {
    /// The id of its order.
    pub fn id(&self) -> &Id {
        match self {
            Occasion::Response(response) => &response.id,
            Occasion::Repeats(_, repeats) => &repeats.id,
            Occasion::Escalation(escalation) => &escalation.id,
        }
    }

    /// Whom there may be messages to.
    pub fn recipients(&self) -> &[Recipient] {
        match self {
            Occasion::Response(response) | Occasion::Repeats(response, _) => &response.recipients,
            Occasion::Escalation(escalation) => &escalation.recipients,
        }
    }
}

/// What a recipient reads, in their language. Who is affected is told as that, whatever else they are.
pub fn message(templates: &Templates, telling: &Telling) -> Message {
    let language = templates.of(&telling.recipient.locale);
    let values = values(language, telling);
    let Template { subject, text, html } = match telling.occasion {
        Occasion::Repeats(..) => &language.digest,
        Occasion::Escalation(_) => &language.escalation,
        Occasion::Response(_) if telling.recipient.affected => &language.user,
        Occasion::Response(_) => &language.admin,
    };
    Message { subject: subject.text(&values), text: text.text(&values), html: html.html(&values) }
}

fn values(language: &Language, telling: &Telling) -> Vec<(&'static str, Value)> {
    let Telling { recipient, anomaly, occasion, ended } = telling;
    let phrase = |name: &str| say(language, name, &[]);
    let unknown = |text: String| if text.is_empty() { phrase("unknown") } else { text };
    let text = |text: &str| Value::Text(unknown(clean(text)));
    let time = |at| Value::Text(time(language, at));
    let reasons = match occasion {
        Occasion::Response(response) => &response.reasons,
        Occasion::Repeats(_, repeats) => &repeats.reasons,
        Occasion::Escalation(_) => &anomaly.reasons,
    };
    let named = |kind: &str, reason: &Reason| language.phrase(&format!("{kind}.{reason}")).map(|said| said.text(&[]));
    let list = |kind: &str| Value::List(reasons.iter().filter_map(|reason| named(kind, reason)).collect());
    let told = match (recipient.primary_owner, recipient.security_admin) {
        (true, true) => "told.both",
        (true, false) => "told.primary_owner",
        _ => "told.security_admin",
    };
    let mut values = vec![
        ("org", text(&org(anomaly))),
        ("name", text(if recipient.name.is_empty() { &recipient.user } else { &recipient.name })),
        ("affected", text(if anomaly.actor.name.is_empty() { &anomaly.user } else { &anomaly.actor.name })),
        ("affected_id", text(&anomaly.user)),
        ("reasons", list("reason")),
        ("advice", list("advice")),
        ("time", time(anomaly.time)),
        ("session", text(anomaly.session.as_deref().unwrap_or_default())),
        ("client", Value::Text(unknown(client(anomaly)))),
        ("network", Value::Text(unknown(network(anomaly)))),
        ("evidence", Value::List(anomaly.evidence.iter().take(MESSAGE_EVIDENCE_MAX).map(evidence).collect())),
        ("told", Value::Text(phrase(told))),
        ("reference", Value::Text(occasion.id().to_string())),
    ];
    let verdict =
        |response: &Response| ("verdict", Value::Text(phrase(&format!("verdict.{}", response.verdict.name()))));
    match occasion {
        Occasion::Response(response) => {
            values.extend([verdict(response), ("sessions", Value::Text(sessions(language, *ended)))]);
        }
        Occasion::Repeats(response, repeats) => {
            let count = ("count", Value::Text(repeats.count.to_string()));
            values.extend([verdict(response), count, ("since", time(repeats.since))]);
        }
        Occasion::Escalation(escalation) => {
            let limit = match escalation.cause {
                Outcome::RateLimited if escalation.latched => "latched",
                Outcome::RateLimited => "org",
                _ => "person",
            };
            let of = |kind: &str| Value::Text(phrase(&format!("{kind}.{limit}")));
            values.extend([("cause", of("cause")), ("next", of("next"))]);
        }
    }
    values
}

/// A phrase with its own values. Templates are checked for having all of them.
fn say(language: &Language, name: &str, values: &[(&'static str, Value)]) -> String {
    language.phrase(name).map(|phrase| phrase.text(values)).unwrap_or_default()
}

/// Which sessions were ended.
fn sessions(language: &Language, ended: Option<u64>) -> String {
    match ended {
        Some(count) => say(language, "sessions.counted", &[("count", Value::Text(count.to_string()))]),
        None => say(language, "sessions.all", &[]),
    }
}

/// A point of time as the language writes it, in UTC.
fn time(language: &Language, at: Micros) -> String {
    let civil = Civil::of(at);
    let two = |number: u64| Value::Text(format!("{number:02}"));
    let values = [
        ("year", Value::Text(format!("{:04}", civil.year))),
        ("month", two(civil.month)),
        ("day", two(civil.day)),
        ("hour", two(civil.hour)),
        ("minute", two(civil.minute)),
        ("second", two(civil.second)),
    ];
    say(language, "time", &values)
}

/// The org by name where the event has one.
fn org(anomaly: &Anomaly) -> String {
    if anomaly.place.name.is_empty() { anomaly.org.clone() } else { anomaly.place.name.clone() }
}

/// The user agent, and in brackets the client as it was measured.
fn client(anomaly: &Anomaly) -> String {
    let measured = anomaly.evidence.iter().find(|piece| matches!(&*piece.metric, "detected_client" | "scraping_tool"));
    with_note(&anomaly.ua, measured.map_or("", |piece| &piece.observed))
}

/// The address, and in brackets where it is.
fn network(anomaly: &Anomaly) -> String {
    with_note(&anomaly.ip_address, &anomaly.location)
}

fn with_note(text: &str, note: &str) -> String {
    match (clean(text), clean(note)) {
        (text, note) if note.is_empty() => text,
        (text, note) if text.is_empty() => note,
        (text, note) => format!("{text} ({note})"),
    }
}

/// What was measured, and in brackets what it was held against and where that came from.
fn evidence(piece: &Evidence) -> String {
    let line = format!("{}: {} = {}", clean(&piece.reason), clean(&piece.metric), clean(&piece.observed));
    match (clean(&piece.threshold_source), clean(&piece.threshold)) {
        (_, threshold) if threshold.is_empty() => line,
        (source, threshold) if source.is_empty() => format!("{line} ({threshold})"),
        (source, threshold) => format!("{line} ({source}: {threshold})"),
    }
}

/// A point of time for people: `2026-01-01 00:00:00 UTC`.
pub fn utc(at: Micros) -> String {
    let Civil { year, month, day, hour, minute, second } = Civil::of(at);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// A point of time by the civil calendar.
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Civil {
    /// The civil date is Howard Hinnant's `civil_from_days`.
    fn of(at: Micros) -> Self {
        let (days, second) = (at.secs() / 86_400, at.secs() % 86_400);
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Civil {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            hour: second / 3_600,
            minute: second / 60 % 60,
            second: second % 60,
        }
    }
}
