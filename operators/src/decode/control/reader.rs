//! Typed reading of a record's value, telling every problem with its path. Owned here: types and names; what a value
//! means is `values`'.

use super::problem::Problems;
use serde_json::{Map, Value};

/// A value at its path.
#[derive(Clone, Copy)]
pub(super) struct At<'v> {
    pub path: &'v str,
    pub value: &'v Value,
}

impl<'v> At<'v> {
    /// Tells that the value breaks a rule.
    pub fn tell(self, problems: &mut Problems, hint: &str) {
        problems.tell(self.path, &shown(self.value), hint);
    }

    pub fn text(self, problems: &mut Problems) -> Option<&'v str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.tell(problems, "must be a string");
        }
        text
    }

    pub fn flag(self, problems: &mut Problems) -> Option<bool> {
        let flag = self.value.as_bool();
        if flag.is_none() {
            self.tell(problems, "must be true or false");
        }
        flag
    }

    /// The members of an object. With `known`, all others are refused.
    pub fn object(self, known: Option<&[&str]>, problems: &mut Problems) -> Option<Fields<'v>> {
        let Some(members) = self.value.as_object() else {
            self.tell(problems, "must be an object");
            return None;
        };
        for name in members.keys().filter(|name| known.is_some_and(|known| !known.contains(&name.as_str()))) {
            let hint = unknown("a known member", name, known.unwrap_or_default().iter().copied());
            problems.tell(&format!("{}.{name}", self.path), &shown(&members[name]), &hint);
        }
        Some(Fields { path: self.path.to_owned(), members })
    }

    /// Each element of an array, read by `read`; elements that cannot be are told and left out.
    pub fn each<T, C: FromIterator<T>>(
        self,
        problems: &mut Problems,
        mut read: impl FnMut(At<'_>, &mut Problems) -> Option<T>,
    ) -> Option<C> {
        let Some(elements) = self.value.as_array() else {
            self.tell(problems, "must be an array");
            return None;
        };
        let read =
            |(index, value): (usize, &Value)| read(At { path: &format!("{}[{index}]", self.path), value }, problems);
        Some(elements.iter().enumerate().filter_map(read).collect())
    }
}

/// The members of an object at its path. An optional member that is `null` is absent.
pub(super) struct Fields<'v> {
    path: String,
    members: &'v Map<String, Value>,
}

impl<'v> Fields<'v> {
    /// Reads an optional member.
    pub fn optional<T>(
        &self,
        name: &str,
        problems: &mut Problems,
        read: impl FnOnce(At<'_>, &mut Problems) -> Option<T>,
    ) -> Option<T> {
        let value = self.members.get(name).filter(|value| !value.is_null())?;
        read(At { path: &format!("{}.{name}", self.path), value }, problems)
    }

    /// Reads a required member.
    pub fn required<T>(
        &self,
        name: &str,
        problems: &mut Problems,
        read: impl FnOnce(At<'_>, &mut Problems) -> Option<T>,
    ) -> Option<T> {
        match self.members.get(name) {
            Some(value) => read(At { path: &format!("{}.{name}", self.path), value }, problems),
            None => {
                problems.tell(&format!("{}.{name}", self.path), "", "is required");
                None
            }
        }
    }

    pub fn text(&self, name: &str, problems: &mut Problems) -> Option<String> {
        self.optional(name, problems, |at, problems| at.text(problems).map(str::to_owned))
    }

    pub fn flag(&self, name: &str, problems: &mut Problems) -> Option<bool> {
        self.optional(name, problems, |at, problems| at.flag(problems))
    }

    /// An array of strings without repetition; empty if absent.
    pub fn texts<C: FromIterator<String> + Default>(&self, name: &str, problems: &mut Problems) -> C {
        let read = |at: At<'_>, problems: &mut Problems| {
            at.each(problems, |at, problems| at.text(problems).map(str::to_owned))
        };
        self.optional(name, problems, read).unwrap_or_default()
    }

    pub fn names(&self) -> impl Iterator<Item = &'v str> {
        self.members.keys().map(String::as_str)
    }
}

/// A value as a problem shows it: text without quotes, else JSON. What holds others is only named.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string(),
    }
}

/// The hint for a name that is not `what` it should be.
pub(super) fn unknown<'k>(what: &str, name: &str, known: impl Iterator<Item = &'k str> + Clone) -> String {
    let close = known.clone().map(|known| (edit_distance(name, known), known)).min();
    match close {
        Some((distance, known)) if distance <= (name.chars().count() / 3).max(2) => {
            format!("is not {what}; did you mean `{known}`?")
        }
        _ => format!("is not {what}; there are: {}", known.collect::<Vec<_>>().join(", ")),
    }
}

/// Levenshtein's distance of the first 64 characters: how many to insert, delete or replace.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
