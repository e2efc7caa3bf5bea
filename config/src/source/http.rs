//! `kind = "http"`: what is posted to the job.

use super::max_ahead;
use crate::read::{self, Refusal, Section};
use crate::value::Value;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What an HTTP source takes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpSource {
    /// Where it listens. Port 0 is any free port.
    pub listen: SocketAddr,
    /// The file of those who may post, with their tokens and orgs.
    pub tokens_file: PathBuf,
    /// How many bytes of one of them may be kept that the job has not read yet.
    pub max_ahead: u64,
}

impl HttpSource {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let plain = section.read_if_set("allow_plain", read::switch);
        let anywhere = plain.flatten() == Some(true);
        let listen = section.require("listen", "listen = \"127.0.0.1:9465\"", |value| address(value, anywhere));
        let hint = "a line for each who may post: a name, a token, and orgs or *";
        let tokens_file = section.require("tokens_file", hint, read::path);
        let max_ahead = max_ahead(section);
        plain?;
        Some(HttpSource { listen: listen?, tokens_file: tokens_file?, max_ahead: max_ahead? })
    }

    pub(super) fn describe(&self) -> String {
        format!("what is posted to http://{}/ingest/events", self.listen)
    }
}

/// Where tokens may come in the clear: only from this machine, unless somebody says that they do not.
fn address(value: &Value, anywhere: bool) -> Result<SocketAddr, Refusal> {
    let text = read::text(value)?;
    let address: SocketAddr = text.parse().map_err(|_| {
        Refusal::new("must be an address and port such as \"127.0.0.1:9465\"").hint("IPv6 addresses stand in brackets")
    })?;
    match anywhere || address.ip().to_canonical().is_loopback() {
        true => Ok(address),
        false => Err(Refusal::new("must be a loopback address: tokens would come in the clear")
            .hint("put what speaks TLS in front, on this machine; or elsewhere, and set allow_plain = true")),
    }
}
