//! What comes into detection and what goes out. Owned here: routing and the order of application at one time: what was
//! set, what is known of users, what orgs taught, events.

use crate::baseline::{Move, TakenBack, Threshold, WentDown};
use crate::model::anomaly::{Active, Anomaly, CaseClosed};
use crate::model::control::{ControlRecord, ControlValue, DirectoryRow, Ended, Settled};
use crate::model::event::{Event, KeyKind, key_of};
use crate::model::reason::Reason;
use engine::keyed::Record;
use engine::state::RowKey;
use engine::time::Micros;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// A record of detection's inputs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "nearly all records are events, which move in batches, not boxes")]
pub enum DetectRecord {
    /// A threat list, an org's trusted networks or settings; broadcast.
    Reference(Box<ControlRecord>),
    /// Something known of a user.
    Directory(Box<Directory>),
    /// A threshold that an org taught; broadcast.
    Threshold(Box<Threshold>),
    /// A version that an org took back; broadcast.
    TakenBack(Box<TakenBack>),
    /// An event.
    Event(Event),
}

/// A change of what is known of a user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Directory {
    at: Micros,
    key: Vec<u8>,
    change: UserChange,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum UserChange {
    /// The directory row, `None` if it was deleted.
    Standing {
        /// Place in the control input.
        position: u64,
        /// What the directory says.
        standing: Option<Standing>,
    },
    /// A group of the user's is excluded for a reason, or no longer.
    Exempt {
        /// Excluded from now on.
        on: bool,
        /// For which reason.
        reason: Reason,
    },
    /// A response to the user came to nothing, as far as is known: what goes on is to be raised anew.
    Unanswered,
}

/// What detection needs of a directory row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Standing {
    /// Belongs to another org.
    pub is_external: bool,
    /// Not a person.
    pub is_bot: bool,
    /// Has a system role, or is the Primary Owner.
    pub is_admin: bool,
}

impl Standing {
    fn of(row: &DirectoryRow) -> Self {
        let is_admin = row.is_primary_owner || !row.roles.is_empty();
        Standing { is_external: row.is_external, is_bot: row.is_bot, is_admin }
    }
}

impl Directory {
    /// A change of what is known of a user.
    pub fn new(at: Micros, org: &str, user: &str, change: UserChange) -> Self {
        Directory { at, key: key_of(KeyKind::User, org, user), change }
    }

    /// The user's key, and what changed.
    pub fn into_parts(self) -> (Vec<u8>, UserChange) {
        (self.key, self.change)
    }
}

impl DetectRecord {
    /// What detection needs of a control record: lists, trusted networks and settings (to be broadcast), directory rows and
    /// what became of responses (to be routed by key). `None` for kinds that it does not need.
    pub fn of_control(record: ControlRecord) -> Option<Self> {
        match &record.value {
            ControlValue::User(row) => {
                let standing = row.as_ref().map(Standing::of);
                let change = UserChange::Standing { position: record.position, standing };
                Some(Directory::new(record.at, &record.org, &record.key, change).into())
            }
            ControlValue::Settings(_) | ControlValue::AllowList(_) | ControlValue::ThreatList(_) => {
                Some(DetectRecord::Reference(Box::new(record)))
            }
            ControlValue::Outcome(Settled { user, ended: Ended::No | Ended::Unknown }) => {
                Some(Directory::new(record.at, &record.org, user, UserChange::Unanswered).into())
            }
            ControlValue::Workspace(_) | ControlValue::Switch(_) | ControlValue::Outcome(_) => None,
        }
    }

    /// Whether the record goes to every worker rather than to the one that owns its key.
    pub fn is_broadcast(&self) -> bool {
        matches!(self, DetectRecord::Reference(_) | DetectRecord::Threshold(_) | DetectRecord::TakenBack(_))
    }

