//! Publishes snapshots beside the flow, which must not wait for a repository. Owned here: the thread, and the order in
//! which a snapshot is published and older ones are removed.

use super::manifest::Manifest;
use super::repository::{Repository, cuts};
use super::retention::surplus;
use crate::clock::Stopwatch;
use crate::error::Error;
use crate::fault::point;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};

/// A snapshot that exists now.
#[derive(Debug)]
pub struct Published {
    /// What it is.
    pub manifest: Manifest,
    /// How long publishing took, in seconds.
    pub seconds: f64,
}

/// A thread that publishes one snapshot after the other. It ends with this handle.
pub struct Publisher {
    work: Option<Sender<Manifest>>,
    done: Receiver<Result<Published, Error>>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    /// Starts the thread. All but the `keep` newest snapshots and those with a name are removed after each publication.
    pub fn start(repository: Repository, keep: usize) -> Self {
        let (work, manifests) = channel::<Manifest>();
        let (tell, done) = channel();
        let publish = move || {
            for manifest in manifests {
                let watch = Stopwatch::start();
                let published = point("snapshot.publish").and_then(|()| repository.publish(&manifest));
                let seconds = watch.elapsed().as_secs_f64();
                let failed = published.is_err();
                if tell.send(published.map(|()| Published { manifest, seconds })).is_err() {
                    return;
                }
                if failed {
                    continue;
                }
                if let Err(error) = retain(&repository, keep) {
                    // Nothing is lost by a snapshot too many, and the next one tries again.
                    tracing::warn!(target: "engine::snapshot", "old snapshots were not removed: {error}");
                }
            }
        };
        let thread = thread::Builder::new().name("publisher".to_owned()).spawn(publish).ok();
        Publisher { work: Some(work), done, thread }
    }

    /// Hands a snapshot over whose files are durable.
    pub fn publish(&self, manifest: Manifest) {
        if let Some(work) = &self.work {
            // If the thread is gone, [`Publisher::poll`] says so.
            drop(work.send(manifest));
        }
    }

    /// A snapshot that was published since the last call, if any.
    pub fn poll(&self) -> Result<Option<Published>, Error> {
        match self.done.try_recv() {
            Ok(published) => published.map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Error::Fault("the publisher of snapshots has ended".to_owned())),
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has ended the process, or was told by `poll`.
            let _ = thread.join();
        }
    }
}

fn retain(repository: &Repository, keep: usize) -> Result<(), Error> {
    let found = repository.list()?;
    let named = repository.names()?.into_values().collect();
    let surplus = surplus(&cuts(&found), &named, keep);
    if surplus.is_empty() { Ok(()) } else { repository.remove(&surplus.into_iter().collect()) }
}
