//! Groups: their turns, holds on them, and how much of them is begun at once and in a time. Also steps that are passed
//! over.

use super::{Check, Open, ask, at_rest, batch, claim_of, ensure, finish_all, ok, record, same};
use crate::ledger::{Ask, Claim, Ledger, Order, Page, Recorded, Scope, State, StepOutcome};
use crate::time::Micros;

/// Issues orders of groups right after the time issued so far.
fn issue_for(ledger: &mut dyn Ledger, orders: &[(&str, &str)]) -> Check {
    let at = ok(ledger.issued_through())?.0 + 1;
    let mut issued = batch(&[], &[]);
    let steps = |id: &str| batch(&[], &[(id, at)]).orders.remove(0);
    issued.orders.extend(orders.iter().map(|(id, group)| Order { group: (*group).to_owned(), ..steps(id) }));
    same("new orders", &ok(ledger.issue(&issued, Micros(at)))?.new_orders, &(orders.len() as u64))
}

fn ids(claims: &[Claim]) -> Vec<&str> {
    claims.iter().map(|claim| claim.order.id.as_str()).collect()
}

fn done() -> StepOutcome {
    StepOutcome::Done { detail: None }
}

pub(super) fn groups(open: Open<'_>) -> Check {
    let mut ledger = open();
    let many: Vec<String> = (0..30).map(|n| format!("big{n:02}")).collect();
    let mut orders: Vec<(&str, &str)> = many.iter().map(|id| (id.as_str(), "big")).collect();
    orders.extend([("small1", "small"), ("small2", "small"), ("other1", "other")]);
    issue_for(ledger.as_mut(), &orders)?;
    let first = ok(ledger.claim(&ask(10, 1_000, 4)))?;
    same("a turn each", &ids(&first), &vec!["big00", "other1", "small1", "big01"])?;
    let second = ok(ledger.claim(&ask(11, 1_000, 1)))?;
    same("who has waited longest", &ids(&second), &vec!["small2"])?;
    let third = ok(ledger.claim(&ask(12, 1_000, 2)))?;
    same("in the order issued", &ids(&third), &vec!["big02", "big03"])?;

    // Lanes do not wait for each other.
    same("recorded", &ok(ledger.record(&first[0], &done(), &[], 15))?, &Recorded::Applied)?;
    let lane = |lanes| Ask { lanes, ..ask(20, 1_000, 1) };
    let told = ok(ledger.claim(&lane(&["tell"])))?;
    same("of this lane", &ids(&told), &vec!["big00"])?;
    same("a lane of nothing", &ok(ledger.claim(&lane(&["none"])))?, &vec![])?;
    same("the first lane first", &ids(&ok(ledger.claim(&lane(&["tell", "call"])))?), &vec!["big04"])?;

    ensure(ok(ledger.hold(Scope::Group("big"), true, 30))?, "held")?;
    ensure(ok(ledger.hold(Scope::Group("never seen"), true, 30))?, "a group can be held before it has orders")?;
    same("what is held", &ok(open().holds())?.groups, &vec!["big".to_owned(), "never seen".to_owned()])?;
    same("nothing of it", &ok(ledger.claim(&ask(30, 1_000, 100)))?, &vec![])?;
    same("held and open", &ok(ledger.held_orders())?, &30)?;
    issue_for(ledger.as_mut(), &[("big-late", "big"), ("free", "small"), ("n1", "never seen")])?;
    same("nor of what comes later", &ids(&ok(ledger.claim(&ask(31, 1_000, 100)))?), &vec!["free"])?;
    ensure(ok(ledger.order("big10"))?.is_some_and(|status| !status.held), "the order itself is not held")?;
    let page = Page { state: Some(State::Ready), group: Some("never seen"), before: None, limit: 10 };
    same("listed by group", &ok(ledger.orders(page))?.len(), &1)?;
    for group in ["big", "never seen"] {
        ensure(ok(ledger.hold(Scope::Group(group), false, 40))?, "released")?;
    }
    same("what is held", &ok(ledger.holds())?.groups, &vec![])?;
    finish_all(open)?;
    held_back(ledger.as_mut())?;
    held_meanwhile(ledger.as_mut())
}

