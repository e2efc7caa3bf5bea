//! Slack's audit log as a source: a thread that asks for what is new and appends it to an inbox, from where the dataflow
//! reads it as any lines. Owned here: what is asked for, and when. Not owned here: what an answer means (`answer`,
//! `page`), windows, overlap and from where to go on (`connectors::pages`), and the inbox.

mod answer;
mod page;

pub use answer::Outcome;

use crate::lists::NAME;
use crate::secrets;
use answer::{Heard, Wait, hear};
use axum::http::header::{AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use config::SlackSource;
use connectors::http::get::{Bounds, Getter};
use connectors::inbox::Inbox;
use connectors::pages::{Asked, Follower, Log, Window};
use engine::clock::Clock;
use engine::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// The file in an inbox that says from which second on its log is asked for.
pub const POSITION: &str = "position";

/// The most entries that Slack gives at once. It may give more, where many are of one second.
const LIMIT: u32 = 9_999;

/// An entry has one or two thousand bytes. A page that has more than this is asked for with fewer entries.
const BOUNDS: Bounds = Bounds { bytes_max: 32 << 20, idle: Duration::from_secs(30), timeout: Duration::from_secs(120) };

/// How far ahead of this machine's clock an entry may be dated; the job would refuse what is dated beyond.
const AHEAD_SECS: u64 = 5 * 60;

/// How long to wait after a failure; each time in a row twice as long, up to a minute.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// How long until it is looked again whether there is room.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What asking has come to in this run.
#[derive(Debug, Default)]
pub struct Polls {
    outcomes: [AtomicU64; Outcome::NAMES.len()],
    /// When the log was last read to its end, in seconds since 1970; zero if it was not.
    pub read_to_end: AtomicU64,
    /// The second from which on the log is asked for: all before it is taken.
    pub taken_before: AtomicU64,
}

impl Polls {
    /// How often asking came to what.
    pub fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let count = |outcome: Outcome| self.outcomes[outcome as usize].load(Ordering::Relaxed);
        Outcome::NAMES.into_iter().map(move |(outcome, name)| (name, count(outcome)))
    }

    fn count(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// A thread that asks. It ends when this is dropped.
pub struct Polling {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Polling {
    /// Starts to ask for what is new in `source` and to append it to `inbox`, as long as there is `room`. Where it stands
    /// is kept in the file `position`; what it comes to is counted in `polls`. `failed` hears what ends it before it is
    /// dropped: that nothing can be kept any more.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no token, [`Error::Corrupt`] or [`Error::Io`] if it cannot be told where it stands.
    pub fn start(
        source: &SlackSource,
        (inbox, position): (Arc<Inbox>, &Path),
        polls: Arc<Polls>,
        room: impl Fn() -> bool + Send + 'static,
        failed: impl Fn(Error) + Send + 'static,
    ) -> Result<Self, Error> {
        let refuse = |error| Error::Unavailable(format!("Slack cannot be asked for anything: {error}"));
        let clock = Clock::system();
        let first = clock.now().secs().saturating_sub(source.start.as_secs());
        let headers = HeaderMap::from_iter([
            (USER_AGENT, HeaderValue::from_static(NAME)),
            (AUTHORIZATION, secrets::bearer(&source.token, "[[source]] token_file")?),
        ]);
        let (stop, stopped) = oneshot::channel();
        let mut errand = Errand {
            follower: Follower::open(position, first, source.overlap.as_secs())?,
            api: Api {
                runtime: Builder::new_current_thread().enable_io().enable_time().build().map_err(refuse)?,
                getter: Getter::new(&source.logs(), headers, BOUNDS)?,
                limit: LIMIT,
                stopped,
                inbox,
                is_broken: false,
                polls,
                room: Box::new(room),
            },
            every: source.poll_every,
            clock,
            failed: Box::new(failed),
        };
        let thread =
            std::thread::Builder::new().name("slack".to_owned()).spawn(move || errand.run()).map_err(refuse)?;
        Ok(Polling { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Polling {
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
    follower: Follower,
    api: Api,
    every: Duration,
    clock: Clock,
    failed: Box<dyn Fn(Error) + Send>,
}

impl Errand {
    fn run(&mut self) {
        let mut retry = RETRY;
        loop {
            let now = self.clock.now().secs();
            let round = self.follower.round(now.saturating_add(AHEAD_SECS), &mut self.api);
            self.api.polls.taken_before.store(self.follower.from(), Ordering::Relaxed);
            let pause = match round {
                Ok(false) => return,
                Ok(true) => {
                    self.api.polls.read_to_end.store(now, Ordering::Relaxed);
                    self.api.limit = self.api.limit.saturating_mul(2).min(LIMIT);
                    retry = RETRY;
                    self.every
                }
                Err(error @ Error::Unavailable(_)) if !self.api.is_broken => {
                    tracing::warn!(target: "aerie::slack_log", "{}: {error}", self.api.getter.host());
                    next(&mut retry)
                }
                Err(error) => return (self.failed)(error),
            };
            if self.api.is_stopped_within(pause) {
                return;
            }
        }
    }
}

/// Slack as the log that is followed, and the inbox as who takes it.
struct Api {
    runtime: Runtime,
    getter: Getter,
    /// How many entries are asked for at once.
    limit: u32,
    stopped: oneshot::Receiver<()>,
    inbox: Arc<Inbox>,
    /// The inbox did not take what it was given.
    is_broken: bool,
    polls: Arc<Polls>,
    /// Whether the job is not too far behind with what the inbox holds.
    room: Box<dyn Fn() -> bool + Send>,
}

impl Api {
    /// One answer; none if told to stop before it came.
    fn hear(&mut self, window: Window, cursor: Option<&str>) -> Option<Heard> {
        let [from, to] = [window.from, window.to].map(|second| second.to_string());
        let limit = self.limit.to_string();
        let mut query = vec![("oldest", from.as_str()), ("latest", &to), ("limit", &limit)];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let answer = self.runtime.block_on(async {
            tokio::select! {
                _ = &mut self.stopped => None,
                answer = self.getter.get(&query) => Some(answer),
            }
        });
        let heard = hear(answer?, window, cursor.is_some());
        self.polls.count(heard.outcome());
        Some(heard)
    }

    fn is_stopped_within(&mut self, pause: Duration) -> bool {
        self.runtime.block_on(async { tokio::time::timeout(pause, &mut self.stopped).await }).is_ok()
    }
}

impl Log for Api {
    fn ask(&mut self, window: Window, cursor: Option<&str>) -> Result<Asked, Error> {
        let mut retry = RETRY;
        loop {
            if !(self.room)() {
                match self.is_stopped_within(LOOK_AGAIN) {
                    true => return Ok(Asked::Stopped),
                    false => continue,
                }
            }
            let pause = match self.hear(window, cursor) {
                None => return Ok(Asked::Stopped),
                Some(Heard::Page(page)) => return Ok(Asked::Page(page)),
                Some(Heard::Expired) => return Ok(Asked::TooMuch),
                Some(Heard::TooLarge) if self.limit > 1 => {
                    self.limit /= 2;
                    continue;
                }
                Some(Heard::TooLarge) => self.wait("a page of one entry is too large", None, &mut retry),
                Some(Heard::Wait(Wait { why, pause, .. })) => self.wait(&why, pause, &mut retry),
            };
            if self.is_stopped_within(pause) {
                return Ok(Asked::Stopped);
            }
        }
    }

    fn take(&mut self, lines: &[u8]) -> Result<(), Error> {
        self.inbox.append(lines).inspect_err(|_| self.is_broken = true)
    }
}

impl Api {
    /// Says why nothing came, and how long to wait.
    fn wait(&self, why: &str, pause: Option<Duration>, retry: &mut Duration) -> Duration {
        tracing::warn!(target: "aerie::slack_log", "{}: {why}; it is asked again later", self.getter.host());
        let retry = next(retry);
        pause.unwrap_or(retry)
    }
}

/// How long to wait this time; the next time it is twice as long.
fn next(retry: &mut Duration) -> Duration {
    let doubled = (*retry * 2).min(RETRY_MAX);
    std::mem::replace(retry, doubled)
}
