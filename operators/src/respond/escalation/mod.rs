//! What admins are told when an anomaly is not answered because a limit was reached. Owned here: the words, and their way
//! into a message. Not owned here: who is told and when (`decide`), and how values are kept from being more than text
//! (`words`).

use super::message::{Message, utc};
use super::words::{Language, Value, clean, fill_html, fill_text};
use crate::model::anomaly::Anomaly;
use crate::model::decision::{Escalation, Outcome, Recipient};

/// The words of one language; the first line of the text is the subject.
struct Words {
    text: &'static str,
    unknown: &'static str,
    /// Why somebody is not answered, and what to do about it.
    person: [&'static str; 2],
    org: [&'static str; 2],
    latched: [&'static str; 2],
}

const ENGLISH: Words = Words {
    text: include_str!("en.txt"),
    unknown: "unknown",
    person: [
        "this person was signed out as often as is allowed within a day.",
        "If it is the person themselves, exclude them or trust their network; if not, lock the account.",
    ],
    org: [
        "as many people were signed out within an hour as is allowed for the organisation.",
        "Others may be affected too. Within an hour responses go on by themselves.",
    ],
    latched: [
        "as many people were signed out within an hour as is allowed for the organisation, and responses have stopped.",
        "Others may be affected too. Responses go on once the stop has been lifted.",
    ],
};

const GERMAN: Words = Words {
    text: include_str!("de.txt"),
    unknown: "unbekannt",
    person: [
        "die Person wurde so oft abgemeldet, wie es an einem Tag erlaubt ist.",
        "Ist es die Person selbst, nehmen Sie sie aus oder vertrauen Sie ihrem Netz; sonst sperren Sie das Konto.",
    ],
    org: [
        "es wurden so viele Menschen abgemeldet, wie es in der Organisation innerhalb einer Stunde erlaubt ist.",
        "Andere können auch betroffen sein. Binnen einer Stunde geht es von selbst weiter.",
    ],
    latched: [
        "es wurden so viele Menschen abgemeldet, wie es in der Organisation innerhalb einer Stunde erlaubt ist, und seither \
         wird niemand mehr abgemeldet.",
        "Andere können auch betroffen sein. Es geht weiter, sobald die Sperre aufgehoben ist.",
    ],
};

/// What a recipient is told.
pub fn message(recipient: &Recipient, anomaly: &Anomaly, escalation: &Escalation) -> Message {
    let words = match Language::of(&recipient.locale).tag {
        "de" => &GERMAN,
        _ => &ENGLISH,
    };
    let values = values(words, recipient, anomaly, escalation);
    let filled = fill_text(words.text, &values);
    let (subject, text) = filled.split_once("\n\n").expect("a test reads all words: the subject comes first");
    Message { subject: subject.to_owned(), text: text.to_owned(), html: html(text) }
}

fn values(
    words: &Words,
    recipient: &Recipient,
    anomaly: &Anomaly,
    escalation: &Escalation,
) -> Vec<(&'static str, Value)> {
    let text = |text: &str| match clean(text) {
        text if text.is_empty() => Value::Text(words.unknown.to_owned()),
        text => Value::Text(text),
    };
    let [cause, advice] = match escalation.cause {
        Outcome::RateLimited if escalation.latched => words.latched,
        Outcome::RateLimited => words.org,
        _ => words.person,
    };
    let or = |name: &str, id: &str| text(if name.is_empty() { id } else { name });
    let reasons: Vec<&str> = anomaly.reasons.iter().map(|reason| reason.code()).collect();
    vec![
        ("org", or(&anomaly.place.name, &anomaly.org)),
        ("name", or(&recipient.name, &recipient.user)),
        ("affected", or(&anomaly.actor.name, &anomaly.user)),
        ("affected_id", text(&anomaly.user)),
        ("cause", Value::Text(cause.to_owned())),
        ("advice", Value::Text(advice.to_owned())),
        ("reasons", Value::Text(reasons.join(", "))),
        ("time", Value::Text(utc(anomaly.time))),
        ("network", text(&anomaly.ip_address)),
        ("reference", Value::Text(escalation.id.to_string())),
    ]
}

/// The paragraphs of a text.
fn html(text: &str) -> String {
    let line = |line: &str| fill_html("{{line}}", &[("line", Value::Text(line.to_owned()))]);
    let paragraph = |text: &str| format!("<p>{}</p>", text.lines().map(line).collect::<Vec<_>>().join("<br>"));
    text.trim_end().split("\n\n").map(paragraph).collect::<Vec<_>>().join("\n")
}
