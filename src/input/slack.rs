//! The audit log of a Slack org: one inbox, which the org names.

use super::feed::Place;
use super::inbox::InboxPlace;
use connectors::file::Mode;
use std::path::Path;

/// Before the org in the name of the partition.
const PREFIX: &str = "slack-";

/// Name of the partition of an org's log, which is the kind in fingerprints as well.
pub fn log_name(org: &str) -> String {
    format!("{PREFIX}{org}")
}

/// Whether a partition of this name is one of these.
pub(super) fn is_log(name: &str) -> bool {
    name.starts_with(PREFIX)
}

pub(super) fn place(data_dir: &Path, name: &str, mode: Mode) -> Box<dyn Place> {
    Box::new(InboxPlace::new(data_dir, name, name, mode, None))
}
