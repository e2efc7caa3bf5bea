//! The ledger: how an effect happens once, however often its cause is derived. Owned here: the contract and its
//! conformance suite. Not owned here: what orders mean and how steps are done (executors), where it is kept
//! (connectors).
//!
//! The dataflow *issues* entries (lines of a projected log) and orders (work for the outside, in named steps) at its
//! frontier. Executors *claim* an order's next step under a lease, do it, and *record* the outcome, with any entries
//! that follow from it. What is issued again at or below the time issued so far is compared, never acted on.
//!
//! Wall-clock times (`_ms`, milliseconds since 1970) are given by the caller; a ledger reads no clock.

pub mod conformance;

use crate::error::Error;
use crate::time::Micros;

/// The longest detail or error text that is kept, in bytes; what is longer is cut.
pub const TEXT_BYTES_MAX: usize = 2_048;

/// A line of a projected log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Unique among entries, derived from the content of the cause.
    pub id: String,
    /// Effective time.
    pub at: Micros,
    /// One line without its line end.
    pub body: String,
}

/// Something to be done outside, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Unique among orders, derived from the content of the cause; the idempotency key of its effects.
    pub id: String,
    /// Effective time.
    pub at: Micros,
    /// What the executor needs to know; opaque here.
    pub payload: Vec<u8>,
    /// Names of the steps, in the order they are done. At least one.
    pub steps: Vec<String>,
}

/// What the dataflow issues at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Lines, in the order of the log.
    pub entries: Vec<Entry>,
    /// Work, in the order it is to be claimed.
    pub orders: Vec<Order>,
    /// Orders that are to be taken back, issued in this batch or before.
    pub recalls: Vec<Recall>,
    /// Holds that are put on or lifted, in this order.
    pub throws: Vec<Throw>,
}

/// The dataflow takes an order back: nothing of it is to be done, if nothing has been. An order of which no step is done
/// comes to rest as expired; if an attempt is under way, when it turns out that nothing happened, and as unknown if that
/// does not turn out. Any other stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recall {
    /// Id of the order.
    pub order: String,
    /// Effective time.
    pub at: Micros,
    /// The reason, kept as the order's error.
    pub why: String,
}

/// The dataflow puts a hold on, or lifts it; see [`Ledger::hold`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throw {
    /// Effective time.
    pub at: Micros,
    /// The group that is held; none for all.
    pub group: Option<String>,
    /// On, or lifted.
    pub on: bool,
}

/// What became of a batch. Every entry and order of it is in exactly one of these numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issued {
    /// Entries inserted.
    pub new_entries: u64,
    /// Orders inserted.
    pub new_orders: u64,
    /// Items that were recorded before, equal in all.
    pub repeated: u64,
    /// Ids of items that are recorded otherwise, or not recorded though they stand at or below the time issued before.
    /// They were not inserted.
    pub differing: Vec<String>,
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
    /// It did not happen, and will not be tried again unless an admin says so.
    Dead {
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
    /// Not to be claimed until it is released.
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

/// A call that was received by the local receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its idempotency key.
    pub key: String,
    /// The body of the first call with this key.
    pub body: String,
}

/// Which orders to list: newest first, a page at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Only those in this state.
    pub state: Option<State>,
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
    /// One order by id.
    Order(&'a str),
}

/// A durable store of entries, orders and what became of them.
///
/// Every writing method is one transaction: after an error nothing of it is there, after a return all of it is
/// durable. Several handles on one ledger, in several processes, may be open at once. `issue`, `claim`, `record` and
/// `receipt` act for a generation and fail with [`superseded`] once a newer one has taken over; holds and retries are
/// an admin's word and do not belong to one.
pub trait Ledger: Send {
    /// Makes this handle act for `generation` (0 until then), and all older ones fail.
    ///
    /// # Errors
    /// [`superseded`] if a newer generation has taken over. Else as the store fails.
    fn claim_generation(&mut self, generation: u64) -> Result<(), Error>;

    /// Issues a batch and moves the time issued so far to `through`, never back. What stands above the time issued
    /// before is inserted, once by id: entries get ascending numbers in the order given, orders become claimable at
    /// their first step. What stands at or below it is re-derived and only compared. The caller has all that stands
    /// at or below `through` in this batch or in those before: its frontier has passed it.
    ///
    /// Recalls and holds above the time issued before take effect after the orders of the batch; before anything was
    /// issued, those of the beginning of time do too. Others did already.
    ///
    /// # Errors
    /// [`Error::Fault`] if an item stands after `through` or an order has no steps. Else as the store fails.
    fn issue(&mut self, batch: &Batch, through: Micros) -> Result<Issued, Error>;

