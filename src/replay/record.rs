//! What a job has on record, as it was at one moment: the job may run on meanwhile.

use crate::job::DECISIONS;
use crate::run::existing_ledger;
use connectors::sqlite::SqliteStore;
use engine::error::Error;
use engine::ledger::{Entry, Ledger};
use engine::snapshot::repository::Repository;
use engine::time::{Micros, Stamp};
use engine::writer::Written;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The copy of a ledger, in the scratch folder.
const COPY: &str = "record.sqlite";

/// What is on record.
pub(super) struct Record {
    /// A copy of its ledger.
    pub(super) ledger: SqliteStore,
    /// What the replay starts after.
    pub(super) cut: Stamp,
    decisions: PathBuf,
    /// Bytes of that file that belong to the record.
    length: u64,
    /// The cut of the newest snapshot: the record holds everything up to there.
    newest: Stamp,
}

impl Record {
    /// Takes down what there is. In this order: what is known to be whole only grows.
    pub(super) fn capture(dir: &Path, repository: &Repository, cut: Stamp, scratch: &Path) -> Result<Self, Error> {
        let ledger = existing_ledger(dir)?;
        let cuts = repository.list()?.into_iter().filter_map(|found| Some(found.manifest.ok()?.at));
        let newest = cuts.max().unwrap_or(cut);
        let decisions = dir.join(DECISIONS);
        let length = match std::fs::metadata(&decisions) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(Error::io("read", &decisions)(error)),
        };
        let copy = scratch.join(COPY);
        ledger.copy_to(&copy)?;
        Ok(Record { ledger: SqliteStore::open(&copy)?, cut, decisions, length, newest })
    }

    /// Up to which stamp everything is on record; none for all.
    pub(super) fn through(&self) -> Option<Stamp> {
        (self.newest != Stamp::MAX).then_some(self.newest)
    }

    /// Whether what stands at `at` must be in the file of decisions.
    pub(super) fn has_decided(&self, at: Micros) -> bool {
        at.stamp() <= self.newest
    }

    /// Whether what stands at `at` comes after the cut.
    pub(super) fn is_after_cut(&self, at: Micros) -> bool {
        at.stamp() > self.cut
    }

    /// The whole lines of the file of decisions from the cut on, where the file was `decided` long.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the file is shorter than that, or no line ends there.
    pub(super) fn lines(&self, decided: Written) -> Result<Vec<Vec<u8>>, Error> {
        let place = self.decisions.display();
        let Written { bytes, lines } = decided;
        let corrupt = |what: &str| {
            Error::Corrupt(format!(
                "{place} {what}, but the snapshot counts on {lines} lines in {bytes} bytes of it: restore the file, or \
                 replay from another snapshot"
            ))
        };
        if self.length < bytes {
            return Err(corrupt(&format!("has only {} bytes", self.length)));
        }
        if self.length == 0 {
            return Ok(Vec::new());
        }
        let refuse = |error| Error::io("read", &self.decisions)(error);
        let mut file = BufReader::new(File::open(&self.decisions).map_err(refuse)?.take(self.length));
        let mut before = (&mut file).take(bytes);
        let mut ends = 0;
        let mut line = Vec::new();
        while before.read_until(b'\n', &mut line).map_err(refuse)? > 0 {
            ends += u64::from(line.last() == Some(&b'\n'));
            line.clear();
        }
        if ends != lines {
            return Err(corrupt(&format!("has {ends} lines up to there")));
        }
        whole_lines(file).map_err(refuse)
    }
}

/// The lines of a file from its start, without their ends. What has no end is still being written.
pub(super) fn lines_of(path: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let refuse = |error| Error::io("read", path)(error);
    let mut file = File::open(path).map_err(refuse)?;
    file.seek(SeekFrom::Start(0)).map_err(refuse)?;
    whole_lines(BufReader::new(file)).map_err(refuse)
}

fn whole_lines(mut reader: impl BufRead) -> std::io::Result<Vec<Vec<u8>>> {
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Ok(lines);
        }
        lines.push(line);
    }
}

/// An entry by its id.
pub(crate) fn entry(ledger: &SqliteStore, id: &str) -> Result<Option<Entry>, Error> {
    let Some(seq) = ledger.entry_seq(id)? else { return Ok(None) };
    Ok(ledger.entries_after(seq.saturating_sub(1), 1)?.into_iter().map(|(_, entry)| entry).next())
}
