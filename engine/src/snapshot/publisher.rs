//! Publishes snapshots beside the flow, which must not wait for a repository. Owned here: the thread, and the order in
//! which a snapshot is published, older ones are removed, and the source journal is cut back to what is left.

use super::manifest::Manifest;
use super::objects::Put;
use super::repository::{Found, Repository, cuts};
use super::retention::surplus;
use crate::clock::Stopwatch;
use crate::error::Error;
use crate::fault::point;
use crate::ledger::superseded;
use crate::source::journal::Journal;
use crate::source::partition::PartitionState;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
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
    /// are removed after each publication, and entries of the journal that none of those left reaches back to.
    pub fn start(repository: Repository, journal: Arc<Mutex<dyn Journal>>, mut number: u64, keep: usize) -> Self {
        let (work, manifests) = channel::<(u64, Manifest)>();
        let (tell, done) = channel();
        let publish = move || {
            // Files are named by the number asked for: one that is left out came to nothing, and may have left some.
            let (mut next, mut wasted) = (number, false);
            for (id, mut manifest) in manifests {
                let (watch, generation) = (Stopwatch::start(), manifest.generation);
                let published =
                    point("snapshot.publish").and_then(|()| publish(&repository, &mut manifest, &mut number));
                let seconds = watch.elapsed().as_secs_f64();
                let failed = published.is_err();
                if tell.send((id, published.map(|()| Published { manifest, seconds }))).is_err() {
                    return;
                }
                wasted |= failed || id > next;
                next = id + 1;
                if failed {
                    continue;
                }
                match tidy(&repository, &*journal, keep, wasted.then_some((generation, id))) {
                    Ok(()) => wasted = false,
                    // Nothing is lost by a snapshot, an entry or a file too many, and the next one tries again.
                    Err(error) => {
                        tracing::warn!(target: "engine::snapshot", "what is old was not removed: {error}");
                    }
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

/// Removes what nothing needs once there is a new snapshot: older ones, entries of the journal, and, if any was `wasted`
/// before the snapshot that this generation has asked for by this number, files. All parts of that one are stored, so
/// whatever an operator will name again is named in it.
fn tidy(
    repository: &Repository,
    journal: &Mutex<dyn Journal>,
    keep: usize,
    wasted: Option<(u64, u64)>,
) -> Result<(), Error> {
    let kept = retain(repository, keep)?;
    shorten(journal, &kept)?;
    if let Some((generation, asked)) = wasted {
        repository.sweep(generation, asked)?;
    }
    Ok(())
}

/// Removes the snapshots that may go. Returns those that are left.
fn retain(repository: &Repository, keep: usize) -> Result<Vec<Found>, Error> {
    let mut found = repository.list()?;
    let named = repository.names()?.into_values().collect();
    let surplus: BTreeSet<u64> = surplus(&cuts(&found), &named, keep).into_iter().collect();
    if !surplus.is_empty() {
        let gone = repository.remove(&surplus)?;
        found.retain(|found| !gone.contains(&found.id));
    }
    Ok(found)
}

/// Lets the journal forget what none of these snapshots needs. One of another version might need anything; a damaged one
/// can be restored by nobody.
fn shorten(journal: &Mutex<dyn Journal>, kept: &[Found]) -> Result<(), Error> {
    if kept.iter().any(|found| matches!(found.manifest, Err(Error::Unfit(_)))) {
        return Ok(());
    }
    let manifests: Vec<&Manifest> = kept.iter().filter_map(|found| found.manifest.as_ref().ok()).collect();
    let unread = PartitionState::default();
    let mut from: BTreeMap<&str, Vec<&PartitionState>> = BTreeMap::new();
    for name in manifests.iter().flat_map(|manifest| manifest.partitions.keys()) {
        let states = manifests.iter().map(|manifest| manifest.partitions.get(name).unwrap_or(&unread));
        from.entry(name).or_insert_with(|| states.collect());
    }
    let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
    from.into_iter().try_for_each(|(partition, from)| journal.shorten(partition, &from))
}
