//! How good detection and response were, measured against labels. Owned here: which anomaly belongs to which label,
//! and what counts as found, false, late or wrongful. Not owned here: files (lines are passed in) and the labels'
//! making (`sample`).

mod judge;
mod read;
mod report;
#[cfg(test)]
mod tests;

pub use report::{Decisions, DifficultyRow, Finding, ReasonRow, Report, Responses};

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

/// Scores `audit.ndjson`, and `decisions.ndjson` if given, against `labels.ndjson`. With `user_days` (days of all users
/// together), false alarms and wrongful responses are also given per 10,000 of them.
///
/// An anomaly belongs to the labels of its org and user (or `*`), of its session where both name one, in whose window
/// its triggering event lies. A reason of it is right if such a label is an attack or a chain and has it in `reasons`;
/// it counts neither way if one has it in `also` or `tolerated`; else it is false.
///
/// # Errors
/// [`Error::Invalid`] with file and line for a line that cannot be read, [`Error::Io`] if a file cannot be.
pub fn evaluate(
    labels: Lines<'_>,
    audit: Lines<'_>,
    decisions: Option<Lines<'_>>,
    user_days: Option<u64>,
) -> Result<Report, Error> {
    let labels = read::labels(labels)?;
    let audit = read::audit(audit)?;
    let decisions = decisions.map(read::decisions).transpose()?;
    let mut judge = Judge::new(&labels);
    judge.audit(&audit, decisions.as_deref());
    if let Some(decisions) = &decisions {
        judge.decisions(&audit, decisions);
    }
    Ok(judge.report(user_days))
}
