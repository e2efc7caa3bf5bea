//! `unexpected_message_deletion`: a session deletes far more messages than anybody here deletes within an hour.
//!
//! Rule: counts successful `message_deleted`, `message_tombstoned` and API calls that delete a message; see
//! [`super::volume`].

use super::volume::Rule;
use crate::baseline::Metric;
use crate::model::event::{Action, Method};
use crate::model::reason::Reason;

/// The rule.
pub const RULE: Rule = Rule { reason: Reason::UnexpectedMessageDeletion, metric: Metric::MessageDeletions, counts };

fn counts(action: Action) -> bool {
    matches!(action, Action::MessageDeleted | Action::ApiCall(Method::Delete))
}
