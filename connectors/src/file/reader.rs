//! Reads a file line by line in blocks. A position is the byte offset of a line's start in the file.

use engine::error::Error;
use memchr::memchr_iter;
use std::fs::{File, Metadata};
use std::io::{Read as _, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The longest line that is given whole, in bytes without its line end.
pub const LINE_BYTES_MAX: usize = 65_536;

/// How much is given of a longer one.
pub const HEAD_BYTES: usize = 1_024;

const BLOCK_BYTES: usize = 1 << 20;
const BOM: &[u8] = b"\xef\xbb\xbf";
/// How much before the place read so far is compared again before a followed file is read on.
const SEEN_BYTES: usize = 64;

/// Whether a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It ends where it ended when it was opened; a last line needs no line end.
    Bounded,
    /// It grows; a last line without its line end is not there yet.
    Follow,
}

/// What a read gave.
#[derive(Debug)]
pub enum Read {
    /// Lines; there may be none in this part of the file.
    Lines(LineBatch),
    /// Nothing now; the file may grow.
    Pending,
    /// Nothing any more.
    End,
}

/// One line of a batch, without its line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// It is longer than [`LINE_BYTES_MAX`].
    TooLarge {
        /// Its first [`HEAD_BYTES`] bytes.
        head: &'a [u8],
        /// Its length in bytes.
        length: u64,
    },
}

/// Lines that follow each other, in one buffer.
#[derive(Debug)]
pub struct LineBatch {
    buffer: Vec<u8>,
    spans: Vec<Span>,
    next: u64,
}

#[derive(Debug)]
struct Span {
    position: u64,
    range: Range<usize>,
    length: u64,
}

impl LineBatch {
    /// Moves the lines into a source's block, without copying them.
    pub fn into_block(self, block: &mut engine::source::Block) {
        let line = |span: &Span| engine::source::Line {
            position: span.position,
            start: span.range.start,
            end: span.range.end,
            oversize: (span.length != span.range.len() as u64).then_some(span.length),
        };
        block.lines.clear();
        block.lines.extend(self.spans.iter().map(line));
        (block.bytes, block.next) = (self.buffer, self.next);
    }

    /// The lines with their positions, in the order of the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u64, Line<'_>)> {
        self.spans.iter().map(|span| {
            let bytes = &self.buffer[span.range.clone()];
            let whole = span.length == bytes.len() as u64;
            let line = if whole { Line::Whole(bytes) } else { Line::TooLarge { head: bytes, length: span.length } };
            (span.position, line)
        })
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The position to read on from after this batch.
    pub fn next_position(&self) -> u64 {
        self.next
    }
}

/// The sizes that a reader works with; tests take small ones.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    block: usize,
    line_max: usize,
    head: usize,
}

/// A line that grew too large before its end was seen. The carry holds its head.
#[derive(Debug)]
struct Oversize {
    /// Its bytes so far, without a byte order mark.
    length: u64,
    /// Whether the last of them is a carriage return, which belongs to the line end if a line feed follows.
    ends_in_cr: bool,
}

/// Reads a file of lines. A line ends in LF or CRLF; lines of blanks only, and a byte order mark at the start of the
/// file, are skipped. Holds at most one block and one line in memory, however long a line is. After an error it must
/// be opened anew.
#[derive(Debug)]
pub struct LineReader {
    file: File,
    path: PathBuf,
    mode: Mode,
    sizes: Sizes,
    /// Length when opened.
    size: u64,
    /// Where the first line starts that was not given yet.
    position: u64,
    /// Where the file is read on.
    read_to: u64,
    /// What was read of the line at `position`, or the head of an oversize one.
    carry: Vec<u8>,
    oversize: Option<Oversize>,
    /// The last bytes before `read_to`, while the file is followed.
    seen: Vec<u8>,
    /// Whether the last read found the end of a followed file.
    at_end: bool,
}

impl LineReader {
    /// Opens a file at its start.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not a regular file, [`Error::Io`] if the system refuses it.
    pub fn open(path: &Path, mode: Mode) -> Result<Self, Error> {
        LineReader::open_with(path, mode, Sizes { block: BLOCK_BYTES, line_max: LINE_BYTES_MAX, head: HEAD_BYTES })
    }