/// Who has claimed a step hears of every hold on it.
fn held_meanwhile(ledger: &mut dyn Ledger) -> Check {
    issue_for(ledger, &[("h1", "hm"), ("h2", "hm")])?;
    let claims = ok(ledger.claim(&ask(10, 1_000, 1)))?;
    let [claim] = claims.as_slice() else { return Err("one was claimed".to_owned()) };
    for scope in [Scope::All, Scope::Group("hm"), Scope::Order("h1")] {
        same("not yet", &ok(ledger.is_held(claim))?, &false)?;
        ensure(ok(ledger.hold(scope, true, 20_000_000))?, "held")?;
        same(&format!("held by {scope:?}"), &ok(ledger.is_held(claim))?, &true)?;
        ensure(ok(ledger.hold(scope, false, 20_000_001))?, "released")?;
    }
    ensure(ok(ledger.hold(Scope::Order("h2"), true, 20_000_002))?, "another is held")?;
    same("that is another", &ok(ledger.is_held(claim))?, &false)?;
    ensure(ok(ledger.hold(Scope::Order("h2"), false, 20_000_003))?, "released")?;
    ok(ledger.hold_back("hm"))?;
    same("its first step is held back", &ok(ledger.is_held(claim))?, &true)?;
    record(ledger, claim, &done())?;
    let later = ok(ledger.claim(&ask(2_000, 1_000, 10)))?;
    let [later] = later.as_slice() else { return Err("what is begun goes on".to_owned()) };
    same("its second is not", &(later.step, ok(ledger.is_held(later))?), &(1, false))?;
    ensure(ok(ledger.hold(Scope::Group("hm"), false, 20_000_004))?, "released")?;
    for round in 31..40 {
        for claim in &ok(ledger.claim(&ask(round * 1_000_000, 1, 100)))? {
            record(ledger, claim, &done())?;
        }
    }
    same("open after all is done", &ok(ledger.open_orders())?, &0)
}

/// What is begun goes on, and nothing else is.
fn held_back(ledger: &mut dyn Ledger) -> Check {
    issue_for(ledger, &[("back1", "back"), ("back2", "back"), ("back3", "back")])?;
    let claims = ok(ledger.claim(&ask(10_000_000, 1_000, 2)))?;
    same("recorded", &ok(ledger.record(&claims[0], &done(), &[], 10_000_001))?, &Recorded::Applied)?;
    ok(ledger.hold_back("back"))?;
    same("it is held", &ok(ledger.holds())?.groups, &vec!["back".to_owned()])?;
    same("what is not begun", &ok(ledger.held_orders())?, &2)?;
    let begun = ok(ledger.claim(&ask(10_100_000, 1_000, 10)))?;
    same("goes on", &begun.iter().map(|c| (c.order.id.as_str(), c.step)).collect::<Vec<_>>(), &vec![("back1", 1)])?;
    ensure(ok(ledger.hold(Scope::Group("back"), true, 10_100_001))?, "an admin holds it, too")?;
    ok(ledger.hold_back("back"))?;
    same("all of it", &ok(ledger.claim(&ask(10_200_000, 1_000, 10)))?, &vec![])?;
    ensure(ok(ledger.hold(Scope::Group("back"), false, 10_200_001))?, "released")?;
    same("nothing is held any more", &ok(ledger.claim(&ask(10_300_000, 1, 10)))?.len(), &3)?;
    for round in 21..30 {
        for claim in &ok(ledger.claim(&ask(round * 1_000_000, 1, 100)))? {
            record(ledger, claim, &done())?;
        }
    }
    same("open after all is done", &ok(ledger.open_orders())?, &0)
}

