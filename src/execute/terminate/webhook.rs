//! A receiver of one's own. Owned here: the call, signed as Standard Webhooks are, and what the receiver's answer
//! means. The response's id is the call's id and its idempotency key, so a repeat does no harm.

use super::super::answer::Answer;
use super::super::rest::Rests;
use super::reply::{of_failure, of_status, words};
use super::{Line, Times};
use crate::secrets;
use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use config::WebhookSessions;
use connectors::http::post::Reply;
use connectors::sign::WebhookKeys;
use engine::error::Error;
use operators::respond::steps::EndSessions;
use serde::Deserialize;

pub(super) struct Webhook {
    line: Line,
    keys: WebhookKeys,
    /// By org: of one that is too busy for it, others need not hear.
    rests: Rests,
}

impl Webhook {
    pub(super) fn open(webhook: &WebhookSessions) -> Result<Self, Error> {
        let setting = "[sessions] secret_file";
        let secret = secrets::reveal(&webhook.secret, setting)?;
        let keys = WebhookKeys::parse(secret.expose())
            .map_err(|rule| Error::Invalid(format!("the secret of {setting} {rule}")))?;
        Ok(Webhook { line: Line::open(&webhook.to)?, keys, rests: Rests::default() })
    }

    pub(super) fn end(&self, call: &EndSessions, times: Times) -> Answer {
        self.rests.unless(&call.org, times.now_ms, || self.post(call, times))
    }

    fn post(&self, call: &EndSessions, times: Times) -> Answer {
        let (id, seconds) = (call.idempotency_key.as_str(), times.now_ms / 1_000);
        let text = |text: &str| HeaderValue::from_str(text).expect("ids, numbers and base64 are plain text");
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("idempotency-key", text(id));
        headers.insert("webhook-id", text(id));
        headers.insert("webhook-timestamp", HeaderValue::from(seconds));
        headers.insert("webhook-signature", text(&self.keys.sign(id, seconds, &call.body)));
        match self.line.post(headers, call.body.clone()) {
            Ok(reply) => answer(self.line.host(), &reply),
            Err(failure) => of_failure(self.line.host(), failure, true),
        }
    }
}

fn answer(host: &str, reply: &Reply) -> Answer {
    match reply.status {
        200..=299 => Answer::Done { detail: ended(reply) },
        _ => of_status(host, reply, true, |status| format!("{}{}", words(reply), advice(status))),
    }
}

/// How many sessions were ended, if the receiver says so.
fn ended(reply: &Reply) -> Option<String> {
    #[derive(Deserialize)]
    struct Said {
        sessions_ended: u64,
    }
    let body = reply.body.as_deref().ok()?;
    serde_json::from_slice(body).ok().map(|Said { sessions_ended }| sessions_ended.to_string())
}

fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => "see that both sides have the same secret, and clocks that agree, then retry",
        404 | 405 => "set url in [sessions] to where sessions are ended, then retry",
        410 => "it wants no more calls: set another receiver in [sessions], then retry",
        _ => "see in the receiver's log what it does not like, then retry",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_taken_from_a_whole_answer_only() {
        let reply = |body: Result<&str, &str>| {
            let body = body.map(|text| text.as_bytes().to_vec()).map_err(str::to_owned);
            ended(&Reply { status: 200, retry_after: None, body })
        };
        assert_eq!(reply(Ok(r#"{"sessions_ended":3,"more":[]}"#)).as_deref(), Some("3"));
        for none in [
            "",
            "ok",
            "{}",
            "[]",
            r#"{"sessions_ended":-1}"#,
            r#"{"sessions_ended":"3"}"#,
            r#"{"sessions_ended":null}"#,
        ] {
            assert_eq!(reply(Ok(none)), None, "{none}");
        }
        assert_eq!(reply(Err("cut off")), None);
    }
}
