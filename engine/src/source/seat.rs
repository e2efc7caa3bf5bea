//! One partition as its worker reads it: the open reader, the judge, and the marks from which it can be read again.

use super::journal::{JournalEntry, Judgement};
use super::partition::{PartitionState, Verdict};
use super::{Arrival, Block, Decode, Line, Partition, Reader, Reading, Refused, Timing};
use crate::clock::Clock;
use crate::coordinator::message::Activity;
use crate::error::Error;
use crate::limits::BATCH_RECORDS_MAX;
use crate::time::{Micros, Span, Stamp};
use std::collections::VecDeque;
use std::sync::Arc;

/// A partition and where its reading stands.
pub struct Seat {
    index: u32,
    partition: Arc<dyn Partition>,
    timing: Timing,
    reader: Option<Box<dyn Reader>>,
    block: Block,
    cursor: usize,
    state: PartitionState,
    marks: VecDeque<Mark>,
    activity: Activity,
    /// When there were lines for the last time, or when it was first known that there were none.
    since_data: Option<Span>,
    journaled: VecDeque<JournalEntry>,
    next_seq: u64,
    /// Records up to here are in the restored state already.
    skip_through: Option<Stamp>,
}

/// A batch that was emitted, and the partition as it was before it.
struct Mark {
    latest: Stamp,
    before: PartitionState,
}

/// What a batch brought.
pub struct Batch<D: Decode> {
    /// Records for the operators.
    pub records: Vec<D::Record>,
    /// Lines for the writers.
    pub asides: Vec<D::Aside>,
    /// No record of the batch has a stamp before this one.
    pub from: Stamp,
    /// Judgements that must be durable before the batch goes out.
    pub judgements: Vec<JournalEntry>,
    latest: Option<Stamp>,
}

impl<D: Decode> Batch<D> {
    /// Whether nothing goes out.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.asides.is_empty()
    }
}

/// What deciding about a line needs besides the partition.
pub struct Bench<'a, D: Decode> {
    /// Makes records of lines.
    pub decoder: &'a mut D,
    /// For live partitions only.
    pub clock: &'a Clock,
    /// Planted by tests.
    pub out_of_order: bool,
}

impl Seat {
    /// A seat at a partition, to be read from `state`; `journaled` are its judgements from there on.
    pub fn new(
        index: u32,
        partition: Arc<dyn Partition>,
        timing: Timing,
        state: PartitionState,
        journaled: Vec<JournalEntry>,
        skip_through: Option<Stamp>,
    ) -> Self {
        Seat {
            index,
            partition,
            timing,
            reader: None,
            block: Block::default(),
            cursor: 0,
            state,
            marks: VecDeque::new(),
            activity: Activity::Active,
            since_data: None,
            next_seq: journaled.last().map_or(0, |entry| entry.seq + 1),
            journaled: journaled.into(),
            skip_through,
        }
    }

    /// Index of the partition in the job.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// What the partition is doing.
    pub fn activity(&self) -> Activity {
        self.activity
    }

    /// Where reading stands.
    pub fn state(&self) -> &PartitionState {
        &self.state
    }

    /// No later record has a stamp before this one; `None` when there will be none.
    pub fn frontier(&self) -> Option<Stamp> {
        (self.activity != Activity::Ended).then(|| self.state.judge.frontier())
    }

    /// Reads one batch: until it is full, the watermark reaches `limit`, or there is nothing more for now.
    pub fn read<D: Decode>(&mut self, limit: Stamp, bench: &mut Bench<'_, D>) -> Result<Batch<D>, Error> {
        let (mut batch, before) = (self.batch(), self.state.clone());
        while batch.records.len() + batch.asides.len() < BATCH_RECORDS_MAX && self.state.judge.frontier() < limit {
            if self.cursor == self.block.lines.len() && !self.refill(bench, &mut batch)? {
                break;
            }
            let line = self.block.lines[self.cursor];
            self.cursor += 1;
            let next = self.block.lines.get(self.cursor).map_or(self.block.next, |line| line.position);
            // The block is set aside so that its bytes can be read while the rest of the seat changes.
            let block = std::mem::take(&mut self.block);
            self.line(&block.bytes[line.start..line.end], line, bench, &mut batch);
            self.block = block;
            self.state.position = next;
        }
        self.mark(&batch, before);
        Ok(batch)
    }

    fn batch<D: Decode>(&self) -> Batch<D> {
        let from = self.state.judge.frontier();
        Batch { records: Vec::new(), asides: Vec::new(), from, judgements: Vec::new(), latest: None }
    }

