//! How an event meets the counts of volume rules: against which bar, and whether it is learned from.

use super::super::cases::Cases;
use super::super::client::Print;
use super::super::record::DetectOut;
use super::super::signal::{Bar, BarSource, Signal};
use super::super::state::UserState;
use super::super::volume::{Count, Moved, RULES, Rule, Teaches, origin};
use super::Judge;
use crate::baseline::{Class, Metric, Move, Subject, quarter};
use crate::limits::{PRIOR_SAMPLES, USER_NEW, WINDOW_MINUTES};
use crate::model::event::KeyKind;
use engine::time::Span;

/// Of each volume rule that the event counts for, by its place in [`RULES`]: how, and the user's peak with it.
pub(super) type Counted = [Option<(Count, u32)>; RULES.len()];

impl Judge<'_> {
    /// Counts the event for every volume rule that it concerns.
    pub(super) fn volumes(&mut self, signals: &mut Vec<Signal>) -> Counted {
        let mut all = [None; RULES.len()];
        for (place, rule) in self.counting() {
            let reads = rule.metric == Metric::DistinctReads;
            let counted = self.count_for(rule);
            let peak = if !reads || self.reads_anew() {
                let (signal, peak) = self.volume(rule, &counted);
                signals.extend(signal.filter(|signal| !reads || self.copies_steadily(signal)));
                peak
            } else {
                let volume = self.state.volumes.as_ref().and_then(|volumes| volumes.get(rule.metric));
                volume.map_or(0, |volume| volume.peak(counted.time))
            };
            all[place] = Some((counted, peak));
        }
        all
    }

    /// The volume rules that the event counts for, with their places.
    fn counting(&self) -> impl Iterator<Item = (usize, &'static Rule)> + use<> {
        let event = self.event;
        let action = event.action;
        let counts = event.ok && (event.kind == KeyKind::App || !event.by_app);
        // What an app reads for many people has no breadth that could be odd; what names no entity is not distinct.
        let reads = event.kind == KeyKind::User && event.entity.is_some();
        let concerned = move |rule: &&Rule| reads || rule.metric != Metric::DistinctReads;
        let rules = RULES.iter().enumerate().filter(move |(_, rule)| counts && (rule.counts)(action));
        rules.filter(move |(_, rule)| concerned(rule))
    }

    fn volume(&mut self, rule: &'static Rule, counted: &Count) -> (Option<Signal>, u32) {
        let bar = self.bar(rule);
        let UserState { volumes, cases, .. } = &mut *self.state;
        let volume = volumes.get_or_insert_default().open(rule.metric);
        let bar = volume.bar(bar);
        let has_case = |slot| {
            let of_slot = |session: Option<u64>| origin(Print::of(session)) == slot;
            cases.as_ref().is_some_and(|cases| cases.has(rule.reason, of_slot))
        };
        volume.check(rule, counted, has_case, bar)
    }

    /// The org's bar before the user's own habit: that of the hours in which the event's window begins, or of those in
    /// which it ends, whichever is higher.
    fn bar(&self, rule: &Rule) -> Bar {
        let end = self.event.time;
        let begin = end.minus(Span::from_mins(u64::from(WINDOW_MINUTES) - 1));
        let of = |class| self.facts.set.and_then(|org| org.taught(Subject { metric: rule.metric, class }));
        let at = |time| of(Class::of_quarter(quarter(time))).or_else(|| of(Class::ALL_HOURS));
        match [at(end), at(begin)].into_iter().flatten().max_by_key(|taught| taught.value) {
            Some(taught) => {
                let source = BarSource::Org(taught.subject.class);
                Bar { value: taught.value, source, samples: taught.samples }
            }
            None => {
                let value = self.settings.volumes.of(rule.metric).untaught();
                Bar { value, source: BarSource::Prior, samples: 0 }
            }
        }
    }

    fn count_for(&self, rule: &Rule) -> Count {
        Count {
            time: self.event.time,
            session: Print::of(self.session()),
            trusted: self.facts.is_trusted,
            learned: self.is_learned_from(rule.reason),
        }
    }

    /// Takes the event into the samples of the day that it counts for.
    pub(super) fn learn_volumes(&mut self, counted: &Counted) {
        for (rule, counted) in RULES.iter().zip(counted) {
            if let Some((counted, peak)) = counted {
                self.learn_volume(rule, counted, *peak);
            }
        }
    }

    fn learn_volume(&mut self, rule: &'static Rule, counted: &Count, peak: u32) {
        let has_case = |cases: &Cases| cases.has(rule.reason, |_| true);
        let teaches = self.teaches(rule);
        // An org that has taught little may be one where such counts are usual: left out from the start, they would
        // never be learned, and its heaviest users would be anomalous for good.
        let spoiled = teaches != Teaches::Anything && self.state.cases.as_deref().is_some_and(has_case);
        let Some(volumes) = self.state.volumes.as_mut() else { return };
        for Moved { class, day, from, to } in volumes.open(rule.metric).learn(counted, peak, spoiled, teaches) {
            let (at, org) = (self.event.at, self.facts.org.to_owned());
            let subject = Subject { metric: rule.metric, class };
            (self.emit)(DetectOut::Move(Move { at, org, subject, day, from, to }));
        }
    }

    fn teaches(&self, rule: &Rule) -> Teaches {
        let taught =
            self.facts.set.and_then(|org| org.taught(Subject { metric: rule.metric, class: Class::ALL_HOURS }));
        let Some(taught) = taught.filter(|taught| taught.samples >= PRIOR_SAMPLES) else { return Teaches::Anything };
        let is_new = self.state.first_seen.is_none_or(|first| self.event.at.since(first) < USER_NEW);
        match is_new {
            true => Teaches::Nothing,
            false => Teaches::Usual(self.settings.volumes.of(rule.metric).quantile_of(taught.value)),
        }
    }
}
