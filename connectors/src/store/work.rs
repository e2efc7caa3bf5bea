//! Outcomes and an admin's hand: what changes where an order stands, but for claims.

use super::{Row, Statements, args};
use super::{recall, schema};
use engine::error::Error;
use engine::ledger::{AttemptResult, Claim, Recorded, Scope, State, StepOutcome, Throw, bounded, lane};
use std::collections::BTreeSet;

/// A claimed order as [`record`] finds it.
struct Open {
    seq: u64,
    lease: u64,
    step: usize,
    claimed_ms: u64,
    doubtful: bool,
}

impl Open {
    /// The order of a claim, if the claim still holds it.
    fn of(on: &dyn Statements, claim: &Claim) -> Result<Option<Open>, Error> {
        let query = "select seq, lease, step, claimed_ms, doubt_ms from orders where id = ?1 and state = ?2";
        let found = on.query(query, args![claim.order.id.as_str(), State::Claimed.name()])?.pop();
        let open = found.map(|mut row: Row| {
            Ok::<_, Error>(Open {
                seq: row.number(0)?,
                lease: row.number(1)?,
                step: row.index(2)?,
                claimed_ms: row.number(3)?,
                doubtful: row.number_or_none(4)?.is_some(),
            })
        });
        Ok(open.transpose()?.filter(|open| open.lease == claim.lease))
    }
}

/// [`engine::ledger::Ledger::record`] within a transaction, without its entries.
pub(super) fn record(
    on: &dyn Statements,
    claim: &Claim,
    outcome: &StepOutcome,
    now_ms: u64,
) -> Result<Recorded, Error> {
    let Some(open) = Open::of(on, claim)? else {
        return Ok(Recorded::LeaseLost);
    };
    match &recall::outcome(on, open.seq, outcome)? {
        StepOutcome::Done { detail } => {
            end_attempt(on, &open, AttemptResult::Done, detail.as_deref(), now_ms)?;
            advance(on, &open, claim, now_ms)?;
        }
        StepOutcome::Postponed { until_ms } => postpone(on, &open, *until_ms, now_ms)?,
        StepOutcome::NotDone { retry_at_ms, error } => {
            end_attempt(on, &open, AttemptResult::NotDone, Some(error), now_ms)?;
            stand(on, &open, State::Ready, Some(*retry_at_ms), error, now_ms)?;
        }
        StepOutcome::Unknown { retry_at_ms, error } => {
            end_attempt(on, &open, AttemptResult::Unknown, Some(error), now_ms)?;
            let doubt = "update orders set doubt_ms = coalesce(doubt_ms, ?2) where seq = ?1";
            on.execute(doubt, args![open.seq, open.claimed_ms])?;
            stand(on, &open, State::Unknown, *retry_at_ms, error, now_ms)?;
            if retry_at_ms.is_none() {
                settle(on, &claim.order.id, State::Unknown, now_ms)?;
            }
        }
        StepOutcome::Dead { error } => {
            end_attempt(on, &open, AttemptResult::Dead, Some(error), now_ms)?;
            stand(on, &open, State::Dead, None, error, now_ms)?;
            settle(on, &claim.order.id, State::Dead, now_ms)?;
        }
        StepOutcome::Passed { error } => {
            end_attempt(on, &open, AttemptResult::Dead, Some(error), now_ms)?;
            advance(on, &open, claim, now_ms)?;
        }
        StepOutcome::Expired { error } => {
            end_attempt(on, &open, AttemptResult::Expired, Some(error), now_ms)?;
            stand(on, &open, State::Expired, None, error, now_ms)?;
            settle(on, &claim.order.id, State::Expired, now_ms)?;
        }
    }
    Ok(Recorded::Applied)
}

fn end_attempt(
    on: &dyn Statements,
    open: &Open,
    result: AttemptResult,
    text: Option<&str>,
    now_ms: u64,
) -> Result<(), Error> {
    let update = "update attempts set ended_ms = ?3, result = ?4, text = ?5 where order_seq = ?1 and lease = ?2";
    on.execute(update, args![open.seq, open.lease, now_ms, result.name(), text.map(bounded)]).map(drop)
}

/// The steps of an order that were done.
fn done(on: &dyn Statements, seq: u64) -> Result<BTreeSet<usize>, Error> {
    let query = "select step from attempts where order_seq = ?1 and result = ?2";
    let steps = on.query(query, args![seq, AttemptResult::Done.name()])?.into_iter();
    steps.map(|mut row| row.index(0)).collect()
}

/// On to the next step that is not done, or to the end. What was done can no longer be taken back.
fn advance(on: &dyn Statements, open: &Open, claim: &Claim, now_ms: u64) -> Result<(), Error> {
    let (done, steps) = (done(on, open.seq)?, &claim.order.steps);
    let next = (open.step + 1..steps.len()).find(|step| !done.contains(step));
    let (step, state, due) = match next {
        Some(step) => (step, State::Ready, Some(now_ms)),
        None if done.len() == steps.len() => (steps.len(), State::Done, None),
        None => (steps.len(), State::Dead, None),
    };
    let lane = steps.get(step).map_or("", |step| lane(step));
    let error = (state == State::Dead).then(|| last_error(on, open.seq)).transpose()?.flatten();
    let update = "update orders set step = ?2, lane = ?3, state = ?4, due_ms = ?5, updated_ms = ?6, error = ?7, \
                attempt = 0, first_ms = null, claimed_ms = null, doubt_ms = null, recalled = null \
             where seq = ?1";
    on.execute(update, args![open.seq, step, lane, state.name(), due, now_ms, error.as_deref()])?;
    match due {
        Some(_) => Ok(()),
        None => settle(on, &claim.order.id, state, now_ms),
    }
}

