//! Tests of the source operator without a dataflow: a turn hears announcements, reads and answers.

use super::*;
use crate::source::journal::MemoryJournal;
use crate::source::partition::PartitionState;
use crate::source::{Arrival, Block, Line, Partition, Reader, Reading, Refused, Timing};
use crate::time::Span;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const TIMING: Timing = Timing {
    max_disorder: Span(0),
    max_jump: Span::from_mins(10),
    lateness_limit: Span::from_hours(1),
    max_delay: Span::from_secs(15),
    ahead_limit: Span::from_mins(5),
};

/// Seconds, one to a line and a block; a position is the number of a line.
#[derive(Clone)]
struct Seconds {
    lines: Vec<u64>,
    live: bool,
    /// Whether it can be reached.
    known: Arc<AtomicBool>,
}

impl Seconds {
    fn new(lines: Vec<u64>, live: bool) -> Self {
        Seconds { lines, live, known: Arc::new(AtomicBool::new(true)) }
    }
}

impl Partition for Seconds {
    fn name(&self) -> &str {
        "seconds"
    }

    fn live(&self) -> bool {
        self.live
    }

    fn open(&self, position: u64) -> Result<Box<dyn Reader>, Error> {
        Ok(Box::new(Second { of: self.clone(), next: position as usize }))
    }
}

struct Second {
    of: Seconds,
    next: usize,
}

impl Reader for Second {
    fn read(&mut self, block: &mut Block) -> Result<Reading, Error> {
        let Some(secs) = self.of.lines.get(self.next) else {
            return Ok(match (self.of.live, self.of.known.load(Ordering::SeqCst)) {
                (true, true) => Reading::Pending,
                (true, false) => Reading::Unknown,
                (false, _) => Reading::End,
            });
        };
        block.bytes = secs.to_string().into_bytes();
        block.lines = vec![Line { position: self.next as u64, start: 0, end: block.bytes.len(), oversize: None }];
        self.next += 1;
        block.next = self.next as u64;
        Ok(Reading::Lines)
    }
}

/// A line is its second. A record is that and its effective time, in seconds.
struct Plain;

impl Decode for Plain {
    type Record = (u64, u64);
    type Aside = String;
    type Parsed<'a> = u64;
    type Rejection = ();

