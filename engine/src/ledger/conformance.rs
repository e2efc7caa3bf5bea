//! What every ledger must do, as a test to be run on each of them. A crash is a handle that is dropped.

use super::{
    Ask, Attempt, AttemptResult, Batch, Claim, Entry, Issued, Ledger, Order, Page, Recorded, Scope, State, StepOutcome,
    TEXT_BYTES_MAX, Term, is_superseded,
};
use crate::error::Error;
use crate::time::Micros;

mod find;
mod groups;
mod recalls;

type Check = Result<(), String>;
type Open<'a> = &'a mut dyn FnMut() -> Box<dyn Ledger>;
type Part = fn(Open<'_>) -> Check;

/// Runs the suite. `open` gives another handle on one and the same ledger, which is empty at first.
///
/// # Errors
/// What the ledger did otherwise.
pub fn check(open: Open<'_>) -> Check {
    let parts: [(&str, Part); 16] = [
        ("empty", empty),
        ("from the beginning", recalls::from_the_beginning),
        ("issue", issue),
        ("refused batches", refused_batches),
        ("steps", steps),
        ("leases", leases),
        ("outcomes", outcomes),
        ("passed", groups::passed),
        ("an admin's hand", admin),
        ("groups", groups::groups),
        ("limits", groups::limits),
        ("recalls", recalls::recalls),
        ("throws", recalls::throws),
        ("find", find::find),
        ("receipts", receipts),
        ("generations", generations),
    ];
    for (name, part) in parts {
        part(open).map_err(|problem| format!("{name}: {problem}"))?;
    }
    Ok(())
}

fn empty(open: Open<'_>) -> Check {
    let mut ledger = open();
    same("issued through", &ok(ledger.issued_through())?, &Micros::ZERO)?;
    same("claims", &ok(ledger.claim(&ask(u64::MAX, 1, 10)))?, &vec![])?;
    same("open", &ok(ledger.open_orders())?, &0)?;
    same("entries", &ok(ledger.entries_after(0, 10))?, &vec![])
}

fn issue(open: Open<'_>) -> Check {
    let first = batch(&[("e1", 10), ("e3", 12), ("e2", 11)], &[("o1", 10)]);
    let issued = ok(open().issue(&first, Micros(20)))?;
    same("first", &issued, &Issued { new_entries: 3, new_orders: 1, ..Issued::default() })?;

    // Another handle, as after a crash; the whole batch again, and then with differences.
    let mut ledger = open();
    same("issued through", &ok(ledger.issued_through())?, &Micros(20))?;
    let again = ok(ledger.issue(&first, Micros(20)))?;
    same("again", &again, &Issued { repeated: 4, ..Issued::default() })?;
    let mut other = batch(&[("e1", 10), ("missing", 20), ("e2", 9)], &[("o1", 10), ("o-missing", 1)]);
    other.entries[0].body = "changed".to_owned();
    other.orders[0].payload = b"changed".to_vec();
    let differing = ["e1", "missing", "e2", "o1", "o-missing"].map(str::to_owned).to_vec();
    let compared = ok(ledger.issue(&other, Micros(20)))?;
    same("other", &compared, &Issued { differing, ..Issued::default() })?;
    ok(ledger.issue(&Batch::default(), Micros(15)))?;
    same("time never goes back", &ok(open().issued_through())?, &Micros(20))?;

    // Above the time issued an id is still inserted once.
    let later = batch(&[("e4", 21), ("e4", 21), ("e1", 30)], &[("o2", 30), ("o2", 30)]);
    let issued = ok(ledger.issue(&later, Micros(30)))?;
    let differing = vec!["e1".to_owned()];
    same("later", &issued, &Issued { new_entries: 1, new_orders: 1, repeated: 2, differing })?;
    same("nothing at all", &ok(ledger.issue(&Batch::default(), Micros(40)))?, &Issued::default())?;
    drop(ledger);

    let ledger = open();
    same("moved by an empty batch", &ok(ledger.issued_through())?, &Micros(40))?;
    let entries = ok(ledger.entries_after(0, 100))?;
    let ids: Vec<&str> = entries.iter().map(|(_, entry)| entry.id.as_str()).collect();
    same("entries in the order given", &ids, &vec!["e1", "e3", "e2", "e4"])?;
    same("entries as given", &entries[1].1, &first.entries[1])?;
    ensure(entries.windows(2).all(|pair| pair[0].0 < pair[1].0) && entries[0].0 > 0, "numbers ascend from 1")?;
    same("from the second on", &ok(ledger.entries_after(entries[1].0, 1))?, &entries[2..3].to_vec())?;
    let mut backwards = entries.clone();
    backwards.reverse();
    same("backwards", &ok(ledger.entries_before(None, 100))?, &backwards)?;
    same("backwards from", &ok(ledger.entries_before(Some(entries[2].0), 1))?, &entries[1..2].to_vec())?;
    same("number by id", &ok(ledger.entry_seq("e2"))?, &Some(entries[2].0))?;
    same("no number", &ok(ledger.entry_seq("missing"))?, &None)?;
    orders_as_issued(ledger.as_ref(), &[&first.orders[0], &later.orders[0]])?;
    finish_all(open)
}

fn orders_as_issued(ledger: &dyn Ledger, issued: &[&Order]) -> Check {
    let page = |before| Page { state: None, group: None, before, limit: 1 };
    let mut before = None;
    for order in issued.iter().rev() {
        let found = ok(ledger.orders(page(before)))?;
        let status = found.first().ok_or("an order is not listed")?;
        same("order", &&status.order, order)?;
        same("state", &(status.state, status.step, status.attempt), &(State::Ready, 0, 0))?;
        same("by id", &ok(ledger.order(&order.id))?, &found.first().cloned())?;
        before = Some(status.seq);
    }
    same("past the last page", &ok(ledger.orders(page(before)))?, &vec![])?;
    same("open", &ok(ledger.open_orders())?, &(issued.len() as u64))?;
    same("unknown id", &ok(ledger.order("missing"))?, &None)
}

fn refused_batches(open: Open<'_>) -> Check {
    let mut ledger = open();
    let before = ok(ledger.issued_through())?;
    let ahead = batch(&[("r1", 100), ("r2", 102)], &[]);
    ensure(matches!(ledger.issue(&ahead, Micros(101)), Err(Error::Fault(_))), "an entry after its batch is refused")?;
    let mut idle = batch(&[("r1", 100)], &[("r3", 100)]);
    idle.orders[0].steps.clear();
    ensure(matches!(ledger.issue(&idle, Micros(101)), Err(Error::Fault(_))), "an order without steps is refused")?;
    drop(ledger);
    same("nothing of it is there", &ok(open().entry_seq("r1"))?, &None)?;
    same("time stays", &ok(open().issued_through())?, &before)
}

fn steps(open: Open<'_>) -> Check {
    let mut ledger = open();
    issue_orders(ledger.as_mut(), &["s1", "s2"])?;
    let claims = ok(ledger.claim(&ask(1_000, 50, 1)))?;
    same("limit", &claims.len(), &1)?;
    let claim = &claims[0];
    same("first issued", &claim.order.id, &"s1".to_owned())?;
    same("step", &(claim.step, claim.step_name(), claim.attempt), &(0, "call", 1))?;
    same("times", &(claim.lease_until_ms, claim.first_claimed_ms), &(1_050, 1_000))?;
    same("no doubt", &claim.doubtful_since_ms, &None)?;
    same("ready and claimed are open", &ok(ledger.open_orders())?, &2)?;

    let entry = Entry { id: "s1-entry".to_owned(), ..batch(&[("e", 1)], &[]).entries.remove(0) };
    let done = StepOutcome::Done { detail: Some("7".to_owned()) };
    let recorded = ok(ledger.record(claim, &done, std::slice::from_ref(&entry), 1_010))?;
    same("recorded", &recorded, &Recorded::Applied)?;
    ensure(ok(ledger.entry_seq("s1-entry"))?.is_some(), "the entry of an outcome, however old, is inserted")?;
    let again = Entry { id: "s1-again".to_owned(), ..entry };
    same("twice", &ok(ledger.record(claim, &done, &[again], 1_010))?, &Recorded::LeaseLost)?;
    same("no entry under a lost lease", &ok(ledger.entry_seq("s1-again"))?, &None)?;
    drop(ledger);

    let mut ledger = open();
    claim_of(ledger.as_mut(), "s2", 1_010).map_err(|problem| format!("a new order comes first: {problem}"))?;
    let next = claim_of(ledger.as_mut(), "s1", 1_010)?;
    same("next step", &(next.step, next.step_name(), next.attempt), &(1, "tell:a:b", 1))?;
    same("detail of the step before", &next.details, &vec![Some("7".to_owned())])?;
    same("old claim", &ok(ledger.record(claim, &done, &[], 1_011))?, &Recorded::LeaseLost)?;
    let last_settled = settled(ledger.as_ref())?.last().map_or(0, |(seq, ..)| *seq);
    same("last", &ok(ledger.record(&next, &StepOutcome::Done { detail: None }, &[], 1_020))?, &Recorded::Applied)?;
    let status = ok(ledger.order("s1"))?.ok_or("the order is gone")?;
    same("done", &(status.state, status.step, status.due_ms), &(State::Done, 2, None))?;
    let settlements = ok(ledger.settled_after(last_settled, 10))?;
    same(
        "settled once",
        &settlements.iter().map(|s| (s.order.as_str(), s.state, s.at_ms)).collect::<Vec<_>>(),
        &vec![("s1", State::Done, 1_020)],
    )?;
    let trail: Vec<_> = ok(ledger.trail("s1"))?.into_iter().map(|a| (a.step, a.result, a.ended_ms, a.text)).collect();
    let (first, second) = (Some("7".to_owned()), None);
    same(
        "trail",
        &trail,
        &vec![(0, AttemptResult::Done, Some(1_010), first), (1, AttemptResult::Done, Some(1_020), second)],
    )?;
    finish_all(open)
}

fn leases(open: Open<'_>) -> Check {
    let mut first = open();
    issue_orders(first.as_mut(), &["l1"])?;
    let mut second = open();
    let lost = claim_of(first.as_mut(), "l1", 5_000)?;
    same("while leased", &ok(second.claim(&ask(5_099, 100, 10)))?, &vec![])?;
    drop(first);

    let mut first = open();
    let taken = claim_of(second.as_mut(), "l1", 5_100)?;
    same("attempt", &(taken.attempt, taken.first_claimed_ms), &(2, 5_000))?;
    same("the first may have happened", &taken.doubtful_since_ms, &Some(5_000))?;
    ensure(taken.lease > lost.lease, "leases ascend")?;
    let done = StepOutcome::Done { detail: None };
    same("lost", &ok(first.record(&lost, &done, &[], 5_101))?, &Recorded::LeaseLost)?;
    same("not moved", &ok(first.order("l1"))?.map(|s| (s.step, s.state)), &Some((0, State::Claimed)))?;
    // Run out, but nobody took it over: what is known is better recorded than lost.
    same("late", &ok(second.record(&taken, &done, &[], 9_000))?, &Recorded::Applied)?;
    let results: Vec<AttemptResult> = ok(second.trail("l1"))?.iter().map(|a: &Attempt| a.result).collect();
    same("trail", &results, &vec![AttemptResult::Lost, AttemptResult::Done])?;
    let next = claim_of(second.as_mut(), "l1", 9_000)?;
    same("doubt ends with the step", &(next.doubtful_since_ms, next.attempt), &(None, 1))?;
    same("done", &ok(second.record(&next, &done, &[], 9_001))?, &Recorded::Applied)?;
    finish_all(open)
}

fn outcomes(open: Open<'_>) -> Check {
    let mut ledger = open();
    issue_orders(ledger.as_mut(), &["w1"])?;
    let error = "x".repeat(TEXT_BYTES_MAX - 1) + "é";
    let claim = claim_of(ledger.as_mut(), "w1", 100)?;
    record(ledger.as_mut(), &claim, &StepOutcome::NotDone { retry_at_ms: 200, error })?;
    same("not yet due", &ok(ledger.claim(&ask(199, 10, 10)))?, &vec![])?;
    let status = ok(ledger.order("w1"))?.ok_or("gone")?;
    same("waiting", &(status.state, status.due_ms, status.attempt), &(State::Ready, Some(200), 1))?;
    same("text is cut", &status.error.map(|e| e.len()), &Some(TEXT_BYTES_MAX - 1))?;

    let claim = claim_of(ledger.as_mut(), "w1", 200)?;
    same("not done is no doubt", &(claim.attempt, claim.doubtful_since_ms), &(2, None))?;
    record(ledger.as_mut(), &claim, &StepOutcome::Postponed { until_ms: 300 })?;
    let claim = claim_of(ledger.as_mut(), "w1", 300)?;
    same("postponed is no attempt", &(claim.attempt, claim.first_claimed_ms), &(2, 100))?;
    let unknown = |retry_at_ms| StepOutcome::Unknown { retry_at_ms, error: "no answer".to_owned() };
    record(ledger.as_mut(), &claim, &unknown(Some(400)))?;
    same("unknown with a retry is open", &ok(ledger.open_orders())?, &1)?;
    let claim = claim_of(ledger.as_mut(), "w1", 400)?;
    same("doubt", &(claim.attempt, claim.doubtful_since_ms), &(3, Some(300)))?;
    record(ledger.as_mut(), &claim, &StepOutcome::Postponed { until_ms: 500 })?;
    same("doubt is shown", &ok(ledger.order("w1"))?.map(|s| s.state), &Some(State::Unknown))?;
    let claim = claim_of(ledger.as_mut(), "w1", 500)?;
    same("doubt stays", &claim.doubtful_since_ms, &Some(300))?;
    record(ledger.as_mut(), &claim, &unknown(None))?;
    at_rest(ledger.as_mut(), "w1", State::Unknown)?;

    for (state, outcome) in [
        (State::Dead, StepOutcome::Dead { error: "gave up".to_owned() }),
        (State::Expired, StepOutcome::Expired { error: "too old".to_owned() }),
    ] {
        ensure(ok(ledger.retry("w1", 600))?, "what is at rest can be retried")?;
        let claim = claim_of(ledger.as_mut(), "w1", 600)?;
        same("fresh", &(claim.step, claim.attempt, claim.doubtful_since_ms), &(0, 1, None))?;
        record(ledger.as_mut(), &claim, &outcome)?;
        at_rest(ledger.as_mut(), "w1", state)?;
    }
    let states: Vec<State> =
        settled(ledger.as_ref())?.into_iter().filter(|(_, id, _)| id == "w1").map(|(.., state)| state).collect();
    same("settlements", &states, &vec![State::Unknown, State::Dead, State::Expired])?;
    ensure(ok(ledger.retry("w1", 700))?, "retried")?;
    finish_all(open)
}

fn at_rest(ledger: &mut dyn Ledger, id: &str, state: State) -> Check {
    same("never due", &ok(ledger.claim(&ask(u64::MAX - 1, 10, 10)))?, &vec![])?;
    same("not open", &ok(ledger.open_orders())?, &0)?;
    same("count", &ok(ledger.count(state))?, &1)?;
    let listed = ok(ledger.orders(Page { state: Some(state), group: None, before: None, limit: 10 }))?;
    let found: Vec<_> = listed.iter().map(|s| (s.order.id.as_str(), s.state, s.due_ms)).collect();
    same("listed by state", &found, &vec![(id, state, None)])
}

fn admin(open: Open<'_>) -> Check {
    let mut ledger = open();
    issue_orders(ledger.as_mut(), &["a1", "a2"])?;
    ensure(ok(ledger.hold(Scope::Order("a1"), true, 10))?, "held")?;
    ensure(!ok(ledger.hold(Scope::Order("missing"), true, 10))?, "there is no such order")?;
    same("is shown", &ok(open().order("a1"))?.map(|s| s.held), &Some(true))?;
    let claim = claim_of(ledger.as_mut(), "a2", 10)?;
    ensure(ok(ledger.hold(Scope::All, true, 11))? && ok(open().holds())?.all, "all held")?;
    same("all that is open is held", &ok(ledger.held_orders())?, &2)?;
    record(ledger.as_mut(), &claim, &StepOutcome::Done { detail: None })?;
    same("nothing while all is held", &ok(ledger.claim(&ask(1_000, 10, 10)))?, &vec![])?;
    ensure(ok(ledger.hold(Scope::All, false, 12))?, "released")?;
    let claim = claim_of(ledger.as_mut(), "a2", 1_000)?;
    ensure(!ok(ledger.retry("a2", 1_000))?, "what is being done is not retried")?;
    record(ledger.as_mut(), &claim, &StepOutcome::Done { detail: None })?;
    ensure(!ok(ledger.retry("a2", 1_000))?, "what is done is not retried")?;
    ensure(!ok(ledger.retry("missing", 1_000))?, "nothing to retry")?;
    same("one is still held", &ok(ledger.claim(&ask(1_000, 10, 10)))?, &vec![])?;
    ensure(ok(ledger.hold(Scope::Order("a1"), false, 1_000))?, "released")?;
    let claim = claim_of(ledger.as_mut(), "a1", 1_000)?;
    let later = StepOutcome::NotDone { retry_at_ms: 90_000, error: "busy".to_owned() };
    record(ledger.as_mut(), &claim, &later)?;
    ensure(ok(ledger.retry("a1", 1_001))?, "a waiting order can be hurried")?;
    let claim = claim_of(ledger.as_mut(), "a1", 1_001)?;
    same("with fresh counts", &(claim.attempt, claim.first_claimed_ms), &(1, 1_001))?;
    record(ledger.as_mut(), &claim, &StepOutcome::Done { detail: None })?;
    finish_all(open)
}

fn receipts(open: Open<'_>) -> Check {
    ensure(ok(open().receipt("k1", "one"))?, "first")?;
    ensure(!ok(open().receipt("k1", "two"))?, "not first")?;
    ensure(ok(open().receipt("k2", "two"))?, "first of another key")?;
    let all = ok(open().receipts_after(0, 10))?;
    let pairs: Vec<_> = all.iter().map(|(_, r)| (r.key.as_str(), r.body.as_str())).collect();
    same("kept", &pairs, &vec![("k1", "one"), ("k2", "two")])?;
    same("from the second", &ok(open().receipts_after(all[0].0, 1))?, &all[1..].to_vec())
}

fn generations(open: Open<'_>) -> Check {
    let mut old = open();
    ok(old.claim_generation(3))?;
    issue_orders(old.as_mut(), &["g1", "g2"])?;
    let claim = claim_of(old.as_mut(), "g1", 10)?;
    let mut new = open();
    ok(new.claim_generation(4))?;
    let mut same_generation = open();
    ok(same_generation.claim_generation(4))?;

    let through = ok(old.issued_through())?;
    let above = Micros(through.0 + 1);
    let refused = batch(&[("g-entry", above.0)], &[]);
    fenced("issue", old.issue(&refused, above))?;
    fenced("an empty issue", old.issue(&Batch::default(), above))?;
    fenced("claim", old.claim(&ask(u64::MAX - 1, 10, 10)))?;
    fenced("record", old.record(&claim, &StepOutcome::Done { detail: None }, &[], 20))?;
    fenced("receipt", old.receipt("g-key", ""))?;
    fenced("claiming the past", old.claim_generation(3))?;
    fenced("a handle that acts for none", open().receipt("g-key", ""))?;
    same("nothing written", &ok(new.entry_seq("g-entry"))?, &None)?;
    same("time stays", &ok(old.issued_through())?, &through)?;
    ensure(ok(open().hold(Scope::Order("g1"), false, 1))?, "an admin needs no generation")?;

    same(
        "leases outlive generations",
        &ok(new.claim(&ask(10, 10, 1)))?.first().map(|c| c.order.id.clone()),
        &Some("g2".into()),
    )?;
    same("issue", &ok(same_generation.issue(&refused, above))?.new_entries, &1)?;
    same(
        "and their claims are good",
        &ok(new.record(&claim, &StepOutcome::Done { detail: None }, &[], 20))?,
        &Recorded::Applied,
    )?;

    let claims = ok(new.claim(&ask(30, 1_000, 10)))?;
    same("of both", &claims.len(), &2)?;
    let mut last = open();
    fenced("taking over what is not older", last.take_over(4))?;
    ok(last.take_over(5))?;
    same("it is known", &ok(open().current_generation())?, &5)?;
    fenced("claiming after that", new.claim(&ask(30, 10, 10)))?;
    let mut taken = ok(last.claim(&ask(30, 10, 10)))?.into_iter().map(|claim| claim.order.id).collect::<Vec<_>>();
    taken.sort();
    same("claims end with a generation that is taken over", &taken, &vec!["g1".to_owned(), "g2".to_owned()])?;
    same(
        "also for who comes late",
        &ok(last.record(&claims[0], &StepOutcome::Dead { error: String::new() }, &[], 31))?,
        &Recorded::LeaseLost,
    )
}

fn fenced<T>(what: &str, result: Result<T, Error>) -> Check {
    match result {
        Ok(_) => Err(format!("{what} by an older generation went through")),
        Err(error) if is_superseded(&error) => Ok(()),
        Err(error) => Err(format!("{what} by an older generation failed otherwise: {error}")),
    }
}

/// Does all that is open, so that the next part of the suite starts clean.
fn finish_all(open: Open<'_>) -> Check {
    let mut ledger = open();
    // Late enough for every lease and retry of the part before; no order has more steps than there are rounds.
    for round in 1..10 {
        for claim in &ok(ledger.claim(&ask(round * 1_000_000, 1, 100)))? {
            record(ledger.as_mut(), claim, &StepOutcome::Done { detail: None })?;
        }
    }
    same("open after all is done", &ok(ledger.open_orders())?, &0)
}

fn record(ledger: &mut dyn Ledger, claim: &Claim, outcome: &StepOutcome) -> Check {
    let recorded = ok(ledger.record(claim, outcome, &[], claim.lease_until_ms))?;
    same(&format!("record of {outcome:?}"), &recorded, &Recorded::Applied)
}

/// Asks for steps of all lanes there are.
fn ask(now_ms: u64, lease_ms: u64, limit: usize) -> Ask<'static> {
    Ask { lanes: &["call", "tell"], now_ms, lease_ms, limit, per_group: usize::MAX }
}

