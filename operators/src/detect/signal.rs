//! What a rule says of an event, before it is known whether anybody needs to hear it. Owned here: which reason a signal
//! is, and its evidence for people, which is written only when an anomaly is raised.

use super::asn;
use super::few::{self, Crowd};
use super::ip_address::Network;
use super::spoofed_user_agent::By;
use super::unexpected_admin_action::Clues;
use super::volume::Rule;
use super::{unexpected_client, unexpected_scraping, unexpected_user_agent};
use crate::baseline::Class;
use crate::model::anomaly::Evidence;
use crate::model::event::EventText;
use crate::model::reason::Reason;
use crate::model::software::Nature;
use engine::time::Micros;

/// What a rule found in one event.
#[derive(Clone, Copy, Debug)]
pub enum Signal {
    /// The address is a Tor exit node.
    Tor,
    /// A stamp was presented that had been superseded.
    StaleCookie {
        /// The stamp presented.
        stamp: Micros,
        /// A newer one.
        newer: Micros,
        /// When the newer one was first seen.
        since: Micros,
    },
    /// The session's own client and another one present stamps in turn.
    TwoHolders {
        /// The stamp presented.
        stamp: Micros,
    },
    /// Another client than the session had.
    ClientChanged(Change),
    /// The session's agent is another one than it was, or none that the session should have.
    AgentChanged,
    /// An agent that people do not have.
    UnexpectedAgent(Nature),
    /// What was measured contradicts the agent.
    SpoofedAgent(By),
    /// A client that is none of a person's, or not the one that it claims to be.
    UnexpectedClient(By),
    /// A tool that copies data.
    ScrapingTool(By),
    /// Too many events that a volume rule counts.
    Volume(&'static Rule, Excess),
    /// Too many of what is rare.
    Crowd(&'static few::Rule, Crowd),
    /// An admin's action that is unusual for them.
    AdminAction(Clues),
    /// The AS number is on the list of suspicious ones.
    SuspiciousAsn(u32),
    /// The network is unusual for the user, or listed.
    Network(Network),
}

/// What evidence is written from.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The strings of the event.
    pub text: &'a EventText,
    /// Its time.
    pub time: Micros,
    /// The session's agent before the event's, empty if there was none.
    pub previous_ua: &'a str,
    /// The tool that has the event's TLS fingerprint.
    pub tool: Option<&'a str>,
}

/// What of a client changed within its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The TLS fingerprint.
    pub tls: bool,
    /// The measured name or system.
    pub client: bool,
    /// The device.
    pub device: bool,
}

impl Change {
    /// Whether anything changed.
    pub fn any(self) -> bool {
        self.tls || self.client || self.device
    }
}

/// A count in a sliding window, and what it was held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// The count.
    pub count: u64,
    /// Where the window starts.
    pub start: Micros,
    /// Where it ends.
    pub end: Micros,
    /// What it was held against.
    pub bar: Bar,
}

/// What a count is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Counts above it are too many.
    pub value: u64,
    /// Where it comes from.
    pub source: BarSource,
    /// How many samples it rests on.
    pub samples: u64,
}

/// Where a threshold comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarSource {
    /// What is set for orgs that have taught next to nothing.
    Prior,
    /// The org's own distribution, in these hours.
    Org(Class),
    /// The user's own habit, within the org's cap.
    Habit,
}

impl BarSource {
    /// The name as it stands in evidence: `org`, or `org:` and the hours that the threshold is of.
    pub fn name(self) -> String {
        match self {
            BarSource::Prior => "prior".to_owned(),
            BarSource::Org(Class::ALL_HOURS) => "org".to_owned(),
            BarSource::Org(hours) => format!("org:{}", hours.name()),
            BarSource::Habit => "habit".to_owned(),
        }
    }
}

