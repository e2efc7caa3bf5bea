//! What decide remembers: of an org what it set and whom it tells, of a user what the directory says and when they
//! were last answered. Rows of users lie under their org, so that one worker sees both.

use super::checks::Rule;
use super::record::{OrgChange, UserChange};
use super::restraint::{Answers, Radius};
use crate::model::control::{AllowList, ResponseSetting, Settings, Switch};
use crate::model::decision::Recipient;
use crate::model::reason::Reason;
use engine::state::Row;
use engine::time::{Micros, Span};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A row of decide. Directory rows must not expire, so none do; what is kept per user is small and has a fixed bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DecideRow {
    /// An org.
    Org(Box<OrgRow>),
    /// A user of an org.
    User(UserRow),
}

/// What an org set, and whom it tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrgRow {
    /// Its settings. Who is excluded through a group stands in the users' rows.
    pub settings: Settings,
    /// Its trusted networks, to tell what changes; detection alone uses them.
    pub allow_list: AllowList,
    /// Its own shadow switch.
    pub shadow: Option<Switch>,
    /// Its admins who are told of responses, by user id; at most [`crate::limits::RECIPIENTS_MAX`].
    pub admins: BTreeMap<String, Recipient>,
    /// Its Primary Owner, if mail reaches them, for what somebody has to be told.
    pub owner: Option<Recipient>,
    /// Who is active, and who was answered lately.
    pub radius: Radius,
    /// When its admins were last told that its limit is reached.
    pub told: Option<Micros>,
}

/// What is known of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// The directory's word, if it has one.
    pub known: Option<Known>,
    /// The reasons for which a group of the user's is excluded.
    pub exempt: BTreeSet<Reason>,
    /// Effective times of the events that were answered lately, or would have been but for a dry run; of the last one
    /// however long ago.
    pub answers: Answers,
    /// When admins were last told that the user is left in peace.
    pub told: Option<Micros>,
}

/// What decide needs of a directory row.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Known {
    /// Display name.
    pub name: String,
    /// Mail address.
    pub email: String,
    /// Locale.
    pub locale: String,
    /// Belongs to another org.
    pub is_external: bool,
    /// Not a person.
    pub is_bot: bool,
}

impl Row for DecideRow {
    const TYPE: u16 = 30;
    const VERSION: u16 = 3;
    const TTL: Option<Span> = None;

    fn weight(&self) -> usize {
        match self {
            DecideRow::Org(row) => {
                let of_reason = |r: &ResponseSetting| r.exclude_users.len() + r.exclude_groups.len();
                let excluded: usize = row.settings.responses.values().map(of_reason).sum();
                let trusted = row.allow_list.trusted_cidr.len() + row.allow_list.trusted_asn.len();
                768 + 64 * excluded + 32 * trusted + 256 * row.admins.len() + row.radius.weight()
            }
            DecideRow::User(row) => {
                let known = row.known.as_ref().map_or(0, |k| k.name.len() + k.email.len() + k.locale.len());
                192 + known + row.answers.weight()
            }
        }
    }
}

impl DecideRow {
    /// The row for people.
    pub fn view(&self) -> Value {
        match self {
            DecideRow::Org(row) => row.view(),
            DecideRow::User(row) => row.view(),
        }
    }
}

impl OrgRow {
    /// What the org set, with the defaults of what it did not, and whom it tells.
    pub fn view(&self) -> Value {
        let response = |reason: &Reason| {
            let excluded = self.settings.responses.get(reason).map(|response| &response.exclude_users);
            let fields = json!({"enabled": self.settings.enabled(*reason), "exclude_users": excluded});
            (reason.code().to_owned(), fields)
        };
        let toggles = Reason::ALL.iter().filter(|reason| reason.has_toggle());
        let shadow = self.shadow.as_ref().map(|switch| {
            let reasons = switch.reasons.as_ref();
            let reasons = reasons.map(|reasons| reasons.iter().map(|reason| reason.code()).collect::<Vec<_>>());
            json!({"on": switch.on, "reasons": reasons})
        });
        json!({
            "responses": Value::Object(toggles.map(response).collect()),
            "primary_owner": self.settings.primary_owner,
            "security_admins": self.settings.security_admins,
            "shadow": shadow,
            "blast_radius": self.radius.view(),
            "told": self.admins.keys().collect::<Vec<_>>(),
            "told_of_limit_us": self.told.map(|at| at.0),
        })
    }

    /// Takes up a change.
    pub fn change(&mut self, change: OrgChange) {
        match change {
            OrgChange::Settings { settings, .. } => self.settings = settings.unwrap_or_default(),
            OrgChange::AllowList { list, .. } => self.allow_list = list.unwrap_or_default(),
            OrgChange::Shadow { switch, .. } => self.shadow = switch,
            OrgChange::Admin { on: true, admin } => {
                self.admins.insert(admin.user.clone(), admin);
            }
            OrgChange::Admin { on: false, admin } => {
                self.admins.remove(&admin.user);
            }
            OrgChange::Owner { on, owner } => self.owner = on.then_some(owner),
            OrgChange::Active { at, previous } => self.radius.active(at, previous),
            OrgChange::Resume { at } => self.resume(at),
        }
    }

    /// An admin lifts a latched stop at `at`, if it fell before. Should it fall again, they are told again.
    pub fn resume(&mut self, at: Micros) {
        if self.radius.resume(at) {
            self.told = None;
        }
    }

    /// What applies to a user for a reason; `held_back` says whether they were answered too often for it, `shadow`
    /// whether a dry run is on beyond the org's own switch.
    pub fn rule(&self, reason: Reason, name: &str, user: &UserRow, held_back: bool, shadow: bool) -> Rule {
        Rule {
            held_back,
            enabled: self.settings.enabled(reason),
            excluded_user: self.settings.responses.get(&reason).is_some_and(|r| r.exclude_users.contains(name)),
            excluded_group: user.exempt.contains(&reason),
            shadow: shadow || covers(self.shadow.as_ref(), reason),
        }
    }
}

impl UserRow {
    /// What is known of the user.
    pub fn view(&self) -> Value {
        json!({
            "directory": self.known,
            "excluded_by_group": self.exempt.iter().map(|reason| reason.code()).collect::<Vec<_>>(),
            "answered_us": self.answers.view(),
            "admins_told_us": self.told.map(|at| at.0),
        })
    }

    /// Takes up a change of what is known; what became of a response is for [`Answers::settle`].
    pub fn change(&mut self, change: UserChange) {
        match change {
            UserChange::Directory { known, .. } => self.known = known,
            UserChange::Settled { .. } => {}
            UserChange::Exempt { on: true, reason } => {
                self.exempt.insert(reason);
            }
            UserChange::Exempt { on: false, reason } => {
                self.exempt.remove(&reason);
            }
        }
    }
}

/// Whether a switch is on for a reason.
pub fn covers(switch: Option<&Switch>, reason: Reason) -> bool {
    switch.is_some_and(|switch| switch.on && switch.reasons.as_ref().is_none_or(|reasons| reasons.contains(&reason)))
}
