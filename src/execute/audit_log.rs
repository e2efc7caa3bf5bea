//! `audit.ndjson`: the ledger's entries as a file that goes on from its own last line. Owned here: the file. Not owned
//! here: what an entry says, and when it is there.

use connectors::store::Store;
use engine::error::Error;
use engine::fault::point;
use engine::ledger::Ledger;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::PathBuf;

/// Entries projected at once.
const ENTRIES: usize = 1_024;

/// The file of audit entries, which goes on from its own last line.
pub(super) struct AuditLog {
    path: PathBuf,
    file: std::fs::File,
    seq: u64,
}

impl AuditLog {
    pub(super) fn open(path: PathBuf, ledger: &Store) -> Result<Self, Error> {
        let options = std::fs::OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = options.map_err(Error::io("open", &path))?;
        let (length, last) = last_line(&file).map_err(Error::io("read", &path))?;
        file.set_len(length).map_err(Error::io("cut back", &path))?;
        file.seek(SeekFrom::End(0)).map_err(Error::io("seek in", &path))?;
        let seq = match last {
            None => 0,
            Some(line) => {
                let id = serde_json::from_str::<serde_json::Value>(&line).ok();
                let id = id.as_ref().and_then(|entry| entry["id"].as_str());
                let seq = id.map(|id| ledger.entry_seq(id)).transpose()?.flatten();
                seq.ok_or_else(|| {
                    Error::Corrupt(format!(
                        "the last line of {} is no entry of this job's ledger; move the file away and it is written anew",
                        path.display()
                    ))
                })?
            }
        };
        Ok(AuditLog { path, file, seq })
    }

    pub(super) fn project(&mut self, ledger: &Store) -> Result<(), Error> {
        loop {
            let entries = ledger.entries_after(self.seq, ENTRIES)?;
            let Some((last, _)) = entries.last() else { return Ok(()) };
            let last = *last;
            let lines: String = entries.iter().flat_map(|(_, entry)| [entry.body.as_str(), "\n"]).collect();
            point("execute.project")?;
            self.file.write_all(lines.as_bytes()).map_err(Error::io("write", &self.path))?;
            self.seq = last;
        }
    }

    pub(super) fn sync(&self) -> Result<(), Error> {
        self.file.sync_all().map_err(Error::io("sync", &self.path))
    }
}

/// How long the file is up to its last whole line, and that line.
fn last_line(file: &std::fs::File) -> std::io::Result<(u64, Option<String>)> {
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let (mut length, mut last, mut line) = (0, None, Vec::new());
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Ok((length, last));
        }
        length += read as u64;
        last = Some(String::from_utf8_lossy(&line).into_owned());
    }
}
