//! An inbox: a log of lines in a folder, for what comes once and cannot be asked for again. What is appended is durable
//! before it is acknowledged, and then it is a partition like any other. Owned here: the folder, appending, and when what
//! is old may go. Not owned here: where lines come from, and what one means.
//!
//! ```text
//! 00000000000000000000.ndjson   a segment, named by the position of its first line; segments follow each other
//! 00000000000067108999.ndjson   without a gap, and only the last one grows
//! mark                          up to where all is durable, and whether nothing comes any more: what readers go by,
//!                               in this process or another
//! ```
//!
//! A position is a byte offset over all segments. One process writes; the lock of the data directory sees to that.

mod copy;
mod cutter;
mod mark;
mod partition;
mod segments;

pub use copy::{Copying, copy};
pub use cutter::Cutter;
pub use partition::InboxPartition;

use crate::file::sync_folder_of;
use engine::error::Error;
use engine::fault::point;
use mark::Mark;
use segments::{cut_torn, segment_path, segments};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A segment that is this long is followed by another one. Large enough that files stay few, small enough that what is
/// old goes soon.
const SEGMENT_BYTES: u64 = 64 << 20;

/// Where lines are appended, by any number of threads: those that wait at the same time share one sync.
#[derive(Debug)]
pub struct Inbox {
    folder: PathBuf,
    segment_bytes: u64,
    state: Mutex<State>,
    /// Woken when a sync has ended.
    synced: Condvar,
}

#[derive(Debug)]
struct State {
    mark: mark::Writer,
    /// The last segment, and where it starts.
    segment: Arc<File>,
    start: u64,
    /// What is written ends here.
    written: u64,
    /// What is durable ends here.
    durable: u64,
    /// Somebody syncs, and will tell the others.
    syncing: bool,
    closed: bool,
    /// Nothing is taken any more: after a sync that failed, nobody knows what is on the disk.
    broken: Option<String>,
}

