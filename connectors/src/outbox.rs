//! Messages as files: what would be sent stands in a folder, mail as `.eml`, all else as `.json`. Owned here: how a
//! message is written once and whole. Not owned here: what it says and whom it is for.

use crate::file::{digest, sha256, sync_folder_of};
use crate::mail::{Mail, require_id};
use engine::error::Error;
use engine::fault::point;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A folder of messages, each in a file named after its content: to write one again changes nothing. It has one writer
/// at a time.
#[derive(Debug)]
pub struct Outbox {
    folder: PathBuf,
}

impl Outbox {
    /// Opens a folder, creating it (but not its parent) if there is none.
    ///
    /// # Errors
    /// [`Error::Invalid`] if something else has its name, [`Error::Io`] if the system refuses it.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Error::io("create", folder)(error));
            }
            _ if folder.is_dir() => sync_folder_of(folder)?,
            _ => return Err(Error::Invalid(format!("{} is not a folder; move it away", folder.display()))),
        }
        Ok(Outbox { folder: folder.to_owned() })
    }

    /// Writes a mail; its file is durable on return.
    ///
    /// # Errors
    /// As [`Mail::render`], and [`Error::Io`] if the system refuses the file.
    pub fn write_mail(&mut self, mail: &Mail<'_>) -> Result<PathBuf, Error> {
        let bytes = mail.render()?;
        self.write(&format!("{}.eml", sha256(&bytes)), &bytes)
    }

    /// Writes a message that is JSON already; its file is durable on return. Two ids with one body are two files.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the id is none, [`Error::Io`] if the system refuses the file.
    pub fn write_message(&mut self, id: &str, json: &str) -> Result<PathBuf, Error> {
        require_id(id)?;
        self.write(&format!("{}.json", digest(&[id, json])), json.as_bytes())
    }

    /// Writes a file whose name tells its content, whole or not at all.
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<PathBuf, Error> {
        let path = self.folder.join(name);
        // There already: renamed before a crash, perhaps, but its name not yet durable.
        if !path.try_exists().map_err(Error::io("look for", &path))? {
            // What a crash left is written over when the message is tried again.
            let partial = self.folder.join(format!(".{name}.partial"));
            point("outbox.write")?;
            let mut file = File::create(&partial).map_err(Error::io("create", &partial))?;
            file.write_all(bytes).map_err(Error::io("write", &partial))?;
            point("outbox.sync")?;
            file.sync_all().map_err(Error::io("sync", &partial))?;
            point("outbox.rename")?;
            std::fs::rename(&partial, &path).map_err(Error::io("rename", &partial))?;
        }
        point("outbox.renamed")?;
        sync_folder_of(&path)?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests;
