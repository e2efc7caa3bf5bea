//! What the dataflow says of orders: those that it takes back, and holds.

use super::{Check, Open, ask, batch, claim_of, ensure, finish_all, issue_orders, ok, record, same, settled};
use crate::ledger::{Batch, Ledger, Recall, Recorded, Scope, State, StepOutcome, Throw};
use crate::time::Micros;

fn throw(at: u64, group: Option<&str>, on: bool) -> Throw {
    Throw { at: Micros(at), group: group.map(str::to_owned), on }
}

/// Before anything is issued, what holds from the beginning of time is applied.
pub(super) fn from_the_beginning(open: Open<'_>) -> Check {
    let mut ledger = open();
    let throws = vec![throw(0, Some("early"), true), throw(0, None, true), throw(0, None, false)];
    ok(ledger.issue(&Batch { throws, ..Batch::default() }, Micros::ZERO))?;
    let holds = ok(open().holds())?;
    same("from the beginning", &(holds.all, holds.groups), &(false, vec!["early".to_owned()]))?;
    ensure(ok(ledger.hold(Scope::Group("early"), false, 1))?, "released")
}

pub(super) fn throws(open: Open<'_>) -> Check {
    let mut ledger = open();
    let now = ok(ledger.issued_through())?.0;
    let batch = Batch { throws: vec![throw(now + 2, Some("g1"), true)], ..batch(&[], &[("t1", now + 1)]) };
    ok(ledger.issue(&batch, Micros(now + 2)))?;
    same("an order of the same batch is held", &ok(ledger.claim(&ask(1, 1, 10)))?, &vec![])?;
    ensure(ok(ledger.hold(Scope::Group("g1"), false, 2))?, "released by hand")?;
    ok(ledger.issue(&batch, Micros(now + 2)))?;
    same("what was derived again holds nothing", &ok(ledger.holds())?.groups, &vec![])?;
    let all = |at, on| Batch { throws: vec![throw(at, None, on)], ..Batch::default() };
    // Later than any hand was laid on it before.
    let now = now + 1_000_000_000_000;
    ok(ledger.issue(&all(now, true), Micros(now)))?;
    ensure(ok(ledger.holds())?.all, "all is held")?;
    ok(ledger.issue(&all(now + 1_000, false), Micros(now + 1_000)))?;
    ensure(!ok(ledger.holds())?.all, "and released")?;
    outdated(ledger.as_mut(), now + 2_000)?;
    finish_all(open)
}

/// What an admin has put on since is not lifted by a record that the dataflow comes to later.
fn outdated(ledger: &mut dyn Ledger, now: u64) -> Check {
    for group in [None, Some("g1")] {
        let scope = group.map_or(Scope::All, Scope::Group);
        let held = |ledger: &dyn Ledger| {
            let holds = ok(ledger.holds())?;
            Ok::<_, String>(group.map_or(holds.all, |group| holds.groups == [group]))
        };
        let lifts = |at| Batch { throws: vec![throw(at, group, false)], ..Batch::default() };
        let from = ok(ledger.issued_through())?.0.max(now);
        ensure(ok(ledger.hold(scope, true, from / 1_000 + 10))?, "held by hand")?;
        ok(ledger.issue(&lifts(from + 5_000), Micros(from + 5_000)))?;
        ensure(held(ledger)?, "what is older than that lifts nothing")?;
        ok(ledger.issue(&lifts(from + 10_000), Micros(from + 10_000)))?;
        ensure(!held(ledger)?, "what is not, does")?;
    }
    Ok(())
}

