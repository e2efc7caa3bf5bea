//! `aerie generate`: seeded activity with labelled attacks, written so that nothing is lost: a file that is there and
//! differs is left as it is.

use super::{Failure, counted, print, print_json};
use engine::error::Error;
use operators::sample::{Outputs, Plan, Summary, demo_plan, generate};
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Write seeded activity with labelled attacks
///
/// Writes events.ndjson, control.ndjson, tor.txt and labels.ndjson: activity of made-up orgs and people with attacks
/// and look-alikes in it. The same numbers give the same bytes on every machine. Days end on 31 March 2026.
///
/// A file that is there already and holds something else is never overwritten: then nothing is written at all.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aerie generate --out week\n  \
                        aerie generate --seed 7 --orgs 20 --users 500 --days 28 --out month --json")]
pub(super) struct Args {
    /// Names the stream: another seed, other people, days and attacks
    #[arg(long, value_name = "N", default_value_t = demo_plan().seed)]
    seed: u64,
    /// Number of orgs
    #[arg(long, value_name = "N", default_value_t = demo_plan().orgs)]
    orgs: usize,
    /// Users of each org
    #[arg(long, value_name = "N", default_value_t = demo_plan().users)]
    users: usize,
    /// Number of days
    #[arg(long, value_name = "N", default_value_t = demo_plan().days)]
    days: usize,
    /// Folder for the four files, created if need be
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print {"events","labels","users","user_days","out"} as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(args: &Args) -> Result<(), Failure> {
    let plan = Plan { seed: args.seed, orgs: args.orgs, users: args.users, days: args.days };
    let Summary { events, labels, users, user_days } = write(plan, &Files::in_folder(&args.out))?;
    if args.json {
        let out = args.out.display().to_string();
        return print_json(
            &json!({"events": events, "labels": labels, "users": users, "user_days": user_days, "out": out}),
        );
    }
    let dir = args.out.display();
    print(&format!(
        "{} of {}, {} in {dir}\nNext:\n  aerie run --input {dir}/events.ndjson --control {dir}/control.ndjson \
         --tor-list {dir}/tor.txt --data-dir {dir}/run\n",
        counted(events, "event", "events"),
        counted(users, "user", "users"),
        counted(labels, "label", "labels"),
    ))
}

/// Where the four files lie.
#[derive(Clone, Debug)]
pub(super) struct Files {
    folder: PathBuf,
    pub(super) events: PathBuf,
    pub(super) control: PathBuf,
    pub(super) tor: PathBuf,
    pub(super) labels: PathBuf,
}

impl Files {
    pub(super) fn in_folder(folder: &Path) -> Self {
        let [events, control, tor, labels] =
            ["events.ndjson", "control.ndjson", "tor.txt", "labels.ndjson"].map(|name| folder.join(name));
        Files { folder: folder.to_owned(), events, control, tor, labels }
    }

    fn all(&self) -> [&Path; 4] {
        [&self.events, &self.control, &self.tor, &self.labels]
    }
}

/// Generates beside the files, and moves into place only if nothing else is lost by it.
pub(super) fn write(plan: Plan, files: &Files) -> Result<Summary, Failure> {
    plan.check()?;
    fs::create_dir_all(&files.folder).map_err(Error::io("create", &files.folder))?;
    let written = write_new(plan, files).and_then(|summary| keep(files).map(|()| summary));
    if written.is_err() {
        for file in files.all() {
            // What is left of a failed attempt; there may be none.
            let _ = fs::remove_file(new(file));
        }
    }
    written
}

/// The name of a file until it is whole.
fn new(file: &Path) -> PathBuf {
    file.with_extension("new")
}

fn write_new(plan: Plan, files: &Files) -> Result<Summary, Failure> {
    let create = |file: &Path| -> Result<_, Error> {
        let path = new(file);
        File::create(&path).map(BufWriter::new).map_err(Error::io("create", path))
    };
    let (mut events, mut control) = (create(&files.events)?, create(&files.control)?);
    let (mut tor, mut labels) = (create(&files.tor)?, create(&files.labels)?);
    let summary = generate(
        plan,
        &mut Outputs { events: &mut events, control: &mut control, tor: &mut tor, labels: &mut labels },
    )?;
    for (writer, path) in [events, control, tor, labels].iter_mut().zip(files.all()) {
        writer.flush().map_err(Error::io("write", path))?;
    }
    Ok(summary)
}

fn keep(files: &Files) -> Result<(), Failure> {
    let differs = |file: &&Path| same_or_empty(file).map(|same| !same);
    for file in files.all() {
        if differs(&file).map_err(Error::io("compare", file))? {
            return Err(Failure::Usage(format!(
                "{} is there already and holds something else; nothing was written: choose another --out, or remove it",
                file.display()
            )));
        }
    }
    for file in files.all() {
        fs::rename(new(file), file).map_err(Error::io("rename", file))?;
    }
    Ok(())
}

/// Whether replacing a file by its new version loses nothing.
fn same_or_empty(file: &Path) -> io::Result<bool> {
    let length = match fs::metadata(file) {
        Ok(there) => there.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    if length == 0 {
        return Ok(true);
    }
    let (mut old, mut new) = (BufReader::new(File::open(file)?), BufReader::new(File::open(new(file))?));
    loop {
        let (a, b) = (old.fill_buf()?, new.fill_buf()?);
        let common = a.len().min(b.len());
        if a[..common] != b[..common] || (common == 0 && a.len() != b.len()) {
            return Ok(false);
        }
        if common == 0 {
            return Ok(true);
        }
        old.consume(common);
        new.consume(common);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { seed: 1, orgs: 1, users: 8, days: 1 };

    #[test]
    fn the_same_plan_is_written_twice_and_another_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::in_folder(&folder.path().join("sample"));
        let first = write(PLAN, &files).unwrap();
        assert!(first.events > 0 && first.users == 8);
        let bytes = fs::read(&files.events).unwrap();
        assert_eq!(write(PLAN, &files).unwrap(), first);

        let refused = write(Plan { seed: 2, ..PLAN }, &files).unwrap_err();
        assert!(matches!(&refused, Failure::Usage(text) if text.contains("ndjson")), "{refused}");
        assert_eq!(fs::read(&files.events).unwrap(), bytes);
        assert_eq!(fs::read_dir(folder.path().join("sample")).unwrap().count(), 4, "nothing is left behind");
    }

    #[test]
    fn a_shorter_file_that_begins_alike_is_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::in_folder(folder.path());
        write(PLAN, &files).unwrap();
        let bytes = fs::read(&files.events).unwrap();
        fs::write(&files.events, &bytes[..bytes.len() - 1]).unwrap();
        assert!(write(PLAN, &files).is_err());
        fs::write(&files.events, "").unwrap();
        assert!(write(PLAN, &files).is_ok());
    }

    #[test]
    fn a_plan_out_of_bounds_is_a_usage_error() {
        let folder = tempfile::tempdir().unwrap();
        let refused = write(Plan { orgs: 0, ..PLAN }, &Files::in_folder(folder.path())).unwrap_err();
        assert_eq!(refused.code(), 2);
    }
}
