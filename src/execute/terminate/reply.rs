//! What an HTTP answer means for a call that ends sessions, where its status says all that there is to say. Owned here:
//! that table, and how little of an answer is shown. Not owned here: what a receiver's own words mean.

use super::super::answer::Answer;
use connectors::http::post::{Failure, Reply};

/// Most characters of an answer's own words in a message.
const SHOWN_CHARS: usize = 200;

/// What an answer other than 2xx means. `repeatable` says whether a repeat does no harm, `advice` what to do when the
/// receiver refuses with a status.
pub(in crate::execute) fn of_status(
    host: &str,
    reply: &Reply,
    repeatable: bool,
    advice: impl Fn(u16) -> String,
) -> Answer {
    let Reply { status, retry_after, .. } = *reply;
    match status {
        // It did not get to it, and says so.
        408 | 425 | 429 | 503 => Answer::NotDone { error: format!("{host} answers {status}"), retry_after },
        // It is at it still, as an earlier attempt has asked.
        409 if repeatable => {
            Answer::Unknown { error: format!("{host} answers 409: it may be at it still"), repeatable }
        }
        300..=399 => {
            let advice = "redirects are not followed: set url in [sessions] to where it leads";
            Answer::Refused { error: format!("{host} answers {status}, and {advice}") }
        }
        400..=499 => Answer::Refused { error: format!("{host} answers {status}: {}", advice(status)) },
        // Something broke, perhaps after the fact.
        _ => Answer::Unknown { error: format!("{host} answers {status}"), repeatable },
    }
}

/// What it means that there is no answer.
pub(in crate::execute) fn of_failure(host: &str, failure: Failure, repeatable: bool) -> Answer {
    match failure {
        Failure::NotSent(why) => Answer::NotDone { error: format!("{host} was not reached: {why}"), retry_after: None },
        Failure::NoAnswer(why) => Answer::Unknown { error: format!("{host} gave no answer: {why}"), repeatable },
    }
}

/// The beginning of an answer's own words, if there are any, escaped. Not for who is sent a token: it could repeat it.
pub(super) fn words(reply: &Reply) -> String {
    let text = String::from_utf8_lossy(reply.body.as_deref().unwrap_or_default());
    let words: String = text.trim().chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect();
    if words.is_empty() { words } else { format!("`{words}`; ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::code;
    use std::time::Duration;

    fn answer(status: u16, repeatable: bool) -> Answer {
        let reply = Reply { status, retry_after: Some(Duration::from_secs(9)), body: Ok(Vec::new()) };
        of_status("receiver", &reply, repeatable, |status| format!("what to do at {status}"))
    }

    #[test]
    fn each_status_is_not_done_refused_or_unknown() {
        for status in [408, 425, 429, 503] {
            let answer = answer(status, false);
            assert!(
                matches!(answer, Answer::NotDone { retry_after: Some(wait), .. } if wait.as_secs() == 9),
                "{status}"
            );
        }
        for status in [300, 301, 302, 303, 307, 308] {
            assert!(
                matches!(answer(status, true), Answer::Refused { error } if error.contains("not followed")),
                "{status}"
            );
        }
        for status in [400, 401, 402, 403, 404, 405, 410, 413, 415, 418, 422, 451, 499] {
            assert!(
                matches!(answer(status, true), Answer::Refused { error } if error.contains("what to do")),
                "{status}"
            );
        }
        for status in [101, 199, 500, 501, 502, 504, 599, 600, 999] {
            for repeatable in [true, false] {
                let Answer::Unknown { repeatable: may, .. } = answer(status, repeatable) else { panic!("{status}") };
                assert_eq!(may, repeatable);
            }
        }
        assert!(matches!(answer(409, true), Answer::Unknown { repeatable: true, .. }));
        assert!(matches!(answer(409, false), Answer::Refused { .. }));
    }

    #[test]
    fn a_request_that_was_not_sent_did_not_happen_and_one_without_an_answer_may_have() {
        let not_sent = of_failure("receiver", Failure::NotSent("refused".to_owned()), false);
        assert!(matches!(not_sent, Answer::NotDone { retry_after: None, .. }));
        let unanswered = of_failure("receiver", Failure::NoAnswer("reset".to_owned()), false);
        assert!(matches!(unanswered, Answer::Unknown { repeatable: false, .. }));
    }

    #[test]
    fn little_is_shown_of_an_answer_and_escaped() {
        let said = |body: &[u8]| words(&Reply { status: 400, retry_after: None, body: Ok(body.to_vec()) });
        assert_eq!(said(b" no such user\n"), "`no such user`; ");
        assert_eq!(said(b"\x1b[31m\r\nX: y\xff"), "`\\u{1b}[31m\\r\\nX: y\u{fffd}`; ");
        assert!(said(&[b'x'; 60_000]).len() < 210);
        assert_eq!(said(b""), "");
        assert_eq!(
            ["invalid_key", "", "Bearer x", "a\n", &"x".repeat(65)].map(code),
            ["invalid_key", "other", "other", "other", "other"]
        );
    }
}
