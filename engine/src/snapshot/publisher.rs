//! Publishes snapshots beside the flow, which must not wait for a repository. Owned here: the thread, and the order in
//! which a snapshot is published and older ones are removed.

use super::manifest::Manifest;
use super::objects::Put;
use super::repository::{Repository, cuts};
use super::retention::surplus;
use crate::clock::Stopwatch;
use crate::error::Error;
use crate::fault::point;
use crate::ledger::superseded;
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

/// What came of a snapshot, by the number under which it was asked for.
type Told = (u64, Result<Published, Error>);

/// A thread that publishes one snapshot after the other. It ends with this handle.
///
/// Snapshots get the numbers of their manifests here, without a gap: an older generation that is one behind must find its
/// number taken. A snapshot that is asked for and never published uses none.
pub struct Publisher {
    work: Option<Sender<(u64, Manifest)>>,
    done: Receiver<Told>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    /// Starts the thread, with the number of the next manifest. All but the `keep` newest snapshots and those with a name
    /// are removed after each publication.
    pub fn start(repository: Repository, mut number: u64, keep: usize) -> Self {
        let (work, manifests) = channel::<(u64, Manifest)>();
        let (tell, done) = channel();
        let publish = move || {
            for (id, mut manifest) in manifests {
                let watch = Stopwatch::start();
                let published =
                    point("snapshot.publish").and_then(|()| publish(&repository, &mut manifest, &mut number));
                let seconds = watch.elapsed().as_secs_f64();
                let failed = published.is_err();
                if tell.send((id, published.map(|()| Published { manifest, seconds }))).is_err() {
                    return;
                }
                if !failed && let Err(error) = retain(&repository, keep) {
                    // Nothing is lost by a snapshot too many, and the next one tries again.
                    tracing::warn!(target: "engine::snapshot", "old snapshots were not removed: {error}");
                }
            }
        };
        let thread = thread::Builder::new().name("publisher".to_owned()).spawn(publish).ok();
        Publisher { work: Some(work), done, thread }
    }

    /// Hands a snapshot over whose files are durable, with the number under which it was asked for.
    pub fn publish(&self, id: u64, manifest: Manifest) {
        if let Some(work) = &self.work {
            // If the thread is gone, [`Publisher::poll`] says so.
            drop(work.send((id, manifest)));
        }
    }

    /// What came of a snapshot since the last call, if anything did.
    pub fn poll(&self) -> Result<Option<Told>, Error> {
        match self.done.try_recv() {
            Ok(told) => Ok(Some(told)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Error::Fault("the publisher of snapshots has ended".to_owned())),
        }
    }
}

/// Publishes under the next number. A number that this very generation has taken already was written by an attempt that
/// seemed to fail.
fn publish(repository: &Repository, manifest: &mut Manifest, number: &mut u64) -> Result<(), Error> {
    loop {
        manifest.id = *number;
        if repository.try_publish(manifest)? == Put::Taken {
            let there = repository.manifest(*number)?;
            if there.generation != manifest.generation {
                return Err(superseded(manifest.generation, there.generation));
            }
            *number += 1;
            if there != *manifest {
                continue;
            }
            return Ok(());
        }
        *number += 1;
        return Ok(());
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