/// Why the last step was passed over that was.
fn last_error(on: &dyn Statements, seq: u64) -> Result<Option<String>, Error> {
    let query = "select text from attempts where order_seq = ?1 and result = ?2 order by lease desc limit 1";
    let found = on.query(query, args![seq, AttemptResult::Dead.name()])?.pop();
    found.map_or(Ok(None), |mut row| row.text_or_none(0))
}

/// The order stays at its step, with an error.
fn stand(
    on: &dyn Statements,
    open: &Open,
    state: State,
    due_ms: Option<u64>,
    error: &str,
    now_ms: u64,
) -> Result<(), Error> {
    let update = "update orders set state = ?2, due_ms = ?3, error = ?4, updated_ms = ?5 where seq = ?1";
    on.execute(update, args![open.seq, state.name(), due_ms, bounded(error), now_ms]).map(drop)
}

/// As if it had not been claimed, but for the lease's number.
fn postpone(on: &dyn Statements, open: &Open, until_ms: u64, now_ms: u64) -> Result<(), Error> {
    on.execute("delete from attempts where order_seq = ?1 and lease = ?2", args![open.seq, open.lease])?;
    let state = if open.doubtful { State::Unknown } else { State::Ready };
    let update = "update orders set state = ?2, due_ms = ?3, updated_ms = ?4, attempt = attempt - 1, \
                first_ms = case when attempt = 1 then null else first_ms end \
             where seq = ?1";
    on.execute(update, args![open.seq, state.name(), until_ms, now_ms]).map(drop)
}

/// Notes that an order came to rest.
pub(super) fn settle(on: &dyn Statements, id: &str, state: State, now_ms: u64) -> Result<(), Error> {
    let insert = "insert into settlements (order_id, state, at_ms) values (?1, ?2, ?3)";
    on.execute(insert, args![id, state.name(), now_ms]).map(drop)
}

/// [`engine::ledger::Ledger::hold`] within a transaction.
pub(super) fn hold(statements: &dyn Statements, scope: Scope<'_>, on: bool, now_ms: u64) -> Result<bool, Error> {
    match scope {
        Scope::All => {
            schema::set_number(statements, schema::HELD, u64::from(on))?;
            schema::set_number(statements, schema::HELD_BY, now_ms)?;
            Ok(true)
        }
        Scope::Group(group) => {
            // Lifting what was not held begins nothing anew.
            let upsert = "insert into groups (grp, held, released_ms) values (?1, ?2, 0) on conflict (grp) do update \
                          set released_ms = case when groups.held <> 0 and excluded.held = 0 then ?3 else \
                          groups.released_ms end, held = excluded.held";
            statements.execute(upsert, args![group, u64::from(on), now_ms])?;
            schema::set_number(statements, &held_by(group), now_ms)?;
            Ok(true)
        }
        Scope::Order(id) => {
            let update = "update orders set held = ?2, updated_ms = ?3 where id = ?1";
            Ok(statements.execute(update, args![id, u64::from(on), now_ms])? == 1)
        }
    }
}

/// A hold of the dataflow, which may come to it long after its date: what was said since counts for more.
pub(super) fn throw(on: &dyn Statements, throw: &Throw) -> Result<(), Error> {
    let (scope, name) = match throw.group.as_deref() {
        None => (Scope::All, schema::HELD_BY.to_owned()),
        Some(group) => (Scope::Group(group), held_by(group)),
    };
    let at_ms = throw.at.0 / 1_000;
    if at_ms < schema::number(on, &name)? {
        return Ok(());
    }
    hold(on, scope, throw.on, at_ms).map(drop)
}

/// Where it stands when the last word on a group's hold was spoken.
fn held_by(group: &str) -> String {
    format!("{} {group}", schema::HELD_BY)
}

/// [`engine::ledger::Ledger::hold_back`] within a transaction. An admin's hold is the stronger one.
pub(super) fn hold_back(on: &dyn Statements, group: &str) -> Result<(), Error> {
    let upsert = "insert into groups (grp, held, released_ms) values (?1, 2, 0) on conflict (grp) do update \
                  set held = case when groups.held = 0 then 2 else groups.held end";
    on.execute(upsert, args![group]).map(drop)
}

/// [`engine::ledger::Ledger::retry`] within a transaction.
pub(super) fn retry(on: &dyn Statements, id: &str, now_ms: u64) -> Result<bool, Error> {
    let found = on.query("select seq, state, steps from orders where id = ?1", args![id])?.pop();
    let Some(mut row) = found else { return Ok(false) };
    let (seq, state, steps) = (row.number(0)?, row.named(1, State::of_name)?, super::read::steps_of(&mut row, 2)?);
    if matches!(state, State::Done | State::Claimed) {
        return Ok(false);
    }
    let done = done(on, seq)?;
    let step = (0..steps.len()).find(|step| !done.contains(step)).unwrap_or_default();
    let lane = steps.get(step).map_or("", |step| lane(step));
    let update = "update orders set step = ?2, lane = ?3, state = ?4, due_ms = ?5, updated_ms = ?5, \
                attempt = 0, first_ms = null, claimed_ms = null, doubt_ms = null, recalled = null \
             where seq = ?1";
    on.execute(update, args![seq, step, lane, State::Ready.name(), now_ms])?;
    Ok(true)
}
