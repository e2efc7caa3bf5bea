//! Tests of `slack`: every kind of error, and whose token is used.

use super::*;

fn said(status: u16, body: &str) -> Answer {
    answer("slack.com", &Reply { status, retry_after: None, body: Ok(body.as_bytes().to_vec()) })
}

fn error(code: &str) -> Answer {
    said(200, &serde_json::json!({ "ok": false, "error": code }).to_string())
}

#[test]
fn each_error_is_done_not_done_refused_or_unknown() {
    assert_eq!(said(200, r#"{"ok":true,"warning":"x"}"#), Answer::Done { detail: None });
    for code in ["ratelimited", "rate_limited"] {
        assert!(matches!(error(code), Answer::NotDone { retry_after: Some(PAUSE), .. }), "{code}");
    }
    for code in ["service_unavailable", "team_added_to_org", "request_timeout", "user_session_reset_failed"] {
        assert!(matches!(error(code), Answer::NotDone { retry_after: None, .. }), "{code}");
    }
    for code in ["internal_error", "fatal_error"] {
        assert!(matches!(error(code), Answer::Unknown { repeatable: false, .. }), "{code}");
    }
    for (code, advice) in [
        ("cannot_reset_primary_owner", "only the Primary Owner"),
        ("session_reset_not_allowed", "only the Primary Owner"),
        ("cannot_reset_bot", "a bot"),
        ("user_not_found", "no such user"),
        ("not_allowed", "an owner of the org"),
        ("not_an_admin", "an owner of the org"),
        ("missing_scope", "admin.users:write"),
        ("not_allowed_token_type", "admin.users:write"),
        ("invalid_auth", "a token that is valid"),
        ("token_revoked", "a token that is valid"),
        ("account_inactive", "a token that is valid"),
        ("feature_not_enabled", "Enterprise orgs only"),
        ("accesslimited", "this network"),
        ("invented_by_slack_tomorrow", "Slack's page"),
    ] {
        let Answer::Refused { error } = error(code) else { panic!("{code}") };
        assert!(error.starts_with(&format!("slack.com answers {code}: ")) && error.contains(advice), "{error}");
    }
}

#[test]
fn what_is_no_answer_of_slack_leaves_it_unknown_and_says_nothing_of_itself() {
    for body in ["", "<html>xoxp-1</html>", "[]", "{}", r#"{"ok":"yes"}"#] {
        let Answer::Unknown { error, repeatable: false } = said(200, body) else { panic!("{body}") };
        assert!(!error.contains("xoxp"), "{error}");
    }
    let Answer::Refused { error } = error("your token is xoxp-1\u{1b}[31m") else { panic!() };
    assert!(error.contains("answers other:") && !error.contains("xoxp"), "{error}");
    let cut = Reply { status: 200, retry_after: None, body: Err("it hangs".to_owned()) };
    assert!(matches!(answer("slack.com", &cut), Answer::Unknown { repeatable: false, .. }));
    for status in [500, 502, 504, 600] {
        assert!(matches!(said(status, ""), Answer::Unknown { repeatable: false, .. }), "{status}");
    }
    assert!(matches!(said(503, ""), Answer::NotDone { .. }));
    assert!(matches!(said(429, ""), Answer::NotDone { retry_after: Some(PAUSE), .. }));
    for status in [302, 400, 404, 409] {
        assert!(matches!(said(status, ""), Answer::Refused { .. }), "{status}");
    }
}

#[test]
fn there_is_one_token_or_one_for_each_org() {
    let whose = |text: &str, org: &str| {
        let tokens = Tokens::parse(text).unwrap_or_else(|rule| panic!("{rule}"));
        tokens.of(org).map(|(token, holder)| (token.to_str().unwrap().to_owned(), holder.to_owned()))
    };
    let token = |token: &str, holder: &str| Some((format!("Bearer {token}"), holder.to_owned()));
    assert_eq!(whose("xoxp-1\n", "E1"), token("xoxp-1", ""));
    assert_eq!(whose("E1 xoxp-1\nE2\txoxp-2", "E2"), token("xoxp-2", "E2"));
    assert_eq!(whose("E1 xoxp-1\nE2 xoxp-2", "E3"), None);
    for bad in ["", "E1 xoxp-1 E2", "E1 xoxp-1 E1 xoxp-2", "xoxp-\u{7f}"] {
        let told = Tokens::parse(bad).err().unwrap_or_else(|| panic!("{bad:?}"));
        assert!(!told.contains("xoxp"), "{told}");
    }
}
