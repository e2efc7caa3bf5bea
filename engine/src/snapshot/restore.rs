//! What a job starts from: the newest intact snapshot that fits it, with a report of those that were passed over, taken
//! over by a new generation, its files fetched and compared with their checksums.

use super::manifest::{Job, Manifest};
use super::objects::Put;
use super::repository::{Found, Repository};
use crate::clock::Stopwatch;
use crate::coordinator::message::Part;
use crate::error::Error;
use crate::key::KeyGroup;
use crate::ledger::superseded;
use crate::source::partition::PartitionState;
use crate::time::Stamp;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a job starts from.
#[derive(Debug, Default)]
pub struct Restore {
    /// The snapshot; `None` on a fresh start.
    pub manifest: Option<Manifest>,
    /// Damaged newer ones that were passed over, and what is wrong with each.
    pub passed_over: Vec<(u64, Error)>,
    /// The generation that this run is.
    pub generation: u64,
    /// The next free number.
    pub next_id: u64,
    /// How long it took to choose it and to take it over.
    pub choosing: Duration,
    /// How long it took to fetch and compare its files, and those of any that turned out to be damaged.
    pub fetching: Duration,
    /// Folder of the fetched files.
    fetched: PathBuf,
}

/// Chooses the newest intact snapshot that fits the job, for a new generation above `least_generation`, and takes it
/// over: an older generation can publish nothing from then on. Its files are fetched into the generation's folder in
/// `state`.
/// A complete job is not taken over and not fetched, since there is nothing to go on with.
///
/// # Errors
/// [`Error::Corrupt`] when there are snapshots but none is intact; [`Error::Unavailable`] when one cannot be read now,
/// [`Error::Unfit`] and [`Error::Invalid`] when the newest readable one is of another program or job: those are never
/// passed over.
pub fn choose(repository: &Repository, job: &Job, least_generation: u64, state: &Path) -> Result<Restore, Error> {
    let watch = Stopwatch::start();
    if let Some(restore) = complete(repository, job)? {
        return Ok(restore);
    }
    let generation = repository.claim_generation(least_generation)?;
    let fetched = fetched(state, generation);
    let taken_over = take_over(repository, job, generation, &fetched);
    if taken_over.is_err() {
        // Nothing is done under this number any more, so that a refusal leaves no trace.
        repository.give_up_generation(generation)?;
        remove(&folder_of(state, generation))?;
    }
    let restore = taken_over?;
    Ok(Restore { choosing: watch.elapsed().saturating_sub(restore.fetching), fetched, ..restore })
}

fn take_over(repository: &Repository, job: &Job, generation: u64, folder: &Path) -> Result<Restore, Error> {
    let mut fetching = Duration::ZERO;
    loop {
        let found = repository.list()?;
        let next_id = found.last().map_or(0, |found| found.id + 1);
        let newest = found.iter().filter_map(|found| found.manifest.as_ref().ok()).map(|manifest| manifest.generation);
        if let Some(newer) = newest.max().filter(|newest| *newest > generation) {
            return Err(superseded(generation, newer));
        }
        let (manifest, passed_over) = newest_intact(repository, found, job, folder, &mut fetching)?;
        let Some(manifest) = manifest else {
            refuse_if_damaged(repository, &passed_over)?;
            return Ok(Restore { generation, next_id, passed_over, fetching, ..Restore::default() });
        };
        let taken_over = Manifest { id: next_id, generation, ..manifest.clone() };
        // If an older generation was faster by a hair, its snapshot is the newest.
        if repository.try_publish(&taken_over)? == Put::Done {
            if let Err(error) = repository.sweep(generation, 0) {
                // They only take room.
                tracing::warn!(target: "engine::snapshot", "files that no snapshot names were not removed: {error}");
            }
            let (manifest, next_id) = (Some(manifest), next_id + 1);
            return Ok(Restore { manifest, passed_over, generation, next_id, fetching, ..Restore::default() });
        }
    }
}

