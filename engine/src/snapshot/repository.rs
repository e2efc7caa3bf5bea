//! The repository: a folder of snapshots, each a folder of its own with the manifest written last.

use super::manifest::Manifest;
use crate::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

const MANIFEST: &str = "manifest.json";

/// The folder of a snapshot.
pub fn folder(repository: &Path, id: u64) -> PathBuf {
    repository.join(format!("{id:08}"))
}

/// Snapshots in a folder of the local file system.
#[derive(Clone, Debug)]
pub struct Repository {
    folder: PathBuf,
}

/// What stands in a repository under one number.
#[derive(Debug)]
pub struct Found {
    /// The number.
    pub id: u64,
    /// The manifest, or why it cannot be used.
    pub manifest: Result<Manifest, Error>,
}

impl Repository {
    /// Opens the repository in a folder, which is created.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, Error> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        Ok(Repository { folder })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Makes room for a snapshot: an empty folder under its number.
    pub fn begin(&self, id: u64) -> Result<(), Error> {
        let folder = folder(&self.folder, id);
        fs::create_dir(&folder).map_err(Error::io("create", folder))
    }

    /// Makes the folder a snapshot: its files are durable already, the manifest becomes so here.
    pub fn publish(&self, manifest: &Manifest) -> Result<(), Error> {
        let folder = folder(&self.folder, manifest.id);
        let temporary = folder.join("manifest.new");
        let text = serde_json::to_vec_pretty(manifest)
            .map_err(|error| Error::Fault(format!("manifest {} cannot be written as JSON: {error}", manifest.id)))?;
        let mut file = File::create(&temporary).map_err(Error::io("create", &temporary))?;
        file.write_all(&text).map_err(Error::io("write", &temporary))?;
        file.sync_all().map_err(Error::io("sync", &temporary))?;
        sync_folder(&folder)?;
        let target = folder.join(MANIFEST);
        fs::rename(&temporary, &target).map_err(Error::io("rename", target))?;
        sync_folder(&folder)?;
        sync_folder(&self.folder)
    }

    /// All numbers in use, ascending, whether or not they are snapshots.
    pub fn ids(&self) -> Result<Vec<u64>, Error> {
        let entries = fs::read_dir(&self.folder).map_err(Error::io("list", &self.folder))?;
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Error::io("list", &self.folder))?;
            ids.extend(entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// What there is, ascending. Folders without a manifest are not listed: they are no snapshots.
    pub fn list(&self) -> Result<Vec<Found>, Error> {
        let with_manifest = |id: &u64| folder(&self.folder, *id).join(MANIFEST).exists();
        Ok(self.ids()?.into_iter().filter(with_manifest).map(|id| Found { id, manifest: self.manifest(id) }).collect())
    }

    fn manifest(&self, id: u64) -> Result<Manifest, Error> {
        let path = folder(&self.folder, id).join(MANIFEST);
        let text = fs::read(&path).map_err(Error::io("read", &path))?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| Error::Corrupt(format!("{} is damaged: {error}", path.display())))?;
        if manifest.id != id {
            return Err(Error::Corrupt(format!("{} is the manifest of snapshot {}", path.display(), manifest.id)));
        }
        Ok(manifest)
    }

    /// Reads every file of a snapshot and compares it with the manifest.
    pub fn verify(&self, manifest: &Manifest) -> Result<(), Error> {
        for (operator, state) in &manifest.operators {
            for (worker, files) in &state.shards {
                let part = crate::coordinator::message::Part::folder(operator, *worker);
                let part = folder(&self.folder, manifest.id).join(part);
                for file in files {
                    let path = part.join(&file.name);
                    let found = checksum(&path)?;
                    if found != (file.size, file.crc32c) {
                        return Err(Error::Corrupt(format!(
                            "{} has {} bytes with checksum {:08x}, the manifest says {} with {:08x}",
                            path.display(),
                            found.0,
                            found.1,
                            file.size,
                            file.crc32c
                        )));
                    }
                }
            }
        }
        Ok(())
    }

    /// Removes a snapshot: the manifest first, so that it stops being one at once.
    pub fn remove(&self, id: u64) -> Result<(), Error> {
        let folder = folder(&self.folder, id);
        let manifest = folder.join(MANIFEST);
        if manifest.exists() {
            fs::remove_file(&manifest).map_err(Error::io("remove", &manifest))?;
            sync_folder(&folder)?;
        }
        fs::remove_dir_all(&folder).map_err(Error::io("remove", folder))
    }
}

fn checksum(path: &Path) -> Result<(u64, u32), Error> {
    use std::io::Read;
    let mut file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::Corrupt(format!("{} is missing", path.display())),
        _ => Error::io("open", path)(error),
    })?;
    let mut buffer = vec![0; 1 << 20];
    let (mut size, mut crc) = (0, 0);
    loop {
        let read = file.read(&mut buffer).map_err(Error::io("read", path))?;
        if read == 0 {
            return Ok((size, crc));
        }
        size += read as u64;
        crc = crc32c::crc32c_append(crc, &buffer[..read]);
    }
}

fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(Error::io("sync", folder))
}
