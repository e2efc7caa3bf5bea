//! What is planted, one file per family of reasons. Adding a family is adding a file and a row in [`FAMILIES`]. Owned
//! here: who plays in what and when ([`cast`]), and the stage that a scenario writes its events and its label on.

mod agents;
mod excessive_downloads;
mod networks;
mod scraping;
mod session_fingerprint;
mod small;
mod tor;
mod volumes;

use super::World;
use super::act::{Act, Origin, Verb};
use super::calendar::Local;
use super::client::{Client, Software};
use super::dice::{Dice, Topic};
use super::label::{Difficulty, Kind, Label};
use super::life::{self, Places, at_precision};
use super::network::{self, Address};
use super::org::{Org, Style};
use super::person::{self, Person, Role, STRANGER, session_id, slot};
use crate::model::decision::Outcome;
use crate::model::reason::Reason;
use engine::time::{Micros, Span};
use std::collections::BTreeMap;

/// Every family of scenarios.
const FAMILIES: [&[Scenario]; 8] = [
    tor::SCENARIOS,
    session_fingerprint::SCENARIOS,
    excessive_downloads::SCENARIOS,
    volumes::SCENARIOS,
    agents::SCENARIOS,
    scraping::SCENARIOS,
    networks::SCENARIOS,
    small::SCENARIOS,
];

/// Something to plant.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// What happens, for people.
    note: &'static str,
    /// Who it happens to; `None` for a whole org.
    role: Option<Role>,
    fits: fn(&Org) -> bool,
    when: When,
    play: fn(&mut Stage<'_>) -> Label,
}

/// When a scenario may begin.
#[derive(Clone, Copy)]
enum When {
    /// On an attack day, 1 to so many hours into the person's working day.
    Work(u64),
    /// On an attack day at this UTC hour.
    Hour(fn(&Person) -> u64),
    /// On an attack day at night, when nobody in the person's zone works.
    Night,
    /// From a Thursday on that is followed by a whole week.
    Ramp,
    /// At the beginning of the last day.
    LastDay,
    /// At the beginning of the first day.
    FirstDay,
    /// When the org's desktop app is rolled back.
    Rollback,
}

/// A scenario with a person and an hour.
pub(super) struct Plant {
    pub(super) hour: u64,
    scenario: &'static Scenario,
    /// Number of the person; of a whole org, its first.
    person: usize,
}

/// The names of all scenarios that a week of these orgs may have, each once.
#[cfg(test)]
pub(super) fn names(orgs: &[Org]) -> Vec<&'static str> {
    let all = FAMILIES.iter().copied().flatten().filter(|scenario| !matches!(scenario.when, When::Ramp));
    all.filter(|scenario| orgs.iter().any(scenario.fits)).map(|scenario| scenario.name).collect()
}

/// Chooses who plays in what, when: nobody in two scenarios, and the plants of an org spread over its hours, so that
/// its blast-radius limit is not what is tested. Where there are more scenarios than people, each org begins with
/// others. Ordered by hour.
pub(super) fn cast(world: &World) -> Vec<Plant> {
    let mut plants: Vec<_> = world.orgs.iter().flat_map(|org| cast_org(world, org)).collect();
    plants.sort_by_key(|plant| (plant.hour, plant.person));
    plants
}

fn cast_org(world: &World, org: &Org) -> Vec<Plant> {
    let users = world.people.len() / world.orgs.len();
    let mut dice = Dice::of(world.seed, Topic::Cast, org.index as u64, 0);
    let mut days = world.calendar.attack_days();
    days.retain(|day| *day >= org.opens_on);
    let mut free: Vec<_> = (org.index * users..(org.index + 1) * users).collect();
    dice.shuffle(&mut free);
    let mut scenarios: Vec<&'static Scenario> = FAMILIES.iter().copied().flatten().collect();
    scenarios.retain(|scenario| (scenario.fits)(org));
    let first = scenarios.len() * [0, 2, 1][org.index % 3] / 4;
    scenarios.rotate_left(first);
    // What only such an org has comes first.
    let others = || world.orgs.iter().filter(|other| other.style != org.style);
    scenarios.sort_by_key(|scenario| others().any(scenario.fits));
    let (mut plants, mut load): (Vec<Plant>, _) = (Vec::new(), BTreeMap::new());
    for round in 0..1 + users * days.len() / 3_000 {
        for scenario in &scenarios {
            let person = match scenario.role {
                Some(role) => free.iter().position(|n| world.people[*n].role == role),
                None => (round == 0).then_some(usize::MAX),
            };
            let Some(place) = person else { continue };
            let person = free.get(place).copied().unwrap_or(org.index * users);
            let hour = hour_for(world, &world.people[person], scenario.when, &days, &mut load, &mut dice);
            let Some(hour) = hour else { continue };
            if scenario.role.is_some() {
                free.remove(place);
            }
            plants.push(Plant { hour, scenario, person });
        }
    }
    plants
}

