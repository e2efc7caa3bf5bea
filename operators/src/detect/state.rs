//! What detection remembers of one user or app. Owned here: the row, its bounds and its size. What is rare (volumes,
//! open cases) is boxed, so that the ordinary user's row stays small.

use super::agents::Agents;
use super::cases::Cases;
use super::few::Counts;
use super::known::Known;
use super::recent::RecentIds;
use super::record::Standing;
use super::sessions::Sessions;
use super::unexpected_admin_action::AdminHistory;
use super::unexpected_scraping::Reads;
use super::volume::Volumes;
use super::whereabouts::Whereabouts;
use crate::limits::USER_IDLE;
use crate::model::reason::Reason;
use engine::state::Row;
use engine::time::{Micros, Span};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The row of a user or app.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UserState {
    /// Effective time of the first event, if there was one.
    pub first_seen: Option<Micros>,
    /// Hour in which the user was last reported as active, since 1970; zero if never.
    pub active_hour: u32,
    /// What the directory says. Forgotten with the row, after [`USER_IDLE`].
    pub standing: Option<Standing>,
    /// Reasons for which a group of the user's is excluded, as bits in the order of [`Reason::ALL`].
    exempt: u32,
    /// Events had lately.
    pub recent: RecentIds,
    /// Sessions.
    pub sessions: Sessions,
    /// Texts of their agents.
    pub agents: Agents,
    /// Marks that the user is known by.
    pub marks: Known,
    /// What volume rules count, if there was any of it.
    pub volumes: Option<Box<Volumes>>,
    /// Open cases, if there are any.
    pub cases: Option<Box<Cases>>,
    /// What rules of small counts count, if there was any of it.
    pub few: Option<Box<Counts>>,
    /// What is usual for the user as an admin, if they are one.
    pub admin: Option<Box<AdminHistory>>,
    /// Where the user's clients were last.
    pub whereabouts: Whereabouts,
    /// What was read within an hour, if anything.
    pub reads: Option<Box<Reads>>,
}

impl UserState {
    /// Whether a group of the user's is excluded for a reason.
    pub fn is_exempt(&self, reason: Reason) -> bool {
        self.exempt & 1 << reason as u32 != 0
    }

    /// Notes that a group of the user's is excluded for a reason, or no longer.
    pub fn set_exempt(&mut self, reason: Reason, on: bool) {
        self.exempt = self.exempt & !(1 << reason as u32) | u32::from(on) << reason as u32;
    }
}

impl UserState {
    /// The row at a point of time, for people: lists by what names their items, so that two points can be compared.
    /// Of what is kept as a hash alone, the hash is shown.
    pub fn view(&self, now: Micros) -> Value {
        let (marks, marks_by_rule) = self.marks.view(now);
        let exempt = Reason::ALL.iter().filter(|reason| self.is_exempt(**reason)).map(|reason| reason.code());
        json!({
            "first_seen_us": self.first_seen.map(|at| at.0),
            "last_active_hour_us": (self.active_hour > 0).then(|| u64::from(self.active_hour) * Span::from_hours(1).0),
            "directory": self.standing.map(directory),
            "excluded_by_group": exempt.collect::<Vec<_>>(),
            "recent_ids": self.recent.count(),
            "sessions": self.sessions.view(&self.agents),
            "agents": self.agents.view(),
            "marks": marks,
            "marks_by_rule": marks_by_rule,
            "volumes": self.volumes.as_ref().map_or_else(|| json!({}), |volumes| volumes.view(now)),
            "few": self.few.as_ref().map_or_else(|| json!({}), |few| few.view(now)),
            "admin": self.admin.as_ref().map_or_else(|| json!({}), |admin| admin.view()),
            "whereabouts": self.whereabouts.view(),
            "reads": self.reads.as_ref().map_or(0, |reads| reads.count()),
            "cases": self.cases.as_ref().map_or_else(|| json!({}), |cases| cases.view()),
        })
    }
}

fn directory(known: Standing) -> Value {
    json!({"is_external": known.is_external, "is_bot": known.is_bot, "is_admin": known.is_admin})
}

impl Row for UserState {
    const TYPE: u16 = 20;
    const VERSION: u16 = 2;
    const TTL: Option<Span> = Some(USER_IDLE);

    fn weight(&self) -> usize {
        size_of::<Self>()
            + self.recent.weight()
            + self.sessions.weight()
            + self.agents.weight()
            + self.marks.weight()
            + self.volumes.as_ref().map_or(0, |volumes| size_of::<Volumes>() + volumes.weight())
            + self.few.as_ref().map_or(0, |few| size_of::<Counts>() + few.weight())
            + self.admin.as_ref().map_or(0, |admin| size_of::<AdminHistory>() + admin.weight())
            + self.whereabouts.weight()
            + self.reads.as_ref().map_or(0, |reads| size_of::<Reads>() + reads.weight())
            + self.cases.as_ref().map_or(0, |cases| size_of::<Cases>() + cases.weight())
    }
}