    fn parse(&mut self, line: &[u8]) -> Result<(Micros, u64), ()> {
        let secs = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).ok_or(())?;
        Ok((Micros::from_secs(secs), secs))
    }

    fn record(&mut self, _: &[u8], secs: u64, arrival: Arrival, out: &mut Vec<(u64, u64)>) -> Result<(), ()> {
        out.push((secs, arrival.at.secs()));
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

/// A turn at one partition, at a clock that stands at the end of it all and runs as `passed` says.
fn turn(partition: Seconds, journal: Arc<Mutex<MemoryJournal>>, passed: Arc<AtomicU64>) -> Turn<Plain, ()> {
    let journaled = journal.lock().unwrap().load("seconds").unwrap();
    let seat = Seat::new(0, Arc::new(partition), TIMING, PartitionState::default(), journaled, None);
    let sources = Sources {
        name: "sources".to_owned(),
        seats: vec![seat],
        decoder: Plain,
        journal,
        clock: Clock::of(|| Micros::from_secs(10_000), move || Span::from_secs(passed.load(Ordering::SeqCst))),
        poison: Poison::default(),
        faults: Faults::default(),
        leave: Rc::default(),
        first_stamp: 1,
    };
    Turn::new(0, sources)
}

fn advance(read_to: Stamp, sources: Stamp, idle_to: Option<Micros>) -> Announcement {
    Announcement::Advance { horizon: read_to, read_to, sources, idle_to }
}

/// The coordinator asks for a snapshot and, in the same message, tells that all sources have passed it. What has been
/// passed is forgotten then, but for what the snapshot needs.
#[test]
fn a_snapshot_keeps_its_marks_though_the_next_word_is_that_all_have_passed_it() {
    let lines = (100..120).collect();
    let mut turn = turn(Seconds::new(lines, false), Arc::default(), Arc::default());
    turn.hear(advance(1, 0, None), || ());
    // A batch for each second.
    for sec in 100..112 {
        turn.hear(advance(sec * 1_000, 0, None), || ());
        assert!(turn.read().is_some());
    }
    let cut = 105_000;
    for announcement in [Announcement::Snapshot { at: cut, id: 7 }, advance(200_000, 111_000, None)] {
        turn.hear(announcement, || ());
    }
    let answers = turn.answers();
    let [((), Answer::Part { id: 7, part })] = &answers[..] else { panic!("one part was asked for: {answers:?}") };
    let [(0, state)] = &part.partitions[..] else { panic!("there is one partition: {part:?}") };
    assert_eq!(state.position, 6, "it is read again from the first line after the cut");
    assert_eq!(state.judge.newest, Micros::from_secs(105));

    // Once it is answered, they go.
    turn.hear(advance(200_000, 111_000, None), || ());
    assert_eq!(turn.sources.seats[0].rewind(cut).position, 11);
}

/// A record that waits for its time goes out when the idle partition follows others past it, not when the next line comes;
/// and so it does wherever the journal is read.
#[test]
fn what_waits_in_an_idle_partition_goes_out_when_its_time_has_come_and_again_so() {
    let (journal, passed) = (Arc::<Mutex<MemoryJournal>>::default(), Arc::new(AtomicU64::new(0)));
    // The last one stands more than ten minutes after the others.
    let lines = vec![100, 101, 1_000];
    let mut live = turn(Seconds::new(lines.clone(), true), journal.clone(), passed.clone());
    live.hear(advance(20_000_000, 0, None), || ());
    let mut taken = Vec::new();
    let mut take = |turn: &mut Turn<Plain, ()>| {
        let batches: Vec<_> = std::iter::from_fn(|| turn.read()).collect();
        batches.into_iter().for_each(|batch| taken.extend(batch.records));
        taken.clone()
    };
    assert_eq!(take(&mut live), [(100, 100), (101, 101)]);
    passed.store(60, Ordering::SeqCst);
    assert_eq!(take(&mut live).len(), 2, "it is idle now");
    for (idle_to, count) in [(500, 2), (999, 2), (1_003, 3), (1_200, 3)] {
        live.hear(advance(20_000_000, 0, Some(Micros::from_secs(idle_to))), || ());
        assert_eq!(take(&mut live).len(), count, "followed to {idle_to}");
    }
    assert_eq!(taken[2], (1_000, 1_003), "a second late takes part at the watermark");

    // From the beginning, by the journal: as a partition that ends, with another line after the pause, and live.
    for (live, more, then) in
        [(false, vec![], vec![]), (false, vec![1_100], vec![(1_100, 1_200)]), (true, vec![], vec![])]
    {
        let lines = [lines.clone(), more].concat();
        let mut again = turn(Seconds::new(lines, live), journal.clone(), passed.clone());
        again.hear(advance(20_000_000, 0, None), || ());
        let records: Vec<_> = std::iter::from_fn(|| again.read()).flat_map(|batch| batch.records).collect();
        assert_eq!(records, [taken.clone(), then].concat(), "live: {live}");
    }
}

/// What cannot be reached is not silent: it is no longer idle, and is silent from when it is known again that there is
/// nothing.
#[test]
fn a_partition_that_cannot_be_reached_is_not_idle() {
    let passed = Arc::new(AtomicU64::new(0));
    let partition = Seconds::new(vec![100, 101], true);
    let known = partition.known.clone();
    let mut turn = turn(partition, Arc::default(), passed.clone());
    turn.hear(advance(20_000_000, 0, None), || ());
    let mut activity = |second: u64, reached: bool| {
        passed.store(second, Ordering::SeqCst);
        known.store(reached, Ordering::SeqCst);
        while turn.read().is_some() {}
        turn.sources.seats[0].activity()
    };
    use Activity::{Active, Idle};
    let seen = [(0, true), (16, true), (17, false), (90, false), (91, true), (106, true), (107, true)]
        .map(|(second, reached)| activity(second, reached));
    assert_eq!(seen, [Active, Idle, Active, Active, Active, Active, Idle]);
}
