//! What does policy cost at scale? The policy part of a job's dataflow is given the control records of so many orgs with a
//! directory of so many users, made as they are read, and then one change at a time while events flow: one setting, a group
//! of 1,000 members that is excluded or no longer, a user who changes groups. Told are the time and the memory that loading
//! takes, and how much longer the flow's next step takes for a change. `cargo bench --bench policy [-- USERS [ORGS]]`
//!
//! Rows of users in the operators that are told of them lie on disk and are no part of this; `snapshots` has them.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use engine::time::{Micros, Stamp};
use operators::decide::DecideRecord;
use operators::model::control::{Channels, ControlRecord, ControlValue, DirectoryRow, ResponseSetting, Settings};
use operators::model::reason::Reason;
use operators::policy::{Exemption, policy};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};
use timely::dataflow::operators::{Exchange, Input, Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};
use timely::worker::Worker;

/// Members of the group that is excluded, all of the first org.
const MEMBERS: u64 = 1_000;

/// Records handed over at once.
const BATCH: u64 = 10_000;

/// Events in one step of the flow.
const EVENTS: u64 = 20_000;

/// Steps with each change, and as many without any.
const ROUNDS: u64 = 40;

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let users = numbers.first().copied().unwrap_or(5_000_000).max(2 * MEMBERS);
    let orgs = numbers.get(1).copied().unwrap_or(10_000).clamp(1, users / 10);
    println!("{orgs} orgs, {users} users, 1 worker, {EVENTS} events a step, {ROUNDS} rounds");
    timely::execute_directly(move |worker| Bench::new(worker, users, orgs).run());
}

/// What came out.
#[derive(Default)]
struct Told {
    exemptions: Cell<u64>,
    decide: Cell<u64>,
}

/// Makes the record of a change, for a round.
type Change = fn(&Bench<'_>, u64) -> ControlRecord;

struct Bench<'a> {
    worker: &'a mut Worker,
    control: InputHandle<Stamp, timely::container::CapacityContainerBuilder<Vec<ControlRecord>>>,
    events: InputHandle<Stamp, timely::container::CapacityContainerBuilder<Vec<u64>>>,
    probe: ProbeHandle<Stamp>,
    told: Rc<Told>,
    users: u64,
    orgs: u64,
    now: Stamp,
    position: u64,
}

impl<'a> Bench<'a> {
    fn new(worker: &'a mut Worker, users: u64, orgs: u64) -> Self {
        let (told, probe) = (Rc::new(Told::default()), ProbeHandle::new());
        let (exempted, decided) = (told.clone(), told.clone());
        let (control, events) = worker.dataflow::<Stamp, _, _>(|scope| {
            let (control, records) = scope.new_input();
            let (events, flowing) = scope.new_input();
            let policy = policy(records);
            let exempted = policy.exemptions.inspect(move |_: &Exemption| bump(&exempted.exemptions));
            let decided = policy.decide.inspect(move |_: &DecideRecord| bump(&decided.decide));
            exempted.probe_with(&probe);
            decided.probe_with(&probe);
            policy.directory.probe_with(&probe);
            flowing.exchange(|event: &u64| *event).probe_with(&probe);
            (control, events)
        });
        Bench { worker, control, events, probe, told, users, orgs, now: 1, position: 0 }
    }

    fn run(mut self) {
        let before = resident();
        let start = Instant::now();
        self.load();
        let (took, after) = (start.elapsed(), resident());
        println!(
            "load: {:.1} s, {:.0} k records/s, {} MB more resident, {:.0} bytes a user; {} exemptions, {} records for decide",
            took.as_secs_f64(),
            self.position as f64 / took.as_secs_f64() / 1e3,
            after.saturating_sub(before) >> 20,
            after.saturating_sub(before) as f64 / self.users as f64,
            self.told.exemptions.get(),
            self.told.decide.get()
        );
        let changes: [(&str, Change); 4] = [
            ("nothing", |bench, _| bench.user(1)),
            ("one setting", |bench, round| bench.settings(bench.orgs / 2, round.is_multiple_of(2), &[])),
            ("a group of 1,000", |bench, round| bench.settings(0, true, [&["BIG"][..], &[]][(round % 2) as usize])),
            ("one user's groups", |bench, round| bench.moved(2, round)),
        ];
        println!("{:<20} {:>12} {:>12} {:>12}", "change", "median", "slowest", "records out");
        for (name, change) in changes {
            let mut times: Vec<Duration> = Vec::new();
            let mut out = 0;
            for round in 0..ROUNDS {
                let record = (name != "nothing").then(|| change(&self, round));
                let before = self.told.exemptions.get() + self.told.decide.get();
                times.push(self.step(record));
                out += self.told.exemptions.get() + self.told.decide.get() - before;
            }
            times.sort_unstable();
            let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
            let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
            println!("{name:<20} {:>12} {:>12} {:>12}", ms(median), ms(slowest), out / ROUNDS);
        }
    }