/// The least loaded of a few hours that a scenario may begin in; none if the plan has no such hour.
fn hour_for(
    world: &World,
    person: &Person,
    when: When,
    days: &[u64],
    load: &mut BTreeMap<u64, u32>,
    dice: &mut Dice,
) -> Option<u64> {
    let calendar = world.calendar;
    let weekday = |day: &u64| Local::of(calendar.day(*day), 0).weekday();
    let hours: Vec<_> = match when {
        When::Work(latest) => {
            (0..12).map(|_| dice.pick(days) * 24 + person.working_hour(dice.between(1, latest))).collect()
        }
        When::Hour(of) => vec![dice.pick(days) * 24 + of(person)],
        When::Night => (0..4)
            .map(|_| dice.pick(days) * 24 + (26 - dice.between(0, 2)).saturating_add_signed(-person.zone) % 24)
            .collect(),
        When::Ramp => {
            let thursdays: Vec<_> = days.iter().filter(|day| weekday(day) == 3 && **day + 8 < calendar.days).collect();
            let day = thursdays.get(dice.below(thursdays.len() as u64) as usize)?;
            vec![**day * 24 + person.working_hour(1)]
        }
        When::LastDay => return Some((calendar.days - 1) * 24),
        When::FirstDay => return Some(0),
        When::Rollback => return Some(calendar.hour_of(calendar.rollback().0)),
    };
    let hour = hours.into_iter().min_by_key(|hour| load.get(hour).copied().unwrap_or(0))?;
    *load.entry(hour).or_default() += 1;
    Some(hour)
}

/// Lets a scenario happen: its events in no particular order, and its label without an id.
pub(super) fn play(world: &mut World, plant: &Plant) -> (Vec<Act>, Label) {
    let dice = Dice::of(world.seed, Topic::Plant, plant.person as u64, plant.hour);
    let mut stage = Stage { world, plant, dice, acts: Vec::new() };
    let mut label = (plant.scenario.play)(&mut stage);
    label.scenario = plant.scenario.name.to_owned();
    label.note = plant.scenario.note.to_owned();
    if label.kind == Kind::Attack {
        // The response ends the victim's sessions, or an admin does it by hand where the org answers nothing; they sign
        // in again when they come back to work.
        let last = stage.last();
        stage.person_mut().sign_out(last.plus(Span::from_secs(1)));
    }
    let acts = stage.acts;
    (acts, label)
}

/// Where a scenario plays: the person, their devices and the events so far.
struct Stage<'a> {
    world: &'a mut World,
    plant: &'a Plant,
    dice: Dice,
    acts: Vec<Act>,
}

/// What a thief holds of a session.
#[derive(Clone, Copy)]
struct Loot {
    session: u64,
    /// The stamp that was taken, superseded since.
    stamp: Micros,
    /// When a newer stamp was first in use.
    since: Micros,
    client: Client,
    /// The handshake of a proxy that stands before it.
    tls: Option<&'static str>,
    device: u64,
}

/// Reasons that traffic of a stranger may rightly give besides its own.
const OF_STRANGER: [Reason; 7] = [
    Reason::Asn,
    Reason::IpAddress,
    Reason::SpoofedUserAgent,
    Reason::UnexpectedClient,
    Reason::UnexpectedScraping,
    Reason::UnexpectedUserAgent,
    Reason::UserAgent,
];
/// Reasons that an unusual network may give, which are only logged.
const NETWORK: [Reason; 2] = [Reason::Asn, Reason::IpAddress];

