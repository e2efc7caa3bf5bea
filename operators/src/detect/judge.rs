//! One event meets its user's state. Owned here: the order of things. Copies first; then every rule, always, so that all
//! reasons of an event are in one anomaly and no rule's state falls behind; then what is raised; then what is learned.
//!
//! No rule changes what another finds: each learns by its own verdicts and cases alone ([`super::known`]). Only what
//! decision asks, by which marks a user was known outside any case, hangs on all of them.
//!
//! A trusted network raises nothing, and what it would have raised is counted. It is learned from all the same, marks
//! and counts: it is where the org's honest activity mostly comes from, and marks learned there tell the honest user
//! apart elsewhere. An event by an app on a person's behalf is neither counted for the person nor compared within a
//! session; what it raises (Tor) stands apart from the person's sessions.

mod admin;
mod agents;
mod few;
mod networks;
mod volumes;

use super::cases::Case;
use super::client::{Client, Print, is_public, network};
use super::known::Asker;
use super::marks::day;
use super::recent::Noted;
use super::record::{DetectOut, Late};
use super::references::{OrgReferences, References};
use super::session_fingerprint::Sight;
use super::signal::{Scene, Signal};
use super::state::UserState;
use super::{DetectSettings, Total, tor, whereabouts};
use crate::limits::ACTIVE_AGE;
use crate::model::anomaly::{Active, Anomaly, Evidence, Mark, MarkKind};
use crate::model::event::{Action, Event, EventText, KeyKind};
use crate::model::id::Id;
use crate::model::reason::Reason;
use engine::time::{Micros, Span};
use std::iter;
use volumes::Counted;

/// An event, its user's state, and where to say what comes of it.
pub struct Judge<'a> {
    /// The job's settings.
    pub settings: &'a DetectSettings,
    /// Reads the strings of an event.
    pub read_text: fn(&Event) -> EventText,
    /// What is looked up.
    pub references: &'a References,
    /// The event.
    pub event: &'a Event,
    /// What is known of the event by itself.
    pub facts: Facts<'a>,
    /// Of the user or app that the event's key names.
    pub state: &'a mut UserState,
    /// Takes what goes out.
    pub emit: &'a mut dyn FnMut(DetectOut),
    /// Running totals, in the order of [`Total`].
    pub totals: &'a mut [u64],
}

/// What many rules ask of an event, looked up once.
pub struct Facts<'a> {
    org: &'a str,
    /// The user's name, or the app's.
    name: &'a str,
    /// What the org set and taught.
    set: Option<&'a OrgReferences>,
    is_tor: bool,
    is_trusted: bool,
}

impl<'a> Facts<'a> {
    /// Those of an event.
    pub fn of(event: &'a Event, references: &'a References) -> Self {
        let (org, name) = event.names();
        let set = references.org(org);
        let is_trusted = set.is_some_and(|org| org.trusts(event));
        Facts { org, name, set, is_tor: tor::is_from(event, references), is_trusted }
    }
}

