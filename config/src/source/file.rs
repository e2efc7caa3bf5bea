//! `kind = "file"`: files of activity.

use crate::read::{self, Refusal, Section};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What a file source reads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileSource {
    /// The files, each a partition; at least one.
    pub paths: Vec<PathBuf>,
    /// Read on as they grow.
    pub follow: bool,
}

impl FileSource {
    /// `seen` are the files of the sources above, which must not be read twice.
    pub(super) fn read(section: &mut Section<'_>, seen: &mut BTreeSet<PathBuf>) -> Option<Self> {
        let paths = section.read_list("paths", read::path);
        let follow = section.read_if_set("follow", read::switch);
        if paths.as_ref().is_some_and(Vec::is_empty) {
            section.refuse("paths", Refusal::new("must name at least one file").hint("paths = [\"events.ndjson\"]"));
        }
        for path in paths.iter().flatten() {
            if !seen.insert(path.clone()) {
                let rule = format!("names {:?} twice, here or in a source above", path.display().to_string());
                section.refuse("paths", Refusal::new(rule).hint("each file is one partition of one source"));
            }
        }
        Some(FileSource { paths: paths?, follow: follow?.unwrap_or_default() })
    }

    pub(super) fn describe(&self) -> String {
        let paths: Vec<_> = self.paths.iter().map(|path| path.display().to_string()).collect();
        let end = if self.follow { "and on as they grow" } else { "to the end" };
        format!("{}, {end}", paths.join(", "))
    }
}
