//! The thresholds that orgs have taught. Owned here: which were sent, so that nothing is said twice, and the hour until
//! they apply. An org that has taught next to nothing has none here; detection then holds to what is set for such orgs.

use super::{Class, Quantile, Subject, Threshold, VolumeRule, VolumeRules};
use crate::limits::{HOURS_SAMPLES, LEARNING, PRIOR_SAMPLES, THRESHOLD_DELAY};
use engine::error::Error;
use engine::keyed::{Context, Logic, Record};
use engine::state::{Row, RowKey};
use engine::time::{Micros, Span};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::collections::BTreeMap;

impl Record for Quantile {
    fn at(&self) -> Micros {
        self.at
    }

    fn key(&self) -> RowKey<'_> {
        RowKey::of(self.org.as_bytes())
    }

    fn order(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }
}

/// The thresholds of an org: of each distribution its quantile, the threshold in force, and those sent that do not apply
/// yet, oldest first. A class of hours leans on the quantile of all hours, so a change of that is one of every class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OrgThresholds {
    sent: BTreeMap<Subject, Vec<Sent>>,
    /// Value and number of samples.
    quantiles: BTreeMap<Subject, (u64, u64)>,
    /// When the org taught anything first.
    since: Option<Micros>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Sent {
    at: Micros,
    value: u64,
    samples: u64,
}

impl Row for OrgThresholds {
    const TYPE: u16 = 22;
    const VERSION: u16 = 2;
    const TTL: Option<Span> = None;

    fn weight(&self) -> usize {
        size_of::<Self>() + self.sent.values().map(|sent| 128 + sent.len() * size_of::<Sent>()).sum::<usize>()
    }
}

impl OrgThresholds {
    /// By metric, for people: what is in force at `now` and what will be. What an org has not taught is not there.
    pub fn view(&self, now: Micros) -> Value {
        let one = |sent: &Sent| json!({"from_us": sent.at.0, "value": sent.value, "samples": sent.samples});
        let view = |(subject, sent): (&Subject, &Vec<Sent>)| {
            let in_force = sent.iter().rfind(|sent| sent.at <= now).map(one);
            let pending: Vec<Value> = sent.iter().filter(|sent| sent.at > now).map(one).collect();
            let name = format!("{} {}", subject.metric.name(), subject.class.name());
            (name.trim_end().to_owned(), json!({"in_force": in_force, "pending": pending}))
        };
        Value::Object(self.sent.iter().map(view).collect())
    }

    /// What the org has taught of a distribution and is in force at `now`.
    pub fn taught(&self, subject: Subject, now: Micros) -> Option<(u64, u64)> {
        let sent = self.sent.get(&subject)?.iter().rfind(|sent| sent.at <= now)?;
        Some((sent.value, sent.samples))
    }

    /// Takes up a quantile. Returns what is to be sent: the thresholds that differ from what was sent last.
    fn learn(&mut self, now: Micros, quantile: Quantile, rule: &VolumeRule) -> Vec<Threshold> {
        let Quantile { org, subject, value, samples, .. } = quantile;
        self.quantiles.insert(subject, (value, samples));
        let metric = subject.metric;
        let all = self.quantiles.get(&Subject { metric, class: Class::ALL_HOURS }).copied().unwrap_or_default();
        let touched = |other: &Subject| match subject.class {
            Class::ALL_HOURS => other.metric == metric,
            _ => *other == subject,
        };
        // Once it has had one of its own, an org keeps it, and a class does: with few samples it comes close to the prior,
        // or to that of all hours.
        let is_new = now.since(*self.since.get_or_insert(now)) < LEARNING;
        let sent = &self.sent;
        let has_own = |subject: &Subject, samples: u64| {
            let enough = if subject.class == Class::ALL_HOURS { PRIOR_SAMPLES } else { HOURS_SAMPLES };
            samples >= enough && !is_new || sent.contains_key(subject)
        };
        let concerned = self.quantiles.iter().filter(|(other, own)| touched(other) && has_own(other, own.1));
        let concerned: Vec<(Subject, (u64, u64))> = concerned.map(|(subject, own)| (*subject, *own)).collect();
        let mut changed = Vec::new();
        for (subject, own) in concerned {
            let value = match subject.class {
                Class::ALL_HOURS => rule.threshold(own.0, own.1),
                _ => rule.threshold_of_hours(all, own),
            };
            let next = Sent { at: now.plus(THRESHOLD_DELAY), value, samples: own.1 };
            if send(self.sent.entry(subject).or_default(), now, next) {
                changed.push(next.of(org.clone(), subject));
            }
        }
        changed
    }
}

