//! Direct messages by Slack's Web API: `conversations.open`, then `chat.postMessage`. Owned here: these calls, and what
//! Slack's errors mean for a message. Slack knows no idempotency keys. A message carries its id as metadata, and after an
//! attempt that may have happened the conversation is searched for it, if the token's scopes allow that; if not, a
//! message may come twice rather than not at all.

use super::super::answer::Answer;
use super::super::rest::Rests;
use super::super::terminate::reply::{of_failure, of_status};
use super::super::terminate::slack::{PAUSE, Tokens};
use super::super::terminate::{Line, Times};
use crate::secrets::code;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use connectors::http::post::Reply;
use engine::error::Error;
use operators::respond::steps::Dm;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use url::form_urlencoded::Serializer;

/// From a call to the end of its answer: all calls of an attempt end within its lease.
const TIMEOUT: Duration = Duration::from_secs(8);

/// How long before an attempt that may have happened its message is searched for, as far as clocks differ.
const CLOCKS_SECS: u64 = 300;

/// What the id of a message stands under in its metadata.
const EVENT_TYPE: &str = "aerie_message";

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

pub(super) struct Chat {
    open: Line,
    search: Line,
    post: Line,
    tokens: Tokens,
    /// By token.
    rests: Rests,
}

/// What is read of an answer.
#[derive(Default, Deserialize)]
struct Said {
    ok: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    messages: Vec<Post>,
}

#[derive(Deserialize)]
struct Opened {
    channel: Channel,
}

#[derive(Deserialize)]
struct Channel {
    id: String,
}

#[derive(Deserialize)]
struct Post {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    event_type: String,
    #[serde(default)]
    event_payload: serde_json::Value,
}

impl Chat {
    pub(super) fn open(chat: &config::Chat) -> Result<Self, Error> {
        let line = |method| Line::within(&chat.to.below(method), TIMEOUT);
        Ok(Chat {
            open: line("conversations.open")?,
            search: line("conversations.history")?,
            post: line("chat.postMessage")?,
            tokens: Tokens::open(&chat.token, "[chat] token_file")?,
            rests: Rests::default(),
        })
    }

    /// Sends a message, if it still `may` be when its conversation is open.
    pub(super) fn send(&self, dm: &Dm, text: &str, times: Times, may: &dyn Fn() -> bool) -> Answer {
        let Some((token, holder)) = self.tokens.of(&dm.org) else {
            let org = &dm.org;
            let error = format!("there is no token for org {org}: add one to [chat] token_file, start again and retry");
            return Answer::Refused { error };
        };
        // With several, a conversation of all of them would be opened.
        if dm.to.contains(|c: char| c == ',' || c.is_whitespace()) {
            return Answer::Refused { error: "the directory names more than one account for one person".to_owned() };
        }
        self.rests.unless(holder, times.now_ms, || self.tell(token, (dm, text), times, may))
    }

    fn tell(&self, token: &HeaderValue, (dm, text): (&Dm, &str), times: Times, may: &dyn Fn() -> bool) -> Answer {
        let opened = self.open.post(headers(token, JSON), json!({ "users": dm.to }).to_string());
        let channel = match opened.map(|reply| (said(&reply), reply)) {
            Ok((Some(Said { ok: true, .. }), reply)) => channel(&reply),
            Ok((said, reply)) => return harmless(answer(self.open.host(), &reply, said)),
            Err(failure) => return harmless(of_failure(self.open.host(), failure, true)),
        };
        let Some(channel) = channel else {
            return Answer::NotDone { error: format!("{} names no conversation", self.open.host()), retry_after: None };
        };
        if times.doubtful_since_ms.is_some_and(|since_ms| self.is_there(token, &channel, &dm.id, since_ms)) {
            return Answer::Done { detail: Some("it was there already".to_owned()) };
        }
        if !may() {
            return Answer::NotTried { wait: Duration::ZERO };
        }
        let body = json!({
            "channel": channel,
            "text": text,
            "mrkdwn": false,
            "parse": "none",
            "link_names": false,
            "unfurl_links": false,
            "unfurl_media": false,
            "metadata": { "event_type": EVENT_TYPE, "event_payload": { "id": dm.id } },
        });
        match self.post.post(headers(token, JSON), body.to_string()) {
            Ok(reply) => answer(self.post.host(), &reply, said(&reply)),
            Err(failure) => of_failure(self.post.host(), failure, true),
        }
    }

