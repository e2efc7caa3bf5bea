//! Tests of the source operator without a dataflow: a turn hears announcements, reads and answers.

use super::*;
use crate::source::journal::JournalEntry;
use crate::source::partition::PartitionState;
use crate::source::{Arrival, Block, Line, Partition, Reader, Reading, Refused, Timing};
use crate::time::Span;
use std::collections::BTreeMap;

const TIMING: Timing = Timing {
    max_disorder: Span(0),
    max_jump: Span::from_mins(10),
    lateness_limit: Span::from_hours(1),
    max_delay: Span::from_secs(15),
    ahead_limit: Span::from_mins(5),
};

/// One line a second, from second 100 on; a position is the number of a line.
struct Seconds(u64);

impl Partition for Seconds {
    fn name(&self) -> &str {
        "seconds"
    }

    fn live(&self) -> bool {
        false
    }

    fn open(&self, position: u64) -> Result<Box<dyn Reader>, Error> {
        Ok(Box::new(Second { next: position, end: self.0 }))
    }
}

struct Second {
    next: u64,
    end: u64,
}

impl Reader for Second {
    fn read(&mut self, block: &mut Block) -> Result<Reading, Error> {
        if self.next == self.end {
            return Ok(Reading::End);
        }
        block.bytes = (100 + self.next).to_string().into_bytes();
        block.lines = vec![Line { position: self.next, start: 0, end: block.bytes.len(), oversize: None }];
        self.next += 1;
        block.next = self.next;
        Ok(Reading::Lines)
    }
}

/// A line is its second, and so is its record.
struct Plain;

impl Decode for Plain {
    type Record = u64;
    type Aside = String;
    type Parsed<'a> = u64;
    type Rejection = ();

    fn parse<'a>(&mut self, line: &'a [u8]) -> Result<(Micros, u64), ()> {
        let secs = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).ok_or(())?;
        Ok((Micros::from_secs(secs), secs))
    }

    fn record(&mut self, _: &[u8], secs: u64, _: Arrival, out: &mut Vec<u64>) -> Result<(), ()> {
        out.push(secs);
        Ok(())
    }

    fn rejected(&mut self, _: &[u8], (): (), _: Arrival) -> String {
        "rejected".to_owned()
    }

    fn refused(&mut self, _: &[u8], refused: Refused, _: Arrival) -> String {
        format!("{refused:?}")
    }

    fn too_late(&mut self, _: &[u8], _: u64, _: Arrival) -> String {
        "too late".to_owned()
    }
}

#[derive(Default)]
struct Memory(BTreeMap<String, Vec<JournalEntry>>);

impl Journal for Memory {
    fn append(&mut self, entries: &[JournalEntry]) -> Result<(), Error> {
        entries.iter().for_each(|entry| self.0.entry(entry.partition.clone()).or_default().push(entry.clone()));
        Ok(())
    }

    fn load(&self, partition: &str) -> Result<Vec<JournalEntry>, Error> {
        Ok(self.0.get(partition).cloned().unwrap_or_default())
    }

    fn drop_before(&mut self, partition: &str, seq: u64) -> Result<(), Error> {
        self.0.entry(partition.to_owned()).or_default().retain(|entry| entry.seq >= seq);
        Ok(())
    }
}

fn turn(partition: impl Partition + 'static) -> Turn<Plain, ()> {
    let seat = Seat::new(0, Arc::new(partition), TIMING, PartitionState::default(), Vec::new(), None);
    let sources = Sources {
        name: "sources".to_owned(),
        seats: vec![seat],
        decoder: Plain,
        journal: Arc::new(Mutex::new(Memory::default())),
        clock: Clock::from_fn(|| Micros::from_secs(10_000)),
        poison: Poison::default(),
        faults: Faults::default(),
        leave: Rc::default(),
        first_stamp: 1,
    };
    Turn::new(0, sources)
}

fn advance(read_to: Stamp, sources: Stamp) -> Announcement {
    Announcement::Advance { horizon: read_to, read_to, sources, idle_to: None }
}

/// The coordinator asks for a snapshot and, in the same message, tells that all sources have passed it. What has been
/// passed is forgotten then, but for what the snapshot needs.
#[test]
fn a_snapshot_keeps_its_marks_though_the_next_word_is_that_all_have_passed_it() {
    let mut turn = turn(Seconds(20));
    turn.hear(advance(1, 0), || ());
    // A batch for each second.
    for sec in 100..112 {
        turn.hear(advance(sec * 1_000, 0), || ());
        assert!(turn.read().is_some());
    }
    let cut = 105_000;
    for announcement in [Announcement::Snapshot { at: cut, id: 7 }, advance(200_000, 111_000)] {
        turn.hear(announcement, || ());
    }
    let answers = turn.answers();
    let [((), Answer::Part { id: 7, part })] = &answers[..] else { panic!("one part was asked for: {answers:?}") };
    let [(0, state)] = &part.partitions[..] else { panic!("there is one partition: {part:?}") };
    assert_eq!(state.position, 6, "it is read again from the first line after the cut");
    assert_eq!(state.judge.newest, Micros::from_secs(105));

    // Once it is answered, they go.
    turn.hear(advance(200_000, 111_000), || ());
    assert_eq!(turn.sources.seats[0].rewind(cut).position, 11);
}
