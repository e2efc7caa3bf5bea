//! The promise: however often a run is interrupted, by `kill -9` or by SIGTERM, and at whatever number of workers it
//! goes on, what is left in the end is what an undisturbed run leaves, and every response was carried out once.
//! `AERIE_KILLS=n` kills n times, a job that is long enough for it; `make crash-test KILLS=n` is that.

use crate::inputs::{Event, START, Sample};
use crate::outputs::{Outputs, ledger, snapshots};
use crate::support::{Dice, Job, Place, Totals};
use connectors::store::Store;
use engine::ledger::{AttemptResult, Ledger, OrderStatus, Page, State};
use engine::snapshot::objects::Objects;
use engine::snapshot::repository::Repository;
use operators::sample::Plan;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

const SEED: u64 = 21;
const PLAN: Plan = Plan { seed: SEED, orgs: 3, users: 20, days: 5 };
/// For more kills than a few.
const LONG: Plan = Plan { seed: SEED, orgs: 6, users: 100, days: 28 };
const KILLS: usize = 6;
const QUIET_LINES: u64 = 8_000;
const QUIET_KILLS: usize = 10;
const QUIET_SEEDS: [u64; 3] = [22, 23, 24];
const SNAPSHOT_EVERY: &str = "50ms";
const LONG_SNAPSHOT_EVERY: &str = "150ms";

/// When to strike.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// After so many looks from the start.
    Looks(u64),
    /// So many looks after so many new snapshots.
    Snapshots(u64, u64),
    /// When so many more messages stand in the outbox.
    Messages(usize),
    /// When so many bytes more were decided.
    Decided(usize),
}

impl Moment {
    fn roll(dice: &mut Dice) -> Self {
        match dice.below(5) {
            0 => Moment::Looks(dice.between(1, 120)),
            1 => Moment::Messages(dice.between(1, 3) as usize),
            2 => Moment::Decided(dice.between(1, 2_000) as usize),
            _ => Moment::Snapshots(dice.between(1, 3), dice.between(0, 30)),
        }
    }

    /// A condition that holds once the moment has come.
    fn awaited(self, data_dir: &Path) -> impl FnMut() -> bool + use<> {
        let (outbox, decisions) = (data_dir.join("outbox"), data_dir.join("decisions.ndjson"));
        let before = (newest(data_dir), files(&outbox), size(&decisions));
        let data_dir = data_dir.to_owned();
        let mut looks = 0;
        move || {
            let come = match self {
                Moment::Looks(_) => true,
                Moment::Snapshots(n, _) => newest(&data_dir) >= before.0 + n,
                Moment::Messages(n) => files(&outbox) >= before.1 + n,
                Moment::Decided(n) => size(&decisions) >= before.2 + n,
            };
            looks += u64::from(come);
            come && match self {
                Moment::Looks(n) | Moment::Snapshots(_, n) => looks > n,
                Moment::Messages(_) | Moment::Decided(_) => true,
            }
        }
    }
}

