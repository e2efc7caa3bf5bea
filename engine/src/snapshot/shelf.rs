//! Files of one operator on one worker, from checkpoints into a repository and back. Owned here: which files are new,
//! and that what comes back is what went in. Not owned here: which snapshots exist (`repository`).

use super::objects::{Measure, Objects};
use crate::error::Error;
use crate::key::Map;
use crate::state::store::CheckpointFile;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Prefix of all files of keyed state.
pub(super) const FILES: &str = "files";

/// A file of a checkpoint, in a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Path relative to the checkpoint's folder.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// CRC32C of the content.
    pub crc32c: u32,
    /// The name of its object.
    pub object: String,
    /// The number under which the snapshot was asked for that it was stored for.
    pub snapshot: u64,
}

/// Where an operator's files go on one worker.
pub struct Shelf {
    objects: Objects,
    prefix: String,
    /// The files of the last checkpoint that was stored, by name.
    stored: Map<String, StoredFile>,
}

impl Shelf {
    /// A shelf for one generation, operator and worker. `stored` are files that the store still has under the same
    /// names, of the snapshot that it was restored from.
    pub(super) fn new(objects: Objects, generation: u64, part: &str, stored: Vec<StoredFile>) -> Self {
        let stored = stored.into_iter().map(|file| (file.name.clone(), file)).collect();
        Shelf { objects, prefix: format!("{FILES}/{generation:010}/{part}"), stored }
    }

    /// Stores the files of a checkpoint, those that are not there yet. They are durable when this returns.
    pub fn put(
        &mut self,
        snapshot: u64,
        checkpoint: &Path,
        files: &[CheckpointFile],
    ) -> Result<Vec<StoredFile>, Error> {
        let mut put = Vec::new();
        for file in files {
            match self.put_one(snapshot, checkpoint, file) {
                Ok(stored) => put.push(stored),
                Err(error) => {
                    self.take_back(&put);
                    return Err(error);
                }
            }
        }
        self.stored = put.iter().map(|file| (file.name.clone(), file.clone())).collect();
        Ok(put)
    }

    /// Removes what was stored for a checkpoint that will be no part of a snapshot: it may be in the way of the next one.
    fn take_back(&self, put: &[StoredFile]) {
        for file in put.iter().filter(|file| self.stored.get(&file.name) != Some(file)) {
            if let Err(error) = self.objects.delete(&file.object) {
                // It lies until a snapshot is published or a run starts.
                return tracing::warn!(target: "engine::snapshot", "a file that nothing needs was not removed: {error}");
            }
        }
    }

    fn put_one(&self, snapshot: u64, checkpoint: &Path, file: &CheckpointFile) -> Result<StoredFile, Error> {
        let CheckpointFile { name, size, crc32c, lasting } = file.clone();
        let same = |known: &&StoredFile| lasting && (known.size, known.crc32c) == (size, crc32c);
        if let Some(known) = self.stored.get(&name).filter(same) {
            return Ok(known.clone());
        }
        // No name is used twice: generations are claimed, and a generation numbers the snapshots it asks for.
        let object = format!("{}/{snapshot:010}/{name}", self.prefix);
        let path = checkpoint.join(&name);
        if self.objects.upload(&object, &path)? != (Measure { size, crc32c }) {
            return Err(Error::Corrupt(format!("{} changed while it was stored; check the disk", path.display())));
        }
        Ok(StoredFile { name, size, crc32c, object, snapshot })
    }
}

impl StoredFile {
    /// Reads the file in the repository and compares it with what was stored.
    pub(super) fn verify(&self, objects: &Objects) -> Result<(), Error> {
        let found = objects.scan(&self.object, |_| Ok(()))?;
        self.check(objects, found)
    }

    /// Copies the file into a folder, under its own name, and compares it with what was stored.
    pub(super) fn fetch(&self, objects: &Objects, folder: &Path) -> Result<(), Error> {
        // Names come from a manifest, which may be damaged or worse.
        if self.name.is_empty() || self.name.contains(['/', '\\']) || self.name.starts_with("..") {
            return Err(Error::Corrupt(format!("`{}` in a manifest is no name of a file", self.name.escape_debug())));
        }
        let found = objects.download(&self.object, &folder.join(&self.name))?;
        self.check(objects, found)
    }

    fn check(&self, objects: &Objects, found: Option<Measure>) -> Result<(), Error> {
        let place = format!("{} in {}", self.object, objects.place());
        match found {
            Some(found) if found == (Measure { size: self.size, crc32c: self.crc32c }) => Ok(()),
            Some(Measure { size, crc32c }) => Err(Error::Corrupt(format!(
                "{place} has {size} bytes with checksum {crc32c:08x}, the manifest says {} with {:08x}",
                self.size, self.crc32c
            ))),
            None => Err(Error::Corrupt(format!("{place} is missing"))),
        }
    }
}
