//! Orders: work for the outside, and where it stands. Owned here: the words of a ledger's orders, claims and outcomes.
//! Not owned here: what a step means and how it is done (executors).

use crate::time::Micros;

/// Something to be done outside, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Unique among orders, derived from the content of the cause; the idempotency key of its effects.
    pub id: String,
    /// Effective time.
    pub at: Micros,
    /// Whom it is done for; opaque here. Groups take turns, and can be held and limited each by itself.
    pub group: String,
    /// What the executor needs to know; opaque here.
    pub payload: Vec<u8>,
    /// Names of the steps, in the order they are done. At least one. A name begins with the step's [`lane`], up to the
    /// first colon.
    pub steps: Vec<String>,
}

/// The lane of a step: its name up to the first colon. Steps of different lanes do not wait for each other.
pub fn lane(step: &str) -> &str {
    step.split(':').next().unwrap_or_default()
}

/// What an executor asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask<'a> {
    /// Steps of these lanes, the first lane's first.
    pub lanes: &'a [&'a str],
    /// The wall time.
    pub now_ms: u64,
    /// How long the claims are to last.
    pub lease_ms: u64,
    /// At most so many.
    pub limit: usize,
    /// At most so many of one group in one lane at once, with those that are claimed already.
    pub per_group: usize,
}

/// The right to do one step of one order until the lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The order as issued.
    pub order: Order,
    /// Index into the order's steps.
    pub step: usize,
    /// How often this step was tried, with this time: 1 at first. Postponed claims do not count.
    pub attempt: u32,
    /// Number of the lease, ascending within the order; tells this claim from all others.
    pub lease: u64,
    /// Wall time at which others may claim the step.
    pub lease_until_ms: u64,
    /// Wall time of the first claim of this step since it was reached or retried by hand.
    pub first_claimed_ms: u64,
    /// Wall time of the earliest attempt at this step that may have happened: its outcome was unknown, or was never
    /// recorded. A step whose receiver honours no key must not simply be repeated then.
    pub doubtful_since_ms: Option<u64>,
    /// Details of the steps done before this one, by their index.
    pub details: Vec<Option<String>>,
}

impl Claim {
    /// The name of the claimed step.
    pub fn step_name(&self) -> &str {
        self.order.steps.get(self.step).map_or("", String::as_str)
    }
}

/// How an attempt at a step ended. Texts are cut at [`TEXT_BYTES_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// It happened. The next step becomes claimable, or the order is done.
    Done {
        /// What later steps, and readers, should know of it.
        detail: Option<String>,
    },
    /// It certainly did not happen; claimable again at the given wall time.
    NotDone {
        /// Wall time of the next attempt.
        retry_at_ms: u64,
        /// Why.
        error: String,
    },
    /// Nothing was tried: it is not an attempt, and is not on the trail.
    Postponed {
        /// Wall time from which it may be claimed.
        until_ms: u64,
    },
    /// It may have happened. Without a time for the next attempt it waits for an admin.
    Unknown {
        /// Wall time of the next attempt.
        retry_at_ms: Option<u64>,
        /// Why it is not known.
        error: String,
    },
    /// It did not happen, and will not be tried again unless an admin says so. Nor will the steps after it.
    Dead {
        /// Why.
        error: String,
    },
    /// It did not happen, and will not be tried again unless an admin says so. The steps after it do not need it: the
    /// next one becomes claimable. When all have been gone through, the order is dead.
    Passed {
        /// Why.
        error: String,
    },
    /// It came too late to be done.
    Expired {
        /// How late.
        error: String,
    },
}

/// Whether an outcome was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Recorded {
    /// It was, with its entries.
    Applied,
    /// Somebody else claimed the step since, or this claim was recorded before: nothing was written.
    LeaseLost,
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Its next step waits to be claimed.
    Ready,
    /// Its next step is being done.
    Claimed,
    /// All steps are done.
    Done,
    /// The last attempt may have happened.
    Unknown,
    /// Given up.
    Dead,
    /// Too late.
    Expired,
}

impl State {
    /// All states.
    pub const ALL: [State; 6] =
        [State::Ready, State::Claimed, State::Done, State::Unknown, State::Dead, State::Expired];

    /// Its name, as stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            State::Ready => "ready",
            State::Claimed => "claimed",
            State::Done => "done",
            State::Unknown => "unknown",
            State::Dead => "dead",
            State::Expired => "expired",
        }
    }

    /// The state of a name.
    pub fn of_name(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// An order and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderStatus {
    /// Number of the order, ascending as issued.
    pub seq: u64,
    /// The order as issued.
    pub order: Order,
    /// Index of the step that is next, the number of steps when all are done.
    pub step: usize,
    /// Where it stands.
    pub state: State,
    /// Not to be claimed until it is released; holds on its group or on all are told by themselves.
    pub held: bool,
    /// How often the next step was tried.
    pub attempt: u32,
    /// Wall time at which it can be claimed; none if it waits for an admin or for nothing.
    pub due_ms: Option<u64>,
    /// Text of the last outcome that was not done, of the next step.
    pub error: Option<String>,
    /// Wall time of the last claim, outcome or hand laid on it; 0 since it was issued.
    pub updated_ms: u64,
}

/// One line of an order's trail: an attempt at a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Number of its lease.
    pub lease: u64,
    /// Index of the step.
    pub step: usize,
    /// Wall time of the claim.
    pub claimed_ms: u64,
    /// Wall time of the record, or of the claim that took the lease over; none while it goes on.
    pub ended_ms: Option<u64>,
    /// How it ended.
    pub result: AttemptResult,
    /// Its detail or error.
    pub text: Option<String>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttemptResult {
    /// It goes on, or its executor is gone and nobody has claimed the step since.
    Open,
    /// Its lease ran out without a record and the step was claimed anew.
    Lost,
    /// Done.
    Done,
    /// Not done.
    NotDone,
    /// Unknown.
    Unknown,
    /// Given up.
    Dead,
    /// Too late.
    Expired,
}

impl AttemptResult {
    /// All results.
    pub const ALL: [AttemptResult; 7] = [
        AttemptResult::Open,
        AttemptResult::Lost,
        AttemptResult::Done,
        AttemptResult::NotDone,
        AttemptResult::Unknown,
        AttemptResult::Dead,
        AttemptResult::Expired,
    ];

    /// Its name, as stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            AttemptResult::Open => "open",
            AttemptResult::Lost => "lost",
            AttemptResult::Done => "done",
            AttemptResult::NotDone => "not_done",
            AttemptResult::Unknown => "unknown",
            AttemptResult::Dead => "dead",
            AttemptResult::Expired => "expired",
        }
    }

    /// The result of a name.
    pub fn of_name(name: &str) -> Option<AttemptResult> {
        AttemptResult::ALL.into_iter().find(|result| result.name() == name)
    }
}

/// An order came to rest: done, unknown without a further attempt, dead or expired. After a retry by hand it can come
/// to rest again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Number of the settlement, ascending.
    pub seq: u64,
    /// Id of the order.
    pub order: String,
    /// Where it came to rest.
    pub state: State,
    /// Wall time of the record.
    pub at_ms: u64,
}

/// Which orders to list: newest first, a page at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those of this group.
    pub group: Option<&'a str>,
    /// Only those with a number below this: the last number of the page before.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// What a hold is put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Every order, present and future.
    All,
    /// Every order of a group, present and future.
    Group(&'a str),
    /// One order by id.
    Order(&'a str),
}

/// What is held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// Whether everything is.
    pub all: bool,
    /// Groups that are, in order.
    pub groups: Vec<String>,
}
