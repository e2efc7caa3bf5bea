//! The orgs: what they are called, how they work, and what their admins set and when. How much they do of what stands in
//! `volume`.

use super::calendar::Calendar;
use super::network;
use super::person::{Person, Role};
use crate::model::control::{Channels, ResponseSetting, Settings};
use crate::model::decision::Outcome;
use crate::model::reason::Reason;
use engine::time::{Micros, Span};

/// What kind of house an org is. Orgs take turns in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// A design studio: hundreds of downloads an hour are an ordinary morning.
    Studio,
    /// A bank: strict, few downloads, everything answered, a trusted security lab.
    Bank,
    /// A start-up without history, on Slack's plain entries, that has Tor switched off.
    Startup,
    /// An agency that shares everything with its clients; defaults untouched.
    Agency,
    /// A university: phones everywhere, everything answered but sessions.
    University,
    /// A call centre: everybody behind one address, at shared hours, searching all day; everything answered.
    CallCentre,
}

const STYLES: [Style; 6] =
    [Style::Studio, Style::Bank, Style::Startup, Style::Agency, Style::University, Style::CallCentre];

/// The group whose members are exempt from `tor` in some orgs.
pub(super) const RED_TEAM: &str = "S0REDTEAM";

/// An org and what follows from its style.
#[derive(Debug)]
pub(super) struct Org {
    pub(super) index: usize,
    pub(super) style: Style,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) domain: String,
    /// Set for an org whose entries name a workspace as their location.
    pub(super) workspace: Option<String>,
    /// Hours east of Greenwich, and country.
    pub(super) zone: i64,
    pub(super) country: &'static str,
    /// When its first event happens.
    pub(super) opens: Micros,
    /// Number of the plan's day that it opens on.
    pub(super) opens_on: u64,
    /// Most downloads in an ordinary hour of an ordinary person.
    pub(super) usual: u64,
    pub(super) users: u64,
    /// From and until when its desktop app is rolled back, person by person.
    pub(super) rollback: Option<(Micros, Micros)>,
    /// The settings in force from a time on, in order; the first from the beginning.
    pub(super) settings: Vec<(Micros, Settings)>,
}

impl Org {
    /// Org number `index` of so many users, whose exempt people are `exempt`.
    pub(super) fn new(index: usize, users: usize, calendar: Calendar, exempt: Option<String>) -> Self {
        let style = STYLES[index % STYLES.len()];
        let (name, zone, country, usual) = match style {
            Style::Studio => ("Halftone Studio", 1, "DE", 14),
            Style::Bank => ("Meridian Bank", 0, "GB", 3),
            Style::Startup => ("Lantern Labs", 2, "FI", 6),
            Style::Agency => ("Driftwood Agency", -5, "US", 5),
            Style::University => ("Alder University", -3, "BR", 6),
            Style::CallCentre => ("Redwood Helpline", 1, "DE", 1),
        };
        let turn = index / STYLES.len();
        let suffix = if turn == 0 { String::new() } else { format!(" {}", turn + 1) };
        let opens_on = if style == Style::Startup { calendar.days - calendar.days.div_ceil(7) } else { 0 };
        let midway = calendar.day(calendar.days / 2);
        Org {
            index,
            style,
            id: format!("E0{index:06}"),
            name: format!("{name}{suffix}"),
            domain: format!("{}{suffix}", name.to_lowercase()).replace(' ', "-"),
            workspace: matches!(style, Style::Startup | Style::Agency).then(|| format!("T0{index:06}")),
            zone,
            country,
            opens: calendar.day(opens_on),
            opens_on,
            usual,
            users: users as u64,
            rollback: (style == Style::Studio).then(|| calendar.rollback()),
            settings: timeline(style, midway, exempt),
        }
    }

    /// Whether its entries are Slack's own, without the fields that a fingerprint could be taken from.
    pub(super) fn is_plain(&self) -> bool {
        self.style == Style::Startup
    }

