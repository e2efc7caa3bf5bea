//! Control records: what orgs and platform teams set, one JSON object per line. Owned here: their wire format and
//! every check that one record can be given by itself. Not owned here: which record is in force (`policy`).
//!
//! All problems of a record are reported at once. Members that no kind knows are passed over at the top and in `user`
//! and `workspace` values, which are often exports of richer rows; in settings, switches and lists they are refused,
//! because a misspelt one would silently not protect anyone. Of members that stand twice within `value` the last one
//! counts.

mod exits;
mod outcome;
mod problem;
mod reader;
mod values;

#[cfg(test)]
mod tests;

pub use exits::{exits_record, may_replace, parse_exits};
pub use outcome::{outcome_line, parse_outcome};
pub use problem::{ControlProblem, PROBLEMS_MAX};

use super::address::parse_ip;
use super::members::Members;
use super::time::{TOO_LATE, micros};
use super::value::{NAME_BYTES_MAX, number};
use super::{DEPTH_MAX, Rejection, diagnose::nests_too_deep};
use crate::model::control::{ControlRecord, ControlValue, ThreatList};
use engine::time::Micros;
use problem::Problems;
use serde_json::Value;
use std::collections::BTreeSet;

/// Most bytes of a control record; a threat list is one record.
pub const CONTROL_BYTES_MAX: usize = 64 * 1_024 * 1_024;

/// The org that stands for all.
pub const ALL_ORGS: &str = "*";

/// Reads one control record. `position` is its place in the input, for records of the same time.
pub fn parse_control(line: &[u8], position: u64) -> Result<ControlRecord, Vec<ControlProblem>> {
    let mut problems = Problems::default();
    let record = problems_of_whole(line).and_then(|line| {
        let line = Members::of_line(line).ok_or("must be one JSON object");
        line.map(|line| record(&line, position, &mut problems))
    });
    match record {
        Err(why) => Err(vec![ControlProblem::new("", &String::from_utf8_lossy(&line[..line.len().min(256)]), why)]),
        Ok(Some(record)) if problems.is_empty() => Ok(record),
        Ok(_) => Err(problems.into_vec()),
    }
}

/// Reads a file of control records, one per line. A BOM, CRLF and blank lines are passed over. `first` is the position
/// of the file's first line; each line takes one, blank ones too, so the next file goes on at `first` plus
/// [`line_count`]. All problems of all lines come together, with the file's name and the line's number.
pub fn parse_control_file(name: &str, content: &[u8], first: u64) -> Result<Vec<ControlRecord>, Vec<ControlProblem>> {
    let (mut records, mut problems) = (Vec::new(), Problems::default());
    for (index, line) in lines(content).filter(|(_, line)| !line.is_empty()) {
        match parse_control(line, first + index) {
            Ok(record) => records.push(record),
            Err(found) => problems.extend(found.into_iter().map(|problem| problem.at(name, index + 1))),
        }
    }
    if problems.is_empty() { Ok(records) } else { Err(problems.into_vec()) }
}

/// How many positions a file of control records takes.
pub fn line_count(content: &[u8]) -> u64 {
    lines(content).count() as u64
}

/// Reads a list of Tor exits, one address a line, `#` before comments, as the `tor_exit` list of all orgs that holds
/// from the beginning of time.
pub fn parse_tor_list(name: &str, content: &[u8]) -> Result<ControlRecord, Vec<ControlProblem>> {
    let (mut exits, mut problems) = (BTreeSet::new(), Problems::default());
    for (index, line) in lines(content) {
        let line = String::from_utf8_lossy(line);
        let address = line.split('#').next().unwrap_or_default().trim();
        match parse_ip(address) {
            Some(ip) => drop(exits.insert(ip)),
            None if address.is_empty() => {}
            None => problems
                .extend([ControlProblem::new("", address, "must be an IP address, one a line").at(name, index + 1)]),
        }
    }
    if !problems.is_empty() {
        return Err(problems.into_vec());
    }
    let value = ControlValue::ThreatList(Some(ThreatList::TorExit(exits)));
    Ok(ControlRecord { at: Micros::ZERO, position: 0, org: ALL_ORGS.into(), key: "tor_exit".into(), value })
}

/// Records in the order in which they take effect: by time, then by position.
pub fn in_force(mut records: Vec<ControlRecord>) -> Vec<ControlRecord> {
    records.sort_by_key(|record| (record.at, record.position));
    records
}

/// The lines of a file with their index, without BOM, line ends and white space around them.
fn lines(content: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    (0..).zip(content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii))
}

fn problems_of_whole(line: &[u8]) -> Result<&str, &'static str> {
    if line.len() > CONTROL_BYTES_MAX {
        return Err("must have at most 64 MiB");
    }
    let text = std::str::from_utf8(line).map_err(|_| "must be UTF-8")?;
    if nests_too_deep(line) {
        const { assert!(DEPTH_MAX == 128) };
        return Err("must not be nested deeper than 128");
    }
    Ok(text)
}

/// The record of a line; `None` with at least one problem told.
fn record(line: &Members<'_>, position: u64, problems: &mut Problems) -> Option<ControlRecord> {
    let org = name(line, "org", problems);
    let key = name(line, "key", problems);
    let at = problems.take(at(line));
    let value = problems.take(line.required("value", "value")).and_then(|json| {
        let parsed = serde_json::from_str::<Value>(json);
        parsed.map_err(|error| problems.tell("value", json, &format!("cannot be read: {error}"))).ok()
    });
    let kind = problems.take(line.required_text("kind"))?;
    let value = values::read(&kind, org.as_deref(), key.as_deref(), &value?, problems)?;
    Some(ControlRecord { at: at?, position, org: org?, key: key?, value })
}

/// `org` or `key`: text of a bounded length.
fn name(line: &Members<'_>, field: &str, problems: &mut Problems) -> Option<String> {
    let text = problems.take(line.required_text(field))?;
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        problems.tell(field, &text, &format!("must have 1 to {NAME_BYTES_MAX} bytes"));
        return None;
    }
    Some(text.into_owned())
}

/// `date_create`: from the beginning of time to before 2100.
fn at(line: &Members<'_>) -> Result<Micros, Rejection> {
    let field = "date_create";
    let json = line.checked(field, number(line.required(field, field)?))?;
    micros(json).filter(|at| *at < TOO_LATE).ok_or_else(|| {
        let why = "must be in Unix seconds, not negative and before 2100-01-01";
        Rejection::field(super::RejectReason::BadTime, field, why)
    })
}
