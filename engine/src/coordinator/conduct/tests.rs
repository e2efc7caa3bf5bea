//! Tests of what the coordinator decides, with a clock that is set.

use super::*;
use crate::snapshot::objects::Objects;
use crate::source::journal::MemoryJournal;
use std::sync::atomic::AtomicU64;

const START: Micros = Micros::from_secs(1_767_225_600);
const MAX_DELAY: Span = Span::from_secs(15);

#[test]
fn records_ahead_are_those_read_since_the_sources_were_where_the_last_operator_is() {
    let mut ahead = Ahead::default();
    assert_eq!(ahead.records(10, Some(0), 100), 100);
    assert_eq!(ahead.records(20, Some(10), 250), 150);
    assert_eq!(ahead.records(20, Some(19), 300), 200, "a mark counts once it is passed, and stays as it was made");
    assert_eq!(ahead.records(30, Some(25), 400), 150);
    assert_eq!(ahead.records(30, None, 400), 0);
    assert!(ahead.marks.is_empty());
}

/// A conductor of live sources, and its clock: what it shows, and the time that has passed.
struct Stage {
    conductor: Conductor,
    now: Arc<AtomicU64>,
    passed: Arc<AtomicU64>,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new(restored: Option<Stamp>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (now, passed) = (Arc::new(AtomicU64::new(START.0 + 86_400_000_000)), Arc::new(AtomicU64::new(0)));
        let (shows, runs) = (now.clone(), passed.clone());
        let load = |value: &Arc<AtomicU64>| value.load(Ordering::SeqCst);
        let clock = Clock::of(move || Micros(load(&shows)), move || Span(load(&runs)));
        let conductor = Conductor::new(Score {
            job: Job { workers: 1, ..Job::default() },
            operators: BTreeSet::from(["sources".to_owned()]),
            repository: Repository::new(Objects::in_folder(folder.path()).unwrap()),
            keep: 3,
            journal: Arc::<Mutex<MemoryJournal>>::default(),
            every: Duration::ZERO,
            generation: 1,
            next_id: 0,
            restored,
            partitions: Vec::new(),
            live: true,
            max_delay: MAX_DELAY,
            clock,
            stop: Arc::default(),
            poison: Poison::default(),
            status: Status::default(),
        });
        Stage { conductor, now, passed, _folder: folder }
    }

    /// Both clocks run on.
    fn wait(&self, span: Span) {
        self.now.fetch_add(span.0, Ordering::SeqCst);
        self.passed.fetch_add(span.0, Ordering::SeqCst);
    }

    fn report(&mut self, partition: u32, newest: Micros, watermark: Micros, activity: Activity) {
        self.conductor.hear(vec![Progress { partition, newest, watermark, received: 1, activity }], Vec::new());
    }

    /// The answer of all that there is to answer.
    fn answer(&mut self, id: u64) {
        let operator = "sources".to_owned();
        let part = Part { operator, worker: 0, files: Vec::new(), totals: Vec::new(), partitions: Vec::new() };
        self.conductor.hear(Vec::new(), vec![Answer::Part { id, part }]);
    }

    /// To where idle partitions are told to follow, second by second.
    fn told(&mut self, seconds: u64) -> Vec<Option<Micros>> {
        (0..seconds)
            .map(|_| {
                self.wait(Span::from_secs(1));
                self.conductor.idle_to()
            })
            .collect()
    }
}

/// Seconds after the start.
fn at(seconds: u64) -> Micros {
    START.plus(Span::from_secs(seconds))
}