    /// Whether the conversation has the message. No, if that cannot be found out.
    fn is_there(&self, token: &HeaderValue, channel: &str, id: &str, since_ms: u64) -> bool {
        let oldest = (since_ms / 1_000).saturating_sub(CLOCKS_SECS).to_string();
        let mut form = Serializer::new(String::new());
        form.extend_pairs([
            ("channel", channel),
            ("oldest", &oldest),
            ("include_all_metadata", "true"),
            ("limit", "100"),
        ]);
        let found = self.search.post(headers(token, FORM), form.finish()).ok().and_then(|reply| said(&reply));
        let is_it = |post: &Post| post.metadata.event_type == EVENT_TYPE && post.metadata.event_payload["id"] == id;
        found.is_some_and(|said| said.ok && said.messages.iter().any(is_it))
    }
}

fn headers(token: &HeaderValue, kind: HeaderValue) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, token.clone()), (CONTENT_TYPE, kind)])
}

fn said(reply: &Reply) -> Option<Said> {
    reply.body.as_deref().ok().and_then(|body| serde_json::from_slice(body).ok())
}

fn channel(reply: &Reply) -> Option<String> {
    let opened: Option<Opened> = reply.body.as_deref().ok().and_then(|body| serde_json::from_slice(body).ok());
    opened.map(|opened| opened.channel.id)
}

/// An answer to a call that may be repeated at will.
fn harmless(answer: Answer) -> Answer {
    match answer {
        Answer::Unknown { error, .. } => Answer::NotDone { error, retry_after: None },
        answer => answer,
    }
}

/// What an answer means for a message.
fn answer(host: &str, reply: &Reply, said: Option<Said>) -> Answer {
    if reply.status == 429 {
        let error = format!("{host} answers 429: it is asked too often");
        return Answer::NotDone { error, retry_after: Some(reply.retry_after.unwrap_or(PAUSE)) };
    }
    if reply.status != 200 {
        let advice = "set url in [chat] to that of Slack's Web API, then retry";
        return of_status(host, reply, true, |_| advice.to_owned());
    }
    match said {
        Some(Said { ok: true, .. }) => Answer::Done { detail: None },
        Some(Said { error, .. }) => of_error(host, code(&error), reply.retry_after),
        None => {
            Answer::Unknown { error: format!("{host} answers 200 with what is no answer of Slack"), repeatable: true }
        }
    }
}

/// What an error of Slack means for a message.
fn of_error(host: &str, code: &str, retry_after: Option<Duration>) -> Answer {
    let error = format!("{host} answers {code}");
    let refused = |advice: &str| Answer::Refused { error: format!("{error}: {advice}") };
    match code {
        "ratelimited" | "rate_limited" => Answer::NotDone { error, retry_after: Some(retry_after.unwrap_or(PAUSE)) },
        "service_unavailable" | "team_added_to_org" | "request_timeout" => Answer::NotDone { error, retry_after },
        // By Slack's own words some of it may have succeeded.
        "internal_error" | "fatal_error" => Answer::Unknown { error, repeatable: true },
        "user_not_found" | "users_not_found" | "user_not_visible" | "user_disabled" | "channel_not_found" => {
            refused("the token's org has no such member: see that the directory names their account")
        }
        "messages_tab_disabled" => refused("the app takes no messages: switch its messages tab on"),
        "invalid_auth" | "not_authed" | "account_inactive" | "token_revoked" | "token_expired" => {
            refused("set a token that is valid, start again and retry")
        }
        "missing_scope" | "not_allowed_token_type" | "no_permission" | "access_denied" | "restricted_action" => {
            refused("the token has to be a bot's with im:write and chat:write")
        }
        _ => refused("see what Slack's page on chat.postMessage says of it, then retry"),
    }
}

#[cfg(test)]
mod tests;
