//! Honest life, an hour of one person at a time: visits of a few events on one device, working hours and weekends,
//! offices, homes, phones, trips and VPNs, and what some do a lot of. What runs without anybody sitting in front of it
//! is in `machines`.

use super::act::{Act, Origin, Verb};
use super::calendar::{Calendar, Local};
use super::dice::{Dice, Topic};
use super::machines;
use super::network::{self, Address};
use super::org::{Org, Style};
use super::person::{Kind, Person, Role};
use super::volume::Volume;
use engine::time::{Micros, Span};

/// The hour at hand, as one person's life sees it.
#[derive(Clone, Copy)]
pub(super) struct Hour {
    pub(super) seed: u64,
    pub(super) calendar: Calendar,
    pub(super) start: Micros,
}

/// What a visit is about.
#[derive(Clone, Copy)]
enum Visit {
    /// Reading and writing, so many events.
    Work(u64),
    /// So many of one thing, at so many milliseconds from one to the next.
    Much(Volume, u64, u64),
    /// The app fetches what was missed.
    CatchUp(u64),
    /// An admin's daily work.
    Administer,
}

/// What admins do from day to day.
const ADMIN_WORK: [&str; 4] = ["user_session_reset_by_admin", "role_assigned", "app_approved", "user_deactivated"];

/// Adds what a person does in an hour.
pub(super) fn hour(now: Hour, org: &Org, person: &mut Person, out: &mut Vec<Act>) {
    let Hour { seed, calendar, start } = now;
    if start < org.opens || start < person.staged_until {
        return;
    }
    if person.replaces.is_some_and(|at| at <= start) {
        person.replace_desktop(org);
    }
    let hour = calendar.hour_of(start);
    let mut dice = Dice::of(seed, Topic::Hour, person.number as u64, hour);
    let local = Local::of(start, person.zone);
    machines::hour(&mut dice, org, person, local, start, out);
    let places = Places::of(seed, org, person, local.day);
    let mut visitor = Visitor { org, places, end: start.plus(Span::from_hours(1)), at: start };
    for (begin, visit) in visits(&mut dice, now, org, person, local) {
        visitor.at = visitor.at.max(start.plus(Span::from_secs(begin)));
        visitor.visit(&mut dice, person, visit, out);
    }
}

/// The visits of an hour, by the second that they begin in, in order.
fn visits(dice: &mut Dice, now: Hour, org: &Org, person: &Person, local: Local) -> Vec<(u64, Visit)> {
    let Hour { calendar, start, .. } = now;
    let rush = start >= calendar.day(calendar.days - 1) && org.style == Style::Bank;
    let pace = pace(person, local) * if rush { 2 } else { 1 };
    let events = dice.between(0, 2 * person.energy) * pace / 1_000;
    let mut visits = Vec::new();
    let mut left = if events == 0 { u64::from(dice.chance(pace / 2)) } else { events };
    while left > 0 {
        let size = dice.between(1, 9).min(left);
        visits.push((dice.below(3_500), Visit::Work(size)));
        left -= size;
    }
    let heavy = person.role.heavy();
    if local.is_workday() && person.role != Role::Bot {
        let at_work = (person.begins..person.begins + 9).contains(&local.hour);
        if let Some(volume) = heavy.filter(|_| calendar.hour_of(start) % 24 == person.burst_hour()) {
            visits = much(dice, org, volume);
        } else if at_work && heavy != Some(Volume::Downloads) {
            let count = dice.between(0, org.usual) * if rush { 3 } else { 1 };
            visits.push((dice.below(2_400), Visit::Much(Volume::Downloads, count, dice.between(3_000, 20_000))));
            if org.style == Style::CallCentre && heavy.is_none() {
                visits.push((dice.below(600), Visit::Much(Volume::Searches, dice.between(2, 14), 200_000)));
            }
        }
        if local.hour == person.begins + 5 && heavy.is_none() && dice.chance(250) {
            visits.push((dice.below(900), Visit::CatchUp(dice.between(40, 120))));
        }
        if at_work && person.role.is_admin() && dice.chance(200) {
            visits.push((dice.below(3_000), Visit::Administer));
        }
    }
    visits.sort_by_key(|(begin, _)| *begin);
    visits
}

