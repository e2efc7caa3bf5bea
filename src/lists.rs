//! Lists that a job fetches while it runs. Owned here: the thread that fetches, which answers it takes, and how one becomes
//! a control record that the data directory keeps with the time at which it takes effect. Not owned here: the request
//! (`connectors`), the forms of lists (`operators`), and who is due a list when (the engine).

use crate::input::ListChange;
use crate::job::at_whole_millis;
use crate::run::Watch;
use crate::store::StorePlace;
use axum::http::header::{HeaderMap, HeaderValue, USER_AGENT};
use config::ThreatLists;
use connectors::http::{Bounds, Fetcher};
use connectors::store::{Kept, Store};
use engine::clock::Clock;
use engine::error::Error;
use engine::snapshot::repository::Repository;
use engine::source::scheduled::Arrivals;
use engine::time::Micros;
use operators::decode::control::{exits_record, may_replace, parse_control, parse_exits};
use operators::model::control::{ControlRecord, ControlValue, ThreatList};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
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

/// Records that came in while a job ran stand behind those of all its files.
const POSITIONS: u64 = 1 << 32;

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

/// The records that came in while a job ran, each with the time that it was given.
///
/// # Errors
/// As the store fails; [`Error::Corrupt`] for a record that cannot be read.
pub fn kept(store: &Store) -> Result<Vec<ControlRecord>, Error> {
    let record = |Kept { seq, at, line }: Kept| Ok(ControlRecord { at, ..read(&line, seq)? });
    store.control()?.into_iter().map(record).collect()
}

fn read(line: &str, seq: u64) -> Result<ControlRecord, Error> {
    parse_control(line.as_bytes(), POSITIONS + seq).map_err(|problems| {
        let what = problems.first().map(ToString::to_string).unwrap_or_default();
        Error::Corrupt(format!(
            "control record {seq} in the control store cannot be read: {what}; restore it from a copy"
        ))
    })
}

/// Lists on their way into the dataflow.
pub struct Arrived {
    came: Receiver<String>,
    store: Store,
    changes: Arc<Mutex<Vec<ListChange>>>,
}

impl Arrivals<ControlRecord> for Arrived {
    fn take(&mut self, present: Micros) -> Result<Vec<(Micros, ControlRecord)>, Error> {
        let mut taken = Vec::new();
        for line in self.came.try_iter() {
            let mut record = at_whole_millis(read(&line, 0)?);
            record.at = record.at.max(present);
            let slot = format!("threat_list {} {}", record.org, record.key);
            record.position += self.store.keep_control(record.at, &slot, &line)?;
            let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
            changes.extend(ListChange::of(&record));
            changes.sort_by_key(|change| change.at);
            taken.push((record.at, record));
        }
        Ok(taken)
    }
}

/// A thread that fetches. It ends when this is dropped.
pub struct Fetching {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Fetching {
    /// Starts to fetch, if the job is to; `control` are the control records that there are. Gives also where the lists
    /// come in.
    ///
    /// # Errors
    /// As the store fails, or if there can be no thread for it.
    pub fn start(
        lists: &ThreatLists,
        control: &[ControlRecord],
        (ledger, generation): (&StorePlace, u64),
        repository: Repository,
        watch: &Watch,
    ) -> Result<Option<(Fetching, Arrived)>, Error> {
        let Some(url) = &lists.tor_exit else { return Ok(None) };
        let open = || ledger.open_as(generation);
        let refuse = |error| Error::Unavailable(format!("no list can be fetched: {error}"));
        let (to, came) = channel();
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
            store: open()?,
            repository,
        };
        let (stop, stopped) = oneshot::channel();
        let run = move || errand.run(stopped);
        let thread = std::thread::Builder::new().name("lists".to_owned()).spawn(run).map_err(refuse)?;
        let arrived = Arrived { came, store: open()?, changes: watch.lists.clone() };
        Ok(Some((Fetching { stop: Some(stop), thread: Some(thread) }, arrived)))
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
    to: Sender<String>,
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
                    // Nobody takes it in any more once the job is over.
                    replaced.into_iter().for_each(|line| drop(self.to.send(line)));
                    if let Err(error) = self.forget() {
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

    /// Removes lists that had been replaced when the oldest snapshot was taken. One that cannot be read might need any.
    fn forget(&mut self) -> Result<(), Error> {
        let found = self.repository.list()?.into_iter();
        let cuts: Option<Vec<_>> = found.map(|found| Some(found.manifest.ok()?.at)).collect();
        match cuts.into_iter().flatten().min() {
            Some(oldest) => self.store.forget_control(Micros::from_stamp(oldest)),
            None => Ok(()),
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
        assert_eq!(read(&first, 3).unwrap().position, POSITIONS + 3);
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
    fn a_list_comes_into_the_dataflow_once_with_a_time_that_lasts() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Store::open_file(&folder.path().join("control.sqlite")).unwrap();
        let (to, came) = channel();
        let mut arrived = Arrived { came, store: open(), changes: Arc::default() };
        let exits = |address: &str| BTreeSet::from([address.parse().unwrap()]);
        assert!(arrived.take(Micros::from_secs(50)).unwrap().is_empty());
        to.send(exits_record(&exits("192.0.2.1"), Micros::from_secs(100))).unwrap();
        to.send(exits_record(&exits("192.0.2.2"), Micros::from_secs(300))).unwrap();
        let taken = arrived.take(Micros::from_secs(200)).unwrap();
        let times: Vec<_> = taken.iter().map(|(at, record)| (at.secs(), record.at.secs())).collect();
        assert_eq!(times, [(200, 200), (300, 300)], "one is due now, the other has its own time");
        assert!(arrived.take(Micros::from_secs(400)).unwrap().is_empty());
        let records: Vec<_> = taken.into_iter().map(|(_, record)| record).collect();
        assert_eq!(kept(&open()).unwrap(), records, "a restart finds what was applied");
        assert_eq!(in_force(&records, Micros::from_secs(250)), exits("192.0.2.1"));
        assert_eq!(in_force(&records, Micros::from_secs(350)), exits("192.0.2.2"));
        assert!(in_force(&records, Micros::from_secs(199)).is_empty());
        let changes: Vec<_> = arrived.changes.lock().unwrap().iter().map(|change| change.at.secs()).collect();
        assert_eq!(changes, [200, 300]);
        let mut store = open();
        store.keep_control(Micros::ZERO, "x", "{}").unwrap();
        assert!(matches!(kept(&store), Err(Error::Corrupt(_))));
    }
}