    fn open_with(path: &Path, mode: Mode, sizes: Sizes) -> Result<Self, Error> {
        // Before opening: to open a pipe is to wait for its writer.
        require_regular(path, &std::fs::metadata(path).map_err(Error::io("open", path))?)?;
        let file = File::open(path).map_err(Error::io("open", path))?;
        let found = file.metadata().map_err(Error::io("open", path))?;
        require_regular(path, &found)?;
        Ok(LineReader {
            file,
            path: path.to_owned(),
            mode,
            sizes,
            size: found.len(),
            position: 0,
            read_to: 0,
            carry: Vec::new(),
            oversize: None,
            seen: Vec::new(),
            at_end: false,
        })
    }

    /// The file's length in bytes when it was opened: where a bounded one ends.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// A bounded file ends at `end` from now on, where a line ends, or where the file does if that comes before. For a file
    /// that grows, of which not all that is there may be read yet.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses it.
    pub(crate) fn end_at(&mut self, end: u64) -> Result<(), Error> {
        let found = self.file.metadata().map_err(Error::io("look at", &self.path))?;
        self.size = found.len().min(end);
        Ok(())
    }

    /// Where the first line starts that was not given yet.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Goes to a position that a batch or a line of this file had.
    ///
    /// # Errors
    /// [`Error::Invalid`] if no line starts there: this is not the file that the position is from.
    pub fn seek(&mut self, position: u64) -> Result<(), Error> {
        let end = self.file.metadata().map_err(Error::io("seek in", &self.path))?.len();
        let end = if self.mode == Mode::Bounded { end.min(self.size) } else { end };
        let mut before = [0];
        let starts_line = position == 0
            || position == end && self.mode == Mode::Bounded
            || position <= end
                && self.file.read_at(&mut before, position - 1).map_err(Error::io("read", &self.path))? == 1
                && before == [b'\n'];
        if !starts_line {
            let what = format!("has no start of a line at byte {position} of {end}: it is not the file read before");
            return Err(self.invalid(&what));
        }
        self.file.seek(SeekFrom::Start(position)).map_err(Error::io("seek in", &self.path))?;
        (self.position, self.read_to) = (position, position);
        self.carry.clear();
        self.seen.clear();
        (self.oversize, self.at_end) = (None, false);
        Ok(())
    }

    /// The lines of the next block: one read of 1 MiB, or of `max_bytes` (at least one) if that is less.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the file was truncated or replaced while it was read, [`Error::Io`] if the system refuses
    /// to read it.
    pub fn next_batch(&mut self, max_bytes: usize) -> Result<Read, Error> {
        if self.at_end {
            self.require_same_file()?;
        }
        let fresh = self.carry.len();
        let count = self.read_block(max_bytes)?;
        self.at_end = count == 0 && self.mode == Mode::Follow;
        if self.at_end {
            return Ok(Read::Pending);
        }
        if count == 0 && self.position == self.read_to {
            return Ok(Read::End);
        }
        Ok(Read::Lines(self.split(fresh, count == 0)))
    }

    /// Appends what is read to the carry; nothing at the end.
    fn read_block(&mut self, max_bytes: usize) -> Result<usize, Error> {
        let mut wanted = self.sizes.block.min(max_bytes).max(1) as u64;
        if self.mode == Mode::Bounded {
            wanted = wanted.min(self.size.saturating_sub(self.read_to));
        }
        self.carry.reserve_exact(usize::try_from(wanted).expect("a block fits in memory"));
        let count =
            self.file.by_ref().take(wanted).read_to_end(&mut self.carry).map_err(Error::io("read", &self.path))?;
        if count == 0 && wanted > 0 && self.mode == Mode::Bounded {
            return Err(self.invalid(&format!("was truncated to less than its {} bytes while it was read", self.size)));
        }
        self.read_to += count as u64;
        if self.mode == Mode::Follow && count > 0 {
            let kept = count.min(SEEN_BYTES);
            let drop = (self.seen.len() + kept).saturating_sub(SEEN_BYTES);
            self.seen.drain(..drop);
            self.seen.extend_from_slice(&self.carry[self.carry.len() - kept..]);
        }
        Ok(count)
    }

