//! Figures of a run: what a terminal, `/metrics` and the final report read while the dataflow writes. Written once per
//! step or batch, never per record.

use crate::clock::Stopwatch;
use crate::coordinator::message::Progress;
use crate::profile::Profile;
use crate::snapshot::publisher::Published;
use crate::time::Stamp;
use crate::window::Window;
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
    profile: Profile,
    window: Window,
    /// Seconds, by what for and by worker.
    restoring: Mutex<BTreeMap<(Restoring, usize), f64>>,
}

struct PublishedTotals {
    names: &'static [&'static str],
    values: Arc<Vec<AtomicU64>>,
}

/// What the work of a snapshot consists of, for one operator on one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The worker did nothing else: at the cut, in a slice of encoding, waiting.
    Held,
    /// Frozen rows became bytes. Within [`Phase::Held`].
    Encode,
    /// The bytes went to the store, beside the flow.
    Write,
    /// The store flushed them and linked its files, beside the flow.
    Link,
    /// Output files became durable, and the store's were read for their checksums, beside the flow.
    Sync,
    /// New files went to where snapshots are kept, beside the flow.
    Keep,
}

impl Phase {
    /// All of them.
    pub const ALL: [Phase; 6] = [Phase::Held, Phase::Encode, Phase::Write, Phase::Link, Phase::Sync, Phase::Keep];

    /// As a label.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Held => "held",
            Phase::Encode => "encode",
            Phase::Write => "write",
            Phase::Link => "link",
            Phase::Sync => "sync",
            Phase::Keep => "keep",
        }
    }
}

/// Bounds in seconds between which stretches are counted: close to each other where a stretch is meant to end.
pub const STRETCH_BOUNDS: [f64; 13] =
    [0.000_5, 0.001, 0.002, 0.005, 0.010, 0.015, 0.020, 0.030, 0.050, 0.100, 0.200, 0.500, 1.0];

/// Time that went into a phase, in stretches.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// How many stretches.
    pub stretches: u64,
    /// All of them together, in seconds.
    pub seconds: f64,
    /// The longest one, in seconds.
    pub longest: f64,
    /// How many of them were no longer than each of [`STRETCH_BOUNDS`].
    pub within: [u64; STRETCH_BOUNDS.len()],
}

/// What it takes to go on from a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Restoring {
    /// A snapshot was looked for and taken over.
    Choose,
    /// Its files came, each compared with its checksum.
    Fetch,
    /// Stores of keyed state were opened, at another number of workers with what each of them owns.
    Open,
    /// Operators sent again what is in force.
    Resend,
}

impl Restoring {
    /// All of it.
    pub const ALL: [Restoring; 4] = [Restoring::Choose, Restoring::Fetch, Restoring::Open, Restoring::Resend];

    /// As a label.
    pub fn name(self) -> &'static str {
        match self {
            Restoring::Choose => "choose",
            Restoring::Fetch => "fetch",
            Restoring::Open => "open",
            Restoring::Resend => "resend",
        }
    }
}

impl Spent {
    /// One stretch of so many seconds.
    pub fn once(seconds: f64) -> Self {
        let within = STRETCH_BOUNDS.map(|bound| u64::from(seconds <= bound));
        Spent { stretches: 1, seconds, longest: seconds, within }
    }

    /// Counts what another has counted.
    pub fn merge(&mut self, other: Spent) {
        self.stretches += other.stretches;
        self.seconds += other.seconds;
        self.longest = self.longest.max(other.longest);
        self.within.iter_mut().zip(other.within).for_each(|(count, more)| *count += more);
    }
}

/// Time by phase.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Phases([Spent; Phase::ALL.len()]);

impl Phases {
    /// Counts a stretch that ends now.
    pub fn add(&mut self, phase: Phase, since: Stopwatch) {
        self.merge(phase, Spent::once(since.elapsed().as_secs_f64()));
    }

