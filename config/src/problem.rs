//! What is wrong with a job's settings, said so that it can be mended: where, which key, what value, the rule, a hint.

use crate::value::Origin;
use std::fmt;

/// One problem of a job's settings. Prints as one line, and a second one for the hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the value came from, with line and column if it was a file.
    pub origin: Origin,
    /// The key, such as `source[1].max_disorder`; empty for the file as a whole.
    pub path: String,
    /// The value as given, shortened; `None` if there is none to show.
    pub value: Option<String>,
    /// The rule that it breaks, as the end of a sentence about the key: `must be at least 1`.
    pub rule: String,
    /// What to do.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        match (self.path.is_empty(), &self.value) {
            (true, _) => write!(f, "{}", self.rule)?,
            (false, None) => write!(f, "{} {}", self.path, self.rule)?,
            (false, Some(value)) => write!(f, "{} = {value}: {}", self.path, self.rule)?,
        }
        match &self.hint {
            Some(hint) => write!(f, "\n    hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// All problems of a job's settings, in the order of their place; never empty as an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}")?;
        }
        match self.0.len() {
            1 => write!(f, "1 problem"),
            number => write!(f, "{number} problems"),
        }
    }
}

impl std::error::Error for Problems {}

/// The known name that an unknown one was probably meant to be.
pub(crate) fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (unknown.chars().count() / 3).max(1);
    let distances = known.into_iter().map(|name| (edit_distance(unknown, name), name));
    distances.filter(|(distance, _)| *distance <= allowed).min().map(|(_, name)| name)
}

/// Levenshtein's distance: how many characters to insert, delete or replace.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_stranger_is_not() {
        let known = ["workers", "shadow", "snapshot_every", "snapshots_kept"];
        assert_eq!(nearest("worker", known), Some("workers"));
        assert_eq!(nearest("snapshot_ever", known), Some("snapshot_every"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
    }
}