    fn rank(&self) -> u8 {
        match self {
            DetectRecord::Reference(_) => 0,
            DetectRecord::Directory(_) => 1,
            DetectRecord::Threshold(_) => 2,
            DetectRecord::TakenBack(_) => 3,
            DetectRecord::Event(_) => 4,
        }
    }
}

impl From<Event> for DetectRecord {
    fn from(event: Event) -> Self {
        DetectRecord::Event(event)
    }
}

impl From<Threshold> for DetectRecord {
    fn from(threshold: Threshold) -> Self {
        DetectRecord::Threshold(Box::new(threshold))
    }
}

impl From<TakenBack> for DetectRecord {
    fn from(taken_back: TakenBack) -> Self {
        DetectRecord::TakenBack(Box::new(taken_back))
    }
}

impl From<Directory> for DetectRecord {
    fn from(directory: Directory) -> Self {
        DetectRecord::Directory(Box::new(directory))
    }
}

impl Record for DetectRecord {
    fn at(&self) -> Micros {
        match self {
            DetectRecord::Reference(record) => record.at,
            DetectRecord::Directory(directory) => directory.at,
            DetectRecord::Threshold(threshold) => threshold.at,
            DetectRecord::TakenBack(taken_back) => taken_back.at,
            DetectRecord::Event(event) => event.at,
        }
    }

    fn key(&self) -> RowKey<'_> {
        match self {
            DetectRecord::Reference(_) | DetectRecord::Threshold(_) | DetectRecord::TakenBack(_) => RowKey::of(b""),
            DetectRecord::Directory(directory) => RowKey::of(&directory.key),
            DetectRecord::Event(event) => event.key(),
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (DetectRecord::Reference(a), DetectRecord::Reference(b)) => a.cmp(b),
            (DetectRecord::Directory(a), DetectRecord::Directory(b)) => a.cmp(b),
            (DetectRecord::Threshold(a), DetectRecord::Threshold(b)) => a.cmp(b),
            (DetectRecord::TakenBack(a), DetectRecord::TakenBack(b)) => a.cmp(b),
            (DetectRecord::Event(a), DetectRecord::Event(b)) => a.order(b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

/// What detection says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DetectOut {
    /// An anomaly; port [`ANOMALIES`].
    Anomaly(Box<Anomaly>),
    /// A case closed; port [`CLOSED`].
    CaseClosed(Box<CaseClosed>),
    /// A user's sample moved; port [`MOVES`].
    Move(Move),
    /// An event was late and took part; port [`LATE`].
    Late(Late),
    /// A user was active in this hour; port [`ACTIVE`].
    Active(Active),
    /// A user went down to an older version; port [`WENT_DOWN`].
    WentDown(WentDown),
}

/// Port of anomalies.
pub const ANOMALIES: usize = 0;
/// Port of closed cases.
pub const CLOSED: usize = 1;
/// Port of histogram moves.
pub const MOVES: usize = 2;
/// Port of late events.
pub const LATE: usize = 3;
/// Port of active users.
pub const ACTIVE: usize = 4;
/// Port of users who went down to an older version.
pub const WENT_DOWN: usize = 5;

impl DetectOut {
    /// The port that it goes out on.
    pub fn port(&self) -> usize {
        match self {
            DetectOut::Anomaly(_) => ANOMALIES,
            DetectOut::CaseClosed(_) => CLOSED,
            DetectOut::Move(_) => MOVES,
            DetectOut::Late(_) => LATE,
            DetectOut::Active(_) => ACTIVE,
            DetectOut::WentDown(_) => WENT_DOWN,
        }
    }
}

/// An event that came late and took part; a line of `late.ndjson` with `applied: true`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// Effective time.
    pub at: Micros,
    /// Index of the source partition.
    pub partition: u32,
    /// Position within it.
    pub position: u64,
    /// Id of the event.
    pub id: String,
    /// The org.
    pub org: String,
    /// How far behind its partition's watermark it was.
    pub behind_ms: u64,
}