    /// Counts what another has counted.
    pub fn add_all(&mut self, other: &Phases) {
        Phase::ALL.into_iter().for_each(|phase| self.merge(phase, other.of(phase)));
    }

    /// Time of one phase.
    pub fn of(&self, phase: Phase) -> Spent {
        self.0[phase as usize]
    }

    fn merge(&mut self, phase: Phase, other: Spent) {
        self.0[phase as usize].merge(other);
    }
}

/// What is known of snapshots.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshots {
    /// How many were published in this run.
    pub published: u64,
    /// Why the last one could not be stored; `None` once one was.
    pub failing: Option<String>,
    /// How many could not be stored.
    pub failed: u64,
    /// Cut of the newest one.
    pub newest: Option<Stamp>,
    /// When that was published.
    pub since: Option<Stopwatch>,
    /// From announcement to publication of the newest one, in seconds.
    pub seconds: f64,
    /// Of these, writing and confirming the manifest.
    pub publishing: f64,
    /// Bytes of keyed state in the newest one.
    pub bytes: u64,
    /// Bytes of it that were new.
    pub new_bytes: u64,
    /// Time that keyed operators spent on their parts in this run, over all operators and workers, published or not.
    pub phases: Phases,
}

impl Status {
    /// Totals of an operator on one worker, starting from what was restored.
    pub fn totals(&self, operator: &str, worker: usize, names: &'static [&'static str], start: Vec<u64>) -> Totals {
        let values: Arc<Vec<AtomicU64>> = Arc::new(start.iter().map(|value| AtomicU64::new(*value)).collect());
        lock(&self.0.totals).insert((operator.to_owned(), worker), PublishedTotals { names, values: values.clone() });
        Totals { values: start, published: values, worker, status: self.clone() }
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
            failing: None,
            failed: snapshots.failed,
            newest: Some(manifest.at),
            since: Some(Stopwatch::start()),
            seconds: since.as_secs_f64(),
            publishing: published.seconds,
            bytes: manifest.bytes(),
            new_bytes: manifest.new_bytes(),
            phases: snapshots.phases,
        };
    }

    /// Notes what a worker has spent on going on from a snapshot, besides what it has spent before.
    pub fn restoring(&self, phase: Restoring, worker: usize, spent: Duration) {
        *lock(&self.0.restoring).entry((phase, worker)).or_default() += spent.as_secs_f64();
    }

    /// How long that took in this process, in seconds: workers do it at the same time.
    pub fn restored(&self, phase: Restoring) -> f64 {
        let spent = lock(&self.0.restoring);
        spent.iter().filter(|((of, _), _)| *of == phase).map(|(_, seconds)| *seconds).fold(0.0, f64::max)
    }

    /// Notes a snapshot that could not be stored.
    pub fn snapshot_failed(&self, why: &str) {
        let mut snapshots = lock(&self.0.snapshots);
        snapshots.failed += 1;
        snapshots.failing = Some(why.to_owned());
    }

    /// Where the workers spend their time, once it is asked for.
    pub fn profile(&self) -> &Profile {
        &self.0.profile
    }

    /// Where to ask for rows while the job runs, if this process conducts it.
    pub fn window(&self) -> &Window {
        &self.0.window
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
    worker: usize,
    status: Status,
}

impl Totals {
    /// Lets readers see the present values.
    pub fn publish(&self) {
        for (value, published) in self.values.iter().zip(self.published.iter()) {
            published.store(*value, Ordering::Relaxed);
        }
    }

    /// Notes what the operator took to send again what is in force.
    pub fn resent(&self, since: Stopwatch) {
        self.status.restoring(Restoring::Resend, self.worker, since.elapsed());
    }

    /// Notes what the operator's part of a snapshot took.
    pub fn snapshot_part(&self, phases: &Phases) {
        lock(&self.status.0.snapshots).phases.add_all(phases);
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
