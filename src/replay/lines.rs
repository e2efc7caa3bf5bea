//! Holding one file of lines against its replay. Lines stand in one order in both, so as long as they are equal nothing is
//! kept of them; from the first difference on they are matched by what each is about.

use super::difference::{Difference, Field, Kind, value};
use super::record::whole_lines;
use super::{Compared, Report};
use engine::error::Error;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::path::Path;

/// A kind of line that a job writes.
#[derive(Clone, Copy)]
pub(super) struct LineKind {
    /// What a difference is said to be of.
    pub(super) of: &'static str,
    /// The file of such lines.
    pub(super) file: &'static str,
    /// What tells a line from the others, if it is a line of this kind.
    pub(super) id: fn(&Value) -> Option<String>,
    /// Where they are counted.
    pub(super) count: fn(&mut Compared) -> &mut u64,
}

/// Where lines come from, each time from the start.
pub(super) type Open<'a> = dyn Fn() -> Result<Box<dyn BufRead>, Error> + 'a;

/// Both sides of a comparison.
pub(super) struct Sides<'a> {
    pub(super) kind: LineKind,
    /// Told in errors.
    pub(super) place: &'a Path,
    pub(super) recorded: &'a Open<'a>,
    pub(super) replayed: &'a Open<'a>,
    /// Whether a replayed line, the n-th, must be on record.
    pub(super) expected: &'a dyn Fn(usize, &Line) -> Result<bool, Error>,
}

/// A line, and what it is about.
pub(super) struct Line {
    pub(super) id: String,
    bytes: Vec<u8>,
}

impl Line {
    fn value(&self) -> Value {
        value(&self.bytes)
    }
}

impl Sides<'_> {
    /// Compares, and gives how many lines are on record.
    pub(super) fn compare(&self, report: &mut Report) -> Result<u64, Error> {
        let refuse = |error| Error::io("read", self.place)(error);
        let (mut recorded, mut replayed) = (whole_lines((self.recorded)()?), whole_lines((self.replayed)()?));
        let mut equal = 0;
        loop {
            let (a, b) = (recorded.next().transpose().map_err(refuse)?, replayed.next().transpose().map_err(refuse)?);
            match (a, b) {
                (Some(a), Some(b)) if a == b => equal += 1,
                (None, None) => return Ok(equal as u64),
                (None, Some(first)) => {
                    // The record ends here; the replay has read on.
                    for (more, bytes) in [Ok(first)].into_iter().chain(replayed).enumerate() {
                        let line = self.line(equal + more, bytes.map_err(refuse)?);
                        if (self.expected)(equal + more, &line)? {
                            report.note(Some(Difference::only_replayed(self.kind.of, &line.id, line.value())));
                        }
                    }
                    return Ok(equal as u64);
                }
                _ => return self.match_from(equal, report),
            }
        }
    }

    fn line(&self, number: usize, bytes: Vec<u8>) -> Line {
        let id = (self.kind.id)(&value(&bytes));
        Line { id: id.unwrap_or_else(|| format!("line {} after the cut", number + 1)), bytes }
    }

    /// As [`Sides::compare`], once it is known that both have as many equal lines at their start.
    fn match_from(&self, equal: usize, report: &mut Report) -> Result<u64, Error> {
        let of = self.kind.of;
        let (mut recorded, mut replayed) = (self.load(self.recorded)?, self.load(self.replayed)?);
        let count = recorded.len() as u64;
        let rest = recorded.split_off(equal);
        let mut seen: BTreeSet<&str> = recorded.iter().map(|line| line.id.as_str()).collect();
        let replayed = replayed.split_off(equal);
        let places: BTreeMap<&str, usize> =
            replayed.iter().enumerate().map(|(at, line)| (line.id.as_str(), at)).collect();
        // Lines stand in order of time, so the record has come at least this far.
        let mut reached = None;
        for line in &rest {
            let place = places.get(line.id.as_str()).copied();
            let difference = match place {
                _ if !seen.insert(&line.id) => Some(self.of_line(line, Kind::Repeated)),
                None => Some(Difference::only_recorded(of, &line.id, line.value())),
                Some(at) if replayed[at].bytes != line.bytes => Some(self.changed(line, &replayed[at])),
                Some(at) if reached.is_some_and(|reached| at < reached) => Some(self.of_line(line, Kind::Moved)),
                Some(_) => None,
            };
            reached = reached.max(place);
            report.note(difference);
        }
        for (at, line) in replayed.iter().enumerate().filter(|(_, line)| !seen.contains(line.id.as_str())) {
            if reached.is_some_and(|reached| at < reached) || (self.expected)(equal + at, line)? {
                report.note(Some(Difference::only_replayed(of, &line.id, line.value())));
            }
        }
        Ok(count)
    }

    fn load(&self, open: &Open<'_>) -> Result<Vec<Line>, Error> {
        let lines = whole_lines(open()?).enumerate();
        lines.map(|(number, bytes)| Ok(self.line(number, bytes.map_err(Error::io("read", self.place))?))).collect()
    }

    fn of_line(&self, line: &Line, kind: Kind) -> Difference {
        Difference { of: self.kind.of, id: line.id.clone(), kind, fields: Vec::new() }
    }

    /// The same line in other bytes, be it only in how they are written.
    fn changed(&self, recorded: &Line, replayed: &Line) -> Difference {
        let by_field = Difference::changed(self.kind.of, &recorded.id, &recorded.value(), &replayed.value());
        by_field.unwrap_or_else(|| {
            let text = |line: &Line| Some(Value::String(String::from_utf8_lossy(&line.bytes).into_owned()));
            let field = Field { path: String::new(), recorded: text(recorded), replayed: text(replayed) };
            Difference { fields: vec![field], ..self.of_line(recorded, Kind::Changed) }
        })
    }
}
