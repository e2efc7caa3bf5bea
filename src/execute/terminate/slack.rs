//! Slack's Web API. Owned here: the call of `admin.users.session.reset`, whose token is used for which org, and what
//! Slack's errors mean. Slack knows no idempotency keys: a repeat would end the sessions that the user has begun since,
//! so what may have happened is not repeated for long.

use super::super::answer::{Answer, REPEAT_WITHIN_MS};
use super::super::rest::Rests;
use super::reply::{of_failure, of_status};
use super::{Line, Times, secret_header};
use crate::secrets;
use crate::secrets::code;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use config::{KeyOrigin, SlackSessions};
use connectors::http::post::Reply;
use engine::error::Error;
use operators::respond::steps::EndSessions;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

const METHOD: &str = "admin.users.session.reset";

/// How long Slack is left alone when it says that it is asked too often, and not for how long it will be.
pub(in crate::execute) const PAUSE: Duration = Duration::from_secs(30);

pub(super) struct Slack {
    line: Line,
    tokens: Tokens,
    /// By token: Slack counts calls by method and token.
    rests: Rests,
}

/// Whose token is used.
pub(in crate::execute) enum Tokens {
    One(HeaderValue),
    ByOrg(BTreeMap<String, HeaderValue>),
}

impl Tokens {
    /// Those that a setting names the file of.
    pub(in crate::execute) fn open(origin: &KeyOrigin, setting: &str) -> Result<Self, Error> {
        let token = secrets::reveal(origin, setting)?;
        Tokens::parse(token.expose()).map_err(|rule| Error::Invalid(format!("the token of {setting} {rule}")))
    }

    /// One token, or org and token by turns.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let bearer = |token: &str| secret_header(&format!("Bearer {token}")).ok_or("holds what is no token");
        let words: Vec<&str> = text.split_whitespace().collect();
        if let [token] = words[..] {
            return bearer(token).map(Tokens::One);
        }
        let (pairs @ [_, ..], []) = words.as_chunks::<2>() else {
            return Err("must be one token, or the id of an org and its token by turns");
        };
        let pair = |[org, token]: &[&str; 2]| bearer(token).map(|token| ((*org).to_owned(), token));
        let tokens = pairs.iter().map(pair).collect::<Result<BTreeMap<_, _>, _>>()?;
        match tokens.len() == pairs.len() {
            true => Ok(Tokens::ByOrg(tokens)),
            false => Err("names an org twice"),
        }
    }

    /// The token of an org, and whose it is.
    pub(in crate::execute) fn of(&self, org: &str) -> Option<(&HeaderValue, &str)> {
        match self {
            Tokens::One(token) => Some((token, "")),
            Tokens::ByOrg(tokens) => tokens.get_key_value(org).map(|(org, token)| (token, org.as_str())),
        }
    }
}

impl Slack {
    pub(super) fn open(slack: &SlackSessions) -> Result<Self, Error> {
        let tokens = Tokens::open(&slack.token, "[sessions] token_file")?;
        Ok(Slack { line: Line::open(&slack.to.below(METHOD))?, tokens, rests: Rests::default() })
    }

    pub(super) fn end(&self, call: &EndSessions, times: Times) -> Answer {
        if times.doubtful_since_ms.is_some_and(|since| times.now_ms > since + REPEAT_WITHIN_MS) {
            let error = "an attempt may have happened too long ago to be repeated, since that would end what the user \
                         has begun since: see in Slack whether they were signed out, and retry if not";
            return Answer::Unknown { error: error.to_owned(), repeatable: false };
        }
        let Some((token, holder)) = self.tokens.of(&call.org) else {
            let error = format!(
                "there is no token for org {}: add one to [sessions] token_file, start again and retry",
                call.org
            );
            return Answer::Refused { error };
        };
        self.rests.unless(holder, times.now_ms, || {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, token.clone());
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
            match self.line.post(headers, serde_json::json!({ "user_id": call.user }).to_string()) {
                Ok(reply) => answer(self.line.host(), &reply),
                Err(failure) => of_failure(self.line.host(), failure, false),
            }
        })
    }
}

fn answer(host: &str, reply: &Reply) -> Answer {
    #[derive(Deserialize)]
    struct Said {
        ok: bool,
        #[serde(default)]
        error: String,
    }
    if reply.status == 429 {
        let error = format!("{host} answers 429: it is asked too often");
        return Answer::NotDone { error, retry_after: Some(reply.retry_after.unwrap_or(PAUSE)) };
    }
    if reply.status != 200 {
        let advice = "set url in [sessions] to that of Slack's Web API, then retry";
        return of_status(host, reply, false, |_| advice.to_owned());
    }
    let said = reply.body.as_deref().ok().and_then(|body| serde_json::from_slice(body).ok());
    match said {
        Some(Said { ok: true, .. }) => Answer::Done { detail: None },
        Some(Said { error, .. }) => of_error(host, code(&error), reply.retry_after),
        None => {
            Answer::Unknown { error: format!("{host} answers 200 with what is no answer of Slack"), repeatable: false }
        }
    }
}

/// What an error of Slack means.
fn of_error(host: &str, code: &str, retry_after: Option<Duration>) -> Answer {
    let error = format!("{host} answers {code}");
    let refused = |advice: &str| Answer::Refused { error: format!("{error}: {advice}") };
    match code {
        "ratelimited" | "rate_limited" => Answer::NotDone { error, retry_after: Some(retry_after.unwrap_or(PAUSE)) },
        "service_unavailable" | "team_added_to_org" | "request_timeout" | "user_session_reset_failed" => {
            Answer::NotDone { error, retry_after }
        }
        // By Slack's own words some of it may have succeeded.
        "internal_error" | "fatal_error" => Answer::Unknown { error, repeatable: false },
        "cannot_reset_primary_owner" | "session_reset_not_allowed" => refused(
            "only the Primary Owner can end the Primary Owner's sessions: end them by hand, or use a token of theirs",
        ),
        "cannot_reset_bot" => refused("it is a bot, which has no sessions"),
        "user_not_found" | "users_not_found" => {
            refused("the token's org has no such user: see in [sessions] token_file that the org has its own token")
        }
        "not_allowed"
        | "not_an_admin"
        | "no_permission"
        | "missing_scope"
        | "access_denied"
        | "restricted_action"
        | "not_allowed_token_type"
        | "org_login_required"
        | "team_access_not_granted" => {
            refused("the token has to be of an owner of the org, installed on the org, with admin.users:write")
        }
        "invalid_auth" | "not_authed" | "account_inactive" | "token_revoked" | "token_expired" => {
            refused("set a token that is valid, start again and retry")
        }
        "feature_not_enabled" | "enterprise_is_restricted" => refused("Slack offers this to Enterprise orgs only"),
        "accesslimited" => refused("Slack lets this network not in: allow it in the org's settings, then retry"),
        _ => refused("see what Slack's page on admin.users.session.reset says of it, then retry"),
    }
}

#[cfg(test)]
mod tests;
