//! `labels.ndjson`: what was planted, and what is expected of it. Written by the generator, read by `evaluate`.

use crate::model::decision::Outcome;
use crate::model::reason::Reason;
use engine::time::Micros;
use serde::{Deserialize, Serialize};

/// Whether the planted thing is to be found or to be left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// To be found.
    Attack,
    /// Looks like an attack and is none: no response may fire, except within `max_responses` of a `chain`.
    Benign,
}

/// How hard the planted thing is to tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difficulty {
    /// Nobody would miss it.
    #[default]
    Blatant,
    /// Clearly over what the rule should see.
    Moderate,
    /// Just over what the rule should see.
    Stealthy,
    /// An honest user who shows the condition again after each reset.
    Loop,
    /// A look-alike.
    Benign,
}

/// One line of `labels.ndjson`. Times are event time in Unix seconds, with decimals where needed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// Unique within the file.
    pub label_id: String,
    /// The org.
    pub org: String,
    /// The user, `*` for everybody in the org.
    pub user: String,
    /// The session, where the planted thing stays within one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// What it is, or for a look-alike what it might be taken for.
    #[serde(with = "codes")]
    pub reasons: Vec<Reason>,
    /// First planted event.
    #[serde(with = "seconds")]
    pub start: Micros,
    /// No anomaly of this label is triggered after it.
    #[serde(with = "seconds")]
    pub end: Micros,
    /// The event from which on the rule can tell.
    #[serde(with = "seconds")]
    pub first_detectable: Micros,
    /// To be found or to be left alone.
    pub kind: Kind,
    /// What happens, for people.
    #[serde(default)]
    pub note: String,
    /// Name of the scenario.
    #[serde(default)]
    pub scenario: String,
    /// How hard it is.
    #[serde(default)]
    pub difficulty: Difficulty,
    /// Whether a response has to follow, with this org's settings at that time.
    #[serde(default)]
    pub must_respond: bool,
    /// The reasons that the org wants answered.
    #[serde(default, with = "codes")]
    pub respond_reasons: Vec<Reason>,
    /// Reasons that rightly come along.
    #[serde(default, with = "codes")]
    pub also: Vec<Reason>,
    /// Reasons that may come along and count neither way.
    #[serde(default, with = "codes")]
    pub tolerated: Vec<Reason>,
    /// What may be decided about `reasons`; any of these is right. Empty: nothing is expected.
    #[serde(default)]
    pub expected_decisions: Vec<Outcome>,
    /// Most responses that are right; none set: one for an attack, none for a look-alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_responses: Option<u64>,
    /// A persisting attack or an honest user in a loop: finding it is right, endless answers are not.
    #[serde(default)]
    pub chain: bool,
}

/// Reasons as their codes.
mod codes {
    use crate::model::reason::Reason;
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(reasons: &[Reason], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(reasons.iter().map(|reason| reason.code()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Reason>, D::Error> {
        Vec::<String>::deserialize(from)?.iter().map(|code| code.parse().map_err(D::Error::custom)).collect()
    }
}

/// Times as Unix seconds: whole ones without a fraction, others to the microsecond.
mod seconds {
    use engine::time::Micros;
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(at: &Micros, to: S) -> Result<S::Ok, S::Error> {
        if at.0.is_multiple_of(1_000_000) { to.serialize_u64(at.secs()) } else { to.serialize_f64(at.0 as f64 / 1e6) }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Micros, D::Error> {
        let secs = f64::deserialize(from)?;
        if !(0.0..1e10).contains(&secs) {
            return Err(D::Error::custom(format!("{secs} is not a time in Unix seconds")));
        }
        Ok(Micros((secs * 1e6).round() as u64))
    }
}
