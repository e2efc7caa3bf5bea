//! Seeded activity with labelled attacks: the same plan gives the same bytes on every machine. Owned here: orgs,
//! people, their honest days, the scenarios and the labels. Not owned here: files (four writers are passed in) and any
//! judgement of events. Activity is made an hour at a time, so memory grows with people, not with days.

mod act;
mod calendar;
mod client;
mod control;
mod dice;
pub mod label;
mod life;
mod machines;
mod network;
mod org;
mod person;
mod scenario;
#[cfg(test)]
mod tests;
mod volume;

use act::{Act, Frame, Pen};
use calendar::Calendar;
use engine::error::Error;
use life::Hour;
use org::{Org, Style};
use person::{Person, user_id};
use scenario::Plant;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::Ipv4Addr;

/// Most days of a plan.
pub const DAYS_MAX: usize = 731;
/// Most orgs of a plan.
pub const ORGS_MAX: usize = 10_000;
/// Most users in all orgs of a plan together.
pub const PEOPLE_MAX: usize = 500_000;

/// What to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Names the stream: another seed, other people, days and attacks.
    pub seed: u64,
    /// Number of orgs.
    pub orgs: usize,
    /// Users of each org.
    pub users: usize,
    /// Days, the last of which is 31 March 2026. Attacks fall on the last day of a week or less, else on the working
    /// days after the first week.
    pub days: usize,
}

impl Plan {
    /// Whether the plan is within bounds.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the number and its bounds.
    pub fn check(&self) -> Result<(), Error> {
        let bounds = [
            ("orgs", self.orgs, ORGS_MAX),
            ("users", self.users, PEOPLE_MAX / self.orgs.max(1)),
            ("days", self.days, DAYS_MAX),
        ];
        match bounds.into_iter().find(|(_, given, most)| !(1..=*most).contains(given)) {
            Some((name, given, most)) => {
                Err(Error::Invalid(format!("{name}: {given} is out of bounds, choose from 1 to {most}")))
            }
            None => Ok(()),
        }
    }
}

/// The plan of `aerie demo`: a week of three orgs (a design studio, a bank, a start-up that opens on the last day), with
/// the attacks on its last day.
pub const fn demo_plan() -> Plan {
    Plan { seed: 2026, orgs: 3, users: 80, days: 7 }
}

/// Where the four files go.
pub struct Outputs<'a> {
    /// `events.ndjson`, in order of event time; only what a producer flushed late stands where it arrived.
    pub events: &'a mut dyn Write,
    /// `control.ndjson`.
    pub control: &'a mut dyn Write,
    /// `tor.txt`.
    pub tor: &'a mut dyn Write,
    /// `labels.ndjson`.
    pub labels: &'a mut dyn Write,
}

/// What was generated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Lines of `events.ndjson`.
    pub events: u64,
    /// Lines of `labels.ndjson`.
    pub labels: u64,
    /// Users of all orgs.
    pub users: u64,
    /// Days (UTC) of all users together on which the user did something.
    pub user_days: u64,
}

/// Everybody and everything that a plan is about.
struct World {
    seed: u64,
    calendar: Calendar,
    orgs: Vec<Org>,
    /// Org by org; `orgs.len()` equal runs.
    people: Vec<Person>,
    exits: Vec<Ipv4Addr>,
}

impl World {
    fn new(plan: Plan) -> Self {
        let calendar = Calendar { days: plan.days as u64 };
        // The seventh of every org is exempt by name, as `Role::of` has it.
        let exempt = |org| (plan.users > 6).then(|| user_id(org, 6));
        let orgs: Vec<_> = (0..plan.orgs).map(|index| Org::new(index, plan.users, calendar, exempt(index))).collect();
        let person = |number: usize| {
            let org = &orgs[number / plan.users];
            Person::new(plan.seed, number, org, number % plan.users, calendar)
        };
        let people = (0..plan.orgs * plan.users).map(person).collect();
        World { seed: plan.seed, calendar, orgs, people, exits: network::exits(plan.seed) }
    }
}

/// Generates a plan. The outcome depends on the plan alone.
///
/// # Errors
/// [`Error::Invalid`] for a plan out of bounds, [`Error::Io`] if a writer fails, naming the file.
pub fn generate(plan: Plan, out: &mut Outputs<'_>) -> Result<Summary, Error> {
    plan.check()?;
    let mut world = World::new(plan);
    control::write(world.calendar.start(), &world.orgs, &world.people, out.control)
        .map_err(Error::io("write", "control.ndjson"))?;
    write_tor(&world, out.tor).map_err(Error::io("write", "tor.txt"))?;
    let plants = scenario::cast(&world);
    let mut stream = Stream::new(&world);
    let mut labels = 0;
    for hour in 0..world.calendar.hours() {
        for plant in plants.iter().filter(|plant| plant.hour == hour) {
            labels += 1;
            stream.play(&mut world, plant, labels, out.labels).map_err(Error::io("write", "labels.ndjson"))?;
        }
        stream.hour(&mut world, hour, out.events).map_err(Error::io("write", "events.ndjson"))?;
    }
    stream.rest(&mut world, out.events).map_err(Error::io("write", "events.ndjson"))?;
    let user_days = world.people.iter().map(|person| person.active.1).sum();
    Ok(Summary { events: stream.pen.written(), labels, users: world.people.len() as u64, user_days })
}

/// The stream as it is written: what is planted for later hours, and the hour at hand.
struct Stream {
    pen: Pen,
    frames: Vec<Frame>,
    planted: BTreeMap<u64, Vec<Act>>,
}

impl Stream {
    fn new(world: &World) -> Self {
        let frames = world.orgs.iter().map(Frame::of).collect();
        Stream { pen: Pen::new(world.seed), frames, planted: BTreeMap::new() }
    }

    fn play(&mut self, world: &mut World, plant: &Plant, serial: u64, to: &mut dyn Write) -> io::Result<()> {
        let (acts, mut label) = scenario::play(world, plant);
        for act in acts {
            self.planted.entry(world.calendar.hour_of(act.arrives)).or_default().push(act);
        }
        label.label_id = format!("L{serial:06}");
        writeln!(to, "{}", serde_json::to_string(&label)?)
    }

    fn hour(&mut self, world: &mut World, hour: u64, to: &mut dyn Write) -> io::Result<()> {
        let mut acts = self.planted.remove(&hour).unwrap_or_default();
        let now = Hour { seed: world.seed, calendar: world.calendar, start: world.calendar.hour(hour) };
        for person in &mut world.people {
            life::hour(now, &world.orgs[person.org], person, &mut acts);
        }
        self.write(world, acts, to)
    }

    /// What arrives after the last hour.
    fn rest(&mut self, world: &mut World, to: &mut dyn Write) -> io::Result<()> {
        let acts = std::mem::take(&mut self.planted).into_values().flatten().collect();
        self.write(world, acts, to)
    }

    fn write(&mut self, world: &mut World, mut acts: Vec<Act>, to: &mut dyn Write) -> io::Result<()> {
        acts.sort_by_key(|act| (act.arrives, act.at, act.person));
        for act in &acts {
            world.people[act.person].note_active(act.at);
            let person = &world.people[act.person];
            self.pen.write(act, person, &self.frames[person.org], to)?;
        }
        Ok(())
    }
}

fn write_tor(world: &World, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "# Tor exit addresses, one a line; made up for this sample.")?;
    for exit in &world.exits {
        writeln!(to, "{exit}")?;
    }
    for org in world.orgs.iter().filter(|org| org.style == Style::Bank) {
        writeln!(to, "{}", network::lab_exit(org.index).ip)?;
    }
    Ok(())
}
