//! Reading a section of the tree: each key once, by its rule, with every problem noted and none thrown. Owned here:
//! the walk, unknown keys and the rules that several settings share.

use crate::layers::{DEFAULTS_NAME, ENVIRONMENT_PREFIX};
use crate::problem::{Problem, nearest};
use crate::secret::Secret;
use crate::units;
use crate::value::{Node, Origin, Table, Value};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Why a value does not do.
pub(crate) struct Refusal {
    pub(crate) rule: String,
    pub(crate) hint: Option<String>,
}

impl Refusal {
    pub(crate) fn new(rule: impl Into<String>) -> Self {
        Refusal { rule: rule.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Refusal { hint: Some(hint.into()), ..self }
    }
}

/// Keys that stand before the first section; people tend to write them at the end, inside the last one.
pub(crate) const TOP_KEYS: &[&str] = &["control", "tor_list"];

const TEXT_BYTES_MAX: usize = 4_096;

/// One section while it is read.
pub(crate) struct Section<'a> {
    path: String,
    origin: Origin,
    table: &'a Table,
    known: Vec<&'static str>,
    passed_over: bool,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Section<'a> {
    /// The whole tree; `origin` is where what is missing should have been.
    pub(crate) fn root(table: &'a Table, origin: Origin, problems: &'a mut Vec<Problem>) -> Self {
        Section { path: String::new(), origin, table, known: Vec::new(), passed_over: false, problems }
    }

    /// A key that has a shipped default.
    pub(crate) fn read<T>(&mut self, key: &'static str, rule: impl Fn(&Value) -> Result<T, Refusal>) -> Option<T> {
        self.require(key, "config/default.toml says what it means", rule)
    }

    /// A key that has no default: `hint` says what to do if it is missing.
    pub(crate) fn require<T>(
        &mut self,
        key: &'static str,
        hint: &str,
        rule: impl Fn(&Value) -> Result<T, Refusal>,
    ) -> Option<T> {
        match self.node(key) {
            Some(node) => self.judge(self.path_of(key), node, rule),
            None => self.missing(key, hint),
        }
    }

    /// A key that may be absent: `Some(None)`.
    pub(crate) fn read_if_set<T>(
        &mut self,
        key: &'static str,
        rule: impl Fn(&Value) -> Result<T, Refusal>,
    ) -> Option<Option<T>> {
        match self.node(key) {
            Some(node) => self.judge(self.path_of(key), node, rule).map(Some),
            None => Some(None),
        }
    }

    /// A key that may be absent and whose value nobody is to see, whatever is wrong with it.
    pub(crate) fn read_secret(
        &mut self,
        key: &'static str,
        rule: impl Fn(&Value) -> Result<Secret, Refusal>,
    ) -> Option<Option<Secret>> {
        let Some(node) = self.node(key) else { return Some(None) };
        rule(&node.value)
            .map(Some)
            .map_err(|refusal| self.note(node.origin.clone(), self.path_of(key), None, refusal))
            .ok()
    }