impl Signal {
    /// Which reason it is.
    pub fn reason(&self) -> Reason {
        match self {
            Signal::Tor => Reason::Tor,
            Signal::StaleCookie { .. } | Signal::TwoHolders { .. } | Signal::ClientChanged(_) => {
                Reason::SessionFingerprint
            }
            Signal::AgentChanged => Reason::UserAgent,
            Signal::UnexpectedAgent(_) => Reason::UnexpectedUserAgent,
            Signal::SpoofedAgent(_) => Reason::SpoofedUserAgent,
            Signal::UnexpectedClient(_) => Reason::UnexpectedClient,
            Signal::ScrapingTool(_) => Reason::UnexpectedScraping,
            Signal::Volume(rule, _) => rule.reason,
            Signal::Crowd(rule, _) => rule.reason,
            Signal::AdminAction(_) => Reason::UnexpectedAdminAction,
            Signal::SuspiciousAsn(_) => Reason::Asn,
            Signal::Network(_) => Reason::IpAddress,
        }
    }

    /// What to show for it.
    pub fn evidence(&self, scene: &Scene<'_>) -> Vec<Evidence> {
        let (text, time) = (scene.text, scene.time);
        let blank = |metric: &str, observed: String, threshold: String, source: &str| Evidence {
            reason: self.reason().code().to_owned(),
            metric: metric.to_owned(),
            observed,
            threshold,
            threshold_source: source.to_owned(),
            event_ids: vec![text.id.clone()],
            ..Evidence::default()
        };
        match *self {
            Signal::Tor => {
                vec![blank("tor_exit", text.ip_address.clone(), String::new(), "threat_list:tor_exit")]
            }
            Signal::StaleCookie { stamp, newer, since } => {
                let observed = format!("stamp {stamp}, superseded by {newer} for {}", seconds(time.since(since).0));
                let grace = seconds(crate::limits::COOKIE_GRACE.0);
                let one = blank("stale_cookie", observed, grace, "fixed");
                vec![Evidence { window_start: Some(since), window_end: Some(time), ..one }]
            }
            Signal::TwoHolders { stamp } => {
                let observed = format!("stamp {stamp} again, while the session's own client presents older ones");
                vec![blank("two_holders", observed, String::new(), "session")]
            }
            Signal::ClientChanged(change) => {
                let client = [&text.client_name, &text.client_os].map(|part| part.as_deref().unwrap_or_default());
                let traits = [
                    (change.tls, "tls_fingerprint", text.tls_fingerprint.clone().unwrap_or_default()),
                    (change.client, "client", client.join(" ").trim().to_owned()),
                    (change.device, "device_id", text.device_id.clone().unwrap_or_default()),
                ];
                let changed = traits.into_iter().filter(|(changed, ..)| *changed);
                changed.map(|(_, metric, value)| blank(metric, value, "unchanged".to_owned(), "session")).collect()
            }
            Signal::AgentChanged => {
                let before = scene.previous_ua.to_owned();
                vec![blank("user_agent_change_details", text.ua.clone(), before, "session")]
            }
            Signal::UnexpectedAgent(nature) => {
                vec![blank(unexpected_user_agent::metric(nature), text.ua.clone(), String::new(), "")]
            }
            Signal::SpoofedAgent(by) => {
                let (client, os) = unexpected_client::detected(scene, by);
                let found = format!("{client} {os}").trim().to_owned();
                vec![blank("claimed_user_agent", text.ua.clone(), found, by.source())]
            }
            Signal::UnexpectedClient(by) => {
                let (client, os) = unexpected_client::detected(scene, by);
                let found = [("detected_client", client), ("detected_os", os)];
                let found = found.into_iter().filter(|(_, value)| !value.is_empty());
                found.map(|(metric, value)| blank(metric, value, String::new(), by.source())).collect()
            }
            Signal::ScrapingTool(by) => {
                vec![blank("scraping_tool", unexpected_scraping::tool(scene, by), String::new(), by.source())]
            }
            Signal::Volume(rule, Excess { count, start, end, bar }) => {
                let one = blank(rule.metric.name(), count.to_string(), bar.value.to_string(), &bar.source.name());
                let samples = Some(bar.samples);
                vec![Evidence { samples, window_start: Some(start), window_end: Some(end), ..one }]
            }
            Signal::Crowd(rule, crowd) => few::evidence(rule, &crowd, text),
            Signal::AdminAction(clues) => clues.evidence(text),
            Signal::SuspiciousAsn(asn) => asn::evidence(asn, text),
            Signal::Network(network) => network.evidence(text, time),
        }
    }
}

fn seconds(micros: u64) -> String {
    format!("{} s", micros / 1_000_000)
}
