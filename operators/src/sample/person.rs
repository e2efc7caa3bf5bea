//! The people: who they are, when and where they work, and the devices and sessions they work with.

use super::calendar::{Calendar, Local};
use super::client::{Client, DESKTOPS, PHONES, PROXY_TLS, SLACK_MAC, SLACK_WINDOWS, Software, TABLETS};
use super::dice::{Dice, Topic, scramble};
use super::network::{self, Address};
use super::org::{Org, RED_TEAM, Style};
use super::volume::Volume;
use engine::time::{Micros, Span};

/// What sets a person apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Owner,
    SecurityAdmin,
    /// Does a lot of one thing every day at the same hour, by habit: downloads.
    Archivist,
    /// The same with searches and API calls.
    Researcher,
    /// The same with shares.
    Publisher,
    /// The same with deletions.
    Moderator,
    /// A guest from another org, as the directory says.
    GuestListed,
    /// A guest whom only the events call one.
    GuestUnlisted,
    /// In the group that some orgs exempt.
    RedTeam,
    /// Exempt by name in some orgs.
    Exempt,
    /// An app exports files on this person's behalf every night.
    Exporter,
    Bot,
    /// Works at the help desk, with an admin's rights.
    Admin,
    /// Runs scripts.
    Developer,
    Member,
}

impl Role {
    /// The first of every org hold one role each; of all others, three in a hundred are heavy users of each kind.
    fn of(index: usize) -> Self {
        const FIRST: [Role; 9] = [
            Role::Owner,
            Role::SecurityAdmin,
            Role::Archivist,
            Role::GuestListed,
            Role::GuestUnlisted,
            Role::RedTeam,
            Role::Exempt,
            Role::Exporter,
            Role::Bot,
        ];
        FIRST.get(index).copied().unwrap_or(match (index % 33, index % 20, index % 25) {
            (2, ..) => Role::Archivist,
            (12, ..) => Role::Researcher,
            (22, ..) => Role::Publisher,
            (32, ..) => Role::Moderator,
            (_, 10, _) => Role::Admin,
            (.., 15) => Role::Developer,
            _ => Role::Member,
        })
    }

    /// What somebody does a lot of.
    pub(super) fn heavy(self) -> Option<Volume> {
        match self {
            Role::Archivist => Some(Volume::Downloads),
            Role::Researcher => Some(Volume::Searches),
            Role::Publisher => Some(Volume::Shares),
            Role::Moderator => Some(Volume::Deletions),
            _ => None,
        }
    }

    /// Whether admin work is part of the job.
    pub(super) fn is_admin(self) -> bool {
        matches!(self, Role::Owner | Role::SecurityAdmin | Role::Admin)
    }
}

/// The id of person number `index` of an org.
pub(super) fn user_id(org: usize, index: usize) -> String {
    format!("U{org:04}{index:06}")
}

const NAMES: [&str; 24] = [
    "Aino", "Bela", "Carla", "Dario", "Edda", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kaya", "Lene", "Milo",
    "Nadia", "Oskar", "Pia", "Quim", "Rosa", "Sven", "Tomas", "Uma", "Vera", "Wanda", "Yusuf",
];
const SURNAMES: [&str; 20] = [
    "Abel", "Brandt", "Costa", "Dorn", "Eklund", "Ferro", "Grant", "Holm", "Ivers", "Jensen", "Kowal", "Lund",
    "Moreau", "Novak", "Okafor", "Petrov", "Reyes", "Silva", "Tanaka", "Weber",
];

/// Which of a person's devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Desktop = 0,
    Phone = 1,
    Tablet = 2,
}

/// Devices and session slots are eight to a person: three of the above, and
/// the one that a second computer takes,
pub(super) const SECOND: u64 = 3;
/// the one of a new computer in place of the old one,
const REPLACED: u64 = 4;
/// and a stranger's.
pub(super) const STRANGER: u64 = 7;
const SLOTS: u64 = 8;

