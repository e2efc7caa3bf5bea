//! An append-only file of lines that recovery cuts back to a length that a snapshot names. All that changes it happens
//! behind a [`Fence`].

use super::durable::sync_folder_of;
use super::fence::Fence;
use engine::error::Error;
use engine::fault::point;
use engine::state::table::Work;
use memchr::memchr2;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What is appended goes to the system at the latest when there is so much of it.
const BUFFER_BYTES: usize = 1 << 16;

/// How long a file of lines is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Length {
    /// In bytes, line ends included.
    pub bytes: u64,
    /// In lines.
    pub lines: u64,
}

/// A file that one writer appends lines to. What was appended is durable after [`OrderedFile::sync`].
#[derive(Debug)]
pub struct OrderedFile {
    file: File,
    fence: Fence,
    /// What was appended and the system does not have yet.
    buffer: Vec<u8>,
    path: PathBuf,
    length: Length,
}

impl OrderedFile {
    /// Opens a file and cuts it back to `kept`, durably; it is created if nothing of it is to be kept.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is missing or shorter than that, or no line ends there. [`Error::Io`] if the system
    /// refuses it. Those of the fence.
    pub fn open(path: &Path, kept: Length, fence: Fence) -> Result<Self, Error> {
        let file = fence.pass(|| OrderedFile::cut_back(path, kept))?;
        Ok(OrderedFile { file, fence, buffer: Vec::with_capacity(BUFFER_BYTES), path: path.to_owned(), length: kept })
    }

    fn cut_back(path: &Path, kept: Length) -> Result<File, Error> {
        let corrupt = |what: &str| {
            let (path, bytes) = (path.display(), kept.bytes);
            Error::Corrupt(format!(
                "{path} {what}, but the snapshot counts on {bytes} bytes of it; restore the file, or start from \
                 another snapshot"
            ))
        };
        let file = match OpenOptions::new().read(true).append(true).create(kept.bytes == 0).open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && kept.bytes > 0 => {
                return Err(corrupt("is missing"));
            }
            opened => opened.map_err(Error::io("open", path))?,
        };
        let found = file.metadata().map_err(Error::io("open", path))?.len();
        if found < kept.bytes {
            return Err(corrupt(&format!("has only {found} bytes")));
        }
        if kept.bytes > 0 {
            let mut last = [0];
            file.read_exact_at(&mut last, kept.bytes - 1).map_err(Error::io("read", path))?;
            if last != [b'\n'] {
                return Err(corrupt("has no line end there"));
            }
        }
        point("output.cut")?;
        file.set_len(kept.bytes).map_err(Error::io("cut back", path))?;
        file.sync_all().map_err(Error::io("sync", path))?;
        sync_folder_of(path)?;
        Ok(file)
    }

    /// Appends a line, without its line end.
    ///
    /// # Errors
    /// [`Error::Fault`] if it has a line end within; [`Error::Io`] if the system refuses it, after which the file must
    /// be opened anew. Those of the fence.
    pub fn append(&mut self, line: &str) -> Result<(), Error> {
        if memchr2(b'\n', b'\r', line.as_bytes()).is_some() {
            return Err(Error::Fault(format!("a line for {} has a line end within", self.path.display())));
        }
        if self.buffer.len() + line.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        self.buffer.extend_from_slice(line.as_bytes());
        self.buffer.push(b'\n');
        self.length.bytes += line.len() as u64 + 1;
        self.length.lines += 1;
        Ok(())
    }

    /// Lets readers see all that was appended.
    ///
    /// # Errors
    /// As [`OrderedFile::append`].
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        point("output.flush")?;
        self.fence.pass(|| (&self.file).write_all(&self.buffer).map_err(Error::io("write", &self.path)))?;
        self.buffer.clear();
        Ok(())
    }

    /// Makes all that was appended durable.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses it, after which the file must be opened anew.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.flush()?;
        self.file.sync_data().map_err(Error::io("sync", &self.path))
    }

    /// Its length with all that was appended, synced or not.
    pub fn length(&self) -> Length {
        self.length
    }
}

