//! Orders that the dataflow takes back. Owned here: which of them can still be, and what becomes of the others.

use super::Failure;
use super::schema::signed;
use super::work::settle;
use engine::ledger::{AttemptResult, Recall, State, StepOutcome, bounded};
use rusqlite::{Connection, OptionalExtension, params};

/// Takes an order back, if no step of it is done. One that is being worked on is marked: what comes of it decides.
pub(super) fn recall(connection: &Connection, recall: &Recall) -> Result<(), Failure> {
    let now_ms = recall.at.0 / 1_000;
    let found: Option<(i64, String, bool)> = connection
        .prepare_cached("select seq, state, due_ms is not null from orders where id = ?1 and step = 0")?
        .query_row([&recall.order], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((seq, state, is_due)) = found else { return Ok(()) };
    match State::of_name(&state) {
        Some(State::Ready) => rest(connection, seq, &recall.order, State::Expired, &recall.why, now_ms),
        Some(State::Unknown) if is_due => rest(connection, seq, &recall.order, State::Unknown, &recall.why, now_ms),
        Some(State::Claimed) => {
            let mut statement = connection.prepare_cached("update orders set recalled = ?2 where seq = ?1")?;
            statement.execute(params![seq, bounded(&recall.why)])?;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What an outcome means for an order that was taken back meanwhile: no further attempt.
pub(super) fn final_outcome(connection: &Connection, seq: i64, outcome: &StepOutcome) -> Result<StepOutcome, Failure> {
    let recalled: Option<String> = connection
        .prepare_cached("select recalled from orders where seq = ?1")?
        .query_row([seq], |row| row.get(0))?;
    Ok(match (recalled, outcome) {
        (Some(why), StepOutcome::NotDone { .. } | StepOutcome::Postponed { .. }) => StepOutcome::Expired { error: why },
        (Some(_), StepOutcome::Unknown { error, .. }) => {
            StepOutcome::Unknown { retry_at_ms: None, error: error.clone() }
        }
        _ => outcome.clone(),
    })
}

/// Lays orders to rest that were taken back while an executor worked on them that is gone: nobody knows what it did.
pub(super) fn lay_to_rest(connection: &Connection, now_ms: u64) -> Result<(), Failure> {
    let gone: Vec<(i64, String, String)> = connection
        .prepare_cached("select seq, id, recalled from orders where recalled is not null and state = 'claimed' and due_ms <= ?1")?
        .query_map([signed(now_ms)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (seq, id, why) in gone {
        connection
            .prepare_cached("update attempts set ended_ms = ?2, result = ?3 where order_seq = ?1 and result = ?4")?
            .execute(params![seq, signed(now_ms), AttemptResult::Lost.name(), AttemptResult::Open.name()])?;
        rest(connection, seq, &id, State::Unknown, &why, now_ms)?;
    }
    Ok(())
}

fn rest(connection: &Connection, seq: i64, id: &str, state: State, why: &str, now_ms: u64) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "update orders set state = ?2, due_ms = null, recalled = null, error = ?3, updated_ms = ?4 where seq = ?1",
        )?
        .execute(params![seq, state.name(), bounded(why), signed(now_ms)])?;
    settle(connection, id, state, now_ms)
}