/// A person with everything that they carry from hour to hour.
#[derive(Debug)]
pub(super) struct Person {
    /// Counted over all orgs.
    pub(super) number: usize,
    pub(super) org: usize,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) role: Role,
    /// `actor` of this person's events.
    pub(super) actor: String,
    pub(super) zone: i64,
    pub(super) country: &'static str,
    /// Local hour at which work begins.
    pub(super) begins: u64,
    /// Events in an ordinary hour.
    pub(super) energy: u64,
    /// Works through the VPN when at home.
    pub(super) uses_vpn: bool,
    pub(super) home: Address,
    pub(super) tablet: bool,
    /// First and last local day of a trip.
    pub(super) trip: Option<(u64, u64)>,
    /// When a new computer takes the place of the old one.
    pub(super) replaces: Option<Micros>,
    pub(super) devices: [Device; 3],
    /// Last day (UTC) on which this person did anything, and on how many that was so.
    pub(super) active: (u64, u64),
    /// Until then a scenario tells what this person does.
    pub(super) staged_until: Micros,
}

impl Person {
    pub(super) fn new(seed: u64, number: usize, org: &Org, index: usize, calendar: Calendar) -> Self {
        let mut dice = Dice::of(seed, Topic::Person, org.index as u64, index as u64);
        let role = Role::of(index);
        let id = user_id(org.index, index);
        let (first, last) = (dice.pick(&NAMES), dice.pick(&SURNAMES));
        let name = format!("{first} {last}");
        let host = if matches!(role, Role::GuestListed | Role::GuestUnlisted) { "guests" } else { &org.domain };
        let email = format!("{}.{}.{index}@{host}.example", first.to_lowercase(), last.to_lowercase());
        let team = org.workspace.as_ref().unwrap_or(&org.id);
        let external = if role == Role::GuestUnlisted { r#","is_external":true"# } else { "" };
        let actor = format!(
            r#"{{"type":"user","user":{{"id":"{id}","name":"{name}","email":"{email}","team":"{team}"{external}}}}}"#
        );
        let zone = org.zone + dice.between(0, 2) as i64 - 1;
        let begins = dice.between(7, 9);
        let energy = dice.between(6, 24);
        let uses_vpn = dice.chance(300);
        let desktop = Device::new(number, Kind::Desktop as u64, dice.pick(&DESKTOPS), dice.below(5), org);
        let phone = Device::new(number, Kind::Phone as u64, dice.pick(&PHONES), dice.below(5), org);
        let tablet = Device::new(number, Kind::Tablet as u64, dice.pick(&TABLETS), dice.below(5), org);
        let has_tablet = dice.chance(100) && org.style != Style::CallCentre;
        let (travels, moves) = (dice.chance(30), dice.chance(20));
        let day = dice.between(7, calendar.days.max(10) - 2);
        let long = calendar.days > 7;
        let first = Local::of(calendar.day(day), zone).day;
        Person {
            number,
            org: org.index,
            id,
            name,
            email,
            role,
            actor,
            zone,
            country: org.country,
            begins,
            energy,
            uses_vpn,
            home: network::home(number, org.country),
            tablet: has_tablet,
            trip: (long && travels).then_some((first, first + 2)),
            replaces: (long && moves && !travels).then_some(calendar.day(day)),
            devices: [desktop, phone, tablet],
            active: (0, 0),
            staged_until: Micros::ZERO,
        }
    }

    /// The groups that the directory has this person in.
    pub(super) fn groups(&self) -> &'static [&'static str] {
        if self.role == Role::RedTeam { &[RED_TEAM] } else { &[] }
    }

    /// A response or the person ends all sessions.
    pub(super) fn sign_out(&mut self, at: Micros) {
        self.devices.iter_mut().for_each(|device| device.session.ends = Some(at));
    }

    /// Puts a new computer in the place of the old one: of the same kind or, half the time, of the other.
    pub(super) fn replace_desktop(&mut self, org: &Org) {
        let other = if self.devices[0].software.os == "Windows" { &SLACK_MAC } else { &SLACK_WINDOWS };
        let software = if scramble(self.number as u64).is_multiple_of(2) { other } else { self.devices[0].software };
        self.devices[0] = Device::new(self.number, REPLACED, software, 0, org);
        self.replaces = None;
    }

    /// Notes that this person did something at a time.
    pub(super) fn note_active(&mut self, at: Micros) {
        let day = Local::of(at, 0).day;
        if day > self.active.0 {
            self.active = (day, self.active.1 + 1);
        }
    }

    /// UTC hour at which somebody does what is done a lot, every day.
    pub(super) fn burst_hour(&self) -> u64 {
        (self.begins + 3).saturating_add_signed(-self.zone)
    }