impl Judge<'_> {
    /// Applies the event. Returns when to be called back about open cases, if a timer is to be armed.
    pub fn event(&mut self) -> Option<Micros> {
        match self.state.recent.note(self.event.id_hash, self.event.at) {
            Noted::Copy => {
                self.count(Total::Duplicate, 1);
                return None;
            }
            Noted::New(evicted) => self.count(Total::IdsEvicted, evicted),
        }
        self.account();
        if self.event.action == Action::Anomaly {
            self.imported();
            return None;
        }
        self.remember_agent();
        let (signals, counted) = self.signals();
        let odd = !signals.is_empty();
        let suppressed = odd && self.facts.is_trusted;
        if suppressed {
            self.count(Total::SuppressedTrusted, 1);
        } else if odd {
            self.raise(&signals);
        }
        self.learn_volumes(&counted);
        if !self.is_anonymous() {
            self.learn(&signals);
        }
        self.state.cases.as_mut().and_then(|cases| cases.arm())
    }

    fn count(&mut self, total: Total, by: u64) {
        if self.event.kind == KeyKind::User {
            self.totals[total as usize] += by;
        }
    }

    /// What is counted and told of every event that takes part.
    fn account(&mut self) {
        let event = self.event;
        self.count(Total::Applied, 1);
        let first_seen = *self.state.first_seen.get_or_insert(event.at);
        if event.action == Action::Unknown {
            self.count(Total::UnknownActions, 1);
        }
        if event.kind != KeyKind::User {
            return;
        }
        let org = self.facts.org;
        if event.is_late() {
            self.count(Total::Late, 1);
            (self.emit)(DetectOut::Late(Late {
                at: event.at,
                partition: event.partition,
                position: event.position,
                id: String::from_utf8_lossy(event.id()).into_owned(),
                org: org.to_owned(),
                behind_ms: event.behind.millis(),
            }));
        }
        let hour = (event.at.0 / Span::from_hours(1).0) as u32;
        let previous = self.state.active_hour;
        if !event.by_app && hour > previous && event.at.since(first_seen) >= ACTIVE_AGE {
            self.state.active_hour = hour;
            (self.emit)(DetectOut::Active(Active { at: event.at, org: org.to_owned(), previous }));
        }
    }

    /// Whether the event came from a network that hides whose it is: nothing is learned from there.
    fn is_anonymous(&self) -> bool {
        self.event.is_anonymous || self.facts.is_tor
    }

    /// The session that the event belongs to; an app's events belong to none of the person's.
    fn session(&self) -> Option<u64> {
        self.event.session.filter(|_| self.is_persons())
    }

    fn is_persons(&self) -> bool {
        self.event.kind == KeyKind::User && !self.event.by_app
    }

    /// Keeps the text of an agent that is new: this is the only moment at which it can be read.
    fn remember_agent(&mut self) {
        let agent = Print::of(self.event.agent);
        if self.is_persons() && agent.is_some() && !self.state.agents.knows(agent) {
            let text = (self.read_text)(self.event);
            let UserState { agents, sessions, .. } = &mut *self.state;
            let claim = self.settings.agents.parse(&text.ua);
            agents.add(agent, &text.ua, claim, |print| sessions.need(print));
        }
    }

    /// All rules, each evaluated whatever the others say, and what volume rules have counted.
    fn signals(&mut self) -> (Vec<Signal>, Counted) {
        let mut signals = Vec::new();
        signals.extend(self.facts.is_tor.then_some(Signal::Tor));
        self.agents(&mut signals);
        signals.extend(self.fingerprint());
        let counted = self.volumes(&mut signals);
        self.few(&mut signals);
        signals.extend(self.admin_action());
        self.networks(&mut signals);
        #[cfg(test)]
        if let Some(edit) = self.settings.edit {
            edit.apply(self.event, &mut signals);
        }
        (signals, counted)
    }

    fn fingerprint(&mut self) -> Option<Signal> {
        let (event, id) = (self.event, self.session()?);
        let client = Client::of(event);
        let agent = Print::of(event.agent);
        let (session, evicted) = self.state.sessions.open(id, event.at, event.time, client);
        let newest = session.newest;
        let signal = if event.time < newest {
            None
        } else {
            session.newest = event.time;
            let agent_changed = session.had_other(agent);
            session.follow(event.time, event.ip, agent);
            session.holders.check(&Sight { time: event.time, client, cookie: event.cookie, agent_changed }, newest)
        };
        self.count(Total::SessionsEvicted, u64::from(evicted));
        signal
    }

    /// Whether the org's thresholds may learn from this event: not from apps, bots, external or excluded users, or
    /// anonymised networks.
    fn is_learned_from(&self, reason: Reason) -> bool {
        let standing = self.state.standing;
        let external = standing.map_or(self.event.is_external == Some(true), |standing| standing.is_external);
        let excluded = self.facts.set.is_some_and(|org| org.excludes(self.facts.name, reason));
        self.is_persons()
            && !external
            && !standing.is_some_and(|standing| standing.is_bot)
            && !excluded
            && !self.state.is_exempt(reason)
            && !self.is_anonymous()
    }

    /// The marks of the event: the TLS fingerprint, or the agent's family where there is none; the measured client; the
    /// network.
    fn marks(&self) -> impl Iterator<Item = (MarkKind, Print)> + use<> {
        let tls = Print::of(self.event.tls);
        let family = || self.state.agents.claim(Print::of(self.event.agent)).family;
        let marks = [
            (MarkKind::Tls, if tls.is_some() { tls } else { family() }),
            (MarkKind::Client, Print::of(self.event.client)),
            (MarkKind::Network, network(self.event)),
        ];
        marks.into_iter().filter(|(_, print)| print.is_some())
    }

    /// Takes up the event into the histories of those who have nothing against it.
    fn learn(&mut self, signals: &[Signal]) {
        let kept_from = self.kept_from(signals);
        self.learn_marks(&kept_from);
        if !kept_from.contains(&Asker::Rule(Reason::UnexpectedAdminAction)) {
            self.learn_admin();
        }
        if !kept_from.contains(&Asker::Rule(Reason::IpAddress)) {
            self.learn_whereabouts();
        }
    }

    /// Who may not learn from the event, because somebody else may be behind it: a rule that found something in it
    /// itself, unless the network is trusted, and one of whose reason there is a case that the event may be part of;
    /// decision, if that holds for any reason.
    fn kept_from(&self, signals: &[Signal]) -> Vec<Asker> {
        let found = signals.iter().map(Signal::reason).filter(|_| !self.facts.is_trusted);
        let session = self.session();
        let open = self.state.cases.iter().flat_map(|cases| cases.touch(session));
        let against: Vec<Reason> = found.chain(open).collect();
        let minds = |asker: &Asker| match asker {
            Asker::Decision => !against.is_empty(),
            Asker::Rule(Reason::UnexpectedAdminAction) if self.is_foreign() => true,
            Asker::Rule(reason) => against.contains(reason),
        };
        Asker::ALL.into_iter().filter(minds).collect()
    }

    /// Counts the day for the event's marks. What an upgrade changed is as well known as what it was before.
    fn learn_marks(&mut self, kept_from: &[Asker]) {
        let public = self.event.ip.is_some_and(is_public);
        if !public || !self.is_own() {
            return;
        }
        let today = day(self.event.time);
        let client = Client::of(self.event);
        let session = self.session().and_then(|id| self.state.sessions.get(id));
        let upgraded = session.and_then(|session| session.holders.upgraded(self.event.time));
        let UserState { sessions, marks, .. } = &mut *self.state;
        let replaced = upgraded.into_iter().chain(sessions.before_update(client));
        let evicted = replaced.filter(|from| marks.inherit(MarkKind::Tls, *from, client.tls, today, kept_from)).count();
        self.count(Total::MarksEvicted, evicted as u64);
        for (kind, print) in self.marks().chain(self.agent_mark()) {
            let evicted = self.state.marks.learn(kind, print, today, kept_from);
            self.count(Total::MarksEvicted, u64::from(evicted));
        }
    }

    /// Notes what was found on the cases it belongs to, and raises the rest as one anomaly.
    fn raise(&mut self, signals: &[Signal]) {
        let (at, time, session) = (self.event.at, self.event.time, self.session());
        let mut reasons: Vec<Reason> = signals.iter().map(Signal::reason).collect();
        reasons.sort_unstable();
        reasons.dedup();
        let cases = self.state.cases.get_or_insert_default();
        reasons.retain(|reason| !cases.note(session, *reason, at, time));
        if reasons.is_empty() {
            return;
        }
        let text = (self.read_text)(self.event);
        let previous_ua = self.previous_ua();
        let tool = self.references.tool(self.event.tls);
        let scene = Scene { text: &text, time, previous_ua: &previous_ua, tool };
        let fresh = signals.iter().filter(|signal| reasons.contains(&signal.reason()));
        let evidence = fresh.flat_map(|signal| signal.evidence(&scene)).collect();
        let anomaly = self.anomaly(&text, reasons, evidence, false);
        for reason in &anomaly.reasons {
            self.open_case(&anomaly, *reason);
        }
        (self.emit)(DetectOut::Anomaly(Box::new(anomaly)));
    }

    fn open_case(&mut self, anomaly: &Anomaly, reason: Reason) {
        let session = self.session();
        let case = Case {
            session,
            session_id: anomaly.session.clone().filter(|_| session.is_some()),
            reason,
            anomaly_id: anomaly.id.clone(),
            count: 1,
            first: self.event.time,
            last: self.event.time,
            quiet_since: self.event.at,
            actor: anomaly.actor.clone(),
            place: anomaly.place.clone(),
        };
        if let Some(evicted) = self.state.cases.get_or_insert_default().open(case) {
            self.count(Total::CasesEvicted, 1);
            let closed = evicted.close(self.event.at, self.event.kind, self.facts.org, self.facts.name);
            (self.emit)(DetectOut::CaseClosed(Box::new(closed)));
        }
    }

    /// An anomaly found elsewhere is counted, and raised if the job says so. It is a report, not an act of the user's:
    /// no rule looks at it, and repetition is for its finder to judge.
    fn imported(&mut self) {
        self.count(Total::ImportedAnomalies, 1);
        if !self.settings.respond_to_imported || self.event.kind != KeyKind::User {
            return;
        }
        let text = (self.read_text)(self.event);
        let mut reasons: Vec<Reason> = text.reasons.iter().filter_map(|code| code.parse().ok()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        if reasons.is_empty() {
            return;
        }
        let evidence = reasons.iter().map(|reason| Evidence {
            reason: reason.code().to_owned(),
            metric: "imported".to_owned(),
            event_ids: vec![text.id.clone()],
            ..Evidence::default()
        });
        let anomaly = self.anomaly(&text, reasons.clone(), evidence.collect(), true);
        (self.emit)(DetectOut::Anomaly(Box::new(anomaly)));
    }

    /// The agent that the session had before the event's.
    fn previous_ua(&self) -> String {
        let session = self.session().and_then(|id| self.state.sessions.get(id));
        session.map_or_else(String::new, |session| self.state.agents.text(session.previous_agent()))
    }

    fn anomaly(&self, text: &EventText, reasons: Vec<Reason>, evidence: Vec<Evidence>, imported: bool) -> Anomaly {
        let event = self.event;
        let Facts { org, name: user, .. } = self.facts;
        let kind: &[u8] = match event.kind {
            KeyKind::User => b"user",
            KeyKind::App => b"app",
        };
        let session = self.session().and_then(|id| self.state.sessions.get(id));
        let today = day(event.time);
        let (client, marks) = (Client::of(event), self.state.marks.to(Asker::Decision));
        let known = |(kind, print)| {
            let replaced = self.state.sessions.before_update(client).filter(|_| kind == MarkKind::Tls);
            let known = iter::once(print).chain(replaced).any(|print| marks.knows(kind, print, today));
            Mark { kind, known }
        };
        Anomaly {
            id: Id::of("anomaly", &[org.as_bytes(), kind, user.as_bytes(), event.id()]),
            at: event.at,
            time: event.time,
            org: org.to_owned(),
            user: user.to_owned(),
            kind: event.kind,
            reasons,
            evidence,
            actor: text.actor.clone(),
            place: text.location.clone(),
            ua: text.ua.clone(),
            session: text.session_id.clone(),
            ip_address: text.ip_address.clone(),
            previous_ip_address: session.map_or_else(String::new, |session| session.previous_ip()),
            previous_ua: self.previous_ua(),
            location: event.country.map_or_else(String::new, whereabouts::name),
            first_seen: session.map_or(event.at, |session| session.first_seen),
            marks: self.marks().map(known).collect(),
            by_app: event.by_app,
            is_external: event.is_external,
            imported,
        }
    }
}