    /// The time issued so far, [`Micros::ZERO`] at first.
    ///
    /// # Errors
    /// As the store fails.
    fn issued_through(&self) -> Result<Micros, Error>;

    /// Claims up to `limit` steps that are due at `now_ms`, the longest due first, new orders before retries and in
    /// the order issued. They can be claimed again after `lease_ms`. None while all is held.
    ///
    /// # Errors
    /// As the store fails.
    fn claim(&mut self, now_ms: u64, lease_ms: u64, limit: usize) -> Result<Vec<Claim>, Error>;

    /// Records how a claimed step ended and inserts `entries` (once by id) in the same transaction. A lease that has
    /// run out but was not taken over is still good.
    ///
    /// # Errors
    /// As the store fails.
    fn record(
        &mut self,
        claim: &Claim,
        outcome: &StepOutcome,
        entries: &[Entry],
        now_ms: u64,
    ) -> Result<Recorded, Error>;

    /// Whether this is the first call with `key`; the body of the first is kept, durable before the answer.
    ///
    /// # Errors
    /// As the store fails.
    fn receipt(&mut self, key: &str, body: &str) -> Result<bool, Error>;

    /// Puts a hold on, or lifts it: what is held is not claimed; what is claimed goes on. A hold on an order and one on
    /// all are separate. False if there is no such order.
    ///
    /// # Errors
    /// As the store fails.
    fn hold(&mut self, scope: Scope<'_>, on: bool, now_ms: u64) -> Result<bool, Error>;

    /// Makes the order's next step due now, with a fresh count of attempts and no doubt: an admin has looked. False if
    /// there is no such order, or it is done or being worked on.
    ///
    /// # Errors
    /// As the store fails.
    fn retry(&mut self, id: &str, now_ms: u64) -> Result<bool, Error>;

    /// Whether all is held.
    ///
    /// # Errors
    /// As the store fails.
    fn all_held(&self) -> Result<bool, Error>;

    /// How many orders will still be worked on unless an admin holds them: ready, claimed, or unknown with a further
    /// attempt to come.
    ///
    /// # Errors
    /// As the store fails.
    fn open_orders(&self) -> Result<u64, Error>;

    /// How many orders are in a state.
    ///
    /// # Errors
    /// As the store fails.
    fn count(&self, state: State) -> Result<u64, Error>;

    /// One page of orders, newest first.
    ///
    /// # Errors
    /// As the store fails.
    fn orders(&self, page: Page) -> Result<Vec<OrderStatus>, Error>;

    /// One order.
    ///
    /// # Errors
    /// As the store fails.
    fn order(&self, id: &str) -> Result<Option<OrderStatus>, Error>;

    /// The attempts at an order's steps, oldest first.
    ///
    /// # Errors
    /// As the store fails.
    fn trail(&self, id: &str) -> Result<Vec<Attempt>, Error>;

    /// Up to `limit` settlements with a number above `seq`, ascending. One that is visible is never followed by a
    /// smaller one, so a reader can go on from its last.
    ///
    /// # Errors
    /// As the store fails.
    fn settled_after(&self, seq: u64, limit: usize) -> Result<Vec<Settlement>, Error>;

    /// Up to `limit` entries with a number above `seq`, ascending; numbers start at 1. One that is visible is never
    /// followed by a smaller one, so a projection can go on from its last.
    ///
    /// # Errors
    /// As the store fails.
    fn entries_after(&self, seq: u64, limit: usize) -> Result<Vec<(u64, Entry)>, Error>;

    /// Up to `limit` entries with a number below `seq` (all, if none is given), newest first.
    ///
    /// # Errors
    /// As the store fails.
    fn entries_before(&self, seq: Option<u64>, limit: usize) -> Result<Vec<(u64, Entry)>, Error>;

    /// The number of an entry.
    ///
    /// # Errors
    /// As the store fails.
    fn entry_seq(&self, id: &str) -> Result<Option<u64>, Error>;

    /// Up to `limit` receipts with a number above `seq`, ascending.
    ///
    /// # Errors
    /// As the store fails.
    fn receipts_after(&self, seq: u64, limit: usize) -> Result<Vec<(u64, Receipt)>, Error>;
}

/// The error of a handle whose generation is no longer the current one. Its process must end and act no more.
pub fn superseded(own: u64, current: u64) -> Error {
    Error::Fault(format!("superseded: generation {current} has taken over from {own}; this process must end"))
}

/// Whether an error is [`superseded`].
pub fn is_superseded(error: &Error) -> bool {
    matches!(error, Error::Fault(text) if text.starts_with("superseded: "))
}

/// A text cut to [`TEXT_BYTES_MAX`] at a character boundary.
pub fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}