    /// A list, each of its items by the rule. A single word from outside a file is a list of one. Absent is empty.
    pub(crate) fn read_list<T>(
        &mut self,
        key: &'static str,
        rule: impl Fn(&Value) -> Result<T, Refusal>,
    ) -> Option<Vec<T>> {
        let Some(node) = self.node(key) else { return Some(Vec::new()) };
        let path = self.path_of(key);
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            Value::Word(_) => std::slice::from_ref(node),
            _ => {
                return self.judge(path, node, |_| Err(Refusal::new("must be a list").hint("write [ and ] around it")));
            }
        };
        let read: Vec<_> =
            items.iter().enumerate().map(|(i, item)| self.judge(format!("{path}[{i}]"), item, &rule)).collect();
        read.into_iter().collect()
    }

    /// A section inside this one.
    pub(crate) fn section<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_>) -> Option<T>,
    ) -> Option<T> {
        match self.node(key) {
            Some(node) => self.enter(self.path_of(key), node, read),
            None => self.missing(key, "config/default.toml says what it means"),
        }
    }

    /// A list of sections, at least one.
    pub(crate) fn sections<T>(
        &mut self,
        key: &'static str,
        hint: &str,
        mut read: impl FnMut(&mut Section<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(node) = self.node(key) else { return self.missing(key, hint) };
        let path = self.path_of(key);
        match &node.value {
            Value::List(entries) if !entries.is_empty() => {
                let read: Vec<_> =
                    entries.iter().enumerate().map(|(i, e)| self.enter(format!("{path}[{i}]"), e, &mut read)).collect();
                read.into_iter().collect()
            }
            _ => {
                let refusal = || Refusal::new("must be a list of sections, at least one");
                self.judge(path, node, |_| Err(refusal().hint(format!("write [[{key}]] above each"))))
            }
        }
    }

    /// Notes a problem of a key that was read before, found by looking at it beside others.
    pub(crate) fn refuse(&mut self, key: &'static str, refusal: Refusal) {
        let node = self.node(key);
        let origin = node.map_or(&self.origin, |node| &node.origin).clone();
        let value = node.map(|node| node.value.to_string());
        self.note(origin, self.path_of(key), value, refusal);
    }

    /// The environment variable that sets a key.
    pub(crate) fn variable(&self, key: &str) -> String {
        let path = self.path_of(key).replace(['.', '['], "__").replace(']', "");
        format!("{ENVIRONMENT_PREFIX}{}", path.to_ascii_uppercase())
    }

    /// Notes nothing of what else is here: its meaning hangs on a key that is wrong.
    pub(crate) fn pass_over(&mut self) {
        self.passed_over = true;
    }

    /// Notes the keys that nobody asked for.
    pub(crate) fn close(self) {
        let unknown = |key: &String| !self.passed_over && !self.known.contains(&key.as_str());
        for (key, node) in self.table.iter().filter(|(key, _)| unknown(key)) {
            let hint = if let Some(known) = nearest(key, self.known.iter().copied()) {
                format!("did you mean {known}?")
            } else if TOP_KEYS.contains(&key.as_str()) {
                format!("{key} stands at the top of the file, before the first [section]")
            } else {
                format!("known here: {}", self.known.join(", "))
            };
            let (origin, rule) = (node.origin.clone(), "is no key of this section".to_owned());
            self.problems.push(Problem { origin, path: self.path_of(key), value: None, rule, hint: Some(hint) });
        }
    }

    fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.table.get(key)
    }

    fn path_of(&self, key: &str) -> String {
        let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let key = if plain { key.to_owned() } else { Value::Text(key.to_owned()).to_string() };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    fn missing<T>(&mut self, key: &str, hint: &str) -> Option<T> {
        self.note(self.origin.clone(), self.path_of(key), None, Refusal::new("is missing").hint(hint));
        None
    }

    fn judge<T>(&mut self, path: String, node: &Node, rule: impl Fn(&Value) -> Result<T, Refusal>) -> Option<T> {
        rule(&node.value)
            .map_err(|refusal| self.note(node.origin.clone(), path, Some(node.value.to_string()), refusal))
            .ok()
    }

    fn enter<T>(&mut self, path: String, node: &Node, read: impl FnOnce(&mut Section<'_>) -> Option<T>) -> Option<T> {
        let Value::Table(table) = &node.value else {
            return self.judge(path, node, |_| Err(Refusal::new("must be a section")));
        };
        // What is missing from a section that only the defaults have is missing from the file.
        let built_in = matches!(&node.origin, Origin::File { name, .. } if name == DEFAULTS_NAME);
        let origin = if built_in { self.origin.clone() } else { node.origin.clone() };
        let mut inner = Section { path, origin, table, known: Vec::new(), passed_over: false, problems: self.problems };
        let value = read(&mut inner);
        inner.close();
        value
    }

    fn note(&mut self, origin: Origin, path: String, value: Option<String>, refusal: Refusal) {
        self.problems.push(Problem { origin, path, value, rule: refusal.rule, hint: refusal.hint });
    }
}

/// Any text that is not empty, not huge and has no control characters.
pub(crate) fn text(value: &Value) -> Result<String, Refusal> {
    match value {
        Value::Text(text) | Value::Word(text) => {
            if text.trim().is_empty() {
                Err(Refusal::new("must not be empty").hint("leave the key out instead"))
            } else if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
                Err(Refusal::new(format!("must be at most {TEXT_BYTES_MAX} bytes without control characters")))
            } else {
                Ok(text.clone())
            }
        }
        _ => Err(Refusal::new("must be a text").hint("write it in quotes")),
    }
}

