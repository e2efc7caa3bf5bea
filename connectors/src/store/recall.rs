//! Orders that the dataflow takes back. Owned here: which of them can still be, and what becomes of the others.

use super::work::settle;
use super::{Statements, args};
use engine::error::Error;
use engine::ledger::{AttemptResult, Recall, State, StepOutcome, bounded};

/// Takes an order back, if no step of it is done. One that is being worked on is marked: what comes of it decides.
pub(super) fn recall(on: &dyn Statements, recall: &Recall) -> Result<(), Error> {
    let (id, why, now_ms) = (recall.order.as_str(), bounded(&recall.why), recall.at.0 / 1_000);
    let query = "select seq, state, due_ms from orders where id = ?1 and step = 0";
    let Some(mut row) = on.query(query, args![id])?.pop() else { return Ok(()) };
    let (seq, state, due) = (row.number(0)?, row.named(1, State::of_name)?, row.number_or_none(2)?);
    match state {
        State::Ready => rest(on, (seq, id), State::Expired, why, now_ms),
        State::Unknown if due.is_some() => rest(on, (seq, id), State::Unknown, why, now_ms),
        State::Claimed => on.execute("update orders set recalled = ?2 where seq = ?1", args![seq, why]).map(drop),
        State::Unknown | State::Done | State::Dead | State::Expired => Ok(()),
    }
}

/// What an outcome means for an order that was taken back meanwhile: no further attempt.
pub(super) fn outcome(on: &dyn Statements, seq: u64, outcome: &StepOutcome) -> Result<StepOutcome, Error> {
    let found = on.query("select recalled from orders where seq = ?1 and recalled is not null", args![seq])?.pop();
    let Some(mut row) = found else { return Ok(outcome.clone()) };
    Ok(match outcome {
        StepOutcome::NotDone { .. } | StepOutcome::Postponed { .. } => StepOutcome::Expired { error: row.text(0)? },
        StepOutcome::Unknown { error, .. } => StepOutcome::Unknown { retry_at_ms: None, error: error.clone() },
        _ => outcome.clone(),
    })
}

/// Lays orders to rest that were taken back while an executor worked on them that is gone: nobody knows what it did.
pub(super) fn lay_to_rest(on: &dyn Statements, now_ms: u64) -> Result<(), Error> {
    let query = "select seq, id, recalled from orders where recalled is not null and state = ?1 and due_ms <= ?2";
    for mut row in on.query(query, args![State::Claimed.name(), now_ms])? {
        let (seq, id, why) = (row.number(0)?, row.text(1)?, row.text(2)?);
        let lost = "update attempts set ended_ms = ?2, result = ?3 where order_seq = ?1 and result = ?4";
        on.execute(lost, args![seq, now_ms, AttemptResult::Lost.name(), AttemptResult::Open.name()])?;
        rest(on, (seq, &id), State::Unknown, &why, now_ms)?;
    }
    Ok(())
}

fn rest(on: &dyn Statements, (seq, id): (u64, &str), state: State, why: &str, now_ms: u64) -> Result<(), Error> {
    let update = "update orders set state = ?2, due_ms = null, recalled = null, error = ?3, updated_ms = ?4 \
                  where seq = ?1";
    on.execute(update, args![seq, state.name(), why, now_ms])?;
    settle(on, id, state, now_ms)
}
