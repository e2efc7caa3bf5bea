//! Detection against scenarios, slow obvious versions of its rules, and its bounds.

mod admin;
mod agents;
mod bounds;
mod few;
pub(super) mod isolation;
mod networks;
mod oracles;
mod scenarios;
mod volumes;

use super::judge::{Facts, Judge};
use super::record::{DetectOut, Standing};
use super::references::References;
use super::state::UserState;
use super::user_agent_parser::UserAgentParser;
use super::{Detect, DetectSettings, Total};
use crate::baseline::{Class, Metric, Move, Subject, Threshold, VolumeRule, VolumeRules};
use crate::model::anomaly::{Anomaly, CaseClosed};
use crate::model::control::{AllowList, ControlRecord, ControlValue, ResponseSetting, Settings, ThreatList};
use crate::model::event::{Action, Event, EventText, KeyKind, Person, key_of};
use crate::model::reason::Reason;
use crate::model::software::Software;
use engine::key;
use engine::keyed::Logic;
use engine::time::{Micros, Span};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Noon of a day, so that scenarios stay within one.
const NOON: u64 = 1_700_000_000 / 86_400 * 86_400 + 43_200;
const TOR: &str = "185.220.101.7";
const HOME: &str = "203.0.113.9";

/// An event to be, with the defaults of an ordinary one.
#[derive(Clone, Debug)]
struct Act {
    id: String,
    kind: KeyKind,
    time: Micros,
    at: Option<Micros>,
    action: Action,
    session: Option<String>,
    ip: &'static str,
    ua: String,
    tls: Option<&'static str>,
    client: Option<(&'static str, &'static str, &'static str)>,
    device: Option<&'static str>,
    cookie: Option<u64>,
    asn: Option<u32>,
    ok: bool,
    by_app: bool,
    is_external: Option<bool>,
    reasons: Vec<String>,
    entity: Option<String>,
    person: String,
    method: Option<&'static str>,
    country: Option<&'static str>,
    is_anonymous: bool,
}

/// An ordinary event, so many seconds after noon.
fn act(id: impl ToString, secs: u64) -> Act {
    Act {
        id: id.to_string(),
        kind: KeyKind::User,
        time: Micros::from_secs(NOON + secs),
        at: None,
        action: Action::Other,
        session: Some("s1".to_owned()),
        ip: HOME,
        ua: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/131.0.0.0".to_owned(),
        tls: None,
        client: None,
        device: None,
        cookie: None,
        asn: None,
        ok: true,
        by_app: false,
        is_external: None,
        reasons: Vec::new(),
        entity: None,
        person: "U1".to_owned(),
        method: None,
        country: None,
        is_anonymous: false,
    }
}

fn download(id: impl ToString, secs: u64) -> Act {
    Act { action: Action::FileDownloaded, ..act(id, secs) }
}

impl Act {
    fn session(self, session: &str) -> Act {
        Act { session: (!session.is_empty()).then(|| session.to_owned()), ..self }
    }

    fn ip(self, ip: &'static str) -> Act {
        Act { ip, ..self }
    }

    /// Comes late: it applies at this many seconds after noon.
    fn late(self, secs: u64) -> Act {
        Act { at: Some(Micros::from_secs(NOON + secs)), ..self }
    }

    fn event(&self) -> Event {
        let hash = |text: &str| key::hash(text.as_bytes());
        let line = serde_json::to_vec(&self.text()).expect("plain data");
        let name = key_of(self.kind, "E1", "U1");
        let key_hash = key::hash(&name);
        let at = self.at.unwrap_or(self.time);
        Event {
            at,
            time: self.time,
            behind: at.since(self.time),
            partition: 0,
            position: 0,
            key_len: name.len() as u16,
            id_len: self.id.len() as u16,
            text: [name.as_slice(), self.id.as_bytes(), &line].concat().into(),
            key_hash,
            id_hash: hash(&self.id),
            kind: self.kind,
            person: hash(&self.person),
            action: self.action,
            by_app: self.by_app,
            is_external: self.is_external,
            ok: self.ok,
            session: self.session.as_deref().map(hash),
            agent: (!self.ua.is_empty()).then(|| hash(&self.ua)),
            ip: self.ip.parse().ok(),
            tls: self.tls.map(hash),
            client: self.client.map(|(name, os, _)| hash(&format!("{name}/{os}"))),
            measured: self.client.map_or_else(Software::default, |(name, os, _)| Software::named(name, os)),
            client_version: self.client.map(|(_, _, version)| hash(version)),
            device: self.device.map(hash),
            cookie: self.cookie.map(Micros::from_secs),
            asn: self.asn,
            country: self.country.and_then(|code| code.as_bytes().try_into().ok()),
            is_anonymous: self.is_anonymous,
            entity: self.entity.as_deref().map(hash),
        }
    }

