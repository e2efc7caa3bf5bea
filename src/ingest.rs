//! What comes to a running job once and cannot be asked for again: stdin, and what is posted over HTTP. Owned here: the
//! inboxes that it is kept in, that they are what the job's snapshots count on, and when what is old goes. Not owned here:
//! how an inbox is kept and how HTTP is spoken (`connectors`), and how inboxes are read (`input`).

mod posted;
pub mod producers;

use crate::cli::tell;
use crate::inbox::Post;
use crate::input::{Input, STDIN};
use crate::run::Watch;
use config::{HttpSource, Job, SourceKind, StdinSource};
use connectors::inbox::{Copying, Inbox, copy};
use connectors::intake::{Counts, Serving, Settings, serve};
use connectors::store::Store;
use engine::error::Error;
use engine::metrics::Status;
use engine::snapshot::repository::Repository;
use engine::source::journal::{Journal, JournalEntry};
use engine::source::partition::PartitionState;
use posted::{PATHS, Taking};
use producers::Producers;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What was taken in, in this run.
#[derive(Debug, Default)]
pub struct Figures {
    /// Requests by what they came to.
    pub requests: Arc<Counts>,
    /// Lines of events that were accepted.
    pub events: AtomicU64,
    /// Control records that were accepted.
    pub control: AtomicU64,
    /// The inboxes, once they are open.
    pub inboxes: OnceLock<Arc<Inboxes>>,
}

/// An inbox that is open, and the index of its partition.
#[derive(Debug)]
struct Open {
    index: u32,
    name: String,
    inbox: Arc<Inbox>,
}

/// The inboxes of a job, open to be filled. The process that leads has them.
#[derive(Debug, Default)]
pub struct Inboxes(Vec<Open>);

impl Inboxes {
    /// Opens those of `input`. Each has to hold what the newest snapshot reads on from.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if one does not; as they cannot be opened.
    pub fn open(input: &Input, repository: &Repository) -> Result<Self, Error> {
        let mut open = Vec::new();
        let newest = repository.list()?.into_iter().rev().find_map(|found| found.manifest.ok());
        for (index, place) in input.inboxes() {
            let inbox = Inbox::open(place.folder())?;
            let state = newest.as_ref().and_then(|newest| newest.partitions.get(place.name()));
            if let Some(state) = state {
                place.reading().require(state.position)?;
            }
            place.put_down_orgs(inbox.end())?;
            open.push(Open { index, name: place.name().to_owned(), inbox: Arc::new(inbox) });
        }
        Ok(Inboxes(open))
    }

    /// The one of this name.
    ///
    /// # Errors
    /// [`Error::Fault`] if there is none.
    pub fn of(&self, name: &str) -> Result<Arc<Inbox>, Error> {
        let open = self.0.iter().find(|open| open.name == name);
        open.map(|open| open.inbox.clone()).ok_or_else(|| Error::Fault(format!("there is no inbox {name}")))
    }

    /// How many bytes each holds that the job has not read yet, by name. What a job that restores has read is not known
    /// yet: none then.
    pub fn ahead(&self, status: &Status) -> Vec<(&str, u64)> {
        let partitions = status.partitions();
        let read = |open: &Open| partitions.get(&open.index).map(|progress| progress.position);
        let of = self.0.iter().filter_map(|open| Some((open, read(open)?)));
        of.map(|(open, read)| (open.name.as_str(), open.inbox.end().saturating_sub(read))).collect()
    }

    /// Of the one of this name.
    pub fn ahead_of(&self, name: &str, status: &Status) -> u64 {
        self.ahead(status).into_iter().find(|(known, _)| *known == name).map_or(0, |(_, ahead)| ahead)
    }
}

/// A journal that is shortened together with the inboxes: what no snapshot that is kept is read on from goes.
pub struct Shortening {
    /// The journal itself.
    pub journal: Arc<Mutex<Store>>,
    /// The inboxes.
    pub inboxes: Arc<Inboxes>,
}

impl Shortening {
    fn journal(&self) -> std::sync::MutexGuard<'_, Store> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for Shortening {
    fn append(&mut self, entries: &[JournalEntry]) -> Result<(), Error> {
        self.journal().append(entries)
    }

    fn load(&self, partition: &str) -> Result<Vec<JournalEntry>, Error> {
        self.journal().load(partition)
    }

