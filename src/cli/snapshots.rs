//! `aerie snapshots`: what a job can be restored from, whether it is intact, and which are kept.

mod show;
#[cfg(test)]
mod tests;

use super::{Failure, grouped, plain, print, print_json};
use crate::run::existing_repository;
use engine::error::Error;
use engine::snapshot::manifest::Manifest;
use engine::snapshot::repository::{Found, Repository};
use engine::time::{Micros, Stamp};
use operators::respond::message::utc;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Show what a job can be restored from, check it, and keep or delete it
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:\n  aerie snapshots list --data-dir data\n  aerie snapshots save before-upgrade \
                        --data-dir data")]
pub(super) enum Command {
    /// List all snapshots, oldest first, and say which a job would go on from; every file is read and checked
    #[command(after_help = "Example:\n  aerie snapshots list --data-dir data --json\n\n\
                            Exit codes: 0 at least one is intact; 2 there is no such data directory; 3 none is intact.")]
    List(List),
    /// Show what one snapshot holds, and where each source is read again
    #[command(after_help = "Example:\n  aerie snapshots show 12 --data-dir data")]
    Show(One),
    /// Read every file of one snapshot, or of all, and compare it with its checksum
    #[command(
        after_help = "Examples:\n  aerie snapshots verify --data-dir data\n  aerie snapshots verify 12 --data-dir \
                            data\n\nExit codes: 0 intact; 2 no such snapshot; 3 at least one is damaged."
    )]
    Verify(Verify),
    /// Give a snapshot a name, which keeps it until the name is deleted
    #[command(after_help = "Examples:\n  aerie snapshots save before-upgrade --data-dir data\n  aerie snapshots save \
                            before-upgrade 12 --data-dir data")]
    Save(Save),
    /// Delete a snapshot by its number, or a name, after which the snapshot is kept no longer than others
    #[command(
        after_help = "Examples:\n  aerie snapshots delete before-upgrade --data-dir data\n  aerie snapshots delete 12 \
                            --data-dir data"
    )]
    Delete(Delete),
}

/// Where a job's snapshots lie.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Place {
    /// The data directory of the job
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Where snapshots lie, if not in the data directory, such as s3://bucket/prefix
    #[arg(long, value_name = "URL")]
    snapshots: Option<String>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

