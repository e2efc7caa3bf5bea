//! One line on a terminal that says how a job goes. Owned here: the line, its rate and its guess at the rest. Nothing is
//! shown when stderr is no terminal.

use crate::cli::counted;
use crate::job::DECIDE;
use crate::run::{Phase, Watch};
use crate::telemetry::event_time;
use config::Job;
use engine::time::{Micros, Stamp};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use operators::respond::message::utc;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often the line is drawn anew.
const EVERY: Duration = Duration::from_millis(200);

/// Rates are those of the last so many drawings: five seconds.
const RATE_OVER: usize = 25;

/// How much of a file's head tells how long its lines are.
const HEAD_BYTES: u64 = 256 * 1024;

/// The line while it is shown: dropping this takes it away.
#[derive(Debug)]
pub struct Shown {
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Shown {
    /// Shows how `watch` goes, if stderr is a terminal.
    pub fn start(job: &Job, watch: &Watch) -> Shown {
        if !std::io::stderr().is_terminal() {
            return Shown { thread: None };
        }
        let inputs = Inputs::of(job);
        let watch = watch.clone();
        let (end, ended) = channel();
        let draw = move || draw_until(&ended, &inputs, &watch);
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(draw);
        // A job without its progress line is still a job.
        Shown { thread: thread.ok().map(|thread| (end, thread)) }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.thread.take() {
            drop(end);
            // Nothing depends on how the drawing ended.
            let _ = thread.join();
        }
    }
}

fn draw_until(ended: &Receiver<()>, inputs: &Inputs, watch: &Watch) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let colourless = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let template = if colourless { "{spinner} {msg}" } else { "{spinner:.cyan} {msg}" };
    bar.set_style(ProgressStyle::with_template(template).expect("the template is checked by a test"));
    let mut pace = Pace::default();
    while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        pace.note(Instant::now(), watch.status.received());
        bar.set_message(Figures::of(watch, inputs, &pace).line());
        bar.tick();
    }
    bar.finish_and_clear();
}

/// What is known of the inputs beforehand.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Inputs {
    /// Whether any is read on as it grows.
    followed: bool,
    /// Bytes of a line on average, from the heads of all files.
    line_bytes: Option<f64>,
}

impl Inputs {
    fn of(job: &Job) -> Inputs {
        let (mut followed, mut bytes, mut lines) = (false, 0, 0);
        for source in &job.sources {
            followed |= source.kind.is_live();
            for path in source.kind.files() {
                let (more_bytes, more_lines) = head(path);
                bytes += more_bytes;
                lines += more_lines;
            }
        }
        Inputs { followed, line_bytes: (lines > 0).then(|| bytes as f64 / lines as f64) }
    }
}

/// Bytes and line ends at the head of a file; none if it cannot be read, which the job will say.
fn head(path: &Path) -> (u64, u64) {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
    let end = head.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    match read {
        Ok(_) => (end as u64, head[..end].iter().filter(|byte| **byte == b'\n').count() as u64),
        Err(_) => (0, 0),
    }
}

/// How fast lines come in.
#[derive(Debug, Default)]
struct Pace(VecDeque<(Instant, u64)>);

impl Pace {
    fn note(&mut self, now: Instant, received: u64) {
        if self.0.len() > RATE_OVER {
            self.0.pop_front();
        }
        // What a restored job had received before is not its pace now.
        if received > 0 {
            self.0.push_back((now, received));
        }
    }

    fn per_second(&self) -> Option<f64> {
        let (from, to) = (self.0.front()?, self.0.back()?);
        let seconds = to.0.duration_since(from.0).as_secs_f64();
        (seconds > 0.0).then(|| to.1.saturating_sub(from.1) as f64 / seconds)
    }
}

/// What the line says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Figures {
    phase: u8,
    received: u64,
    per_second: Option<f64>,
    /// Event time that was reached, in milliseconds.
    reached: Option<Stamp>,
    /// How far that lies behind the wall clock, where it matters.
    lag: Option<Duration>,
    anomalies: u64,
    responses: u64,
    open: u64,
    left: Option<Duration>,
}

impl Figures {
    fn of(watch: &Watch, inputs: &Inputs, pace: &Pace) -> Figures {
        let reached = event_time(watch.status.applied());
        let received = watch.status.received();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Figures {
            phase: watch.phase.load(Ordering::Relaxed),
            received,
            per_second: pace.per_second(),
            reached,
            lag: reached.filter(|_| inputs.followed).map(|at| now.saturating_sub(Duration::from_millis(at))),
            anomalies: watch.status.total(DECIDE, "anomalies"),
            responses: watch.status.total(DECIDE, "responded"),
            open: watch.responses.open.load(Ordering::Relaxed),
            left: left(watch.input_bytes.load(Ordering::Relaxed), inputs, received, pace.per_second()),
        }
    }

