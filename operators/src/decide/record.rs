//! What comes into decide and what goes out: policy as it changes, who is active, what became of responses, anomalies;
//! decisions, and what follows from a change by itself. Owned here: where each record's row lies and the order of
//! application at one time.

use super::rows::Known;
use crate::model::anomaly::{Active, Anomaly};
use crate::model::change::Change;
use crate::model::control::{AllowList, DirectoryRow, Ended, Settings, Switch};
use crate::model::decision::{Decision, Recipient, Withdrawal};
use crate::model::event::{KeyKind, key_of, split_key};
use crate::model::id::Id;
use crate::model::reason::Reason;
use engine::key::{self, KeyGroup};
use engine::keyed::Record;
use engine::state::RowKey;
use engine::time::Micros;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// A record of decide's inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecideRecord {
    at: Micros,
    address: Address,
    body: Body,
}

/// What a record says. At one time they apply in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Body {
    /// A switch of the whole job; broadcast.
    Global(GlobalChange),
    /// Something that an org set.
    Org(OrgChange),
    /// Something that is known of a user.
    User(UserChange),
    /// An anomaly to judge.
    Anomaly(Box<Anomaly>),
}

/// A switch for all orgs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GlobalChange {
    /// The shadow switch.
    Shadow {
        /// Place in the control input.
        position: u64,
        /// The switch, `None` if it was deleted.
        switch: Option<Switch>,
    },
    /// Every latched blast-radius stop is lifted.
    Resume {
        /// When.
        at: Micros,
    },
}

/// A change of an org's policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OrgChange {
    /// Its settings, `None` for the defaults.
    Settings {
        /// Place in the control input.
        position: u64,
        /// What was set.
        settings: Option<Settings>,
    },
    /// Its shadow switch.
    Shadow {
        /// Place in the control input.
        position: u64,
        /// The switch, `None` if it was deleted.
        switch: Option<Switch>,
    },
    /// Its trusted networks, `None` for none.
    AllowList {
        /// Place in the control input.
        position: u64,
        /// What is trusted.
        list: Option<AllowList>,
    },
    /// Its latched blast-radius stop is lifted.
    Resume {
        /// When.
        at: Micros,
    },
    /// Someone is told of responses from now on, or no longer. Who changes goes (`false`) before they come.
    Admin {
        /// Told from now on.
        on: bool,
        /// Who, and how; not as the affected user.
        admin: Recipient,
    },
    /// Who its Primary Owner is from now on, or was. Who was goes (`false`) before who is comes.
    Owner {
        /// Is from now on.
        on: bool,
        /// Who, by mail; not as the affected user.
        owner: Recipient,
    },
    /// One of its people is active.
    Active {
        /// Since when.
        at: Micros,
        /// The hour, since 1970, in which they were active last; zero if never.
        previous: u32,
    },
}

/// A change of what is known of a user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum UserChange {
    /// The directory row, `None` if it was deleted.
    Directory {
        /// Place in the control input.
        position: u64,
        /// What the directory says.
        known: Option<Known>,
    },
    /// A group of the user's is excluded for a reason, or no longer.
    Exempt {
        /// Excluded from now on.
        on: bool,
        /// For which reason.
        reason: Reason,
    },
    /// It is known what became of a response.
    Settled {
        /// Its id.
        response: Id,
        /// Whether sessions were ended.
        ended: Ended,
    },
}

/// Where a row of decide lies: always in the group of its org.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    group: KeyGroup,
    name: Vec<u8>,
}

impl Address {
    /// The row of an org.
    pub fn org(org: &str) -> Self {
        let mut name = Vec::with_capacity(1 + org.len());
        name.push(b'o');
        name.extend_from_slice(org.as_bytes());
        Address { group: KeyGroup::of(key::hash(&name)), name }
    }

    /// The row of a user of an org.
    pub fn user(org: &str, user: &str) -> Self {
        Address { name: key_of(KeyKind::User, org, user), ..Address::org(org) }
    }