impl Place {
    fn open(&self) -> Result<Repository, Failure> {
        Ok(existing_repository(&self.data_dir, self.snapshots.as_deref())?)
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
pub(super) struct One {
    /// The snapshot
    #[arg(value_name = "ID|NAME")]
    which: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// The snapshot; all, if none is given
    #[arg(value_name = "ID|NAME")]
    which: Option<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
pub(super) struct Save {
    /// The name: letters, digits, dots, dashes and underscores, not digits alone
    #[arg(value_name = "NAME")]
    name: String,
    /// The snapshot's number; the newest intact one, if none is given
    #[arg(value_name = "ID")]
    id: Option<u64>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
pub(super) struct Delete {
    /// The snapshot's number, or a name
    #[arg(value_name = "ID|NAME")]
    which: String,
    /// Delete the newest intact snapshot too: the job goes on from an earlier one, or starts over
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn execute(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(&args.place),
        Command::Show(args) => show::execute(&args.which, &args.place),
        Command::Verify(args) => verify(args),
        Command::Save(args) => save(args),
        Command::Delete(args) => delete(args),
    }
}

fn list(place: &Place) -> Result<(), Failure> {
    let repository = place.open()?;
    let rows = rows(&repository, repository.list()?)?;
    match place.json {
        true => print_json(&rows)?,
        false => print(&table(&rows))?,
    }
    if rows.iter().any(|row| row.intact) {
        return Ok(());
    }
    let at = repository.place();
    Err(Failure::Corrupt(match rows.is_empty() {
        true => format!("there is no snapshot in {at}: a job that starts on it starts from the beginning"),
        false => format!("no snapshot in {at} is intact: restore the folder from a backup"),
    }))
}

fn verify(args: &Verify) -> Result<(), Failure> {
    let repository = args.place.open()?;
    let mut found = repository.list()?;
    if let Some(word) = &args.which {
        let id = pick(&repository, word)?;
        found.retain(|found| found.id == id);
    }
    let rows = rows(&repository, found)?;
    let damaged: Vec<&Row> = rows.iter().filter(|row| !row.intact).collect();
    match args.place.json {
        true => print_json(&rows)?,
        false => print(&table(&rows))?,
    }
    match damaged.as_slice() {
        [] if rows.is_empty() => {
            Err(Failure::Usage(format!("there is no snapshot in {}: nothing to verify", repository.place())))
        }
        [] => Ok(()),
        damaged => {
            let ids: Vec<String> = damaged.iter().map(|row| row.id.to_string()).collect();
            Err(Failure::Corrupt(format!(
                "damaged in {}: {}; bring the files back from a backup, or delete these snapshots",
                repository.place(),
                ids.join(", ")
            )))
        }
    }
}

fn save(args: &Save) -> Result<(), Failure> {
    let Save { name, id, place } = args;
    // It would be taken for a number wherever a snapshot is named.
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::Usage(format!("`{}` is no name: add a letter, so that it is not a number", plain(name))));
    }
    let repository = place.open()?;
    let id = match id {
        Some(id) => *id,
        None => newest_intact(&repository)?.ok_or_else(|| {
            Failure::Corrupt(format!("there is no intact snapshot in {} to give a name", repository.place()))
        })?,
    };
    repository.save(id, name)?;
    match place.json {
        true => print_json(&json!({"saved": name, "id": id})),
        false => print(&format!("snapshot {id} is kept as {name}\n")),
    }
}

fn delete(args: &Delete) -> Result<(), Failure> {
    let Delete { which, force, place } = args;
    let repository = place.open()?;
    let Ok(id) = which.parse::<u64>() else { return forget(&repository, which, place.json) };
    let id = pick(&repository, &id.to_string())?;
    let names = repository.names()?;
    let named: Vec<&str> = names.iter().filter(|(_, named)| **named == id).map(|(name, _)| name.as_str()).collect();
    if let [name, ..] = named.as_slice() {
        return Err(Failure::Usage(format!("snapshot {id} is kept as {}: delete that name first", plain(name))));
    }
    if !force && newest_intact(&repository)? == Some(id) {
        return Err(Failure::Usage(format!(
            "snapshot {id} is the newest intact one, which the job goes on from: if it is to go back to an earlier one, \
             or to start over, say so with --force"
        )));
    }
    // What runs names the files of its last snapshot in its next one.
    let newest = repository.ids()?.last() == Some(&id);
    let _alone = newest.then(|| crate::run::lock(&place.data_dir)).transpose()?;
    repository.remove(&BTreeSet::from([id]))?;
    match place.json {
        true => print_json(&json!({"deleted": id})),
        false => print(&format!("snapshot {id} is deleted\n")),
    }
}

fn forget(repository: &Repository, name: &str, json: bool) -> Result<(), Failure> {
    let id = pick(repository, name)?;
    repository.forget(name)?;
    match json {
        true => print_json(&json!({"forgotten": name, "id": id})),
        false => print(&format!("{name} is no longer the name of snapshot {id}, which goes when its time comes\n")),
    }
}

/// The newest snapshot whose every file is whole: the one that a job would go on from.
pub(super) fn newest_intact(repository: &Repository) -> Result<Option<u64>, Failure> {
    for found in repository.list()?.into_iter().rev() {
        if let Ok(manifest) = found.manifest
            && whole(repository.verify(&manifest))?.is_none()
        {
            return Ok(Some(found.id));
        }
    }
    Ok(None)
}

/// What is wrong with a snapshot, if anything is; what may pass is no damage.
fn whole(verified: Result<(), Error>) -> Result<Option<String>, Failure> {
    match verified {
        Ok(()) => Ok(None),
        Err(error @ Error::Unavailable(_)) => Err(error.into()),
        Err(error) => Ok(Some(error.to_string())),
    }
}

/// The number of a snapshot that somebody gave by its number or its name.
pub(super) fn pick(repository: &Repository, word: &str) -> Result<u64, Failure> {
    let missing = |what: &str| {
        let place = repository.place();
        Failure::Usage(format!("there is no snapshot {what} in {place}; `aerie snapshots list` shows those there are"))
    };
    match word.parse() {
        Ok(id) if repository.ids()?.contains(&id) => Ok(id),
        Ok(id) => Err(missing(&format!("{id}"))),
        Err(_) => {
            let id = repository.names()?.get(word).copied();
            id.ok_or_else(|| missing(&format!("named {}", plain(word))))
        }
    }
}

/// What is known of a snapshot.
#[derive(Debug, Default, Serialize)]
struct Row {
    id: u64,
    /// Milliseconds of event time; none for the end of all input.
    cut_ms: Option<Stamp>,
    age_s: Option<u64>,
    complete: Option<bool>,
    workers: Option<usize>,
    generation: Option<u64>,
    bytes: Option<u64>,
    new_bytes: Option<u64>,
    names: Vec<String>,
    intact: bool,
    /// Whether a job would go on from it.
    restored_next: bool,
    problem: Option<String>,
}

/// Every snapshot, checked. The newest intact one is marked, if all were asked for.
fn rows(repository: &Repository, found: Vec<Found>) -> Result<Vec<Row>, Failure> {
    let names = repository.names()?;
    let newest = repository.ids()?.last().copied();
    let all = found.last().map(|found| found.id) == newest;
    let mut rows = found.into_iter().map(|found| Row::of(repository, found)).collect::<Result<Vec<_>, _>>()?;
    for row in &mut rows {
        row.names = names.iter().filter(|(_, id)| **id == row.id).map(|(name, _)| name.clone()).collect();
    }
    if let Some(row) = rows.iter_mut().rfind(|row| row.intact).filter(|_| all) {
        row.restored_next = true;
    }
    Ok(rows)
}

impl Row {
    fn of(repository: &Repository, found: Found) -> Result<Self, Failure> {
        let age_s = age(found.written_ms).map(|age| age.as_secs());
        let row = Row { id: found.id, age_s, ..Row::default() };
        Ok(match found.manifest {
            Err(error) => Row { problem: Some(error.to_string()), ..row },
            Ok(manifest) => {
                let problem = whole(repository.verify(&manifest))?;
                Row { intact: problem.is_none(), problem, ..row.described(&manifest) }
            }
        })
    }

    fn described(self, manifest: &Manifest) -> Self {
        Row {
            cut_ms: (manifest.at != Stamp::MAX).then_some(manifest.at),
            complete: Some(manifest.complete),
            workers: Some(manifest.workers),
            generation: Some(manifest.generation),
            bytes: Some(manifest.bytes()),
            new_bytes: Some(manifest.new_bytes()),
            ..self
        }
    }

    fn cut(&self) -> String {
        match self.complete {
            None => "?".to_owned(),
            Some(_) => cut(self.cut_ms.unwrap_or(Stamp::MAX)),
        }
    }

    fn state(&self) -> String {
        let state = match (&self.problem, self.complete) {
            (Some(problem), _) => plain(&format!("damaged: {problem}")),
            (None, Some(true)) => "intact, complete".to_owned(),
            (None, _) => "intact".to_owned(),
        };
        let kept = self.names.iter().map(|name| format!(", kept as {}", plain(name))).collect::<String>();
        let next = if self.restored_next { ", restored next" } else { "" };
        format!("{state}{next}{kept}")
    }
}

/// A cut for people.
pub(super) fn cut(at: Stamp) -> String {
    match at {
        Stamp::MAX => "end of input".to_owned(),
        0 => "before the first event".to_owned(),
        at => utc(Micros::from_stamp(at)),
    }
}

/// How long ago a snapshot was published.
fn age(written_ms: u64) -> Option<Duration> {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + Duration::from_millis(written_ms)).ok()
}

fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut line = |cells: [&str; 8]| {
        let [id, cut, age, workers, generation, bytes, new, state] = cells;
        writeln!(text, "{id:>8}  {cut:<24} {age:>8} {workers:>7} {generation:>10} {bytes:>14} {new:>14}  {state}")
            .expect("a string takes everything");
    };
    line(["id", "cut (event time)", "age s", "workers", "generation", "bytes", "new bytes", "state"]);
    let known = |value: Option<u64>| value.map_or("?".to_owned(), grouped);
    for row in rows {
        let numbers = [row.age_s, row.workers.map(|workers| workers as u64), row.generation, row.bytes, row.new_bytes];
        let [age, workers, generation, bytes, new] = numbers.map(known);
        line([&row.id.to_string(), &row.cut(), &age, &workers, &generation, &bytes, &new, &row.state()]);
    }
    text
}
