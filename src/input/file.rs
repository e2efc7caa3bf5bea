//! Files of activity: each is a partition, named by its absolute path. Owned here: that a file is still the one that a
//! data directory has read.

use super::describe;
use super::feed::Place;
use config::FileSource;
use connectors::file::{FileIdentity, FilePartition, Mode, Sameness, identity};
use engine::error::Error;
use engine::source::Partition;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Before the name in a fingerprint.
pub(super) const INPUT: &str = "input ";

/// A file that a job reads.
pub(super) struct InputFile {
    pub(super) identity: FileIdentity,
    /// Where it lies: the identity's path, but for a file that has moved since.
    pub(super) path: PathBuf,
    pub(super) follow: bool,
}

/// The files of a source. An error names the first that cannot be read.
pub(super) fn places(source: &FileSource) -> Result<Vec<Box<dyn Place>>, Error> {
    let place = |path: &PathBuf| {
        let file = InputFile { identity: readable(path)?, path: path.clone(), follow: source.follow };
        Ok(Box::new(file) as Box<dyn Place>)
    };
    source.paths.iter().map(place).collect()
}

impl Place for InputFile {
    fn name(&self) -> &str {
        &self.identity.path
    }

    fn key(&self) -> String {
        format!("{INPUT}{}", self.identity.path)
    }

    fn mark(&self) -> Result<String, Error> {
        describe(&self.identity)
    }

    fn since(&self, was: &str, complete: bool) -> Result<String, Error> {
        let Ok(former) = serde_json::from_str::<FileIdentity>(was) else { return self.mark() };
        unchanged(&former, self.follow, complete)?;
        Ok(was.to_owned())
    }

    fn may_import(&self) -> bool {
        true
    }

    fn is_live(&self) -> bool {
        self.follow
    }

    fn bytes(&self) -> u64 {
        self.identity.size
    }

    fn partition(&self) -> Arc<dyn Partition> {
        let mode = if self.follow { Mode::Follow } else { Mode::Bounded };
        Arc::new(FilePartition::new(self.identity.path.clone(), &self.path, mode))
    }
}

/// Refuses a file that is not the one that this data directory has read.
fn unchanged(former: &FileIdentity, follow: bool, complete: bool) -> Result<(), Error> {
    let what = match former.check()? {
        Sameness::Same => return Ok(()),
        Sameness::Grown if follow && !complete => return Ok(()),
        Sameness::Grown => "has grown",
        Sameness::Shorter => "is shorter than it was",
        Sameness::Changed => "is another file than it was",
    };
    Err(Error::Invalid(format!(
        "{} {what} since this data directory read it: bring the former file back, or use another --data-dir",
        former.path
    )))
}

/// The identity of a file that can be read.
pub(super) fn readable(path: &Path) -> Result<FileIdentity, Error> {
    let refuse = |why: &str| {
        Error::Invalid(format!(
            "cannot read the input file {}: {why}; check the path and its permissions",
            path.display()
        ))
    };
    match fs::metadata(path) {
        Err(error) => Err(refuse(&error.to_string())),
        Ok(found) if found.is_dir() => Err(refuse("it is a directory")),
        Ok(found) if !found.is_file() => Err(refuse("it is no regular file")),
        Ok(_) => identity(path).map_err(|error| refuse(&error.to_string())),
    }
}
