//! `kind = "slack"`: the audit log of a Slack org.

use super::max_ahead;
use crate::destinations::destination;
use crate::read::{self, Refusal, Section};
use crate::secret::{self, KeyOrigin};
use crate::value::Value;
use connectors::http::post::Destination;
use connectors::reach::PrivateHosts;
use std::collections::BTreeSet;
use std::time::Duration;

/// Where Slack's Audit Logs API is, unless the job says otherwise.
const AUDIT_API: &str = "https://api.slack.com";

/// What a Slack source reads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlackSource {
    /// What `audit/v1/logs` lies below.
    pub to: Destination,
    /// A token of an owner of the org.
    pub token: KeyOrigin,
    /// The org whose log it is.
    pub org: String,
    /// Wall time from one look at the log to the next.
    pub poll_every: Duration,
    /// How far behind the newest entry another may show up.
    pub overlap: Duration,
    /// How long before its first start a job begins to read.
    pub start: Duration,
    /// How many bytes may be kept that the job has not read yet.
    pub max_ahead: u64,
}

impl SlackSource {
    /// `seen` are the orgs of the Slack sources above, whose logs must not be read twice; `lateness_limit` is how late an
    /// event of this one may be.
    pub(super) fn read(
        section: &mut Section<'_>,
        hosts: &PrivateHosts,
        org: Option<&Option<String>>,
        lateness_limit: Option<Duration>,
        seen: &mut BTreeSet<String>,
    ) -> Option<Self> {
        const HOUR: Duration = Duration::from_secs(3_600);
        let to = section.read_if_set("url", destination(hosts)).map(|to| to.unwrap_or_else(audit_api));
        let token = secret::require(section, "token", "token_file", |text| match text.trim().is_empty() {
            true => Err(Refusal::new("must not be empty")),
            false => Ok(()),
        });
        let poll_every = section.read_if_set("poll_every", read::duration(Duration::from_millis(100)..=HOUR));
        let overlap = section.read_if_set("overlap", read::duration(Duration::ZERO..=HOUR));
        let start = section.read_if_set("start", start);
        let max_ahead = max_ahead(section);
        let overlap = overlap.map(|overlap| overlap.unwrap_or(OVERLAP));
        if let (Some(overlap), Some(limit)) = (overlap, lateness_limit)
            && overlap > limit
        {
            let rule = "is longer than lateness_limit, so that an entry could come twice and apply twice";
            section.refuse("overlap", Refusal::new(rule).hint("make lateness_limit as long"));
        }
        let org = named(section, org, seen);
        Some(SlackSource {
            to: to?,
            token: token?,
            org: org?,
            poll_every: poll_every?.unwrap_or(POLL_EVERY),
            overlap: overlap?,
            start: start?.unwrap_or_default(),
            max_ahead: max_ahead?,
        })
    }

    /// Where the log is asked for.
    pub fn logs(&self) -> Destination {
        ["audit", "v1", "logs"].iter().fold(self.to.clone(), |to, name| to.below(name))
    }

    pub(super) fn describe(&self) -> String {
        let since = match self.start.is_zero() {
            true => "from its first start on".to_owned(),
            false => format!("from {:?} before its first start on", self.start),
        };
        let (every, overlap) = (self.poll_every, self.overlap);
        format!("Slack's audit log at {}, {since}, every {every:?} and {overlap:?} back", self.to.host())
    }
}

/// Defaults, as config/default.toml tells them.
const POLL_EVERY: Duration = Duration::from_secs(10);
const OVERLAP: Duration = Duration::from_secs(120);

/// The org has to be named: it names the partition, and entries of a workspace name their workspace only.
fn named(section: &mut Section<'_>, org: Option<&Option<String>>, seen: &mut BTreeSet<String>) -> Option<String> {
    let Some(org) = org? else {
        let refusal = Refusal::new("is missing");
        section.refuse("org", refusal.hint("the id of the org that the token is of, such as \"E0123ABCDEF\""));
        return None;
    };
    let plain = org.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if !plain || org.len() > 64 {
        section.refuse("org", Refusal::new("must be an id of at most 64 letters, digits, _ and -"));
        return None;
    }
    if !seen.insert(org.clone()) {
        section.refuse("org", Refusal::new("has a Slack source above").hint("each org's log is one source"));
        return None;
    }
    Some(org.clone())
}

fn audit_api() -> Destination {
    Destination::parse(AUDIT_API, &PrivateHosts::default()).expect("a URL of https that names its host")
}

/// `"now"`, or how long before.
fn start(value: &Value) -> Result<Duration, Refusal> {
    const YEAR: Duration = Duration::from_secs(366 * 24 * 3_600);
    match value {
        Value::Text(text) | Value::Word(text) if text == "now" => Ok(Duration::ZERO),
        value => read::duration(Duration::ZERO..=YEAR)(value).map_err(|refusal| {
            Refusal::new(format!("{}, or \"now\"", refusal.rule)).hint("\"7d\" begins with what happened a week ago")
        }),
    }
}
