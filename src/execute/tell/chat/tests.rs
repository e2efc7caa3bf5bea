//! Tests of `chat`.

use super::*;

fn reply(status: u16, body: &str) -> Reply {
    Reply { status, retry_after: None, body: Ok(body.as_bytes().to_vec()) }
}

fn of(reply: &Reply) -> Answer {
    answer("slack.com", reply, said(reply))
}

fn error(code: &str) -> Answer {
    of(&reply(200, &json!({"ok": false, "error": code}).to_string()))
}

#[test]
fn each_error_of_slack_is_not_done_refused_or_unknown() {
    assert_eq!(of(&reply(200, "{\"ok\":true,\"ts\":\"1.0\"}")), Answer::Done { detail: None });
    for code in ["ratelimited", "rate_limited"] {
        assert!(matches!(error(code), Answer::NotDone { retry_after: Some(PAUSE), .. }), "{code}");
    }
    for code in ["service_unavailable", "request_timeout", "team_added_to_org"] {
        assert!(matches!(error(code), Answer::NotDone { retry_after: None, .. }), "{code}");
    }
    for code in ["internal_error", "fatal_error"] {
        assert!(matches!(error(code), Answer::Unknown { repeatable: true, .. }), "{code}");
    }
    for code in
        ["user_not_found", "user_disabled", "messages_tab_disabled", "invalid_auth", "missing_scope", "is_archived"]
    {
        assert!(matches!(error(code), Answer::Refused { error } if error.contains(code)), "{code}");
    }
    assert!(matches!(error("xoxb-hunter2 <b>"), Answer::Refused { error } if !error.contains("hunter2")));
}

#[test]
fn a_status_says_when_to_come_again_or_that_it_is_not_known() {
    let asked = Reply { retry_after: Some(Duration::from_secs(7)), ..reply(429, "") };
    assert!(matches!(of(&asked), Answer::NotDone { retry_after: Some(wait), .. } if wait.as_secs() == 7));
    assert!(matches!(of(&reply(429, "")), Answer::NotDone { retry_after: Some(PAUSE), .. }));
    assert!(matches!(of(&reply(404, "")), Answer::Refused { .. }));
    assert!(matches!(of(&reply(302, "")), Answer::Refused { .. }));
    for unknown in [reply(500, ""), reply(200, "<html>"), reply(200, "")] {
        assert!(matches!(of(&unknown), Answer::Unknown { repeatable: true, .. }), "{unknown:?}");
        assert!(matches!(harmless(of(&unknown)), Answer::NotDone { .. }), "opening a conversation does nothing twice");
    }
}
