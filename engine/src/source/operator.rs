//! The source operator: reads a worker's partitions, lowest watermark first, and holds one capability at the lowest
//! watermark among them. It hears the coordinator on an input that is not connected to its records, so that a probe
//! sees the sources alone.

use super::Decode;
use super::journal::{Journal, JournalEntry};
use super::seat::{Batch, Bench, Seat};
use crate::clock::Clock;
use crate::coordinator::message::{Activity, Announcement, Answer, Part, Progress};
use crate::error::Error;
use crate::fault::{Faults, Planted, Poison, point};
use crate::limits::BATCHES_PER_TURN;
use crate::time::{Micros, Stamp};
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, StreamVec};
use timely::progress::Antichain;

/// How long a source waits before it looks again at partitions that had nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a worker's source operator is built with.
pub struct Sources<D: Decode> {
    /// Name of the operator.
    pub name: String,
    /// The partitions of this worker.
    pub seats: Vec<Seat>,
    /// Makes records of lines.
    pub decoder: D,
    /// Where judgements by the clock are kept.
    pub journal: Arc<Mutex<dyn Journal>>,
    /// For live partitions only.
    pub clock: Clock,
    /// Stops the run.
    pub poison: Poison,
    /// Planted by tests.
    pub faults: Faults,
    /// Set when the worker is to drop the dataflow.
    pub leave: Rc<Cell<bool>>,
    /// Snapshots before this stamp exist already.
    pub first_stamp: Stamp,
}

/// The streams of the source operator.
pub struct SourceStreams<'s, D: Decode> {
    /// Records for keyed operators.
    pub records: StreamVec<'s, Stamp, D::Record>,
    /// Lines for ordered writers.
    pub asides: StreamVec<'s, Stamp, D::Aside>,
    /// Reports; their frontier is that of the sources alone.
    pub progress: StreamVec<'s, Stamp, Progress>,
    /// Answers to the coordinator.
    pub answers: StreamVec<'s, Stamp, Answer>,
}

/// Builds the operator on this worker.
pub fn sources<'s, D: Decode>(
    scope: Scope<'s, Stamp>,
    announcements: StreamVec<'s, Stamp, Announcement>,
    sources: Sources<D>,
) -> SourceStreams<'s, D> {
    let mut builder = OperatorBuilder::new(sources.name.clone(), scope);
    let mut heard = builder.new_input_connection(announcements, Pipeline, vec![]);
    let (records_out, records) = builder.new_output_connection(vec![]);
    let (asides_out, asides) = builder.new_output_connection(vec![]);
    let (progress_out, progress) = builder.new_output_connection(vec![]);
    // An answer rides on the announcement's own stamp, so that a source that has ended can still give one.
    let (answers_out, answers) = builder.new_output_connection(vec![(0, Antichain::from_elem(0))]);
    let mut records_out = OutputBuilder::<_, CapacityContainerBuilder<Vec<D::Record>>>::from(records_out);
    let mut asides_out = OutputBuilder::<_, CapacityContainerBuilder<Vec<D::Aside>>>::from(asides_out);
    let mut progress_out = OutputBuilder::<_, CapacityContainerBuilder<Vec<Progress>>>::from(progress_out);
    let mut answers_out = OutputBuilder::<_, CapacityContainerBuilder<Vec<Answer>>>::from(answers_out);
    let activator = scope.activator_for(builder.operator_info().address);
    let worker = scope.index();

    builder.build(move |capabilities| {
        let mut held: Option<Vec<Capability<Stamp>>> = Some(capabilities.into_iter().take(3).collect());
        let mut turn = Turn::new(worker, sources);
        move |_frontiers| {
            let mut answering = answers_out.activate();
            heard.for_each(|capability, announcements| {
                let stamp = *capability.least().expect("the coordinator sends under a capability");
                for announcement in announcements.drain(..) {
                    turn.hear(announcement, || capability.delayed(&stamp, 3));
                }
            });
            if turn.sources.poison.is_set() {
                return;
            }
            if let Some(capabilities) = &mut held {
                let [records_at, asides_at, progress_at] = &mut capabilities[..] else { return };
                let mut sending = records_out.activate();
                let mut asiding = asides_out.activate();
                let mut more = false;
                for batch in std::iter::from_fn(|| turn.read()).take(BATCHES_PER_TURN) {
                    more = true;
                    let from = batch.from.max(*records_at.time());
                    let (mut records, mut asides) = (batch.records, batch.asides);
                    if !records.is_empty() {
                        sending.session(&records_at.delayed(&from)).give_container(&mut records);
                    }
                    if !asides.is_empty() {
                        asiding.session(&asides_at.delayed(&from)).give_container(&mut asides);
                    }
                }
                let mut reports = turn.reports();
                if !reports.is_empty() {
                    progress_out.activate().session(&*progress_at).give_container(&mut reports);
                }
                match turn.frontier() {
                    Some(frontier) => capabilities.iter_mut().for_each(|capability| capability.downgrade(&frontier)),
                    None => held = None,
                }
                if more {
                    activator.activate();
                } else if turn.looks_again() {
                    activator.activate_after(LOOK_AGAIN);
                }
            }
            for (capability, answer) in turn.answers() {
                answering.session(&capability).give(answer);
            }
        }
    });
    SourceStreams { records, asides, progress, answers }
}

