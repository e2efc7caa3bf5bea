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
mod entry;
mod order;

pub use entry::{AnyOf, Entry, Found, Query, Term};
pub use order::{
    Ask, Attempt, AttemptResult, Claim, Holds, Order, OrderStatus, Page, Recorded, Scope, Settlement, State,
    StepOutcome, lane,
};

use crate::error::Error;
use crate::time::Micros;

/// The longest detail or error text that is kept, in bytes; what is longer is cut.
pub const TEXT_BYTES_MAX: usize = 2_048;

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

/// A call that was received by the local receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its idempotency key.
    pub key: String,
    /// The body of the first call with this key.
    pub body: String,
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

    /// Takes over: makes this handle act for a generation newer than any before, and all older ones fail. What they had
    /// claimed can be claimed again at once, since they can no longer record it.
    ///
    /// # Errors
    /// [`superseded`] if the generation is not newer. Else as the store fails.
    fn take_over(&mut self, generation: u64) -> Result<(), Error>;

    /// The generation that may act now; zero before there was one.
    ///
    /// # Errors
    /// As the store fails.
    fn current_generation(&self) -> Result<u64, Error>;

    /// Issues a batch and moves the time issued so far to `through`, never back. What stands above the time issued
    /// before is inserted, once by id: entries get ascending numbers in the order given, orders become claimable at
    /// their first step. What stands at or below it is re-derived and only compared. The caller has all that stands
    /// at or below `through` in this batch or in those before: its frontier has passed it.
    ///
    /// Recalls and holds above the time issued before take effect after the orders of the batch; before anything was
    /// issued, those of the beginning of time do too. Others did already. A hold that is dated before the last word on
    /// the same, by [`Ledger::hold`] or here, changes nothing.
    ///
    /// # Errors
    /// [`Error::Fault`] if an item stands after `through` or an order has no steps. Else as the store fails.
    fn issue(&mut self, batch: &Batch, through: Micros) -> Result<Issued, Error>;

    /// The time issued so far, [`Micros::ZERO`] at first.
    ///
    /// # Errors
    /// As the store fails.
    fn issued_through(&self) -> Result<Micros, Error>;

    /// Claims steps that are due and not held. In each lane groups take turns, the one that has waited longest for its
    /// turn first; of a group's steps the longest due first, new orders before retries and in the order issued. When
    /// the lease is over they can be claimed again.
    ///
    /// # Errors
    /// As the store fails.
    fn claim(&mut self, ask: &Ask<'_>) -> Result<Vec<Claim>, Error>;

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

    /// Puts a hold on, or lifts it: what is held is not claimed; what is claimed goes on. Holds on an order, on its group
    /// and on all are separate. False if there is no such order.
    ///
    /// # Errors
    /// As the store fails.
    fn hold(&mut self, scope: Scope<'_>, on: bool, now_ms: u64) -> Result<bool, Error>;

    /// Whether a claimed step is held by now. Who has claimed it leaves what they have not begun.
    ///
    /// # Errors
    /// As the store fails.
    fn is_held(&self, claim: &Claim) -> Result<bool, Error>;

    /// As a hold on a group, which is lifted likewise, but of an order that has a step done the others go on.
    ///
    /// # Errors
    /// As the store fails.
    fn hold_back(&mut self, group: &str) -> Result<(), Error>;

    /// Makes the order's first step that is not done due now, with a fresh count of attempts and no doubt: an admin has
    /// looked. False if there is no such order, or it is done or being worked on.
    ///
    /// # Errors
    /// As the store fails.
    fn retry(&mut self, id: &str, now_ms: u64) -> Result<bool, Error>;

    /// What is held, but for single orders.
    ///
    /// # Errors
    /// As the store fails.
    fn holds(&self) -> Result<Holds, Error>;

    /// How many other orders of the claim's group have a step of its lane that was begun at `since_ms` or later, and not
    /// certainly without effect. Of those that are claimed just now only the ones issued before this one count, and what
    /// was begun before the last hold on the group was lifted does not.
    ///
    /// # Errors
    /// As the store fails.
    fn begun_since(&self, claim: &Claim, since_ms: u64) -> Result<u64, Error>;

    /// How many orders will still be worked on unless an admin holds them: ready, claimed, or unknown with a further
    /// attempt to come.
    ///
    /// # Errors
    /// As the store fails.
    fn open_orders(&self) -> Result<u64, Error>;

    /// How many of the open orders are held, in whatever way.
    ///
    /// # Errors
    /// As the store fails.
    fn held_orders(&self) -> Result<u64, Error>;

    /// The effective time of the open order that was issued first.
    ///
    /// # Errors
    /// As the store fails.
    fn oldest_open(&self) -> Result<Option<Micros>, Error>;

    /// How many orders are in a state.
    ///
    /// # Errors
    /// As the store fails.
    fn count(&self, state: State) -> Result<u64, Error>;

    /// One page of orders, newest first.
    ///
    /// # Errors
    /// As the store fails.
    fn orders(&self, page: Page<'_>) -> Result<Vec<OrderStatus>, Error>;

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

    /// One page of what is asked for, with the numbers.
    ///
    /// # Errors
    /// As the store fails.
    fn find(&self, query: &Query<'_>) -> Result<Vec<(u64, Entry)>, Error>;

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
