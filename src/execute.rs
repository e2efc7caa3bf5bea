//! The executor: carries out what the ledger orders, beside the dataflow and in wall time, and writes the audit log as
//! the ledger grows. Owned here: the loop and its pace. Not owned here: what a step says (`operators::respond`), and
//! that it is done once (the ledger).

mod answer;
mod audit_log;
mod tell;
mod terminate;

use crate::run::Responses;
use answer::Answer;
use audit_log::AuditLog;
use connectors::sqlite::SqliteStore;
use engine::clock::Clock;
use engine::error::Error;
use engine::fault::point;
use engine::ledger::{Claim, Entry, Ledger, Recorded, StepOutcome};
use operators::respond::steps::{Performance, perform};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use tell::Messenger;
use terminate::{Terminator, Times};

/// The audit log, a projection of the ledger's entries.
pub const AUDIT: &str = "audit.ndjson";

/// Folder of messages that no server is configured for.
pub const OUTBOX: &str = "outbox";

/// How long a claimed step belongs to this executor.
const LEASE_MS: u64 = 30_000;

/// Steps claimed at once.
const CLAIMS: usize = 64;

/// How long the executor sleeps when there is nothing to do and nobody wakes it.
const PAUSE: Duration = Duration::from_millis(200);

/// Wakes the executor, and tells it to end.
#[derive(Clone, Default)]
pub struct Signal(Arc<(Mutex<bool>, Condvar, AtomicBool)>);

impl Signal {
    /// There may be work.
    pub fn wake(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// No more work will come: what is due is done, then the executor ends.
    pub fn end(&self) {
        self.0.2.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn ended(&self) -> bool {
        self.0.2.load(Ordering::SeqCst)
    }

    fn wait(&self) {
        let woken = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut woken, _) =
            self.0.1.wait_timeout_while(woken, PAUSE, |woken| !*woken).unwrap_or_else(PoisonError::into_inner);
        *woken = false;
    }
}

/// Carries out orders of one ledger into one data directory.
pub struct Executor {
    ledger: SqliteStore,
    terminator: Terminator,
    messenger: Messenger,
    audit: AuditLog,
    responses: Arc<Responses>,
    clock: Clock,
}

impl Executor {
    /// An executor that acts for `generation`.
    pub fn open(ledger: &Path, generation: u64, job: &config::Job, responses: Arc<Responses>) -> Result<Self, Error> {
        let mut ledger = SqliteStore::open(ledger)?;
        ledger.claim_generation(generation)?;
        let audit = AuditLog::open(job.data_dir.join(AUDIT), &ledger)?;
        let terminator = Terminator::open(&job.sessions, responses.clone())?;
        let messenger = Messenger::open(job, responses.clone())?;
        Ok(Executor { ledger, terminator, messenger, audit, responses, clock: Clock::system() })
    }

    /// Works until it is told to end, or something is broken.
    pub fn run(&mut self, signal: &Signal) -> Result<(), Error> {
        loop {
            let ending = signal.ended();
            let worked = self.work()?;
            self.audit.project(&self.ledger)?;
            self.responses.open.store(self.ledger.open_orders()?, Ordering::Relaxed);
            if !worked && ending {
                return self.audit.sync();
            }
            if !worked {
                signal.wait();
            }
        }
    }

    /// Does what is due; whether there was anything.
    fn work(&mut self) -> Result<bool, Error> {
        let claims = self.ledger.claim(self.now_ms(), LEASE_MS, CLAIMS)?;
        for claim in &claims {
            point("execute.claimed")?;
            let (outcome, entries) = self.attempt(claim);
            point("execute.attempted")?;
            let recorded = self.ledger.record(claim, &outcome, &entries, self.now_ms())?;
            // A step whose lease was lost belongs to whoever holds it now, and is counted there.
            let failed = !matches!(outcome, StepOutcome::Done { .. } | StepOutcome::Postponed { .. });
            if recorded == Recorded::Applied && failed {
                self.responses.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(!claims.is_empty())
    }

    fn attempt(&mut self, claim: &Claim) -> (StepOutcome, Vec<Entry>) {
        let performed = perform(claim.step_name(), &claim.order.payload, &claim.details).and_then(|step| match step {
            Performance::EndSessions(call) => {
                let times = Times::of(claim, self.now_ms());
                Ok((self.terminator.end(&mut self.ledger, &call, times)?, Vec::new()))
            }
            Performance::Entry(entry) => Ok((Answer::Done { detail: None }, vec![entry])),
            Performance::Mail(mail) => Ok((self.messenger.mail(&mail)?, Vec::new())),
            Performance::Dm(dm) => {
                let times = Times::of(claim, self.now_ms());
                Ok((self.messenger.dm(&dm, times)?, Vec::new()))
            }
        });
        let (answer, entries) = performed.unwrap_or_else(|error| {
            let text = error.to_string();
            let answer = match error {
                Error::Corrupt(_) => Answer::Refused { error: text },
                _ => Answer::NotDone { error: text, retry_after: None },
            };
            (answer, Vec::new())
        });
        (answer.outcome(claim, self.now_ms()), entries)
    }

    fn now_ms(&self) -> u64 {
        self.clock.now().0 / 1_000
    }
}
