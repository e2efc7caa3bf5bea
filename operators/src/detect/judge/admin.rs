//! How an event meets what is usual for an admin.

use super::super::client::Print;
use super::super::few::Count;
use super::super::known::Asker;
use super::super::marks::KnownMarks;
use super::super::record::Standing;
use super::super::signal::Signal;
use super::super::state::UserState;
use super::super::unexpected_admin_action::Origin;
use super::super::volume::origin;
use super::Judge;
use crate::model::anomaly::MarkKind;
use crate::model::event::Action;
use crate::model::reason::Reason;

const ASKER: Asker = Asker::Rule(Reason::UnexpectedAdminAction);

impl Judge<'_> {
    /// Judges an administrative action.
    pub(super) fn admin_action(&mut self) -> Option<Signal> {
        let kind = self.admin_kind()?;
        let from = Origin {
            strange_network: self.is_strange(|kind| kind == MarkKind::Network, KnownMarks::had),
            strange_client: self.is_strange(|kind| kind != MarkKind::Network, KnownMarks::knows),
        };
        let counted = Count {
            time: self.event.time,
            session: Print::of(self.session()),
            trusted: self.facts.is_trusted,
            thing: kind,
        };
        let UserState { admin, cases, .. } = &mut *self.state;
        let has_case = |slot| {
            let of_slot = |session: Option<u64>| origin(Print::of(session)) == slot;
            cases.as_ref().is_some_and(|cases| cases.has(Reason::UnexpectedAdminAction, of_slot))
        };
        admin.get_or_insert_default().check(&counted, from, has_case).map(Signal::AdminAction)
    }

    /// Takes up when an admin is active and what they do.
    pub(super) fn learn_admin(&mut self) {
        let kind = self.admin_kind();
        let is_admin = kind.is_some() || self.state.standing.is_some_and(|Standing { is_admin, .. }| is_admin);
        if is_admin && self.is_persons() {
            self.state.admin.get_or_insert_default();
        }
        if let Some(history) = self.state.admin.as_mut() {
            history.learn(self.event.time, kind);
        }
    }

    /// Which administrative action it is, if it is one and the person's own.
    fn admin_kind(&self) -> Option<Print> {
        match self.event.action {
            Action::Administrative(name) if self.is_persons() => Some(Print(name.max(1))),
            _ => None,
        }
    }

    /// Whether the event has marks of such kinds and none of them is one that the user has.
    fn is_strange(&self, of: fn(MarkKind) -> bool, has: fn(&KnownMarks, MarkKind, Print, u16) -> bool) -> bool {
        let today = super::day(self.event.time);
        let mut marks = self.marks().filter(|(kind, _)| of(*kind)).peekable();
        let own = self.state.marks.to(ASKER);
        marks.peek().is_some() && !marks.any(|(kind, print)| has(own, kind, print, today))
    }

    /// Whether nothing vouches for where the event came from: outside trusted networks, one in which a user who is
    /// known by another was not seen on enough days, with a client that is not known either, or at a cloud provider's.
    pub(super) fn is_foreign(&self) -> bool {
        let today = super::day(self.event.time);
        let cloud = || self.event.asn.is_some_and(|asn| self.references.is_cloud(asn));
        self.is_strange(|kind| kind == MarkKind::Network, KnownMarks::knows)
            && self.state.marks.to(ASKER).knows_any(MarkKind::Network, today)
            && (cloud() || self.is_strange(|kind| kind != MarkKind::Network, KnownMarks::knows))
            && !self.facts.is_trusted
    }
}
