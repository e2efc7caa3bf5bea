//! Whether a file is still the one that was read before, told by its path, its size and a hash of its head.

use engine::error::Error;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// How much of a file's head is hashed, in bytes.
const HEAD_BYTES: u64 = 65_536;

/// What a file was when it was looked at. A change behind its head that keeps its size does not show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    /// Its path as given, made absolute; links are not followed.
    pub path: String,
    /// How many bytes of its head were hashed: all it had, up to 64 KiB.
    pub head_len: u64,
    /// SHA-256 of them, in hex.
    pub head_sha256: String,
    /// Its length in bytes.
    pub size: u64,
}

/// What has become of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sameness {
    /// Same head, same size.
    Same,
    /// Same head, longer.
    Grown,
    /// Shorter than before.
    Shorter,
    /// Another head.
    Changed,
}

/// Looks at a file.
///
/// # Errors
/// [`Error::Invalid`] if it is no regular file or its path is not UTF-8, [`Error::Io`] if the system refuses it.
pub fn identity(path: &Path) -> Result<FileIdentity, Error> {
    let absolute = std::path::absolute(path).map_err(Error::io("find", path))?;
    let Some(name) = absolute.to_str() else {
        return Err(Error::Invalid(format!("the path {} is not UTF-8; rename the file", path.display())));
    };
    let (size, head) = head_of(path, HEAD_BYTES)?;
    Ok(FileIdentity { path: name.to_owned(), head_len: head.len() as u64, head_sha256: sha256(&head), size })
}

impl FileIdentity {
    /// What has become of the file under this path.
    ///
    /// # Errors
    /// As [`identity`].
    pub fn check(&self) -> Result<Sameness, Error> {
        // The length hashed then may be from a file that is damaged or hostile: no more than was ever hashed.
        let (size, head) = head_of(Path::new(&self.path), self.head_len.min(HEAD_BYTES))?;
        Ok(if size < self.size {
            Sameness::Shorter
        } else if sha256(&head) != self.head_sha256 {
            Sameness::Changed
        } else if size > self.size {
            Sameness::Grown
        } else {
            Sameness::Same
        })
    }
}

/// A file's size and its first bytes.
fn head_of(path: &Path, bytes: u64) -> Result<(u64, Vec<u8>), Error> {
    let found = std::fs::metadata(path).map_err(Error::io("open", path))?;
    if !found.is_file() {
        return Err(Error::Invalid(format!("{} is not a regular file", path.display())));
    }
    let file = File::open(path).map_err(Error::io("open", path))?;
    let size = file.metadata().map_err(Error::io("open", path))?.len();
    let mut head = Vec::new();
    file.take(bytes.min(size)).read_to_end(&mut head).map_err(Error::io("read", path))?;
    Ok((size, head))
}

/// SHA-256 in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes all that is written");
        hex
    })
}

/// SHA-256, in hex, of texts with their lengths before them.
pub(crate) fn digest(parts: &[&str]) -> String {
    let mut all = Vec::new();
    for part in parts {
        all.extend_from_slice(&(part.len() as u64).to_be_bytes());
        all.extend_from_slice(part.as_bytes());
    }
    sha256(&all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_standard_one() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn each_change_has_its_own_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        for length in [0, 10, 65_536, 100_000] {
            let content = vec![b'x'; length];
            std::fs::write(&path, &content).unwrap();
            let then = identity(&path).unwrap();
            assert_eq!((then.head_len, then.size), (length.min(65_536) as u64, length as u64));
            assert_eq!(then.check().unwrap(), Sameness::Same);

            std::fs::write(&path, [content.as_slice(), b"more"].concat()).unwrap();
            assert_eq!(then.check().unwrap(), Sameness::Grown);
            if length > 0 {
                std::fs::write(&path, &content[1..]).unwrap();
                assert_eq!(then.check().unwrap(), Sameness::Shorter);
                std::fs::write(&path, [b"y", &content[1..]].concat()).unwrap();
                assert_eq!(then.check().unwrap(), Sameness::Changed);
                std::fs::write(&path, [b"y", content.as_slice()].concat()).unwrap();
                assert_eq!(then.check().unwrap(), Sameness::Changed, "longer, but not grown");
            }
            std::fs::remove_file(&path).unwrap();
            assert!(matches!(then.check(), Err(Error::Io { .. })));
        }
    }

    #[test]
    fn the_path_is_absolute_as_given() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("real"), "x").unwrap();
        std::os::unix::fs::symlink("real", folder.path().join("link")).unwrap();
        let link = folder.path().join("link");
        assert_eq!(identity(&link).unwrap().path, link.to_str().unwrap());
        assert!(matches!(identity(folder.path()), Err(Error::Invalid(_))));
        let here = identity(Path::new("Cargo.toml")).unwrap();
        assert!(Path::new(&here.path).is_absolute() && here.path.ends_with("/Cargo.toml"));
    }
}
