//! What comes in once: batches of the dataflow, entries of outcomes, receipts.

use super::Failure;
use super::schema::{self, signed};
use engine::error::Error;
use engine::ledger::{Batch, Entry, Issued, Order, State};
use engine::time::Micros;
use rusqlite::{Connection, OptionalExtension, params};

/// [`engine::ledger::Ledger::issue`] within a transaction.
pub(super) fn issue(connection: &Connection, batch: &Batch, through: Micros) -> Result<Issued, Failure> {
    require_sound(batch, through)?;
    let before = Micros(schema::number(connection, schema::ISSUED_THROUGH)?);
    let mut issued = Issued::default();
    for entry in &batch.entries {
        if entry.at > before && insert_entry(connection, entry)? {
            issued.new_entries += 1;
        } else {
            compare(&mut issued, &entry.id, has_entry(connection, entry)?);
        }
    }
    for order in &batch.orders {
        if order.at > before && insert_order(connection, order)? {
            issued.new_orders += 1;
        } else {
            compare(&mut issued, &order.id, has_order(connection, order)?);
        }
    }
    if through > before {
        schema::set_number(connection, schema::ISSUED_THROUGH, through.0)?;
    }
    Ok(issued)
}

fn require_sound(batch: &Batch, through: Micros) -> Result<(), Error> {
    let times = batch.entries.iter().map(|e| (&e.id, e.at)).chain(batch.orders.iter().map(|o| (&o.id, o.at)));
    for (id, at) in times {
        if at > through {
            return Err(Error::Fault(format!("{id} at {at} was issued with a batch through {through}")));
        }
    }
    match batch.orders.iter().find(|order| order.steps.is_empty()) {
        Some(order) => Err(Error::Fault(format!("order {} has no steps", order.id))),
        None => Ok(()),
    }
}

fn compare(issued: &mut Issued, id: &str, equal: bool) {
    if equal {
        issued.repeated += 1;
    } else {
        issued.differing.push(id.to_owned());
    }
}

/// Whether the entry is new; it is recorded then.
pub(super) fn insert_entry(connection: &Connection, entry: &Entry) -> Result<bool, Failure> {
    let mut statement = connection
        .prepare_cached("insert into entries (id, at, body) values (?1, ?2, ?3) on conflict (id) do nothing")?;
    Ok(statement.execute(params![entry.id, signed(entry.at.0), entry.body])? == 1)
}

fn has_entry(connection: &Connection, entry: &Entry) -> Result<bool, Failure> {
    let mut statement =
        connection.prepare_cached("select exists (select 1 from entries where id = ?1 and at = ?2 and body = ?3)")?;
    Ok(statement.query_row(params![entry.id, signed(entry.at.0), entry.body], |row| row.get(0))?)
}

fn insert_order(connection: &Connection, order: &Order) -> Result<bool, Failure> {
    let mut statement = connection.prepare_cached(
        "insert into orders (id, at, payload, steps, step, state, held, attempt, lease, due_ms, updated_ms) \
         values (?1, ?2, ?3, ?4, 0, ?5, 0, 0, 0, 0, 0) on conflict (id) do nothing",
    )?;
    let steps = steps_text(order);
    Ok(statement.execute(params![order.id, signed(order.at.0), order.payload, steps, State::Ready.name()])? == 1)
}

fn has_order(connection: &Connection, order: &Order) -> Result<bool, Failure> {
    let mut statement = connection.prepare_cached(
        "select exists (select 1 from orders where id = ?1 and at = ?2 and payload = ?3 and steps = ?4)",
    )?;
    Ok(statement
        .query_row(params![order.id, signed(order.at.0), order.payload, steps_text(order)], |row| row.get(0))?)
}

fn steps_text(order: &Order) -> String {
    serde_json::Value::from(order.steps.as_slice()).to_string()
}

/// Whether a call with this key is the first; its body is kept then.
pub(super) fn receipt(connection: &Connection, key: &str, body: &str) -> Result<bool, Failure> {
    let known: Option<i64> = connection
        .prepare_cached("select seq from receipts where key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    if known.is_none() {
        connection.prepare_cached("insert into receipts (key, body) values (?1, ?2)")?.execute([key, body])?;
    }
    Ok(known.is_none())
}
