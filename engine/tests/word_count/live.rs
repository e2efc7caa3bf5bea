//! Partitions that grow while they are read, and a clock that runs fast: idle ones hold nobody up, time runs on without
//! records, snapshots are taken all along, and what was judged by the clock is judged alike afterwards.

use super::run::{Outcome, TICK, Variant, bounded, output, repository, run_from, run_in, settings};
use super::scratch;
use super::stream::START;
use engine::clock::{Clock, Stopwatch};
use engine::coordinator::message::Progress;
use engine::error::Error;
use engine::flow::{Ended, Settings, Start};
use engine::source::journal::{Journal, JournalEntry, MemoryJournal};
use engine::source::partition::PartitionState;
use engine::source::{Block, Line, Partition, Reader, Reading, Timing};
use engine::state::memory::MemoryStores;
use engine::time::{Micros, Span};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// Seconds of the clock in one of ours.
const SPEED: u32 = 200;

/// A partition that has no end.
struct Feed {
    name: String,
    lines: Arc<Mutex<Vec<String>>>,
}

struct FeedReader {
    lines: Arc<Mutex<Vec<String>>>,
    next: usize,
}

impl Partition for Feed {
    fn name(&self) -> &str {
        &self.name
    }

    fn live(&self) -> bool {
        true
    }

    fn open(&self, position: u64) -> Result<Box<dyn Reader>, Error> {
        Ok(Box::new(FeedReader { lines: self.lines.clone(), next: position as usize }))
    }
}

impl Reader for FeedReader {
    fn read(&mut self, block: &mut Block) -> Result<Reading, Error> {
        let lines = self.lines.lock().unwrap();
        (block.bytes, block.lines) = (Vec::new(), Vec::new());
        for line in &lines[self.next..] {
            let start = block.bytes.len();
            block.bytes.extend_from_slice(line.as_bytes());
            block.lines.push(Line { position: self.next as u64, start, end: block.bytes.len(), oversize: None });
            self.next += 1;
        }
        block.next = self.next as u64;
        Ok(if block.lines.is_empty() { Reading::Pending } else { Reading::Lines })
    }
}

/// A journal, and all that was ever in it.
#[derive(Clone, Default)]
struct Kept {
    now: MemoryJournal,
    all: MemoryJournal,
}

impl Journal for Kept {
    fn append(&mut self, entries: &[JournalEntry]) -> Result<(), Error> {
        self.all.append(entries)?;
        self.now.append(entries)
    }

    fn load(&self, partition: &str) -> Result<Vec<JournalEntry>, Error> {
        self.now.load(partition)
    }

    fn shorten(&mut self, partition: &str, from: &[&PartitionState]) -> Result<(), Error> {
        self.now.shorten(partition, from)
    }
}

/// A live job over two partitions.
struct Live {
    lines: [Arc<Mutex<Vec<String>>>; 2],
    since: Stopwatch,
    journal: Arc<Mutex<Kept>>,
    variant: Variant,
}

struct Running {
    settings: Settings,
    job: JoinHandle<Outcome>,
}

impl Live {
    fn new(workers: usize) -> Self {
        let variant = Variant { workers, snapshot_every: Duration::from_millis(5), ..Variant::default() };
        Live { lines: Default::default(), since: Stopwatch::start(), journal: Arc::default(), variant }
    }

    fn start(&self, folder: &Path) -> Running {
        self.start_with(folder, self.lines.len())
    }

    /// With so many of its partitions.
    fn start_with(&self, folder: &Path, count: usize) -> Running {
        let feed = |(index, lines): (usize, &Arc<Mutex<Vec<String>>>)| {
            let feed = Feed { name: format!("p{index}"), lines: lines.clone() };
            (Arc::new(feed) as Arc<dyn Partition>, Timing::default())
        };
        let partitions = self.lines.iter().enumerate().take(count).map(feed).collect();
        let since = self.since;
        let clock = Clock::of(move || Micros(START).plus(passed(since)), move || passed(since));
        let settings = Settings {
            clock,
            journal: self.journal.clone(),
            fingerprint: BTreeMap::new(),
            ..settings(folder, partitions, &self.variant)
        };
        let (given, folder, variant) = (settings.clone(), folder.to_owned(), self.variant.clone());
        let job = thread::spawn(move || run_in(&folder, given, &variant, Arc::new(MemoryStores)));
        Running { settings, job }
    }

    fn now(&self) -> Micros {
        Micros(START).plus(passed(self.since))
    }

