//! One partition of a topic as a source's partition: positions are offsets, a message is a line.

use super::Source;
use super::consumer::{Consumer, Ears};
use crate::file::{HEAD_BYTES, LINE_BYTES_MAX};
use engine::error::Error;
use engine::source::{Block, Line, Partition, Reader, Reading};
use rdkafka::Message;
use rdkafka::consumer::Consumer as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::time::Duration;

/// How much is read at once, in bytes and in lines.
const BLOCK_BYTES: usize = 1 << 20;
const BLOCK_LINES: usize = 4_096;

/// How long brokers may take to say what became of an offset.
const QUESTION: Duration = Duration::from_secs(10);

/// What of a partition a job reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The first offset that there was when the job began: there position 0 leads to.
    pub start: u64,
    /// The offset before which it ends; `None` is a partition that goes on.
    pub end: Option<u64>,
}

/// One partition of a topic.
#[derive(Debug)]
pub struct KafkaPartition {
    name: String,
    source: Arc<Source>,
    number: i32,
    stretch: Stretch,
}

impl KafkaPartition {
    /// The partition of a number, under the name by which the job knows it.
    pub fn new(name: impl Into<String>, source: Arc<Source>, number: i32, stretch: Stretch) -> Self {
        KafkaPartition { name: name.into(), source, number, stretch }
    }
}

impl Partition for KafkaPartition {
    fn name(&self) -> &str {
        &self.name
    }

    fn live(&self) -> bool {
        self.stretch.end.is_none()
    }

    fn open(&self, position: u64) -> Result<Box<dyn Reader>, Error> {
        let (topic, consumer) = (self.source.topic(), self.source.consumer()?);
        let fault = |error: KafkaError| {
            Error::Fault(format!("partition {} of topic {topic} cannot be assigned: {error}", self.number))
        };
        let next = position.max(self.stretch.start);
        // Before it is assigned, or its first messages would come beside the queue.
        let queue = consumer.client().split_partition_queue(topic, self.number);
        let queue = queue.ok_or_else(|| Error::Fault(format!("topic {topic} has no partition {}", self.number)))?;
        let mut list = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX));
        list.add_partition_offset(topic, self.number, offset).map_err(fault)?;
        consumer.client().incremental_assign(&list).map_err(fault)?;
        let (number, end) = (self.number, self.stretch.end);
        Ok(Box::new(KafkaReader { topic: topic.to_owned(), number, consumer, queue, next, end, at_end: false }))
    }

    fn kept(&self, position: u64) {
        if self.stretch.end.is_some() {
            return;
        }
        // A client that cannot be made has been told of by who opens a partition.
        if let Ok(consumer) = self.source.consumer() {
            consumer.ears().keep(self.number, position.max(self.stretch.start));
        }
    }
}

struct KafkaReader {
    topic: String,
    number: i32,
    /// Before the client goes, its queue has to: fields are dropped in this order.
    queue: PartitionQueue<Ears>,
    consumer: Arc<Consumer>,
    next: u64,
    end: Option<u64>,
    /// Whether the last thing heard of it was that there is no more for now.
    at_end: bool,
}

impl Reader for KafkaReader {
    fn read(&mut self, block: &mut Block) -> Result<Reading, Error> {
        block.bytes.clear();
        block.lines.clear();
        while block.bytes.len() < BLOCK_BYTES && block.lines.len() < BLOCK_LINES && !self.is_over() {
            match self.queue.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => {
                    self.at_end = false;
                    let offset = u64::try_from(message.offset()).unwrap_or_default();
                    // Offsets may be left out by compaction and transactions, and never come twice.
                    if offset >= self.next && self.end.is_none_or(|end| offset < end) {
                        line(offset, message.payload().unwrap_or_default(), block);
                    }
                    self.next = self.next.max(offset.saturating_add(1));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => self.at_end = true,
                Some(Err(error)) => return Err(self.lost(&error)),
            }
        }
        block.next = self.next;
        if !block.lines.is_empty() {
            return Ok(Reading::Lines);
        }
        let ears = self.consumer.ears();
        ears.check()?;
        Ok(match (self.end, self.at_end && ears.reaches(self.number)) {
            (Some(_), _) if self.is_over() => Reading::End,
            (None, true) => Reading::Pending,
            _ => Reading::Unknown,
        })
    }
}

