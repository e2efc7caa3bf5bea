//! Claims: whose turn it is, and the lease that a step is given under.

use super::read::{self, order_of};
use super::{Statements, args};
use super::{recall, schema};
use engine::error::Error;
use engine::ledger::{Ask, AttemptResult, Claim, State};
use std::collections::VecDeque;

/// Whether a claim could find anything, so that an idle executor keeps nobody from writing.
pub(super) fn any_due(on: &dyn Statements, ask: &Ask<'_>) -> Result<bool, Error> {
    let query = "select 1 from orders where lane = ?1 and due_ms <= ?2 and due_ms is not null and held = 0 limit 1";
    for lane in ask.lanes {
        if !on.query(query, args![*lane, ask.now_ms])?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Ends every lease: who held one can no longer record.
pub(super) fn release_all(on: &dyn Statements) -> Result<(), Error> {
    on.execute("update orders set due_ms = 0 where state = 'claimed'", args![]).map(drop)
}

/// [`engine::ledger::Ledger::claim`] within a transaction.
pub(super) fn claim(on: &dyn Statements, ask: &Ask<'_>) -> Result<Vec<Claim>, Error> {
    let mut claims = Vec::new();
    recall::lay_to_rest(on, ask.now_ms)?;
    if schema::number(on, schema::HELD)? != 0 {
        return Ok(claims);
    }
    for lane in ask.lanes {
        let room = ask.limit.saturating_sub(claims.len());
        for seq in take_turns(on, lane, ask, room)? {
            claims.push(claim_one(on, seq, ask)?);
        }
    }
    Ok(claims)
}

/// A group with a step that is due in a lane.
struct Waiting {
    group: String,
    /// The number of its last claim in this lane.
    served: u64,
    /// When the first of its steps was due.
    since: u64,
    /// How many more it may have claimed.
    room: usize,
}

/// Groups that may claim in a lane, the next one first.
fn waiting(on: &dyn Statements, lane: &str, ask: &Ask<'_>) -> Result<Vec<Waiting>, Error> {
    // From group to group by the index, however many orders each has.
    let query = "with recursive waiting (grp) as ( \
             select min(grp) from orders where lane = ?1 and due_ms is not null and held = 0 \
             union all \
             select (select min(o.grp) from orders as o \
                 where o.lane = ?1 and o.due_ms is not null and o.held = 0 and o.grp > waiting.grp) \
             from waiting where waiting.grp is not null \
         ) \
         select waiting.grp, coalesce(turns.served, 0), \
             (select min(o.due_ms) from orders as o \
                 where o.lane = ?1 and o.grp = waiting.grp and o.due_ms is not null and o.held = 0 \
                     and o.step >= coalesce(groups.held, 0) / 2), \
             (select count(*) from orders as o \
                 where o.state = 'claimed' and o.lane = ?1 and o.grp = waiting.grp and o.due_ms > ?2) \
         from waiting left join turns on turns.lane = ?1 and turns.grp = waiting.grp \
             left join groups on groups.grp = waiting.grp \
         where waiting.grp is not null and coalesce(groups.held, 0) <> 1";
    let mut groups = Vec::new();
    for mut row in on.query(query, args![lane, ask.now_ms])? {
        let (group, served) = (row.text(0)?, row.number(1)?);
        let (since, claimed) = (row.number_or_none(2)?.unwrap_or(u64::MAX), row.index(3)?);
        groups.push(Waiting { group, served, since, room: ask.per_group.saturating_sub(claimed) });
    }
    groups.retain(|group| group.since <= ask.now_ms && group.room > 0);
    groups.sort_by(|a, b| (a.served, a.since, &a.group).cmp(&(b.served, b.since, &b.group)));
    Ok(groups)
}

/// The numbers of up to `room` orders that are next in a lane, a group after the other.
fn take_turns(on: &dyn Statements, lane: &str, ask: &Ask<'_>, room: usize) -> Result<Vec<u64>, Error> {
    if room == 0 {
        return Ok(Vec::new());
    }
    let mut groups = waiting(on, lane, ask)?;
    groups.truncate(room);
    // With as many groups as there is room for, each has one turn.
    let most = if groups.len() == room { 1 } else { room };
    let mut queues = VecDeque::new();
    for group in groups {
        let due = "select seq from orders where lane = ?1 and grp = ?2 and due_ms <= ?3 and due_ms is not null \
                       and held = 0 and step >= coalesce((select groups.held from groups where groups.grp = ?2), 0) / 2 \
                   order by due_ms, seq limit ?4";
        let due = on.query(due, args![lane, group.group.as_str(), ask.now_ms, most.min(group.room)])?;
        let due = due.into_iter().map(|mut row| row.number(0)).collect::<Result<VecDeque<_>, _>>()?;
        queues.push_back((group.group, due));
    }
    let mut taken = Vec::new();
    let mut turns = Vec::new();
    while taken.len() < room
        && let Some((group, mut due)) = queues.pop_front()
    {
        if let Some(seq) = due.pop_front() {
            taken.push(seq);
            turns.retain(|served| *served != group);
            turns.push(group.clone());
            queues.push_back((group, due));
        }
    }
    note_turns(on, lane, &turns)?;
    Ok(taken)
}

/// Puts these groups behind all others of the lane, in this order.
fn note_turns(on: &dyn Statements, lane: &str, groups: &[String]) -> Result<(), Error> {
    if groups.is_empty() {
        return Ok(());
    }
    let last = on.query("select coalesce(max(served), 0) from turns where lane = ?1", args![lane])?.pop();
    let mut served = last.map_or(Ok(0), |mut row| row.number(0))?;
    for group in groups {
        served += 1;
        let upsert = "insert into turns (lane, grp, served) values (?1, ?2, ?3) \
                      on conflict (lane, grp) do update set served = excluded.served";
        on.execute(upsert, args![lane, group.as_str(), served])?;
    }
    Ok(())
}

fn claim_one(on: &dyn Statements, seq: u64, ask: &Ask<'_>) -> Result<Claim, Error> {
    let until = ask.now_ms.saturating_add(ask.lease_ms);
    let lost = "update attempts set ended_ms = ?2, result = ?3 where order_seq = ?1 and result = ?4";
    on.execute(lost, args![seq, ask.now_ms, AttemptResult::Lost.name(), AttemptResult::Open.name()])?;
    // On the right of an assignment stands the row as it was.
    let update = "update orders set \
                doubt_ms = case when state = ?4 then coalesce(doubt_ms, claimed_ms) else doubt_ms end, \
                first_ms = coalesce(first_ms, ?2), claimed_ms = ?2, updated_ms = ?2, due_ms = ?3, state = ?4, \
                attempt = attempt + 1, lease = lease + 1 \
             where seq = ?1 \
             returning id, at, grp, payload, steps, step, attempt, lease, first_ms, doubt_ms";
    let claimed = on.query(update, args![seq, ask.now_ms, until, State::Claimed.name()])?.pop();
    let mut row = claimed.ok_or_else(|| on.corrupt("has lost an order"))?;
    let mut claim = Claim {
        order: order_of(&mut row, 0)?,
        step: row.index(5)?,
        attempt: u32::try_from(row.number(6)?).unwrap_or(u32::MAX),
        lease: row.number(7)?,
        lease_until_ms: until,
        first_claimed_ms: row.number(8)?,
        doubtful_since_ms: row.number_or_none(9)?,
        details: Vec::new(),
    };
    let insert = "insert into attempts (order_seq, lease, grp, lane, step, claimed_ms, result) \
                  select seq, lease, grp, lane, step, claimed_ms, ?2 from orders where seq = ?1";
    on.execute(insert, args![seq, AttemptResult::Open.name()])?;
    if claim.step > 0 {
        claim.details = read::details(on, seq, claim.step)?;
    }
    Ok(claim)
}