impl Stage<'_> {
    fn org(&self) -> &Org {
        &self.world.orgs[self.person().org]
    }

    fn person(&self) -> &Person {
        &self.world.people[self.plant.person]
    }

    fn person_mut(&mut self) -> &mut Person {
        &mut self.world.people[self.plant.person]
    }

    /// A time so many minutes into the scenario.
    fn minute(&self, minutes: u64) -> Micros {
        self.world.calendar.hour(self.plant.hour).plus(Span::from_mins(minutes))
    }

    /// From now on, for so many hours, only the scenario tells what the person does.
    fn take(&mut self, hours: u64) {
        self.person_mut().staged_until = self.minute(hours * 60);
    }

    /// Where the person's desktop is today.
    fn place(&self) -> Address {
        let (org, person) = (self.org(), self.person());
        let day = Local::of(self.minute(0), person.zone).day;
        Places::of(self.world.seed, org, person, day).desktop
    }

    fn exit(&mut self) -> Address {
        network::exit(self.dice.pick(&self.world.exits))
    }

    /// The person acts on an own device. In order of time for each device.
    fn own(&mut self, device: person::Kind, at: Micros, address: Address, verb: Verb) {
        let person = &mut self.world.people[self.plant.person];
        life::act(&self.world.orgs[person.org], person, device, at, address, verb, &mut self.acts);
    }

    /// The person works at the desktop, every `every` seconds from minute `from` until before minute `until`.
    fn works(&mut self, (from, until): (u64, u64), every: u64, address: Address) {
        let (mut at, until) = (self.minute(from), self.minute(until));
        while at < until {
            let verb = life::verb(&mut self.dice);
            self.own(person::Kind::Desktop, at, address, verb);
            at = at.plus(Span::from_millis(self.dice.between(every * 700, every * 1_300)));
        }
    }

    /// Something is sent under the person's name from anywhere.
    fn sends(&mut self, at: Micros, verb: Verb, origin: Origin) {
        let at = at_precision(self.org(), at);
        self.acts.push(Act { at, arrives: at, person: self.plant.person, verb, origin });
    }

    /// A stranger's own session number `turn`, signed in with stolen credentials.
    fn stranger_session(&self, turn: u64) -> u64 {
        session_id(self.stranger_device(), turn)
    }

    fn stranger_device(&self) -> u64 {
        slot(self.plant.person, STRANGER)
    }

    /// A stranger, with a program of theirs, in an own session number `turn` since `begin`.
    fn stranger(&self, address: Address, client: Client, turn: u64, begin: Micros) -> Origin {
        origin(address, client, Some(self.stranger_device()), self.stranger_session(turn), begin)
    }

    /// So many things are sent from `begin` on, evenly over `minutes`.
    fn sends_many(
        &mut self,
        (begin, count, minutes): (Micros, u64, u64),
        origin: Origin,
        verb: impl Fn(&mut Dice) -> Verb,
    ) {
        for at in times(begin, count, minutes) {
            let verb = verb(&mut self.dice);
            self.sends(at, verb, origin);
        }
    }

    /// The person works for 18 minutes, during which the stamp rotates, and somebody copies the cookie before that.
    fn robbed(&mut self) -> Loot {
        let place = self.place();
        self.works((0, 2), 40, place);
        let stamp = self.desktop().session.stamp;
        self.works((16, 18), 30, place);
        let minute = self.minute(18);
        let device = self.desktop();
        let (session, since) = (device.session.id, device.session.since);
        let (client, tls) = (device.client(minute), device.tls);
        Loot { session, stamp, since, client, tls, device: device.id }
    }

    /// A home line far from the person's.
    fn elsewhere(&mut self) -> Address {
        let home = self.person().country;
        network::elsewhere(&mut self.dice, home)
    }

    fn desktop(&self) -> &person::Device {
        &self.person().devices[person::Kind::Desktop as usize]
    }

    /// The time of the last event so far.
    fn last(&self) -> Micros {
        self.acts.iter().map(|act| act.at).max().unwrap_or(self.minute(0))
    }

    /// The label of an attack that the rule can tell from the event at `first` on. While it goes on, the org may change
    /// what it answers.
    fn attack(&self, reason: Reason, difficulty: Difficulty, first: Micros) -> Label {
        let outcome = |at| self.org().outcome(reason, self.person(), at);
        let mut expected_decisions: Vec<Outcome> = outcome(first).into_iter().chain(outcome(self.last())).collect();
        expected_decisions.dedup();
        let may_respond = expected_decisions.contains(&Outcome::Responded);
        let must_respond = may_respond && expected_decisions.len() == 1;
        Label {
            must_respond,
            respond_reasons: if must_respond { vec![reason] } else { Vec::new() },
            expected_decisions,
            max_responses: Some(u64::from(may_respond)),
            ..self.label(Kind::Attack, reason, difficulty, at_precision(self.org(), first))
        }
    }

    /// The label of a look-alike that begins at `start`.
    fn benign(&self, reason: Reason, start: Micros) -> Label {
        Label {
            max_responses: Some(0),
            ..self.label(Kind::Benign, reason, Difficulty::Benign, at_precision(self.org(), start))
        }
    }

    /// Turns a label into that of a chain, with at most so many responses where the reason is answered at all.
    fn chain(&self, label: Label, most: u64) -> Label {
        let answered = self.org().outcome(label.reasons[0], self.person(), label.start) == Some(Outcome::Responded);
        let mut expected = label.expected_decisions.clone();
        if answered {
            expected = vec![Outcome::Responded, Outcome::AlreadyAnswered, Outcome::LoopProtected];
        }
        let max_responses = Some(if answered { most } else { 0 });
        Label { chain: true, expected_decisions: expected, max_responses, session_id: None, ..label }
    }

    fn label(&self, kind: Kind, reason: Reason, difficulty: Difficulty, first: Micros) -> Label {
        // What the last event left behind may still show at the person's next one.
        let end = self.last().plus(Span::from_mins(10)).min(self.world.calendar.end());
        Label {
            label_id: String::new(),
            org: self.org().id.clone(),
            user: self.person().id.clone(),
            session_id: None,
            reasons: vec![reason],
            start: first,
            end,
            first_detectable: first,
            kind,
            note: String::new(),
            scenario: String::new(),
            difficulty,
            must_respond: false,
            respond_reasons: Vec::new(),
            also: Vec::new(),
            tolerated: Vec::new(),
            expected_decisions: Vec::new(),
            max_responses: None,
            chain: false,
        }
    }
}

