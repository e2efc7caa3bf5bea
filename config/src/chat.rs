//! `[chat]`: where direct messages go.

use crate::destinations::destination;
use crate::read::{Refusal, Section};
use crate::secret::{self, KeyOrigin};
use crate::sessions::slack_api;
use connectors::http::post::Destination;
use connectors::reach::PrivateHosts;

/// Slack's Web API.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Chat {
    /// What its methods lie below.
    pub to: Destination,
    /// One token for all, or org and token by turns.
    pub token: KeyOrigin,
}

/// Reads the section; `hosts` are those of the own network that may be sent to. `Some(None)` is a job without one.
pub(crate) fn read(chat: &mut Section<'_>, hosts: &PrivateHosts) -> Option<Option<Chat>> {
    let url = chat.read_if_set("url", destination(hosts));
    let token = secret::read(chat, "token", "token_file", |_| Ok(()));
    match (url?, token?) {
        (url, Some(token)) => Some(Some(Chat { to: url.unwrap_or_else(slack_api), token })),
        (None, None) => Some(None),
        (Some(_), None) => {
            chat.refuse("token", Refusal::new("is missing").hint("set AERIE__CHAT__TOKEN, or token_file"));
            None
        }
    }
}