pub(super) fn recalls(open: Open<'_>) -> Check {
    let mut handle = open();
    let ledger = handle.as_mut();
    issue_orders(ledger, &["ready", "late", "gone", "done", "begun", "doubted", "lost", "waits"])?;
    let known = settled(ledger)?.len();
    // Each stands somewhere else when they are taken back.
    let ready = claim_of(ledger, "ready", 10)?;
    let not_done = |at| StepOutcome::NotDone { retry_at_ms: at, error: "busy".to_owned() };
    record(ledger, &ready, &not_done(10_000))?;
    let late = claim_of(ledger, "late", 11)?;
    let gone = claim_of(ledger, "gone", 12)?;
    record(ledger, &gone, &StepOutcome::Dead { error: "refused".to_owned() })?;
    let done = claim_of(ledger, "done", 13)?;
    record(ledger, &done, &StepOutcome::Done { detail: None })?;
    let begun = claim_of(ledger, "begun", 14)?;
    let doubted = claim_of(ledger, "doubted", 15)?;
    let unknown = |at| StepOutcome::Unknown { retry_at_ms: at, error: "no answer".to_owned() };
    record(ledger, &doubted, &unknown(Some(10_000)))?;
    let lost = claim_of(ledger, "lost", 16)?;
    let ids = ["ready", "late", "gone", "done", "begun", "doubted", "lost", "missing"];
    let at = Micros(ok(ledger.issued_through())?.0 + 1);
    let recall = |id: &&str| Recall { order: (*id).to_owned(), at, why: format!("withdrawn: {id}") };
    let batch = Batch { recalls: ids.iter().map(recall).collect(), ..Batch::default() };
    ok(ledger.issue(&batch, at))?;

    // What was under way decides by its outcome.
    record(ledger, &late, &not_done(10_000))?;
    record(ledger, &begun, &StepOutcome::Done { detail: None })?;
    let claims = ok(ledger.claim(&ask(lost.lease_until_ms + 1, 100, 10)))?;
    let claimed: Vec<&str> = claims.iter().map(|claim| claim.order.id.as_str()).collect();
    ensure(!ids[..1].iter().chain(["late", "doubted", "lost"].iter()).any(|id| claimed.contains(id)), "none goes on")?;
    same("too late", &ok(ledger.record(&lost, &unknown(None), &[], 500))?, &Recorded::LeaseLost)?;
    let states = [
        ("ready", State::Expired, "withdrawn: ready"),
        ("late", State::Expired, "withdrawn: late"),
        ("gone", State::Dead, "refused"),
        ("doubted", State::Unknown, "withdrawn: doubted"),
        ("lost", State::Unknown, "withdrawn: lost"),
    ];
    for (id, state, error) in states {
        let status = ok(ledger.order(id))?.ok_or("an order is gone")?;
        same(id, &(status.state, status.due_ms, status.error.as_deref()), &(state, None, Some(error)))?;
    }
    for id in ["done", "begun"] {
        let status = ok(ledger.order(id))?.ok_or("an order is gone")?;
        ensure(status.step > 0, "what was done goes on")?;
    }
    let told = claims.iter().find(|claim| claim.order.id == "begun").ok_or("what was done does not go on")?;
    record(ledger, told, &not_done(550))?;
    let begun = ok(ledger.order("begun"))?.map(|status| (status.state, status.due_ms));
    same("its other steps are no longer taken back", &begun, &Some((State::Ready, Some(550))))?;
    let mut news: Vec<(String, State)> =
        settled(ledger)?.into_iter().skip(known).map(|(_, id, state)| (id, state)).collect();
    news.sort();
    let mut wanted: Vec<(String, State)> = states.iter().map(|(id, state, _)| ((*id).to_owned(), *state)).collect();
    wanted.sort();
    same("each came to rest once", &news, &wanted)?;

    // An admin's word counts for more, and what is derived again is no news.
    ensure(ok(ledger.retry("ready", 600))?, "tried again by hand")?;
    ok(ledger.issue(&batch, at))?;
    same("and not taken back again", &ok(ledger.order("ready"))?.map(|status| status.state), &Some(State::Ready))?;
    for id in ["late", "gone", "doubted", "lost"] {
        ensure(ok(ledger.retry(id, 600))?, id)?;
    }
    finish_all(open)
}
