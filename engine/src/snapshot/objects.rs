//! Bytes by name in an object store: a folder, or a bucket that speaks S3. Owned here: blocking calls, names that can
//! be taken only once, files with their sizes and checksums, and how a store's errors read. Not owned here: what the
//! names mean (`repository`).

use crate::clock::pause;
use crate::error::Error;
use crate::fault::point;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Name;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, WriteMultipart};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use url::Url;

/// Size of the parts that a file is sent in. S3 wants at least 5 MiB.
const PART_BYTES: usize = 8 << 20;

/// Parts of one file under way at once.
const PARTS_AT_ONCE: usize = 3;

/// Threads that talk to the store.
const THREADS: usize = 2;

/// The largest object that is read as a whole.
const READ_BYTES_MAX: u64 = 256 << 20;

/// How often what a folder does not do is tried again.
const TRIES_AGAIN: u32 = 10;

/// Between two of these attempts.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Whether a name could be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Put {
    /// It is ours, and durable.
    Done,
    /// Somebody else has it.
    Taken,
}

/// Size in bytes and CRC32C of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Bytes.
    pub size: u64,
    /// CRC32C of the content.
    pub crc32c: u32,
}

/// An object and when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The last part of its name when listed with [`Objects::list`], the whole name with [`Objects::list_below`].
    pub name: String,
    /// Milliseconds since 1970, by the store's clock.
    pub written_ms: u64,
}

/// An object store. Cheap to clone.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    runtime: Arc<Runtime>,
    place: String,
    /// Where it lies, if it is a folder.
    folder: Option<PathBuf>,
}

