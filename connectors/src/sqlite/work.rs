//! Claims, outcomes and an admin's hand: everything that changes where an order stands.

use super::Failure;
use super::read::{self, index, state_of};
use super::schema::{self, page, signed, unsigned};
use engine::ledger::{AttemptResult, Claim, Recorded, Scope, State, StepOutcome, bounded};
use rusqlite::{Connection, OptionalExtension, params};

/// Whether a claim could find anything, so that an idle executor does not take the write lock.
pub(super) fn any_due(connection: &Connection, now_ms: u64) -> Result<bool, Failure> {
    let mut statement = connection.prepare_cached(
        "select exists (select 1 from orders where due_ms <= ?1 and due_ms is not null and held = 0)",
    )?;
    Ok(statement.query_row([signed(now_ms)], |row| row.get(0))?)
}

/// [`engine::ledger::Ledger::claim`] within a transaction.
pub(super) fn claim(connection: &Connection, now_ms: u64, lease_ms: u64, limit: usize) -> Result<Vec<Claim>, Failure> {
    if schema::number(connection, schema::HELD)? != 0 {
        return Ok(Vec::new());
    }
    let due: Vec<i64> = connection
        .prepare_cached(
            "select seq from orders where due_ms <= ?1 and due_ms is not null and held = 0 \
             order by due_ms, seq limit ?2",
        )?
        .query_map(params![signed(now_ms), page(limit)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    due.into_iter().map(|seq| claim_one(connection, seq, now_ms, lease_ms)).collect()
}

fn claim_one(connection: &Connection, seq: i64, now_ms: u64, lease_ms: u64) -> Result<Claim, Failure> {
    let until = now_ms.saturating_add(lease_ms);
    connection
        .prepare_cached("update attempts set ended_ms = ?2, result = ?3 where order_seq = ?1 and result = ?4")?
        .execute(params![seq, signed(now_ms), AttemptResult::Lost.name(), AttemptResult::Open.name()])?;
    // On the right of an assignment stands the row as it was.
    connection
        .prepare_cached(
            "update orders set \
                doubt_ms = case when state = ?4 then coalesce(doubt_ms, claimed_ms) else doubt_ms end, \
                first_ms = coalesce(first_ms, ?2), claimed_ms = ?2, updated_ms = ?2, due_ms = ?3, state = ?4, \
                attempt = attempt + 1, lease = lease + 1 \
             where seq = ?1",
        )?
        .execute(params![seq, signed(now_ms), signed(until), State::Claimed.name()])?;
    connection
        .prepare_cached(
            "insert into attempts (order_seq, lease, step, claimed_ms, result) \
             select seq, lease, step, claimed_ms, ?2 from orders where seq = ?1",
        )?
        .execute(params![seq, AttemptResult::Open.name()])?;
    read::claim(connection, seq, until)
}

/// A claimed order as [`record`] finds it.
struct Open {
    seq: i64,
    lease: u64,
    step: usize,
    steps: usize,
    attempt: u32,
    claimed_ms: i64,
    doubtful: bool,
}

impl Open {
    /// The order of a claim, if the claim still holds it.
    fn of(connection: &Connection, claim: &Claim) -> Result<Option<Open>, Failure> {
        let open = connection
            .prepare_cached(
                "select seq, lease, step, json_array_length(steps), attempt, claimed_ms, doubt_ms is not null, state \
                 from orders where id = ?1 and state = ?2",
            )?
            .query_row(params![claim.order.id, State::Claimed.name()], |row| {
                Ok(Open {
                    seq: row.get(0)?,
                    lease: unsigned(row.get(1)?),
                    step: index(row, 2)?,
                    steps: index(row, 3)?,
                    attempt: row.get(4)?,
                    claimed_ms: row.get(5)?,
                    doubtful: row.get(6)?,
                })
            })
            .optional()?;
        Ok(open.filter(|open| open.lease == claim.lease))
    }
}

/// [`engine::ledger::Ledger::record`] within a transaction, without its entries.
pub(super) fn record(
    connection: &Connection,
    claim: &Claim,
    outcome: &StepOutcome,
    now_ms: u64,
) -> Result<Recorded, Failure> {
    let Some(open) = Open::of(connection, claim)? else {
        return Ok(Recorded::LeaseLost);
    };
    match outcome {
        StepOutcome::Done { detail } => {
            end_attempt(connection, &open, AttemptResult::Done, detail.as_deref(), now_ms)?;
            advance(connection, &open, &claim.order.id, now_ms)?;
        }
        StepOutcome::Postponed { until_ms } => postpone(connection, &open, *until_ms, now_ms)?,
        StepOutcome::NotDone { retry_at_ms, error } => {
            end_attempt(connection, &open, AttemptResult::NotDone, Some(error), now_ms)?;
            stand(connection, &open, State::Ready, Some(*retry_at_ms), error, now_ms)?;
        }
        StepOutcome::Unknown { retry_at_ms, error } => {
            end_attempt(connection, &open, AttemptResult::Unknown, Some(error), now_ms)?;
            doubt(connection, &open)?;
            stand(connection, &open, State::Unknown, *retry_at_ms, error, now_ms)?;
            if retry_at_ms.is_none() {
                settle(connection, &claim.order.id, State::Unknown, now_ms)?;
            }
        }
        StepOutcome::Dead { error } => {
            end_attempt(connection, &open, AttemptResult::Dead, Some(error), now_ms)?;
            stand(connection, &open, State::Dead, None, error, now_ms)?;
            settle(connection, &claim.order.id, State::Dead, now_ms)?;
        }
        StepOutcome::Expired { error } => {
            end_attempt(connection, &open, AttemptResult::Expired, Some(error), now_ms)?;
            stand(connection, &open, State::Expired, None, error, now_ms)?;
            settle(connection, &claim.order.id, State::Expired, now_ms)?;
        }
    }
    Ok(Recorded::Applied)
}

fn end_attempt(
    connection: &Connection,
    open: &Open,
    result: AttemptResult,
    text: Option<&str>,
    now_ms: u64,
) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(
        "update attempts set ended_ms = ?3, result = ?4, text = ?5 where order_seq = ?1 and lease = ?2",
    )?;
    statement.execute(params![open.seq, signed(open.lease), signed(now_ms), result.name(), text.map(bounded)])?;
    Ok(())
}

/// On to the next step, or to the end.
fn advance(connection: &Connection, open: &Open, id: &str, now_ms: u64) -> Result<(), Failure> {
    let step = open.step + 1;
    let (state, due) = if step < open.steps { (State::Ready, Some(signed(now_ms))) } else { (State::Done, None) };
    connection
        .prepare_cached(
            "update orders set step = ?2, state = ?3, due_ms = ?4, updated_ms = ?5, \
                attempt = 0, first_ms = null, claimed_ms = null, doubt_ms = null, error = null \
             where seq = ?1",
        )?
        .execute(params![open.seq, signed(step as u64), state.name(), due, signed(now_ms)])?;
    if state == State::Done {
        settle(connection, id, state, now_ms)?;
    }
    Ok(())
}

/// The order stays at its step, with an error.
fn stand(
    connection: &Connection,
    open: &Open,
    state: State,
    due_ms: Option<u64>,
    error: &str,
    now_ms: u64,
) -> Result<(), Failure> {
    let mut statement = connection
        .prepare_cached("update orders set state = ?2, due_ms = ?3, error = ?4, updated_ms = ?5 where seq = ?1")?;
    statement.execute(params![open.seq, state.name(), due_ms.map(signed), bounded(error), signed(now_ms)])?;
    Ok(())
}

fn doubt(connection: &Connection, open: &Open) -> Result<(), Failure> {
    let mut statement =
        connection.prepare_cached("update orders set doubt_ms = coalesce(doubt_ms, ?2) where seq = ?1")?;
    statement.execute(params![open.seq, open.claimed_ms])?;
    Ok(())
}

/// As if it had not been claimed, but for the lease's number.
fn postpone(connection: &Connection, open: &Open, until_ms: u64, now_ms: u64) -> Result<(), Failure> {
    connection
        .prepare_cached("delete from attempts where order_seq = ?1 and lease = ?2")?
        .execute(params![open.seq, signed(open.lease)])?;
    let state = if open.doubtful { State::Unknown } else { State::Ready };
    connection
        .prepare_cached(
            "update orders set state = ?2, due_ms = ?3, updated_ms = ?4, attempt = attempt - 1, \
                first_ms = case when attempt = 1 then null else first_ms end \
             where seq = ?1",
        )?
        .execute(params![open.seq, state.name(), signed(until_ms), signed(now_ms)])?;
    debug_assert!(open.attempt > 0, "a claimed step was tried at least once");
    Ok(())
}

fn settle(connection: &Connection, id: &str, state: State, now_ms: u64) -> Result<(), Failure> {
    connection
        .prepare_cached("insert into settlements (order_id, state, at_ms) values (?1, ?2, ?3)")?
        .execute(params![id, state.name(), signed(now_ms)])?;
    Ok(())
}

/// [`engine::ledger::Ledger::hold`] within a transaction.
pub(super) fn hold(connection: &Connection, scope: Scope<'_>, on: bool, now_ms: u64) -> Result<bool, Failure> {
    match scope {
        Scope::All => {
            schema::set_number(connection, schema::HELD, u64::from(on))?;
            Ok(true)
        }
        Scope::Order(id) => {
            let mut statement =
                connection.prepare_cached("update orders set held = ?2, updated_ms = ?3 where id = ?1")?;
            Ok(statement.execute(params![id, on, signed(now_ms)])? == 1)
        }
    }
}

/// [`engine::ledger::Ledger::retry`] within a transaction.
pub(super) fn retry(connection: &Connection, id: &str, now_ms: u64) -> Result<bool, Failure> {
    let state = connection
        .prepare_cached("select state from orders where id = ?1")?
        .query_row([id], |row| state_of(row, 0))
        .optional()?;
    if matches!(state, None | Some(State::Done | State::Claimed)) {
        return Ok(false);
    }
    connection
        .prepare_cached(
            "update orders set state = ?2, due_ms = ?3, updated_ms = ?3, \
                attempt = 0, first_ms = null, claimed_ms = null, doubt_ms = null \
             where id = ?1",
        )?
        .execute(params![id, State::Ready.name(), signed(now_ms)])?;
    Ok(true)
}
