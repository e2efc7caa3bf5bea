//! The timely closure of keyed operators, the only one. It stashes what comes, applies what the frontier has passed,
//! releases time, and takes its part of snapshots; each of these is a step of [`Body`]. A part is written beside the
//! flow: the capability to answer is held, and the operator comes back by itself, until it is durable.

use super::stash::Stash;
use super::{Context, Logic, Outputs, Record, Timers};
use crate::clock::Stopwatch;
use crate::coordinator::message::{Announcement, Answer, Part};
use crate::error::Error;
use crate::fault::{Faults, Planted, Poison};
use crate::limits::STEP_RECORDS_MAX;
use crate::metrics::{Phase, Phases, Totals};
use crate::snapshot::shelf::{Shelf, StoredFile};
use crate::state::RowKey;
use crate::state::table::Table;
use crate::state::table::frozen::{Advance, Taken};
use crate::state::table::{Beside, Keep};
use crate::time::{Micros, Stamp};
use crate::window::{Place, Seen};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use timely::communication::Pull;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{InputHandleCore, OutputBuilder};
use timely::dataflow::operators::{Capability, vec::Broadcast};
use timely::dataflow::{Scope, StreamVec};
use timely::progress::Antichain;
use timely::progress::frontier::MutableAntichain;
use timely::scheduling::{Activator, SyncActivator};

/// One of an operator's inputs.
pub enum Input<'s, R: Record> {
    /// Each record goes to the worker that owns its key.
    Keyed(StreamVec<'s, Stamp, R>),
    /// Each record goes to every worker.
    Broadcast(StreamVec<'s, Stamp, R>),
}

/// What a worker's keyed operator is built with.
pub struct Keyed<L: Logic> {
    /// Name of the operator, unique within the job.
    pub name: String,
    /// What it does.
    pub logic: L,
    /// Its rows on this worker.
    pub table: Table<L::Row>,
    /// Up to where the rows were restored; `None` on a fresh start.
    pub restored: Option<Stamp>,
    /// Running totals of this worker.
    pub totals: Totals,
    /// Where checkpoints lie until they are stored.
    pub checkpoints: PathBuf,
    /// Where they are stored.
    pub shelf: Arc<Mutex<Shelf>>,
    /// Stops the run.
    pub poison: Poison,
    /// Planted by tests.
    pub faults: Faults,
}

/// The streams of a keyed operator.
pub struct KeyedStreams<'s, O: Clone + 'static> {
    /// One per port of the logic.
    pub ports: Vec<StreamVec<'s, Stamp, O>>,
    /// Carries nothing; its frontier tells what has been applied.
    pub applied: StreamVec<'s, Stamp, ()>,
    /// Answers to the coordinator.
    pub answers: StreamVec<'s, Stamp, Answer>,
}

/// Builds the operator on this worker.
pub fn keyed<'s, L: Logic>(
    scope: Scope<'s, Stamp>,
    inputs: Vec<Input<'s, L::Record>>,
    announcements: StreamVec<'s, Stamp, Announcement>,
    keyed: Keyed<L>,
) -> KeyedStreams<'s, L::Out> {
    let mut builder = OperatorBuilder::new(keyed.name.clone(), scope);
    let mut handles: Vec<_> = inputs.into_iter().map(|input| connect(&mut builder, scope, input)).collect();
    let mut heard = builder.new_input_connection(announcements, Pipeline, vec![]);
    // Data outputs follow the data inputs; the answers follow the announcements alone.
    let data: Vec<(usize, Antichain<Stamp>)> = (0..handles.len()).map(|i| (i, Antichain::from_elem(0))).collect();
    let mut ports = Vec::new();
    let mut senders = Vec::new();
    for _ in 0..L::PORTS {
        let (output, stream) = builder.new_output_connection(data.clone());
        senders.push(OutputBuilder::<_, CapacityContainerBuilder<Vec<L::Out>>>::from(output));
        ports.push(stream);
    }
    let (_applied_out, applied) = builder.new_output_connection::<Vec<()>, _>(data);
    let (answers_out, answers) = builder.new_output_connection(vec![(handles.len(), Antichain::from_elem(0))]);
    let mut answers_out = OutputBuilder::<_, CapacityContainerBuilder<Vec<Answer>>>::from(answers_out);
    let answer_port = L::PORTS + 1;
    let address = builder.operator_info().address;
    let from_elsewhere = scope.worker().sync_activator_for(address.to_vec());
    let alarm = Alarm { here: scope.activator_for(address), from_elsewhere };
    let place = (scope.index(), scope.peers());

    builder.build(move |mut capabilities| {
        capabilities.truncate(answer_port);
        let mut body = Body::new(place, keyed, capabilities, alarm);
        move |frontiers| {
            for handle in &mut handles {
                handle.for_each(|capability, records| {
                    let stamp = *capability.least().expect("records travel under a capability");
                    body.holds.lower(stamp, |port| capability.delayed(&stamp, port));
                    records.drain(..).for_each(|record| body.stash(record));
                });
            }
            heard.for_each(|capability, announcements| {
                let stamp = *capability.least().expect("the coordinator sends under a capability");
                for announcement in announcements.drain(..) {
                    let capability = || capability.delayed(&stamp, answer_port);
                    match announcement {
                        Announcement::Snapshot { at, id } => drop(body.snapshots.insert(at, (id, capability()))),
                        Announcement::Look { id, rows } => body.ask(id, rows, capability),
                        _ => {}
                    }
                }
            });
            if body.keyed.poison.is_set() {
                return;
            }
            let progressed = body.progress(frontiers);
            let Some(answers) = body.keyed.poison.clone().check(progressed) else { return };
            for (port, sender) in senders.iter_mut().enumerate() {
                let mut records = std::mem::take(&mut body.out.ports[port]);
                if let Some(capability) = body.holds.at(port).filter(|_| !records.is_empty()) {
                    sender.activate().session(capability).give_container(&mut records);
                }
            }
            body.release();
            let mut answering = answers_out.activate();
            for (capability, answer) in answers {
                answering.session(&capability).give(answer);
            }
        }
    });
    KeyedStreams { ports, applied, answers }
}

