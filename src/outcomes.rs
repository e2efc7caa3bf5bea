//! What becomes of responses, on its way back into the dataflow: sessions that were not ended are not over, and what goes
//! on in them is to be answered again. Owned here: the thread that reads what came to rest in the ledger, and what that says
//! of sessions. On its way it throws the kill switch in wall time. Not owned here: how a record comes into the dataflow
//! (`inbox`) and what it changes there (`operators`).

use crate::holds::Holds;
use crate::inbox::{Post, forget};
use connectors::sqlite::SqliteStore;
use engine::clock::Clock;
use engine::error::Error;
use engine::ledger::{AttemptResult, Ledger, Settlement, State};
use engine::snapshot::repository::Repository;
use engine::time::Micros;
use operators::decode::control::outcome_line;
use operators::model::control::Ended;
use operators::model::id::Id;
use operators::respond::steps::{END_SESSIONS, ends_sessions_of};
use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Settlements read at once.
const PAGE: usize = 1_024;

/// How often the ledger and the clock are looked at.
const EVERY: Duration = Duration::from_millis(200);

/// The thread. It ends when this is dropped.
pub struct Outcomes {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Outcomes {
    /// Starts to read `store`, and to send what comes of it to `post`.
    ///
    /// # Errors
    /// As the store fails, or if there can be no thread for it.
    pub(crate) fn start(store: SqliteStore, repository: Repository, holds: Holds, post: Post) -> Result<Self, Error> {
        let heard = Heard { through: 0, told: store.settled_heard()?, unanswered: BTreeSet::new() };
        let mut errand = Errand { store, repository, holds, heard, post, clock: Clock::system() };
        let (stop, stopped) = channel();
        let run = move || errand.run(&stopped);
        let thread = std::thread::Builder::new()
            .name("outcomes".to_owned())
            .spawn(run)
            .map_err(|error| Error::Unavailable(format!("nobody can hear what becomes of responses: {error}")))?;
        Ok(Outcomes { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Outcomes {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has ended the process.
            let _ = thread.join();
        }
    }
}

/// What the thread works with.
struct Errand {
    store: SqliteStore,
    repository: Repository,
    holds: Holds,
    heard: Heard,
    post: Post,
    clock: Clock,
}

impl Errand {
    fn run(&mut self, stopped: &Receiver<()>) {
        loop {
            if let Err(error) = self.look() {
                tracing::warn!(target: "aerie::outcomes", "what became of responses is not known for now: {error}");
            }
            match stopped.recv_timeout(EVERY) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn look(&mut self) -> Result<(), Error> {
        let now = self.clock.now();
        self.holds.throw(&mut self.store, now)?;
        let mut any = false;
        loop {
            let page = self.store.settled_after(self.heard.through, PAGE)?;
            for settlement in &page {
                if let Some(line) = self.heard.hear(&self.store, settlement, now)? {
                    self.post.send_settled(line, settlement.seq);
                    any = true;
                }
            }
            if page.len() < PAGE {
                break;
            }
        }
        if any { forget(&mut self.store, &self.repository) } else { Ok(()) }
    }
}

/// What was heard of the ledger.
struct Heard {
    /// The last settlement that was read.
    through: u64,
    /// The last that a record was kept of, in an earlier run.
    told: u64,
    /// Orders of which it was told that sessions were not ended, as far as is known, and not that they were since.
    unanswered: BTreeSet<String>,
}

impl Heard {
    /// Hears of a settlement. Gives the record to send, if it is news.
    fn hear(&mut self, ledger: &dyn Ledger, settlement: &Settlement, now: Micros) -> Result<Option<String>, Error> {
        let id = &settlement.order;
        let ended = match unended(ledger, settlement)? {
            Some(ended) => {
                self.unanswered.insert(id.clone());
                Some(ended)
            }
            None => self.unanswered.remove(id).then_some(Ended::AfterAll),
        };
        let line = match (ended, ledger.order(id)?) {
            (Some(ended), Some(status)) if settlement.seq > self.told => ends_sessions_of(&status.order.payload)?
                .map(|(org, user)| outcome_line(&Id(id.clone()), &org, &user, ended, now)),
            _ => None,
        };
        self.through = settlement.seq;
        Ok(line)
    }
}

/// Whether sessions were not ended when an order came to rest; `None` if they were.
fn unended(ledger: &dyn Ledger, settlement: &Settlement) -> Result<Option<Ended>, Error> {
    if settlement.state == State::Done {
        return Ok(None);
    }
    let mut doubtful = settlement.state == State::Unknown;
    let Some(status) = ledger.order(&settlement.order)? else { return Ok(None) };
    let Some(ends) = status.order.steps.iter().position(|step| step == END_SESSIONS) else { return Ok(None) };
    for attempt in ledger.trail(&settlement.order)?.iter().filter(|attempt| attempt.step == ends) {
        let by_then = attempt.ended_ms.is_some_and(|ended| ended <= settlement.at_ms);
        match attempt.result {
            AttemptResult::Done if by_then => return Ok(None),
            AttemptResult::Unknown | AttemptResult::Lost => doubtful |= by_then,
            _ => {}
        }
    }
    Ok(Some(if doubtful { Ended::Unknown } else { Ended::No }))
}