impl Objects {
    /// The store in a folder, which is created. What is written is durable when a call returns.
    pub fn in_folder(folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let place = folder.display().to_string();
        let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| failed("open", &place, "", &error))?;
        Self::over(Arc::new(store.with_fsync(true).with_automatic_cleanup(true)), place, Some(folder.to_owned()))
    }

    /// The store under a URL, such as `s3://bucket/prefix`. Options are what the store's client calls them, in any case:
    /// `aws_endpoint`, `aws_access_key_id`; the unknown ones are ignored.
    pub fn at_url(url: &str, options: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        let refuse = |error: &dyn std::fmt::Display| Error::Invalid(format!("cannot use {url} for snapshots: {error}"));
        let parsed = Url::parse(url).map_err(|error| refuse(&error))?;
        let (store, prefix) = object_store::parse_url_opts(&parsed, options).map_err(|error| refuse(&error))?;
        Self::over(Arc::new(PrefixStore::new(store, prefix)), url.to_owned(), None)
    }

    fn over(store: Arc<dyn ObjectStore>, place: String, folder: Option<PathBuf>) -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread().worker_threads(THREADS).thread_name("objects").enable_all().build();
        let runtime = runtime.map_err(|error| Error::Unavailable(format!("no threads for {place}: {error}")))?;
        Ok(Objects { store, runtime: Arc::new(runtime), place, folder })
    }

    /// Where it is.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Writes an object under a name that nobody has yet. Of several who try, one succeeds.
    pub fn create(&self, name: &str, bytes: Vec<u8>) -> Result<Put, Error> {
        point("objects.create")?;
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.runtime.block_on(self.store.put_opts(&Name::from(name), bytes.into(), options)) {
            Ok(_) => point("objects.created").map(|()| Put::Done),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(Put::Taken),
            Err(error) => Err(failed("write", &self.place, name, &error)),
        }
    }

    /// A whole object; `None` if there is none of that name.
    pub fn read(&self, name: &str) -> Result<Option<Bytes>, Error> {
        self.patiently(|| self.read_once(name))
    }

    fn read_once(&self, name: &str) -> Result<Option<Bytes>, Error> {
        let reading = async {
            let found = self.store.get(&Name::from(name)).await?;
            if found.meta.size > READ_BYTES_MAX {
                return Ok(Err(found.meta.size));
            }
            found.bytes().await.map(Ok)
        };
        match self.runtime.block_on(reading) {
            Ok(Ok(bytes)) => Ok(Some(bytes)),
            Ok(Err(size)) => Err(Error::Corrupt(format!("{name} in {} has {size} bytes, too many", self.place))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("read", &self.place, name, &error)),
        }
    }

    /// An error of the system or of a server may pass. A folder's file that is there and is no file that can be read to its
    /// end is damaged.
    fn unreadable(&self, name: &str, error: &object_store::Error) -> Error {
        match failed("read", &self.place, name, error) {
            Error::Unavailable(text) if self.folder.is_some() && !is_of_the_system(error) => Error::Corrupt(text),
            error => error,
        }
    }

    /// Tries again what a folder does not do at once. A server's client does so by itself.
    fn patiently<T>(&self, mut attempt: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        let mut left = if self.folder.is_some() { TRIES_AGAIN } else { 0 };
        loop {
            match attempt() {
                Err(Error::Unavailable(_)) if left > 0 => left -= 1,
                done => return done,
            }
            pause(TRY_AGAIN);
        }
    }

    /// What lies directly under a prefix, in order of names.
    pub fn list(&self, prefix: &str) -> Result<Vec<Listed>, Error> {
        let prefix_name = Name::from(prefix);
        let listing = self.runtime.block_on(self.store.list_with_delimiter(Some(&prefix_name)));
        let objects = match listing {
            Ok(listing) => listing.objects,
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(failed("list", &self.place, prefix, &error)),
        };
        let own = |meta: object_store::ObjectMeta| {
            let name = meta.location.filename()?.to_owned();
            Some(Listed { name, written_ms: written_ms(&meta) })
        };
        let mut listed: Vec<Listed> = objects.into_iter().filter_map(own).collect();
        listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// All that lies under a prefix at any depth, with whole names, in their order.
    pub fn list_below(&self, prefix: &str) -> Result<Vec<Listed>, Error> {
        let prefix_name = Name::from(prefix);
        let found = self.runtime.block_on(self.store.list(Some(&prefix_name)).try_collect::<Vec<_>>());
        let found = match found {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(failed("list", &self.place, prefix, &error)),
        };
        let whole =
            |meta: &object_store::ObjectMeta| Listed { name: meta.location.to_string(), written_ms: written_ms(meta) };
        let mut listed: Vec<Listed> = found.iter().map(whole).collect();
        listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// Removes an object. It is no error if there is none.
    pub fn delete(&self, name: &str) -> Result<(), Error> {
        point("objects.delete")?;
        match self.runtime.block_on(self.store.delete(&Name::from(name))) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("delete", &self.place, name, &error)),
        }
    }

    /// Removes what was being written under a prefix when a process died, of the names that `due` picks. In a folder it lies
    /// beside the objects and is in no list; a bucket keeps it to its own rules.
    pub fn remove_unfinished(&self, prefix: &str, due: impl Fn(&str) -> bool) -> Result<(), Error> {
        let Some(root) = &self.folder else { return Ok(()) };
        let mut folders = vec![root.join(prefix)];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                entries => entries.map_err(Error::io("list", &folder))?,
            };
            for entry in entries {
                let path = entry.map_err(Error::io("list", &folder))?.path();
                let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy();
                if path.is_dir() {
                    folders.push(path);
                } else if is_unfinished(&name) && due(&name) {
                    fs::remove_file(&path).map_err(Error::io("remove", &path))?;
                }
            }
        }
        Ok(())
    }

    /// Writes a file under a name, over what was there. Durable when this returns.
    pub fn upload(&self, name: &str, from: &Path) -> Result<Measure, Error> {
        point("objects.upload")?;
        // A folder goes with the last file that is deleted there, also while another is about to be written.
        self.patiently(|| self.upload_once(name, from))
    }

    fn upload_once(&self, name: &str, from: &Path) -> Result<Measure, Error> {
        let file = File::open(from).map_err(Error::io("open", from))?;
        let size = file.metadata().map_err(Error::io("read", from))?.len();
        let uploading = async {
            if size <= PART_BYTES as u64 {
                self.put_whole(name, file, from).await
            } else {
                self.put_parts(name, file, from).await
            }
        };
        self.runtime.block_on(uploading)
    }

    async fn put_whole(&self, name: &str, mut file: File, from: &Path) -> Result<Measure, Error> {
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(Error::io("read", from))?;
        let measure = Measure { size: content.len() as u64, crc32c: crc32c::crc32c(&content) };
        let put = self.store.put(&Name::from(name), content.into()).await;
        put.map(|_| measure).map_err(|error| failed("write", &self.place, name, &error))
    }

    async fn put_parts(&self, name: &str, mut file: File, from: &Path) -> Result<Measure, Error> {
        let refused = |error: object_store::Error| failed("write", &self.place, name, &error);
        let upload = self.store.put_multipart(&Name::from(name)).await.map_err(refused)?;
        let mut parts = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let (mut buffer, mut measure) = (vec![0; 1 << 20], Measure { size: 0, crc32c: 0 });
        let written = loop {
            match file.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(read) => {
                    measure = measure.with(&buffer[..read]);
                    if let Err(error) = parts.wait_for_capacity(PARTS_AT_ONCE).await {
                        break Err(refused(error));
                    }
                    parts.write(&buffer[..read]);
                }
                Err(error) => break Err(Error::io("read", from)(error)),
            }
        };
        match written {
            Ok(()) => parts.finish().await.map(|_| measure).map_err(refused),
            Err(error) => {
                // The upload is given up for another reason, which is the one to tell.
                let _ = parts.abort().await;
                Err(error)
            }
        }
    }

    /// Reads an object to its end and gives its bytes piece by piece. `None` if there is none of that name.
    pub fn scan(
        &self,
        name: &str,
        mut visit: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<Option<Measure>, Error> {
        let scanning = async {
            let found = match self.store.get(&Name::from(name)).await {
                Ok(found) => found,
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(self.unreadable(name, &error)),
            };
            let (mut pieces, mut measure) = (found.into_stream(), Measure { size: 0, crc32c: 0 });
            while let Some(piece) = pieces.next().await {
                let piece = piece.map_err(|error| self.unreadable(name, &error))?;
                measure = measure.with(&piece);
                visit(&piece)?;
            }
            Ok(Some(measure))
        };
        self.runtime.block_on(scanning)
    }

    /// Copies an object into a file. `None` if there is no object of that name.
    pub fn download(&self, name: &str, to: &Path) -> Result<Option<Measure>, Error> {
        point("objects.download")?;
        self.patiently(|| {
            let mut file = File::create(to).map_err(Error::io("create", to))?;
            self.scan(name, |piece| file.write_all(piece).map_err(Error::io("write", to)))
        })
    }
}