    /// The settings in force.
    pub(super) fn settings_at(&self, at: Micros) -> &Settings {
        let later = self.settings.iter().rev().find(|(from, _)| *from <= at);
        &later.unwrap_or(&self.settings[0]).1
    }

    /// What has to be decided about a first anomaly of this person; `None` if the reason has no toggle.
    pub(super) fn outcome(&self, reason: Reason, person: &Person, at: Micros) -> Option<Outcome> {
        if !reason.has_toggle() {
            return None;
        }
        let settings = self.settings_at(at);
        let set = settings.responses.get(&reason);
        Some(match person.role {
            Role::GuestListed | Role::GuestUnlisted => Outcome::ExternalUser,
            Role::Bot => Outcome::BotUser,
            _ if !settings.enabled(reason) => Outcome::Disabled,
            _ if set.is_some_and(|s| s.exclude_users.contains(&person.id)) => Outcome::ExcludedUser,
            _ if set.is_some_and(|s| person.groups().iter().any(|g| s.exclude_groups.contains(*g))) => {
                Outcome::ExcludedGroup
            }
            _ => Outcome::Responded,
        })
    }

    /// Whether it trusts its own build servers.
    pub(super) fn trusts_builds(&self) -> bool {
        !matches!(self.style, Style::Startup | Style::Agency)
    }

    /// The value of its `allow_list`, if it has one.
    pub(super) fn allow_list(&self) -> Option<serde_json::Value> {
        let lab = (self.style == Style::Bank).then(|| network::lab_prefix(self.index));
        let builds = self.trusts_builds().then(|| network::build_prefix(self.index));
        let trusted: Vec<_> = lab.into_iter().chain(builds).collect();
        (!trusted.is_empty()).then(|| serde_json::json!({"trusted_cidr": trusted, "trusted_asn": []}))
    }
}

/// What the admins of such a house set, from the beginning and midway through the plan.
fn timeline(style: Style, midway: Micros, exempt: Option<String>) -> Vec<(Micros, Settings)> {
    let mut first = Settings::default();
    let mut set = |reason: Reason, enabled: bool| {
        first.responses.insert(reason, ResponseSetting { enabled: Some(enabled), ..ResponseSetting::default() });
    };
    match style {
        Style::Bank | Style::CallCentre => Reason::WITH_TOGGLE.iter().for_each(|reason| set(*reason, true)),
        Style::University => {
            Reason::WITH_TOGGLE.iter().for_each(|reason| set(*reason, *reason != Reason::SessionFingerprint));
        }
        Style::Studio => [Reason::Tor, Reason::UnexpectedScraping, Reason::SessionFingerprint]
            .iter()
            .for_each(|reason| set(*reason, true)),
        Style::Startup => set(Reason::Tor, false),
        Style::Agency => {}
    }
    let exclude = |settings: &mut Settings| {
        if let Some(user) = exempt.clone() {
            settings.responses.entry(Reason::Tor).or_default().exclude_users.insert(user);
        }
    };
    if style == Style::Bank {
        first.primary_owner = Channels { email: true, dm: false };
        first.security_admins = Channels { email: true, dm: true };
        first.responses.entry(Reason::Tor).or_default().exclude_groups.insert(RED_TEAM.to_owned());
        exclude(&mut first);
    }
    let mut later = first.clone();
    match style {
        Style::Studio => {
            let downloads = ResponseSetting { enabled: Some(true), ..ResponseSetting::default() };
            later.responses.insert(Reason::ExcessiveDownloads, downloads);
            later.security_admins = Channels { email: true, dm: false };
            exclude(&mut later);
        }
        Style::University => exclude(&mut later),
        _ => return vec![(BEFORE, first)],
    }
    vec![(BEFORE, first), (midway.plus(Span::from_hours(8)), later)]
}

/// Stands for the beginning of time in [`Org::settings`].
pub(super) const BEFORE: Micros = Micros::ZERO;
