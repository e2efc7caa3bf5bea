//! `[mail]`: the server that sends mail.

use crate::read::{self, Refusal, Section};
use crate::secret::{self, KeyOrigin};
use crate::value::Value;
use connectors::mail::require_sender;
use connectors::reach::{self, PrivateHosts};
use connectors::smtp::Encryption;
use std::net::IpAddr;
use std::time::Duration;

/// The server that sends mail, and as whom.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Mail {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The hosts of the own network that it may be one of.
    pub hosts: PrivateHosts,
    /// How the connection is encrypted.
    pub tls: Encryption,
    /// The sender of all mail.
    pub from: String,
    /// Name and password, if it asks for them.
    pub login: Option<(String, KeyOrigin)>,
    /// How long an attempt may take.
    pub timeout: Duration,
}

const SERVER: &str = "server = \"smtp.example.com:587\"";

const TLS: &[(&str, Encryption)] =
    &[("starttls", Encryption::StartTls), ("tls", Encryption::Tls), ("none", Encryption::None)];

/// Reads the section; `hosts` are those of the own network that may be sent to. `Some(None)` is a job without a server.
pub(crate) fn read(mail: &mut Section<'_>, hosts: &PrivateHosts) -> Option<Option<Mail>> {
    // Well within the time for which a step belongs to who carries it out.
    let times = Duration::from_secs(1)..=Duration::from_secs(15);
    let server = mail.read_if_set("server", server);
    let tls = mail.read("tls", read::one_of(TLS));
    let from = mail.read_if_set("from", sender);
    let login = mail.read_if_set("login", read::text);
    let password = secret::read(mail, "password", "password_file", |_| Ok(()));
    let timeout = mail.read("timeout", read::duration(times));
    let Some((host, port)) = server? else {
        let alone = [("from", from?.is_some()), ("login", login?.is_some()), ("password_file", password?.is_some())];
        let lonely = alone.into_iter().find(|(_, set)| *set);
        return match lonely {
            Some((key, _)) => refuse(mail, key, "is of no use without a server", SERVER),
            None => Some(None),
        };
    };
    let here = is_here(&host);
    let numbered = here || host.parse::<IpAddr>().is_ok();
    let server = match numbered && !hosts.hold(&host) {
        true => refuse(mail, "server", "must name a host of another network", "or set allow_private in [destinations]"),
        false => Some((host, port)),
    };
    let tls = match tls {
        Some(Encryption::None) if !here => refuse(
            mail,
            "tls",
            "may be \"none\" for a server on this machine only",
            "use \"starttls\": mail names people",
        ),
        tls => tls,
    };
    let from = match from {
        Some(None) => refuse(mail, "from", "is missing", "from = \"Aerie <security@example.com>\""),
        from => from.flatten(),
    };
    let login = match (login, password) {
        (Some(Some(login)), Some(Some(password))) => Some(Some((login, password))),
        (Some(None), Some(None)) => Some(None),
        (Some(Some(_)), Some(None)) => refuse(mail, "password_file", "is missing", "set it, or AERIE__MAIL__PASSWORD"),
        (Some(None), Some(Some(_))) => {
            refuse(mail, "login", "is missing", "it is the name that goes with the password")
        }
        _ => None,
    };
    let (host, port) = server?;
    Some(Some(Mail { host, port, hosts: hosts.clone(), tls: tls?, from: from?, login: login?, timeout: timeout? }))
}

fn refuse<T>(mail: &mut Section<'_>, key: &'static str, rule: &str, hint: &str) -> Option<T> {
    mail.refuse(key, Refusal::new(rule).hint(hint));
    None
}

/// Whether a host is this machine.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A host and a port.
fn server(value: &Value) -> Result<(String, u16), Refusal> {
    let refusal = |rule: String| Refusal::new(rule).hint(SERVER);
    let text = read::text(value)?;
    let (host, port) = text.rsplit_once(':').ok_or_else(|| refusal("must be a host and a port".to_owned()))?;
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(|| refusal("must end in a port".to_owned()))?;
    Ok((reach::host(host).map_err(refusal)?, port))
}

/// An address, with or without a name before it.
fn sender(value: &Value) -> Result<String, Refusal> {
    let text = read::text(value)?;
    match require_sender(&text) {
        Ok(()) => Ok(text),
        Err(_) => Err(Refusal::new("must be an address such as \"Aerie <security@example.com>\"")),
    }
}
