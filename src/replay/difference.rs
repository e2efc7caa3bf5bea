//! One difference between a record and its replay, field by field.

use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// Most fields that are told of one difference.
const FIELDS_MAX: usize = 20;

/// What a difference is about, and what the two say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// What differs: `decision`, `dead letter`, `late event`, `entry` or `order`.
    pub of: &'static str,
    /// Its id.
    pub id: String,
    /// In which way.
    pub kind: Kind,
    /// Where, if both have it; else the whole of it.
    pub fields: Vec<Field>,
}

/// In which way a record and its replay differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Both have it, with other content.
    Changed,
    /// The record has it, the replay does not.
    OnlyRecorded,
    /// The replay has it, the record does not.
    OnlyReplayed,
    /// Both have it, at another place among the lines.
    Moved,
    /// The record has it more than once.
    Repeated,
}

/// One value that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Field {
    /// A JSON pointer (RFC 6901), empty for the whole.
    pub path: String,
    /// What the record says, none if nothing.
    pub recorded: Option<Value>,
    /// What the replay says, none if nothing.
    pub replayed: Option<Value>,
}

impl Difference {
    /// The two have other content under one id; `None` if it is the same after all.
    pub(super) fn changed(of: &'static str, id: &str, recorded: &Value, replayed: &Value) -> Option<Self> {
        let mut fields = Vec::new();
        differ("", Some(recorded), Some(replayed), FIELDS_MAX, &mut fields);
        (!fields.is_empty()).then(|| Difference { of, id: id.to_owned(), kind: Kind::Changed, fields })
    }

    /// Only the record has it.
    pub(super) fn only_recorded(of: &'static str, id: &str, recorded: Value) -> Self {
        let fields = vec![Field { path: String::new(), recorded: Some(recorded), replayed: None }];
        Difference { of, id: id.to_owned(), kind: Kind::OnlyRecorded, fields }
    }

    /// Only the replay has it.
    pub(super) fn only_replayed(of: &'static str, id: &str, replayed: Value) -> Self {
        let fields = vec![Field { path: String::new(), recorded: None, replayed: Some(replayed) }];
        Difference { of, id: id.to_owned(), kind: Kind::OnlyReplayed, fields }
    }
}

/// Where two values differ, in `max` places at most.
pub(crate) fn differ(
    path: &str,
    recorded: Option<&Value>,
    replayed: Option<&Value>,
    max: usize,
    fields: &mut Vec<Field>,
) {
    if fields.len() >= max || recorded == replayed {
        return;
    }
    match (recorded, replayed) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
                differ(&path, a.get(name), b.get(name), max, fields);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                differ(&format!("{path}/{index}"), Some(a), Some(b), max, fields);
            }
        }
        _ => fields.push(Field { path: path.to_owned(), recorded: recorded.cloned(), replayed: replayed.cloned() }),
    }
}

/// Text as JSON; what is none is a string.
pub(super) fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_told_by_pointer_with_both_values() {
        let recorded = json!({"a": 1, "b": {"c/d": [1, 2]}, "gone": true, "same": "x"});
        let replayed = json!({"a": 2, "b": {"c/d": [1, 3]}, "new": null, "same": "x"});
        let found = Difference::changed("decision", "d", &recorded, &replayed).unwrap();
        let told: Vec<_> =
            found.fields.iter().map(|f| (f.path.as_str(), f.recorded.clone(), f.replayed.clone())).collect();
        assert_eq!(
            told,
            [
                ("/a", Some(json!(1)), Some(json!(2))),
                ("/b/c~1d/1", Some(json!(2)), Some(json!(3))),
                ("/gone", Some(json!(true)), None),
                ("/new", None, Some(json!(null))),
            ]
        );
        assert_eq!(Difference::changed("decision", "d", &recorded, &recorded), None);
    }

    #[test]
    fn no_more_fields_are_told_than_anybody_reads() {
        let object = |n: u64| Value::Object((0..100).map(|i| (format!("k{i}"), json!(n))).collect());
        assert_eq!(Difference::changed("entry", "e", &object(1), &object(2)).unwrap().fields.len(), FIELDS_MAX);
    }
}
