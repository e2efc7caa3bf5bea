//! `search_volume`: a session searches far more often than anybody here searches within an hour.
//!
//! Rule: counts successful API calls of search methods; see [`super::volume`].

use super::volume::Rule;
use crate::baseline::Metric;
use crate::model::event::{Action, Method};
use crate::model::reason::Reason;

/// The rule.
pub const RULE: Rule = Rule { reason: Reason::SearchVolume, metric: Metric::Searches, counts };

fn counts(action: Action) -> bool {
    action == Action::ApiCall(Method::Search)
}