/// What the operator remembers from one activation to the next. `C` is what it answers under.
struct Turn<D: Decode, C = Capability<Stamp>> {
    worker: usize,
    sources: Sources<D>,
    read_to: Stamp,
    stopped: Option<C>,
    reads: bool,
    snapshots: Vec<(Stamp, u64, C)>,
    reported: Vec<Option<Progress>>,
    /// Batches that came of following, to be sent.
    released: VecDeque<Batch<D>>,
}

impl<D: Decode, C> Turn<D, C> {
    fn new(worker: usize, sources: Sources<D>) -> Self {
        let reported = vec![None; sources.seats.len()];
        let read_to = sources.first_stamp;
        let (snapshots, released) = (Vec::new(), VecDeque::new());
        Turn { worker, sources, read_to, stopped: None, reads: true, snapshots, reported, released }
    }

    fn hear(&mut self, announcement: Announcement, capability: impl FnOnce() -> C) {
        match announcement {
            Announcement::Advance { read_to, sources, idle_to, .. } => {
                self.read_to = self.read_to.max(read_to);
                // The sources may have passed a snapshot that was announced just before this: it still needs its marks.
                let asked = self.snapshots.iter().map(|(at, ..)| *at).min();
                let passed = asked.map_or(sources, |at| sources.min(at)).saturating_sub(1);
                self.sources.seats.iter_mut().for_each(|seat| seat.trim(passed));
                if let Some(idle_to) = idle_to.filter(|_| self.reads) {
                    let followed = self.follow(idle_to);
                    self.sources.poison.check(followed);
                }
            }
            Announcement::Snapshot { at, id } => self.snapshots.push((at, id, capability())),
            Announcement::Look { .. } => {}
            Announcement::Stop => {
                self.reads = false;
                self.stopped = Some(capability());
            }
            Announcement::Leave => self.sources.leave.set(true),
        }
    }

    /// Idle partitions follow the others, once that is on record.
    fn follow(&mut self, idle_to: Micros) -> Result<(), Error> {
        let entries: Vec<_> = self.sources.seats.iter_mut().filter_map(|seat| seat.would_follow(idle_to)).collect();
        if entries.is_empty() {
            return Ok(());
        }
        point("source.follow")?;
        self.sources.journal.lock().unwrap_or_else(PoisonError::into_inner).append(&entries)?;
        point("source.followed")?;
        let Sources { seats, decoder, clock, .. } = &mut self.sources;
        let mut bench = Bench { decoder, clock, out_of_order: false };
        for seat in seats.iter_mut().filter(|seat| seat.activity() == Activity::Idle) {
            self.released.push_back(seat.follow(idle_to, &mut bench));
        }
        Ok(())
    }

