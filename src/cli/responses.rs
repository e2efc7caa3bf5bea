//! `aerie responses`: the ledger as an admin sees it: what was ordered, tried, done, and what waits for somebody.

mod show;
#[cfg(test)]
mod tests;

use super::inspect::table::whole_table;
use super::run::load;
use super::{Failure, plain, print, print_json};
use crate::store::StorePlace;
use config::Flags;
use connectors::store::Store;
use engine::clock::Clock;
use engine::ledger::{Holds, Ledger, OrderStatus, Page, Scope, State};
use engine::time::Micros;
use operators::respond::message::utc;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What stands in a cell that has nothing to say.
const NONE: &str = "-";

/// Show what was ordered, tried and done, and hold, release or try again
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:\n  aerie responses list --data-dir data --state dead\n  aerie responses hold --all \
                        --data-dir data")]
pub(super) enum Command {
    /// List responses, newest first, a page at a time
    #[command(
        after_help = "Examples:\n  aerie responses list --data-dir data\n  aerie responses list --data-dir data \
                            --state unknown --org E1 --json\n  aerie responses list --data-dir data --before 812\n\n\
                            States: ready, claimed (being worked on), done, unknown (may have happened), dead (given \
                            up), expired (too late)."
    )]
    List(List),
    /// Show one response with every attempt at its steps
    #[command(after_help = "Example:\n  aerie responses show 12 --data-dir data")]
    Show(One),
    /// Try a response again: its first step that is not done becomes due at once, and counts anew
    #[command(
        after_help = "Example:\n  aerie responses retry 12 --data-dir data\n\nOf one that is unknown, see first whether \
                      it happened: a receiver that keeps no keys ends what has begun since."
    )]
    Retry(One),
    /// Hold a response, all of an org, or all there are: nothing of it is begun until it is released
    #[command(
        after_help = "Examples:\n  aerie responses hold 12 --data-dir data\n  aerie responses hold --org E1 --data-dir \
                      data\n  aerie responses hold --all --data-dir data"
    )]
    Hold(Scoped),
    /// Release what was held; each hold is released as it was put on
    #[command(after_help = "Examples:\n  aerie responses release --org E1 --data-dir data\n  aerie responses release \
                            --all --data-dir data")]
    Release(Scoped),
}

/// Where a job's ledger is.
#[derive(Debug, Clone, clap::Args)]
#[command(group(clap::ArgGroup::new("place").args(["data_dir", "config"]).required(true).multiple(true)))]
pub(super) struct Where {
    /// The data directory of the job
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The job file, if its ledger is on a server
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// Only those in this state
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<State>,
    /// Only those of this org
    #[arg(long, value_name = "ORG")]
    org: Option<String>,
    /// Only those with a number below this, as a page before has said
    #[arg(long, value_name = "NUMBER")]
    before: Option<u64>,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    limit: u64,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, clap::Args)]
pub(super) struct One {
    /// The response's number, or its id
    #[arg(value_name = "NUMBER|ID")]
    which: String,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("scope").args(["which", "org", "all"]).required(true)))]
pub(super) struct Scoped {
    /// The response's number, or its id
    #[arg(value_name = "NUMBER|ID")]
    which: Option<String>,
    /// All of this org, also those to come
    #[arg(long, value_name = "ORG")]
    org: Option<String>,
    /// All there are and those to come
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    place: Where,
}

fn state(name: &str) -> Result<State, String> {
    let names = State::ALL.map(State::name).join(", ");
    State::of_name(name).ok_or_else(|| format!("the states are {names}"))
}

pub(super) fn execute(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(args),
        Command::Show(args) => show::execute(args),
        Command::Retry(args) => retry(args),
        Command::Hold(args) => hold(args, true),
        Command::Release(args) => hold(args, false),
    }
}

impl Where {
    fn find(&self) -> Result<StorePlace, Failure> {
        let input = self.data_dir.iter().cloned().collect();
        // Sources must be named for a job to be one; none is read.
        let flags = Flags { input, data_dir: self.data_dir.clone(), ..Flags::default() };
        Ok(StorePlace::seen(&load(self.config.as_deref(), flags)?)?)
    }

    fn read(&self) -> Result<Store, Failure> {
        Ok(self.find()?.read()?)
    }

    fn administer(&self) -> Result<Store, Failure> {
        Ok(self.find()?.administer()?)
    }
}

fn list(args: &List) -> Result<(), Failure> {
    let store = args.place.read()?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let page = Page { state: args.state, group: args.org.as_deref(), before: args.before, limit: limit + 1 };
    let mut found = store.orders(page)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().map(|status| status.seq).filter(|_| more);
    let holds = store.holds()?;
    if args.place.json {
        let held = json!({"all": holds.all, "orgs": holds.groups});
        let responses: Vec<Shown> = found.iter().map(Shown::of).collect();
        return print_json(&json!({"responses": responses, "next_before": next, "holds": held}));
    }
    let mut text = told(&holds);
    text.push_str(&table(&found));
    if let Some(next) = next {
        text.push_str(&format!("  and more: --before {next}\n"));
    }
    print(&text)
}

