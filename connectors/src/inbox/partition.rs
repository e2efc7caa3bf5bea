//! An inbox as a partition of a job: positions are byte offsets over all its segments.

use super::mark;
use super::segments::{segment_path, starts};
use crate::file::{BLOCK_BYTES, LineReader, Mode, Read};
use engine::clock::pause;
use engine::error::Error;
use engine::source::{Block, Partition, Reader, Reading};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A mark is being written for as long as it takes to write two words.
const MARK_LOOKS: usize = 1_000;
const MARK_LOOK: Duration = Duration::from_millis(1);

/// An inbox that is followed until it is closed, or read once to its present end.
#[derive(Clone, Debug)]
pub struct InboxPartition {
    name: String,
    folder: PathBuf,
    mode: Mode,
}

impl InboxPartition {
    /// The inbox in a folder, under the name by which the job knows it. It has to be open before it is read.
    pub fn new(name: impl Into<String>, folder: impl Into<PathBuf>, mode: Mode) -> Self {
        InboxPartition { name: name.into(), folder: folder.into(), mode }
    }

    /// Refuses a position that is not in the inbox: it was lost, or begun anew.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is not there.
    pub fn require(&self, position: u64) -> Result<(), Error> {
        self.reader(position).map(drop)
    }

    /// Where what is durable ends, now.
    fn end(&self, mark: &mark::Reader) -> Result<u64, Error> {
        for _ in 0..MARK_LOOKS {
            if let Some(mark) = mark.read()? {
                return Ok(mark.end);
            }
            pause(MARK_LOOK);
        }
        let folder = self.folder.display();
        Err(Error::Corrupt(format!("the mark of the inbox {folder} is damaged: start the job on it, which mends it")))
    }

    fn reader(&self, position: u64) -> Result<InboxReader, Error> {
        let mark = mark::Reader::open(&self.folder)?;
        let end = self.end(&mark)?;
        let first = starts(&self.folder)?.first().copied().unwrap_or_default();
        if !(first..=end).contains(&position) {
            return Err(Error::Corrupt(format!(
                "the inbox {} holds what stands from {first} to {end}, and it is to be read from {position} on: restore \
                 it from a copy",
                self.folder.display()
            )));
        }
        let until = (self.mode == Mode::Bounded).then_some(end);
        Ok(InboxReader { folder: self.folder.clone(), mark, until, position, segment: None })
    }
}

impl Partition for InboxPartition {
    fn name(&self) -> &str {
        &self.name
    }

    fn live(&self) -> bool {
        self.mode == Mode::Follow
    }

    fn open(&self, position: u64) -> Result<Box<dyn Reader>, Error> {
        Ok(Box::new(self.reader(position)?))
    }
}

struct InboxReader {
    folder: PathBuf,
    mark: mark::Reader,
    /// Where it ends, if it does not follow.
    until: Option<u64>,
    position: u64,
    segment: Option<Segment>,
}

struct Segment {
    start: u64,
    reader: LineReader,
}

impl Segment {
    /// The one that holds what stands at a position.
    fn at(folder: &Path, position: u64) -> Result<Self, Error> {
        let start = starts(folder)?.into_iter().rfind(|start| *start <= position);
        let start = start.ok_or_else(|| missing(folder, position))?;
        let path = segment_path(folder, start);
        let mut reader = LineReader::open(&path, Mode::Bounded)?;
        if reader.size() <= position - start {
            return Err(missing(folder, position));
        }
        reader.seek(position - start)?;
        Ok(Segment { start, reader })
    }
}

fn missing(folder: &Path, position: u64) -> Error {
    let folder = folder.display();
    Error::Corrupt(format!("the inbox {folder} lacks what stood at {position}: restore it from a copy"))
}

impl Reader for InboxReader {
    fn read(&mut self, block: &mut Block) -> Result<Reading, Error> {
        let Some(mark) = self.mark.read()? else { return Ok(Reading::Pending) };
        let end = self.until.unwrap_or(mark.end);
        while self.position < end {
            let segment = match &mut self.segment {
                Some(segment) => segment,
                None => self.segment.insert(Segment::at(&self.folder, self.position)?),
            };
            segment.reader.end_at(end - segment.start)?;
            match segment.reader.next_batch(BLOCK_BYTES)? {
                Read::Lines(batch) => {
                    self.position = segment.start + batch.next_position();
                    if !batch.is_empty() {
                        batch.into_block(block);
                        block.lines.iter_mut().for_each(|line| line.position += segment.start);
                        block.next = self.position;
                        return Ok(Reading::Lines);
                    }
                }
                // Another segment follows.
                Read::Pending | Read::End => self.segment = None,
            }
        }
        Ok(match self.until.is_some() || mark.closed {
            true => Reading::End,
            false => Reading::Pending,
        })
    }
}
