//! What has to be on the disk before anything rests on it: names in a folder, and small files that are replaced as a whole.

use engine::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// Makes the names in a file's folder durable.
pub(crate) fn sync_folder_of(path: &Path) -> Result<(), Error> {
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io("sync", folder))
}

/// Replaces a file, or makes it: whoever reads it finds what it was or what it is to be. It is durable on return.
///
/// # Errors
/// [`Error::Io`] if the system refuses it.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside).map_err(Error::io("create", &beside))?;
    file.write_all(bytes).map_err(Error::io("write", &beside))?;
    file.sync_all().map_err(Error::io("sync", &beside))?;
    fs::rename(&beside, path).map_err(Error::io("replace", path))?;
    sync_folder_of(path)
}
