//! How a job stops when something is broken: the first error poisons the run, every worker sees it and leaves, and
//! nothing more goes out. Also the faults that tests plant to show that they would be noticed, and the points at which
//! they make a run fail, panic or die to show that nothing comes of it.

use crate::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The first error of a run, shared by its workers.
#[derive(Clone, Default)]
pub struct Poison {
    set: Arc<AtomicBool>,
    error: Arc<Mutex<Option<Error>>>,
}

impl Poison {
    /// Stops the run because of `error`. Later errors are consequences and are dropped.
    pub fn set(&self, error: Error) {
        let mut first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            *first = Some(error);
        }
        self.set.store(true, Ordering::SeqCst);
    }

    /// Whether the run is to stop.
    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::SeqCst)
    }

    /// The error, once.
    pub fn take(&self) -> Option<Error> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The value, or poison and nothing.
    pub fn check<T>(&self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.set(error)).ok()
    }
}

/// A place at which a write, sync, rename, publication, commit or effect may fail, or the process may die. Does nothing
/// without the feature `fault-points`; with it, `FAILPOINTS=name=2*off->1*return(error)` in the environment makes the
/// third pass fail, `return(kill)` ends the process there and then, as `kill -9` would, `panic` panics, `return(pass)`
/// only tells, and `return(stall)` goes on after a second.
///
/// # Errors
/// [`Error::Unavailable`], when a test says so.
#[inline]
pub fn point(name: &str) -> Result<(), Error> {
    #[cfg(feature = "fault-points")]
    fail::fail_point!(name, |action| {
        tracing::warn!(target: "engine::fault", "fault point {name} fired: {action:?}");
        match action.as_deref() {
            // No buffer is flushed and nothing is dropped.
            Some("kill") => std::process::abort(),
            Some("pass") => return Ok(()),
            Some("stall") => {
                crate::clock::pause(std::time::Duration::from_secs(1));
                return Ok(());
            }
            _ => {}
        }
        Err(Error::Unavailable(format!("a fault was asked for at {name}")))
    });
    let _ = name;
    Ok(())
}

/// Reads from the environment which points are to fire. Called once, before anything else.
pub fn arm_points() {
    #[cfg(feature = "fault-points")]
    std::mem::forget(fail::FailScenario::setup());
}

/// Mistakes that the engine's tests plant, each of which they must notice. Compiled out without the feature
/// `planted-faults`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// A keyed operator does not wait for the frontier of its last data input.
    IgnoresLastInput,
    /// Nothing is sent again after a restore.
    SendsNothingAgain,
    /// A snapshot is taken when it is announced, not when the frontier has passed it.
    SnapshotsEarly,
    /// Records are judged in another order than that of their partition.
    JudgesOutOfOrder,
    /// A table tells its store of newer rows before the files of a checkpoint exist.
    WritesEarly,
    /// A table does not copy a frozen row before it is written again.
    CopiesNothing,
    /// A table lets its store drop what has expired since a checkpoint's cut.
    ExpiresEarly,
    /// A table does not look for a row that is on its way to the store.
    ForgetsFlying,
}

/// Which fault is planted in this run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults(#[cfg(feature = "planted-faults")] Option<Planted>);

impl Faults {
    /// Plants one.
    #[cfg(feature = "planted-faults")]
    pub fn plant(fault: Planted) -> Self {
        Faults(Some(fault))
    }

    /// Whether this one is planted.
    #[inline]
    pub fn has(self, fault: Planted) -> bool {
        #[cfg(feature = "planted-faults")]
        return self.0 == Some(fault);
        #[cfg(not(feature = "planted-faults"))]
        {
            let _ = fault;
            false
        }
    }
}