/// What another process has chosen, as one that shares the work sees it: the files that concern workers `workers` of
/// `job.workers` are fetched.
///
/// # Errors
/// As [`choose`], but damage is [`Error::Unavailable`]: the process that chose has just read the same files as whole, and
/// chooses anew in the next generation.
pub fn follow(
    repository: &Repository,
    job: &Job,
    chosen: Option<u64>,
    generation: u64,
    workers: Range<usize>,
    state: &Path,
) -> Result<Restore, Error> {
    let watch = Stopwatch::start();
    let Some(id) = chosen else { return Ok(Restore { generation, ..Restore::default() }) };
    let manifest = repository.manifest(id)?;
    manifest.check(job)?;
    if manifest.complete {
        return Ok(Restore { manifest: Some(manifest), generation, next_id: id + 1, ..Restore::default() });
    }
    let fetched = fetched(state, generation);
    let owned = workers.map(|worker| KeyGroup::owned_by(worker, job.workers));
    let owned = owned.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or_default();
    let (choosing, watch) = (watch.elapsed(), Stopwatch::start());
    fetch(repository, &manifest, &owned, &fetched).map_err(|error| match error {
        Error::Corrupt(text) => Error::Unavailable(text),
        error => error,
    })?;
    let (manifest, next_id, fetching) = (Some(manifest), id + 1, watch.elapsed());
    Ok(Restore { manifest, generation, next_id, choosing, fetching, fetched, ..Restore::default() })
}

/// A named or numbered snapshot, to be looked at and not to be taken over.
///
/// # Errors
/// As [`Repository::manifest`]; [`Error::Corrupt`] for a damaged file.
pub fn look(repository: &Repository, id: u64, folder: &Path) -> Result<Restore, Error> {
    let manifest = repository.manifest(id)?;
    let watch = Stopwatch::start();
    fetch(repository, &manifest, &KeyGroup::all(), folder)?;
    let (fetching, fetched) = (watch.elapsed(), folder.to_owned());
    Ok(Restore { manifest: Some(manifest), fetching, fetched, ..Restore::default() })
}

/// The newest snapshot that can be read, without its files.
///
/// # Errors
/// [`Error::Corrupt`] if there is none.
pub fn newest(repository: &Repository, job: &Job) -> Result<Restore, Error> {
    let newest = repository.list()?.into_iter().rev().find_map(|found| found.manifest.ok());
    let manifest = newest
        .ok_or_else(|| Error::Corrupt(format!("there is no snapshot that can be read in {}", repository.place())))?;
    manifest.check(job)?;
    Ok(Restore { next_id: manifest.id + 1, manifest: Some(manifest), ..Restore::default() })
}

/// Folder of a generation's live state.
pub fn folder_of(state: &Path, generation: u64) -> PathBuf {
    state.join(generation.to_string())
}

/// Folder of a snapshot's files, until all stores are open.
pub(crate) fn fetched(state: &Path, generation: u64) -> PathBuf {
    folder_of(state, generation).join("fetched")
}