#[test]
fn when_all_are_idle_event_time_runs_on_at_the_rate_of_the_wall() {
    let mut stage = Stage::new(None);
    stage.report(0, at(40), at(35), Activity::Active);
    stage.report(1, at(100), at(95), Activity::Active);
    assert_eq!(stage.told(15), [None; 15]);
    for (partition, newest) in [(0, 40), (1, 100)] {
        stage.report(partition, at(newest), at(newest - 5), Activity::Idle);
    }
    // Each of them reports that it has followed, which is no news of where time is.
    for second in 16..300 {
        assert_eq!(stage.told(1), [Some(at(100 + second - 15))]);
        for (partition, newest) in [(0, 40), (1, 100)] {
            stage.report(partition, at(newest), at(100 + second - 15), Activity::Idle);
        }
    }
    // A line that is late tells nothing new either; a newer one does.
    stage.report(0, at(41), at(384), Activity::Idle);
    assert_eq!(stage.told(1), [Some(at(385))]);
    stage.report(0, at(500), at(495), Activity::Idle);
    assert_eq!(stage.told(20).last(), Some(&Some(at(505))));
}

#[test]
fn idle_partitions_follow_the_slowest_active_one_and_the_ended_ones_hold_nobody() {
    let mut stage = Stage::new(None);
    stage.report(0, at(100), at(95), Activity::Idle);
    stage.report(1, at(30), at(25), Activity::Active);
    stage.report(2, at(20), at(15), Activity::Active);
    stage.report(3, at(1), at(0), Activity::Ended);
    assert_eq!(stage.told(2), [Some(at(15)); 2]);
    stage.report(2, at(20), at(15), Activity::Ended);
    assert_eq!(stage.told(1), [Some(at(25))]);
}

#[test]
fn event_time_never_runs_past_the_wall_clock_also_when_that_is_set_back() {
    let mut stage = Stage::new(None);
    stage.now.store(at(10).0, Ordering::SeqCst);
    stage.report(0, at(200), at(195), Activity::Idle);
    assert_eq!(stage.told(2), [Some(at(11)), Some(at(12))]);
    stage.now.store(at(0).0, Ordering::SeqCst);
    assert_eq!(stage.told(1), [Some(at(1))]);
    stage.now.store(at(86_400).0, Ordering::SeqCst);
    assert_eq!(stage.told(1), [Some(at(200 + 4 - 15))], "set forward, it lets time run on and not jump");
}

#[test]
fn after_a_restart_event_time_runs_on_from_where_the_journal_says_it_was() {
    let mut stage = Stage::new(Some(at(0).stamp()));
    stage.report(0, at(100), at(95), Activity::Active);
    // It had run on for an hour.
    stage.report(0, at(100), at(3_700), Activity::Active);
    stage.report(0, at(100), at(3_700), Activity::Idle);
    let told = stage.told(60);
    assert!(told[..15].iter().all(|told| told.is_some_and(|to| to <= at(3_700))), "{told:?}");
    assert_eq!(told[59], Some(at(3_700 + 60 - 15)));
}

/// Sources that have read an hour at once, and from then on run at the wall's rate. Snapshots are due all the time, and
/// each one that is asked for must be passed soon.
#[test]
fn a_live_job_takes_its_snapshots_from_the_start() {
    let mut stage = Stage::new(None);
    let (mut cuts, mut asked, mut sources) = (Vec::new(), VecDeque::new(), 1);
    let conduct = |stage: &mut Stage, sources: Stamp, asked: &mut VecDeque<(Stamp, u64)>| {
        for step in stage.conductor.conduct(Some(sources), Some(sources)) {
            match step {
                Step::Announce(Announcement::Snapshot { at, id }) => asked.push_back((at, id)),
                Step::Announce(Announcement::Advance { horizon, read_to, .. }) => {
                    assert!((sources..=sources + 2 * HORIZON_LEAD_MIN).contains(&horizon) && read_to >= horizon);
                }
                _ => {}
            }
        }
    };
    for tick in 0..1_200 {
        stage.wait(Span::from_millis(100));
        sources = if tick == 20 { at(3_600).stamp() } else { sources + 100 * u64::from(tick > 20) };
        conduct(&mut stage, sources, &mut asked);
        while let Some((at, id)) = asked.pop_front_if(|(at, _)| *at < sources) {
            stage.answer(id);
            while stage.conductor.score.status.snapshots().newest != Some(at) {
                conduct(&mut stage, sources, &mut asked);
            }
            cuts.push(at);
        }
    }
    assert!(cuts.len() > 60, "in two minutes: {cuts:?}");
}
