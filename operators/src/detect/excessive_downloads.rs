//! `excessive_downloads`: a session downloads far more files than anybody here downloads within an hour.
//!
//! Rule: counts successful `file_downloaded`; see [`super::volume`].

use super::volume::Rule;
use crate::baseline::Metric;
use crate::model::event::Action;
use crate::model::reason::Reason;

/// The rule.
pub const RULE: Rule = Rule { reason: Reason::ExcessiveDownloads, metric: Metric::FileDownloads, counts };

fn counts(action: Action) -> bool {
    action == Action::FileDownloaded
}
