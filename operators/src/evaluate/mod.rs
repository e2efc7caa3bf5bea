//! How good detection and response were, measured against labels. Owned here: which anomaly belongs to which label,
//! and what counts as found, false, late or wrongful. Not owned here: files (lines are passed in) and the labels'
//! making (`sample`).

mod judge;
mod read;
mod report;
mod table;
#[cfg(test)]
mod tests;
mod thresholds;

pub use read::user_days;
pub use report::{Anomalies, Decisions, DifficultyRow, Finding, ReasonRow, Report, Responses};
pub use thresholds::{Held, ThresholdRow};

use engine::error::Error;
use judge::Judge;
use std::io;

/// The lines of a file, with its name for messages.
pub struct Lines<'a> {
    /// Name of the file.
    pub name: &'a str,
    /// Its lines, without line ends.
    pub lines: &'a mut dyn Iterator<Item = io::Result<String>>,
}

/// The files of one run.
pub struct Run<'a> {
    /// `labels.ndjson` of what was run on.
    pub labels: Lines<'a>,
    /// `audit.ndjson`.
    pub audit: Lines<'a>,
    /// `decisions.ndjson`, if it is to be scored.
    pub decisions: Option<Lines<'a>>,
}

/// Scores the audit entries of runs, and their decisions if given, against labels. Of several runs, all counts are taken
/// together, and the number of the run stands before every name. With `user_days` (days of all users of all runs
/// together), anomalies and wrongful responses are also given per 10,000 of them.
///
/// An anomaly belongs to the labels of its org and user (or `*`), of its session where both name one, in whose window
/// its triggering event lies. A reason of it is right if such a label is an attack or a chain and has it in `reasons`;
/// it counts neither way if one has it in `also` or `tolerated`; else it is false.
///
/// # Errors
/// [`Error::Invalid`] with file and line for a line that cannot be read, [`Error::Io`] if a file cannot be.
pub fn evaluate(runs: Vec<Run<'_>>, user_days: Option<u64>) -> Result<Report, Error> {
    let several = runs.len() > 1;
    let with_decisions = runs.iter().all(|run| run.decisions.is_some());
    let (mut labels, mut audit, mut decisions) = (Vec::new(), read::Audit::default(), Vec::new());
    for (index, run) in runs.into_iter().enumerate() {
        let number = several.then_some(index + 1);
        labels.extend(read::labels(run.labels, number)?);
        audit.extend(read::audit(run.audit, number)?);
        if let Some(lines) = run.decisions {
            decisions.extend(read::decisions(lines, number)?);
        }
    }
    audit.place(&decisions);
    let mut judge = Judge::new(&labels);
    judge.audit(&audit);
    if with_decisions {
        judge.decisions(&audit, &decisions);
    }
    Ok(judge.report(user_days))
}