/// Connects an input, with the way its records take to their workers.
fn connect<'s, R: Record>(
    builder: &mut OperatorBuilder<'s, Stamp>,
    scope: Scope<'s, Stamp>,
    input: Input<'s, R>,
) -> InputHandleCore<Stamp, Vec<R>, impl Pull<Message<Stamp, Vec<R>>> + use<R>> {
    let (here, workers) = (scope.index() as u64, scope.peers());
    let (stream, routed) = match input {
        Input::Keyed(stream) => (stream, true),
        Input::Broadcast(stream) => (stream.broadcast(), false),
    };
    let route = move |record: &R| if routed { record.key().group.worker(workers) as u64 } else { here };
    builder.new_input_connection(stream, Exchange::new(route), vec![])
}

/// Capabilities of the data outputs, each at or before the earliest thing that may still be emitted on it.
struct Holds(Vec<Option<Capability<Stamp>>>);

impl Holds {
    /// Something at `stamp` came in: holds every port at least that early.
    fn lower(&mut self, stamp: Stamp, capability: impl Fn(usize) -> Capability<Stamp>) {
        for (port, held) in self.0.iter_mut().enumerate() {
            if held.as_ref().is_none_or(|held| *held.time() > stamp) {
                *held = Some(capability(port));
            }
        }
    }

    fn at(&self, port: usize) -> Option<&Capability<Stamp>> {
        self.0.get(port).and_then(Option::as_ref)
    }

    /// Lets go of everything before `earliest`; of all when there is nothing more to emit.
    fn release(&mut self, port: usize, earliest: Option<Stamp>) {
        match (earliest, &mut self.0[port]) {
            (Some(earliest), Some(held)) if earliest > *held.time() => held.downgrade(&earliest),
            (Some(_), _) => {}
            (None, held) => *held = None,
        }
    }
}

