//! The segments of an inbox as files in its folder.

use engine::error::Error;
use memchr::memrchr;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const SUFFIX: &str = ".ndjson";

/// How much is looked at together when the end of the last whole line is sought.
const LOOK_BYTES: u64 = 1 << 16;

pub(super) fn segment_path(folder: &Path, start: u64) -> PathBuf {
    folder.join(format!("{start:020}{SUFFIX}"))
}

/// Where each segment starts, ascending.
pub(super) fn starts(folder: &Path) -> Result<Vec<u64>, Error> {
    let mut starts = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let name = entry.map_err(Error::io("list", folder))?.file_name();
        let start = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).and_then(|digits| digits.parse().ok());
        starts.extend(start.filter(|start| segment_path(folder, *start).file_name() == Some(&name)));
    }
    starts.sort_unstable();
    Ok(starts)
}

/// As [`starts`], for who writes: each segment ends where the next one starts.
///
/// # Errors
/// [`Error::Corrupt`] if there is a gap.
pub(super) fn segments(folder: &Path) -> Result<Vec<u64>, Error> {
    let starts = starts(folder)?;
    for pair in starts.windows(2) {
        let path = segment_path(folder, pair[0]);
        let length = path.metadata().map_err(Error::io("look at", &path))?.len();
        if pair[0].checked_add(length) != Some(pair[1]) {
            return Err(Error::Corrupt(format!(
                "{} ends at {}, and the next segment starts at {}: restore the inbox from a copy",
                path.display(),
                pair[0].saturating_add(length),
                pair[1]
            )));
        }
    }
    Ok(starts)
}

/// Cuts a file behind its last line end. Returns its length.
pub(super) fn cut_torn(file: &File, path: &Path) -> Result<u64, Error> {
    let length = file.metadata().map_err(Error::io("look at", path))?.len();
    let mut end = length;
    let whole = loop {
        let from = end.saturating_sub(LOOK_BYTES);
        let mut piece = vec![0; (end - from) as usize];
        file.read_exact_at(&mut piece, from).map_err(Error::io("read", path))?;
        match memrchr(b'\n', &piece) {
            Some(feed) => break from + feed as u64 + 1,
            None if from == 0 => break 0,
            None => end = from,
        }
    };
    if whole < length {
        file.set_len(whole).map_err(Error::io("cut back", path))?;
    }
    Ok(whole)
}