/// A look-alike that is everybody in the org, for so many days.
fn whole_org(stage: &Stage<'_>, reason: Reason, days: u64) -> Label {
    let end = stage.minute(days * 24 * 60).min(stage.world.calendar.end());
    Label { user: "*".to_owned(), end, ..stage.benign(reason, stage.minute(0)) }
}

/// `count` times from `begin` on, evenly over `minutes`.
fn times(begin: Micros, count: u64, minutes: u64) -> impl Iterator<Item = Micros> {
    (0..count).map(move |i| begin.plus(Span::from_millis(i * minutes * 60_000 / count)))
}

/// Where a stranger comes from, with a program of theirs, in a session.
fn origin(address: Address, client: Client, device: Option<u64>, session: u64, cookie: Micros) -> Origin {
    let (address, client, session) = (Some(address), Some(client), Some(session));
    Origin { address, client, claim: None, tls: None, device, session, cookie: Some(cookie), app: None }
}

impl Loot {
    /// Who goes on with the session's own client, with a stamp of it.
    fn same_client(&self, address: Address, stamp: Micros) -> Origin {
        Origin { tls: self.tls, ..origin(address, self.client, Some(self.device), self.session, stamp) }
    }
}

/// A scenario of a member in the person's working hours, in every org.
const fn scene(name: &'static str, note: &'static str, play: fn(&mut Stage<'_>) -> Label) -> Scenario {
    Scenario { name, note, role: Some(Role::Member), fits: |_| true, when: When::Work(5), play }
}

/// Whether people have phones and work at home, too.
fn is_mobile(org: &Org) -> bool {
    org.style != Style::CallCentre
}

/// The same in orgs whose entries say what was measured.
const fn measured(name: &'static str, note: &'static str, play: fn(&mut Stage<'_>) -> Label) -> Scenario {
    Scenario { fits: |org| !org.is_plain(), ..scene(name, note, play) }
}

/// The server itself: no agent, loopback.
const SERVER: Origin = Origin {
    address: None,
    client: None,
    claim: None,
    tls: None,
    device: None,
    session: None,
    cookie: None,
    app: None,
};

/// A stranger's program as of a time.
fn program(software: &'static Software, at: Micros) -> Client {
    software.at(at, 0)
}