impl Inbox {
    /// Opens the inbox in a folder, which is made if there is none. A last line without its end was not acknowledged, and
    /// is cut off.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if what was acknowledged is not there, [`Error::Io`] if the system refuses it.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        Inbox::open_with(folder, SEGMENT_BYTES)
    }

    fn open_with(folder: &Path, segment_bytes: u64) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        sync_folder_of(folder)?;
        let start = segments(folder)?.last().copied().unwrap_or_default();
        let path = segment_path(folder, start);
        let segment = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let segment = segment.map_err(Error::io("open", &path))?;
        let end = start + cut_torn(&segment, &path)?;
        segment.sync_all().map_err(Error::io("sync", &path))?;
        let (mut mark, was) = mark::Writer::open(folder)?;
        if was.end > end || was.closed && was.end != end {
            return Err(Error::Corrupt(format!(
                "the inbox {} ends at {end}, and what was taken in ends at {}: restore it from a copy",
                folder.display(),
                was.end
            )));
        }
        mark.write(Mark { end, closed: was.closed })?;
        sync_folder_of(&path)?;
        let segment = Arc::new(segment);
        let state = State {
            mark,
            segment,
            start,
            written: end,
            durable: end,
            syncing: false,
            closed: was.closed,
            broken: None,
        };
        Ok(Inbox { folder: folder.to_owned(), segment_bytes, state: Mutex::new(state), synced: Condvar::new() })
    }

    /// Appends whole lines, each with its end. They are durable on return.
    ///
    /// # Errors
    /// [`Error::Invalid`] once the inbox is closed. [`Error::Io`] if the system refuses it: what was appended may or may
    /// not be there after a restart. [`Error::Fault`] if the last line has no end.
    pub fn append(&self, lines: &[u8]) -> Result<(), Error> {
        match lines.last() {
            None => return Ok(()),
            Some(b'\n') => {}
            Some(_) => return Err(Error::Fault("a line without its end came to an inbox".to_owned())),
        }
        let mut state = self.state();
        self.require_open(&state)?;
        if state.written - state.start >= self.segment_bytes {
            let rolled = self.roll(&mut state);
            self.keep_error(&mut state, rolled)?;
        }
        self.write(&mut state, lines)?;
        let end = state.written;
        self.sync_to(state, end)
    }

    /// Nothing will be appended any more: who reads it comes to its end.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses it.
    pub fn close(&self) -> Result<(), Error> {
        let state = self.state();
        if state.closed {
            return Ok(());
        }
        let end = state.written;
        self.sync_to(state, end)?;
        let mut state = self.state();
        let closed = Mark { end: state.written, closed: true };
        state.mark.write(closed)?;
        state.mark.sync()?;
        state.closed = true;
        Ok(())
    }

    /// Whether nothing will be appended any more.
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Where what is durable ends.
    pub fn end(&self) -> u64 {
        self.state().durable
    }

    /// Deletes the segments that end at or before `position`. The last one stays.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses it.
    pub fn forget(&self, position: u64) -> Result<(), Error> {
        let starts = segments(&self.folder)?;
        for pair in starts.windows(2).take_while(|pair| pair[1] <= position) {
            let path = segment_path(&self.folder, pair[0]);
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            // One after the other, so that no crash leaves a gap between those that stay.
            sync_folder_of(&path)?;
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn require_open(&self, state: &State) -> Result<(), Error> {
        match &state.broken {
            Some(why) => Err(Error::Unavailable(format!("the inbox takes nothing any more since {why}: start again"))),
            None if state.closed => Err(Error::Invalid(format!("the inbox {} is closed", self.folder.display()))),
            None => Ok(()),
        }
    }

    fn keep_error<T>(&self, state: &mut State, result: Result<T, Error>) -> Result<T, Error> {
        result.inspect_err(|error| {
            state.broken.get_or_insert_with(|| error.to_string());
        })
    }

    /// Writes behind what is there. What comes of a write that fails is taken away, since the next one goes there.
    fn write(&self, state: &mut State, lines: &[u8]) -> Result<(), Error> {
        let (at, path) = (state.written - state.start, segment_path(&self.folder, state.start));
        let written = point("inbox.write")
            .and_then(|()| state.segment.write_all_at(lines, at).map_err(Error::io("write", &path)));
        if let Err(error) = written {
            let cut = state.segment.set_len(at).map_err(Error::io("cut back", &path));
            self.keep_error(state, cut)?;
            return Err(error);
        }
        state.written += lines.len() as u64;
        Ok(())
    }

    /// Begins another segment, once all of the last one is durable.
    fn roll(&self, state: &mut State) -> Result<(), Error> {
        let before = segment_path(&self.folder, state.start);
        state.segment.sync_data().map_err(Error::io("sync", before))?;
        let end = state.written;
        Self::is_durable(state, end)?;
        let path = segment_path(&self.folder, end);
        let next = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
        state.segment = Arc::new(next.map_err(Error::io("create", &path))?);
        state.start = end;
        sync_folder_of(&path)
    }

    fn is_durable(state: &mut State, end: u64) -> Result<(), Error> {
        if end > state.durable {
            state.durable = end;
            state.mark.write(Mark { end, closed: false })?;
        }
        Ok(())
    }

    /// Waits until all up to `end` is durable. Who finds nobody syncing does it for all that wait by then.
    fn sync_to<'a>(&'a self, mut state: MutexGuard<'a, State>, end: u64) -> Result<(), Error> {
        while state.durable < end {
            if state.broken.is_some() {
                self.require_open(&state)?;
            }
            if state.syncing {
                state = self.synced.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.syncing = true;
            let (segment, written) = (state.segment.clone(), state.written);
            let path = segment_path(&self.folder, state.start);
            drop(state);
            let synced = point("inbox.sync").and_then(|()| segment.sync_data().map_err(Error::io("sync", path)));
            state = self.state();
            state.syncing = false;
            let durable = synced.and_then(|()| Self::is_durable(&mut state, written));
            let kept = self.keep_error(&mut state, durable);
            self.synced.notify_all();
            kept?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