/// The hour of somebody who does a lot of one thing: not more than the org's high quantile, also at the end of a
/// quarter, since that is what the quantile is.
fn much(dice: &mut Dice, org: &Org, volume: Volume) -> Vec<(u64, Visit)> {
    let count = org.high(volume) * dice.between(92, 100) / 100;
    let mut visits = vec![(60, Visit::Much(volume, count, 3_300_000 / count.max(1)))];
    if volume == Volume::Searches && !org.is_plain() {
        // Looks into what was found, at a stretch; with what is done before and after, the most calls of anybody here.
        let calls = org.high(Volume::Calls) - 50 - count;
        visits = vec![
            (60, Visit::Much(volume, count, 1_600_000 / count.max(1))),
            (1_900, Visit::Much(Volume::Calls, calls, 1_300_000 / calls.max(1))),
        ];
    }
    visits
}

/// How busy an hour is, in thousandths of an ordinary one.
fn pace(person: &Person, local: Local) -> u64 {
    let weekday = local.is_workday();
    match local.hour.wrapping_sub(person.begins) {
        4 if weekday => 500,
        0..9 if weekday => 1_000,
        9..13 if weekday => 120,
        2..13 => 40,
        _ => 0,
    }
}

/// Where a person's devices are on a day.
pub(super) struct Places {
    pub(super) desktop: Address,
    /// The Wi-Fi that phone and tablet are in.
    wifi: Address,
    travelling: bool,
}

impl Places {
    pub(super) fn of(seed: u64, org: &Org, person: &Person, day: u64) -> Self {
        let travelling = person.trip.is_some_and(|(first, last)| (first..=last).contains(&day));
        if travelling {
            let hotel = network::hotel(person.number, person.country);
            return Places { desktop: hotel, wifi: hotel, travelling };
        }
        let mut dice = Dice::of(seed, Topic::Day, person.number as u64, day);
        let in_office = dice.chance(550) || org.style == Style::CallCentre;
        let wifi = if in_office { network::office(org.index, org.country) } else { person.home };
        let desktop = match (in_office, person.uses_vpn) {
            (false, true) => network::vpn(org.index),
            // A few reach everything through a service that leaves by another address each time.
            (false, false) if org.style == Style::University && person.number % 20 == 3 => {
                network::pool(&mut dice, person.country)
            }
            _ => wifi,
        };
        Places { desktop, wifi, travelling }
    }
}

/// Goes through the visits of an hour.
struct Visitor<'a> {
    org: &'a Org,
    places: Places,
    end: Micros,
    at: Micros,
}