    fn line(&self) -> String {
        if self.phase == Phase::Starting as u8 {
            return "starting".to_owned();
        }
        let mut parts = vec![format!("{} events", short(self.received as f64))];
        if self.phase == Phase::Draining as u8 {
            parts.push(format!("waiting for {}", counted(self.open, "open response", "open responses")));
        } else {
            parts.extend(self.per_second.map(|rate| format!("{}/s", short(rate))));
            parts.extend(self.reached.map(|at| format!("at {}", utc(Micros::from_stamp(at)))));
            parts.extend(self.lag.map(|lag| format!("{} behind", time(lag))));
        }
        parts.push(counted(self.anomalies, "anomaly", "anomalies"));
        parts.push(counted(self.responses, "response", "responses"));
        parts.extend(self.left.map(|left| format!("about {} left", time(left))));
        parts.join(" · ")
    }
}

/// A guess at how long bounded input still takes: its lines by their usual length, at the present rate.
fn left(input_bytes: u64, inputs: &Inputs, received: u64, per_second: Option<f64>) -> Option<Duration> {
    let rate = per_second.filter(|rate| *rate >= 1.0)?;
    let lines = input_bytes as f64 / inputs.line_bytes.filter(|_| input_bytes > 0 && !inputs.followed)?;
    Some(Duration::from_secs_f64(((lines - received as f64).max(0.0) / rate).min(1e9)))
}

/// A number in as few digits as say something.
fn short(number: f64) -> String {
    match number {
        n if n >= 999_950_000.0 => format!("{:.1}G", n / 1e9),
        n if n >= 999_950.0 => format!("{:.1}M", n / 1e6),
        n if n >= 10_000.0 => format!("{:.1}k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

/// A span in its two largest units.
fn time(span: Duration) -> String {
    match span.as_secs() {
        s if s >= 86_400 => format!("{}d {}h", s / 86_400, s / 3_600 % 24),
        s if s >= 3_600 => format!("{}h {}m", s / 3_600, s / 60 % 60),
        s if s >= 60 => format!("{}m {}s", s / 60, s % 60),
        s => format!("{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: Figures = Figures {
        phase: Phase::Running as u8,
        received: 1_250_000,
        per_second: Some(312_000.0),
        reached: Some(1_767_225_600_000),
        lag: None,
        anomalies: 7,
        responses: 2,
        open: 1,
        left: Some(Duration::from_secs(75)),
    };

    #[test]
    fn the_line_says_what_is_known() {
        let line = RUNNING.line();
        let expected =
            "1.2M events · 312.0k/s · at 2026-01-01 00:00:00 UTC · 7 anomalies · 2 responses · about 1m 15s left";
        assert_eq!(line, expected);
        let followed = Figures { lag: Some(Duration::from_secs(6)), left: None, ..RUNNING };
        assert!(followed.line().contains("6s behind") && !followed.line().contains("left"));
        let draining = Figures { phase: Phase::Draining as u8, ..RUNNING };
        assert!(draining.line().contains("waiting for 1 open"));
        assert_eq!(Figures::default().line(), "starting");
    }

    #[test]
    fn the_rest_is_guessed_for_bounded_input_only() {
        let inputs = Inputs { followed: false, line_bytes: Some(100.0) };
        assert_eq!(left(10_000, &inputs, 40, Some(2.0)), Some(Duration::from_secs(30)));
        assert_eq!(left(10_000, &inputs, 400, Some(2.0)), Some(Duration::ZERO));
        assert_eq!(left(0, &inputs, 40, Some(2.0)), None);
        assert_eq!(left(10_000, &inputs, 40, None), None);
        assert_eq!(left(10_000, &Inputs { followed: true, ..inputs }, 40, Some(2.0)), None);
        assert_eq!(left(10_000, &Inputs::default(), 40, Some(2.0)), None);
    }

    #[test]
    fn the_pace_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.note(start, 0);
        pace.note(start, 1_000_000);
        assert_eq!(pace.per_second(), None);
        for second in 1..=100u32 {
            pace.note(start + Duration::from_secs(second.into()), 1_000_000 + u64::from(second) * 10);
        }
        assert_eq!(pace.per_second(), Some(10.0));
        assert!(pace.0.len() <= RATE_OVER + 1);
    }

    #[test]
    fn the_heads_of_files_tell_how_long_lines_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        std::fs::write(&path, "1234\n123456\npartial").unwrap();
        assert_eq!(head(&path), (12, 2));
        assert_eq!(head(&dir.path().join("none")), (0, 0));
    }

    #[test]
    fn templates_are_well_formed() {
        for template in ["{spinner} {msg}", "{spinner:.cyan} {msg}"] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
