//! Queries that change nothing.

use super::{Arg, Row, Statements, args};
use engine::error::Error;
use engine::ledger::{
    Attempt, AttemptResult, Claim, Entry, Holds, Order, OrderStatus, Page, Receipt, Settlement, State, Term, lane,
};
use engine::time::Micros;

const ORDER: &str = "select seq, id, at, grp, payload, steps, step, state, held, attempt, due_ms, error, updated_ms \
                     from orders";

const ENTRY: &str = "select seq, id, at, dated, grp, terms, body from entries";

fn rows<T>(
    on: &dyn Statements,
    query: &str,
    arguments: &[Arg<'_>],
    read: impl FnMut(Row) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    on.query(query, arguments)?.into_iter().map(read).collect()
}

/// The number that a query gives, 0 if it gives none.
fn number(on: &dyn Statements, query: &str, arguments: &[Arg<'_>]) -> Result<u64, Error> {
    on.query(query, arguments)?.pop().map_or(Ok(0), |mut row| row.number(0))
}

/// Names of steps, kept as JSON.
pub(super) fn steps_of(row: &mut Row, column: usize) -> Result<Vec<String>, Error> {
    let text = row.text(column)?;
    serde_json::from_str(&text).map_err(|_| Error::Corrupt(format!("the control store has no steps but {text:?}")))
}

/// An order whose first column is this one.
pub(super) fn order_of(row: &mut Row, first: usize) -> Result<Order, Error> {
    Ok(Order {
        id: row.text(first)?,
        at: Micros(row.number(first + 1)?),
        group: row.text(first + 2)?,
        payload: row.bytes(first + 3)?,
        steps: steps_of(row, first + 4)?,
    })
}

fn status(mut row: Row) -> Result<OrderStatus, Error> {
    Ok(OrderStatus {
        seq: row.number(0)?,
        order: order_of(&mut row, 1)?,
        step: row.index(6)?,
        state: row.named(7, State::of_name)?,
        held: row.number(8)? != 0,
        attempt: u32::try_from(row.number(9)?).unwrap_or(u32::MAX),
        due_ms: row.number_or_none(10)?,
        error: row.text_or_none(11)?,
        updated_ms: row.number(12)?,
    })
}

/// What the steps before this one have left, by their index.
pub(super) fn details(on: &dyn Statements, seq: u64, step: usize) -> Result<Vec<Option<String>>, Error> {
    let query = "select step, text from attempts where order_seq = ?1 and result = ?2";
    let mut details = vec![None; step];
    for mut row in on.query(query, args![seq, AttemptResult::Done.name()])? {
        if let Some(detail) = details.get_mut(row.index(0)?) {
            *detail = row.text_or_none(1)?;
        }
    }
    Ok(details)
}

pub(super) fn open_orders(on: &dyn Statements) -> Result<u64, Error> {
    let query = "select (select count(*) from orders where state = 'ready') + (select count(*) from orders where state \
                 = 'claimed') + (select count(*) from orders where state = 'unknown' and due_ms is not null)";
    number(on, query, args![])
}

pub(super) fn held_orders(on: &dyn Statements) -> Result<u64, Error> {
    if super::schema::number(on, super::schema::HELD)? != 0 {
        return open_orders(on);
    }
    let query = "select count(*) from orders where state in ('ready', 'claimed', 'unknown') and due_ms is not null \
                 and (held <> 0 or grp in (select grp from groups where held = 1) \
                 or step = 0 and grp in (select grp from groups where held = 2))";
    number(on, query, args![])
}

pub(super) fn is_held(on: &dyn Statements, claim: &Claim) -> Result<bool, Error> {
    if super::schema::number(on, super::schema::HELD)? != 0 {
        return Ok(true);
    }
    let query = "select 1 from orders left join groups on groups.grp = orders.grp where orders.id = ?1 \
                 and (orders.held <> 0 or groups.held = 1 or groups.held = 2 and orders.step = 0)";
    Ok(!on.query(query, args![claim.order.id.as_str()])?.is_empty())
}

pub(super) fn oldest_open(on: &dyn Statements) -> Result<Option<Micros>, Error> {
    let query = "select min(seq), min(at) from (select seq, at from orders where state = 'ready' union all select seq, \
                 at from orders where state = 'claimed' union all select seq, at from orders where state = 'unknown' \
                 and due_ms is not null) as open";
    let found = on.query(query, args![])?.pop();
    Ok(found.map_or(Ok(None), |mut row| row.number_or_none(1))?.map(Micros))
}

pub(super) fn holds(on: &dyn Statements) -> Result<Holds, Error> {
    let all = super::schema::number(on, super::schema::HELD)? != 0;
    let groups = rows(on, "select grp from groups where held <> 0 order by grp", args![], |mut row| row.text(0))?;
    Ok(Holds { all, groups })
}

pub(super) fn begun_since(on: &dyn Statements, claim: &Claim, since_ms: u64) -> Result<u64, Error> {
    let Order { id, group, .. } = &claim.order;
    let released = number(on, "select released_ms from groups where grp = ?1", args![group.as_str()])?;
    let own = number(on, "select seq from orders where id = ?1", args![id.as_str()])?;
    let query = "select count(distinct order_seq) from attempts where lane = ?1 and grp = ?2 and claimed_ms >= ?3 \
                 and order_seq <> ?4 and (result in ('lost', 'done', 'unknown') or result = 'open' and order_seq < ?4)";
    number(on, query, args![lane(claim.step_name()), group.as_str(), since_ms.max(released), own])
}

pub(super) fn count(on: &dyn Statements, state: State) -> Result<u64, Error> {
    number(on, "select count(*) from orders where state = ?1", args![state.name()])
}

pub(super) fn orders(on: &dyn Statements, wanted: Page<'_>) -> Result<Vec<OrderStatus>, Error> {
    let mut query = format!("{ORDER} where seq < ?1");
    let mut arguments = vec![Arg::from(wanted.before.unwrap_or(u64::MAX)), Arg::from(wanted.limit)];
    if let Some(state) = wanted.state {
        arguments.push(Arg::from(state.name()));
        query.push_str(&format!(" and state = ?{}", arguments.len()));
    }
    if let Some(group) = wanted.group {
        arguments.push(Arg::from(group));
        query.push_str(&format!(" and grp = ?{}", arguments.len()));
    }
    rows(on, &format!("{query} order by seq desc limit ?2"), &arguments, status)
}

pub(super) fn order(on: &dyn Statements, id: &str) -> Result<Option<OrderStatus>, Error> {
    on.query(&format!("{ORDER} where id = ?1"), args![id])?.pop().map(status).transpose()
}

pub(super) fn trail(on: &dyn Statements, id: &str) -> Result<Vec<Attempt>, Error> {
    let query = "select lease, step, claimed_ms, ended_ms, result, text from attempts \
                 where order_seq = (select seq from orders where id = ?1) order by lease";
    rows(on, query, args![id], |mut row| {
        Ok(Attempt {
            lease: row.number(0)?,
            step: row.index(1)?,
            claimed_ms: row.number(2)?,
            ended_ms: row.number_or_none(3)?,
            result: row.named(4, AttemptResult::of_name)?,
            text: row.text_or_none(5)?,
        })
    })
}

pub(super) fn settled_after(on: &dyn Statements, seq: u64, limit: usize) -> Result<Vec<Settlement>, Error> {
    let query = "select seq, order_id, state, at_ms from settlements where seq > ?1 order by seq limit ?2";
    rows(on, query, args![seq, limit], |mut row| {
        let (seq, order) = (row.number(0)?, row.text(1)?);
        Ok(Settlement { seq, order, state: row.named(2, State::of_name)?, at_ms: row.number(3)? })
    })
}

/// An entry with its number, of the columns that [`ENTRY`] names.
pub(super) fn entry(mut row: Row) -> Result<(u64, Entry), Error> {
    let terms = row.text(5)?;
    let pairs: Vec<(u8, String)> = serde_json::from_str(&terms)
        .map_err(|_| Error::Corrupt(format!("the control store has no terms but {terms:?}")))?;
    let terms = pairs.into_iter().map(|(kind, value)| Term { kind, value }).collect();
    let (at, dated) = (Micros(row.number(2)?), Micros(row.number(3)?));
    Ok((row.number(0)?, Entry { id: row.text(1)?, at, dated, group: row.text(4)?, terms, body: row.text(6)? }))
}

pub(super) fn entries_after(on: &dyn Statements, seq: u64, limit: usize) -> Result<Vec<(u64, Entry)>, Error> {
    rows(on, &format!("{ENTRY} where seq > ?1 order by seq limit ?2"), args![seq, limit], entry)
}

pub(super) fn entries_before(on: &dyn Statements, seq: Option<u64>, limit: usize) -> Result<Vec<(u64, Entry)>, Error> {
    let query = format!("{ENTRY} where seq < ?1 order by seq desc limit ?2");
    rows(on, &query, args![seq.unwrap_or(u64::MAX), limit], entry)
}

pub(super) fn entry_seq(on: &dyn Statements, id: &str) -> Result<Option<u64>, Error> {
    on.query("select seq from entries where id = ?1", args![id])?.pop().map(|mut row| row.number(0)).transpose()
}

pub(super) fn receipts_after(on: &dyn Statements, seq: u64, limit: usize) -> Result<Vec<(u64, Receipt)>, Error> {
    let query = "select seq, key, body from receipts where seq > ?1 order by seq limit ?2";
    rows(on, query, args![seq, limit], |mut row| {
        Ok((row.number(0)?, Receipt { key: row.text(1)?, body: row.text(2)? }))
    })
}