pub(super) fn limits(open: Open<'_>) -> Check {
    let mut ledger = open();
    let long_ago = ok(ledger.oldest_open())?;
    same("nothing is open", &long_ago, &None)?;
    issue_for(ledger.as_mut(), &[("m1", "m"), ("m2", "m"), ("m3", "m"), ("x1", "n")])?;
    let at = ok(ledger.issued_through())?;
    same("oldest", &ok(ledger.oldest_open())?, &Some(at))?;
    let two = |now_ms| Ask { per_group: 2, ..ask(now_ms, 100, 10) };
    let claims = ok(ledger.claim(&two(10_000_000)))?;
    same("two of a group at once", &ids(&claims), &vec!["m1", "x1", "m2"])?;
    same("no more", &ok(ledger.claim(&two(10_000_001)))?, &vec![])?;
    let begun = |ledger: &dyn Ledger, claim: &Claim, since| ok(ledger.begun_since(claim, since));
    let [first, other, second] = claims.as_slice() else { return Err("three were claimed".to_owned()) };
    same("before the first", &begun(ledger.as_ref(), first, 10_000_000)?, &0)?;
    same("before the second", &begun(ledger.as_ref(), second, 10_000_000)?, &1)?;
    same("not since", &begun(ledger.as_ref(), second, 10_000_001)?, &0)?;
    same("not of another group", &begun(ledger.as_ref(), other, 0)?, &0)?;
    let not_done = StepOutcome::NotDone { retry_at_ms: 10_000_010, error: "busy".to_owned() };
    record(ledger.as_mut(), first, &not_done)?;
    same("what certainly was not done does not count", &begun(ledger.as_ref(), second, 10_000_000)?, &0)?;
    record(ledger.as_mut(), second, &StepOutcome::Unknown { retry_at_ms: None, error: "?".to_owned() })?;
    let claims = ok(ledger.claim(&two(10_000_010)))?;
    same("room again", &ids(&claims), &vec!["m3", "m1"])?;
    let third = &claims[0];
    same("what may have been does, in whatever order", &begun(ledger.as_ref(), &claims[1], 10_000_000)?, &1)?;
    same("and what is under way before it", &begun(ledger.as_ref(), third, 10_000_000)?, &2)?;
    ensure(ok(ledger.hold(Scope::Group("m"), false, 10_000_020))?, "released")?;
    same("what was not held is not released", &begun(ledger.as_ref(), third, 10_000_000)?, &2)?;
    ensure(ok(ledger.hold(Scope::Group("m"), true, 10_000_021))?, "held")?;
    ensure(ok(ledger.hold(Scope::Group("m"), false, 10_000_022))?, "released")?;
    same("a release counts anew", &begun(ledger.as_ref(), third, 10_000_000)?, &0)?;
    ensure(ok(ledger.retry("m2", 10_000_030))?, "retried")?;
    // Later than all that came before.
    for round in 11..20 {
        for claim in &ok(ledger.claim(&ask(round * 1_000_000, 1, 100)))? {
            record(ledger.as_mut(), claim, &done())?;
        }
    }
    same("open after all is done", &ok(ledger.open_orders())?, &0)
}

pub(super) fn passed(open: Open<'_>) -> Check {
    let mut ledger = open();
    let at = ok(ledger.issued_through())?.0 + 1;
    let mut issued = batch(&[], &[("p1", at)]);
    issued.orders[0].steps = ["call", "tell:a", "tell:b", "tell:c"].map(str::to_owned).to_vec();
    ok(ledger.issue(&issued, Micros(at)))?;
    let first = claim_of(ledger.as_mut(), "p1", 100)?;
    record(ledger.as_mut(), &first, &StepOutcome::Done { detail: Some("d".to_owned()) })?;
    let passed = |why: &str| StepOutcome::Passed { error: why.to_owned() };
    for step in 1..4 {
        let claim = claim_of(ledger.as_mut(), "p1", 1_000 * step as u64)?;
        same("the next one goes on", &(claim.step, claim.attempt), &(step, 1))?;
        let details = (0..step).map(|at| [0, 2].contains(&at).then(|| "d".to_owned())).collect::<Vec<_>>();
        same("details by their step", &claim.details, &details)?;
        let outcome =
            if step == 2 { StepOutcome::Done { detail: Some("d".to_owned()) } } else { passed("no such box") };
        record(ledger.as_mut(), &claim, &outcome)?;
    }
    at_rest(ledger.as_mut(), "p1", State::Dead)?;
    let status = ok(ledger.order("p1"))?.ok_or("gone")?;
    same("why", &(status.step, status.error.as_deref()), &(4, Some("no such box")))?;
    ensure(ok(ledger.retry("p1", 5_000))?, "an admin tries again")?;
    for step in [1, 3] {
        let claim = claim_of(ledger.as_mut(), "p1", 5_000 + 1_000 * step as u64)?;
        same("only what is not done", &claim.step, &step)?;
        record(ledger.as_mut(), &claim, &done())?;
    }
    same("done after all", &ok(ledger.order("p1"))?.map(|s| (s.state, s.error)), &Some((State::Done, None)))?;
    finish_all(open)
}
