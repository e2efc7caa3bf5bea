//! A file as a partition of a job: positions are byte offsets of lines.

use super::{LineReader, Mode, Read};
use engine::error::Error;
use engine::source::{Block, Partition, Reader, Reading};
use std::path::PathBuf;

/// How much is read at once: large enough that a read costs little per line.
pub(crate) const BLOCK_BYTES: usize = 1 << 20;

/// One file of lines.
#[derive(Clone, Debug)]
pub struct FilePartition {
    name: String,
    path: PathBuf,
    mode: Mode,
}

impl FilePartition {
    /// A file that ends, or one that is followed as it grows, under the name by which the job knows it.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>, mode: Mode) -> Self {
        FilePartition { name: name.into(), path: path.into(), mode }
    }
}

impl Partition for FilePartition {
    fn name(&self) -> &str {
        &self.name
    }

    fn live(&self) -> bool {
        self.mode == Mode::Follow
    }

    fn open(&self, position: u64) -> Result<Box<dyn Reader>, Error> {
        let mut reader = LineReader::open(&self.path, self.mode)?;
        reader.seek(position)?;
        Ok(Box::new(FileReader(reader)))
    }
}

struct FileReader(LineReader);

impl Reader for FileReader {
    fn read(&mut self, block: &mut Block) -> Result<Reading, Error> {
        loop {
            match self.0.next_batch(BLOCK_BYTES)? {
                Read::Lines(batch) if batch.is_empty() => {}
                Read::Lines(batch) => {
                    batch.into_block(block);
                    return Ok(Reading::Lines);
                }
                Read::Pending => return Ok(Reading::Pending),
                Read::End => return Ok(Reading::End),
            }
        }
    }
}