    /// A word of now in a partition.
    fn say(&self, partition: usize, word: &str) {
        let mut lines = self.lines[partition].lock().unwrap();
        let line = format!("{} {word} p{partition}i{}", self.now().0, lines.len());
        lines.push(line);
    }

    /// A word every second or so in the first partition, for so many seconds.
    fn talk(&self, seconds: u64) {
        let (end, mut next) = (self.now().plus(Span::from_secs(seconds)), self.now());
        while self.now() < end {
            if self.now() >= next {
                next = next.plus(Span::from_secs(1));
                self.say(0, ["a1", "b2", "c3"][next.secs() as usize % 3]);
            }
            thread::park_timeout(TICK);
        }
    }

    /// Settings of a bounded run over what was said so far.
    fn settings(&self, folder: &Path, variant: &Variant, journal: MemoryJournal) -> Settings {
        let lines = self.lines.each_ref().map(|lines| lines.lock().unwrap().clone());
        let journal = Arc::new(Mutex::new(journal));
        Settings { journal, fingerprint: BTreeMap::new(), ..settings(folder, bounded(&lines, variant), variant) }
    }

    /// What a bounded run puts out, with all that was in the journal.
    fn bounded(&self) -> (String, String) {
        let (folder, variant) = (scratch::folder(), Variant { workers: 2, block: 3, ..Variant::default() });
        let settings = self.settings(folder.path(), &variant, self.journal.lock().unwrap().all.clone());
        let outcome = run_in(folder.path(), settings, &variant, Arc::new(MemoryStores));
        assert!(matches!(outcome.ended, Ok(Ended::Complete)), "{outcome:?}");
        output(folder.path())
    }

    /// What one puts out that goes on from a snapshot, with what is in the journal now.
    fn bounded_from(&self, folder: &Path, id: u64) -> (String, String) {
        let (scratch, variant) = (scratch::folder(), Variant::default());
        for file in ["reports", "asides"] {
            std::fs::copy(folder.join(file), scratch.path().join(file)).unwrap();
        }
        let settings = self.settings(scratch.path(), &variant, self.journal.lock().unwrap().now.clone());
        let start = Start::look(&settings, &repository(folder), id).unwrap();
        let outcome = run_from(start, scratch.path(), settings, &variant, Arc::new(MemoryStores));
        assert!(matches!(outcome.ended, Ok(Ended::Complete)), "{outcome:?}");
        output(scratch.path())
    }

    /// How much is in the journal, and how much ever was.
    fn entries(&self) -> (usize, usize) {
        let journal = self.journal.lock().unwrap();
        let count = |journal: &MemoryJournal| ["p0", "p1"].map(|name| journal.load(name).unwrap().len()).iter().sum();
        (count(&journal.now), count(&journal.all))
    }
}

impl Running {
    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn(&[Progress]) -> bool) {
        let since = Stopwatch::start();
        loop {
            let known: Vec<_> = self.settings.status.partitions().into_values().collect();
            if known.len() == 2 && holds(&known) {
                return;
            }
            assert!(!self.job.is_finished() && since.elapsed() < PATIENCE, "still not: {what}: {known:?}");
            thread::park_timeout(TICK);
        }
    }

    fn published(&self) -> u64 {
        self.settings.status.snapshots().published
    }

    fn stop(self) {
        self.settings.stop.store(true, Ordering::SeqCst);
        let outcome = self.job.join().unwrap();
        assert!(matches!(outcome.ended, Ok(Ended::Stopped)), "{outcome:?}");
    }
}

fn passed(since: Stopwatch) -> Span {
    Span((since.elapsed() * SPEED).as_micros() as u64)
}

