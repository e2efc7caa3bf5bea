//! What the coordinator decides: how far the horizon moves, when a snapshot is due and when it exists, how a job
//! stops. No timely here: frontiers and answers in, steps out.

use super::message::{Activity, Announcement, Answer, Part, Progress};
use crate::clock::{Clock, Stopwatch};
use crate::error::Error;
use crate::fault::Poison;
use crate::limits::{HORIZON_LEAD_MAX, HORIZON_LEAD_MIN, LEAD_MAX, LEAD_RECORDS_MAX};
use crate::metrics::Status;
use crate::snapshot::manifest::{Cut, Job, Manifest};
use crate::snapshot::publisher::Publisher;
use crate::snapshot::repository::Repository;
use crate::source::Partition;
use crate::source::journal::Journal;
use crate::time::{Micros, Span, Stamp};
use crate::window::Question;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long event time is measured over to choose the next lead of the horizon.
const PACE_OVER: Duration = Duration::from_millis(200);

/// How often idle partitions are told to follow.
const IDLE_EVERY: Span = Span::from_secs(1);

/// What a conductor is built with.
pub struct Score {
    /// What the job is.
    pub job: Job,
    /// Names of all operators that answer to snapshots, sources included.
    pub operators: BTreeSet<String>,
    /// Where snapshots go.
    pub repository: Repository,
    /// How many snapshots are kept.
    pub keep: usize,
    /// Cut back when older ones go.
    pub journal: Arc<Mutex<dyn Journal>>,
    /// How long to wait from one snapshot to the next.
    pub every: Duration,
    /// The generation that this run is.
    pub generation: u64,
    /// Number of the next snapshot to be published, and the first under which one is asked for.
    pub next_id: u64,
    /// The cut that the job was restored to.
    pub restored: Option<Stamp>,
    /// What is read; they hear of snapshots.
    pub partitions: Vec<Arc<dyn Partition>>,
    /// Whether any partition is live.
    pub live: bool,
    /// By how much event time stays behind where it runs on to when all partitions are idle.
    pub max_delay: Span,
    /// Paces; never decides what time a record has.
    pub clock: Clock,
    /// Set from outside when the job is to stop.
    pub stop: Arc<AtomicBool>,
    /// Stops the run.
    pub poison: Poison,
    /// Where progress is shown.
    pub status: Status,
}

/// What is to be done with the coordinator's capability and output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this under the present capability.
    Announce(Announcement),
    /// Let go of everything before this.
    Release(Stamp),
    /// Send this at the end of time and let go of everything.
    AnnounceLast(Announcement),
}

/// Decides; see the module.
pub struct Conductor {
    score: Score,
    publisher: Publisher,
    phase: Phase,
    horizon: Stamp,
    read_to: Stamp,
    lead: Stamp,
    pace: Pace,
    ahead: Ahead,
    since_snapshot: Stopwatch,
    last_cut: Option<Stamp>,
    outstanding: Option<Outstanding>,
    partitions: BTreeMap<u32, Reported>,
    /// When idle partitions were last told to follow.
    idle_told: Span,
    stopped: BTreeMap<usize, Option<Stamp>>,
    /// Why the outstanding snapshot will not be.
    failed: Option<String>,
    /// Questions about rows that are not settled, by number, and the number of the next.
    asked: BTreeMap<u64, Question>,
    next_question: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Running,
    /// Sources were told to stop.
    Stopping,
    /// The last snapshot before leaving was asked for.
    Draining,
    /// The input has ended and the complete snapshot was asked for.
    Ending,
    Done,
}

/// A snapshot that was asked for and does not exist yet.
struct Outstanding {
    id: u64,
    at: Stamp,
    complete: bool,
    parts: BTreeMap<(String, usize), Part>,
    since: Stopwatch,
    /// All parts are there and the manifest is being written.
    publishing: bool,
}

/// What is known of a partition.
struct Reported {
    progress: Progress,
    /// The time that it had come to when it last moved by itself, and when that was.
    reached: Micros,
    since: Span,
}

/// How fast event time runs.
struct Pace {
    since: Stopwatch,
    from: Option<Stamp>,
}

impl Conductor {
    /// Starts conducting.
    pub fn new(score: Score) -> Self {
        let horizon = score.restored.map_or(1, |at| at.saturating_add(1));
        let last_cut = score.restored;
        Conductor {
            publisher: Publisher::start(score.repository.clone(), score.journal.clone(), score.next_id, score.keep),
            score,
            phase: Phase::Starting,
            horizon,
            read_to: horizon,
            lead: HORIZON_LEAD_MIN,
            pace: Pace { since: Stopwatch::start(), from: None },
            ahead: Ahead::default(),
            since_snapshot: Stopwatch::start(),
            last_cut,
            outstanding: None,
            partitions: BTreeMap::new(),
            idle_told: Span(0),
            stopped: BTreeMap::new(),
            failed: None,
            asked: BTreeMap::new(),
            next_question: 0,
        }
    }

