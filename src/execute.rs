//! The executor: carries out what the ledger orders, beside the dataflow and in wall time, and writes the audit log as
//! the ledger grows. Owned here: who works on what, and the pace. Not owned here: one attempt (`execute/hand`), what a
//! step says (`operators::respond`), and that it is done once (the ledger).

mod answer;
mod audit_log;
mod figures;
mod hand;
mod rest;
mod tell;
mod terminate;

pub use figures::{OUTCOMES, Responses};

use crate::run::Watch;
use crate::store::StorePlace;
use audit_log::AuditLog;
use connectors::store::Store;
use engine::clock::Clock;
use engine::error::Error;
use engine::ledger::{Ledger, State};
use hand::{Hand, Rules};
use operators::respond::steps::{DM, END_SESSIONS, LANES, MAIL};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tell::Messenger;
use terminate::Terminator;

/// The audit log, a projection of the ledger's entries.
pub const AUDIT: &str = "audit.ndjson";

/// Folder of messages that no server is configured for.
pub const OUTBOX: &str = "outbox";

/// How long somebody sleeps who has nothing to do and whom nobody wakes.
const PAUSE: Duration = Duration::from_millis(200);

/// Steps claimed at once where each takes no time; of one group as many as there are.
const CLAIMS_HERE: usize = 64;

/// Threads for each lane whose steps are done by somebody else, who may take long. Each claims one step at a time, and
/// half of them at most work for one group, so that one receiver that hangs leaves room for the others.
const HANDS_OUTSIDE: usize = 4;

/// Wakes who carries out responses, and tells them to end.
#[derive(Clone, Default)]
pub struct Signal(Arc<(Mutex<u64>, Condvar, AtomicBool)>);

impl Signal {
    /// There may be work.
    pub fn wake(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.1.notify_all();
    }

    /// What is being done is done, nothing else is begun, and the executor ends. What is due stays in the ledger: with a
    /// receiver that hangs it could take hours.
    pub fn end(&self) {
        self.0.2.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn ended(&self) -> bool {
        self.0.2.load(Ordering::SeqCst)
    }

    /// How often it was woken.
    fn heard(&self) -> u64 {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is woken once more than so often.
    fn wait(&self, heard: u64) {
        let woken = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever woke it is heard of by the next look.
        drop(self.0.1.wait_timeout_while(woken, PAUSE, |woken| *woken == heard));
    }
}

/// Carries out orders of one ledger into one data directory.
pub struct Executor {
    ledger: Store,
    audit: AuditLog,
    hands: Vec<Hand>,
    responses: Arc<Responses>,
    clock: Clock,
}

impl Executor {
    /// An executor that acts for `generation`.
    pub fn open(place: &StorePlace, generation: u64, job: &config::Job, watch: &Watch) -> Result<Self, Error> {
        Executor::with(place, generation, job, watch, |lane| is_done_here(job, lane))
    }

    /// [`Executor::open`], where only these lanes are taken to be done here.
    fn with(
        place: &StorePlace,
        generation: u64,
        job: &config::Job,
        watch: &Watch,
        here: impl Fn(&str) -> bool,
    ) -> Result<Self, Error> {
        let ledger = place.open_as(generation)?;
        let audit = AuditLog::open(job.data_dir.join(AUDIT), &ledger)?;
        let terminator = Arc::new(Terminator::open(&job.sessions, watch.responses.clone())?);
        let messenger = Arc::new(Messenger::open(job, watch.responses.clone())?);
        let rules = Rules::of(job);
        let hand = |lanes: Vec<&'static str>, claims, per_group| {
            Ok::<_, Error>(Hand {
                ledger: place.open_as(generation)?,
                lanes,
                claims,
                per_group,
                terminator: terminator.clone(),
                messenger: messenger.clone(),
                rules,
                responses: watch.responses.clone(),
                clock: Clock::system(),
            })
        };
        let (here, outside): (Vec<&str>, Vec<&str>) = LANES.into_iter().partition(|lane| here(lane));
        let mut hands = vec![hand(here, CLAIMS_HERE, usize::MAX)?];
        for lane in outside {
            for _ in 0..HANDS_OUTSIDE {
                hands.push(hand(vec![lane], 1, HANDS_OUTSIDE / 2)?);
            }
        }
        Ok(Executor { ledger, audit, hands, responses: watch.responses.clone(), clock: Clock::system() })
    }

    /// Works until it is told to end, or something is broken.
    pub fn run(&mut self, signal: &Signal) -> Result<(), Error> {
        let Executor { ledger, audit, hands, responses, clock } = self;
        thread::scope(|scope| {
            let work = |hand| {
                scope.spawn(|| {
                    let done = Hand::run(hand, signal);
                    // One that is broken takes the others along; they are woken to look at the end as well.
                    if done.is_err() {
                        signal.end()
                    } else {
                        signal.wake()
                    }
                    done
                })
            };
            let working: Vec<_> = hands.iter_mut().map(work).collect();
            let mut watched = Ok(());
            loop {
                let (heard, over) = (signal.heard(), working.iter().all(|hand| hand.is_finished()));
                watched = watched.and_then(|()| {
                    audit.project(ledger)?;
                    look(ledger, responses, clock.now().0)
                });
                if over {
                    break;
                }
                match &watched {
                    Ok(()) => signal.wait(heard),
                    Err(_) if signal.ended() => break,
                    Err(_) => signal.end(),
                }
            }
            for hand in working {
                hand.join().unwrap_or_else(|_| Err(Error::Fault("who carries out responses panicked".to_owned())))?;
            }
            watched
        })?;
        self.audit.project(&self.ledger)?;
        self.audit.sync()
    }
}

/// Whether the steps of a lane are done within this process and its data directory, in no time.
fn is_done_here(job: &config::Job, lane: &str) -> bool {
    match lane {
        END_SESSIONS => job.sessions == config::Sessions::Local,
        MAIL => job.mail.is_none(),
        DM => job.chat.is_none(),
        _ => true,
    }
}

/// Takes down how the orders stand; `now` is in microseconds.
fn look(ledger: &Store, responses: &Responses, now: u64) -> Result<(), Error> {
    let oldest = ledger.oldest_open()?;
    responses.open.store(ledger.open_orders()?, Ordering::Relaxed);
    responses.held.store(ledger.held_orders()?, Ordering::Relaxed);
    responses.oldest_ms.store(oldest.map_or(0, |at| now.saturating_sub(at.0) / 1_000), Ordering::Relaxed);
    for (state, count) in State::ALL.into_iter().zip(&responses.states).filter(|(state, _)| *state != State::Done) {
        count.store(ledger.count(state)?, Ordering::Relaxed);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