/// A job that is over, from its newest snapshot.
fn complete(repository: &Repository, job: &Job) -> Result<Option<Restore>, Error> {
    let Some(id) = repository.ids()?.pop() else { return Ok(None) };
    match repository.manifest(id) {
        Ok(manifest) if manifest.complete => {
            manifest.check(job)?;
            Ok(Some(Restore { manifest: Some(manifest), next_id: id + 1, ..Restore::default() }))
        }
        // What else it may be is looked at when one is chosen.
        Ok(_) | Err(Error::Corrupt(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

type PassedOver = Vec<(u64, Error)>;

fn newest_intact(
    repository: &Repository,
    found: Vec<Found>,
    job: &Job,
    folder: &Path,
    fetching: &mut Duration,
) -> Result<(Option<Manifest>, PassedOver), Error> {
    let mut passed_over = Vec::new();
    for found in found.into_iter().rev() {
        let intact = found.manifest.and_then(|manifest| {
            manifest.check(job)?;
            let watch = Stopwatch::start();
            let fetched = fetch(repository, &manifest, &KeyGroup::all(), folder);
            *fetching += watch.elapsed();
            fetched.map(|()| manifest)
        });
        match intact {
            Ok(manifest) => return Ok((Some(manifest), passed_over)),
            Err(error @ Error::Corrupt(_)) => passed_over.push((found.id, error)),
            // It may be whole: to go on from an older one is not for us to choose.
            Err(Error::Unavailable(text)) => {
                let id = found.id;
                return Err(Error::Unavailable(format!(
                    "snapshot {id} cannot be read now: {text}; start again, or give it up with `aerie snapshots delete \
                     {id} --force`"
                )));
            }
            Err(error) => return Err(error),
        }
    }
    Ok((None, passed_over))
}

fn refuse_if_damaged(repository: &Repository, passed_over: &PassedOver) -> Result<(), Error> {
    if passed_over.is_empty() {
        return Ok(());
    }
    let report: Vec<String> = passed_over.iter().map(|(id, error)| format!("  snapshot {id}: {error}")).collect();
    Err(Error::Corrupt(format!(
        "no snapshot in {} is intact:\n{}\nrestore the folder from a backup, or start over in another data directory",
        repository.place(),
        report.join("\n")
    )))
}

/// Fetches all shards that hold some of the groups.
fn fetch(repository: &Repository, manifest: &Manifest, owned: &Range<u16>, folder: &Path) -> Result<(), Error> {
    remove(folder)?;
    for (operator, state) in &manifest.operators {
        let needed = state.shards.iter().filter(|(shard, _)| overlaps(**shard, manifest.workers, owned));
        for (shard, files) in needed.filter(|(_, files)| !files.is_empty()) {
            let part = folder.join(Part::folder(operator, *shard));
            fs::create_dir_all(&part).map_err(Error::io("create", &part))?;
            repository.fetch(files, &part)?;
        }
    }
    Ok(())
}

/// Removes a folder, if there is one.
fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", folder)(error)),
        _ => Ok(()),
    }
}

fn overlaps(shard: usize, workers: usize, owned: &Range<u16>) -> bool {
    let had = KeyGroup::owned_by(shard, workers);
    had.start < owned.end && owned.start < had.end
}

impl Restore {
    /// The cut, `None` on a fresh start.
    pub fn at(&self) -> Option<Stamp> {
        self.manifest.as_ref().map(|manifest| manifest.at)
    }

    /// From where a partition is read; `None` if it has joined a job that has come further already.
    pub fn partition(&self, name: &str) -> Option<PartitionState> {
        match &self.manifest {
            None => Some(PartitionState::default()),
            Some(manifest) => manifest.partitions.get(name).cloned(),
        }
    }

    /// The checkpoints that hold some of the groups that a worker now owns.
    pub fn checkpoints(&self, operator: &str, worker: usize, workers: usize) -> Result<Vec<PathBuf>, Error> {
        let Some(manifest) = &self.manifest else { return Ok(Vec::new()) };
        let Some(state) = manifest.operators.get(operator) else {
            return Err(Error::Unfit(format!(
                "snapshot {} holds no state of operator {operator}: run the version that wrote it",
                manifest.id
            )));
        };
        let owned = KeyGroup::owned_by(worker, workers);
        let shards = state.shards.keys().filter(|shard| overlaps(**shard, manifest.workers, &owned));
        Ok(shards.map(|shard| self.fetched.join(Part::folder(operator, *shard))).collect())
    }

    /// The files that a worker's store goes on from unchanged, if the number of workers is what it was.
    pub fn stored(&self, operator: &str, worker: usize, workers: usize) -> Vec<super::shelf::StoredFile> {
        let manifest = self.manifest.as_ref().filter(|manifest| manifest.workers == workers);
        let state = manifest.and_then(|manifest| manifest.operators.get(operator));
        state.and_then(|state| state.shards.get(&worker)).cloned().unwrap_or_default()
    }

    /// Removes the fetched files, once every store is open.
    pub fn clean(&self) -> Result<(), Error> {
        if self.fetched.as_os_str().is_empty() { Ok(()) } else { remove(&self.fetched) }
    }

    /// The totals that a worker starts from: the first one carries what all had.
    pub fn totals(&self, operator: &str, worker: usize, count: usize) -> Vec<u64> {
        let state = self.manifest.as_ref().and_then(|manifest| manifest.operators.get(operator));
        let mut totals = state.filter(|_| worker == 0).map(|state| state.totals.clone()).unwrap_or_default();
        totals.resize(count, 0);
        totals
    }
}
