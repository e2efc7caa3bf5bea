//! What was decided about an anomaly, and for whom a response is meant.

use super::anomaly::Anomaly;
use super::id::Id;
use super::reason::Reason;
use engine::time::Micros;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was decided about one reason of an anomaly. Ordered as the checks are: a later one got further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The user belongs to another org.
    ExternalUser,
    /// The user is a bot.
    BotUser,
    /// An app acted, nobody's sessions end for it.
    AppActor,
    /// The org has switched the reason off.
    Disabled,
    /// The org excluded the user for this reason.
    ExcludedUser,
    /// The org excluded a group of the user's for this reason.
    ExcludedGroup,
    /// The session was ended by an earlier response.
    AlreadyAnswered,
    /// Held back so that nobody is thrown out in a loop.
    LoopProtected,
    /// Held back by the org's blast-radius limit.
    RateLimited,
    /// Dry run: would have responded.
    Shadow,
    /// A response was ordered.
    Responded,
}

impl Outcome {
    /// The name as it stands in `decisions.ndjson`.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::ExternalUser => "external_user",
            Outcome::BotUser => "bot_user",
            Outcome::AppActor => "app_actor",
            Outcome::Disabled => "disabled",
            Outcome::ExcludedUser => "excluded_user",
            Outcome::ExcludedGroup => "excluded_group",
            Outcome::AlreadyAnswered => "already_answered",
            Outcome::LoopProtected => "loop_protected",
            Outcome::RateLimited => "rate_limited",
            Outcome::Shadow => "shadow",
            Outcome::Responded => "responded",
        }
    }

    /// All of them, in the order of the checks.
    pub const ALL: &'static [Outcome] = &[
        Outcome::ExternalUser,
        Outcome::BotUser,
        Outcome::AppActor,
        Outcome::Disabled,
        Outcome::ExcludedUser,
        Outcome::ExcludedGroup,
        Outcome::AlreadyAnswered,
        Outcome::LoopProtected,
        Outcome::RateLimited,
        Outcome::Shadow,
        Outcome::Responded,
    ];
}

/// How a response relates to earlier ones of the same user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No response to this user in the last 24 h.
    First,
    /// Again, and by its marks the honest user's.
    Repeat,
    /// Again, and not by the honest user's marks: the attack goes on.
    Persisting,
}

impl Verdict {
    /// The name as it stands in audit entries.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::First => "first",
            Verdict::Repeat => "repeat",
            Verdict::Persisting => "persisting",
        }
    }
}

/// What was decided about an anomaly that has at least one reason with a toggle; for others `by_reason` is empty and
/// there is no decision to read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What it is about.
    pub anomaly: Anomaly,
    /// Each reason with a toggle, judged by itself.
    pub by_reason: BTreeMap<Reason, Outcome>,
    /// The response that was ordered, if any.
    pub response: Option<Response>,
    /// Whether the org's responses stop here until an admin lifts the stop.
    pub latches: bool,
    /// Whom to tell that nobody was answered, if it is time to.
    pub escalation: Option<Escalation>,
}

impl Decision {
    /// The decision on the whole: `Responded` if any reason was, else the one that got furthest. `None` for an anomaly
    /// that is only logged.
    pub fn outcome(&self) -> Option<Outcome> {
        self.by_reason.values().copied().max()
    }
}

/// A response to carry out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// Derived from (org, key kind, key, triggering event id), never from reasons.
    pub id: Id,
    /// The enabled reasons that triggered it, sorted.
    pub reasons: Vec<Reason>,
    /// How it relates to earlier ones.
    pub verdict: Verdict,
    /// Who is told, one entry per person.
    pub recipients: Vec<Recipient>,
}

/// The org's admins are told that an anomaly is not answered, because a limit was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// Derived from the anomaly's id.
    pub id: Id,
    /// Which limit: [`Outcome::LoopProtected`] or [`Outcome::RateLimited`].
    pub cause: Outcome,
    /// Whether the org's responses stop until an admin resumes them.
    pub latched: bool,
    /// Who is told, one entry per person.
    pub recipients: Vec<Recipient>,
}

/// A response that is to be taken back if nothing of it was done: what its org has set since does not let it through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// When what was set took effect.
    pub at: Micros,
    /// The org.
    pub org: String,
    /// The user.
    pub user: String,
    /// Of the response.
    pub id: Id,
    /// The check that would now hold it back.
    pub why: Outcome,
}

/// One person to tell, with every way they are to be told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Recipient {
    /// User id.
    pub user: String,
    /// Display name, may be empty.
    pub name: String,
    /// Mail address, if mail goes to them.
    pub email: Option<String>,
    /// Account to send a direct message to, if one goes to them.
    pub dm: Option<String>,
    /// Locale as the directory has it, such as `de-DE`; may be empty.
    pub locale: String,
    /// Whether this is the affected user.
    pub affected: bool,
    /// Whether they are told as Primary Owner.
    pub primary_owner: bool,
    /// Whether they are told as Security Admin.
    pub security_admin: bool,
}