/// Brings the operator back when nothing has come in.
struct Alarm {
    here: Activator,
    from_elsewhere: SyncActivator,
}

/// A part of a snapshot that is being written beside the flow.
struct Parting {
    id: u64,
    /// To answer under.
    capability: Capability<Stamp>,
    /// All of it but the files.
    part: Part,
    /// These, once they are stored, or why they could not be.
    stored: Receiver<Result<Vec<StoredFile>, Error>>,
    phases: Phases,
}

impl Parting {
    fn answer(self) -> Result<(Capability<Stamp>, Answer), Error> {
        let answer = match self.stored.try_recv() {
            Ok(Ok(files)) => Answer::Part { id: self.id, part: Part { files, ..self.part } },
            Ok(Err(error @ Error::Unavailable(_))) => Answer::Failed { id: self.id, error: error.to_string() },
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(Error::Fault("a checkpoint is through and its files were not kept".to_owned())),
        };
        Ok((self.capability, answer))
    }
}

/// Stores the files of a checkpoint on a shelf. What came of it is told apart from the checkpoint: a repository that
/// does not answer costs a snapshot, and breaks nothing here.
fn keep(shelf: Arc<Mutex<Shelf>>, folder: PathBuf, id: u64) -> (Keep, Receiver<Result<Vec<StoredFile>, Error>>) {
    let (tell, stored) = channel();
    let keep: Keep = Box::new(move |files| {
        let put = shelf.lock().unwrap_or_else(PoisonError::into_inner).put(id, &folder, files);
        // Nobody waits for it when the run is over.
        let _ = tell.send(put);
        std::fs::remove_dir_all(&folder).map_err(Error::io("remove", folder))
    });
    (keep, stored)
}

/// A row that somebody wants to see.
struct Asked {
    id: u64,
    index: usize,
    row: Place,
    /// To answer under.
    capability: Capability<Stamp>,
}

/// What the operator is between activations.
struct Body<L: Logic> {
    worker: usize,
    workers: usize,
    keyed: Keyed<L>,
    stash: Stash<L::Record>,
    timers: Timers,
    holds: Holds,
    out: Outputs<L::Out>,
    /// Announced snapshots by their time, each with the capability to answer under.
    snapshots: BTreeMap<Stamp, (u64, Capability<Stamp>)>,
    parting: Option<Parting>,
    asked: Vec<Asked>,
    alarm: Alarm,
    started: bool,
}

impl<L: Logic> Body<L> {
    fn new(
        (worker, workers): (usize, usize),
        keyed: Keyed<L>,
        capabilities: Vec<Capability<Stamp>>,
        alarm: Alarm,
    ) -> Self {
        let out = Outputs { ports: (0..L::PORTS).map(|_| Vec::new()).collect(), port: L::port };
        Body {
            worker,
            workers,
            keyed,
            stash: Stash::default(),
            timers: Timers::default(),
            holds: Holds(capabilities.into_iter().map(Some).collect()),
            out,
            snapshots: BTreeMap::new(),
            parting: None,
            asked: Vec::new(),
            alarm,
            started: false,
        }
    }

    /// Puts a record by, unless the restored rows hold it already.
    fn stash(&mut self, record: L::Record) {
        let held = self.keyed.restored.is_some_and(|through| record.at().stamp() <= through);
        if !held || record.key().bytes.is_empty() {
            self.stash.push(record);
        }
    }