    /// Remembers from where a batch can be read again.
    fn mark<D: Decode>(&mut self, batch: &Batch<D>, before: PartitionState) {
        if let Some(latest) = batch.latest {
            self.marks.push_back(Mark { latest, before });
        }
    }

    /// Gets more lines; `false` when there are none for now.
    fn refill<D: Decode>(&mut self, bench: &mut Bench<'_, D>, batch: &mut Batch<D>) -> Result<bool, Error> {
        if self.activity == Activity::Ended {
            return Ok(false);
        }
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => self.reader.insert(self.partition.open(self.state.position)?),
        };
        self.block.lines.clear();
        self.cursor = 0;
        match reader.read(&mut self.block)? {
            Reading::Lines => {
                if bench.out_of_order {
                    self.block.lines.reverse();
                }
                self.since_data = Some(bench.clock.passed());
                self.activity = Activity::Active;
                Ok(true)
            }
            Reading::Pending => {
                let now = bench.clock.passed();
                let pause = now.less(*self.since_data.get_or_insert(now));
                self.follow_journal(self.state.position, bench, batch);
                if pause > self.timing.max_delay {
                    self.activity = Activity::Idle;
                }
                Ok(false)
            }
            Reading::Unknown => {
                self.since_data = None;
                self.activity = Activity::Active;
                Ok(false)
            }
            Reading::End => {
                // Read again as a bounded one, a live partition had followed the others to here.
                self.follow_journal(self.state.position, bench, batch);
                while let Some(waiting) = self.state.judge.drain(&self.timing) {
                    self.deliver_waiting(waiting, bench, batch);
                }
                self.activity = Activity::Ended;
                Ok(false)
            }
        }
    }

    fn line<D: Decode>(&mut self, bytes: &[u8], line: Line, bench: &mut Bench<'_, D>, batch: &mut Batch<D>) {
        self.state.received += 1;
        let refused_before = self.follow_journal(line.position, bench, batch);
        if let Some(length) = line.oversize {
            return self.refuse(bytes, line.position, Refused::TooLarge(length), bench, batch);
        }
        let (time, parsed) = match bench.decoder.parse(bytes) {
            Ok(parsed) => parsed,
            Err(rejection) => {
                let arrival = self.placeless(line.position);
                if self.wanted(arrival.at, batch) {
                    batch.asides.push(bench.decoder.rejected(bytes, rejection, arrival));
                }
                return;
            }
        };
        if refused_before || self.ahead_of_clock(time, bench) {
            if !refused_before {
                let entry = self.entry(line.position, Judgement::Ahead, self.state.judge.watermark);
                batch.judgements.push(entry);
            }
            return self.refuse(bytes, line.position, Refused::AheadOfClock, bench, batch);
        }
        match self.state.judge.judge(time, line.position, bytes, &self.timing) {
            Verdict::Deliver => self.deliver(bytes, time, line.position, parsed, bench, batch),
            Verdict::Waits => {}
            Verdict::Refused => self.refuse(bytes, line.position, Refused::TooFarAhead, bench, batch),
            Verdict::AfterPrevious(waited) => {
                self.deliver_waiting(waited, bench, batch);
                self.again(bytes, time, line.position, bench, batch);
            }
            Verdict::BeforePrevious(waited) => {
                self.deliver(bytes, time, line.position, parsed, bench, batch);
                self.again(&waited.line, waited.time, waited.position, bench, batch);
            }
        }
        self.release(bench, batch);
    }

    /// Delivers the records that have waited for their time and need not any longer.
    fn release<D: Decode>(&mut self, bench: &mut Bench<'_, D>, batch: &mut Batch<D>) {
        while let Some(waiting) = self.state.judge.release() {
            self.deliver_waiting(waiting, bench, batch);
        }
    }

    /// Judges a record anew, after the time has moved over a gap. It cannot meet a waiting predecessor again.
    fn again<D: Decode>(
        &mut self,
        bytes: &[u8],
        time: Micros,
        position: u64,
        bench: &mut Bench<'_, D>,
        batch: &mut Batch<D>,
    ) {
        match self.state.judge.judge(time, position, bytes, &self.timing) {
            Verdict::Waits => {}
            Verdict::Refused => self.refuse(bytes, position, Refused::TooFarAhead, bench, batch),
            _ => {
                if let Ok((_, parsed)) = bench.decoder.parse(bytes) {
                    self.deliver(bytes, time, position, parsed, bench, batch);
                }
            }
        }
    }

    fn deliver_waiting<D: Decode>(
        &mut self,
        waiting: super::partition::Waiting,
        bench: &mut Bench<'_, D>,
        batch: &mut Batch<D>,
    ) {
        if let Ok((_, parsed)) = bench.decoder.parse(&waiting.line) {
            self.deliver(&waiting.line, waiting.time, waiting.position, parsed, bench, batch);
        }
    }

    fn deliver<D: Decode>(
        &mut self,
        bytes: &[u8],
        time: Micros,
        position: u64,
        parsed: D::Parsed<'_>,
        bench: &mut Bench<'_, D>,
        batch: &mut Batch<D>,
    ) {
        let (at, behind) = self.state.judge.place(time);
        let arrival = Arrival { partition: self.index, position, at, behind };
        if !self.wanted(at, batch) {
            return;
        }
        if behind > self.timing.lateness_limit {
            batch.asides.push(bench.decoder.too_late(bytes, parsed, arrival));
        } else if let Err(rejection) = bench.decoder.record(bytes, parsed, arrival, &mut batch.records) {
            batch.asides.push(bench.decoder.rejected(bytes, rejection, arrival));
        }
    }

    fn refuse<D: Decode>(
        &mut self,
        bytes: &[u8],
        position: u64,
        refused: Refused,
        bench: &mut Bench<'_, D>,
        batch: &mut Batch<D>,
    ) {
        let arrival = self.placeless(position);
        if self.wanted(arrival.at, batch) {
            batch.asides.push(bench.decoder.refused(bytes, refused, arrival));
        }
    }

    fn placeless(&self, position: u64) -> Arrival {
        Arrival { partition: self.index, position, at: self.state.judge.placeless(), behind: Span(0) }
    }

    /// Whether something at this time goes out, and that it is then part of the batch.
    fn wanted<D: Decode>(&self, at: Micros, batch: &mut Batch<D>) -> bool {
        let wanted = self.skip_through.is_none_or(|through| at.stamp() > through);
        if wanted {
            batch.latest = batch.latest.max(Some(at.stamp()));
        }
        wanted
    }

    fn ahead_of_clock<D: Decode>(&self, time: Micros, bench: &Bench<'_, D>) -> bool {
        self.partition.live() && time > bench.clock.now().plus(self.timing.ahead_limit)
    }

    /// Applies the journal's judgements up to a position; whether the line at that position was refused.
    fn follow_journal<D: Decode>(&mut self, position: u64, bench: &mut Bench<'_, D>, batch: &mut Batch<D>) -> bool {
        while let Some(entry) = self.journaled.pop_front_if(|entry| entry.position <= position) {
            match entry.judgement {
                Judgement::Idle => {
                    self.state.judge.follow(entry.watermark);
                    self.release(bench, batch);
                }
                Judgement::Ahead if entry.position == position => return true,
                Judgement::Ahead => {}
            }
        }
        false
    }

    /// The judgement that this idle partition follows the others to `watermark`, if that is news. To be durable before
    /// [`Seat::follow`].
    pub fn would_follow(&mut self, watermark: Micros) -> Option<JournalEntry> {
        let news = self.activity == Activity::Idle && watermark > self.state.judge.watermark;
        news.then(|| self.entry(self.state.position, Judgement::Idle, watermark))
    }

    /// The partition follows the others. Gives the records that have waited for this time.
    pub fn follow<D: Decode>(&mut self, watermark: Micros, bench: &mut Bench<'_, D>) -> Batch<D> {
        let (mut batch, before) = (self.batch(), self.state.clone());
        self.state.judge.follow(watermark);
        self.release(bench, &mut batch);
        self.mark(&batch, before);
        batch
    }

    fn entry(&mut self, position: u64, judgement: Judgement, watermark: Micros) -> JournalEntry {
        let seq = self.next_seq;
        self.next_seq += 1;
        JournalEntry { partition: self.partition.name().to_owned(), seq, position, judgement, watermark }
    }

    /// Forgets marks that no snapshot after `passed` can need.
    pub fn trim(&mut self, passed: Stamp) {
        while self.marks.pop_front_if(|mark| mark.latest < passed).is_some() {}
    }

    /// From where the partition is read again after a snapshot at `at`.
    pub fn rewind(&self, at: Stamp) -> PartitionState {
        let first_after = self.marks.iter().find(|mark| mark.latest > at);
        first_after.map_or_else(|| self.state.clone(), |mark| mark.before.clone())
    }
}