    /// The directory and settings of all orgs, at one time.
    fn load(&mut self) {
        for org in 0..self.orgs {
            let record = self.settings(org, true, &["S0"]);
            self.send(record);
        }
        for user in 0..self.users {
            let record = self.user(user);
            self.send(record);
            if user.is_multiple_of(BATCH) {
                self.control.flush();
                self.worker.step();
            }
        }
        self.pass();
    }

    /// One step of the flow: a change, if there is one, and events.
    fn step(&mut self, change: Option<ControlRecord>) -> Duration {
        let start = Instant::now();
        change.into_iter().for_each(|record| self.send(record));
        (0..EVENTS).for_each(|event| self.events.send(event));
        self.pass();
        start.elapsed()
    }

    fn send(&mut self, record: ControlRecord) {
        self.position += 1;
        let position = self.position;
        self.control.send(ControlRecord { at: Micros::from_stamp(self.now), position, ..record });
    }

    /// On to the next point of time, once all that stands before it has been worked off.
    fn pass(&mut self) {
        self.now += 1;
        self.control.advance_to(self.now);
        self.events.advance_to(self.now);
        let (probe, now) = (self.probe.clone(), self.now);
        self.worker.step_while(|| probe.less_than(&now));
    }

    fn settings(&self, org: u64, tor: bool, excluded: &[&str]) -> ControlRecord {
        let exclude_groups = excluded.iter().map(|group| (*group).to_owned()).collect();
        let response = ResponseSetting { enabled: Some(tor), exclude_groups, ..ResponseSetting::default() };
        let mail = Channels { email: true, dm: false };
        let value = Settings {
            responses: [(Reason::Tor, response)].into(),
            primary_owner: mail,
            security_admins: Channels { email: true, dm: true },
        };
        record(org, "aer".to_owned(), ControlValue::Settings(Some(value)))
    }

    fn user(&self, user: u64) -> ControlRecord {
        let mut groups = BTreeSet::from([format!("S{}", user % 20), format!("T{}", user % 7)]);
        if user < MEMBERS {
            groups.insert("BIG".to_owned());
        }
        self.row(user, groups)
    }

    /// The user, each time in other groups.
    fn moved(&self, user: u64, round: u64) -> ControlRecord {
        self.row(user, BTreeSet::from([format!("S{}", round % 2)]))
    }

    fn row(&self, user: u64, groups: BTreeSet<String>) -> ControlRecord {
        // The first users are all of one org; of the others each org has its share.
        let org = if user < 2 * MEMBERS { 0 } else { user % self.orgs };
        let place = user / self.orgs;
        let row = DirectoryRow {
            name: format!("Person {user}"),
            email: format!("person{user}@org{org}.example.com"),
            locale: "en-US".to_owned(),
            is_primary_owner: place == 3,
            roles: if place == 4 { BTreeSet::from(["security_admin".to_owned()]) } else { BTreeSet::new() },
            groups,
            ..DirectoryRow::default()
        };
        record(org, format!("U{user:08}"), ControlValue::User(Some(row)))
    }
}

fn record(org: u64, key: String, value: ControlValue) -> ControlRecord {
    ControlRecord { at: Micros::ZERO, position: 0, org: format!("E{org:05}"), key, value }
}

fn bump(count: &Cell<u64>) {
    count.set(count.get() + 1);
}

/// Bytes that this process has resident.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1_024
}