#[test]
fn a_live_job_takes_snapshots_and_lets_time_run_on_and_what_it_judged_stays() {
    for workers in [1, 2] {
        let (folder, live) = (scratch::folder(), Live::new(workers));
        let running = live.start(folder.path());
        // One partition has a single word, which waits for another or for its time to come. It is silent from here on, holds
        // the other up until it is taken for idle, and then follows.
        live.say(1, "a1");
        let began = live.now();
        live.talk(300);
        while running.published() <= 5 {
            live.talk(60);
            let (published, within) = (running.published(), live.now().since(began));
            assert!(within < Span::from_mins(55), "{published} snapshots within the first hour");
        }
        let follows = live.now();
        running.until("the silent one to follow", |known| known[1].watermark.plus(Span::from_secs(60)) >= follows);

        let published = running.published();
        let silent = live.now();
        running
            .until("time to run on", |known| known.iter().all(|one| one.watermark >= silent.plus(Span::from_mins(2))));
        let took = live.now().since(silent);
        assert!((Span::from_mins(2)..Span::from_mins(30)).contains(&took), "two minutes took {took:?}");
        running.until("another snapshot: time runs on", |_| running.published() > published);
        running.stop();

        // What comes after a pause goes on from there.
        live.say(1, "a1");
        let running = live.start(folder.path());
        running.until("the journal to be followed", |known| known[0].watermark >= silent.plus(Span::from_mins(2)));
        live.talk(120);
        let said = live.lines[0].lock().unwrap().len() as u64;
        running.until("all to be read", |known| known[0].received == said && known[1].received == 2);
        running.stop();
        let (reports, asides) = output(folder.path());
        let expected = live.bounded();
        assert!(reports.lines().count() > 1, "{reports}");
        assert!(expected.0.starts_with(&reports), "{workers} workers:\n{reports}\nis no beginning of\n{}", expected.0);
        assert_eq!(asides, expected.1);
    }
}

/// Whatever can be restored finds what it needs in the journal, and there is nothing else in it.
#[test]
fn the_journal_reaches_back_as_far_as_what_can_be_restored() {
    let (folder, live) = (scratch::folder(), Live::new(2));
    let repository = repository(folder.path());
    let running = live.start(folder.path());
    live.say(1, "a1");
    live.talk(100);
    running.until("the silent one to follow", |known| known[1].watermark > Micros::ZERO);
    // One that goes just now cannot be named.
    while repository.save(repository.ids().unwrap().pop().unwrap(), "kept").is_err() {}
    live.talk(900);
    running.stop();
    let expected = live.bounded();
    let ids = repository.ids().unwrap();
    assert!(ids.len() > 3, "the named one and the newest: {ids:?}");
    for id in ids {
        assert_eq!(live.bounded_from(folder.path(), id), expected, "from snapshot {id}");
    }
    let (kept, _) = live.entries();

    // Once nothing goes back so far it goes.
    repository.forget("kept").unwrap();
    let running = live.start(folder.path());
    live.talk(300);
    running.until("newer snapshots", |_| running.published() > 4);
    running.stop();
    let ids = repository.ids().unwrap();
    let manifests: Vec<_> = ids.iter().map(|id| repository.manifest(*id).unwrap()).collect();
    for name in ["p0", "p1"] {
        let from: Vec<_> = manifests.iter().map(|manifest| &manifest.partitions[name]).collect();
        let entries = live.journal.lock().unwrap().load(name).unwrap();
        assert!(entries.first().is_none_or(|first| from.iter().any(|state| first.counts_from(state))), "{name}");
    }
    let (left, all) = live.entries();
    assert!(left < kept, "{left} entries are left of {all}, {kept} while one was kept");
    let expected = live.bounded();
    for id in ids {
        assert_eq!(live.bounded_from(folder.path(), id), expected, "from snapshot {id}");
    }
}

/// A partition that joins begins where the job has come to. What it held by then takes part, and a replay comes to the
/// same, also from before it joined.
#[test]
fn a_partition_that_joins_loses_nothing_and_is_replayed_alike() {
    let (folder, live) = (scratch::folder(), Live::new(2));
    let repository = repository(folder.path());
    let running = live.start_with(folder.path(), 1);
    live.talk(100);
    while repository.ids().unwrap().pop().is_none_or(|newest| repository.save(newest, "before").is_err()) {}
    live.say(1, "a1");
    live.say(1, "b2");
    live.talk(200);
    running.stop();
    let running = live.start(folder.path());
    live.say(1, "c3");
    let said = live.lines[0].lock().unwrap().len() as u64;
    running.until("all to be read", |known| known[0].received == said && known[1].received == 3);
    running.stop();
    let (reports, asides) = output(folder.path());
    let ids = repository.ids().unwrap();
    let replays: Vec<_> = ids.iter().map(|id| live.bounded_from(folder.path(), *id)).collect();
    let without = |id: &&u64| !repository.manifest(**id).unwrap().partitions.contains_key("p1");
    assert!(ids.iter().any(|id| without(&id)), "the named one is from before");
    for (id, replay) in ids.iter().zip(&replays) {
        assert!(replay.0.starts_with(&reports), "from {id}:\n{reports}\nis no beginning of\n{}", replay.0);
        assert_eq!((&replay.0, &replay.1), (&replays[0].0, &asides), "from {id}");
    }
}
