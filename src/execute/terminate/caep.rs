//! A receiver of security event tokens. Owned here: the token of a CAEP `session-revoked` event, by its interoperability
//! profile, its push by RFC 8935, and what the receiver's answer means. The response's id is the token's `jti` and the
//! token is the same at each attempt, so a repeat does no harm.

use super::super::answer::Answer;
use super::super::rest::Rests;
use super::reply::{of_failure, of_status};
use super::{Line, Times, secret_header};
use crate::secrets;
use crate::secrets::code;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use config::CaepSessions;
use connectors::http::post::Reply;
use connectors::sign::TokenKey;
use engine::error::Error;
use operators::respond::steps::EndSessions;
use serde::Deserialize;
use serde_json::json;

const EVENT: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

/// `typ` of a security event token.
const TYPE: &str = "secevent+jwt";

pub(super) struct Caep {
    line: Line,
    key: TokenKey,
    issuer: String,
    audience: String,
    authorization: Option<HeaderValue>,
    /// By org.
    rests: Rests,
}

impl Caep {
    pub(super) fn open(caep: &CaepSessions) -> Result<Self, Error> {
        let pem = secrets::read(&caep.key_file, "[sessions] key_file")?;
        let key = TokenKey::parse(pem.as_bytes(), &caep.key_id, TYPE)
            .map_err(|error| secrets::unusable(&caep.key_file, "[sessions] key_file", &error.to_string()))?;
        let setting = "[sessions] authorization_file";
        let authorization = caep.authorization.as_ref().map(|origin| {
            let text = secrets::reveal(origin, setting)?;
            secret_header(text.expose()).ok_or_else(|| Error::Invalid(format!("what {setting} holds is no header")))
        });
        Ok(Caep {
            line: Line::open(&caep.to)?,
            key,
            issuer: caep.issuer.clone(),
            audience: caep.audience.clone(),
            authorization: authorization.transpose()?,
            rests: Rests::default(),
        })
    }

    pub(super) fn end(&self, call: &EndSessions, times: Times) -> Result<Answer, Error> {
        let token = self.key.token(&claims(&self.issuer, &self.audience, call, times))?;
        Ok(self.rests.unless(&call.org, times.now_ms, || self.push(token)))
    }

    fn push(&self, token: String) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/secevent+jwt"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.extend(self.authorization.clone().map(|value| (AUTHORIZATION, value)));
        match self.line.post(headers, token) {
            Ok(reply) => answer(self.line.host(), &reply),
            Err(failure) => of_failure(self.line.host(), failure, true),
        }
    }
}

/// What the token says: all sessions of this user of this org ended, when they were first asked to.
fn claims(issuer: &str, audience: &str, call: &EndSessions, times: Times) -> String {
    let seconds = times.first_ms / 1_000;
    let event = json!({
        "event_timestamp": seconds,
        "initiating_entity": "policy",
        "reason_admin": { "en": format!("anomaly: {}", call.reasons.join(", ")) },
    });
    // Without a member `session` it is about every session of the user.
    let subject = json!({
        "format": "complex",
        "user": { "format": "iss_sub", "iss": issuer, "sub": call.user },
        "tenant": { "format": "opaque", "id": call.org },
    });
    let claims = json!({
        "iss": issuer,
        "aud": audience,
        "iat": seconds,
        "jti": call.idempotency_key,
        "txn": call.anomaly,
        "sub_id": subject,
        "events": { EVENT: event },
    });
    claims.to_string()
}

fn answer(host: &str, reply: &Reply) -> Answer {
    match reply.status {
        200..=299 => Answer::Done { detail: None },
        400 => Answer::Refused { error: refusal(host, reply) },
        _ => of_status(host, reply, true, |status| format!("{}, then retry", advice(status))),
    }
}

/// Why the receiver takes no such token, by its own code.
fn refusal(host: &str, reply: &Reply) -> String {
    #[derive(Deserialize)]
    struct Said {
        err: String,
    }
    let said = reply.body.as_deref().ok().and_then(|body| serde_json::from_slice(body).ok());
    let Some(Said { err }) = said else { return format!("{host} answers 400: {}, then retry", advice(400)) };
    let code = code(&err);
    let advice = match code {
        "invalid_key" => "see that it has the public key of [sessions] key_file under key_id",
        "invalid_issuer" => "set issuer in [sessions] to the one that it knows",
        "invalid_audience" => "set audience in [sessions] to what it is",
        "authentication_failed" | "access_denied" => advice(403),
        _ => advice(400),
    };
    format!("{host} answers 400 {code}: {advice}, then retry")
}

fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => "set authorization in [sessions] to what it asks for",
        404 | 405 | 410 => "set url in [sessions] to where it takes tokens",
        _ => "see in the receiver's log what it does not like",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, body: &str) -> Answer {
        answer("receiver", &Reply { status, retry_after: None, body: Ok(body.as_bytes().to_vec()) })
    }

    #[test]
    fn the_claims_are_those_of_the_profile_and_the_same_at_each_attempt() {
        let call = EndSessions {
            idempotency_key: "r1".to_owned(),
            org: "E1".to_owned(),
            user: "U1".to_owned(),
            anomaly: "a1".to_owned(),
            reasons: vec!["tor", "unexpected_scraping"],
            body: "{}".to_owned(),
        };
        let at = |now_ms| Times { now_ms, first_ms: 1_760_000_000_900, doubtful_since_ms: None };
        let text = claims("https://aerie.example", "https://receiver.example", &call, at(1_760_000_000_900));
        assert_eq!(text, claims("https://aerie.example", "https://receiver.example", &call, at(1_760_000_900_000)));
        let said: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = json!({
            "iss": "https://aerie.example", "aud": "https://receiver.example", "iat": 1_760_000_000, "jti": "r1",
            "txn": "a1",
            "sub_id": {
                "format": "complex",
                "user": {"format": "iss_sub", "iss": "https://aerie.example", "sub": "U1"},
                "tenant": {"format": "opaque", "id": "E1"},
            },
            "events": {
                "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {
                    "event_timestamp": 1_760_000_000, "initiating_entity": "policy",
                    "reason_admin": {"en": "anomaly: tor, unexpected_scraping"},
                }
            },
        });
        assert_eq!(said, expected);
    }

    #[test]
    fn each_code_of_a_refusal_says_what_to_do() {
        assert_eq!(said(202, ""), Answer::Done { detail: None });
        for (err, advice) in [
            ("invalid_request", "log"),
            ("invalid_key", "public key"),
            ("invalid_issuer", "issuer"),
            ("invalid_audience", "audience"),
            ("authentication_failed", "authorization"),
            ("access_denied", "authorization"),
            ("invalid_state", "log"),
        ] {
            let body = json!({ "err": err, "description": "Bearer hunter2" }).to_string();
            let Answer::Refused { error } = said(400, &body) else { panic!("{err}") };
            assert!(error.starts_with(&format!("receiver answers 400 {err}: ")) && error.contains(advice), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        for (status, body) in [(400, "hunter2"), (401, "hunter2"), (404, "hunter2"), (413, "hunter2"), (301, "hunter2")]
        {
            let Answer::Refused { error } = said(status, body) else { panic!("{status}") };
            assert!(error.contains(&status.to_string()) && !error.contains("hunter2"), "{error}");
        }
        for status in [409, 500, 502, 504] {
            assert!(matches!(said(status, ""), Answer::Unknown { repeatable: true, .. }), "{status}");
        }
        for status in [429, 503] {
            assert!(matches!(said(status, ""), Answer::NotDone { .. }), "{status}");
        }
    }
}
