//! Figures of a run: what a terminal, `/metrics` and the final report read while the dataflow writes. Written once per
//! step or batch, never per record.

use crate::coordinator::message::Progress;
use crate::snapshot::publisher::Published;
use crate::time::Stamp;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What is known of a run, shared with whoever shows it.
#[derive(Clone, Default)]
pub struct Status(Arc<Inner>);

#[derive(Default)]
struct Inner {
    totals: Mutex<BTreeMap<(String, usize), PublishedTotals>>,
    partitions: Mutex<BTreeMap<u32, Progress>>,
    frontier: AtomicU64,
    applied: AtomicU64,
    horizon: AtomicU64,
    snapshots: Mutex<Snapshots>,
}

struct PublishedTotals {
    names: &'static [&'static str],
    values: Arc<Vec<AtomicU64>>,
}

/// What is known of snapshots.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshots {
    /// How many were published in this run.
    pub published: u64,
    /// How long this run took to choose, fetch and compare what it started from, in seconds.
    pub restoring: f64,
    /// How many could not be stored.
    pub failed: u64,
    /// Cut of the newest one.
    pub newest: Option<Stamp>,
    /// From announcement to publication of the newest one, in seconds.
    pub seconds: f64,
    /// Of these, writing and confirming the manifest.
    pub publishing: f64,
    /// Bytes of keyed state in the newest one.
    pub bytes: u64,
    /// Bytes of it that were new.
    pub new_bytes: u64,
}

impl Status {
    /// Totals of an operator on one worker, starting from what was restored.
    pub fn totals(&self, operator: &str, worker: usize, names: &'static [&'static str], start: Vec<u64>) -> Totals {
        let values: Arc<Vec<AtomicU64>> = Arc::new(start.iter().map(|value| AtomicU64::new(*value)).collect());
        lock(&self.0.totals).insert((operator.to_owned(), worker), PublishedTotals { names, values: values.clone() });
        Totals { values: start, published: values }
    }

    /// A total of an operator over all workers and restarts.
    pub fn total(&self, operator: &str, name: &str) -> u64 {
        let totals = lock(&self.0.totals);
        let of_operator = totals.iter().filter(|((named, _), _)| named == operator);
        of_operator
            .filter_map(|(_, published)| {
                let index = published.names.iter().position(|n| *n == name)?;
                Some(published.values.get(index)?.load(Ordering::Relaxed))
            })
            .sum()
    }

    /// Takes in a report of a source.
    pub fn report(&self, progress: Progress) {
        lock(&self.0.partitions).insert(progress.partition, progress);
    }

    /// The last report of each partition, by index.
    pub fn partitions(&self) -> BTreeMap<u32, Progress> {
        lock(&self.0.partitions).clone()
    }

    /// Lines read over all partitions and restarts.
    pub fn received(&self) -> u64 {
        lock(&self.0.partitions).values().map(|progress| progress.received).sum()
    }

    /// Notes how far the sources are and how far everything has been applied.
    pub fn set_frontiers(&self, sources: Stamp, applied: Stamp) {
        self.0.frontier.store(sources, Ordering::Relaxed);
        self.0.applied.store(applied, Ordering::Relaxed);
    }

    /// Notes how far the frontier may come.
    pub fn set_horizon(&self, horizon: Stamp) {
        self.0.horizon.store(horizon, Ordering::Relaxed);
    }

    /// Event time that no frontier passes for now.
    pub fn horizon(&self) -> Stamp {
        self.0.horizon.load(Ordering::Relaxed)
    }

    /// Event time that all sources have passed.
    pub fn frontier(&self) -> Stamp {
        self.0.frontier.load(Ordering::Relaxed)
    }

    /// Event time up to which everything has been applied.
    pub fn applied(&self) -> Stamp {
        self.0.applied.load(Ordering::Relaxed)
    }

    /// Notes a published snapshot, and how long it took since it was asked for.
    pub fn snapshot_published(&self, published: &Published, since: Duration) {
        let mut snapshots = lock(&self.0.snapshots);
        let manifest = &published.manifest;
        *snapshots = Snapshots {
            published: snapshots.published + 1,
            restoring: snapshots.restoring,
            failed: snapshots.failed,
            newest: Some(manifest.at),
            seconds: since.as_secs_f64(),
            publishing: published.seconds,
            bytes: manifest.bytes(),
            new_bytes: manifest.new_bytes(),
        };
    }

    /// Notes how long it took to choose, fetch and compare what the run starts from, in seconds.
    pub fn restored(&self, seconds: f64) {
        lock(&self.0.snapshots).restoring = seconds;
    }

    /// Notes a snapshot that could not be stored.
    pub fn snapshot_failed(&self) {
        lock(&self.0.snapshots).failed += 1;
    }

    /// What is known of snapshots.
    pub fn snapshots(&self) -> Snapshots {
        lock(&self.0.snapshots).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An operator's running totals on one worker: plain numbers while it works, published once per step.
pub struct Totals {
    values: Vec<u64>,
    published: Arc<Vec<AtomicU64>>,
}

impl Totals {
    /// Lets readers see the present values.
    pub fn publish(&self) {
        for (value, published) in self.values.iter().zip(self.published.iter()) {
            published.store(*value, Ordering::Relaxed);
        }
    }
}

impl Deref for Totals {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        &self.values
    }
}

impl DerefMut for Totals {
    fn deref_mut(&mut self) -> &mut [u64] {
        &mut self.values
    }
}
