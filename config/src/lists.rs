//! `[threat_lists]`: lists that a job fetches while it runs.

use crate::read::{self, Refusal, Section};
use crate::secret::Secret;
use crate::value::Value;
use std::time::Duration;
use url::Url;

/// What is fetched, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreatLists {
    /// The URL of the list of Tor exits, which may hold a token; `None` fetches nothing.
    pub tor_exit: Option<Secret>,
    /// Wall time from one fetch to the next.
    pub every: Duration,
}

/// Reads the section; `follows` says whether the job has a source that is followed.
pub(crate) fn read(lists: &mut Section<'_>, follows: bool) -> Option<ThreatLists> {
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);
    let every = lists.read("every", read::duration(Duration::from_secs(1)..=WEEK));
    let tor_exit = lists.read_secret("tor_exit", move |value| match follows {
        true => address(value),
        false => Err(Refusal::new("is of no use without a source that is followed")
            .hint("a list holds from when it is fetched: of activity that is over, tor_list names the exits")),
    });
    Some(ThreatLists { tor_exit: tor_exit?, every: every? })
}

/// A URL of HTTP or HTTPS.
fn address(value: &Value) -> Result<Secret, Refusal> {
    let text = read::text(value)?;
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let refusal = || Refusal::new("must be a URL such as \"https://check.torproject.org/torbulkexitlist\"");
    let url = url.ok_or_else(refusal)?;
    match url.username().is_empty() && url.password().is_none() {
        true => Ok(Secret::new(text)),
        false => Err(Refusal::new("must hold no name and no password").hint("a list of exits is public")),
    }
}