    /// Applies everything that the frontiers have passed, begins the snapshots that are due, and carries on the one that
    /// is under way.
    fn progress(&mut self, frontiers: &[MutableAntichain<Stamp>]) -> Result<Vec<(Capability<Stamp>, Answer)>, Error> {
        if !self.started {
            self.started = true;
            self.start()?;
        }
        let heeded = match self.keyed.faults.has(Planted::IgnoresLastInput) && frontiers.len() > 2 {
            true => [&frontiers[..frontiers.len() - 2], &frontiers[frontiers.len() - 1..]].concat(),
            false => frontiers.to_vec(),
        };
        let frontier = heeded.iter().filter_map(|input| input.frontier().first().copied()).min();
        let mut answers: Vec<_> = self.advance_part()?.into_iter().collect();
        loop {
            let early = self.keyed.faults.has(Planted::SnapshotsEarly);
            let passed = |at: &Stamp| early || frontier.is_none_or(|frontier| frontier > *at);
            let cut = self.snapshots.first_key_value().map(|(at, _)| *at).filter(passed);
            match cut.or(frontier.map_or(Some(Stamp::MAX), |frontier| frontier.checked_sub(1))) {
                Some(through) if !(early && cut.is_some()) => self.apply_through(through)?,
                _ => {}
            }
            let Some(at) = cut else { break };
            let (id, capability) = self.snapshots.remove(&at).expect("it was the first");
            answers.extend(self.finish_part()?);
            self.keyed.logic.step_done(at.checked_add(1))?;
            self.begin_part(at, id, capability)?;
        }
        self.keyed.logic.step_done(frontier)?;
        answers.extend(self.look(frontier));
        Ok(answers)
    }

    /// Notes which rows of this operator and worker somebody wants to see.
    fn ask(&mut self, id: u64, rows: Vec<Place>, capability: impl Fn() -> Capability<Stamp>) {
        for (index, row) in rows.into_iter().enumerate() {
            if row.operator == self.keyed.name && row.key().group.worker(self.workers) == self.worker {
                self.asked.push(Asked { id, index, row, capability: capability() });
            }
        }
    }

    /// Shows the rows that were asked for, now that everything before the frontier has been applied. What cannot be read
    /// is told to who asked, and breaks nothing here.
    fn look(&mut self, frontier: Option<Stamp>) -> Vec<(Capability<Stamp>, Answer)> {
        let through = frontier.map(|frontier| frontier.saturating_sub(1));
        let table = &self.keyed.table;
        let look = |Asked { id, index, row, capability }| {
            let now = through.map_or(Micros::ZERO, Micros::from_stamp);
            let seen = table.peek(row.key(), now).map(|value| Seen::new(through, value));
            (capability, Answer::Seen { id, index, seen: seen.map_err(|error| error.to_string()) })
        };
        self.asked.drain(..).map(look).collect()
    }

    fn start(&mut self) -> Result<(), Error> {
        let (clock, restored) = (Stopwatch::start(), self.keyed.restored);
        for timer in self.keyed.table.timers()? {
            self.timers.arm(timer);
        }
        let (logic, mut context) = self.context(restored.map_or(Micros::ZERO, Micros::from_stamp));
        context.rows.set_now(context.now);
        match restored {
            Some(_) => logic.restored(&mut context)?,
            None => logic.fresh(&mut context)?,
        }
        if restored.is_some() {
            self.keyed.totals.resent(clock);
        }
        if self.keyed.faults.has(Planted::SendsNothingAgain) {
            self.out.ports.iter_mut().for_each(Vec::clear);
        }
        Ok(())
    }

    fn context(&mut self, now: Micros) -> (&mut L, Context<'_, L>) {
        let Body { keyed, timers, out, .. } = self;
        let Keyed { logic, table, totals, .. } = keyed;
        (logic, Context { now, rows: table, out, timers, totals })
    }

    /// Applies records and fires timers up to and including a stamp, in order of event time.
    fn apply_through(&mut self, through: Stamp) -> Result<(), Error> {
        while let Some(records) = self.stash.take_through(through) {
            if records.len() <= STEP_RECORDS_MAX {
                self.step(records)?;
                continue;
            }
            let mut records = records.into_iter();
            loop {
                let step: Vec<L::Record> = records.by_ref().take(STEP_RECORDS_MAX).collect();
                if step.is_empty() {
                    break;
                }
                self.step(step)?;
            }
        }
        let end = Micros(Micros::from_stamp(through).0.saturating_add(1_000));
        self.fire_before(end)?;
        self.keyed.table.end_step()
    }

