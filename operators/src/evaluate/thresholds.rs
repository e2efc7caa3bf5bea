//! Where thresholds came from: of every org, reason, metric and source, what anomalies were held against first and last,
//! as their evidence says. Owned here: which evidence holds a threshold, and its order in time.

use super::read::{Mention, Piece};
use engine::time::Micros;
use serde::Serialize;
use serde_json::Number;
use std::collections::BTreeMap;

/// A threshold as it was at a time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Held {
    /// Event time in Unix seconds.
    pub at: f64,
    /// What was held against.
    pub threshold: Number,
    /// How many samples it rested on; zero where it rests on none.
    pub samples: u64,
}

/// The thresholds of one org for one thing from one source.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ThresholdRow {
    /// The org.
    pub org: String,
    /// Code of the reason.
    pub reason: String,
    /// What was counted.
    pub metric: String,
    /// Where the threshold came from.
    pub source: String,
    /// Anomalies that were held against it.
    pub anomalies: u64,
    /// The first of them.
    pub first: Held,
    /// The last of them.
    pub last: Held,
}

/// The rows so far, by org, reason, metric and source.
#[derive(Debug, Default)]
pub(super) struct Thresholds(BTreeMap<[String; 4], ThresholdRow>);

impl Thresholds {
    pub(super) fn take(&mut self, anomaly: &Mention) {
        let org = anomaly.org.as_ref().unwrap_or(&anomaly.location);
        for piece in &anomaly.evidence {
            // What is no number was not counted: a list, or what stayed the same.
            if let serde_json::Value::Number(threshold) = &piece.threshold {
                self.held(org, piece, threshold, anomaly.at);
            }
        }
    }

    fn held(&mut self, org: &str, piece: &Piece, threshold: &Number, at: Micros) {
        let Piece { reason, metric, threshold_source: source, samples, .. } = piece;
        let held = Held { at: at.0 as f64 / 1e6, threshold: threshold.clone(), samples: samples.unwrap_or_default() };
        let key = [org, reason, metric, source].map(str::to_owned);
        let [org, reason, metric, source] = key.clone();
        let row = self.0.entry(key).or_insert_with(|| ThresholdRow {
            org,
            reason,
            metric,
            source,
            anomalies: 0,
            first: held.clone(),
            last: held.clone(),
        });
        row.anomalies += 1;
        if held.at < row.first.at {
            row.first = held.clone();
        }
        if held.at >= row.last.at {
            row.last = held;
        }
    }

    pub(super) fn rows(self) -> Vec<ThresholdRow> {
        self.0.into_values().collect()
    }
}