    /// Whether there is nothing left to decide.
    pub fn done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Takes in reports and answers.
    pub fn hear(&mut self, reports: Vec<Progress>, answers: Vec<Answer>) {
        let now = self.score.clock.passed();
        for report in reports {
            self.score.status.report(report);
            self.partitions.entry(report.partition).or_insert_with(|| Reported::new(report, now)).hear(report, now);
        }
        for answer in answers {
            match answer {
                Answer::Part { id, part } => {
                    if let Some(outstanding) = self.outstanding.as_mut().filter(|outstanding| outstanding.id == id) {
                        outstanding.parts.insert((part.operator.clone(), part.worker), part);
                    }
                }
                Answer::Failed { id, error } => {
                    if self.outstanding.as_ref().is_some_and(|outstanding| outstanding.id == id) {
                        self.failed = Some(error);
                    }
                }
                Answer::Seen { id, index, seen } => {
                    if self.asked.get_mut(&id).is_some_and(|question| question.hear(index, seen)) {
                        self.asked.remove(&id);
                    }
                }
                Answer::Stopped { worker, lowest } => {
                    self.stopped.insert(worker, lowest);
                }
            }
        }
    }

    /// Decides what to do now. `sources` is the frontier of the sources alone, `applied` what the last operator may
    /// still emit; `None` when they have ended.
    pub fn conduct(&mut self, sources: Option<Stamp>, applied: Option<Stamp>) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.score.poison.is_set() {
            return steps;
        }
        self.look(&mut steps);
        let result = self.decide(sources, applied, &mut steps);
        self.score.poison.clone().check(result);
        steps
    }

    fn decide(&mut self, sources: Option<Stamp>, applied: Option<Stamp>, steps: &mut Vec<Step>) -> Result<(), Error> {
        let published = self.publish_if_whole()?;
        self.give_up_if_failed()?;
        if self.phase == Phase::Starting {
            // A snapshot before the first record: a crash right at the start cannot lose where reading began.
            if self.score.restored.is_none() {
                self.ask(0, false, steps);
            }
            steps.push(Step::Release(self.horizon));
            self.phase = Phase::Running;
            return Ok(());
        }
        if self.phase == Phase::Running && self.outstanding.as_ref().is_some_and(|outstanding| outstanding.at == 0) {
            // Nothing is applied before the first snapshot exists, so whatever was issued has one to go on from.
            return Ok(());
        }
        match (self.phase, sources) {
            (Phase::Running, None) => {
                self.outstanding = None;
                // What is known beforehand goes out while the horizon still stands: the last records may be far beyond it.
                let (read_to, sources) = (self.read_to, self.horizon);
                steps.push(Step::Announce(Announcement::Advance {
                    horizon: Stamp::MAX,
                    read_to,
                    sources,
                    idle_to: None,
                }));
                let id = self.begin(Stamp::MAX, true);
                steps.push(Step::AnnounceLast(Announcement::Snapshot { at: Stamp::MAX, id }));
                self.phase = Phase::Ending;
            }
            (Phase::Running, Some(_)) if self.score.stop.load(Ordering::SeqCst) => {
                steps.push(Step::Announce(Announcement::Stop));
                self.phase = Phase::Stopping;
            }
            (Phase::Running, Some(sources)) => self.advance(sources, applied, steps)?,
            (Phase::Stopping, _) if self.stopped.len() == self.score.job.workers => self.drain(steps)?,
            (Phase::Draining, _) if published => {
                steps.push(Step::Announce(Announcement::Leave));
                self.phase = Phase::Done;
            }
            (Phase::Ending, _) if published => self.phase = Phase::Done,
            _ => {}
        }
        Ok(())
    }

    /// Passes on what is asked from outside. While nothing runs, or no more, whoever asks is hung up on.
    fn look(&mut self, steps: &mut Vec<Step>) {
        let questions = self.score.status.window().take();
        if self.phase != Phase::Running {
            self.asked.clear();
            return;
        }
        for question in questions {
            let id = self.next_question;
            self.next_question += 1;
            steps.push(Step::Announce(Announcement::Look { id, rows: question.rows.clone() }));
            self.asked.insert(id, question);
        }
    }

    /// Moves the horizon when the sources come near it, and asks for a snapshot when one is due.
    fn advance(&mut self, sources: Stamp, applied: Option<Stamp>, steps: &mut Vec<Step>) -> Result<(), Error> {
        self.score.status.set_frontiers(sources, applied.unwrap_or(sources));
        self.score.status.set_horizon(self.horizon);
        self.lead = self.pace.lead(sources).unwrap_or(self.lead);
        let near = |limit: Stamp, lead: Stamp| sources.saturating_add(lead / 2) >= limit;
        let ahead = if self.score.live { HORIZON_LEAD_MIN } else { self.lead };
        let snapshot = self.snapshot_due(sources);
        let mut horizon = self.horizon;
        if near(horizon, ahead) || snapshot {
            horizon = horizon.max(sources.saturating_add(ahead)).max(self.horizon.saturating_add(u64::from(snapshot)));
        }
        let received = self.partitions.values().map(|reported| reported.progress.received).sum();
        let crowded = self.ahead.records(sources, applied, received) > LEAD_RECORDS_MAX * self.score.job.workers as u64;
        let most = if crowded { HORIZON_LEAD_MIN } else { LEAD_MAX };
        let wanted = horizon.max(sources.saturating_add(self.lead));
        let read_to = wanted.min(applied.unwrap_or(horizon).saturating_add(most)).max(self.read_to);
        let idle_to = self.idle_to();
        let reads_on = read_to > self.read_to && near(self.read_to, self.lead);
        if horizon == self.horizon && !reads_on && idle_to.is_none() {
            return Ok(());
        }
        if snapshot {
            self.ask(self.horizon, false, steps);
        }
        steps.push(Step::Announce(Announcement::Advance { horizon, read_to, sources, idle_to }));
        if horizon > self.horizon {
            steps.push(Step::Release(horizon));
        }
        (self.horizon, self.read_to) = (horizon, read_to);
        Ok(())
    }

    /// A snapshot is due when the time is up, none is under way, and something has moved since the last.
    fn snapshot_due(&self, sources: Stamp) -> bool {
        self.outstanding.is_none()
            && self.since_snapshot.elapsed() >= self.score.every
            && self.last_cut.is_none_or(|cut| sources > cut && self.horizon > cut)
    }

    /// All sources have stopped: what they have passed is applied, kept, and left.
    fn drain(&mut self, steps: &mut Vec<Step>) -> Result<(), Error> {
        self.outstanding = None;
        let lowest = self.stopped.values().copied().flatten().min();
        let cut = lowest.and_then(|lowest| lowest.checked_sub(1));
        let Some(cut) = cut.filter(|cut| self.last_cut.is_none_or(|last| *cut > last)) else {
            // Nothing was passed since the snapshot that there is.
            steps.push(Step::Announce(Announcement::Leave));
            self.phase = Phase::Done;
            return Ok(());
        };
        let horizon = self.horizon.max(cut.saturating_add(1));
        let advance = Announcement::Advance { horizon, read_to: self.read_to, sources: cut, idle_to: None };
        steps.push(Step::Announce(advance));
        steps.push(Step::Release(horizon));
        self.horizon = horizon;
        self.ask(cut, false, steps);
        self.phase = Phase::Draining;
        Ok(())
    }

    fn ask(&mut self, at: Stamp, complete: bool, steps: &mut Vec<Step>) {
        let id = self.begin(at, complete);
        steps.push(Step::Announce(Announcement::Snapshot { at, id }));
    }

    fn begin(&mut self, at: Stamp, complete: bool) -> u64 {
        let id = self.score.next_id;
        self.score.next_id += 1;
        let (parts, since) = (BTreeMap::new(), Stopwatch::start());
        self.outstanding = Some(Outstanding { id, at, complete, parts, since, publishing: false });
        id
    }

    /// Has the outstanding snapshot published once all its parts are there; whether it is by now.
    fn publish_if_whole(&mut self) -> Result<bool, Error> {
        let expected = self.score.operators.len() * self.score.job.workers;
        let whole = |outstanding: &&mut Outstanding| !outstanding.publishing && outstanding.parts.len() == expected;
        if let Some(outstanding) = self.outstanding.as_mut().filter(whole) {
            let Outstanding { id, at, complete, .. } = *outstanding;
            let parts = std::mem::take(&mut outstanding.parts).into_values();
            outstanding.publishing = true;
            let cut = Cut { id, generation: self.score.generation, at, complete };
            self.publisher.publish(id, Manifest::of(cut, &self.score.job, parts));
        }
        let Some((id, published)) = self.publisher.poll()? else { return Ok(false) };
        let published = match published {
            Ok(published) => published,
            Err(Error::Unavailable(error)) => {
                if self.outstanding.as_ref().is_some_and(|outstanding| outstanding.id == id) {
                    self.failed = Some(error);
                }
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        // One that was given up meanwhile is a snapshot all the same.
        let at = published.manifest.at;
        self.last_cut = Some(at);
        for partition in &self.score.partitions {
            let state = published.manifest.partitions.get(partition.name());
            partition.kept(state.map_or(0, |state| state.position));
        }
        self.since_snapshot = Stopwatch::start();
        let awaited = self.outstanding.take_if(|outstanding| outstanding.id == id);
        let since = awaited.as_ref().map_or(Duration::ZERO, |outstanding| outstanding.since.elapsed());
        self.score.status.snapshot_published(&published, since);
        Ok(awaited.is_some())
    }

    /// Goes on without the outstanding snapshot if a part of it could not be stored; the next one is due as usual. A
    /// job does not start without its first snapshot, and does not end without its last.
    fn give_up_if_failed(&mut self) -> Result<(), Error> {
        let Some(error) = self.failed.take() else { return Ok(()) };
        let Some(Outstanding { id, .. }) = self.outstanding.take() else { return Ok(()) };
        self.since_snapshot = Stopwatch::start();
        self.score.status.snapshot_failed(&error);
        // Once it is stopping, a last one is still to be asked for.
        if matches!(self.phase, Phase::Running | Phase::Stopping) && self.last_cut.is_some() {
            tracing::warn!(target: "engine::snapshot", "snapshot {id} failed, the job goes on: {error}");
            return Ok(());
        }
        Err(Error::Unavailable(error))
    }

    /// To where idle partitions follow, when it is time to tell them: the slowest active watermark; when all are idle,
    /// event time runs on at the wall's rate from where it was, less the allowed delay, never past the wall clock.
    fn idle_to(&mut self) -> Option<Micros> {
        let now = self.score.clock.passed();
        let idle = self.partitions.values().any(|reported| reported.progress.activity == Activity::Idle);
        if !idle || now.less(self.idle_told) < IDLE_EVERY {
            return None;
        }
        self.idle_told = now;
        let going = self.partitions.values().filter(|reported| reported.progress.activity != Activity::Ended);
        let active = going.clone().filter(|reported| reported.progress.activity == Activity::Active);
        if let Some(slowest) = active.map(|reported| reported.progress.watermark).min() {
            return Some(slowest);
        }
        let begun = going.filter(|reported| reported.reached > Micros::ZERO);
        let furthest = begun.map(|reported| reported.runs_on(now)).max()?;
        Some(furthest.minus(self.score.max_delay).min(self.score.clock.now()))
    }
}

impl Reported {
    fn new(progress: Progress, now: Span) -> Self {
        Reported { progress, reached: progress.newest.max(progress.watermark), since: now }
    }

    /// Takes in a report. A watermark that only follows is no move by itself, but one beyond what is known here comes
    /// from the journal: it had run on so far before a restart.
    fn hear(&mut self, progress: Progress, now: Span) {
        if progress.newest != self.progress.newest || progress.watermark > self.runs_on(now) {
            *self = Reported::new(progress, now);
        }
        self.progress = progress;
    }

    /// Where its time would be by now if it ran at the wall's rate.
    fn runs_on(&self, now: Span) -> Micros {
        self.reached.plus(now.less(self.since))
    }
}

/// How many records the sources have read that the last operator has not passed.
#[derive(Default)]
struct Ahead {
    /// Where the sources' frontier was, and how many records they had read by then, ascending in both.
    marks: VecDeque<(Stamp, u64)>,
    /// Records read when the sources were where the last operator is now.
    passed: u64,
}

impl Ahead {
    /// The number, too low by what was read beyond the frontier at the mark: at most a lead of the horizon.
    fn records(&mut self, sources: Stamp, applied: Option<Stamp>, received: u64) -> u64 {
        if self.marks.back().is_none_or(|(at, _)| *at < sources) {
            self.marks.push_back((sources, received));
        }
        while let Some((at, records)) = self.marks.front()
            && applied.is_none_or(|applied| *at <= applied)
        {
            self.passed = *records;
            self.marks.pop_front();
        }
        received - self.passed.min(received)
    }
}

impl Pace {
    /// The event time that was covered lately, as the next lead; `None` before there is a new measurement.
    fn lead(&mut self, sources: Stamp) -> Option<Stamp> {
        let Some(from) = self.from else {
            *self = Pace { since: Stopwatch::start(), from: Some(sources) };
            return None;
        };
        let elapsed = self.since.elapsed();
        let covered = sources.saturating_sub(from);
        if elapsed < PACE_OVER && covered < HORIZON_LEAD_MAX {
            return None;
        }
        *self = Pace { since: Stopwatch::start(), from: Some(sources) };
        let pace = u128::from(covered) * PACE_OVER.as_micros() / elapsed.as_micros().max(1);
        Some((pace.min(u128::from(HORIZON_LEAD_MAX)) as Stamp).clamp(HORIZON_LEAD_MIN, HORIZON_LEAD_MAX))
    }
}

#[cfg(test)]
mod tests;