    fn shorten(&mut self, partition: &str, from: &[&PartitionState]) -> Result<(), Error> {
        self.journal().shorten(partition, from)?;
        let open = self.inboxes.0.iter().find(|open| open.name == partition);
        match (open, from.iter().map(|state| state.position).min()) {
            (Some(open), Some(position)) => open.inbox.forget(position),
            _ => Ok(()),
        }
    }
}

/// What fills the inboxes while a job runs; it ends when this is dropped.
pub struct Ingesting {
    _copying: Option<Copying>,
    _serving: Option<Serving>,
    failed: Arc<Mutex<Option<Error>>>,
}

impl Ingesting {
    /// Starts to fill the inboxes. Control records go to `post`; in `keeping` they are kept, and what nobody needs any
    /// more of them goes.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an address cannot be listened on or tokens cannot be used.
    pub fn start(
        job: &Job,
        watch: &Watch,
        inboxes: &Arc<Inboxes>,
        post: &Post,
        keeping: (Store, Repository),
    ) -> Result<Self, Error> {
        let failed = Arc::<Mutex<Option<Error>>>::default();
        let mut started = Ingesting { _copying: None, _serving: None, failed };
        let mut keeping = Some(keeping);
        for source in &job.sources {
            match &source.kind {
                SourceKind::File(_) => {}
                SourceKind::Stdin(stdin) => started._copying = started.copy_stdin(stdin, watch, inboxes)?,
                SourceKind::Http(http) => {
                    if let Some(keeping) = keeping.take() {
                        started._serving = Some(serve_http(http, watch, inboxes, post.clone(), keeping)?);
                    }
                }
            }
        }
        Ok(started)
    }

    /// What has ended the filling of an inbox, and so the job, if anything has.
    pub fn failure(&self) -> Option<Error> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn copy_stdin(&self, stdin: &StdinSource, watch: &Watch, inboxes: &Arc<Inboxes>) -> Result<Option<Copying>, Error> {
        let inbox = inboxes.of(STDIN)?;
        if inbox.is_closed() {
            return Ok(None);
        }
        let (inboxes, status, max_ahead) = (inboxes.clone(), watch.status.clone(), stdin.max_ahead);
        let room = move || inboxes.ahead_of(STDIN, &status) < max_ahead;
        let (stop, failure) = (watch.stop.clone(), self.failed.clone());
        let failed = move |error| {
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            stop.store(true, Ordering::SeqCst);
        };
        copy(std::io::stdin(), STDIN, inbox, room, failed).map(Some)
    }
}

/// Serves an HTTP source.
fn serve_http(
    http: &HttpSource,
    watch: &Watch,
    inboxes: &Arc<Inboxes>,
    post: Post,
    keeping: (Store, Repository),
) -> Result<Serving, Error> {
    let Producers { named, tokens } = Producers::open(&http.tokens_file)?;
    let taker = Arc::new(Taking::new(named, inboxes, http.max_ahead, post, watch, keeping)?);
    let counts = watch.ingest.requests.clone();
    let serving = serve(Settings { listen: http.listen, tokens, paths: PATHS, taker, counts })?;
    tell(&format!("taking events on http://{}{}", serving.address, PATHS[0]));
    Ok(serving)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::coordinator::message::{Activity, Progress};
    use engine::time::Micros;

    #[test]
    fn an_inbox_is_ahead_by_what_the_job_has_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let inbox = Arc::new(Inbox::open(&dir.path().join("a")).unwrap());
        inbox.append(b"one\ntwo\n").unwrap();
        let inboxes = Inboxes(vec![Open { index: 3, name: "a".to_owned(), inbox }]);
        let status = Status::default();
        assert_eq!((inboxes.ahead(&status), inboxes.ahead_of("a", &status)), (Vec::new(), 0), "nothing is known yet");
        let (newest, watermark, activity) = (Micros::ZERO, Micros::ZERO, Activity::Active);
        status.report(Progress { partition: 3, newest, watermark, received: 1, position: 4, activity });
        assert_eq!((inboxes.ahead(&status), inboxes.ahead_of("a", &status)), (vec![("a", 4)], 4));
        assert!(inboxes.of("a").is_ok() && inboxes.of("b").is_err());
    }
}
