//! `aerie evaluate`: what was found and decided, scored against labels.

use super::{Failure, open, print, print_json};
use operators::evaluate::{Lines, Report, Run, evaluate, user_days};
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

/// Score what was found and decided against labels
///
/// Compares audit entries, and decisions if given, with labels: precision, recall and delay by reason, anomalies and
/// responses that were owed, given and wrongful, and the thresholds that anomalies were held against. Several runs are
/// scored together: the first --audit belongs to the first --labels, and so on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  aerie generate --out week && aerie run --input week/events.ndjson \
                        --control week/control.ndjson --tor-list week/tor.txt --data-dir data\n  aerie evaluate \
                        --labels week/labels.ndjson --audit data/audit.ndjson --decisions data/decisions.ndjson \
                        --events week/events.ndjson")]
pub(super) struct Args {
    /// What was planted, one label a line
    #[arg(long, value_name = "FILE", required = true)]
    labels: Vec<PathBuf>,
    /// The audit entries of a run
    #[arg(long, value_name = "FILE", required = true)]
    audit: Vec<PathBuf>,
    /// The decisions of the same run
    #[arg(long, value_name = "FILE")]
    decisions: Vec<PathBuf>,
    /// Count the days on which each user did something in these events, and give rates per 10,000 of them
    #[arg(long, value_name = "FILE", conflicts_with = "user_days")]
    events: Vec<PathBuf>,
    /// Give rates per 10,000 user-days, of which there were so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    user_days: Option<u64>,
    /// Print the whole report as one line of JSON, with every finding
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(args: &Args) -> Result<(), Failure> {
    let Args { labels, audit, decisions, .. } = args;
    if labels.len() != audit.len() || !(decisions.is_empty() || decisions.len() == labels.len()) {
        return Err(Failure::Usage(format!(
            "{} --labels, {} --audit and {} --decisions were given: each run needs one of each, or none has --decisions",
            labels.len(),
            audit.len(),
            decisions.len()
        )));
    }
    let days = match args.events.is_empty() {
        true => args.user_days,
        false => Some(args.events.iter().map(|file| days_of(file)).sum::<Result<u64, Failure>>()?),
    };
    let files = labels.iter().zip(audit).enumerate();
    let files: Vec<_> = files
        .map(|(index, (labels, audit))| RunFiles { labels, audit, decisions: decisions.get(index).map(AsRef::as_ref) })
        .collect();
    let report = score(&files, days)?;
    match args.json {
        true => print_json(&report),
        false => print(&report.to_text()),
    }
}

/// The files of one run.
pub(super) struct RunFiles<'a> {
    pub(super) labels: &'a Path,
    pub(super) audit: &'a Path,
    pub(super) decisions: Option<&'a Path>,
}

/// A file with its name for messages.
struct Named {
    name: String,
    lines: io::Lines<Box<dyn BufRead>>,
}

impl Named {
    fn open(path: &Path) -> Result<Self, Failure> {
        let file: Box<dyn BufRead> = Box::new(open(path)?);
        Ok(Named { name: path.display().to_string(), lines: file.lines() })
    }

    fn lines(&mut self) -> Lines<'_> {
        Lines { name: &self.name, lines: &mut self.lines }
    }
}

/// The score of runs.
pub(super) fn score(runs: &[RunFiles<'_>], user_days: Option<u64>) -> Result<Report, Failure> {
    let opened = runs.iter().map(|run| {
        let decisions = run.decisions.map(Named::open).transpose()?;
        Ok((Named::open(run.labels)?, Named::open(run.audit)?, decisions))
    });
    let mut opened = opened.collect::<Result<Vec<_>, Failure>>()?;
    let runs = opened.iter_mut().map(|(labels, audit, decisions)| Run {
        labels: labels.lines(),
        audit: audit.lines(),
        decisions: decisions.as_mut().map(Named::lines),
    });
    Ok(evaluate(runs.collect(), user_days)?)
}

fn days_of(file: &Path) -> Result<u64, Failure> {
    Ok(user_days(Named::open(file)?.lines())?)
}