impl Visitor<'_> {
    fn visit(&mut self, dice: &mut Dice, person: &mut Person, visit: Visit, out: &mut Vec<Act>) {
        match visit {
            Visit::Work(events) => self.work(dice, person, events, out),
            Visit::CatchUp(calls) => self.much(dice, person, Volume::Calls, (calls, 1_200), out),
            Visit::Much(volume, count, gap) => self.much(dice, person, volume, (count, gap), out),
            Visit::Administer => {
                for _ in 0..dice.between(1, 2) {
                    let action = dice.pick(&ADMIN_WORK);
                    self.desktop(person, Verb::Admin { action }, out);
                    self.at = self.at.plus(Span::from_secs(dice.between(20, 200)));
                }
            }
        }
    }

    fn desktop(&self, person: &mut Person, verb: Verb, out: &mut Vec<Act>) {
        if self.at < self.end {
            act(self.org, person, Kind::Desktop, self.at, self.places.desktop, verb, out);
        }
    }

    fn work(&mut self, dice: &mut Dice, person: &mut Person, events: u64, out: &mut Vec<Act>) {
        let carrier = |dice: &mut Dice| network::mobile(person.number, dice.below(60_000), person.country);
        let (device, address) = match dice.below(10) {
            _ if self.org.style == Style::CallCentre => (Kind::Desktop, self.places.desktop),
            // Abroad the phone is where the computer is.
            0 if !self.places.travelling => (Kind::Phone, carrier(dice)),
            1 => (Kind::Phone, self.places.wifi),
            2 if person.tablet => (Kind::Tablet, self.places.wifi),
            _ => (Kind::Desktop, self.places.desktop),
        };
        for _ in 0..events {
            if self.at >= self.end {
                break;
            }
            let verb = verb(dice);
            act(self.org, person, device, self.at, address, verb, out);
            if let (true, Some(last)) = (dice.chance(150), out.last_mut()) {
                // A request that was under way while the stamp rotated.
                let session = &person.devices[device as usize].session;
                last.origin.cookie = session.overlapping(self.at).or(last.origin.cookie);
            }
            self.at = self.at.plus(Span::from_millis(dice.between(700, 45_000)));
        }
    }

    fn much(
        &mut self,
        dice: &mut Dice,
        person: &mut Person,
        volume: Volume,
        (count, gap): (u64, u64),
        out: &mut Vec<Act>,
    ) {
        for _ in 0..count {
            let verb = match volume.verb(dice) {
                Verb::Download { file, .. } => Verb::Download { file, ok: !dice.chance(5) },
                other => other,
            };
            self.desktop(person, verb, out);
            self.at = self.at.plus(Span::from_millis(dice.between(gap / 2, gap * 3 / 2)));
        }
    }
}

/// What people do, in the proportions of an audit stream.
pub(super) fn verb(dice: &mut Dice) -> Verb {
    let channel = dice.below(400);
    match dice.below(100) {
        0..34 => Verb::Read { method: "conversations.history", channel },
        34..56 => Verb::Call { method: "chat.postMessage" },
        56..66 => Verb::Read { method: "conversations.replies", channel },
        66..73 => Verb::Call { method: "reactions.add" },
        73..79 => Verb::Call { method: "users.info" },
        79..84 => Verb::Call { method: "search.messages" },
        84..88 => Verb::Call { method: "files.info" },
        88..91 => Verb::Upload { file: dice.below(9_000) },
        91..95 => Verb::Share { file: dice.below(9_000) },
        95..97 => Verb::Join { channel },
        97 => Verb::Leave { channel },
        98 => Verb::Delete { channel },
        _ => Verb::Emoji,
    }
}

/// A person acts on an own device, signing in first where that is due. Acts of a device come in order of time.
pub(super) fn act(
    org: &Org,
    person: &mut Person,
    device: Kind,
    at: Micros,
    address: Address,
    verb: Verb,
    out: &mut Vec<Act>,
) {
    let at = at_precision(org, at);
    let (number, zone) = (person.number, person.zone);
    let device = &mut person.devices[device as usize];
    let signed_in = device.sign_in(at, zone);
    let origin = Origin {
        address: Some(address),
        client: Some(device.client(at)),
        claim: None,
        tls: device.tls,
        device: Some(device.id),
        session: Some(device.session.id),
        cookie: Some(device.session.present(at)),
        app: None,
    };
    if signed_in {
        out.push(Act { at, arrives: at, person: number, verb: Verb::Login, origin });
    }
    out.push(Act { at, arrives: at, person: number, verb, origin });
}

/// Event times are as precise as the org's entries: Slack's have whole seconds, ours milliseconds.
pub(super) fn at_precision(org: &Org, at: Micros) -> Micros {
    let unit = if org.is_plain() { 1_000_000 } else { 1_000 };
    Micros(at.0 / unit * unit)
}
