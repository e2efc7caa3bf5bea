//! JSON for a person at a terminal: a line per value, indented. Names come from activity, so all of it is escaped.

use crate::cli::plain;
use engine::time::Micros;
use operators::respond::message::utc;
use serde_json::Value;

/// What names of times in microseconds end in.
const MICROS: &str = "_us";

/// Appends a value, `depth` steps in.
pub(super) fn write(to: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                item(to, name, value, depth);
            }
        }
        Value::Array(items) if items.iter().any(|item| item.is_object()) => {
            for (index, value) in items.iter().enumerate() {
                item(to, &(index + 1).to_string(), value, depth);
            }
        }
        value => line(to, &leaf("", value), depth),
    }
}

fn item(to: &mut String, name: &str, value: &Value, depth: usize) {
    let nested = match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => items.iter().any(Value::is_object),
        _ => false,
    };
    let shown = plain(name.strip_suffix(MICROS).unwrap_or(name));
    if nested {
        line(to, &shown, depth);
        write(to, value, depth + 1);
    } else {
        line(to, &format!("{shown}: {}", leaf(name, value)), depth);
    }
}

fn line(to: &mut String, text: &str, depth: usize) {
    to.push_str(&"  ".repeat(depth));
    to.push_str(text);
    to.push('\n');
}

/// One value; a time, if its name or pointer says so.
pub(super) fn leaf(name: &str, value: &Value) -> String {
    match value {
        Value::Number(number) if name.ends_with(MICROS) => {
            number.as_u64().map_or_else(|| number.to_string(), |micros| utc(Micros(micros)))
        }
        Value::String(text) => plain(text),
        Value::Null => "none".to_owned(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) if !items.iter().any(|item| item.is_object() || item.is_array()) => {
            items.iter().map(|item| leaf(name, item)).collect::<Vec<_>>().join(", ")
        }
        Value::Object(fields) if fields.is_empty() => "none".to_owned(),
        value => plain(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_stand_on_lines_of_their_own_and_give_a_terminal_no_orders() {
        let mut text = String::new();
        let value =
            json!({"at_us": 1_767_225_600_000_000u64, "list": [1, 2], "none": [], "who": {"na\u{1b}me": "x\u{7}"}});
        write(&mut text, &value, 1);
        assert_eq!(text, "  at: 2026-01-01 00:00:00 UTC\n  list: 1, 2\n  none: none\n  who\n    na?me: x?\n");
    }
}
