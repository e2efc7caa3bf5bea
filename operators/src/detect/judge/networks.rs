//! How an event meets what is known of networks.

use super::super::asn;
use super::super::client::{self, Print};
use super::super::ip_address::Network;
use super::super::known::Asker;
use super::super::signal::Signal;
use super::{Judge, day};
use crate::model::anomaly::MarkKind;
use crate::model::event::KeyKind;
use crate::model::reason::Reason;

const ASKER: Asker = Asker::Rule(Reason::IpAddress);

impl Judge<'_> {
    /// Judges where a person's own event, or an app's, came from.
    pub(super) fn networks(&self, signals: &mut Vec<Signal>) {
        if !self.is_own() {
            return;
        }
        signals.extend(asn::check(self.event, self.references).map(Signal::SuspiciousAsn));
        signals.extend(self.network().check().map(Signal::Network));
    }

    fn network(&self) -> Network {
        let (event, references, today) = (self.event, self.references, day(self.event.time));
        let print = client::network(event);
        let marks = self.state.marks.to(ASKER);
        let listed = |holds: fn(&super::References, u32) -> bool| event.asn.is_some_and(|asn| holds(references, asn));
        let travel = |country| self.state.whereabouts.check(self.traveller(), country, event.time);
        Network {
            has_asn: event.asn.is_some(),
            is_known: marks.knows(MarkKind::Network, print, today),
            is_new: print.is_some()
                && !marks.has(MarkKind::Network, print, today)
                && marks.knows_any(MarkKind::Network, today),
            is_anonymous: self.is_anonymous(),
            is_tor: self.facts.is_tor,
            is_cloud: listed(super::References::is_cloud),
            is_suspicious: listed(super::References::is_suspicious),
            is_ioc: event.ip.is_some_and(|ip| references.is_ioc(ip)),
            travel: event.country.and_then(travel),
            is_strange_client: self.has_strange_client(),
        }
    }

    /// Whether the event has both marks of a client, and the user was never seen with either.
    fn has_strange_client(&self) -> bool {
        let today = day(self.event.time);
        let strange = |(kind, print)| kind != MarkKind::Network && !self.state.marks.to(ASKER).has(kind, print, today);
        self.marks().filter(|mark| strange(*mark)).count() == 2
    }

    /// What is held to be one client wherever it is: the measured one, else what its fingerprint or agent tells.
    fn traveller(&self) -> Print {
        let measured = Print::of(self.event.client);
        if measured.is_some() {
            return measured;
        }
        self.marks().find(|(kind, _)| *kind == MarkKind::Tls).map_or(measured, |(_, print)| print)
    }

    /// Takes up where the client is.
    pub(super) fn learn_whereabouts(&mut self) {
        if let Some(country) = self.event.country.filter(|_| self.is_own()) {
            let client = self.traveller();
            self.state.whereabouts.learn(client, country, self.event.time);
        }
    }

    /// Whether the event is the person's own, or this is the row of the app that made it.
    pub(super) fn is_own(&self) -> bool {
        self.event.kind == KeyKind::App || !self.event.by_app
    }
}
