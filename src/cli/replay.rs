//! `aerie replay`: whether a job, derived once more from a snapshot, comes to what it has on record.

use super::run::load;
use super::{Failure, counted, grouped, plain, print, print_json, signals, snapshots};
use crate::input::Moved;
use crate::progress::Shown;
use crate::replay::{Difference, Field, Kind, Report, replay};
use crate::run::{Watch, existing_repository};
use config::Flags;
use engine::time::{Micros, Stamp};
use operators::respond::message::utc;
use serde_json::Value;
use std::fmt::Write;
use std::path::PathBuf;

/// Derive a job once more from a snapshot, do nothing, and compare with its record
///
/// Every effect is muted: no session is ended and nobody is told. State and outputs go to a scratch folder under TMPDIR,
/// which is removed afterwards; the data directory is only read, and a job may run on it meanwhile. Compared are the lines
/// of decisions.ndjson, dead_letter.ndjson and late.ndjson, the audit entries and the orders after the snapshot's cut.
///
/// The inputs are those that the job read, from where they lay; what its clock decided is taken from its journal. The
/// settings are those of --config, the environment and the defaults, so give the ones that the job ran with, or other
/// ones to see what they would have changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aerie replay --data-dir data --from 12\n  aerie replay --data-dir data --from \
                        before-upgrade --workers 4 --json\n  aerie replay --data-dir data --from 0 --config other.toml\n\n\
                        Exit codes: 0 equal; 1 there are differences; 2 no such snapshot, or other inputs; 3 the \
                        snapshot or the record is damaged.")]
pub(super) struct Args {
    /// The data directory of the job
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The snapshot to start from, as `aerie snapshots list` shows it
    #[arg(long, value_name = "ID|NAME")]
    from: String,
    /// Where snapshots lie, if not in the data directory
    #[arg(long, value_name = "URL")]
    snapshots: Option<String>,
    /// Files of activity that lie elsewhere than when the job read them; they are known by their content
    #[arg(long, value_name = "FILE", num_args = 1..)]
    input: Vec<PathBuf>,
    /// Control files, the Tor list, network databases and user agent regexes that lie elsewhere, likewise
    #[arg(long, value_name = "FILE", num_args = 1..)]
    control: Vec<PathBuf>,
    /// The job file whose settings are used; its sources and its data directory are not
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The job ran with --shadow
    #[arg(long)]
    shadow: bool,
    /// Worker threads, or "cores"; any number must give the same
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// Print the report as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(args: Args) -> Result<(), Failure> {
    let flags = Flags {
        // Sources must be named for a job to be one; the recorded ones are read.
        input: vec![args.data_dir.clone()],
        data_dir: Some(args.data_dir.clone()),
        workers: args.workers,
        shadow: args.shadow,
        ..Flags::default()
    };
    let job = load(args.config.as_deref(), flags)?;
    let repository = existing_repository(&args.data_dir, args.snapshots.as_deref().or(job.snapshots.as_deref()))?;
    let from = snapshots::pick(&repository, &args.from)?;
    let moved = Moved { input: args.input, control: args.control };
    let watch = Watch::default();
    signals::stop_on_signal(watch.stop.clone())?;
    let report = {
        let _shown = Shown::start(&job, &watch);
        replay(&job, &repository, from, &moved, &watch)?
    };
    match args.json {
        true => print_json(&report)?,
        false => print(&text(&report))?,
    }
    match report.differing {
        0 => Ok(()),
        count => Err(Failure::Failed(format!(
            "the replay differs from the record in {}; if the job ran with other settings, give them by --config",
            counted(count, "place", "places")
        ))),
    }
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    write(&mut text, report).expect("a string takes everything");
    text
}

fn write(to: &mut String, report: &Report) -> std::fmt::Result {
    let end =
        |stamp: Option<Stamp>| stamp.map_or("the end of all input".to_owned(), |stamp| utc(Micros::from_stamp(stamp)));
    let (cut, through) = (end(report.cut_ms), end(report.through_ms));
    writeln!(to, "replayed   from snapshot {}, {cut}", report.from)?;
    writeln!(to, "           to {through}, at {}", counted(report.workers as u64, "worker", "workers"))?;
    let compared = report.compared;
    let (decisions, entries) = (counted(compared.decisions, "decision", "decisions"), grouped(compared.entries));
    writeln!(to, "compared   {decisions}, {entries} audit entries, {}", counted(compared.orders, "order", "orders"))?;
    let rejected = counted(compared.dead_letters, "rejected line", "rejected lines");
    writeln!(to, "           {rejected}, {}", counted(compared.late, "late event", "late events"))?;
    if report.differing == 0 {
        return writeln!(to, "result     equal to the record");
    }
    writeln!(to, "result     {}", counted(report.differing, "difference", "differences"))?;
    report.differences.iter().try_for_each(|difference| write_difference(to, difference))?;
    match report.differing - report.differences.len() as u64 {
        0 => Ok(()),
        more => writeln!(to, "\n... and {} more", grouped(more)),
    }
}

fn write_difference(to: &mut String, difference: &Difference) -> std::fmt::Result {
    let Difference { of, id, kind, fields } = difference;
    let kind = match kind {
        Kind::Changed => "differs",
        Kind::OnlyRecorded => "is on record and was not replayed",
        Kind::OnlyReplayed => "was replayed and is not on record",
        Kind::Moved => "is on record at another place",
        Kind::Repeated => "is on record more than once",
    };
    writeln!(to, "\n{of} {} {kind}", plain(id))?;
    for Field { path, recorded, replayed } in fields {
        let path = if path.is_empty() { "the whole" } else { path };
        match (recorded, replayed) {
            (Some(recorded), Some(replayed)) => {
                writeln!(to, "  {}\n    record  {}\n    replay  {}", plain(path), shown(recorded), shown(replayed))?;
            }
            (Some(only), None) => writeln!(to, "  {}\n    record  {}", plain(path), shown(only))?,
            (None, Some(only)) => writeln!(to, "  {}\n    replay  {}", plain(path), shown(only))?,
            (None, None) => {}
        }
    }
    Ok(())
}

/// Most characters of a value on a terminal.
const VALUE_CHARS_MAX: usize = 300;

fn shown(value: &Value) -> String {
    let text = plain(&value.to_string());
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