    /// UTC hour at which this person surely works, `after` hours into the day.
    pub(super) fn working_hour(&self, after: u64) -> u64 {
        (self.begins + after).saturating_add_signed(-self.zone)
    }
}

/// A device and the session it is signed in with.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) id: u64,
    pub(super) software: &'static Software,
    lag: u64,
    /// From and until when the program is rolled back.
    rollback: Option<(Micros, Micros)>,
    /// Set where a proxy makes its own handshake.
    pub(super) tls: Option<&'static str>,
    pub(super) session: Session,
}

impl Device {
    fn new(person: usize, slot: u64, software: &'static Software, lag: u64, org: &Org) -> Self {
        let id = self::slot(person, slot);
        let stage = Span::from_mins(scramble(id) % (30 * 60));
        let rolls_back = software.name == "Slack Desktop";
        let proxied = org.style == Style::Bank && slot != Kind::Phone as u64 && slot != Kind::Tablet as u64;
        Device {
            id,
            software,
            lag,
            rollback: org.rollback.filter(|_| rolls_back).map(|(from, until)| (from.plus(stage), until)),
            tls: proxied.then_some(PROXY_TLS),
            session: Session::new(id),
        }
    }

    /// The program as it is installed at a time.
    pub(super) fn client(&self, at: Micros) -> Client {
        let client = self.software.at(at, self.lag);
        match self.rollback {
            Some((from, until)) if (from..until).contains(&at) => client.rolled_back(),
            _ => client,
        }
    }

    /// Makes sure that the device is signed in; true if it had to sign in anew.
    pub(super) fn sign_in(&mut self, at: Micros, zone: i64) -> bool {
        let session = &mut self.session;
        let day = Local::of(at, zone).day;
        let over = session.ends.is_some_and(|ends| ends <= at);
        let stale = self.software.browser && session.day != day;
        if session.day != 0 && !over && !stale {
            return false;
        }
        session.renew(at, day);
        true
    }
}

/// Longest that a stamp is used before the server issues another one.
const ROTATION: Span = Span::from_mins(15);
/// For how long after a rotation parallel requests may still carry the older stamp; well within the grace of 120 s.
const OVERLAP: Span = Span::from_secs(60);

/// A session as its honest holder has it.
#[derive(Debug)]
pub(super) struct Session {
    /// Of the device; session ids follow from it and the number of sign-ins.
    slot: u64,
    sign_ins: u64,
    pub(super) id: u64,
    /// Local day of the sign-in; 0 before the first.
    day: u64,
    ends: Option<Micros>,
    /// The stamp in use, and since when.
    pub(super) stamp: Micros,
    pub(super) since: Micros,
    /// The stamp before; what a thief took earlier.
    pub(super) superseded: Option<Micros>,
    /// Issued with the last answer, in use from the next request on.
    issued: Option<Micros>,
}

impl Session {
    fn new(slot: u64) -> Self {
        let (stamp, since) = (Micros::ZERO, Micros::ZERO);
        Session { slot, sign_ins: 0, id: 0, day: 0, ends: None, stamp, since, superseded: None, issued: None }
    }

    fn renew(&mut self, at: Micros, day: u64) {
        let (slot, sign_ins) = (self.slot, self.sign_ins + 1);
        *self = Session { sign_ins, id: session_id(slot, sign_ins), day, stamp: at, since: at, ..Session::new(slot) };
    }

    /// The stamp that a request at `at` carries. Requests come in order of time.
    pub(super) fn present(&mut self, at: Micros) -> Micros {
        match self.issued {
            Some(issued) if at > issued => {
                self.superseded = Some(self.stamp);
                (self.stamp, self.since, self.issued) = (issued, at, None);
            }
            None if at.since(self.stamp) >= ROTATION => self.issued = Some(at),
            _ => {}
        }
        self.stamp
    }

    /// The older stamp, while a parallel request may carry it.
    pub(super) fn overlapping(&self, at: Micros) -> Option<Micros> {
        self.superseded.filter(|_| at.since(self.since) < OVERLAP)
    }
}

/// The slot of a person's number `slot`, for sessions and devices.
pub(super) fn slot(person: usize, slot: u64) -> u64 {
    person as u64 * SLOTS + slot
}

/// Session number `sign_ins` of a slot.
pub(super) fn session_id(slot: u64, sign_ins: u64) -> u64 {
    100_000_000_000 + slot * 8_192 + sign_ins
}
