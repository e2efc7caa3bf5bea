//! From where a log is asked for after a restart: a second, in a file of its own, which is replaced as a whole.

use crate::file::replace;
use engine::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A second on disk.
#[derive(Debug)]
pub(super) struct Position {
    path: PathBuf,
    second: u64,
}

impl Position {
    /// What the file says, or `first`, which it says from now on.
    pub(super) fn open(path: &Path, first: u64) -> Result<Self, Error> {
        let read = match fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        let Some(text) = read else {
            let position = Position { path: path.to_owned(), second: first };
            position.write()?;
            return Ok(position);
        };
        // Only a whole line was written as a whole.
        let second = text.strip_suffix('\n').and_then(|text| text.parse().ok()).ok_or_else(|| {
            Error::Corrupt(format!(
                "{} holds no second to go on from: restore it from a copy, or write one into it, as Unix time",
                path.display()
            ))
        })?;
        Ok(Position { path: path.to_owned(), second })
    }

    pub(super) fn second(&self) -> u64 {
        self.second
    }

    /// Goes on to a second; never back.
    pub(super) fn reach(&mut self, second: u64) -> Result<(), Error> {
        if second > self.second {
            Position { path: self.path.clone(), second }.write()?;
            self.second = second;
        }
        Ok(())
    }

    fn write(&self) -> Result<(), Error> {
        replace(&self.path, format!("{}\n", self.second).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_goes_forward_only_and_is_never_guessed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("position");
        let mut position = Position::open(&path, 7).unwrap();
        assert_eq!((position.second(), Position::open(&path, 9).unwrap().second()), (7, 7));
        position.reach(20).unwrap();
        position.reach(19).unwrap();
        assert_eq!((position.second(), Position::open(&path, 9).unwrap().second()), (20, 20));
        for text in ["", "20", "twenty\n", "-1\n", "20\n\n"] {
            fs::write(&path, text).unwrap();
            let error = Position::open(&path, 9).unwrap_err();
            assert!(matches!(error, Error::Corrupt(_)), "{text:?}: {error}");
        }
    }
}