impl KafkaReader {
    /// Whether a partition that ends was read to its end. What is left of it may be no messages at all.
    fn is_over(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end || self.at_end)
    }

    /// Why reading cannot go on. Whatever the reason is, nothing is passed over.
    fn lost(&self, error: &KafkaError) -> Error {
        let KafkaReader { topic, number, next, .. } = self;
        let at = format!("partition {number} of topic {topic}");
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                match self.consumer.client().fetch_watermarks(topic, *number, QUESTION) {
                    Ok((low, high)) => out_of_range(&at, *next, low, high),
                    Err(why) => Error::Unavailable(format!(
                        "{at} does not hold offset {next}, where the job stands, and what it holds cannot be asked: \
                         {why}; start again"
                    )),
                }
            }
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                Error::Invalid(format!("{at} may not be read any more: give the job leave to, and start again"))
            }
            _ => Error::Unavailable(format!("{at} cannot be read on at offset {next}: {error}; start again")),
        }
    }
}

/// What to say of an offset that the log does not hold.
fn out_of_range(at: &str, next: u64, low: i64, high: i64) -> Error {
    let (low, high) = (u64::try_from(low).unwrap_or_default(), u64::try_from(high).unwrap_or_default());
    if next < low {
        let lost = low - next;
        return Error::Invalid(format!(
            "{at} begins at offset {low} by now, and the job stands at {next}: {lost} offsets were removed before they \
             were read. Keep messages for longer than the job may be down. To go on without those, start on another \
             data directory"
        ));
    }
    if next > high {
        return Error::Invalid(format!(
            "{at} ends at offset {high}, and the job stands at {next}: the topic was made anew or has lost its end since. \
             Bring the former one back, or start on another data directory"
        ));
    }
    Error::Unavailable(format!(
        "{at} holds offsets {low} to {high}, and yet could not be read on at {next}: start again"
    ))
}

/// A message as a line, unless it is blank. A line end at its end does not belong to it.
fn line(position: u64, payload: &[u8], block: &mut Block) {
    let line = payload.strip_suffix(b"\n").unwrap_or(payload);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (line, oversize) = match line.len() > LINE_BYTES_MAX {
        true => (&line[..HEAD_BYTES], Some(line.len() as u64)),
        false => (line, None),
    };
    if oversize.is_none() && line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
        return;
    }
    let start = block.bytes.len();
    block.bytes.extend_from_slice(line);
    block.lines.push(Line { position, start, end: block.bytes.len(), oversize });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(payloads: &[&[u8]]) -> Vec<(u64, Vec<u8>, Option<u64>)> {
        let mut block = Block::default();
        (0..).zip(payloads).for_each(|(position, payload)| line(position, payload, &mut block));
        let of = |line: &Line| (line.position, block.bytes[line.start..line.end].to_vec(), line.oversize);
        block.lines.iter().map(of).collect()
    }

    #[test]
    fn a_message_is_a_line_without_its_end_and_a_blank_one_is_none() {
        let found = lines(&[b"a", b"", b" \t\r\n", b"b\n", b"\n", b"c\r\n", b"{\n}"]);
        let expected: [(u64, &[u8]); 4] = [(0, b"a"), (3, b"b"), (5, b"c"), (6, b"{\n}")];
        assert_eq!(found, expected.map(|(position, line)| (position, line.to_vec(), None)));
    }

    #[test]
    fn of_a_message_that_is_too_long_the_head_is_given() {
        let long = |length| vec![b'x'; length];
        let [most, more] = [long(LINE_BYTES_MAX), long(LINE_BYTES_MAX + 1)];
        let blank = vec![b' '; LINE_BYTES_MAX + 1];
        let found = lines(&[&most, &more, &blank]);
        assert_eq!(found[0], (0, most, None));
        assert_eq!(found[1], (1, long(HEAD_BYTES), Some(LINE_BYTES_MAX as u64 + 1)));
        assert_eq!(found[2].2, Some(LINE_BYTES_MAX as u64 + 1));
    }

    #[test]
    fn what_is_not_in_the_log_is_told_by_offsets() {
        let told = |next, low, high| out_of_range("partition 3 of topic t", next, low, high);
        assert!(matches!(told(5, 9, 20), Error::Invalid(text) if text.contains("4 offsets were removed")));
        assert!(matches!(told(21, 9, 20), Error::Invalid(text) if text.contains("ends at offset 20")));
        assert!(matches!(told(20, 9, 20), Error::Unavailable(_)));
    }
}