    fn text(&self) -> EventText {
        let own = |part: Option<&str>| part.map(str::to_owned);
        EventText {
            id: self.id.clone(),
            action: format!("{:?}", self.action),
            actor: Person { id: "U1".to_owned(), ..Person::default() },
            ua: self.ua.clone(),
            session_id: self.session.clone(),
            ip_address: self.ip.to_owned(),
            tls_fingerprint: own(self.tls),
            client_name: own(self.client.map(|client| client.0)),
            client_os: own(self.client.map(|client| client.1)),
            client_version: own(self.client.map(|client| client.2)),
            device_id: own(self.device),
            reasons: self.reasons.clone(),
            method: own(self.method),
            ..EventText::default()
        }
    }
}

fn read_text(event: &Event) -> EventText {
    serde_json::from_slice(event.line()).expect("made by Act")
}

/// One user, as the engine would run them: events in order, timers after what is due with them.
struct World {
    settings: DetectSettings,
    references: References,
    state: UserState,
    timer: Option<Micros>,
    out: Vec<DetectOut>,
    totals: Vec<u64>,
}

impl World {
    /// With one Tor exit node and a bar of ten downloads.
    fn new() -> Self {
        let mut world = World {
            settings: DetectSettings {
                respond_to_imported: false,
                volumes: VolumeRules::new(|_| VolumeRule::new(10, 1.0, 10, 1)),
                agents: UserAgentParser::shipped(),
                edit: None,
            },
            references: References::default(),
            state: UserState::default(),
            timer: None,
            out: Vec::new(),
            totals: vec![0; Detect::TOTALS.len()],
        };
        let exits = [TOR.parse::<IpAddr>().expect("an address")].into();
        world.control("*", "tor_exit", ControlValue::ThreatList(Some(ThreatList::TorExit(exits))));
        world
    }

    /// As [`World::new`], with bars that no count of a test reaches.
    fn without_volumes() -> Self {
        let mut world = World::new();
        world.settings.volumes = VolumeRules::new(|_| VolumeRule::new(1_000_000, 1.0, 1_000_000, 1));
        world
    }

    fn control(&mut self, org: &str, key: &str, value: ControlValue) {
        let (org, key) = (org.to_owned(), key.to_owned());
        self.references.control(ControlRecord { at: Micros::ZERO, position: 0, org, key, value });
    }

    fn trust(&mut self, cidr: &str) {
        let list = AllowList { trusted_cidr: [cidr.parse().expect("a prefix")].into(), ..AllowList::default() };
        self.control("E1", "trusted", ControlValue::AllowList(Some(list)));
    }

    fn apply(&mut self, act: &Act) {
        let event = act.event();
        self.advance(event.at);
        let mut judge = Judge {
            settings: &self.settings,
            read_text,
            references: &self.references,
            facts: Facts::of(&event, &self.references),
            event: &event,
            state: &mut self.state,
            emit: &mut |out| self.out.push(out),
            totals: &mut self.totals,
        };
        if let Some(at) = judge.event() {
            assert!(self.timer.replace(at).is_none(), "one timer per user");
        }
    }

    /// Fires what is due before this.
    fn advance(&mut self, at: Micros) {
        while let Some(due) = self.timer.filter(|due| *due < at) {
            let cases = self.state.cases.as_mut().expect("a timer is armed only while a case is open");
            for case in cases.fire(due) {
                self.out.push(DetectOut::CaseClosed(Box::new(case.close(due, KeyKind::User, "E1", "U1"))));
            }
            self.timer = cases.arm();
            if self.timer.is_none() {
                self.state.cases = None;
            }
        }
    }

    fn run(&mut self, acts: impl IntoIterator<Item = Act>) {
        acts.into_iter().for_each(|act| self.apply(&act));
    }

    fn anomalies(&self) -> Vec<&Anomaly> {
        let mut anomalies = Vec::new();
        for out in &self.out {
            if let DetectOut::Anomaly(anomaly) = out {
                anomalies.push(&**anomaly);
            }
        }
        anomalies
    }

    /// The ids of the events that raised something, with the reasons.
    fn raised(&self) -> Vec<(String, Vec<Reason>)> {
        self.anomalies().iter().map(|a| (a.evidence[0].event_ids[0].clone(), a.reasons.clone())).collect()
    }

    fn raised_ids(&self) -> Vec<String> {
        self.raised().into_iter().map(|(id, _)| id).collect()
    }

    fn closed(&self) -> Vec<&CaseClosed> {
        let mut closings = Vec::new();
        for out in &self.out {
            if let DetectOut::CaseClosed(closed) = out {
                closings.push(&**closed);
            }
        }
        closings
    }

    /// How many events were evidence of anything so far, in cases open and closed.
    fn evidence(&self) -> u64 {
        Reason::ALL.iter().map(|reason| self.evidence_of(*reason)).sum()
    }

    /// As [`World::evidence`], for one reason.
    fn evidence_of(&self, reason: Reason) -> u64 {
        let view = self.state.cases.as_ref().map(|cases| cases.view());
        let open = view.iter().flat_map(|cases| cases.as_object().expect("by name").values());
        let open =
            open.filter(|case| case["reason"] == reason.code()).map(|case| case["count"].as_u64().expect("a count"));
        let closed = self.closed().into_iter().filter(|closed| closed.reason == reason).map(|closed| closed.count);
        open.chain(closed).sum()
    }

    /// How the samples of whole days moved.
    fn moves(&self) -> Vec<(Option<u16>, Option<u16>)> {
        self.moves_of(Class::ALL_HOURS)
    }

    fn moves_of(&self, class: Class) -> Vec<(Option<u16>, Option<u16>)> {
        let moved = |out: &DetectOut| match out {
            DetectOut::Move(Move { subject, from, to, .. }) if subject.class == class => Some((*from, *to)),
            _ => None,
        };
        self.out.iter().filter_map(moved).collect()
    }

    fn total(&self, total: Total) -> u64 {
        self.totals[total as usize]
    }
}
