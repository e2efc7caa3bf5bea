//! Bytes posted to a destination that a job has set, and what came back. Owned here: where a destination may lie, the
//! bounds of a request, and whether one that failed may have arrived. Not owned here: what is posted, and what the
//! answer means.
//!
//! A request goes to addresses that were looked at in the same breath, over a connection of its own, past all proxies,
//! and where a redirect leads nobody goes: it could lead where no destination may lie.

use super::{Lost, body, said};
use crate::reach::{PrivateHosts, host, look_up, refusal, vetted};
use engine::error::Error;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, RequestBuilder, Url};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use url::Host;

/// How long a connection may take, the name of its host included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Most headers of an answer; with the buffer they are read into, this bounds their bytes as well.
const HEADERS_MAX: usize = 64;

/// The longest that a receiver is left alone at its own word: it may be wrong about when it is back.
pub const WAIT_MAX: Duration = Duration::from_secs(15 * 60);

/// Ports of destinations that are not of the own network.
const PORTS: [u16; 2] = [443, 8443];

/// Where a job may post to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    url: Url,
    private: bool,
}

impl Destination {
    /// The destination of a URL. Opens nothing: the addresses of a name are looked at when it is connected to.
    ///
    /// # Errors
    /// The rule that it breaks, which does not repeat the URL.
    pub fn parse(text: &str, hosts: &PrivateHosts) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|_| "must be a URL such as \"https://receiver.example/path\"".to_owned())?;
        let (Some(name), Some(given)) = (url.host(), url.host_str()) else { return Err("must name a host".to_owned()) };
        let private = hosts.hold(&host(given)?);
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must hold no name and no password".to_owned());
        }
        if url.fragment().is_some() {
            return Err("must have no fragment".to_owned());
        }
        let literal = match name {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
        };
        if let Some(address) = literal {
            if !private {
                return Err("must name its host, not an address".to_owned());
            }
            if !text.contains(given) {
                return Err(format!("must write its address as {given}"));
            }
            if let Some(why) = refusal(address, private) {
                return Err(format!("cannot be used: {why}"));
            }
        }
        match url.scheme() {
            "https" | "http" if private => {}
            "https" if url.port().is_none_or(|port| PORTS.contains(&port)) => {}
            "https" => return Err(format!("must use port {} or {}", PORTS[0], PORTS[1])),
            _ => return Err("must use https".to_owned()),
        }
        Ok(Destination { url, private })
    }

    /// The host, which may be named in a message.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The URL itself, which no message may hold.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// What lies under a name below this one.
    pub fn below(&self, name: &str) -> Self {
        let mut url = self.url.clone();
        url.path_segments_mut().expect("URLs of http have a path").pop_if_empty().push(name);
        Destination { url, private: self.private }
    }
}

/// Posts to one destination.
#[derive(Clone, Debug)]
pub struct Poster {
    client: Client,
    to: Destination,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// When it asks to be called again; a quarter of an hour at most.
    pub retry_after: Option<Duration>,
    /// Its body, if it came whole and within its bounds; else why not.
    pub body: Result<Vec<u8>, String>,
}

/// An answer, with why there is no body if there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    /// Its status.
    pub status: u16,
    /// When it asks to be called again; a quarter of an hour at most.
    pub retry_after: Option<Duration>,
    /// Its body, if it came whole and within its bounds.
    pub body: Result<Vec<u8>, Lost>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There was no connection: the request certainly did not arrive.
    NotSent(String),
    /// The request may have arrived.
    NoAnswer(String),
}

pub(super) type LookUp = fn(&str, u16) -> Result<Vec<SocketAddr>, String>;

impl Poster {
    /// A poster that says `headers` with every request. From the request to the end of its answer it takes at most
    /// `timeout`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the system has no certificates to trust.
    pub fn new(to: &Destination, headers: HeaderMap, timeout: Duration) -> Result<Self, Error> {
        Poster::that_looks_up(look_up, to, headers, timeout)
    }

    fn that_looks_up(look_up: LookUp, to: &Destination, headers: HeaderMap, timeout: Duration) -> Result<Self, Error> {
        let client = builder(look_up, to, headers, timeout)
            .build()
            .map_err(|error| Error::Invalid(format!("cannot post anything: {}", said(error))))?;
        Ok(Poster { client, to: to.clone() })
    }

    /// The host, which may be named in a message.
    pub fn host(&self) -> &str {
        self.to.host()
    }

    /// Posts it. Needs tokio's time and network.
    ///
    /// # Errors
    /// [`Failure`], without the URL.
    pub async fn post(&self, headers: HeaderMap, body: String) -> Result<Reply, Failure> {
        let request = self.client.post(self.to.url.clone()).headers(headers).body(body);
        let Got { status, retry_after, body } = got(request, ANSWER_BYTES_MAX).await?;
        Ok(Reply { status, retry_after, body: body.map_err(|lost| lost.told(ANSWER_BYTES_MAX)) })
    }
}

/// What all requests to destinations have in common.
pub(super) fn builder(look_up: LookUp, to: &Destination, headers: HeaderMap, timeout: Duration) -> ClientBuilder {
    Client::builder()
        .default_headers(headers)
        // So that it is known which of the two ran out.
        .connect_timeout(CONNECT_TIMEOUT.min(timeout / 2))
        .timeout(timeout)
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .http1_only()
        .http1_max_headers(HEADERS_MAX)
        // A connection that was kept may be gone, and then nobody knows whether the request arrived.
        .pool_max_idle_per_host(0)
        .dns_resolver(Arc::new(Vetted { look_up, private: to.private }))
}

/// Sends a request, and hears what is answered with at most so many bytes.
pub(super) async fn got(request: RequestBuilder, bytes_max: usize) -> Result<Got, Failure> {
    let mut answer = request.send().await.map_err(|error| match error.is_connect() {
        true => Failure::NotSent(said(error)),
        false => Failure::NoAnswer(said(error)),
    })?;
    let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(wait);
    Ok(Got { status: answer.status().as_u16(), retry_after, body: body(&mut answer, bytes_max).await })
}

/// `Retry-After`: seconds, or a date.
fn wait(text: &str) -> Option<Duration> {
    let digits = !text.trim().is_empty() && text.trim().bytes().all(|byte| byte.is_ascii_digit());
    let asked = if digits {
        // More digits than a number has are more than anybody waits.
        Duration::from_secs(text.trim().parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(text.trim()).ok()?;
        date.duration_since(SystemTime::now()).unwrap_or_default()
    };
    Some(asked.min(WAIT_MAX))
}

/// Names are resolved here, and their addresses looked at.
struct Vetted {
    look_up: LookUp,
    private: bool,
}

impl Resolve for Vetted {
    fn resolve(&self, name: Name) -> Resolving {
        let (look_up, private) = (self.look_up, self.private);
        Box::pin(async move {
            let found = tokio::task::spawn_blocking(move || look_up(name.as_str(), 0)).await?;
            Ok(Box::new(vetted(found, private)?.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
pub(super) mod tests;
