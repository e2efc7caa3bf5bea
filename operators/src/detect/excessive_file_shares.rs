//! `excessive_file_shares`: a session shares far more files than anybody here shares within an hour.
//!
//! Rule: counts successful `file_shared`, `file_public_link_created` and API calls that share a file; see
//! [`super::volume`].

use super::volume::Rule;
use crate::baseline::Metric;
use crate::model::event::{Action, Method};
use crate::model::reason::Reason;

/// The rule.
pub const RULE: Rule = Rule { reason: Reason::ExcessiveFileShares, metric: Metric::FileShares, counts };

fn counts(action: Action) -> bool {
    matches!(action, Action::FileShared | Action::ApiCall(Method::Share))
}
