//! What became of a response, as the control record by which it comes back into the dataflow. Owned here: its line. It is
//! written and read by this program alone: no file and nobody from outside can set it.

use crate::model::control::{ControlRecord, ControlValue, Ended, Settled};
use crate::model::id::Id;
use engine::time::Micros;
use serde::{Deserialize, Serialize};

/// How such a line begins, and no other.
const START: &str = "{\"outcome\":";

#[derive(Serialize, Deserialize)]
struct Line {
    outcome: Id,
    org: String,
    user: String,
    ended: Ended,
    at: u64,
}

/// The line that says what became of a response to a user, dated `at`.
pub fn outcome_line(response: &Id, org: &str, user: &str, ended: Ended, at: Micros) -> String {
    let line = Line { outcome: response.clone(), org: org.to_owned(), user: user.to_owned(), ended, at: at.0 };
    serde_json::to_string(&line).expect("strings and numbers always have a JSON form")
}

/// The record of such a line; `None` if it is another. `position` is its place among records of the same time.
pub fn parse_outcome(line: &str, position: u64) -> Option<ControlRecord> {
    let line = line.starts_with(START).then(|| serde_json::from_str::<Line>(line).ok())??;
    let Line { outcome: Id(key), org, user, ended, at } = line;
    Some(ControlRecord { at: Micros(at), position, org, key, value: ControlValue::Outcome(Settled { user, ended }) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::control::parse_control;

    #[test]
    fn the_line_comes_back_as_the_record_and_is_none_of_a_control_file() {
        let (id, at) = (Id("r1".into()), Micros::from_secs(1_767_225_600));
        for ended in [Ended::No, Ended::Unknown, Ended::AfterAll] {
            let line = outcome_line(&id, "E\"1", "U1", ended, at);
            let value = ControlValue::Outcome(Settled { user: "U1".into(), ended });
            let record = ControlRecord { at, position: 7, org: "E\"1".into(), key: "r1".into(), value };
            assert_eq!(parse_outcome(&line, 7), Some(record));
            assert!(parse_control(line.as_bytes(), 7).is_err(), "nobody sets it from outside");
        }
        assert_eq!(parse_outcome("{\"kind\":\"user\"}", 0), None);
        assert_eq!(parse_outcome("{\"outcome\":1}", 0), None);
    }
}
