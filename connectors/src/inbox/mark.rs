//! The mark of an inbox: up to where all of it is durable, and whether nothing comes any more. It is written over in place,
//! after what it tells of is durable, and read by whoever follows, also from another process.

use engine::error::Error;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const NAME: &str = "mark";

/// A word, and the same with all its bits turned, so that half of one is not taken for it.
const BYTES: usize = 16;

/// How far an inbox has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Where what is durable ends.
    pub(super) end: u64,
    /// Nothing will be appended any more.
    pub(super) closed: bool,
}

impl Mark {
    fn to_bytes(self) -> [u8; BYTES] {
        let word = self.end << 1 | u64::from(self.closed);
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&word.to_le_bytes());
        bytes[8..].copy_from_slice(&(!word).to_le_bytes());
        bytes
    }

    /// None if it is only half there.
    fn of_bytes(bytes: [u8; BYTES]) -> Option<Self> {
        let (halves, _) = bytes.as_chunks::<8>();
        let [word, turned] = [halves[0], halves[1]].map(u64::from_le_bytes);
        (word == !turned).then_some(Mark { end: word >> 1, closed: word & 1 == 1 })
    }
}

#[derive(Debug)]
pub(super) struct Writer {
    file: File,
    path: PathBuf,
}

impl Writer {
    /// Opens the mark in a folder, and says what it was.
    pub(super) fn open(folder: &Path) -> Result<(Self, Mark), Error> {
        let path = folder.join(NAME);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(Error::io("open", &path))?;
        // A crash of the machine may leave any of its states: none of them says more than what is durable.
        let was = read(&file, &path)?.unwrap_or_default();
        Ok((Writer { file, path }, was))
    }

    pub(super) fn write(&mut self, mark: Mark) -> Result<(), Error> {
        self.file.write_all_at(&mark.to_bytes(), 0).map_err(Error::io("write", &self.path))
    }

    pub(super) fn sync(&self) -> Result<(), Error> {
        self.file.sync_all().map_err(Error::io("sync", &self.path))
    }
}

#[derive(Debug)]
pub(super) struct Reader {
    file: File,
    path: PathBuf,
}

impl Reader {
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(NAME);
        let file = File::open(&path).map_err(|error| {
            let folder = folder.display();
            Error::Corrupt(format!("the inbox {folder} cannot be read: {error}; restore it from a copy"))
        })?;
        Ok(Reader { file, path })
    }

    /// None while it is being written.
    pub(super) fn read(&self) -> Result<Option<Mark>, Error> {
        read(&self.file, &self.path)
    }
}

fn read(file: &File, path: &Path) -> Result<Option<Mark>, Error> {
    let mut bytes = [0; BYTES];
    let count = file.read_at(&mut bytes, 0).map_err(Error::io("read", path))?;
    Ok((count == BYTES).then_some(bytes).and_then(Mark::of_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_mark_is_none() {
        for mark in [Mark::default(), Mark { end: 1 << 40, closed: false }, Mark { end: 77, closed: true }] {
            assert_eq!(Mark::of_bytes(mark.to_bytes()), Some(mark));
        }
        let (one, other) = (Mark { end: 5, closed: false }.to_bytes(), Mark { end: 6, closed: false }.to_bytes());
        let mut half = one;
        half[..8].copy_from_slice(&other[..8]);
        assert_eq!(Mark::of_bytes(half), None);
        assert_eq!(Mark::of_bytes([0; BYTES]), None, "a hole in a file is no mark");
    }
}