/// What is held, for people.
fn told(holds: &Holds) -> String {
    let mut text = String::new();
    if holds.all {
        text.push_str("all responses are held: aerie responses release --all\n");
    }
    for group in &holds.groups {
        let group = plain(group);
        text.push_str(&format!("all of org {group} are held: aerie responses release --org {group}\n"));
    }
    text
}

fn table(found: &[OrderStatus]) -> String {
    let row = |status: &OrderStatus| {
        let held = if status.held { ", held" } else { "" };
        [
            status.seq.to_string(),
            utc(status.order.at),
            status.order.group.clone(),
            subject(status).unwrap_or_else(|| NONE.to_owned()),
            format!("{}{held}", status.state.name()),
            next_step(status).unwrap_or(NONE).to_owned(),
            status.attempt.to_string(),
            status.error.clone().unwrap_or_else(|| NONE.to_owned()),
        ]
    };
    let headings = ["number", "event time", "org", "user", "state", "next step", "tried", "why"];
    let mut text = String::new();
    whole_table(&mut text, headings, &found.iter().map(row).collect::<Vec<_>>());
    text
}

/// Whom a response is about, as its payload says.
fn subject(status: &OrderStatus) -> Option<String> {
    let payload: Value = serde_json::from_slice(&status.order.payload).ok()?;
    payload["anomaly"]["user"].as_str().map(str::to_owned)
}

fn next_step(status: &OrderStatus) -> Option<&str> {
    status.order.steps.get(status.step).map(String::as_str)
}

/// A time of the clock, for people.
fn time(at_ms: u64) -> String {
    match at_ms {
        0 => NONE.to_owned(),
        at_ms => utc(Micros(at_ms.saturating_mul(1_000))),
    }
}

/// A response as JSON shows it.
#[derive(Debug, Serialize)]
struct Shown {
    number: u64,
    id: String,
    org: String,
    user: Option<String>,
    at_us: u64,
    state: &'static str,
    held: bool,
    steps: Vec<String>,
    next_step: Option<String>,
    attempt: u32,
    due_ms: Option<u64>,
    updated_ms: u64,
    error: Option<String>,
}

impl Shown {
    fn of(status: &OrderStatus) -> Self {
        Shown {
            number: status.seq,
            id: status.order.id.clone(),
            org: status.order.group.clone(),
            user: subject(status),
            at_us: status.order.at.0,
            state: status.state.name(),
            held: status.held,
            steps: status.order.steps.clone(),
            next_step: next_step(status).map(str::to_owned),
            attempt: status.attempt,
            due_ms: status.due_ms,
            updated_ms: status.updated_ms,
            error: status.error.clone(),
        }
    }
}

/// A response by its number or its id.
fn pick(store: &Store, which: &str) -> Result<OrderStatus, Failure> {
    let numbered = |seq: u64| {
        let page = Page { state: None, group: None, before: Some(seq.saturating_add(1)), limit: 1 };
        Ok::<_, Failure>(store.orders(page)?.pop().filter(|status| status.seq == seq))
    };
    let found = match which.parse() {
        Ok(seq) => numbered(seq)?,
        Err(_) => store.order(which)?,
    };
    found.ok_or_else(|| {
        Failure::Usage(format!("there is no response {}; `aerie responses list` shows those there are", plain(which)))
    })
}

fn now_ms() -> u64 {
    Clock::system().now().0 / 1_000
}

fn retry(args: &One) -> Result<(), Failure> {
    let mut store = args.place.administer()?;
    let status = pick(&store, &args.which)?;
    let OrderStatus { seq, order, .. } = &status;
    if !store.retry(&order.id, now_ms())? {
        let state = pick(&store, &args.which)?.state.name();
        return Err(Failure::Usage(format!("response {seq} is {state}: there is nothing to try again")));
    }
    match args.place.json {
        true => print_json(&json!({"retried": order.id, "number": seq})),
        false => print(&format!("response {seq} is due now\n")),
    }
}

fn hold(args: &Scoped, on: bool) -> Result<(), Failure> {
    let mut store = args.place.administer()?;
    let picked = args.which.as_deref().map(|which| pick(&store, which)).transpose()?;
    let (scope, what) = match (&picked, &args.org) {
        (Some(status), _) => (Scope::Order(&status.order.id), format!("response {} is", status.seq)),
        (None, Some(org)) => (Scope::Group(org), format!("responses of org {} are", plain(org))),
        (None, None) => (Scope::All, "all responses are".to_owned()),
    };
    store.hold(scope, on, now_ms())?;
    let done = if on { "held" } else { "released" };
    if args.place.json {
        let id = picked.as_ref().map(|status| &status.order.id);
        return print_json(&json!({done: {"id": id, "org": args.org, "all": args.all}}));
    }
    let rest = if on { "; what is being done now goes on to its end" } else { "" };
    print(&format!("{what} {done}{rest}\n"))
}
