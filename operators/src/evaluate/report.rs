//! The result, as it stands in `--json`. Owned here: its members and what they mean.

use super::read::Mention;
use super::thresholds::ThresholdRow;
use crate::model::reason::Reason;
use crate::sample::label::{Difficulty, Label};
use engine::time::Micros;
use serde::Serialize;

/// Most findings that a report lists.
pub(super) const FINDINGS_MAX: usize = 1_000;

/// How good it was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Labels read.
    pub labels: u64,
    /// Anomaly entries read.
    pub anomalies: u64,
    /// Days of all users together, if known.
    pub user_days: Option<u64>,
    /// Anomalies that an org can have answered.
    pub answerable: Anomalies,
    /// Anomalies that are only logged.
    pub log_only: Anomalies,
    /// One row per reason that was planted or raised.
    pub reasons: Vec<ReasonRow>,
    /// The responses.
    pub responses: Responses,
    /// Decisions against what the orgs had set; absent without a decisions file.
    pub decisions: Option<Decisions>,
    /// What anomalies were held against, as their evidence says.
    pub thresholds: Vec<ThresholdRow>,
    /// Each miss, false alarm, wrongful response and wrong decision.
    pub findings: Vec<Finding>,
    /// Findings beyond those listed.
    pub findings_dropped: u64,
}

/// How many anomalies there were.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Anomalies {
    /// All of them.
    pub total: u64,
    /// Those that no planted thing explains, not even as something that may come along.
    pub false_alarms: u64,
    /// All per 10,000 user-days.
    pub per_10k: Option<f64>,
    /// Those that nothing explains, per 10,000 user-days.
    pub false_per_10k: Option<f64>,
}

impl Anomalies {
    pub(super) fn per(self, user_days: Option<u64>) -> Self {
        let rates = (per_10k(self.total, user_days), per_10k(self.false_alarms, user_days));
        Anomalies { per_10k: rates.0, false_per_10k: rates.1, ..self }
    }
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReasonRow {
    /// Its code.
    pub reason: &'static str,
    /// Labels that are to be found.
    pub planted: u64,
    /// Of those, found.
    pub found: u64,
    /// Of those, not found.
    pub missed: u64,
    /// Found of planted; `None` if nothing was planted.
    pub recall: Option<f64>,
    /// The same by difficulty.
    pub by_difficulty: Vec<DifficultyRow>,
    /// Anomalies that match a label.
    pub right: u64,
    /// Anomalies that a label calls `also` or `tolerated`.
    pub neutral: u64,
    /// Anomalies that a look-alike was taken for.
    pub false_on_look_alike: u64,
    /// Anomalies that no label speaks of.
    pub false_unlabelled: u64,
    /// Right of right and false; `None` without either.
    pub precision: Option<f64>,
    /// False alarms per 10,000 user-days.
    pub false_per_10k: Option<f64>,
    /// Median of event time in seconds from first detectable to found; never below zero.
    pub delay_p50_s: Option<f64>,
    /// 99th percentile of the same.
    pub delay_p99_s: Option<f64>,
    /// Labels that had to be answered for it.
    pub owed: u64,
    /// Of those, answered.
    pub given: u64,
    /// Wrongful responses for it, among others.
    pub wrongful: u64,
}

/// One reason at one difficulty.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DifficultyRow {
    /// How hard.
    pub difficulty: Difficulty,
    /// Labels that are to be found.
    pub planted: u64,
    /// Of those, found.
    pub found: u64,
    /// Of those, not found.
    pub missed: u64,
    /// Found of planted.
    pub recall: Option<f64>,
}

/// The responses.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Responses {
    /// Response entries read.
    pub total: u64,
    /// Labels that had to be answered.
    pub owed: u64,
    /// Of those, answered.
    pub given: u64,
    /// Wrongful ones: the sum of the next four.
    pub wrongful: u64,
    /// On a look-alike.
    pub on_look_alike: u64,
    /// Without any label.
    pub unlabelled: u64,
    /// On an attack that the org had decided not to have answered.
    pub against_policy: u64,
    /// Beyond a label's `max_responses`.
    pub over_limit: u64,
    /// Wrongful ones per 10,000 user-days.
    pub wrongful_per_10k: Option<f64>,
    /// Wrongful ones, not counting those beyond a limit, had every org switched every response on: at most so many,
    /// since a first response keeps others back. `None` without a decisions file.
    pub wrongful_if_all_on: Option<u64>,
    /// The same per 10,000 user-days.
    pub wrongful_if_all_on_per_10k: Option<f64>,
}

impl Responses {
    pub(super) fn wrongful(&self) -> u64 {
        self.on_look_alike + self.unlabelled + self.against_policy + self.over_limit
    }
}

/// Decisions against `expected_decisions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Decisions {
    /// Labels with an expectation (of look-alikes, only those on which anything was decided).
    pub expected: u64,
    /// All decisions as expected.
    pub honoured: u64,
    /// A decision that was not expected, or none that answers what had to be answered.
    pub broken: u64,
    /// No decision at all.
    pub missing: u64,
}

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// `missed`, `false_alarm`, `on_look_alike`, `unlabelled_response`, `against_policy`, `over_limit` or `decision`.
    pub what: &'static str,
    /// Code of the reason.
    pub reason: &'static str,
    /// The label, if any.
    pub label_id: Option<String>,
    /// Its scenario, if any.
    pub scenario: Option<String>,
    /// The org.
    pub org: String,
    /// The user.
    pub user: String,
    /// Event time in Unix seconds.
    pub at: f64,
    /// The anomaly's id, or what was decided.
    pub detail: String,
}

impl Finding {
    /// About an entry, and the label it belongs to.
    pub(super) fn of(what: &'static str, reason: Reason, label: Option<&Label>, entry: &Mention, id: &str) -> Self {
        Finding {
            what,
            reason: reason.code(),
            label_id: label.map(|label| label.label_id.clone()),
            scenario: label.map(|label| label.scenario.clone()),
            org: entry.org.clone().unwrap_or_else(|| entry.location.clone()),
            user: entry.user.clone(),
            at: secs(entry.at),
            detail: id.to_owned(),
        }
    }

    /// About a label.
    pub(super) fn on(what: &'static str, label: &Label) -> Self {
        Finding {
            what,
            reason: label.reasons.first().map_or("", |reason| reason.code()),
            label_id: Some(label.label_id.clone()),
            scenario: Some(label.scenario.clone()),
            org: label.org.clone(),
            user: label.user.clone(),
            at: secs(label.first_detectable),
            detail: String::new(),
        }
    }
}

fn secs(at: Micros) -> f64 {
    at.0 as f64 / 1e6
}

/// So many per 10,000 user-days, if those are known.
pub(super) fn per_10k(count: u64, user_days: Option<u64>) -> Option<f64> {
    share(count * 10_000, user_days?)
}

/// A part of a whole; `None` if there is no whole.
pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