impl Measure {
    fn with(self, piece: &[u8]) -> Self {
        Measure { size: self.size + piece.len() as u64, crc32c: crc32c::crc32c_append(self.crc32c, piece) }
    }
}

fn written_ms(meta: &object_store::ObjectMeta) -> u64 {
    u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or_default()
}

fn failed(action: &str, place: &str, name: &str, error: &object_store::Error) -> Error {
    let name = if name.is_empty() { place.to_owned() } else { format!("{name} in {place}") };
    Error::Unavailable(format!("cannot {action} {name}: {}", root_cause(error)))
}

/// Whether the system refused to read a file that is one.
fn is_of_the_system(error: &object_store::Error) -> bool {
    let mut error: &dyn std::error::Error = error;
    loop {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            use ErrorKind::{InvalidData, IsADirectory, NotADirectory, UnexpectedEof};
            return !matches!(error.kind(), InvalidData | IsADirectory | NotADirectory | UnexpectedEof);
        }
        let Some(source) = error.source() else { return false };
        error = source;
    }
}

/// Whether a file has the name under which a folder's store writes an object: its own, `#` and a number.
fn is_unfinished(name: &str) -> bool {
    let number = name.rsplit_once('#').map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The store's wrappers repeat the name; what the reader needs is at the end of the chain.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
