//! What a destination says when it is asked, within bounds of size and time. Owned here: those bounds. It goes by the
//! rules of what is posted (`post`): to addresses that were looked at, past all proxies, and after no redirect. Not owned
//! here: what is asked for, and what the answer means.

use super::post::{Destination, Failure, Got, LookUp, builder, got};
use super::said;
use crate::reach::look_up;
use engine::error::Error;
use reqwest::Client;
use reqwest::header::HeaderMap;
use std::time::Duration;

/// The bounds of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most bytes of it.
    pub bytes_max: usize,
    /// Most time without a byte.
    pub idle: Duration,
    /// Most time from the request to the answer's end.
    pub timeout: Duration,
}

/// Asks one destination.
#[derive(Clone, Debug)]
pub struct Getter {
    client: Client,
    to: Destination,
    bytes_max: usize,
}

impl Getter {
    /// One that says `headers` with every request.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the system has no certificates to trust.
    pub fn new(to: &Destination, headers: HeaderMap, bounds: Bounds) -> Result<Self, Error> {
        Getter::that_looks_up(look_up, to, headers, bounds)
    }

    fn that_looks_up(look_up: LookUp, to: &Destination, headers: HeaderMap, bounds: Bounds) -> Result<Self, Error> {
        let Bounds { bytes_max, idle, timeout } = bounds;
        let client = builder(look_up, to, headers, timeout)
            .read_timeout(idle)
            .build()
            .map_err(|error| Error::Invalid(format!("cannot ask for anything: {}", said(error))))?;
        Ok(Getter { client, to: to.clone(), bytes_max })
    }

    /// The host, which may be named in a message.
    pub fn host(&self) -> &str {
        self.to.host()
    }

    /// Asks with these names and values behind the `?`. Needs tokio's time and network.
    ///
    /// # Errors
    /// [`Failure`], without the URL.
    pub async fn get(&self, query: &[(&str, &str)]) -> Result<Got, Failure> {
        let mut url = self.to.url().clone();
        url.query_pairs_mut().extend_pairs(query);
        got(self.client.get(url), self.bytes_max).await
    }
}

#[cfg(test)]
mod tests;
