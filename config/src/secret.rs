//! Secrets: values that a job needs and nobody should read in a log. Owned here: that they print as stars, and that they
//! come from the environment or from a file of their own, never from a job file, which people show to each other.

use crate::read::{self, Refusal, Section};
use crate::value::Value;
use std::fmt;
use std::path::PathBuf;

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOrigin {
    /// From the environment.
    Given(Secret),
    /// From a file that is read when the job starts.
    File(PathBuf),
}

/// A password, token or key. Prints as stars in every form; only [`Secret::expose`] gives it out.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a value into keeping.
    pub fn new(value: impl Into<String>) -> Self {
        Secret(value.into())
    }

    /// The value itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A secret that may be set: as `key` from the environment, or in the file that `file` names. `rule` is what the
/// environment's has to keep; what a file holds is seen when the job starts.
pub(crate) fn read(
    section: &mut Section<'_>,
    key: &'static str,
    file: &'static str,
    rule: impl Fn(&str) -> Result<(), Refusal>,
) -> Option<Option<KeyOrigin>> {
    let hint = format!("set {}, or {file} to a file that holds it", section.variable(key));
    let given = section.read_secret(key, |value| match value {
        Value::Word(text) => rule(text).map(|()| Secret::new(text.clone())),
        _ => Err(Refusal::new("must not stand in a job file").hint(hint.clone())),
    });
    let named = section.read_if_set(file, read::path);
    match (given?, named?) {
        (Some(secret), None) => Some(Some(KeyOrigin::Given(secret))),
        (None, Some(path)) => Some(Some(KeyOrigin::File(path))),
        (None, None) => Some(None),
        (Some(_), Some(_)) => {
            let refusal = Refusal::new(format!("cannot be set together with {key}"));
            section.refuse(file, refusal.hint("keep one of them"));
            None
        }
    }
}

/// A secret that must be set.
pub(crate) fn require(
    section: &mut Section<'_>,
    key: &'static str,
    file: &'static str,
    rule: impl Fn(&str) -> Result<(), Refusal>,
) -> Option<KeyOrigin> {
    let found = read(section, key, file, rule)?;
    if found.is_none() {
        let hint = format!("set {}, or {file} to a file that holds it", section.variable(key));
        section.refuse(key, Refusal::new("is missing").hint(hint));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_stars_whatever_its_length() {
        let secret = Secret::new("xoxp-hunter2");
        assert_eq!(format!("{secret} {secret:?} {secret:#?}"), "*** *** ***");
        assert_eq!(format!("{:?}", Some(Secret::new(""))), "Some(***)");
        assert_eq!(secret.expose(), "xoxp-hunter2");
    }
}
