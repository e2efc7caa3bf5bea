//! `[sessions]`: who is asked to end sessions.

use crate::destinations::destination;
use crate::read::{self, Refusal, Section};
use crate::secret::{self, KeyOrigin};
use crate::value::Value;
use connectors::http::post::Destination;
use connectors::reach::PrivateHosts;
use std::path::PathBuf;

/// Who ends sessions.
#[derive(Clone, Debug, PartialEq)]
pub enum Sessions {
    /// Nobody outside: each call is recorded in the ledger.
    Local,
    /// A receiver of signed calls.
    Webhook(WebhookSessions),
    /// Slack's Web API.
    Slack(SlackSessions),
    /// A receiver of security event tokens.
    Caep(CaepSessions),
}

/// A receiver of calls that are signed as Standard Webhooks are.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct WebhookSessions {
    /// Where calls go.
    pub to: Destination,
    /// One secret, or two while they change.
    pub secret: KeyOrigin,
}

/// Slack's Web API.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SlackSessions {
    /// What its methods lie below.
    pub to: Destination,
    /// One token for all, or org and token by turns.
    pub token: KeyOrigin,
}

/// A stream of security event tokens that are pushed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CaepSessions {
    /// Where tokens go.
    pub to: Destination,
    /// `iss` of the stream.
    pub issuer: String,
    /// `aud` of the stream.
    pub audience: String,
    /// A private key of RSA in PEM.
    pub key_file: PathBuf,
    /// How the receiver knows the key.
    pub key_id: String,
    /// The value of the header `Authorization`, if the receiver wants one.
    pub authorization: Option<KeyOrigin>,
}

/// Where Slack's Web API is, unless the job says otherwise.
const SLACK_API: &str = "https://slack.com/api/";

#[derive(Clone, Copy)]
enum Kind {
    Local,
    Webhook,
    Slack,
    Caep,
}

const KINDS: &[(&str, Kind)] =
    &[("local", Kind::Local), ("webhook", Kind::Webhook), ("slack", Kind::Slack), ("caep", Kind::Caep)];

/// Reads the section; `hosts` are those of the own network that may be sent to.
pub(crate) fn read(sessions: &mut Section<'_>, hosts: &PrivateHosts) -> Option<Sessions> {
    let Some(kind) = sessions.read("kind", read::one_of(KINDS)) else {
        sessions.pass_over();
        return None;
    };
    match kind {
        Kind::Local => Some(Sessions::Local),
        Kind::Webhook => webhook(sessions, hosts).map(Sessions::Webhook),
        Kind::Slack => slack(sessions, hosts).map(Sessions::Slack),
        Kind::Caep => caep(sessions, hosts).map(Sessions::Caep),
    }
}

fn webhook(sessions: &mut Section<'_>, hosts: &PrivateHosts) -> Option<WebhookSessions> {
    let to = sessions.require("url", "url = \"https://receiver.example/end-sessions\"", destination(hosts));
    let secret = secret::require(sessions, "secret", "secret_file", |text| {
        connectors::sign::WebhookKeys::parse(text).map(drop).map_err(Refusal::new)
    });
    Some(WebhookSessions { to: to?, secret: secret? })
}

fn slack(sessions: &mut Section<'_>, hosts: &PrivateHosts) -> Option<SlackSessions> {
    let to = sessions.read_if_set("url", destination(hosts)).map(|to| to.unwrap_or_else(slack_api));
    let token = secret::require(sessions, "token", "token_file", |_| Ok(()));
    Some(SlackSessions { to: to?, token: token? })
}

/// Where Slack's Web API lies.
pub(crate) fn slack_api() -> Destination {
    Destination::parse(SLACK_API, &PrivateHosts::default()).expect("a URL of https that names its host")
}

fn caep(sessions: &mut Section<'_>, hosts: &PrivateHosts) -> Option<CaepSessions> {
    let to = sessions.require("url", "url = \"https://receiver.example/events\"", destination(hosts));
    let issuer = sessions.require("issuer", "name the stream's issuer: issuer = \"https://aerie.example\"", issuer);
    let audience = sessions.require("audience", "the receiver says what it is", read::text);
    let key_file = sessions.require("key_file", "openssl genrsa -out key.pem 2048 makes one", read::path);
    let key_id = sessions.require("key_id", "the kid under which the receiver finds the public key", read::text);
    let authorization = secret::read(sessions, "authorization", "authorization_file", |_| Ok(()));
    Some(CaepSessions {
        to: to?,
        issuer: issuer?,
        audience: audience?,
        key_file: key_file?,
        key_id: key_id?,
        authorization: authorization?,
    })
}

/// An issuer is a URL of HTTPS without query and fragment; nothing is fetched there.
fn issuer(value: &Value) -> Result<String, Refusal> {
    let text = read::text(value)?;
    let url = url::Url::parse(&text).ok().filter(|url| url.scheme() == "https");
    match url.is_some_and(|url| url.query().is_none() && url.fragment().is_none()) {
        true => Ok(text),
        false => Err(Refusal::new("must be a URL of https without query and fragment")),
    }
}
