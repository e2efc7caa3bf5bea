//! `aerie inspect`: what a job holds of one user, what became of that between two snapshots, and where its sources
//! stand.

mod job;
pub(super) mod table;
mod user;
mod value;

use super::run::load;
use super::{Failure, plain, print, print_json, snapshots, tell};
use crate::inspect::running::Running;
use crate::inspect::{Change, Held, Live, Recorded, User, changes, held, name, recorded};
use crate::job::volume_rules;
use crate::run::existing_repository;
use config::{Flags, Job};
use engine::snapshot::repository::Repository;
use engine::time::Stamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use url::form_urlencoded::Serializer;

/// Most characters of an org's or a user's id on the first line.
const NAME_CHARS_MAX: usize = 100;

/// Show what a job holds of one user, or where its sources stand
///
/// Counters, sessions, marks, open cases, thresholds and settings are those of the job that runs, as it answers, or else of
/// a snapshot: the newest intact one, or that of --at; which it is, is said. Decisions, audit entries and orders are the
/// last on record. Nothing is changed by looking.
///
/// Of a user, or of an org, that was never seen there is nothing to show, which is said and is no error: an org exists for
/// the job only by what its people do and its admins set.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  aerie inspect --data-dir data --org E1 --user U1\n  aerie inspect --data-dir data --org \
                        E1 --user U1 --between 3 before-upgrade\n  aerie inspect --data-dir data --job\n\n\
                        Exit codes: 0 shown, also if nothing is known; 2 no such data directory or snapshot; 3 the \
                        snapshot is damaged."
)]
#[command(group(clap::ArgGroup::new("whom").args(["user", "job"]).required(true)))]
pub(super) struct Args {
    /// The data directory of the job
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The user's org
    #[arg(long, value_name = "ORG", requires = "user")]
    org: Option<String>,
    /// The user's id
    #[arg(long, value_name = "USER", requires = "org")]
    user: Option<String>,
    /// Where each source stands, and which of them the others wait for; live, if the job runs and answers
    #[arg(long)]
    job: bool,
    /// The snapshot to look at, in place of the running job or the newest intact one
    #[arg(long, value_name = "ID|NAME", conflicts_with = "between")]
    at: Option<String>,
    /// What changed for the user from one snapshot to another
    #[arg(long, value_name = "ID|NAME", num_args = 2, requires = "user")]
    between: Vec<String>,
    /// Where the running job serves HTTP, if not where it has noted in the data directory
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["at", "between"])]
    http: Option<SocketAddr>,
    /// Where snapshots lie, if not in the data directory
    #[arg(long, value_name = "URL")]
    snapshots: Option<String>,
    /// The job file, for what is assumed of orgs that have taught nothing
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(args: &Args) -> Result<(), Failure> {
    let flags = Flags {
        // Sources must be named for a job to be one; none is read.
        input: vec![args.data_dir.clone()],
        data_dir: Some(args.data_dir.clone()),
        ..Flags::default()
    };
    let settings = load(args.config.as_deref(), flags)?;
    let url = args.snapshots.as_deref().or(settings.snapshots.as_deref());
    let repository = existing_repository(&args.data_dir, url)?;
    match (&args.org, &args.user) {
        (Some(org), Some(id)) => {
            let user = User { org, id };
            let looking = Looking { args, settings: &settings, repository: &repository, user };
            if args.between.is_empty() { looking.show() } else { looking.compare() }
        }
        _ => job::execute(args, &repository),
    }
}

/// What the running job answers, unless a snapshot was asked for. Why it does not answer is told.
fn ask<T: DeserializeOwned>(args: &Args, path: &str) -> Option<T> {
    if args.at.is_some() {
        return None;
    }
    let answer = Running::find(&args.data_dir, args.http).and_then(|running| running.ask(path));
    answer.map_err(|why| tell(&format!("not live, but from a snapshot: {}", plain(&why)))).ok()
}

