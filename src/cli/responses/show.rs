//! `aerie responses show`: one response, with every attempt at its steps.

use super::{NONE, One, Shown, next_step, pick, subject, time};
use crate::cli::inspect::table::whole_table;
use crate::cli::{Failure, plain, print, print_json};
use engine::ledger::{Attempt, Holds, Ledger, OrderStatus};
use operators::respond::message::utc;
use serde::Serialize;
use serde_json::json;
use std::fmt::Write;

/// An attempt as JSON shows it.
#[derive(Serialize)]
struct Tried<'a> {
    lease: u64,
    step: Option<&'a String>,
    begun_ms: u64,
    ended_ms: Option<u64>,
    result: &'static str,
    text: Option<&'a String>,
}

pub(super) fn execute(args: &One) -> Result<(), Failure> {
    let store = args.place.read()?;
    let status = pick(&store, &args.which)?;
    let (trail, holds) = (store.trail(&status.order.id)?, store.holds()?);
    if args.place.json {
        let tried = trail.iter().map(|attempt| Tried {
            lease: attempt.lease,
            step: status.order.steps.get(attempt.step),
            begun_ms: attempt.claimed_ms,
            ended_ms: attempt.ended_ms,
            result: attempt.result.name(),
            text: attempt.text.as_ref(),
        });
        return print_json(&json!({"response": Shown::of(&status), "attempts": tried.collect::<Vec<_>>()}));
    }
    print(&text(&status, &trail, &holds))
}

pub(super) fn text(status: &OrderStatus, trail: &[Attempt], holds: &Holds) -> String {
    let mut text = String::new();
    write(&mut text, status, holds).expect("a string takes everything");
    let row = |attempt: &Attempt| {
        let took = attempt.ended_ms.map(|ended| ended.saturating_sub(attempt.claimed_ms));
        [
            attempt.lease.to_string(),
            status.order.steps.get(attempt.step).cloned().unwrap_or_else(|| NONE.to_owned()),
            time(attempt.claimed_ms),
            took.map_or_else(|| NONE.to_owned(), |took| took.to_string()),
            attempt.result.name().to_owned(),
            attempt.text.clone().unwrap_or_else(|| NONE.to_owned()),
        ]
    };
    whole_table(
        &mut text,
        ["lease", "step", "begun", "ms", "result", "what was said"],
        &trail.iter().map(row).collect::<Vec<_>>(),
    );
    text
}

fn write(to: &mut String, status: &OrderStatus, holds: &Holds) -> std::fmt::Result {
    let OrderStatus { seq, order, state, held, due_ms, error, updated_ms, .. } = status;
    writeln!(to, "response {seq}, {}", plain(&order.id))?;
    let about = subject(status).map_or_else(String::new, |user| format!(", user {}", plain(&user)));
    writeln!(to, "  about    org {}{about}, event time {}", plain(&order.group), utc(order.at))?;
    let next = next_step(status).map_or_else(String::new, |step| format!(" at {}", plain(step)));
    writeln!(to, "  stands   {}{next}, since {}", state.name(), time(*updated_ms))?;
    if let Some(due) = due_ms.filter(|due| *due > 0) {
        writeln!(to, "  due      {}", time(due))?;
    }
    let by = [("itself", *held), ("its org", holds.groups.contains(&order.group)), ("all", holds.all)];
    let by: Vec<&str> = by.into_iter().filter(|(_, held)| *held).map(|(by, _)| by).collect();
    if !by.is_empty() {
        writeln!(to, "  held     with {}", by.join(", "))?;
    }
    if let Some(error) = error {
        writeln!(to, "  why      {}", plain(error))?;
    }
    let steps: Vec<String> = order.steps.iter().map(|step| plain(step)).collect();
    writeln!(to, "  steps    {}", steps.join(", "))
}
