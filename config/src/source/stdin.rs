//! `kind = "stdin"`: what is fed to the program.

use super::max_ahead;
use crate::read::Section;

/// What a stdin source reads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StdinSource {
    /// How many bytes of it may be kept that the job has not read yet.
    pub max_ahead: u64,
}

impl StdinSource {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        Some(StdinSource { max_ahead: max_ahead(section)? })
    }

    pub(super) fn describe(&self) -> String {
        "stdin, to its end".to_owned()
    }
}
