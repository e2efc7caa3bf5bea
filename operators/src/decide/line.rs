//! One line of `decisions.ndjson`.

use crate::model::decision::Decision;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// The line of a decision, without its end; `None` for an anomaly that is only logged.
pub fn decision_line(decision: &Decision) -> Option<String> {
    let anomaly = &decision.anomaly;
    let line = Line {
        anomaly_id: anomaly.id.as_str(),
        org: &anomaly.org,
        user: &anomaly.user,
        session_id: anomaly.session.as_deref(),
        reason: anomaly.reasons.iter().map(|reason| reason.code()).collect(),
        by_reason: ByReason(decision),
        decision: decision.outcome()?.name(),
        response_id: decision.response.as_ref().map(|response| response.id.as_str()),
        date_create: anomaly.time.secs(),
    };
    Some(serde_json::to_string(&line).expect("strings and numbers always have a JSON form"))
}

#[derive(Serialize)]
struct Line<'a> {
    anomaly_id: &'a str,
    org: &'a str,
    user: &'a str,
    session_id: Option<&'a str>,
    reason: Vec<&'static str>,
    by_reason: ByReason<'a>,
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_id: Option<&'a str>,
    date_create: u64,
}

struct ByReason<'a>(&'a Decision);

impl Serialize for ByReason<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.by_reason.len()))?;
        for (reason, outcome) in &self.0.by_reason {
            map.serialize_entry(reason.code(), outcome.name())?;
        }
        map.end()
    }
}
