//! The ordered writer: lines of several files, each written in order of effective time, exactly once however often the
//! job restarts. How long each file is stands in keyed state, so a restore cuts it back to the snapshot.

use crate::error::Error;
use crate::keyed::{Context, Logic, Record};
use crate::state::table::Work;
use crate::state::{Row, RowKey};
use crate::time::{Micros, Span, Stamp};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A file of lines that only grows.
pub trait Append: Send {
    /// Writes a line, without its line end, at the end.
    fn append(&mut self, line: &str) -> Result<(), Error>;

    /// Lets readers see what was written.
    fn flush(&mut self) -> Result<(), Error>;

    /// Hands what was written to the system, and returns the work that makes it durable. The work may be done on another
    /// thread, and after more was written.
    fn sync(&mut self) -> Result<Work, Error>;
}

/// Opens the file of a name, cut back to a length; of none, it is created or emptied.
pub type OpenAppend = dyn Fn(&str, Written) -> Result<Box<dyn Append>, Error> + Send + Sync;

/// How many classes of lines are counted apart.
pub const CLASSES: usize = 16;

/// Names of the totals of the classes: `class_0` and so on.
const CLASS_NAMES: [&str; CLASSES] = [
    "class_0", "class_1", "class_2", "class_3", "class_4", "class_5", "class_6", "class_7", "class_8", "class_9",
    "class_10", "class_11", "class_12", "class_13", "class_14", "class_15",
];

/// The name of the total that counts the lines of a class.
pub fn class_name(class: u8) -> &'static str {
    CLASS_NAMES.get(usize::from(class)).copied().unwrap_or_default()
}

/// One line to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Effective time of what the line is about.
    pub at: Micros,
    /// Name of the file.
    pub file: String,
    /// Order among lines of equal time, compared as bytes.
    pub order: Vec<u8>,
    /// Under which of the operator's totals the line is counted, below [`CLASSES`].
    pub class: u8,
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
    opened: BTreeMap<String, (Box<dyn Append>, Written)>,
}

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
            let appended = (self.open)(file, written)?;
            self.opened.insert(file.clone(), (appended, written));
        }
        Ok(())
    }
}

impl Logic for Writer {
    type Record = Line;
    type Row = Written;
    type Out = ();
    const PORTS: usize = 0;
    const TOTALS: &'static [&'static str] = &CLASS_NAMES;

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
        let Some((file, written)) = self.opened.get_mut(&line.file) else {
            return Err(Error::Fault(format!("a line came for the file `{}`, which is not written here", line.file)));
        };
        file.append(&line.body)?;
        written.bytes += line.body.len() as u64 + 1;
        written.lines += 1;
        if let Some(total) = context.totals.get_mut(usize::from(line.class)) {
            *total += 1;
        }
        Ok(())
    }

    fn step_done(&mut self, _frontier: Option<Stamp>) -> Result<(), Error> {
        self.opened.values_mut().try_for_each(|(file, _)| file.flush())
    }

    fn before_snapshot(&mut self, context: &mut Context<'_, Self>) -> Result<Vec<Work>, Error> {
        let mut work = Vec::new();
        for (name, (file, written)) in &mut self.opened {
            work.push(file.sync()?);
            *context.rows.write(RowKey::of(name.as_bytes()))? = Some(*written);
        }
        Ok(work)
    }
}