/// Puts a threshold behind those sent, unless it is the last one's; and lets go of those that are no longer in force.
fn send(sent: &mut Vec<Sent>, now: Micros, next: Sent) -> bool {
    let in_force = sent.iter().rposition(|sent| sent.at <= now);
    sent.drain(..in_force.unwrap_or(0));
    let new = sent.last().is_none_or(|last| last.value != next.value);
    if new {
        sent.push(next);
    }
    new
}

impl Sent {
    fn of(self, org: String, subject: Subject) -> Threshold {
        Threshold { at: self.at, org, subject, value: self.value, samples: self.samples }
    }
}

/// The third stage: from quantiles to thresholds.
pub struct Thresholds {
    rules: VolumeRules,
}

impl Thresholds {
    /// Thresholds by these rules.
    pub fn new(rules: VolumeRules) -> Self {
        Thresholds { rules }
    }
}

impl Logic for Thresholds {
    type Record = Quantile;
    type Row = OrgThresholds;
    type Out = Threshold;
    const PORTS: usize = 1;

    fn port(_: &Threshold) -> usize {
        0
    }

    fn apply(&mut self, quantile: Quantile, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let row = context.rows.write(quantile.key())?.get_or_insert_default();
        let rule = self.rules.of(quantile.subject.metric);
        row.learn(context.now, quantile, rule).into_iter().for_each(|threshold| context.out.emit(threshold));
        Ok(())
    }

    fn restored(&mut self, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let Context { now, rows, out, .. } = context;
        rows.scan(|key, row| {
            let org = std::str::from_utf8(key.bytes).expect("the key is an org's name");
            for (subject, sent) in &row.sent {
                let in_force = sent.iter().rposition(|sent| sent.at <= *now).unwrap_or(0);
                sent[in_force..].iter().for_each(|sent| out.emit(sent.of(org.to_owned(), *subject)));
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Metric;

    const SUBJECT: Subject = Subject { metric: Metric::FileDownloads, class: Class::ALL_HOURS };

    #[test]
    fn a_threshold_is_sent_once_an_hour_ahead_and_the_one_in_force_is_kept() {
        let rule = VolumeRule::new(1, 1.0, 0, 1);
        let mut row = OrgThresholds { since: Some(Micros::ZERO), ..OrgThresholds::default() };
        let mut learn = |mins: u64, value| {
            let at = Micros::from_secs(mins * 60).plus(LEARNING);
            let quantile = Quantile { at, org: "E1".to_owned(), subject: SUBJECT, value, samples: 1_000_000_000 };
            let sent = row.learn(at, quantile, &rule).pop();
            sent.map(|threshold| (threshold.at.minus(LEARNING).secs() / 60, threshold.value))
        };
        // A prior of zero pulls the quantile just under its value.
        assert_eq!(learn(0, 21), Some((60, 20)));
        assert_eq!(learn(10, 21), None);
        assert_eq!(learn(20, 31), Some((80, 30)));
        assert_eq!(learn(30, 21), Some((90, 20)));
        assert_eq!(learn(85, 21), None);
        let kept: Vec<u64> = row.sent[&SUBJECT].iter().map(|sent| sent.at.minus(LEARNING).secs() / 60).collect();
        assert_eq!(kept, [80, 90]);
    }
    #[test]
    fn hours_lean_on_all_hours_and_change_with_them() {
        let rule = VolumeRule::new(1, 1.0, 100, 1);
        let mut row = OrgThresholds::default();
        let mut now = Micros(1);
        let mut learn = |class, value, samples| {
            let subject = Subject { metric: Metric::FileDownloads, class };
            let quantile = Quantile { at: now, org: "E1".to_owned(), subject, value, samples };
            let sent = row.learn(now, quantile, &rule);
            now = now.plus(LEARNING);
            sent.into_iter().map(|threshold| (threshold.subject.class, threshold.value)).collect::<Vec<_>>()
        };
        let night = Class(1);
        assert_eq!(learn(Class::ALL_HOURS, 20, 1_000), [], "new");
        assert_eq!(learn(Class::ALL_HOURS, 20, 199), []);
        assert_eq!(learn(Class::ALL_HOURS, 0, 0), []);
        assert_eq!(learn(night, 200, 499), []);
        assert_eq!(learn(night, 200, 600), [(night, 175)]);
        assert_eq!(learn(Class::ALL_HOURS, 20, 200), [(Class::ALL_HOURS, 60), (night, 165)]);
        assert_eq!(learn(night, 200, 600), []);
        assert_eq!(learn(night, 200, 0), [(night, 60)]);
    }
}
