//! What an answer of Slack's Audit Logs API means. Owned here: which statuses and codes can be waited out, for how long,
//! and what an admin has to do about the others. Nothing of an answer is shown but its code: it could repeat the token.

use super::page::{Said, read};
use crate::secrets::code;
use connectors::http::Lost;
use connectors::http::post::{Failure, Got, WAIT_MAX as PAUSE_MAX};
use connectors::pages::{Page, Window};
use std::time::Duration;

/// How long Slack is left alone when it says that it is asked too often, and not for how long it will be.
const PAUSE: Duration = Duration::from_secs(30);

/// What came of asking, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A page came.
    Answered,
    /// Slack says that it is asked too often.
    RateLimited,
    /// Slack says no.
    Refused,
    /// What came is no page.
    Malformed,
    /// The page had more bytes than one may have.
    TooLarge,
    /// The cursor was good no more.
    Expired,
    /// There was no answer, or none that is whole, or Slack says that it cannot.
    Unavailable,
}

impl Outcome {
    /// All of them, and how they are called.
    pub const NAMES: [(Outcome, &'static str); 7] = [
        (Outcome::Answered, "answered"),
        (Outcome::RateLimited, "rate_limited"),
        (Outcome::Refused, "refused"),
        (Outcome::Malformed, "malformed"),
        (Outcome::TooLarge, "too_large"),
        (Outcome::Expired, "expired"),
        (Outcome::Unavailable, "unavailable"),
    ];
}

/// What an answer is for the one who asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A page.
    Page(Page),
    /// Fewer entries are to be asked for at once.
    TooLarge,
    /// The pages after this one can be had no more.
    Expired,
    /// The same is to be asked again later.
    Wait(Wait),
}

/// Why to ask again later.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) outcome: Outcome,
    pub(super) why: String,
    /// How long Slack wants to be left alone.
    pub(super) pause: Option<Duration>,
}

impl Heard {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Heard::Page(_) => Outcome::Answered,
            Heard::TooLarge => Outcome::TooLarge,
            Heard::Expired => Outcome::Expired,
            Heard::Wait(wait) => wait.outcome,
        }
    }
}

/// What the answer to a window means; `paged` says whether a cursor was sent along.
pub(super) fn hear(answer: Result<Got, Failure>, window: Window, paged: bool) -> Heard {
    let unavailable = |why: String, pause| Heard::Wait(Wait { outcome: Outcome::Unavailable, why, pause });
    let got = match answer {
        Ok(got) => got,
        Err(Failure::NotSent(why)) => return unavailable(format!("it was not reached: {why}"), None),
        Err(Failure::NoAnswer(why)) => return unavailable(format!("it gave no answer: {why}"), None),
    };
    let status = got.status;
    let pause = got.retry_after.map(|pause| pause.min(PAUSE_MAX));
    match (status, got.body) {
        (429, _) => rate_limited(format!("it answers {status}: it is asked too often"), pause),
        (500.., _) | (..200, _) => unavailable(format!("it answers {status}"), pause),
        (300..400, _) => {
            refused(format!("it answers {status}, and redirects are not followed: set url to where it leads"))
        }
        (200, Err(Lost::TooLarge)) => Heard::TooLarge,
        (_, Err(Lost::TooLarge)) => unavailable(format!("it answers {status} without an end"), pause),
        (_, Err(Lost::Broken(why))) => unavailable(format!("its answer {status} is not whole: {why}"), pause),
        (_, Ok(body)) => match read(&body, window.from) {
            Said::Page(page) if status == 200 => Heard::Page(page),
            Said::Error(text) => of_error(code(&text), pause, paged),
            Said::Nothing if status == 200 => {
                let why = "it answers 200 with what is no page of an audit log".to_owned();
                Heard::Wait(Wait { outcome: Outcome::Malformed, why, pause })
            }
            Said::Page(_) | Said::Nothing => refused(format!("it answers {status}: see that url is right")),
        },
    }
}

fn rate_limited(why: String, pause: Option<Duration>) -> Heard {
    Heard::Wait(Wait { outcome: Outcome::RateLimited, why, pause: Some(pause.unwrap_or(PAUSE)) })
}

fn refused(why: String) -> Heard {
    Heard::Wait(Wait { outcome: Outcome::Refused, why, pause: None })
}

