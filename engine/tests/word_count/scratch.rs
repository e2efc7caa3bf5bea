//! Where tests write: folders in memory where there is room for them, since no promise but those of a full disk and of
//! resident memory is about the disk, and a sync costs nothing there. Owned here: where that is. Not owned here: what
//! is written.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// A file system in memory, on most machines.
const MEMORY: &str = "/dev/shm";

/// What must be free there: several times what all tests that run at once were seen to write.
const ROOM_KIB: u64 = 4 << 20;

/// A new folder that is gone once it is let go of.
pub fn folder() -> TempDir {
    tempfile::Builder::new().prefix("aerie-test-").tempdir_in(base()).expect("a temporary folder can be made")
}

/// Where all of them are: in memory, unless there is little room or `TMPDIR` names a place.
pub fn base() -> &'static Path {
    static BASE: OnceLock<PathBuf> = OnceLock::new();
    BASE.get_or_init(|| {
        let usual = std::env::temp_dir();
        if usual == Path::new("/tmp") && room_kib(MEMORY) > Some(ROOM_KIB) { MEMORY.into() } else { usual }
    })
}

/// How much is free in a folder; `None` if it is not there.
fn room_kib(folder: &str) -> Option<u64> {
    let said = Command::new("df").args(["-Pk", folder]).output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    said.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}