/// Claims one step for 100 ms, which must be of order `id`.
fn claim_of(ledger: &mut dyn Ledger, id: &str, now_ms: u64) -> Result<Claim, String> {
    let claims = ok(ledger.claim(&ask(now_ms, 100, 1)))?;
    let claim = claims.into_iter().next().ok_or_else(|| format!("{id} cannot be claimed at {now_ms}"))?;
    same("claimed order", &claim.order.id.as_str(), &id)?;
    Ok(claim)
}

/// Issues orders right after the time issued so far.
fn issue_orders(ledger: &mut dyn Ledger, ids: &[&str]) -> Check {
    let at = ok(ledger.issued_through())?.0 + 1;
    let orders: Vec<(&str, u64)> = ids.iter().map(|id| (*id, at)).collect();
    let issued = ok(ledger.issue(&batch(&[], &orders), Micros(at)))?;
    same("new orders", &issued.new_orders, &(ids.len() as u64))
}

fn batch(entries: &[(&str, u64)], orders: &[(&str, u64)]) -> Batch {
    let entry = |(id, at): &(&str, u64)| Entry {
        id: (*id).to_owned(),
        at: Micros(*at),
        dated: Micros(at.saturating_sub(1)),
        group: "g1".to_owned(),
        terms: vec![Term { kind: 1, value: "ünï 'quoted'; --".to_owned() }, Term { kind: 255, value: String::new() }],
        body: format!("{{\"id\":\"{id}\",\"text\":\"ünï 'quoted'; --\"}}"),
    };
    let order = |(id, at): &(&str, u64)| Order {
        id: (*id).to_owned(),
        at: Micros(*at),
        group: "g1".to_owned(),
        payload: vec![0, 255, b'"', b'\''],
        steps: vec!["call".to_owned(), "tell:a:b".to_owned()],
    };
    let (entries, orders) = (entries.iter().map(entry).collect(), orders.iter().map(order).collect());
    Batch { entries, orders, ..Batch::default() }
}

fn settled(ledger: &dyn Ledger) -> Result<Vec<(u64, String, State)>, String> {
    Ok(ok(ledger.settled_after(0, 1_000))?.into_iter().map(|s| (s.seq, s.order, s.state)).collect())
}

fn ok<T>(result: Result<T, Error>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

fn ensure(holds: bool, what: &str) -> Check {
    if holds { Ok(()) } else { Err(format!("does not hold: {what}")) }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Check {
    if found == wanted { Ok(()) } else { Err(format!("{what}: found {found:?}, wanted {wanted:?}")) }
}
