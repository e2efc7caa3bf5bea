//! `aerie snapshots show`: what one snapshot holds.

use super::{Place, cut, pick};
use crate::cli::{Failure, counted, grouped, plain, print, print_json};
use engine::snapshot::manifest::Manifest;
use engine::time::{Micros, Stamp};
use operators::respond::message::utc;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What a snapshot holds.
#[derive(Debug, Serialize)]
struct Shown {
    id: u64,
    names: Vec<String>,
    /// Milliseconds of event time; none for the end of all input.
    cut_ms: Option<Stamp>,
    complete: bool,
    generation: u64,
    workers: usize,
    key_groups: u16,
    key_hash: String,
    bytes: u64,
    new_bytes: u64,
    operators: BTreeMap<String, Operator>,
    partitions: BTreeMap<String, Partition>,
    fingerprint: BTreeMap<String, String>,
}

/// One operator's state.
#[derive(Debug, Serialize)]
struct Operator {
    files: usize,
    bytes: u64,
    new_bytes: u64,
    totals: Vec<u64>,
}

/// Where a source is read again.
#[derive(Debug, Serialize)]
struct Partition {
    position: u64,
    received: u64,
    newest: Micros,
    watermark: Micros,
    waiting: usize,
}

pub(super) fn execute(which: &str, place: &Place) -> Result<(), Failure> {
    let repository = place.open()?;
    let manifest = repository.manifest(pick(&repository, which)?)?;
    let names = repository.names()?.into_iter().filter(|(_, id)| *id == manifest.id).map(|(name, _)| name).collect();
    let shown = Shown::of(manifest, names);
    match place.json {
        true => print_json(&shown),
        false => print(&shown.text()),
    }
}

impl Shown {
    fn of(manifest: Manifest, names: Vec<String>) -> Self {
        let (bytes, new_bytes) = (manifest.bytes(), manifest.new_bytes());
        let id = manifest.id;
        let operator = |(name, state): (String, engine::snapshot::manifest::OperatorState)| {
            let files = state.shards.values().flatten();
            let new = files.clone().filter(|file| file.snapshot == id).map(|file| file.size).sum();
            let (count, bytes) = (files.clone().count(), files.map(|file| file.size).sum());
            (name, Operator { files: count, bytes, new_bytes: new, totals: state.totals })
        };
        let partition = |(name, state): (String, engine::source::partition::PartitionState)| {
            let judge = &state.judge;
            let (newest, watermark, waiting) = (judge.newest, judge.watermark, judge.waiting.len());
            (name, Partition { position: state.position, received: state.received, newest, watermark, waiting })
        };
        Shown {
            id,
            names,
            cut_ms: (manifest.at != Stamp::MAX).then_some(manifest.at),
            complete: manifest.complete,
            generation: manifest.generation,
            workers: manifest.workers,
            key_groups: manifest.key_groups,
            key_hash: manifest.key_hash,
            bytes,
            new_bytes,
            operators: manifest.operators.into_iter().map(operator).collect(),
            partitions: manifest.partitions.into_iter().map(partition).collect(),
            fingerprint: manifest.fingerprint,
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a string takes everything");
        text
    }

    fn write(&self, to: &mut String) -> std::fmt::Result {
        let complete = if self.complete { ", complete" } else { "" };
        writeln!(to, "snapshot   {}{complete}", self.id)?;
        if !self.names.is_empty() {
            writeln!(to, "kept as    {}", plain(&self.names.join(", ")))?;
        }
        writeln!(to, "cut        {}", cut(self.cut_ms.unwrap_or(Stamp::MAX)))?;
        let workers = counted(self.workers as u64, "worker", "workers");
        writeln!(to, "written    by generation {}, {workers}", self.generation)?;
        writeln!(to, "bytes      {}, of them {} new", grouped(self.bytes), grouped(self.new_bytes))?;
        writeln!(to, "keys       {} groups by {}", self.key_groups, plain(&self.key_hash))?;
        writeln!(to, "\n{:<12} {:>6} {:>14} {:>14}  totals", "operator", "files", "bytes", "new bytes")?;
        for (name, Operator { files, bytes, new_bytes, totals }) in &self.operators {
            let totals: Vec<String> = totals.iter().map(|total| grouped(*total)).collect();
            let (bytes, new) = (grouped(*bytes), grouped(*new_bytes));
            writeln!(to, "{:<12} {files:>6} {bytes:>14} {new:>14}  {}", plain(name), totals.join(" "))?;
        }
        writeln!(to, "\nread on at")?;
        for (name, partition) in &self.partitions {
            let Partition { position, received, newest, watermark, waiting } = partition;
            writeln!(to, "  {}", plain(name))?;
            writeln!(to, "    position {}, {} read", grouped(*position), counted(*received, "line", "lines"))?;
            writeln!(to, "    newest {}, watermark {}, {waiting} waiting", utc(*newest), utc(*watermark))?;
        }
        writeln!(to, "\nfingerprint")?;
        self.fingerprint.iter().try_for_each(|(name, value)| writeln!(to, "  {}: {}", plain(name), plain(value)))
    }
}
