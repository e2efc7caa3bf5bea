//! What lies under a URL, fetched whole: over HTTP or HTTPS, within bounds of size, time and redirects. The host of the URL
//! may be anywhere, since a job names it; where that host sends one on to may not be of the own network. Owned here: those
//! bounds, and that no message names the URL, which may hold a token. Not owned here: what is fetched, and how often;
//! what is posted (`post`), and what is asked for at a destination that a job has set (`get`).

pub mod get;
pub mod post;

use crate::reach::{look_up, refusal, vetted};
use engine::error::Error;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderMap;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response, StatusCode, Url};
use std::error::Error as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use url::Host;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Fetches what lies under one URL.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: Client,
    url: Url,
    bytes_max: usize,
}

/// The bounds of one fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most bytes of an answer.
    pub bytes_max: usize,
    /// Most time from the request to the answer's end.
    pub timeout: Duration,
    /// Most redirects that are followed. None leads away from HTTPS once it was reached.
    pub redirects_max: usize,
}

impl Fetcher {
    /// A fetcher of `url`, which says `headers` of itself. Proxies are those of the environment, as everywhere.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is no URL of HTTP or HTTPS, or if the system has no certificates to trust.
    pub fn new(url: &str, headers: HeaderMap, bounds: Bounds) -> Result<Self, Error> {
        let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| Error::Invalid("this is no URL of http or https".to_owned()))?;
        let Bounds { bytes_max, timeout, redirects_max } = bounds;
        let client = Client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .timeout(timeout)
            .redirect(Policy::custom(move |attempt| follow(attempt, redirects_max)))
            // Where a redirect leads must not learn the URL.
            .referer(false)
            .dns_resolver(Arc::new(Elsewhere { own: url.host_str().unwrap_or_default().to_owned() }))
            .build()
            .map_err(|error| Error::Invalid(format!("cannot fetch anything: {}", said(error))))?;
        Ok(Fetcher { client, url, bytes_max })
    }

    /// The host, which may be named in a message.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Fetches it. Needs tokio's time and network.
    ///
    /// # Errors
    /// [`Error::Unavailable`] with what went wrong, if the answer is not 200, too large, too slow, or there is none.
    pub async fn fetch(&self) -> Result<Vec<u8>, Error> {
        let failed = |error| Error::Unavailable(said(error));
        let mut answer = self.client.get(self.url.clone()).send().await.map_err(failed)?;
        if answer.status() != StatusCode::OK {
            return Err(Error::Unavailable(format!("the answer is {}", answer.status())));
        }
        body(&mut answer, self.bytes_max).await.map_err(|lost| Error::Unavailable(lost.told(self.bytes_max)))
    }
}

/// Why there is no body of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It has more bytes than it may have.
    TooLarge,
    /// It broke off, or took too long.
    Broken(String),
}

impl Lost {
    /// For people; `bytes_max` is how many bytes it may have.
    fn told(self, bytes_max: usize) -> String {
        match self {
            Lost::TooLarge => format!("the answer has more than {bytes_max} bytes"),
            Lost::Broken(why) => why,
        }
    }
}

/// The body of an answer, of at most so many bytes.
async fn body(answer: &mut Response, bytes_max: usize) -> Result<Vec<u8>, Lost> {
    let mut read = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if chunk.len() > bytes_max - read.len() => return Err(Lost::TooLarge),
            Ok(Some(chunk)) => read.extend_from_slice(&chunk),
            Ok(None) => return Ok(read),
            Err(error) => return Err(Lost::Broken(said(error))),
        }
    }
}

fn follow(attempt: Attempt<'_>, most: usize) -> reqwest::redirect::Action {
    // The first of them is where it began.
    let (followed, secure) = (attempt.previous().len(), attempt.previous().iter().any(|url| url.scheme() == "https"));
    if followed > most {
        return attempt.error(format!("there are more than {most} redirects"));
    }
    let literal: Option<IpAddr> = match attempt.url().host() {
        Some(Host::Ipv4(address)) => Some(address.into()),
        Some(Host::Ipv6(address)) => Some(address.into()),
        _ => None,
    };
    let own = attempt.previous().first().and_then(Url::host_str) == attempt.url().host_str();
    if let Some(why) = literal.filter(|_| !own).and_then(|address| refusal(address, false)) {
        return attempt.error(format!("a redirect leads astray: {why}"));
    }
    match attempt.url().scheme() {
        "https" => attempt.follow(),
        "http" if !secure => attempt.follow(),
        "http" => attempt.error("a redirect leads from https to http"),
        _ => attempt.error("a redirect leads away from http and https"),
    }
}

/// Resolves names; all but the own one to addresses that are out there.
struct Elsewhere {
    own: String,
}

impl Resolve for Elsewhere {
    fn resolve(&self, name: Name) -> Resolving {
        let is_own = name.as_str() == self.own;
        Box::pin(async move {
            let found = tokio::task::spawn_blocking(move || look_up(name.as_str(), 0)).await?;
            let found = if is_own { found } else { vetted(found, false) };
            Ok(Box::new(found?.into_iter()) as Addrs)
        })
    }
}

/// An error with its causes, without the URL.
fn said(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests;
