//! `aerie snapshots`: what a job can be restored from, and whether it is intact.

use super::{Failure, plain, print, print_json};
use engine::snapshot::manifest::Manifest;
use engine::snapshot::repository::{Found, Repository};
use engine::time::{Micros, Stamp};
use operators::respond::message::utc;
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Show what a job can be restored from, and whether it is intact
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Example:\n  aerie snapshots list --data-dir data")]
pub(super) enum Command {
    /// List all snapshots, oldest first; every file of each is read and compared with its checksum
    #[command(after_help = "Example:\n  aerie snapshots list --data-dir data --json\n\n\
                            Exit codes: 0 at least one is intact; 2 there is no such data directory; 3 none is intact.")]
    List(List),
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// The data directory of the job
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Print one line of JSON, an array of {"id","cut_ms","age_s","complete","workers","bytes","intact","problem"}
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(command: &Command) -> Result<(), Failure> {
    let Command::List(args) = command;
    let path = args.data_dir.join("snapshots");
    if !path.is_dir() {
        let dir = args.data_dir.display();
        return Err(Failure::Usage(format!("{dir} has no folder snapshots: is it the data directory of a job?")));
    }
    let repository = crate::run::repository(&args.data_dir, None)?;
    let rows: Vec<Row> = repository.list()?.into_iter().map(|found| Row::of(&repository, found)).collect();
    match args.json {
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

/// What is known of a snapshot.
#[derive(Debug, Default, Serialize)]
struct Row {
    id: u64,
    /// Milliseconds of event time; none for the end of all input.
    cut_ms: Option<Stamp>,
    age_s: Option<u64>,
    complete: Option<bool>,
    workers: Option<usize>,
    bytes: Option<u64>,
    intact: bool,
    problem: Option<String>,
}

impl Row {
    fn of(repository: &Repository, found: Found) -> Self {
        let age_s = age(found.written_ms).map(|age| age.as_secs());
        let row = Row { id: found.id, age_s, ..Row::default() };
        match found.manifest {
            Err(error) => Row { problem: Some(error.to_string()), ..row },
            Ok(manifest) => {
                let problem = repository.verify(&manifest).err().map(|error| error.to_string());
                Row { intact: problem.is_none(), problem, ..row.described(&manifest) }
            }
        }
    }

    fn described(self, manifest: &Manifest) -> Self {
        Row {
            cut_ms: (manifest.at != Stamp::MAX).then_some(manifest.at),
            complete: Some(manifest.complete),
            workers: Some(manifest.workers),
            bytes: Some(manifest.bytes()),
            ..self
        }
    }

    fn cut(&self) -> String {
        match (self.cut_ms, self.complete) {
            (_, None) => "?".to_owned(),
            (None, _) => "end of input".to_owned(),
            (Some(0), _) => "before the first event".to_owned(),
            (Some(at), _) => utc(Micros::from_stamp(at)),
        }
    }
}

/// How long ago a snapshot was published.
fn age(written_ms: u64) -> Option<Duration> {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + Duration::from_millis(written_ms)).ok()
}

fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let head = ("id", "cut (event time)", "age s", "workers", "bytes", "state");
    let mut line = |id: &str, cut: &str, age: &str, workers: &str, bytes: &str, state: &str| {
        writeln!(text, "{id:>8}  {cut:<24} {age:>8} {workers:>7} {bytes:>14}  {state}")
            .expect("a string takes everything");
    };
    line(head.0, head.1, head.2, head.3, head.4, head.5);
    let known = |value: Option<u64>| value.map_or("?".to_owned(), super::grouped);
    for row in rows {
        let state = match (&row.problem, row.complete) {
            (Some(problem), _) => plain(&format!("damaged: {problem}")),
            (None, Some(true)) => "intact, complete".to_owned(),
            (None, _) => "intact".to_owned(),
        };
        let workers = row.workers.map(|workers| workers as u64);
        line(&row.id.to_string(), &row.cut(), &known(row.age_s), &known(workers), &known(row.bytes), &state);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::snapshot::manifest::{Cut, Job};
    use std::path::Path;

    fn list(dir: &Path) -> Result<(), Failure> {
        execute(&Command::List(List { data_dir: dir.to_owned(), json: true }))
    }

    fn publish(repository: &Repository, id: u64, at: Stamp, complete: bool) {
        let cut = Cut { id, generation: 1, at, complete };
        repository.publish(&Manifest::of(cut, &Job { workers: 2, ..Job::default() }, [])).unwrap();
    }

    #[test]
    fn exit_codes_tell_whether_there_is_anything_to_start_from() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(list(dir.path()).unwrap_err().code(), 2);
        let repository = crate::run::repository(dir.path(), None).unwrap();
        assert_eq!(list(dir.path()).unwrap_err().code(), 3);
        publish(&repository, 1, 1_767_225_600_000, false);
        std::fs::write(dir.path().join("snapshots/manifests/0000000000"), "{").unwrap();
        assert!(list(dir.path()).is_ok(), "one of two is intact");
        repository.remove(&[1].into()).unwrap();
        assert_eq!(list(dir.path()).unwrap_err().code(), 3);
    }

    #[test]
    fn the_table_says_where_each_cut_is_and_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let repository = crate::run::repository(dir.path(), None).unwrap();
        publish(&repository, 3, 1_767_225_600_000, false);
        publish(&repository, 4, Stamp::MAX, true);
        let mut rows: Vec<Row> =
            repository.list().unwrap().into_iter().map(|found| Row::of(&repository, found)).collect();
        assert!(rows.iter().all(|row| row.intact && row.workers == Some(2)));
        rows.push(Row { id: 5, problem: Some("bad\u{1b}[31m".to_owned()), ..Row::default() });
        let text = table(&rows);
        assert!(text.contains("2026-01-01 00:00:00 UTC"), "{text}");
        assert!(text.contains("end of input") && text.contains("intact, complete"), "{text}");
        assert!(text.contains("damaged: bad?[31m") && !text.contains('\u{1b}'), "{text}");
    }
}
