//! What comes on stdin: one inbox.

use super::feed::Place;
use super::inbox::InboxPlace;
use connectors::file::Mode;
use std::path::Path;

/// The kind in fingerprints, and the name of the partition.
pub const STDIN: &str = "stdin";

pub(super) fn place(data_dir: &Path, mode: Mode) -> Box<dyn Place> {
    Box::new(InboxPlace::new(data_dir, STDIN, STDIN, mode, None))
}
