//! What becomes of what is posted: events go to the inbox of who posts them, control records to that of the job.

use super::producers::Producer;
use super::{Figures, Inboxes};
use crate::inbox::{Post, forget};
use crate::input::partition_name;
use crate::run::Watch;
use connectors::inbox::{Cutter, Inbox};
use connectors::intake::{Answer, Outcome, Posted, Taker};
use connectors::store::Store;
use engine::clock::Stopwatch;
use engine::error::Error;
use engine::snapshot::repository::Repository;
use operators::decode::control::{ControlProblem, parse_control_file};
use operators::model::control::ControlRecord;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where is posted to.
pub(super) const PATHS: &[&str] = &["/ingest/events", "/ingest/control"];

/// The index of the path of events.
const EVENTS: usize = 0;

/// How long a control record may take to be kept: the job takes them in each time that its horizon moves.
const KEEP_TIMEOUT: Duration = Duration::from_secs(30);

/// How often it is looked whether the job stops meanwhile.
const LOOK: Duration = Duration::from_millis(100);

/// What stands for a file's name in problems of control records.
const BODY: &str = "line";

/// After so many control records it is looked which of those that are kept nobody needs any more.
const FORGET_AFTER: usize = 1_000;

/// One who may post, and where it goes.
struct Line {
    producer: Producer,
    partition: String,
    inbox: Arc<Inbox>,
}

/// Takes what is posted.
pub(super) struct Taking {
    lines: Vec<Line>,
    inboxes: Arc<Inboxes>,
    max_ahead: u64,
    post: Post,
    watch: Watch,
    /// Where control records are kept, and how many have come since it was tidied.
    keeping: Mutex<(Store, Repository, usize)>,
}

impl Taking {
    pub(super) fn new(
        producers: Vec<Producer>,
        inboxes: &Arc<Inboxes>,
        max_ahead: u64,
        post: Post,
        watch: &Watch,
        (store, repository): (Store, Repository),
    ) -> Result<Self, Error> {
        let line = |producer: Producer| {
            let partition = partition_name(&producer.name);
            Ok(Line { inbox: inboxes.of(&partition)?, partition, producer })
        };
        Ok(Taking {
            lines: producers.into_iter().map(line).collect::<Result<_, Error>>()?,
            inboxes: inboxes.clone(),
            max_ahead,
            post,
            watch: watch.clone(),
            keeping: Mutex::new((store, repository, 0)),
        })
    }

    fn is_stopping(&self) -> bool {
        self.watch.stop.load(Ordering::SeqCst)
    }

    fn events(&self, line: &Line, body: &[u8]) -> Answer {
        let (mut cutter, mut lines) = (Cutter::default(), Vec::with_capacity(body.len() + 1));
        cutter.push(body, &mut lines);
        cutter.end(&mut lines);
        match line.inbox.append(&lines) {
            Ok(()) => {
                self.figures().events.fetch_add(cutter.count(), Ordering::Relaxed);
                Answer::accepted(cutter.count())
            }
            Err(error) => {
                tracing::error!(target: "aerie::ingest", "what was posted could not be kept: {error}");
                Answer::refused(Outcome::Failed, "it could not be kept; the log of the job says why")
            }
        }
    }

    fn control(&self, line: &Line, body: &[u8]) -> Answer {
        let records = match parse_control_file(BODY, body, 0) {
            Ok(records) => records,
            Err(problems) => {
                let problems = problems.iter().map(ControlProblem::to_string).collect();
                return Answer::problems(Outcome::Invalid, "nothing was taken: there are bad lines", problems);
            }
        };
        let stranger = |record: &&ControlRecord| !line.producer.may_speak_for(&record.org);
        if let Some(record) = records.iter().find(stranger) {
            let (number, org) = (record.position + 1, &record.org);
            let why =
                format!("nothing was taken: line {number} is of the org {org:?}, which the token does not speak for");
            return Answer::refused(Outcome::Forbidden, why);
        }
        let text = String::from_utf8_lossy(body);
        let all: Vec<&str> = text.strip_prefix('\u{feff}').unwrap_or(&text).split('\n').map(str::trim).collect();
        let lines: Vec<String> =
            records.iter().filter_map(|record| Some((*all.get(record.position as usize)?).to_owned())).collect();
        self.keep(lines)
    }

    /// Sends control records on their way, and waits until they are kept.
    fn keep(&self, lines: Vec<String>) -> Answer {
        let count = lines.len();
        if count == 0 {
            return Answer::accepted(0);
        }
        let (kept, waiting) = (self.post.send_all(lines), Stopwatch::start());
        loop {
            match kept.recv_timeout(LOOK) {
                Ok(()) => break,
                Err(RecvTimeoutError::Timeout) if waiting.elapsed() < KEEP_TIMEOUT && !self.is_stopping() => {}
                Err(_) => {
                    let why = "they are not kept by now, and may be later; post them again";
                    let outcome = if self.is_stopping() { Outcome::Stopping } else { Outcome::Failed };
                    return Answer::refused(outcome, why);
                }
            }
        }
        self.figures().control.fetch_add(count as u64, Ordering::Relaxed);
        self.tidy(count);
        Answer::accepted(count as u64)
    }

    fn tidy(&self, count: usize) {
        let mut keeping = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        let (store, repository, since) = &mut *keeping;
        *since += count;
        if *since >= FORGET_AFTER {
            *since = 0;
            // What is kept for too long does no harm, and goes the next time.
            if let Err(error) = forget(store, repository) {
                tracing::warn!(target: "aerie::ingest", "old control records were not removed: {error}");
            }
        }
    }

    fn figures(&self) -> &Figures {
        &self.watch.ingest
    }
}

impl Taker for Taking {
    fn refuses(&self, path: usize, bearer: usize) -> Option<Answer> {
        if self.is_stopping() {
            return Some(Answer::refused(Outcome::Stopping, "the job stops"));
        }
        let line = &self.lines[bearer];
        if path == EVENTS && self.inboxes.ahead_of(&line.partition, &self.watch.status) >= self.max_ahead {
            let why = "the job has not read yet what was posted before; try again";
            return Some(Answer::refused(Outcome::Busy, why));
        }
        None
    }

    fn take(&self, posted: Posted) -> Answer {
        let Posted { path, bearer, body } = posted;
        let line = &self.lines[bearer];
        match path {
            EVENTS => self.events(line, &body),
            _ => self.control(line, &body),
        }
    }
}
