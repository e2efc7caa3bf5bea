//! Lists that a job fetches while it runs. Owned here: the thread that fetches, and which answers it takes. Not owned here:
//! the request (`connectors`), the forms of lists (`operators`), and how a list comes into the dataflow (`inbox`).

use crate::inbox::{Post, forget};
use crate::run::Watch;
use axum::http::header::{HeaderMap, HeaderValue, USER_AGENT};
use config::ThreatLists;
use connectors::http::{Bounds, Fetcher};
use connectors::store::Store;
use engine::clock::Clock;
use engine::error::Error;
use engine::snapshot::repository::Repository;
use engine::time::Micros;
use operators::decode::control::{exits_record, may_replace, parse_exits};
use operators::model::control::{ControlRecord, ControlValue, ThreatList};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// The list that is fetched.
pub const TOR_EXIT: &str = "tor_exit";

/// A list has some thousand addresses, of at most 40 bytes each; `exit-addresses` has some 200 bytes for each.
const BOUNDS: Bounds = Bounds { bytes_max: 16 << 20, timeout: Duration::from_secs(30), redirects_max: 3 };

/// What the program says of itself to a server.
pub const NAME: &str = concat!("aerie/", env!("CARGO_PKG_VERSION"));

/// How long to wait after a failure; each time in a row twice as long, up to what is set.
const RETRY: Duration = Duration::from_secs(60);

/// What fetching has come to in this run.
#[derive(Debug, Default)]
pub struct Fetches {
    /// Answers that took the place of the list before.
    pub replaced: AtomicU64,
    /// Answers that said the same as the list before.
    pub unchanged: AtomicU64,
    /// Answers that were no list, or too short a one.
    pub refused: AtomicU64,
    /// Requests without an answer.
    pub failed: AtomicU64,
    /// When the newest answer came that was taken, in seconds since 1970; zero before there was one.
    pub confirmed: AtomicU64,
}

/// A thread that fetches. It ends when this is dropped.
pub struct Fetching {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Fetching {
    /// Starts to fetch into `to`, if the job is to; `control` are the control records that there are.
    ///
    /// # Errors
    /// If there can be no thread for it.
    pub fn start(
        lists: &ThreatLists,
        control: &[ControlRecord],
        store: Store,
        repository: Repository,
        (watch, to): (&Watch, Post),
    ) -> Result<Option<Fetching>, Error> {
        let Some(url) = &lists.tor_exit else { return Ok(None) };
        let refuse = |error| Error::Unavailable(format!("no list can be fetched: {error}"));
        let clock = Clock::system();
        let headers = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static(NAME))]);
        let fetcher = Fetcher::new(url.expose(), headers, BOUNDS)?;
        let exits = Exits { former: in_force(control, clock.now()), fetches: watch.fetches.clone() };
        let mut errand = Errand {
            runtime: Builder::new_current_thread().enable_io().enable_time().build().map_err(refuse)?,
            fetcher,
            every: lists.every,
            exits,
            to,
            clock,
            store,
            repository,
        };
        let (stop, stopped) = oneshot::channel();
        let run = move || errand.run(stopped);
        let thread = std::thread::Builder::new().name("lists".to_owned()).spawn(run).map_err(refuse)?;
        Ok(Some(Fetching { stop: Some(stop), thread: Some(thread) }))
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has ended the process.
            let _ = thread.join();
        }
    }
}

/// The exits that are in force, none where there is no list.
fn in_force(control: &[ControlRecord], now: Micros) -> BTreeSet<IpAddr> {
    let lists = control.iter().rev().filter(|record| record.at <= now).find_map(|record| match &record.value {
        ControlValue::ThreatList(list) if record.key == TOR_EXIT => Some(list),
        _ => None,
    });
    match lists {
        Some(Some(ThreatList::TorExit(exits))) => exits.clone(),
        _ => BTreeSet::new(),
    }
}

/// What the thread works with.
struct Errand {
    runtime: Runtime,
    fetcher: Fetcher,
    every: Duration,
    exits: Exits,
    to: Post,
    clock: Clock,
    store: Store,
    repository: Repository,
}