/// A file or folder; relative ones are seen from where the program is started.
pub(crate) fn path(value: &Value) -> Result<PathBuf, Refusal> {
    let text = text(value)?;
    match text.contains(char::REPLACEMENT_CHARACTER) {
        true => Err(Refusal::new("must be valid UTF-8").hint("rename the file or folder")),
        false => Ok(PathBuf::from(text)),
    }
}

/// `true` or `false`.
pub(crate) fn switch(value: &Value) -> Result<bool, Refusal> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::Word(word) if word == "true" || word == "false" => Ok(word == "true"),
        _ => Err(Refusal::new("must be true or false").hint("without quotes")),
    }
}

/// A whole number within a range.
pub(crate) fn count(range: RangeInclusive<u64>) -> impl Fn(&Value) -> Result<u64, Refusal> {
    move |value| {
        let number = match value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Word(word) => word.parse().ok(),
            _ => None,
        };
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| Refusal::new(format!("must be a whole number from {} to {}", range.start(), range.end())))
    }
}

/// A number, whole or not, within a range.
pub(crate) fn number(range: RangeInclusive<f64>) -> impl Fn(&Value) -> Result<f64, Refusal> {
    move |value| {
        let number = match value {
            Value::Float(number) => Some(*number),
            Value::Integer(number) => Some(*number as f64),
            Value::Word(word) => word.parse().ok(),
            _ => None,
        };
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| Refusal::new(format!("must be a number from {} to {}", range.start(), range.end())))
    }
}

/// A size in bytes within a range.
pub(crate) fn size(range: RangeInclusive<u64>) -> impl Fn(&Value) -> Result<u64, Refusal> {
    move |value| {
        let bytes = with_unit(value, units::parse_size, "\"256MiB\"")?;
        let (least, most) = (units::show_size(*range.start()), units::show_size(*range.end()));
        let refusal = || Refusal::new(format!("must be a size from {least} to {most}"));
        Some(bytes).filter(|bytes| range.contains(bytes)).ok_or_else(refusal)
    }
}

/// A duration within a range.
pub(crate) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&Value) -> Result<Duration, Refusal> {
    move |value| {
        let duration = with_unit(value, units::parse_duration, "\"10s\"")?;
        let (least, most) = (units::show_duration(*range.start()), units::show_duration(*range.end()));
        let refusal = || Refusal::new(format!("must be a duration from {least} to {most}"));
        Some(duration).filter(|duration| range.contains(duration)).ok_or_else(refusal)
    }
}

fn with_unit<T>(
    value: &Value,
    parse: impl Fn(&str) -> Result<T, units::UnitError>,
    example: &str,
) -> Result<T, Refusal> {
    match value {
        Value::Text(text) | Value::Word(text) => {
            parse(text).map_err(|error| Refusal::new(format!("must be {}", error.rule)).hint(error.hint))
        }
        _ => Err(Refusal::new("needs a unit").hint(format!("write a text such as {example}"))),
    }
}

/// One of some words, each with its meaning.
pub(crate) fn one_of<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&Value) -> Result<T, Refusal> {
    move |value| {
        let given = match value {
            Value::Text(text) | Value::Word(text) => text.as_str(),
            _ => "",
        };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == given) {
            return Ok(*meaning);
        }
        let all = words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(" or ");
        let refusal = Refusal::new(format!("must be {all}"));
        Err(match nearest(given, words.iter().map(|(word, _)| *word)) {
            Some(word) => refusal.hint(format!("did you mean {word:?}?")),
            None => refusal,
        })
    }
}
