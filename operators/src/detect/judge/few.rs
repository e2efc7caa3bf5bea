//! How an event meets the small counts.

use super::super::client::Print;
use super::super::few::{Count, RULES};
use super::super::signal::Signal;
use super::super::state::UserState;
use super::super::volume::origin;
use super::Judge;

impl Judge<'_> {
    /// Counts the event for every rule that it concerns. Of two with one reason, the first speaks.
    pub(super) fn few(&mut self, signals: &mut Vec<Signal>) {
        let event = self.event;
        for (place, rule) in RULES.iter().enumerate().filter(|(_, rule)| (rule.counts)(event)) {
            let counted = Count {
                time: event.time,
                session: Print::of(self.session()),
                trusted: self.facts.is_trusted,
                thing: Print::of((rule.thing)(event)),
            };
            let UserState { few, cases, .. } = &mut *self.state;
            let has_case = |slot| {
                let of_slot = |session: Option<u64>| origin(Print::of(session)) == slot;
                cases.as_ref().is_some_and(|cases| cases.has(rule.reason, of_slot))
            };
            let crowd = few.get_or_insert_default().open(place).check(rule, &counted, has_case);
            let is_new = signals.iter().all(|signal| signal.reason() != rule.reason);
            signals.extend(crowd.filter(|_| is_new).map(|crowd| Signal::Crowd(rule, crowd)));
        }
    }
}