impl Errand {
    fn run(&mut self, mut stopped: oneshot::Receiver<()>) {
        let mut retry = RETRY;
        loop {
            let answer = self.runtime.block_on(async {
                tokio::select! {
                    _ = &mut stopped => None,
                    answer = self.fetcher.fetch() => Some(answer),
                }
            });
            let Some(answer) = answer else { return };
            let pause = match self.exits.hear(answer, self.clock.now()) {
                Ok(replaced) => {
                    replaced.into_iter().for_each(|line| self.to.send(line));
                    if let Err(error) = forget(&mut self.store, &self.repository) {
                        tracing::warn!(target: "aerie::lists", "lists that were replaced are not removed: {error}");
                    }
                    retry = RETRY;
                    self.every
                }
                Err(why) => {
                    let host = self.fetcher.host();
                    tracing::warn!(target: "aerie::lists", "{TOR_EXIT} from {host}: {why}; the list before stays");
                    let pause = retry.min(self.every);
                    retry = retry.saturating_mul(2);
                    pause
                }
            };
            let waited = self.runtime.block_on(async { tokio::time::timeout(pause, &mut stopped).await });
            if waited.is_ok() {
                return;
            }
        }
    }
}

/// The list before, and what the next one is held against.
struct Exits {
    former: BTreeSet<IpAddr>,
    fetches: Arc<Fetches>,
}

impl Exits {
    /// The control record of an answer that replaces the list before; none if it says the same.
    ///
    /// # Errors
    /// Why there is no such answer, or why it is not taken.
    fn hear(&mut self, answer: Result<Vec<u8>, Error>, now: Micros) -> Result<Option<String>, String> {
        let count = |of: &AtomicU64| of.fetch_add(1, Ordering::Relaxed);
        let fetches = self.fetches.clone();
        let content = answer.map_err(|error| {
            count(&fetches.failed);
            error.to_string()
        })?;
        let exits = parse_exits(&content).and_then(|exits| may_replace(&exits, &self.former).map(|()| exits));
        let exits = exits.map_err(|why| {
            count(&fetches.refused);
            format!("the answer {why}")
        })?;
        fetches.confirmed.store(now.secs(), Ordering::Relaxed);
        if exits == self.former {
            count(&fetches.unchanged);
            return Ok(None);
        }
        count(&fetches.replaced);
        let record = exits_record(&exits, now);
        self.former = exits;
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Result<Vec<u8>, Error> {
        Ok(text.as_bytes().to_vec())
    }

    fn figures(fetches: &Fetches) -> [u64; 5] {
        let Fetches { replaced, unchanged, refused, failed, confirmed } = fetches;
        [replaced, unchanged, refused, failed, confirmed].map(|figure| figure.load(Ordering::Relaxed))
    }

    #[test]
    fn an_answer_is_taken_once_and_what_is_none_leaves_the_list_as_it_is() {
        let mut exits = Exits { former: BTreeSet::new(), fetches: Arc::default() };
        let at = Micros::from_secs;
        let first = exits.hear(answer("192.0.2.1\n192.0.2.2\n192.0.2.3\n192.0.2.4"), at(100)).unwrap().unwrap();
        assert!(first.contains("192.0.2.4"));
        assert_eq!(exits.hear(answer("192.0.2.4\n192.0.2.3\n192.0.2.2\n192.0.2.1"), at(200)), Ok(None));
        for (content, why) in [
            ("", "the answer names no address"),
            ("<html>", "the answer has a line 1"),
            ("192.0.2.1", "names 1 addresses where there were 4"),
        ] {
            let refused = exits.hear(answer(content), at(300)).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        exits.hear(Err(Error::Unavailable("nobody there".to_owned())), at(300)).unwrap_err();
        assert_eq!(figures(&exits.fetches), [1, 1, 3, 1, 200]);
        assert!(exits.hear(answer("192.0.2.1\n192.0.2.2"), at(400)).unwrap().is_some(), "half is enough");
        assert_eq!(figures(&exits.fetches), [2, 1, 3, 1, 400]);
    }

    #[test]
    fn the_list_in_force_is_the_last_that_has_come() {
        let record = |address: &str, secs| {
            let line = exits_record(&BTreeSet::from([address.parse().unwrap()]), Micros::from_secs(secs));
            operators::decode::control::parse_control(line.as_bytes(), secs).unwrap()
        };
        let records = [record("192.0.2.1", 200), record("192.0.2.2", 300)];
        let at = |secs| in_force(&records, Micros::from_secs(secs));
        assert!(at(199).is_empty());
        assert_eq!((at(250), at(350)), (["192.0.2.1".parse().unwrap()].into(), ["192.0.2.2".parse().unwrap()].into()));
    }
}
