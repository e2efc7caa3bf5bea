//! Queries that change nothing.

use super::Failure;
use super::schema::{page, signed, unsigned};
use engine::ledger::{Attempt, AttemptResult, Claim, Entry, Order, OrderStatus, Page, Receipt, Settlement, State};
use engine::time::Micros;
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

const ORDER: &str = "select seq, id, at, payload, steps, step, state, held, attempt, due_ms, error, updated_ms \
                     from orders";

/// All rows of a prepared query.
fn rows<T>(
    connection: &Connection,
    query: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Failure> {
    let mut statement = connection.prepare_cached(query)?;
    let found = statement.query_map(params, read)?.collect::<Result<_, _>>()?;
    Ok(found)
}

fn wide(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(unsigned)
}

/// A step's index.
pub(super) fn index(row: &Row<'_>, column: usize) -> rusqlite::Result<usize> {
    row.get::<_, u32>(column).map(|step| step as usize)
}

fn wide_or_none(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(unsigned))
}

/// A column that holds one of a few names.
pub(super) fn named<T>(row: &Row<'_>, column: usize, of_name: fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let name = row.get_ref(column)?.as_str().map_err(|e| conversion(column, e))?;
    of_name(name).ok_or_else(|| conversion(column, FromSqlError::Other(format!("unknown name {name:?}").into())))
}

pub(super) fn state_of(row: &Row<'_>, column: usize) -> rusqlite::Result<State> {
    named(row, column, State::of_name)
}

fn conversion(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

fn order_at(row: &Row<'_>, first: usize) -> rusqlite::Result<Order> {
    let steps = row.get_ref(first + 3)?.as_str().map_err(|e| conversion(first + 3, e))?;
    Ok(Order {
        id: row.get(first)?,
        at: Micros(wide(row, first + 1)?),
        payload: row.get(first + 2)?,
        steps: serde_json::from_str(steps).map_err(|e| conversion(first + 3, e))?,
    })
}

fn status(row: &Row<'_>) -> rusqlite::Result<OrderStatus> {
    Ok(OrderStatus {
        seq: wide(row, 0)?,
        order: order_at(row, 1)?,
        step: index(row, 5)?,
        state: state_of(row, 6)?,
        held: row.get(7)?,
        attempt: row.get(8)?,
        due_ms: wide_or_none(row, 9)?,
        error: row.get(10)?,
        updated_ms: wide(row, 11)?,
    })
}

/// The claim that an order has just been given.
pub(super) fn claim(connection: &Connection, seq: i64, lease_until_ms: u64) -> Result<Claim, Failure> {
    let mut claim = connection
        .prepare_cached(
            "select id, at, payload, steps, step, attempt, lease, first_ms, doubt_ms from orders where seq = ?1",
        )?
        .query_row([seq], |row| {
            Ok(Claim {
                order: order_at(row, 0)?,
                step: index(row, 4)?,
                attempt: row.get(5)?,
                lease: wide(row, 6)?,
                lease_until_ms,
                first_claimed_ms: wide(row, 7)?,
                doubtful_since_ms: wide_or_none(row, 8)?,
                details: Vec::new(),
            })
        })?;
    if claim.step > 0 {
        claim.details = rows(
            connection,
            "select text from attempts where order_seq = ?1 and result = ?2 order by step",
            params![seq, AttemptResult::Done.name()],
            |row| row.get(0),
        )?;
    }
    Ok(claim)
}

pub(super) fn open_orders(connection: &Connection) -> Result<u64, Failure> {
    let mut statement = connection.prepare_cached(
        "select (select count(*) from orders where state = 'ready') + (select count(*) from orders where state = \
         'claimed') + (select count(*) from orders where state = 'unknown' and due_ms is not null)",
    )?;
    Ok(statement.query_row([], |row| wide(row, 0))?)
}

pub(super) fn count(connection: &Connection, state: State) -> Result<u64, Failure> {
    let mut statement = connection.prepare_cached("select count(*) from orders where state = ?1")?;
    Ok(statement.query_row([state.name()], |row| wide(row, 0))?)
}

pub(super) fn orders(connection: &Connection, wanted: Page) -> Result<Vec<OrderStatus>, Failure> {
    let before = signed(wanted.before.unwrap_or(u64::MAX));
    let limit = page(wanted.limit);
    match wanted.state {
        None => {
            let query = format!("{ORDER} where seq < ?1 order by seq desc limit ?2");
            rows(connection, &query, params![before, limit], status)
        }
        Some(state) => {
            let query = format!("{ORDER} where state = ?3 and seq < ?1 order by seq desc limit ?2");
            rows(connection, &query, params![before, limit, state.name()], status)
        }
    }
}

pub(super) fn order(connection: &Connection, id: &str) -> Result<Option<OrderStatus>, Failure> {
    let mut statement = connection.prepare_cached(&format!("{ORDER} where id = ?1"))?;
    Ok(statement.query_row([id], status).optional()?)
}

pub(super) fn trail(connection: &Connection, id: &str) -> Result<Vec<Attempt>, Failure> {
    let query = "select lease, step, claimed_ms, ended_ms, result, text from attempts \
                 where order_seq = (select seq from orders where id = ?1) order by lease";
    rows(connection, query, [id], |row| {
        Ok(Attempt {
            lease: wide(row, 0)?,
            step: index(row, 1)?,
            claimed_ms: wide(row, 2)?,
            ended_ms: wide_or_none(row, 3)?,
            result: named(row, 4, AttemptResult::of_name)?,
            text: row.get(5)?,
        })
    })
}

pub(super) fn settled_after(connection: &Connection, seq: u64, limit: usize) -> Result<Vec<Settlement>, Failure> {
    let query = "select seq, order_id, state, at_ms from settlements where seq > ?1 order by seq limit ?2";
    rows(connection, query, params![signed(seq), page(limit)], |row| {
        Ok(Settlement { seq: wide(row, 0)?, order: row.get(1)?, state: state_of(row, 2)?, at_ms: wide(row, 3)? })
    })
}

fn entry(row: &Row<'_>) -> rusqlite::Result<(u64, Entry)> {
    Ok((wide(row, 0)?, Entry { id: row.get(1)?, at: Micros(wide(row, 2)?), body: row.get(3)? }))
}

pub(super) fn entries_after(connection: &Connection, seq: u64, limit: usize) -> Result<Vec<(u64, Entry)>, Failure> {
    let query = "select seq, id, at, body from entries where seq > ?1 order by seq limit ?2";
    rows(connection, query, params![signed(seq), page(limit)], entry)
}

pub(super) fn entries_before(
    connection: &Connection,
    seq: Option<u64>,
    limit: usize,
) -> Result<Vec<(u64, Entry)>, Failure> {
    let query = "select seq, id, at, body from entries where seq < ?1 order by seq desc limit ?2";
    rows(connection, query, params![signed(seq.unwrap_or(u64::MAX)), page(limit)], entry)
}

pub(super) fn entry_seq(connection: &Connection, id: &str) -> Result<Option<u64>, Failure> {
    let mut statement = connection.prepare_cached("select seq from entries where id = ?1")?;
    Ok(statement.query_row([id], |row| wide(row, 0)).optional()?)
}

pub(super) fn receipts_after(connection: &Connection, seq: u64, limit: usize) -> Result<Vec<(u64, Receipt)>, Failure> {
    let query = "select seq, key, body from receipts where seq > ?1 order by seq limit ?2";
    rows(connection, query, params![signed(seq), page(limit)], |row| {
        Ok((wide(row, 0)?, Receipt { key: row.get(1)?, body: row.get(2)? }))
    })
}