    /// Takes the lines out of the carry, of which the bytes from `fresh` on are new. What is left stays, unless this
    /// is the end.
    fn split(&mut self, fresh: usize, end: bool) -> LineBatch {
        let buffer = std::mem::take(&mut self.carry);
        let mut spans = Vec::new();
        let mut start = 0;
        for feed in memchr_iter(b'\n', &buffer[fresh..]).map(|at| fresh + at) {
            let next = self.read_to - (buffer.len() - feed - 1) as u64;
            spans.extend(self.line(&buffer, start..feed, fresh, true));
            (self.position, start) = (next, feed + 1);
        }
        if end {
            spans.extend(self.line(&buffer, start..buffer.len(), fresh, false));
            self.position = self.read_to;
        } else {
            self.keep(&buffer, start, fresh);
        }
        LineBatch { buffer, spans, next: self.position }
    }

    /// The line at `position` that stands in `range`, less its end; none if it is blank.
    fn line(&mut self, buffer: &[u8], mut range: Range<usize>, fresh: usize, ended: bool) -> Option<Span> {
        let position = self.position;
        if let Some(oversize) = self.oversize.take() {
            let more = &buffer[fresh..range.end];
            let ends_in_cr = more.last().map_or(oversize.ends_in_cr, |last| *last == b'\r');
            let length = oversize.length + more.len() as u64 - u64::from(ended && ends_in_cr);
            return Some(Span { position, range: 0..fresh, length });
        }
        range.start += self.mark_len(&buffer[range.clone()]);
        if ended && buffer[range.clone()].last() == Some(&b'\r') {
            range.end -= 1;
        }
        let length = range.len();
        if length > self.sizes.line_max {
            range.end = range.start + self.sizes.head;
        } else if buffer[range.clone()].iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
            return None;
        }
        Some(Span { position, range, length: length as u64 })
    }

    /// The length of a byte order mark before `line`, the line at `position`.
    fn mark_len(&self, line: &[u8]) -> usize {
        if self.position == 0 && line.starts_with(BOM) { BOM.len() } else { 0 }
    }

    /// Keeps the unfinished line from `start` on, or of an oversize one its head and length.
    fn keep(&mut self, buffer: &[u8], start: usize, fresh: usize) {
        let ends_in_cr = buffer.last() == Some(&b'\r');
        if let Some(oversize) = &mut self.oversize {
            let more = buffer.len() - fresh;
            oversize.length += more as u64;
            if more > 0 {
                oversize.ends_in_cr = ends_in_cr;
            }
            self.carry = buffer[..fresh].to_vec();
            return;
        }
        let rest = &buffer[start..];
        let line = &rest[self.mark_len(rest)..];
        // One more may be the carriage return of the line end.
        if line.len() > self.sizes.line_max + 1 {
            self.oversize = Some(Oversize { length: line.len() as u64, ends_in_cr });
            self.carry = line[..self.sizes.head].to_vec();
        } else {
            self.carry = rest.to_vec();
        }
    }

    /// Before a followed file is read on past an end that was found: it must be the one under its path, no shorter, and
    /// the same before that end.
    fn require_same_file(&self) -> Result<(), Error> {
        let opened = self.file.metadata().map_err(Error::io("follow", &self.path))?;
        if opened.len() < self.read_to {
            return Err(self.invalid("was truncated while it was followed"));
        }
        let same = std::fs::metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == (opened.dev(), opened.ino()));
        if !same {
            return Err(self.invalid("was moved, removed or replaced while it was followed"));
        }
        let mut found = [0; SEEN_BYTES];
        let found = &mut found[..self.seen.len()];
        let from = self.read_to - self.seen.len() as u64;
        self.file.read_exact_at(found, from).map_err(Error::io("read", &self.path))?;
        if *found != *self.seen {
            return Err(self.invalid("was rewritten while it was followed"));
        }
        Ok(())
    }

    fn invalid(&self, what: &str) -> Error {
        let path = self.path.display();
        Error::Invalid(format!("{path} {what}; give it back as it was, or start on another data directory"))
    }
}

fn require_regular(path: &Path, found: &Metadata) -> Result<(), Error> {
    if found.is_file() {
        return Ok(());
    }
    Err(Error::Invalid(format!("{} is not a regular file; a file can be read again from a position", path.display())))
}

#[cfg(test)]
mod tests;
