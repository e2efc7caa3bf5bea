//! What is posted over HTTP: an inbox, and so a partition, for each who may post. Each has a watermark of its own, so that
//! nobody's events are late because another's are not; and an inbox holds only what one and the same may say.

use super::feed::{Orgs, Place};
use super::inbox::{InboxPlace, there};
use crate::ingest::producers::Producers;
use config::HttpSource;
use connectors::file::Mode;
use engine::error::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The kind in fingerprints.
pub(super) const KIND: &str = "http";

/// Before the name of who posts.
const PREFIX: &str = "http-";

/// Name of the partition of what somebody posts.
pub fn partition_name(producer: &str) -> String {
    format!("{PREFIX}{producer}")
}

/// Those of all who may post, and of those who could before: what they posted is still read.
pub(super) fn places(source: &HttpSource, data_dir: &Path) -> Result<Vec<Box<dyn Place>>, Error> {
    let producers = Producers::open(&source.tokens_file)?.named.into_iter();
    let may: BTreeMap<String, Orgs> = producers.map(|one| (partition_name(&one.name), one.orgs)).collect();
    of(data_dir, Mode::Follow, may)
}

/// What was posted to a job by now.
pub(super) fn recorded(data_dir: &Path) -> Result<Vec<Box<dyn Place>>, Error> {
    of(data_dir, Mode::Bounded, BTreeMap::new())
}

fn of(data_dir: &Path, mode: Mode, mut may: BTreeMap<String, Orgs>) -> Result<Vec<Box<dyn Place>>, Error> {
    for name in there(data_dir, PREFIX)? {
        may.entry(name).or_insert_with(|| Some(BTreeSet::new()));
    }
    let place = |(name, orgs): (String, Orgs)| {
        Box::new(InboxPlace::new(data_dir, &name, KIND, mode, Some(orgs))) as Box<dyn Place>
    };
    Ok(may.into_iter().map(place).collect())
}
