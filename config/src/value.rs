//! The tree of settings before they are checked: values as given, each with where it came from.

use std::collections::BTreeMap;
use std::fmt;
use toml::de::{DeTable, DeValue};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A file, at a line and column counted from one.
    File {
        /// As it was named.
        name: String,
        /// From one; zero for the file as a whole.
        line: usize,
        /// In characters, from one.
        column: usize,
    },
    /// An environment variable of this name.
    Environment(String),
    /// A flag of this name, such as `--workers`.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { name, line: 0, .. } => write!(f, "{name}"),
            Origin::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Origin::Environment(name) | Origin::Flag(name) => write!(f, "{name}"),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// A table of settings by key.
pub(crate) type Table = BTreeMap<String, Node>;

/// A value as given.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A string in a file.
    Text(String),
    /// A word from the environment or a flag: what type it is of, the rule of its key decides.
    Word(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction or exponent.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// A list.
    List(Vec<Node>),
    /// A section.
    Table(Table),
    /// What no setting is: dates, numbers beyond 64 bits.
    Other(String),
}

const SHOWN_CHARS: usize = 60;

impl fmt::Display for Value {
    /// The value as a message shows it: escaped, and short.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) | Value::Word(text) | Value::Other(text) => {
                let shown: String = text.chars().take(SHOWN_CHARS).collect();
                let dots = if shown.len() < text.len() { "…" } else { "" };
                write!(f, "{shown:?}{dots}")
            }
            Value::Integer(number) => write!(f, "{number}"),
            Value::Float(number) => write!(f, "{number:?}"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::List(items) => write!(f, "a list of {}", items.len()),
            Value::Table(_) => write!(f, "a section"),
        }
    }
}

/// A text that positions can be looked up in.
pub(crate) struct Located<'a> {
    pub(crate) name: &'a str,
    pub(crate) text: &'a str,
}

impl Located<'_> {
    /// The line and column of a byte offset.
    pub(crate) fn at(&self, offset: usize) -> Origin {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        Origin::File { name: self.name.to_owned(), line, column: before[line_start..].chars().count() + 1 }
    }

    /// The file as a whole.
    pub(crate) fn whole(&self) -> Origin {
        Origin::File { name: self.name.to_owned(), line: 0, column: 0 }
    }

    /// A parsed table with the place of each of its values.
    pub(crate) fn table(&self, table: &DeTable<'_>) -> Table {
        let node = |value: &toml::Spanned<DeValue<'_>>, at: usize| Node {
            value: self.value(value.get_ref()),
            origin: self.at(at),
        };
        // A message about a section points at its key; one about a value points at the value.
        let place = |key: usize, value: &toml::Spanned<DeValue<'_>>| match value.get_ref() {
            DeValue::Table(_) => key,
            _ => value.span().start,
        };
        table
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), node(value, place(key.span().start, value))))
            .collect()
    }

    fn value(&self, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Other(number.to_string()),
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => Value::Float(number),
                Err(_) => Value::Other(number.to_string()),
            },
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Datetime(date) => Value::Other(date.to_string()),
            DeValue::Array(items) => Value::List(
                items
                    .iter()
                    .map(|item| Node { value: self.value(item.get_ref()), origin: self.at(item.span().start) })
                    .collect(),
            ),
            DeValue::Table(table) => Value::Table(self.table(table)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_lines_and_characters() {
        let located = Located { name: "f", text: "a = 1\nβ = \"é\" # x\n" };
        assert_eq!(located.at(0).to_string(), "f:1:1");
        assert_eq!(located.at("a = 1\nβ = ".len()).to_string(), "f:2:5");
        assert_eq!(located.at(10_000).to_string(), "f:3:1");
        assert_eq!(located.whole().to_string(), "f");
    }

    #[test]
    fn shown_values_are_short_and_escaped() {
        let long = Value::Text(format!("\u{1b}[31m{}", "x".repeat(500)));
        assert!(long.to_string().len() < 100);
        assert!(!long.to_string().contains('\u{1b}'));
    }
}
