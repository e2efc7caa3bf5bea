//! How an event meets the rules on agents and clients: what it claims, what was measured, and what of both is known.

use super::super::client::Print;
use super::super::known::Asker;
use super::super::record::DetectOut;
use super::super::session_fingerprint::order_known;
use super::super::signal::Signal;
use super::super::spoofed_user_agent::By;
use super::super::user_agent::{Odd, odd};
use super::super::user_agent_parser::Claim;
use super::super::{spoofed_user_agent, unexpected_client, unexpected_scraping, unexpected_user_agent};
use super::Judge;
use crate::baseline::{Metric, Rollback, WentDown};
use crate::limits::SCRAPING_PARTS;
use crate::model::anomaly::MarkKind;
use crate::model::event::Action;
use crate::model::reason::Reason;
use crate::model::software::Nature;
use engine::time::Span;

impl Judge<'_> {
    /// Evaluates the rules on agents and clients. The session has not followed the event yet.
    pub(super) fn agents(&mut self, signals: &mut Vec<Signal>) {
        let event = self.event;
        // A failed login is nobody's act but of whoever knows the name.
        if !self.is_persons() || event.action == Action::LoginFailed {
            return;
        }
        let claim = self.claim();
        // The two come together, and still neither asks what the other knows.
        let unexpected =
            |asker| unexpected_user_agent::is_odd(&claim) && !self.knows(asker, MarkKind::Agent, claim.family);
        let (to_one, to_other) = (unexpected(Reason::UserAgent), unexpected(Reason::UnexpectedUserAgent));
        if self.agent_changed(&claim) || to_one {
            signals.push(Signal::AgentChanged);
        }
        if to_other {
            signals.push(Signal::UnexpectedAgent(claim.software.program.nature()));
        }
        let is_tool = self.references.tool(event.tls).is_some();
        let spoofed = spoofed_user_agent::check(claim.software, event.measured, is_tool);
        let script = unexpected_client::check(event.measured, is_tool);
        signals.extend(spoofed.map(Signal::SpoofedAgent));
        let alone = script.filter(|_| !self.knows_client(Reason::UnexpectedClient));
        signals.extend(spoofed.or(alone).map(Signal::UnexpectedClient));
        if unexpected_scraping::is_of_tools(event.action) {
            // The table's word first: it names the tool, where the measured client may only name its language.
            let by_table = is_tool.then_some(By::Tls);
            let is_own = spoofed.is_none() && self.knows_client(Reason::UnexpectedScraping);
            let tool = by_table.or(script).filter(|_| !is_own);
            signals.extend(tool.map(Signal::ScrapingTool));
        }
    }

    /// What the event's agent claims; nothing without an agent.
    fn claim(&self) -> Claim {
        self.state.agents.claim(Print::of(self.event.agent))
    }

    /// Whether the agent of the event's session changes with it as it should not.
    fn agent_changed(&mut self, claim: &Claim) -> bool {
        let (event, agent) = (self.event, Print::of(self.event.agent));
        let Some(session) = self.session().and_then(|id| self.state.sessions.get(id)) else { return false };
        let before = session.agent();
        if event.time < session.newest || !agent.differs(before) || !order_known(session.newest, event.time) {
            return false;
        }
        match odd(&self.state.agents.claim(before), claim) {
            None => false,
            Some(Odd::Other) => true,
            Some(Odd::Lower) => !session.lingers(agent, event.time) && !self.is_taken_back(claim),
        }
    }

    /// Whether the org is known to go down to this version. Says that this user went down to it.
    fn is_taken_back(&mut self, claim: &Claim) -> bool {
        let event = self.event;
        let rollback = Rollback { family: claim.family.0, version: claim.version.0 };
        let (org, user) = (self.facts.org.to_owned(), Print::of(Some(event.key_hash)).0);
        (self.emit)(DetectOut::WentDown(WentDown { at: event.at, org, rollback, user }));
        self.facts.set.is_some_and(|org| org.took_back(rollback, event.at))
    }

    fn knows(&self, asker: Reason, kind: MarkKind, print: Print) -> bool {
        self.state.marks.to(Asker::Rule(asker)).knows(kind, print, super::day(self.event.time))
    }

    /// Whether the user is known by the measured client, or where none was measured by the TLS fingerprint.
    fn knows_client(&self, asker: Reason) -> bool {
        match Print::of(self.event.client) {
            client if client.is_some() => self.knows(asker, MarkKind::Client, client),
            _ => self.knows(asker, MarkKind::Tls, Print::of(self.event.tls)),
        }
    }

    /// The mark by which an agent is known that people do not have.
    pub(super) fn agent_mark(&self) -> Option<(MarkKind, Print)> {
        let claim = self.claim();
        unexpected_user_agent::is_odd(&claim).then_some((MarkKind::Agent, claim.family))
    }

    /// Whether the event reads what was not read within the last hour.
    pub(super) fn reads_anew(&mut self) -> bool {
        let minute = (self.event.time.0 / Span::from_mins(1).0) as u32;
        self.state.reads.get_or_insert_default().take(Print::of(self.event.entity), minute)
    }

    /// Whether an excess of distinct reads is that of somebody who copies: steadily, and by none of Slack's apps.
    pub(super) fn copies_steadily(&self, signal: &Signal) -> bool {
        let Signal::Volume(_, excess) = signal else { return false };
        let volume = self.state.volumes.as_ref().and_then(|volumes| volumes.get(Metric::DistinctReads));
        let steady = volume.is_some_and(|volume| volume.parts(excess) >= SCRAPING_PARTS);
        steady && !self.is_native()
    }

    /// Whether the event comes from one of Slack's apps, as far as claim and measurement go together.
    fn is_native(&self) -> bool {
        let (claimed, measured) = (self.claim().software, self.event.measured);
        match claimed.program.nature() {
            Nature::Native => !claimed.is_contradicted_by(measured) && self.references.tool(self.event.tls).is_none(),
            Nature::Unknown => measured.program.nature() == Nature::Native,
            _ => false,
        }
    }
}