    fn step(&mut self, records: Vec<L::Record>) -> Result<(), Error> {
        let keys: Vec<RowKey<'_>> = records.iter().map(Record::key).filter(|key| !key.bytes.is_empty()).collect();
        self.keyed.table.prefetch(&keys)?;
        drop(keys);
        for record in records {
            self.fire_before(record.at())?;
            let (logic, mut context) = self.context(record.at());
            context.rows.set_now(record.at());
            logic.apply(record, &mut context)?;
        }
        self.keyed.table.end_step()
    }

    /// Fires the timers that are due before `at`.
    fn fire_before(&mut self, at: Micros) -> Result<(), Error> {
        while let Some(timer) = self.timers.pop_before(at) {
            let (logic, mut context) = self.context(timer.at);
            context.rows.set_now(timer.at);
            logic.fire(timer, &mut context)?;
        }
        Ok(())
    }

    /// Begins this operator's part of a snapshot. All up to `at` has been applied and nothing after it.
    fn begin_part(&mut self, at: Stamp, id: u64, capability: Capability<Stamp>) -> Result<(), Error> {
        let clock = Stopwatch::start();
        let (logic, mut context) = self.context(Micros::from_stamp(at));
        let work = logic.before_snapshot(&mut context)?;
        let keyed = &mut self.keyed;
        keyed.table.change_timers(self.timers.take_changed());
        let (keep, stored) = keep(keyed.shelf.clone(), keyed.checkpoints.clone(), id);
        let alarm = self.alarm.from_elsewhere.clone();
        let wake = move || {
            // It fails when the worker is gone; then there is nobody to wake.
            let _ = alarm.activate();
        };
        keyed.table.freeze(&keyed.checkpoints, Beside { work, keep, wake: Box::new(wake) })?;
        let part = Part {
            operator: keyed.name.clone(),
            worker: self.worker,
            files: Vec::new(),
            totals: keyed.totals.to_vec(),
            partitions: Vec::new(),
        };
        let mut phases = Phases::default();
        phases.add(Phase::Held, clock);
        self.parting = Some(Parting { id, capability, part, stored, phases });
        self.alarm.here.activate();
        Ok(())
    }

    /// Does a slice of the part under way. Returns the answer once it is durable.
    fn advance_part(&mut self) -> Result<Option<(Capability<Stamp>, Answer)>, Error> {
        match self.keyed.table.advance()? {
            Advance::Idle | Advance::Waiting => Ok(None),
            Advance::More => {
                self.alarm.here.activate();
                Ok(None)
            }
            Advance::Through(taken) => self.answer(&taken),
        }
    }

    /// Waits for the part under way, if there is one: another cut is due.
    fn finish_part(&mut self) -> Result<Option<(Capability<Stamp>, Answer)>, Error> {
        let taken = self.keyed.table.finish()?;
        taken.map_or(Ok(None), |taken| self.answer(&taken))
    }

    fn answer(&mut self, taken: &Taken) -> Result<Option<(Capability<Stamp>, Answer)>, Error> {
        let Some(mut parting) = self.parting.take() else { return Ok(None) };
        parting.phases.add_all(&taken.phases);
        self.keyed.totals.snapshot_part(&parting.phases);
        parting.answer().map(Some)
    }

    /// Lets go of the time that nothing can be emitted at any more.
    fn release(&mut self) {
        let stashed = self.stash.earliest();
        for port in 0..L::PORTS {
            let armed = self.timers.earliest(|tag| L::timer_reaches(tag, port));
            self.holds.release(port, stashed.into_iter().chain(armed).min());
        }
        self.holds.release(L::PORTS, stashed);
        self.keyed.totals.publish();
    }
}
