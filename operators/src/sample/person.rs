//! The people: who they are, when and where they work, and the devices and sessions they work with.

use super::calendar::Local;
use super::client::{Client, DESKTOPS, PHONES, Software};
use super::dice::{Dice, Topic};
use super::network::{self, Address};
use super::org::{Org, RED_TEAM};
use engine::time::{Micros, Span};

/// What sets a person apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Owner,
    SecurityAdmin,
    /// Downloads a lot every day at the same hour: a heavy user by habit.
    Archivist,
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
    Member,
}

impl Role {
    /// The first of every org hold one role each; three in a hundred of all others are archivists.
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
        let archivist = index % 33 == 2;
        FIRST.get(index).copied().unwrap_or(if archivist { Role::Archivist } else { Role::Member })
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
}

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
    pub(super) devices: [Device; 2],
    /// Until then a scenario tells what this person does.
    pub(super) staged_until: Micros,
}

impl Person {
    pub(super) fn new(seed: u64, number: usize, org: &Org, index: usize) -> Self {
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
        // Ids of devices and sessions leave room for what scenarios add beside them.
        let device = |slot: Kind, software, lag| Device {
            id: number as u64 * 4 + slot as u64,
            software,
            lag,
            session: Session::new(number as u64 * 4 + slot as u64),
        };
        Person {
            number,
            org: org.index,
            id,
            name,
            email,
            role,
            actor,
            zone: org.zone + dice.between(0, 2) as i64 - 1,
            country: org.country,
            begins: dice.between(7, 9),
            energy: dice.between(6, 24),
            uses_vpn: dice.chance(300),
            home: network::home(number, org.country),
            devices: [
                device(Kind::Desktop, dice.pick(&DESKTOPS), dice.below(5)),
                device(Kind::Phone, dice.pick(&PHONES), dice.below(5)),
            ],
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

    /// UTC hour of the daily download of an archivist.
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
    pub(super) session: Session,
}

impl Device {
    /// The program as it is installed at a time.
    pub(super) fn client(&self, at: Micros) -> Client {
        self.software.at(at, self.lag)
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

/// Session number `sign_ins` of a slot; slots are four to a person, of which devices take the first two.
pub(super) fn session_id(slot: u64, sign_ins: u64) -> u64 {
    100_000_000_000 + slot * 8_192 + sign_ins
}