/// One more than the number of the newest snapshot; zero if there is none.
pub fn newest(data_dir: &Path) -> u64 {
    snapshots(data_dir).last().map_or(0, |id| id + 1)
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

fn size(file: &Path) -> usize {
    std::fs::metadata(file).map_or(0, |found| found.len() as usize)
}

struct Undisturbed {
    place: Place,
    job: Job,
    totals: Totals,
    outputs: Outputs,
}

fn undisturbed(plan: Plan, snapshot_every: &str, place: Place) -> Undisturbed {
    let job = Sample::of(plan).whole(&place, "undisturbed").with(&["--snapshot-every", snapshot_every]);
    let totals = job.clone().workers(2).run();
    totals.assert_conserved();
    let outputs = Outputs::of(&job.data_dir);
    assert!(outputs.responses().len() > 3, "too little to compare: {totals:?}");
    assert!(!outputs.outbox.is_empty(), "no message was written");
    Undisturbed { place, job, totals, outputs }
}

/// Every order was carried out, each step of it recorded as done once, and the receiver heard once of each that ends
/// sessions; others only tell admins of a limit.
pub fn assert_each_once(data_dir: &Path, outputs: &Outputs) {
    assert_each_once_in(&ledger(data_dir).expect("there is a store"), outputs);
}

/// [`assert_each_once`] of a store that may lie elsewhere.
pub fn assert_each_once_in(store: &Store, outputs: &Outputs) {
    let page = Page { state: None, group: None, before: None, limit: 10_000 };
    let orders = store.orders(page).expect("orders can be read");
    let ids: BTreeSet<_> = orders.iter().map(|order| order.order.id.clone()).collect();
    assert_eq!(ids.len(), orders.len(), "an order stands twice");
    for order in &orders {
        let id = &order.order.id;
        assert_eq!(order.state, State::Done, "{id}: {:?}", order.error);
        let trail = store.trail(id).expect("a trail can be read");
        let done = |step| trail.iter().filter(|a| a.step == step && a.result == AttemptResult::Done).count();
        let steps = order.order.steps.len();
        assert!((0..steps).all(|step| done(step) == 1), "each of {steps} steps is done once: {trail:?}");
    }
    let ends = |order: &&OrderStatus| order.order.steps.iter().any(|step| step == "end_sessions");
    let ids: BTreeSet<_> = orders.iter().filter(ends).map(|order| order.order.id.clone()).collect();
    let receipts = store.receipts_after(0, 10_000).expect("receipts can be read");
    let keys: BTreeSet<_> = receipts.iter().map(|(_, receipt)| receipt.key.clone()).collect();
    assert_eq!(keys.len(), receipts.len(), "a receipt stands twice");
    assert_eq!(keys, ids, "the receiver was called for each order that ends sessions and nothing else");
    let entries = outputs.responses();
    assert_eq!(entries.iter().cloned().collect::<BTreeSet<_>>(), ids, "one entry per response");
    assert_eq!(entries.len(), ids.len(), "an entry stands twice");
}

#[test]
fn killed_again_and_again_it_leaves_what_an_undisturbed_run_leaves() {
    let kills = std::env::var("AERIE_KILLS").ok().map_or(KILLS, |n| n.parse().expect("AERIE_KILLS is a number"));
    let seed = std::env::var("AERIE_SEED").ok().map_or(SEED, |n| n.parse().expect("AERIE_SEED is a number"));
    let Undisturbed { place: _place, job, totals, outputs } = match kills > KILLS {
        true => undisturbed(LONG, LONG_SNAPSHOT_EVERY, Place::on_disk()),
        false => undisturbed(PLAN, SNAPSHOT_EVERY, Place::new()),
    };
    let mut dice = Dice::new(seed);
    let (mut killed, mut round, mut later) = (0, 0, 0);
    while killed < kills {
        round += 1;
        let again = job.beside(&format!("killed{round}"));
        killed += kill_until_done(&again, &mut dice, kills - killed, &mut later);
        let what = format!("seed {seed}, after {killed} kills");
        assert_eq!(again.clone().run(), totals, "{what}: a complete job has the same totals");
        let left = Outputs::of(&again.data_dir);
        left.assert_same(&outputs, &what);
        assert_each_once(&again.data_dir, &left);
        assert!(round <= kills, "only {killed} of {kills} kills came in time: the input is too small for this machine");
    }
    println!("seed {seed}: {killed} kills over {round} jobs, {later} starts from a later snapshot than the first");
    assert!(2 * later > killed, "{later} of {killed} starts came from a later snapshot than the first: too few");
}

/// One or two processes, of one to four workers together.
fn somehow(job: &Job, dice: &mut Dice) -> (Job, String) {
    let processes = 1 + usize::from(dice.one_in(3));
    let workers = dice.between(1, 4) as usize / processes;
    let job = job.clone().workers(workers.max(1));
    let what = format!("{processes} processes of {} workers", workers.max(1));
    (if processes > 1 { job.with(&["--processes", "2"]) } else { job }, what)
}

/// Kills at most `kills` times, then lets it run to its end. Returns how often it was killed; counts in `later` how often
/// it had started from a later snapshot than the first.
fn kill_until_done(job: &Job, dice: &mut Dice, kills: usize, later: &mut usize) -> usize {
    for killed in 0..kills {
        let moment = Moment::roll(dice);
        let awaited = moment.awaited(&job.data_dir);
        *later += usize::from(newest_cut(&job.data_dir) > 0);
        let (job, how) = somehow(job, dice);
        let mut running = job.start();
        let came = running.until(&format!("{moment:?}"), awaited);
        println!("{killed}: {how}, {moment:?}, {came}, snapshots {:?}", snapshots(&job.data_dir));
        if !running.kill() {
            return killed;
        }
        wait_for_orphans(&job.data_dir);
    }
    somehow(job, dice).0.run();
    kills
}

/// The cut of the newest snapshot; zero if there is none.
fn newest_cut(data_dir: &Path) -> u64 {
    let folder = data_dir.join("snapshots");
    let repository = folder.exists().then(|| Repository::new(Objects::in_folder(&folder).expect("a folder opens")));
    let found = repository.map(|repository| repository.list().expect("snapshots can be listed")).unwrap_or_default();
    found.into_iter().filter_map(|found| found.manifest.ok()).next_back().map_or(0, |manifest| manifest.at)
}

/// Children of a killed parent end once they notice; the first of them holds the data directory until then.
fn wait_for_orphans(data_dir: &Path) {
    let Ok(lock) = File::open(data_dir.join("lock")) else { return };
    lock.lock().expect("a lock can be waited for");
}

#[test]
fn stopped_and_resumed_it_leaves_what_an_undisturbed_run_leaves() {
    let Undisturbed { place: _place, job, totals, outputs } = undisturbed(PLAN, SNAPSHOT_EVERY, Place::new());
    let again = job.beside("stopped");
    let mut stops = 0;
    for workers in [2, 4, 1, 3] {
        let before = newest(&again.data_dir);
        let mut running = again.clone().workers(workers).start();
        running.until("two new snapshots", || newest(&again.data_dir) >= before + 2);
        let stopped = running.terminate().done();
        stopped.totals().assert_conserved();
        if stopped.totals() == totals {
            break;
        }
        stops += 1;
        let so_far = Outputs::of(&again.data_dir).decisions;
        assert!(outputs.decisions.starts_with(&so_far), "what is decided so far is a part of what will be");
    }
    assert!(stops > 0, "every run had ended before it was told to stop: the input is too small for this machine");
    assert_eq!(again.clone().workers(2).run(), totals);
    let left = Outputs::of(&again.data_dir);
    left.assert_same(&outputs, &format!("after {stops} stops"));
    assert_each_once(&again.data_dir, &left);
}

/// In quiet hours one line moves the time past the horizon, and past snapshots that are only being asked for.
#[test]
fn quiet_hours_lose_nothing() {
    for seed in QUIET_SEEDS {
        lose_nothing(&mut Dice::new(seed));
    }
}

fn lose_nothing(dice: &mut Dice) {
    let place = Place::new();
    let mut secs = START;
    let line = |n: u64| {
        secs += dice.pick(&[0, 1, 2, 3, 4, 7, 20, 60, 300]);
        let user = format!("U{}", dice.below(50));
        Event::new(&format!("e{n}"), secs).user(&user).session(&user).line()
    };
    let lines: Vec<_> = (0..QUIET_LINES).map(line).collect();
    let job = place.job("data", &[place.write_lines("events", &lines)]).with(&["--snapshot-every", "10ms"]);
    let mut killed = 0;
    while killed < QUIET_KILLS {
        let awaited = Moment::Snapshots(dice.between(1, 4), dice.below(8)).awaited(&job.data_dir);
        let mut running = job.clone().workers(dice.between(1, 3) as usize).start();
        running.until("new snapshots", awaited);
        if !running.kill() {
            break;
        }
        killed += 1;
    }
    assert!(killed > 2, "killed {killed} times: the input is too small for this machine");
    let totals = job.run();
    totals.assert_conserved();
    assert_eq!(totals.of("applied"), QUIET_LINES, "after {killed} kills: {totals:?}");
}
