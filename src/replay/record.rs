//! What a job has on record, as it was at one moment: the job may run on meanwhile.

use crate::job::{CLASS_DECISION, DECISIONS, WRITER};
use crate::store::StorePlace;
use config::Job;
use connectors::store::Store;
use engine::error::Error;
use engine::ledger::{Entry, Ledger};
use engine::snapshot::manifest::Manifest;
use engine::snapshot::repository::Repository;
use engine::time::{Micros, Stamp};
use engine::writer::Written;
use operators::decode::source::{CLASS_LATE_APPLIED, CLASS_TOO_LATE, DEAD_LETTER, LATE};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The copy of a ledger that is a file, in the scratch folder.
const COPY: &str = "record.sqlite";

/// The output files, each with the classes under which its lines are counted.
const FILES: [(&str, Range<u8>); 3] = [
    (DECISIONS, CLASS_DECISION..CLASS_DECISION + 1),
    (DEAD_LETTER, 0..CLASS_TOO_LATE),
    (LATE, CLASS_TOO_LATE..CLASS_LATE_APPLIED + 1),
];

/// What is on record.
pub(super) struct Record {
    /// Its ledger, as it was then.
    pub(super) ledger: Store,
    /// What the replay starts after.
    pub(super) cut: Stamp,
    /// Names of all partitions that the job has read by its newest snapshot.
    pub(super) partitions: BTreeSet<String>,
    dir: PathBuf,
    /// Of each output file, the bytes that belong to the record.
    lengths: BTreeMap<&'static str, u64>,
    /// The cut of the newest snapshot: the record holds everything up to there.
    newest: Stamp,
    /// Of each output file, how many lines it had at the newest snapshot.
    counted: BTreeMap<&'static str, u64>,
}

impl Record {
    /// Takes down what there is. In this order: what is known to be whole only grows.
    pub(super) fn capture(job: &Job, repository: &Repository, cut: Stamp, scratch: &Path) -> Result<Self, Error> {
        let (dir, ledger) = (job.data_dir.as_path(), StorePlace::seen(job)?.read()?);
        let manifests = repository.list()?.into_iter().filter_map(|found| found.manifest.ok());
        let newest = manifests.max_by_key(|manifest| manifest.at);
        let counted = FILES.map(|(file, classes)| (file, newest.as_ref().map_or(0, |newest| lines(newest, classes))));
        let partitions = newest.iter().flat_map(|newest| newest.partitions.keys().cloned()).collect();
        let newest = newest.map_or(cut, |newest| newest.at);
        let mut lengths = BTreeMap::new();
        for (file, _) in FILES {
            let path = dir.join(file);
            let length = match std::fs::metadata(&path) {
                Ok(found) => found.len(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
                Err(error) => return Err(Error::io("read", &path)(error)),
            };
            lengths.insert(file, length);
        }
        let (ledger, dir) = (ledger.freeze(&scratch.join(COPY))?, dir.to_owned());
        Ok(Record { ledger, cut, partitions, dir, lengths, newest, counted: counted.into() })
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

    /// Where an output file lies.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// How many lines a file had at the newest snapshot.
    pub(super) fn lines_counted(&self, file: &str) -> u64 {
        self.counted.get(file).copied().unwrap_or_default()
    }

    fn length(&self, file: &str) -> u64 {
        self.lengths.get(file).copied().unwrap_or_default()
    }

    /// Checks that a file has what the replay's snapshot counts on.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the file is shorter than that, or has another number of lines up to there.
    pub(super) fn check_start(&self, file: &str, Written { bytes, lines }: Written) -> Result<(), Error> {
        let path = self.path(file);
        let corrupt = |what: &str| {
            let place = path.display();
            Error::Corrupt(format!(
                "{place} {what}, but the snapshot counts on {lines} lines in {bytes} bytes of it: restore the file, or \
                 replay from another snapshot"
            ))
        };
        if self.length(file) < bytes {
            return Err(corrupt(&format!("has only {} bytes", self.length(file))));
        }
        if bytes == 0 {
            return Ok(());
        }
        let refuse = |error| Error::io("read", &path)(error);
        let mut before = BufReader::new(File::open(&path).map_err(refuse)?.take(bytes));
        let (mut ends, mut line) = (0, Vec::new());
        while before.read_until(b'\n', &mut line).map_err(refuse)? > 0 {
            ends += u64::from(line.last() == Some(&b'\n'));
            line.clear();
        }
        if ends != lines {
            return Err(corrupt(&format!("has {ends} lines up to there")));
        }
        Ok(())
    }

    /// What the record has of a file from the cut on, where it was so long.
    ///
    /// # Errors
    /// As the file can be read.
    pub(super) fn lines_from(&self, file: &str, cut: Written) -> Result<Box<dyn BufRead>, Error> {
        let (path, length) = (self.path(file), self.length(file));
        if length == 0 {
            return Ok(Box::new(std::io::empty()));
        }
        let refuse = |error| Error::io("read", &path)(error);
        let mut opened = File::open(&path).map_err(refuse)?;
        opened.seek(SeekFrom::Start(cut.bytes)).map_err(refuse)?;
        Ok(Box::new(BufReader::new(opened.take(length.saturating_sub(cut.bytes)))))
    }
}

/// Lines of these classes up to a snapshot.
fn lines(manifest: &Manifest, classes: Range<u8>) -> u64 {
    let totals = manifest.operators.get(WRITER).map_or(&[][..], |writer| &writer.totals);
    totals.get(usize::from(classes.start)..usize::from(classes.end)).unwrap_or_default().iter().sum()
}

/// A file from its start.
pub(super) fn open(path: &Path) -> Result<Box<dyn BufRead>, Error> {
    Ok(Box::new(BufReader::new(File::open(path).map_err(Error::io("read", path))?)))
}

/// Lines without their ends. What has no end is still being written.
pub(super) fn whole_lines(mut reader: Box<dyn BufRead>) -> impl Iterator<Item = std::io::Result<Vec<u8>>> {
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        match reader.read_until(b'\n', &mut line) {
            Err(error) => Some(Err(error)),
            Ok(_) => (line.pop() == Some(b'\n')).then_some(Ok(line)),
        }
    })
}

/// An entry by its id.
pub(crate) fn entry(ledger: &Store, id: &str) -> Result<Option<Entry>, Error> {
    let Some(seq) = ledger.entry_seq(id)? else { return Ok(None) };
    Ok(ledger.entries_after(seq.saturating_sub(1), 1)?.into_iter().map(|(_, entry)| entry).next())
}
