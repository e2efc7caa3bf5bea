//! What is wrong with control records, said so that it can be mended.

use crate::decode::rejection::Rejection;
use crate::decode::text::clip;
use std::fmt;

/// Most problems that are reported together; the last one then says how many more there are.
pub const PROBLEMS_MAX: usize = 100;

/// Most bytes of a value that a problem shows.
const VALUE_SHOWN_BYTES_MAX: usize = 120;

/// One problem of a control record. Prints as `file:line: path: hint (value)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlProblem {
    /// The file and the line's number from 1, if the record came from a file.
    pub place: Option<(String, u64)>,
    /// Which member, such as `value.responses.tor.enabled`; empty for the record as a whole.
    pub path: String,
    /// What stands there, shortened; empty if nothing does.
    pub value: String,
    /// The rule that it breaks and, where one can be guessed, what was meant.
    pub hint: String,
}

impl ControlProblem {
    pub(super) fn new(path: &str, value: &str, hint: &str) -> Self {
        let value = clip(value, VALUE_SHOWN_BYTES_MAX).to_owned();
        ControlProblem { place: None, path: path.to_owned(), value, hint: hint.to_owned() }
    }

    pub(super) fn at(self, file: &str, line: u64) -> Self {
        ControlProblem { place: Some((file.to_owned(), line)), ..self }
    }
}

impl fmt::Display for ControlProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((file, line)) = &self.place {
            write!(f, "{file}:{line}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.hint)?;
        // As Debug, so that what stands in the input cannot write to a terminal.
        if self.value.is_empty() { Ok(()) } else { write!(f, " (is {:?})", self.value) }
    }
}

impl std::error::Error for ControlProblem {}

/// Problems as they are found, bounded in number.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<ControlProblem>,
    more: usize,
}

impl Problems {
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Tells a problem.
    pub fn tell(&mut self, path: &str, value: &str, hint: &str) {
        self.extend([ControlProblem::new(path, value, hint)]);
    }

    /// Takes the value of a check, or tells what was wrong.
    pub fn take<T>(&mut self, checked: Result<T, Rejection>) -> Option<T> {
        checked
            .map_err(|Rejection { detail, .. }| {
                let (path, hint) = detail.split_once(": ").unwrap_or(("", &detail));
                self.tell(path, "", hint);
            })
            .ok()
    }

    pub fn extend(&mut self, problems: impl IntoIterator<Item = ControlProblem>) {
        for problem in problems {
            if self.found.len() < PROBLEMS_MAX { self.found.push(problem) } else { self.more += 1 }
        }
    }

    pub fn into_vec(mut self) -> Vec<ControlProblem> {
        if self.more > 0 {
            self.found.push(ControlProblem::new("", "", &format!("and {} more problems", self.more)));
        }
        self.found
    }
}
