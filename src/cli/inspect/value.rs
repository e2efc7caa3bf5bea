//! JSON values for a person at a terminal. Names come from activity, so all of it is escaped.

use crate::cli::{grouped, plain};
use engine::time::Micros;
use operators::respond::message::utc;
use serde_json::Value;

/// What names of times in microseconds end in.
const MICROS: &str = "_us";

/// What stands for a value that is not there.
pub(super) const NONE: &str = "-";

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

/// A text as it is, which the table escapes; a dash if it is empty or none.
pub(super) fn text(value: &Value) -> String {
    value.as_str().filter(|text| !text.is_empty()).unwrap_or(NONE).to_owned()
}

/// A count; a dash if there is none.
pub(super) fn count(value: &Value) -> String {
    value.as_u64().map_or(NONE.to_owned(), grouped)
}

/// A time (UTC, which is said once); a dash if there is none.
pub(super) fn time(value: &Value) -> String {
    value.as_u64().map_or(NONE.to_owned(), |micros| utc(Micros(micros)).trim_end_matches(" UTC").to_owned())
}

/// The day of a time; a dash if there is none.
pub(super) fn day(value: &Value) -> String {
    time(value).split(' ').next().unwrap_or(NONE).to_owned()
}

/// The names and values of an object, none if it is no object.
pub(super) fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The items of a list, none if it is no list.
pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The texts of a list in a row; a dash if there are none.
pub(super) fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let texts: Vec<&str> = texts.into_iter().collect();
    if texts.is_empty() { NONE.to_owned() } else { texts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_give_a_terminal_no_orders() {
        assert_eq!(leaf("/a/at_us", &json!(1_767_225_600_000_000u64)), "2026-01-01 00:00:00 UTC");
        assert_eq!(leaf("x", &json!("x\u{7}\u{202e}y")), "x??y");
        assert_eq!(leaf("x", &json!([1, 2])), "1, 2");
        assert_eq!((leaf("x", &json!([])), leaf("x", &Value::Null)), ("none".to_owned(), "none".to_owned()));
        assert_eq!(day(&json!(1_767_225_600_000_000u64)), "2026-01-01");
        assert_eq!((count(&json!(1234)), count(&Value::Null)), ("1,234".to_owned(), "-".to_owned()));
    }
}
