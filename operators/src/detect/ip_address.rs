//! `ip_address`: the request came from where this user or app never was, and something else is odd about that; or from
//! where attacks come from.
//!
//! Rule: the address is covered by the threat list `ioc_ip`, or its AS number stands in `suspicious_asn`, whatever the
//! history. Or the network (AS number, else /24 or /48) was never seen of the user outside a case, while another one is
//! known, and one clue goes with it: a cloud provider's network (`cloud_asn`); travel that the client cannot have made
//! ([`super::whereabouts`]); a client of which neither fingerprint nor measured name was ever seen.
//!
//! A new network alone is nothing: people change lines, carriers and hotels. Of an anonymised network neither cloud nor
//! country says anything. A Tor exit is `tor`'s. State are the marks and the whereabouts.
//!
//! Example: home for a week, then a session from a hosting provider raises with `new-asn, cloud-asn`; a session from a
//! hotel with the same laptop does not.

use super::whereabouts::{Travel, name};
use crate::limits::TRAVEL;
use crate::model::anomaly::Evidence;
use crate::model::event::EventText;
use crate::model::reason::Reason;
use engine::time::Micros;

/// What is known of the network of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// It has an AS number.
    pub has_asn: bool,
    /// The user is known by it.
    pub is_known: bool,
    /// It was never seen of the user, who is known by another.
    pub is_new: bool,
    /// It hides where its users are.
    pub is_anonymous: bool,
    /// It is an exit of Tor.
    pub is_tor: bool,
    /// It is a cloud provider's.
    pub is_cloud: bool,
    /// It is on the list of suspicious networks.
    pub is_suspicious: bool,
    /// The address was seen in attacks.
    pub is_ioc: bool,
    /// The client came too far.
    pub travel: Option<Travel>,
    /// The client was never seen of the user.
    pub is_strange_client: bool,
}

impl Network {
    /// The rule.
    pub fn check(self) -> Option<Network> {
        let located = !self.is_anonymous && (self.is_cloud || self.travel.is_some());
        let odd = self.is_new && !self.is_tor && (located || self.is_strange_client);
        (self.is_ioc || self.is_suspicious || odd).then_some(self)
    }

    /// What to show for it, given the strings of the event.
    pub fn evidence(&self, text: &EventText, time: Micros) -> Vec<Evidence> {
        let piece = |metric: &str, observed: String, source: &str| Evidence {
            reason: Reason::IpAddress.code().to_owned(),
            metric: metric.to_owned(),
            observed,
            threshold_source: source.to_owned(),
            event_ids: vec![text.id.clone()],
            ..Evidence::default()
        };
        let source = match (self.is_ioc, self.is_suspicious) {
            (true, _) => "threat_list:ioc_ip",
            (_, true) => "threat_list:suspicious_asn",
            _ => "history",
        };
        let mut evidence = vec![piece("ip_address", text.ip_address.clone(), source)];
        let details = self.details();
        if !details.is_empty() {
            evidence.push(piece("ip_address_details", details, source));
        }
        if let Some(travel) = self.travel.filter(|_| self.is_new && !self.is_anonymous) {
            let seconds = time.since(travel.left).millis() / 1_000;
            let way = format!("{} to {} in {seconds} s", name(travel.from), name(travel.to));
            evidence.push(Evidence {
                threshold: format!("{} s", TRAVEL.0 / 1_000_000),
                window_start: Some(travel.left),
                window_end: Some(time),
                ..piece("impossible_travel", way, "history")
            });
        }
        if self.is_new && self.is_strange_client {
            let measured = [&text.client_name, &text.client_os].map(|part| part.as_deref().unwrap_or_default());
            evidence.push(piece("new_client", measured.join(" ").trim().to_owned(), "history"));
        }
        evidence
    }

    /// Slack's words for it.
    fn details(&self) -> String {
        let words =
            [(self.has_asn && !self.is_known, "new-asn"), (self.is_cloud, "cloud-asn"), (self.is_ioc, "in-ioc-list")];
        words.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word).collect::<Vec<_>>().join(", ")
    }
}