    /// Reads a batch from the partition that is furthest behind; `None` when none has anything to give.
    fn read(&mut self) -> Option<Batch<D>> {
        if let Some(released) = self.released.pop_front() {
            return Some(released);
        }
        if !self.reads {
            return None;
        }
        let Sources { seats, decoder, clock, faults, journal, poison, .. } = &mut self.sources;
        let mut bench = Bench { decoder, clock, out_of_order: faults.has(Planted::JudgesOutOfOrder) };
        let mut order: Vec<usize> = (0..seats.len()).collect();
        order.sort_by_key(|seat| seats[*seat].frontier().unwrap_or(Stamp::MAX));
        for seat in order {
            let seat = &mut seats[seat];
            if seat.frontier().is_none_or(|frontier| frontier >= self.read_to) {
                continue;
            }
            let before = (seat.state().position, seat.activity());
            let batch = poison.check(seat.read(self.read_to, &mut bench))?;
            if !batch.judgements.is_empty() {
                poison.check(record(&**journal, &batch.judgements))?;
            }
            if before != (seat.state().position, seat.activity()) || !batch.is_empty() {
                return Some(batch);
            }
        }
        None
    }

    /// The stamp that no later record of this worker comes before; `None` when there will be none.
    fn frontier(&self) -> Option<Stamp> {
        self.sources.seats.iter().filter_map(Seat::frontier).min()
    }

    /// Whether there may be more to read without anything being heard.
    fn looks_again(&self) -> bool {
        self.reads && self.frontier().is_some_and(|frontier| frontier < self.read_to)
    }

    /// What changed since the last report.
    fn reports(&mut self) -> Vec<Progress> {
        let mut reports = Vec::new();
        for (seat, reported) in self.sources.seats.iter().zip(&mut self.reported) {
            let state = seat.state();
            let report = Progress {
                partition: seat.index(),
                newest: state.judge.newest,
                watermark: state.judge.watermark,
                received: state.received,
                position: state.position,
                activity: seat.activity(),
            };
            if reported.replace(report) != Some(report) {
                reports.push(report);
            }
        }
        reports
    }

    /// Answers that can be given now.
    fn answers(&mut self) -> Vec<(C, Answer)> {
        let frontier = self.frontier();
        let mut answers = Vec::new();
        if let Some(capability) = self.stopped.take() {
            answers.push((capability, Answer::Stopped { worker: self.worker, lowest: frontier }));
        }
        let passed = |at: Stamp| frontier.is_none_or(|frontier| frontier > at);
        for (at, id, capability) in std::mem::take(&mut self.snapshots) {
            if !passed(at) {
                self.snapshots.push((at, id, capability));
                continue;
            }
            if let Some(part) = self.sources.poison.check(self.part(at)) {
                answers.push((capability, Answer::Part { id, part }));
            }
        }
        answers
    }

    /// This worker's part of a snapshot: where each of its partitions is read again.
    fn part(&self, at: Stamp) -> Result<Part, Error> {
        point("source.position")?;
        let partitions = self.sources.seats.iter().map(|seat| (seat.index(), seat.rewind(at))).collect();
        let operator = self.sources.name.clone();
        Ok(Part { operator, worker: self.worker, files: Vec::new(), totals: Vec::new(), partitions })
    }
}

/// Puts on record that lines stand ahead of the clock, before they are dropped.
fn record(journal: &Mutex<dyn Journal>, judgements: &[JournalEntry]) -> Result<(), Error> {
    point("source.judge")?;
    journal.lock().unwrap_or_else(PoisonError::into_inner).append(judgements)?;
    point("source.judged")
}

#[cfg(test)]
mod tests;
