//! `aerie evaluate`: what was found and decided, scored against labels.

use super::{Failure, open, print, print_json};
use operators::evaluate::{Lines, Report, evaluate};
use std::io::BufRead;
use std::path::{Path, PathBuf};

/// Score what was found and decided against labels
///
/// Compares audit entries, and decisions if given, with labels: precision, recall and delay by reason, and responses
/// that were owed, given and wrongful.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  aerie generate --out week && aerie run --input week/events.ndjson \
                        --control week/control.ndjson --tor-list week/tor.txt --data-dir data\n  aerie evaluate \
                        --labels week/labels.ndjson --audit data/audit.ndjson --decisions data/decisions.ndjson")]
pub(super) struct Args {
    /// What was planted, one label a line
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// The audit entries of a run
    #[arg(long, value_name = "FILE")]
    audit: PathBuf,
    /// The decisions of the same run
    #[arg(long, value_name = "FILE")]
    decisions: Option<PathBuf>,
    /// Print the whole report as one line of JSON, with every finding
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(args: &Args) -> Result<(), Failure> {
    let report = score(&args.labels, &args.audit, args.decisions.as_deref(), None)?;
    match args.json {
        true => print_json(&report),
        false => print(&report.to_text()),
    }
}

/// The score of files.
pub(super) fn score(
    labels: &Path,
    audit: &Path,
    decisions: Option<&Path>,
    user_days: Option<u64>,
) -> Result<Report, Failure> {
    let (mut labels_file, mut audit_file) = (open(labels)?.lines(), open(audit)?.lines());
    let mut decisions_file = decisions.map(open).transpose()?.map(BufRead::lines);
    let names = (labels.display().to_string(), audit.display().to_string());
    let decisions_name = decisions.map(|path| path.display().to_string()).unwrap_or_default();
    let report = evaluate(
        Lines { name: &names.0, lines: &mut labels_file },
        Lines { name: &names.1, lines: &mut audit_file },
        decisions_file.as_mut().map(|lines| Lines { name: &decisions_name, lines }),
        user_days,
    )?;
    Ok(report)
}