/// The snapshot that was asked for, or the newest intact one.
fn choose(repository: &Repository, word: Option<&str>) -> Result<u64, Failure> {
    match word {
        Some(word) => snapshots::pick(repository, word),
        None => snapshots::newest_intact(repository)?.ok_or_else(|| {
            Failure::Corrupt(format!("there is no intact snapshot in {}: there is nothing to show", repository.place()))
        }),
    }
}

/// What is printed of a user.
#[derive(Serialize)]
struct Shown<'a> {
    org: &'a str,
    user: &'a str,
    #[serde(flatten)]
    held: Held,
    recorded: Recorded,
}

/// What is printed of a user between two snapshots.
#[derive(Serialize)]
struct Between<'a> {
    org: &'a str,
    user: &'a str,
    from: u64,
    to: u64,
    changes: Vec<Change>,
}

struct Looking<'a> {
    args: &'a Args,
    settings: &'a Job,
    repository: &'a Repository,
    user: User<'a>,
}

impl Looking<'_> {
    fn held(&self, snapshot: u64) -> Result<Held, Failure> {
        let scratch = tempfile::Builder::new().prefix("aerie-inspect-").tempdir();
        let scratch = scratch.map_err(|error| Failure::Failed(format!("cannot make a scratch folder: {error}")))?;
        Ok(held(self.repository, snapshot, self.user, &volume_rules(&self.settings.detect), scratch.path())?)
    }

    /// What the running job says.
    fn live(&self) -> Option<Held> {
        let User { org, id } = self.user;
        let query = Serializer::new(String::new()).append_pair("org", org).append_pair("user", id).finish();
        ask(self.args, &format!("/api/user?{query}")).map(|live: Live| live.held)
    }

    fn show(&self) -> Result<(), Failure> {
        let mut held = match self.live() {
            Some(held) => held,
            None => self.held(choose(self.repository, self.args.at.as_deref())?)?,
        };
        let recorded = recorded(self.settings, self.user)?;
        name(&mut held, &recorded);
        let User { org, id: user } = self.user;
        if !held.known && recorded.decisions.is_empty() {
            tell(&format!("nothing is known of user {} in org {}: check both ids", plain(user), plain(org)));
        }
        match self.args.json {
            true => print_json(&Shown { org, user, held, recorded }),
            false => print(&text(self.user, &held, &recorded)),
        }
    }

    fn compare(&self) -> Result<(), Failure> {
        let [from, to] = self.args.between.as_slice() else {
            return Err(Failure::Usage("--between takes two snapshots".to_owned()));
        };
        let (from, to) = (snapshots::pick(self.repository, from)?, snapshots::pick(self.repository, to)?);
        let changes = changes(&self.held(from)?, &self.held(to)?)?;
        let User { org, id: user } = self.user;
        if self.args.json {
            return print_json(&Between { org, user, from, to, changes });
        }
        let mut text = format!("user {} of {}, from snapshot {from} to {to}\n", plain(user), plain(org));
        if changes.is_empty() {
            text.push_str("nothing changed\n");
        }
        for Change { path, before, after } in &changes {
            let value =
                |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), |value| value::leaf(path, value));
            text.push_str(&format!("{}: {} -> {}\n", plain(path), value(before), value(after)));
        }
        print(&text)
    }
}

fn text(user: User<'_>, held: &Held, recorded: &Recorded) -> String {
    let cut = snapshots::cut(held.cut_ms.unwrap_or(Stamp::MAX));
    let from = match held.snapshot {
        Some(snapshot) => format!("as snapshot {snapshot} has it: {cut}"),
        None => format!("live: {cut}"),
    };
    let (id, org) = (table::cut(user.id, NAME_CHARS_MAX), table::cut(user.org, NAME_CHARS_MAX));
    let mut text = format!("user {id} of {org}, {from}; all times are UTC\n\n{}", user::text_of(held, recorded));
    text.push_str(&format!("\n{} audit entries belong to them; --json shows them\n", recorded.entries.len()));
    text
}
