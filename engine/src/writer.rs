//! The ordered writer: lines of several files, each written in order of effective time, exactly once however often the
//! job restarts. How long each file is stands in keyed state, so a restore cuts it back to the snapshot.

use crate::error::Error;
use crate::keyed::{Context, Logic, Record};
use crate::state::{Row, RowKey};
use crate::time::{Micros, Span, Stamp};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A file that only grows.
pub trait Append: Send {
    /// Writes bytes at the end.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Error>;

    /// Makes what was written durable.
    fn sync(&mut self) -> Result<(), Error>;
}

/// Opens the file of a name, cut back to a length in bytes; 0 creates it or empties it.
pub type OpenAppend = dyn Fn(&str, u64) -> Result<Box<dyn Append>, Error> + Send + Sync;

/// One line to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Effective time of what the line is about.
    pub at: Micros,
    /// Name of the file.
    pub file: String,
    /// Order among lines of equal time, compared as bytes.
    pub order: Vec<u8>,
    /// The line, without its line end.
    pub body: String,
}

impl Record for Line {
    fn at(&self) -> Micros {
        self.at
    }

    fn key(&self) -> RowKey<'_> {
        RowKey::of(self.file.as_bytes())
    }

    fn order(&self, other: &Self) -> Ordering {
        self.order.cmp(&other.order).then_with(|| self.body.cmp(&other.body))
    }
}

/// How far a file was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Its length.
    pub bytes: u64,
    /// Its lines.
    pub lines: u64,
}

impl Row for Written {
    const TYPE: u16 = 1;
    const VERSION: u16 = 1;
    const TTL: Option<Span> = None;

    fn weight(&self) -> usize {
        size_of::<Self>()
    }
}

/// The logic of the ordered writer.
pub struct Writer {
    files: Vec<String>,
    /// The worker's place among all, to know whose files it writes.
    place: (usize, usize),
    open: std::sync::Arc<OpenAppend>,
    opened: BTreeMap<String, (Box<dyn Append>, Vec<u8>, Written)>,
}

/// Bytes that are collected before they are handed to the file.
const BUFFER_BYTES: usize = 64 * 1024;

impl Writer {
    /// Writes these files, the same list on every worker; `place` is (worker, workers).
    pub fn new(files: Vec<String>, place: (usize, usize), open: std::sync::Arc<OpenAppend>) -> Self {
        Writer { files, place, open, opened: BTreeMap::new() }
    }

    fn open_all(&mut self, context: &mut Context<'_, Self>) -> Result<(), Error> {
        for file in &self.files {
            let key = RowKey::of(file.as_bytes());
            if key.group.worker(self.place.1) != self.place.0 {
                continue;
            }
            let written = context.rows.read(key)?.copied().unwrap_or_default();
            let appended = (self.open)(file, written.bytes)?;
            self.opened.insert(file.clone(), (appended, Vec::new(), written));
        }
        Ok(())
    }
}

impl Logic for Writer {
    type Record = Line;
    type Row = Written;
    type Out = ();
    const PORTS: usize = 0;
    const TOTALS: &'static [&'static str] = &["lines"];

    fn port(_: &()) -> usize {
        0
    }

    fn fresh(&mut self, context: &mut Context<'_, Self>) -> Result<(), Error> {
        self.open_all(context)
    }

    fn restored(&mut self, context: &mut Context<'_, Self>) -> Result<(), Error> {
        self.open_all(context)
    }

    fn apply(&mut self, line: Line, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let Some((file, buffer, written)) = self.opened.get_mut(&line.file) else {
            return Err(Error::Fault(format!("a line came for the file `{}`, which is not written here", line.file)));
        };
        buffer.extend_from_slice(line.body.as_bytes());
        buffer.push(b'\n');
        written.bytes += line.body.len() as u64 + 1;
        written.lines += 1;
        context.totals[0] += 1;
        if buffer.len() >= BUFFER_BYTES {
            file.append(buffer)?;
            buffer.clear();
        }
        Ok(())
    }

    fn step_done(&mut self, _frontier: Option<Stamp>) -> Result<(), Error> {
        for (file, buffer, _) in self.opened.values_mut().filter(|(_, buffer, _)| !buffer.is_empty()) {
            file.append(buffer)?;
            buffer.clear();
        }
        Ok(())
    }

    fn before_snapshot(&mut self, context: &mut Context<'_, Self>) -> Result<(), Error> {
        self.step_done(None)?;
        for (name, (file, _, written)) in &mut self.opened {
            file.sync()?;
            *context.rows.write(RowKey::of(name.as_bytes()))? = Some(*written);
        }
        Ok(())
    }
}