impl engine::writer::Append for OrderedFile {
    fn append(&mut self, line: &str) -> Result<(), Error> {
        OrderedFile::append(self, line)
    }

    fn flush(&mut self) -> Result<(), Error> {
        OrderedFile::flush(self)
    }

    fn sync(&mut self) -> Result<Work, Error> {
        OrderedFile::flush(self)?;
        let file = self.file.try_clone().map_err(Error::io("open once more", &self.path))?;
        let path = self.path.clone();
        Ok(Box::new(move || {
            point("output.sync")?;
            file.sync_data().map_err(Error::io("sync", path))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens a file for a generation that has taken over by then.
    fn open_for(generation: u64, path: &Path, kept: Length) -> Result<OrderedFile, Error> {
        let fence = path.with_file_name("fence");
        OrderedFile::open(path, kept, Fence::at(&fence, generation)?)
    }

    fn open(path: &Path, kept: Length) -> Result<OrderedFile, Error> {
        Fence::raise(&path.with_file_name("fence"), 1)?;
        open_for(1, path, kept)
    }

    fn corrupt(result: Result<OrderedFile, Error>, word: &str) {
        match result {
            Err(Error::Corrupt(text)) if text.contains(word) => {}
            other => panic!("wanted {word}, found {other:?}"),
        }
    }

    #[test]
    fn it_is_cut_back_to_what_was_kept_and_goes_on_from_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ndjson");
        let mut file = open(&path, Length::default()).unwrap();
        file.append("one").unwrap();
        file.append("zwölf").unwrap();
        file.sync().unwrap();
        let kept = file.length();
        assert_eq!(kept, Length { bytes: 11, lines: 2 });
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\nzwölf\n");
        file.append("lost").unwrap();
        file.flush().unwrap();
        drop(file);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 16);

        let mut file = open(&path, kept).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 11);
        file.append("three").unwrap();
        file.sync().unwrap();
        assert_eq!(file.length(), Length { bytes: 17, lines: 3 });
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\nzwölf\nthree\n");

        corrupt(open(&path, Length { bytes: 18, lines: 3 }), "only 17");
        corrupt(open(&path, Length { bytes: 10, lines: 2 }), "no line end");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 17, "a refused file stays as it is");
        open(&path, Length::default()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
        std::fs::remove_file(&path).unwrap();
        corrupt(open(&path, kept), "missing");
        assert!(!path.exists());
    }

    #[test]
    fn the_work_of_a_sync_can_be_done_elsewhere_while_more_is_appended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let mut file = open(&path, Length::default()).unwrap();
        file.append("one").unwrap();
        let work = engine::writer::Append::sync(&mut file).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\n", "handed over at once");
        let elsewhere = std::thread::spawn(work);
        file.append("two").unwrap();
        file.flush().unwrap();
        elsewhere.join().unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn what_a_former_generation_still_holds_never_gets_there() {
        let folder = tempfile::tempdir().unwrap();
        let (path, late) = (folder.path().join("out"), folder.path().join("late"));
        let mut former = open(&path, Length::default()).unwrap();
        former.append("kept").unwrap();
        former.sync().unwrap();
        let kept = former.length();
        former.append("in hand").unwrap();
        Fence::raise(&folder.path().join("fence"), 2).unwrap();
        let mut present = open_for(2, &path, kept).unwrap();
        present.append("new").unwrap();
        present.flush().unwrap();
        for refused in [former.flush(), former.append(&"x".repeat(BUFFER_BYTES)), open_for(1, &path, kept).map(drop)] {
            assert!(engine::ledger::is_superseded(&refused.unwrap_err()));
        }
        assert!(open_for(1, &late, Length::default()).is_err() && !late.exists());
        drop(former);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept\nnew\n");
    }

    #[test]
    fn a_line_is_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = open(&folder.path().join("out"), Length::default()).unwrap();
        for line in ["a\nb", "a\r", "\n"] {
            assert!(matches!(file.append(line), Err(Error::Fault(_))));
        }
        assert_eq!(file.length(), Length::default());
    }
}
