//! The only wall clock of the engine. It paces (when to take a snapshot, how far to move the horizon) and, on live
//! sources, makes the two judgements that the source journal records. It never decides what a record's time is.

#![expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]

use crate::time::{Micros, Span};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Wall time, real or set by a test: what time it is, which somebody may set back, and how time passes, which nobody
/// can.
#[derive(Clone)]
pub struct Clock {
    now: Arc<dyn Fn() -> Micros + Send + Sync>,
    passed: Arc<dyn Fn() -> Span + Send + Sync>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        let now = || {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
            Micros((since.as_micros() as u64).saturating_add_signed(step()))
        };
        let start = Stopwatch::start();
        Clock::of(now, move || Span(start.elapsed().as_micros() as u64))
    }

    /// A clock that shows `now`, while time passes as `passed` says, which never goes back.
    pub fn of(
        now: impl Fn() -> Micros + Send + Sync + 'static,
        passed: impl Fn() -> Span + Send + Sync + 'static,
    ) -> Self {
        Clock { now: Arc::new(now), passed: Arc::new(passed) }
    }

    /// Wall time now.
    pub fn now(&self) -> Micros {
        (self.now)()
    }

    /// Time that has passed since some moment, the same for all clones.
    pub fn passed(&self) -> Span {
        (self.passed)()
    }
}

/// By how much the system's clock is off, in microseconds. Nothing without the feature `fault-points`; with it, the
/// seconds in the file that `CLOCK_STEP` in the environment names, which a test may change while a job runs.
fn step() -> i64 {
    #[cfg(feature = "fault-points")]
    if let Some(file) = std::env::var_os("CLOCK_STEP") {
        let seconds = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
        return seconds.map_or(0, |seconds: i64| seconds * 1_000_000);
    }
    0
}

/// A running stopwatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts one.
    pub fn start() -> Self {
        Stopwatch(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Waits before the next look at something that cannot wake who waits for it. Outside of dataflow only.
pub fn pause(length: Duration) {
    std::thread::sleep(length);
}