    /// No row: records for everyone.
    fn everywhere() -> Self {
        Address { group: RowKey::of(b"").group, name: Vec::new() }
    }

    /// As the engine knows it.
    pub fn key(&self) -> RowKey<'_> {
        RowKey::under(self.group, &self.name)
    }

    /// The org of an org's row, and the user of a user's.
    pub fn names(&self) -> (&str, Option<&str>) {
        match split_key(&self.name) {
            Some((org, user)) if self.name.first() != Some(&b'o') => (org, Some(user)),
            _ => (std::str::from_utf8(self.name.get(1..).unwrap_or_default()).unwrap_or_default(), None),
        }
    }
}

/// What decide says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DecideOut {
    /// What was decided about an anomaly; port [`DECISIONS`].
    Decision(Box<Decision>),
    /// A response is to be taken back; port [`WORDS`].
    Withdrawal(Box<Withdrawal>),
    /// An org changed what it had set; port [`WORDS`].
    Change(Box<Change>),
}

/// Port of decisions.
pub const DECISIONS: usize = 0;
/// Port of what follows from a change by itself.
pub const WORDS: usize = 1;

impl DecideRecord {
    /// A switch for all orgs, to be broadcast.
    pub fn global(at: Micros, change: GlobalChange) -> Self {
        DecideRecord { at, address: Address::everywhere(), body: Body::Global(change) }
    }

    /// A change of an org's policy.
    pub fn org(at: Micros, org: &str, change: OrgChange) -> Self {
        DecideRecord { at, address: Address::org(org), body: Body::Org(change) }
    }

    /// A change of what is known of a user.
    pub fn user(at: Micros, org: &str, user: &str, change: UserChange) -> Self {
        DecideRecord { at, address: Address::user(org, user), body: Body::User(change) }
    }

    /// Where the record's row lies, and what it says.
    pub fn into_parts(self) -> (Address, Body) {
        (self.address, self.body)
    }
}

impl From<Anomaly> for DecideRecord {
    fn from(anomaly: Anomaly) -> Self {
        let address = Address::user(&anomaly.org, person(&anomaly));
        DecideRecord { at: anomaly.at, address, body: Body::Anomaly(Box::new(anomaly)) }
    }
}

impl From<Active> for DecideRecord {
    fn from(active: Active) -> Self {
        let Active { at, org, previous } = active;
        DecideRecord::org(at, &org, OrgChange::Active { at, previous })
    }
}

impl From<DirectoryRow> for Known {
    fn from(row: DirectoryRow) -> Self {
        Known { name: row.name, email: row.email, locale: row.locale, is_external: row.is_external, is_bot: row.is_bot }
    }
}

/// The person behind an anomaly, also where an app's activity is judged.
pub fn person(anomaly: &Anomaly) -> &str {
    match anomaly.kind {
        KeyKind::User => &anomaly.user,
        KeyKind::App => &anomaly.actor.id,
    }
}

impl Body {
    fn rank(&self) -> u8 {
        match self {
            Body::Global(_) => 0,
            Body::Org(_) => 1,
            Body::User(_) => 2,
            Body::Anomaly(_) => 3,
        }
    }
}

impl Record for DecideRecord {
    fn at(&self) -> Micros {
        self.at
    }

    fn key(&self) -> RowKey<'_> {
        self.address.key()
    }

    fn order(&self, other: &Self) -> Ordering {
        match (&self.body, &other.body) {
            (Body::Anomaly(a), Body::Anomaly(b)) => (&a.org, &a.user, &a.id).cmp(&(&b.org, &b.user, &b.id)),
            (Body::Global(a), Body::Global(b)) => a.cmp(b),
            (Body::Org(a), Body::Org(b)) => self.address.name.cmp(&other.address.name).then_with(|| a.cmp(b)),
            (Body::User(a), Body::User(b)) => self.address.name.cmp(&other.address.name).then_with(|| a.cmp(b)),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}
