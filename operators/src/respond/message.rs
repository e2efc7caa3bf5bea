//! What people are told of a response: the affected user that and why they were signed out and what to do, admins
//! whose sessions were ended and on what evidence. Plain text and HTML, in the recipient's language where there is one.

use super::words::{Language, Template, Value, clean, fill_html, fill_text};
use crate::limits::MESSAGE_EVIDENCE_MAX;
use crate::model::anomaly::{Anomaly, Evidence};
use crate::model::decision::{Recipient, Response};
use crate::model::reason::Reason;
use engine::time::Micros;

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

/// What a recipient is told. Who is affected reads that, whatever else they are.
pub fn message(recipient: &Recipient, anomaly: &Anomaly, response: &Response) -> Message {
    let language = Language::of(&recipient.locale);
    let values = values(language, recipient, anomaly, response);
    let Template { text, html } = if recipient.affected { &language.user } else { &language.admin };
    let filled = fill_text(text, &values);
    let (subject, text) = filled.split_once("\n\n").expect("templates are checked by a test: the subject comes first");
    Message {
        subject: subject.trim_start_matches("Subject: ").to_owned(),
        text: text.to_owned(),
        html: fill_html(html, &values),
    }
}

fn values(
    language: &Language,
    recipient: &Recipient,
    anomaly: &Anomaly,
    response: &Response,
) -> Vec<(&'static str, Value)> {
    let phrase = |name: &str| language.phrase(name).expect("phrases are checked by a test: every name has one");
    let unknown = |text: String| if text.is_empty() { phrase("unknown").to_owned() } else { text };
    let text = |text: &str| Value::Text(unknown(clean(text)));
    let named = |kind: &str, reason: &Reason| language.phrase(&format!("{kind}.{reason}")).map(str::to_owned);
    let list = |kind: &str| Value::List(response.reasons.iter().filter_map(|reason| named(kind, reason)).collect());
    let told = match (recipient.primary_owner, recipient.security_admin) {
        (true, true) => "told.both",
        (true, false) => "told.primary_owner",
        _ => "told.security_admin",
    };
    vec![
        ("org", text(&org(anomaly))),
        ("name", text(if recipient.name.is_empty() { &recipient.user } else { &recipient.name })),
        ("affected", text(if anomaly.actor.name.is_empty() { &anomaly.user } else { &anomaly.actor.name })),
        ("affected_id", text(&anomaly.user)),
        ("reasons", list("reason")),
        ("advice", list("advice")),
        ("verdict", Value::Text(phrase(&format!("verdict.{}", response.verdict.name())).to_owned())),
        ("time", Value::Text(utc(anomaly.time))),
        ("session", text(anomaly.session.as_deref().unwrap_or_default())),
        ("client", Value::Text(unknown(client(anomaly)))),
        ("network", Value::Text(unknown(network(anomaly)))),
        ("evidence", Value::List(anomaly.evidence.iter().take(MESSAGE_EVIDENCE_MAX).map(evidence).collect())),
        ("told", Value::Text(phrase(told).to_owned())),
        ("reference", Value::Text(response.id.to_string())),
    ]
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

/// A point of time for people: `2026-01-01 00:00:00 UTC`. The civil date is Howard Hinnant's `civil_from_days`.
pub fn utc(at: Micros) -> String {
    let (days, second) = (at.secs() / 86_400, at.secs() % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}
