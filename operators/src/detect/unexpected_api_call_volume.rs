//! `unexpected_api_call_volume`: a session makes far more API calls than anybody's client here makes within an hour.
//!
//! Rule: counts successful `api_call` of any method; see [`super::volume`].

use super::volume::Rule;
use crate::baseline::Metric;
use crate::model::event::Action;
use crate::model::reason::Reason;

/// The rule.
pub const RULE: Rule = Rule { reason: Reason::UnexpectedApiCallVolume, metric: Metric::ApiCalls, counts };

fn counts(action: Action) -> bool {
    matches!(action, Action::ApiCall(_))
}
