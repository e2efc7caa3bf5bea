//! `[ledger]`: where the control store is that is not in the data directory.

use crate::read::{self, Refusal, Section};
use crate::secret::{self, KeyOrigin, Secret};
use connectors::store::postgres::{Server, Tls};

/// A schema on a PostgreSQL server, and how to get in.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LedgerServer {
    /// The server, without the password.
    pub server: Server,
    /// The password, if it asks for one.
    pub password: Option<KeyOrigin>,
}

/// Nothing is set: the store is in the data directory.
pub(crate) fn read(ledger: &mut Section<'_>) -> Option<Option<LedgerServer>> {
    let url = ledger.read_secret("url", |value| {
        let text = read::text(value)?;
        let checked = Server::parse(&text, "aerie", Tls::Off);
        checked.map(|_| Secret::new(text)).map_err(|rule| match rule.contains("password") {
            true => Refusal::new(rule).hint("set AERIE__LEDGER__PASSWORD, or password_file to a file that holds it"),
            false => Refusal::new(rule),
        })
    });
    let schema = ledger.read("schema", read::text);
    let tls = ledger.read("tls", read::switch);
    let ca_file = ledger.read_if_set("ca_file", read::path);
    let password = secret::read(ledger, "password", "password_file", given);
    let (url, schema, tls, ca_file, password) = (url?, schema?, tls?, ca_file?, password?);
    let mut refuse = |key, rule: &str, hint: &str| {
        ledger.refuse(key, Refusal::new(rule).hint(hint));
        None
    };
    let Some(url) = url else {
        return match password.is_none() && ca_file.is_none() {
            true => Some(None),
            false => refuse("url", "is missing", "without a url the ledger is a file in the data directory"),
        };
    };
    let tls = match (tls, ca_file) {
        (true, None) => Tls::System,
        (true, Some(path)) => Tls::Authorities(path),
        (false, None) => Tls::Off,
        (false, Some(_)) => return refuse("ca_file", "is of no use with tls = false", "drop one of them"),
    };
    let server = match Server::parse(url.expose(), &schema, tls) {
        Ok(server) => server,
        Err(rule) => return refuse("schema", rule, "such as \"aerie\""),
    };
    match server.is_private() {
        true => Some(Some(LedgerServer { server, password })),
        false => {
            refuse("tls", "must be true for a server on another machine", "what is sent would be open to all between")
        }
    }
}

fn given(password: &str) -> Result<(), Refusal> {
    match password.is_empty() {
        true => Err(Refusal::new("must not be empty").hint("leave it out instead")),
        false => Ok(()),
    }
}
