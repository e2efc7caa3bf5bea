//! Honest life, an hour of one person at a time: visits of a few events on one device, working hours and weekends,
//! offices, homes, phones and VPNs, downloads as the org is used to them.

use super::act::{Act, Origin, Verb};
use super::calendar::{Calendar, Local};
use super::dice::{Dice, Topic};
use super::network::{self, Address};
use super::org::{Org, Style};
use super::person::{Kind, Person, Role};
use engine::time::{Micros, Span};

/// UTC hour at which the export app runs.
pub(super) const EXPORT_HOUR: u64 = 2;

/// What a visit is about.
#[derive(Clone, Copy)]
enum Visit {
    /// Reading and writing, so many events.
    Work(u64),
    /// Downloads, so many, at so many milliseconds from one to the next.
    Downloads(u64, u64),
}

/// Adds what a person does in the hour that begins at `start`.
pub(super) fn hour(seed: u64, calendar: Calendar, org: &Org, person: &mut Person, start: Micros, out: &mut Vec<Act>) {
    if start < org.opens || start < person.staged_until {
        return;
    }
    let hour = calendar.hour_of(start);
    let mut dice = Dice::of(seed, Topic::Hour, person.number as u64, hour);
    if person.role == Role::Exporter && hour % 24 == EXPORT_HOUR {
        export(&mut dice, org, person, start, out);
    }
    let local = Local::of(start, person.zone);
    let places = Places::of(seed, org, person, local.day);
    let last_day = start >= calendar.day(calendar.days - 1);
    let mut at = start;
    let end = start.plus(Span::from_hours(1));
    for (begin, visit) in visits(&mut dice, org, person, local, hour % 24, last_day) {
        at = at.max(start.plus(Span::from_secs(begin)));
        at = match visit {
            Visit::Work(events) => work(&mut dice, org, person, &places, (at, end), events, out),
            Visit::Downloads(count, gap) => downloads(&mut dice, org, person, &places, (at, end), (count, gap), out),
        };
    }
}

/// The visits of an hour, by the second that they begin in, in order.
fn visits(
    dice: &mut Dice,
    org: &Org,
    person: &Person,
    local: Local,
    utc_hour: u64,
    last_day: bool,
) -> Vec<(u64, Visit)> {
    let events = dice.between(0, 2 * person.energy) * pace(person, local) / 1_000;
    let mut visits = Vec::new();
    let mut left = if events == 0 { u64::from(dice.chance(pace(person, local) / 2)) } else { events };
    while left > 0 {
        let size = dice.between(1, 9).min(left);
        visits.push((dice.below(3_500), Visit::Work(size)));
        left -= size;
    }
    if !local.is_workday() || person.role == Role::Bot {
        visits.sort_by_key(|(begin, _)| *begin);
        return visits;
    }
    let at_work = (person.begins..person.begins + 9).contains(&local.hour);
    let burst = if last_day && org.style == Style::Bank { 3 } else { 1 };
    if person.role == Role::Archivist && utc_hour == person.burst_hour() {
        // Not more than the org's high quantile, also at the end of a quarter: that is what the quantile is.
        let count = org.high * dice.between(92, 100) / 100;
        visits = vec![(60, Visit::Downloads(count, 3_300_000 / count.max(1)))];
    } else if at_work && person.role != Role::Archivist {
        let count = dice.between(0, org.usual) * burst;
        visits.push((dice.below(2_400), Visit::Downloads(count, dice.between(3_000, 20_000))));
    }
    visits.sort_by_key(|(begin, _)| *begin);
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
    /// The Wi-Fi that the phone is in.
    wifi: Address,
}

impl Places {
    pub(super) fn of(seed: u64, org: &Org, person: &Person, day: u64) -> Self {
        let in_office = Dice::of(seed, Topic::Day, person.number as u64, day).chance(550);
        let wifi = if in_office { network::office(org.index, org.country) } else { person.home };
        let desktop = if !in_office && person.uses_vpn { network::vpn(org.index) } else { wifi };
        Places { desktop, wifi }
    }
}

fn work(
    dice: &mut Dice,
    org: &Org,
    person: &mut Person,
    places: &Places,
    (mut at, end): (Micros, Micros),
    events: u64,
    out: &mut Vec<Act>,
) -> Micros {
    let (device, address) = match dice.below(10) {
        0 => (Kind::Phone, network::mobile(person.number, dice.below(60_000), person.country)),
        1 => (Kind::Phone, places.wifi),
        _ => (Kind::Desktop, places.desktop),
    };
    for _ in 0..events {
        if at >= end {
            break;
        }
        let verb = verb(dice);
        act(org, person, device, at, address, verb, out);
        if let (true, Some(last)) = (dice.chance(150), out.last_mut()) {
            // A request that was under way while the stamp rotated.
            last.origin.cookie = person.devices[device as usize].session.overlapping(at).or(last.origin.cookie);
        }
        at = at.plus(Span::from_millis(dice.between(700, 45_000)));
    }
    at
}

fn downloads(
    dice: &mut Dice,
    org: &Org,
    person: &mut Person,
    places: &Places,
    (mut at, end): (Micros, Micros),
    (count, gap): (u64, u64),
    out: &mut Vec<Act>,
) -> Micros {
    for _ in 0..count {
        if at >= end {
            break;
        }
        let verb = Verb::Download { file: dice.below(9_000), ok: !dice.chance(5) };
        act(org, person, Kind::Desktop, at, places.desktop, verb, out);
        at = at.plus(Span::from_millis(dice.between(gap / 2, gap * 3 / 2)));
    }
    at
}

/// The nightly export of an app on somebody's behalf: about the same number every night.
fn export(dice: &mut Dice, org: &Org, person: &Person, start: Micros, out: &mut Vec<Act>) {
    let address = Some(Address { country: "IE", ..network::vpn(org.index) });
    let origin = Origin { address, client: None, tls: None, device: None, session: None, cookie: None, app: true };
    let mut at = start.plus(Span::from_mins(10));
    for _ in 0..dice.between(130, 140) {
        let verb = Verb::Download { file: dice.below(9_000), ok: true };
        let sent = at_precision(org, at);
        out.push(Act { at: sent, arrives: sent, person: person.number, verb, origin });
        at = at.plus(Span::from_millis(dice.between(4_000, 12_000)));
    }
}

/// What people do, in the proportions of an audit stream.
pub(super) fn verb(dice: &mut Dice) -> Verb {
    let channel = dice.below(400);
    match dice.below(100) {
        0..34 => Verb::Call { method: "conversations.history" },
        34..56 => Verb::Call { method: "chat.postMessage" },
        56..66 => Verb::Call { method: "conversations.replies" },
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
        tls: None,
        device: Some(device.id),
        session: Some(device.session.id),
        cookie: Some(device.session.present(at)),
        app: false,
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
