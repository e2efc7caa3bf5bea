//! `[networks]`: databases in MaxMind's format, which say of an address what its event does not.

use crate::read::{self, Section};
use operators::decode::networks::About;
use std::path::PathBuf;

/// Those that are set, by what they are about.
pub(crate) fn read(section: &mut Section<'_>) -> Option<Vec<(About, PathBuf)>> {
    let read = About::ALL.map(|about| Some((about, section.read_if_set(about.name(), read::path)?)));
    let read = read.into_iter().collect::<Option<Vec<_>>>()?;
    Some(read.into_iter().filter_map(|(about, path)| Some((about, path?))).collect())
}
