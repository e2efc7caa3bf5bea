//! Where the sources of a job stand, and which of them holds the frontier: live from what a run shows, or as a snapshot
//! has it, which knows of each source from where it is read on: at or before the cut.

use crate::run::Watch;
use engine::coordinator::message::Activity;
use engine::snapshot::manifest::Manifest;
use engine::time::Stamp;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where a job stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The data directory of a job that runs; none from a snapshot.
    pub data_dir: Option<PathBuf>,
    /// The snapshot that this is from; none of a job that runs.
    pub snapshot: Option<u64>,
    /// Event time that all sources have passed, in milliseconds; from a snapshot, its cut; none once all have ended.
    pub frontier_ms: Option<Stamp>,
    /// Event time up to which everything has been applied; from a snapshot, its cut.
    pub applied_ms: Option<Stamp>,
    /// Event time that no frontier passes for now; none from a snapshot.
    pub horizon_ms: Option<Stamp>,
    /// Cut of the newest snapshot of this run; none from a snapshot.
    pub newest_cut_ms: Option<Stamp>,
    /// Snapshots published in this run.
    pub snapshots_published: u64,
    /// Snapshots of this run that could not be stored.
    pub snapshots_failed: u64,
    /// The sources.
    pub sources: Vec<Source>,
    /// The source that the others wait for, by name; from a snapshot, the one that is read on furthest back.
    pub holds_the_frontier: Option<String>,
}

/// Where one source stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// `active`, `idle` or `ended`; a snapshot only knows that all have ended.
    pub activity: Option<String>,
    /// Newest event time that counted, in microseconds; this and what follows are from a snapshot as of where it is read
    /// on.
    pub newest_us: u64,
    /// Its watermark, in microseconds.
    pub watermark_us: u64,
    /// Lines read.
    pub received: u64,
    /// Position at which it is read on, from a snapshot.
    pub position: Option<u64>,
    /// Records far ahead that wait for their time, from a snapshot.
    pub waiting: Option<usize>,
}

impl Standing {
    /// Of a job that runs.
    pub fn live(watch: &Watch) -> Self {
        let (status, job) = (&watch.status, watch.job.get());
        let snapshots = status.snapshots();
        let name = |index: u32| {
            let name = job.and_then(|job| job.partitions.get(index as usize)).cloned();
            name.unwrap_or_else(|| format!("partition {index}"))
        };
        let sources: Vec<Source> = status
            .partitions()
            .into_iter()
            .map(|(index, progress)| Source {
                name: name(index),
                activity: Some(activity(progress.activity).to_owned()),
                newest_us: progress.newest.0,
                watermark_us: progress.watermark.0,
                received: progress.received,
                position: None,
                waiting: None,
            })
            .collect();
        Standing {
            data_dir: job.map(|job| job.data_dir.clone()),
            snapshot: None,
            frontier_ms: Some(status.frontier()),
            applied_ms: Some(status.applied()),
            horizon_ms: Some(status.horizon()),
            newest_cut_ms: snapshots.newest,
            snapshots_published: snapshots.published,
            snapshots_failed: snapshots.failed,
            holds_the_frontier: slowest(&sources),
            sources,
        }
    }

    /// As a snapshot has it.
    pub fn of(manifest: &Manifest) -> Self {
        let sources: Vec<Source> = manifest
            .partitions
            .iter()
            .map(|(name, state)| Source {
                name: name.clone(),
                activity: manifest.complete.then(|| activity(Activity::Ended).to_owned()),
                newest_us: state.judge.newest.0,
                watermark_us: state.judge.watermark.0,
                received: state.received,
                position: Some(state.position),
                waiting: Some(state.judge.waiting.len()),
            })
            .collect();
        let cut = (manifest.at != Stamp::MAX).then_some(manifest.at);
        Standing {
            snapshot: Some(manifest.id),
            frontier_ms: cut,
            applied_ms: cut,
            holds_the_frontier: slowest(&sources),
            sources,
            ..Standing::default()
        }
    }
}

fn activity(activity: Activity) -> &'static str {
    match activity {
        Activity::Active => "active",
        Activity::Idle => "idle",
        Activity::Ended => "ended",
    }
}

/// The source with the lowest watermark of those that have not ended.
fn slowest(sources: &[Source]) -> Option<String> {
    let going = sources.iter().filter(|source| source.activity.as_deref() != Some("ended"));
    going.min_by_key(|source| source.watermark_us).map(|source| source.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::coordinator::message::Progress;
    use engine::time::Micros;

    #[test]
    fn the_slowest_source_that_has_not_ended_holds_the_frontier() {
        let watch = Watch::default();
        assert_eq!(Standing::live(&watch).holds_the_frontier, None);
        let report = |partition, secs, activity| {
            let (newest, watermark) = (Micros::from_secs(secs + 5), Micros::from_secs(secs));
            watch.status.report(Progress { partition, newest, watermark, received: 1, position: 1, activity });
        };
        report(0, 10, Activity::Ended);
        report(1, 30, Activity::Active);
        report(2, 20, Activity::Idle);
        let standing = Standing::live(&watch);
        assert_eq!(standing.holds_the_frontier.as_deref(), Some("partition 2"));
        let told = serde_json::to_string(&standing).unwrap();
        assert_eq!(serde_json::from_str::<Standing>(&told).unwrap(), standing);
    }
}
