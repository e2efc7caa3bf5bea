//! What is not taken in, and how it is told. Owned here: the reasons, and the lines of `dead_letter.ndjson` and
//! `late.ndjson`. Not owned here: the order of the checks (`diagnose`) and who writes the files.

use engine::time::Span;
use serde::Serialize;
use std::fmt;

/// How many bytes of a rejected line the dead letter shows.
pub const RAW_BYTES_MAX: usize = 1_024;

/// Why a line is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// Over [`super::EVENT_BYTES_MAX`].
    TooLarge,
    /// Not valid UTF-8.
    NotUtf8,
    /// Brackets nested deeper than [`super::DEPTH_MAX`].
    TooDeep,
    /// Not one JSON object.
    NotJson,
    /// A field of a type that it cannot have.
    WrongType,
    /// A required field is not there.
    MissingField,
    /// A value that cannot be.
    BadValue,
    /// A time that cannot be.
    BadTime,
    /// An event of an org that its source does not speak for.
    WrongOrg,
}

impl RejectReason {
    /// All of them, for counters.
    pub const ALL: &'static [RejectReason] = &[
        RejectReason::TooLarge,
        RejectReason::NotUtf8,
        RejectReason::TooDeep,
        RejectReason::NotJson,
        RejectReason::WrongType,
        RejectReason::MissingField,
        RejectReason::BadValue,
        RejectReason::BadTime,
        RejectReason::WrongOrg,
    ];

    /// The name as it stands in the dead letter.
    pub const fn name(self) -> &'static str {
        match self {
            RejectReason::TooLarge => "too_large",
            RejectReason::NotUtf8 => "not_utf8",
            RejectReason::TooDeep => "too_deep",
            RejectReason::NotJson => "not_json",
            RejectReason::WrongType => "wrong_type",
            RejectReason::MissingField => "missing_field",
            RejectReason::BadValue => "bad_value",
            RejectReason::BadTime => "bad_time",
            RejectReason::WrongOrg => "wrong_org",
        }
    }
}

/// A line that is not taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Why.
    pub reason: RejectReason,
    /// The field with its full path, a colon, and what is wrong with it; without a field only the latter.
    pub detail: String,
}

impl Rejection {
    /// For a line that the reader cut off because it is too long.
    pub fn too_large() -> Self {
        Rejection::whole(RejectReason::TooLarge, format!("more than {} bytes", super::EVENT_BYTES_MAX))
    }

    /// A rejection of the line as a whole.
    pub(super) fn whole(reason: RejectReason, detail: impl Into<String>) -> Self {
        Rejection { reason, detail: detail.into() }
    }

    /// A rejection for a field.
    pub(super) fn field(reason: RejectReason, path: &str, what: impl fmt::Display) -> Self {
        Rejection { reason, detail: format!("{path}: {what}") }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.name(), self.detail)
    }
}

/// The line of `dead_letter.ndjson` for a rejected line, without line end. `position` is the byte offset of the line,
/// or the Kafka offset. `raw` is [`escape`] of the first [`RAW_BYTES_MAX`] bytes.
pub fn dead_letter_line(source: &str, position: u64, rejection: &Rejection, raw: &[u8]) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        source: &'a str,
        position: u64,
        reason: RejectReason,
        detail: &'a str,
        raw: String,
    }
    let raw = escape(&raw[..raw.len().min(RAW_BYTES_MAX)]);
    json(&Line { source, position, reason: rejection.reason, detail: &rejection.detail, raw })
}

/// The line of `late.ndjson` for an event behind its partition's watermark, without line end. `applied` says whether
/// it still took part.
pub fn late_line(source: &str, position: u64, id: &str, org: &str, behind: Span, applied: bool) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        source: &'a str,
        position: u64,
        id: &'a str,
        org: &'a str,
        behind_ms: u64,
        applied: bool,
    }
    json(&Line { source, position, id, org, behind_ms: behind.millis(), applied })
}

fn json(line: &impl Serialize) -> String {
    serde_json::to_string(line).expect("strings and numbers always serialise")
}

/// Bytes as text from which they can be had back. Valid UTF-8 stays as it is, but for the two characters `\x`, which
/// become `\x5cx`; a byte that is not part of valid UTF-8 becomes `\x` and two lowercase hex digits. To read it,
/// replace each `\x` and the two digits after it by that byte. (JSON has no escape `\x`, so in what is JSON the
/// exception is met only after an escaped backslash.)
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for (index, part) in chunk.valid().split("\\x").enumerate() {
            text.push_str(if index == 0 { "" } else { "\\x5cx" });
            text.push_str(part);
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unescape(text: &str) -> Vec<u8> {
        let mut parts = text.split("\\x");
        let mut bytes = parts.next().unwrap().as_bytes().to_vec();
        for part in parts {
            bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        }
        bytes
    }

    proptest! {
        #[test]
        fn escaped_bytes_can_be_had_back(bytes in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(b'\\'), Just(b'x'), Just(0xc3), Just(0xa9)], 0..64)) {
            prop_assert_eq!(unescape(&escape(&bytes)), bytes);
        }

        #[test]
        fn text_without_the_escape_stays(text in "[a-z\\\\\"é\u{1}-\u{7f}&&[^x]]{0,40}") {
            prop_assert_eq!(escape(text.as_bytes()), text);
        }
    }

    #[test]
    fn a_backslash_that_meets_an_invalid_byte_is_no_escape() {
        assert_eq!(escape(b"\\\xff"), "\\\\xff");
        assert_eq!(unescape("\\\\xff"), b"\\\xff");
        assert_eq!(escape(b"a\\xff"), "a\\x5cxff");
    }

    #[test]
    fn a_dead_letter_is_one_line_of_json_with_the_first_bytes() {
        let rejection = Rejection::field(RejectReason::BadValue, "id", "must not be empty");
        let raw = format!("{{\"id\":\"\",\n\"pad\":\"{}\"}}", "é".repeat(600));
        let line = dead_letter_line("file \"a\"", 7, &rejection, raw.as_bytes());
        assert!(!line.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["source"], "file \"a\"");
        assert_eq!(value["position"], 7);
        assert_eq!(value["reason"], "bad_value");
        assert_eq!(value["detail"], "id: must not be empty");
        assert_eq!(unescape(value["raw"].as_str().unwrap()), &raw.as_bytes()[..1_024]);
        assert!(line.starts_with("{\"source\":"), "members stand in the contract's order: {line}");
    }

    #[test]
    fn a_late_line_says_how_late() {
        let line = late_line("s", 3, "e1", "E1", Span(1_999), true);
        let members = r#"{"source":"s","position":3,"id":"e1","org":"E1","behind_ms":1,"applied":true}"#;
        assert_eq!(line, members);
    }

    #[test]
    fn names_are_those_that_serialise() {
        for reason in RejectReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
        }
    }
}
