//! What comes in once: batches of the dataflow, entries of outcomes, receipts.

use super::{Statements, args, recall, schema, work};
use engine::error::Error;
use engine::ledger::{Batch, Entry, Issued, Order, State, lane};
use engine::time::Micros;

/// [`engine::ledger::Ledger::issue`] within a transaction.
pub(super) fn issue(on: &dyn Statements, batch: &Batch, through: Micros) -> Result<Issued, Error> {
    require_sound(batch, through)?;
    let before = Micros(schema::number(on, schema::ISSUED_THROUGH)?);
    let mut issued = Issued::default();
    for entry in &batch.entries {
        if entry.at > before && insert_entry(on, entry)? {
            issued.new_entries += 1;
        } else {
            compare(&mut issued, &entry.id, has_entry(on, entry)?);
        }
    }
    for order in &batch.orders {
        if order.at > before && insert_order(on, order)? {
            issued.new_orders += 1;
        } else {
            compare(&mut issued, &order.id, has_order(on, order)?);
        }
    }
    // What holds from the beginning of time has not been applied before anything was issued.
    let is_new = |at: Micros| at > before || before == Micros::ZERO;
    for recall in batch.recalls.iter().filter(|recall| is_new(recall.at)) {
        recall::recall(on, recall)?;
    }
    for throw in batch.throws.iter().filter(|throw| is_new(throw.at)) {
        work::throw(on, throw)?;
    }
    if through > before {
        schema::set_number(on, schema::ISSUED_THROUGH, through.0)?;
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

/// Whether the entry is new; it is recorded then, and can be found.
pub(super) fn insert_entry(on: &dyn Statements, entry: &Entry) -> Result<bool, Error> {
    let Entry { id, at, dated, group, body, .. } = entry;
    let (group, terms) = (group.as_str(), terms_text(entry));
    let insert = "insert into entries (id, at, dated, grp, terms, body) values (?1, ?2, ?3, ?4, ?5, ?6) \
                  on conflict (id) do nothing returning seq";
    let inserted = on.query(insert, args![id.as_str(), at.0, dated.0, group, terms.as_str(), body.as_str()])?.pop();
    let Some(mut inserted) = inserted else { return Ok(false) };
    let seq = inserted.number(0)?;
    for term in &entry.terms {
        let insert = "insert into terms (grp, kind, value, dated, seq) values (?1, ?2, ?3, ?4, ?5) \
                      on conflict do nothing";
        on.execute(insert, args![group, u64::from(term.kind), term.value.as_str(), dated.0, seq])?;
    }
    Ok(true)
}

fn has_entry(on: &dyn Statements, entry: &Entry) -> Result<bool, Error> {
    let query = "select 1 from entries where id = ?1 and at = ?2 and body = ?3";
    Ok(!on.query(query, args![entry.id.as_str(), entry.at.0, entry.body.as_str()])?.is_empty())
}

/// What an entry can be found under, as it is kept beside it.
fn terms_text(entry: &Entry) -> String {
    let terms = entry.terms.iter().map(|term| serde_json::json!([term.kind, term.value]));
    serde_json::Value::from_iter(terms).to_string()
}

fn insert_order(on: &dyn Statements, order: &Order) -> Result<bool, Error> {
    let insert = "insert into orders (id, at, grp, payload, steps, step, lane, state, held, attempt, lease, due_ms, \
                      updated_ms) \
                  values (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, 0, 0, 0, 0, 0) on conflict (id) do nothing";
    let first = order.steps.first().map_or("", |step| lane(step));
    let (steps, payload) = (steps_text(order), order.payload.as_slice());
    let arguments =
        args![order.id.as_str(), order.at.0, order.group.as_str(), payload, steps.as_str(), first, State::Ready.name()];
    Ok(on.execute(insert, arguments)? == 1)
}

fn has_order(on: &dyn Statements, order: &Order) -> Result<bool, Error> {
    let query = "select 1 from orders where id = ?1 and at = ?2 and grp = ?3 and payload = ?4 and steps = ?5";
    let (steps, payload) = (steps_text(order), order.payload.as_slice());
    let found = on.query(query, args![order.id.as_str(), order.at.0, order.group.as_str(), payload, steps.as_str()])?;
    Ok(!found.is_empty())
}

fn steps_text(order: &Order) -> String {
    serde_json::Value::from(order.steps.as_slice()).to_string()
}

/// Whether a call with this key is the first; its body is kept then.
pub(super) fn receipt(on: &dyn Statements, key: &str, body: &str) -> Result<bool, Error> {
    let known = !on.query("select seq from receipts where key = ?1", args![key])?.is_empty();
    if !known {
        on.execute("insert into receipts (key, body) values (?1, ?2)", args![key, body])?;
    }
    Ok(!known)
}