/// What a code of Slack's means.
fn of_error(code: &str, pause: Option<Duration>, paged: bool) -> Heard {
    let advice = match code {
        "invalid_cursor" if paged => return Heard::Expired,
        "rate_limited" | "ratelimited" => return rate_limited(format!("it answers {code}"), pause),
        "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" => {
            let why = format!("it answers {code}");
            return Heard::Wait(Wait { outcome: Outcome::Unavailable, why, pause });
        }
        "invalid_authentication"
        | "missing_authentication"
        | "invalid_auth"
        | "not_authed"
        | "token_revoked"
        | "token_expired"
        | "account_inactive" => "set a token that is valid and start again",
        "user_not_authorized" | "team_not_authorized" | "invalid_workspace" | "missing_scope" | "no_permission" => {
            "the token has to be of an owner of the org, installed on the org, with auditlogs:read"
        }
        "feature_not_enabled" => "Slack offers this to Enterprise orgs only",
        _ => "see what Slack's page on the Audit Logs API says of it",
    };
    refused(format!("it answers {code}: {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { from: 100, to: 200 };

    fn got(status: u16, body: &str) -> Result<Got, Failure> {
        Ok(Got { status, retry_after: None, body: Ok(body.as_bytes().to_vec()) })
    }

    fn outcome(answer: Result<Got, Failure>, paged: bool) -> Outcome {
        hear(answer, WINDOW, paged).outcome()
    }

    #[test]
    fn each_answer_is_a_page_or_a_reason_to_wait() {
        use Outcome::{Answered, Expired, Malformed, RateLimited, Refused, Unavailable};
        for (status, body, expected) in [
            (200, r#"{"entries":[]}"#, Answered),
            (200, "<html>", Malformed),
            (200, r#"{"ok":false,"error":"ratelimited"}"#, RateLimited),
            (200, r#"{"ok":false,"error":"internal_error"}"#, Unavailable),
            (429, "", RateLimited),
            (400, r#"{"ok":false,"error":"invalid_cursor"}"#, Expired),
            (401, r#"{"ok":false,"error":"invalid_authentication"}"#, Refused),
            (403, r#"{"ok":false,"error":"Bearer xoxp-hunter2"}"#, Refused),
            (404, "not here", Refused),
            (404, r#"{"entries":[]}"#, Refused),
            (302, "", Refused),
            (500, r#"{"entries":[]}"#, Unavailable),
            (503, "", Unavailable),
            (999, "", Unavailable),
            (101, "", Unavailable),
        ] {
            assert_eq!(outcome(got(status, body), true), expected, "{status} {body}");
        }
        assert_eq!(outcome(got(400, r#"{"error":"invalid_cursor"}"#), false), Refused, "none was sent");
        let lost = |status, lost| Ok(Got { status, retry_after: None, body: Err(lost) });
        assert_eq!(outcome(lost(200, Lost::TooLarge), false), Outcome::TooLarge);
        assert_eq!(outcome(lost(404, Lost::TooLarge), false), Unavailable);
        assert_eq!(outcome(lost(200, Lost::Broken("timed out".to_owned())), false), Unavailable);
        assert_eq!(outcome(Err(Failure::NotSent("refused".to_owned())), false), Unavailable);
        assert_eq!(outcome(Err(Failure::NoAnswer("reset".to_owned())), false), Unavailable);
    }

    #[test]
    fn nothing_is_shown_of_what_slack_says_but_a_code() {
        let Heard::Wait(wait) = hear(got(403, r#"{"error":"Bearer xoxp-hunter2"}"#), WINDOW, false) else { panic!() };
        assert!(wait.why.contains("it answers other") && !wait.why.contains("hunter2"), "{}", wait.why);
    }

    #[test]
    fn it_is_waited_as_long_as_slack_asks_for_within_reason() {
        let pause = |status, retry_after: Option<u64>| {
            let retry_after = retry_after.map(Duration::from_secs);
            match hear(Ok(Got { status, retry_after, body: Ok(Vec::new()) }), WINDOW, false) {
                Heard::Wait(wait) => wait.pause,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(pause(429, Some(7)), Some(Duration::from_secs(7)));
        assert_eq!(pause(429, None), Some(PAUSE));
        assert_eq!(pause(429, Some(86_400)), Some(PAUSE_MAX));
        assert_eq!((pause(503, Some(3)), pause(503, None)), (Some(Duration::from_secs(3)), None));
    }
}
