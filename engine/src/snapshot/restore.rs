//! Which snapshot a job starts from: the newest intact one, with a report of those that were passed over.

use super::manifest::{Job, Manifest};
use super::repository::{Repository, folder};
use crate::coordinator::message::Part;
use crate::error::Error;
use crate::key::KeyGroup;
use crate::source::partition::PartitionState;
use crate::time::Stamp;
use std::path::PathBuf;

/// What a job starts from.
#[derive(Debug, Default)]
pub struct Restore {
    /// The snapshot; `None` on a fresh start.
    pub manifest: Option<Manifest>,
    /// Damaged newer ones that were passed over, and what is wrong with each.
    pub passed_over: Vec<(u64, Error)>,
    /// The next free number.
    pub next_id: u64,
}

/// Chooses the newest intact snapshot that fits the job. Folders that never became snapshots are removed.
///
/// An error when there are snapshots but none is intact, and when the newest intact one is of another job.
pub fn choose(repository: &Repository, job: &Job) -> Result<Restore, Error> {
    let found = repository.list()?;
    let known: Vec<u64> = found.iter().map(|found| found.id).collect();
    let mut next_id = 0;
    for id in repository.ids()? {
        next_id = id + 1;
        if !known.contains(&id) {
            repository.remove(id)?;
        }
    }
    let mut passed_over = Vec::new();
    for found in found.into_iter().rev() {
        let intact = found.manifest.and_then(|manifest| {
            manifest.check(job)?;
            repository.verify(&manifest)?;
            Ok(manifest)
        });
        match intact {
            Ok(manifest) => return Ok(Restore { manifest: Some(manifest), passed_over, next_id }),
            Err(error @ (Error::Corrupt(_) | Error::Io { .. })) => passed_over.push((found.id, error)),
            Err(error) => return Err(error),
        }
    }
    if passed_over.is_empty() {
        return Ok(Restore { manifest: None, passed_over, next_id });
    }
    let report: Vec<String> = passed_over.iter().map(|(id, error)| format!("  snapshot {id}: {error}")).collect();
    Err(Error::Corrupt(format!(
        "no snapshot in {} is intact:\n{}\nrestore the folder from a backup, or start over in another data directory",
        repository.path().display(),
        report.join("\n")
    )))
}

impl Restore {
    /// The cut, `None` on a fresh start.
    pub fn at(&self) -> Option<Stamp> {
        self.manifest.as_ref().map(|manifest| manifest.at)
    }

    /// From where a partition is read.
    pub fn partition(&self, name: &str) -> PartitionState {
        self.manifest.as_ref().and_then(|manifest| manifest.partitions.get(name)).cloned().unwrap_or_default()
    }

    /// The checkpoints that hold some of the groups that a worker now owns.
    pub fn checkpoints(
        &self,
        repository: &Repository,
        operator: &str,
        worker: usize,
        workers: usize,
    ) -> Result<Vec<PathBuf>, Error> {
        let Some(manifest) = &self.manifest else { return Ok(Vec::new()) };
        let Some(state) = manifest.operators.get(operator) else {
            return Err(Error::Corrupt(format!("snapshot {} holds no state of operator {operator}", manifest.id)));
        };
        let owned = KeyGroup::owned_by(worker, workers);
        let overlaps = |shard: &usize| {
            let had = KeyGroup::owned_by(*shard, manifest.workers);
            had.start < owned.end && owned.start < had.end
        };
        let snapshot = folder(repository.path(), manifest.id);
        let shards = state.shards.keys().filter(|shard| overlaps(shard));
        Ok(shards.map(|shard| snapshot.join(Part::folder(operator, *shard))).collect())
    }

    /// The totals that a worker starts from: the first one carries what all had.
    pub fn totals(&self, operator: &str, worker: usize, count: usize) -> Vec<u64> {
        let state = self.manifest.as_ref().and_then(|manifest| manifest.operators.get(operator));
        let mut totals = state.filter(|_| worker == 0).map(|state| state.totals.clone()).unwrap_or_default();
        totals.resize(count, 0);
        totals
    }
}
