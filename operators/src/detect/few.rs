//! Small counts: a few events of a kind within a window are too many, whoever does them and however usual it is. Owned
//! here: what the rules that count so have in common; what each counts stands in the file of its reason.
//!
//! Rule: the window that holds the event has at least `bar` of what a rule counts. Where a rule counts distinct things,
//! a thing seen twice counts once; what an event does not name counts each time. Time is in whole seconds of event
//! time, and a late event counts in its own. As with volumes, what a session was raised for is not held against another,
//! and what came from trusted networks not against anything else.
//!
//! Bounded by [`FEW_MAX`], oldest first; of one thing only the newest is kept. Thresholds are fixed: such counts have no
//! usual height that an org could teach.

use super::client::Print;
use super::volume::{Source, TRUSTED, origin};
use super::{excessive_malware_uploads, potential_spam, unexpected_credential_testing};
use crate::limits::FEW_MAX;
use crate::model::anomaly::Evidence;
use crate::model::event::{Event, EventText};
use crate::model::reason::Reason;
use engine::time::{Micros, Span};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A rule that counts a few.
#[derive(Debug)]
pub struct Rule {
    /// The reason.
    pub reason: Reason,
    /// The name of the count in evidence.
    pub metric: &'static str,
    /// So many are too many.
    pub bar: usize,
    /// Within so long.
    pub window: Span,
    /// Whether an event counts.
    pub counts: fn(&Event) -> bool,
    /// Hash of the thing that counts once; `None` counts by itself.
    pub thing: fn(&Event) -> Option<u64>,
    /// A field of Slack's own that goes with it, by name, if the event has it.
    pub field: fn(&EventText) -> Option<(&'static str, String)>,
}

/// Every rule. Their places are part of the format of rows: new ones come last.
pub const RULES: [Rule; 4] = [
    excessive_malware_uploads::RULE,
    potential_spam::RULE,
    unexpected_credential_testing::FAILURES,
    unexpected_credential_testing::PERSONS,
];

/// Too many of what a rule counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// How many.
    pub count: usize,
    /// End of the window.
    pub end: Micros,
}

/// An event that counts.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    /// Event time.
    pub time: Micros,
    /// Print of the session, absent if none.
    pub session: Print,
    /// Whether it came from a trusted network.
    pub trusted: bool,
    /// What counts once, absent if nothing does.
    pub thing: Print,
}

/// What is remembered of the small counts of a user or app, of each rule that has any, by its place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts(#[serde(with = "super::short")] Vec<(u8, Few)>);

/// Recent events of one rule, in order of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Few(#[serde(with = "super::short")] Vec<Seen>);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    second: u32,
    source: Source,
    thing: Print,
}

impl Counts {
    /// The count of the rule at this place, empty if there was none.
    pub fn open(&mut self, place: usize) -> &mut Few {
        let place = place as u8;
        let index = self.0.partition_point(|(other, _)| *other < place);
        if self.0.get(index).is_none_or(|(other, _)| *other != place) {
            self.0.insert(index, (place, Few::default()));
        }
        &mut self.0[index].1
    }

    /// All of them by metric, for people: what is in the window that ends at `now`.
    pub fn view(&self, now: Micros) -> Value {
        let view = |(place, few): &(u8, Few)| {
            let rule = RULES.get(usize::from(*place))?;
            let since = now.minus(rule.window).secs();
            let within = few.0.iter().filter(|seen| u64::from(seen.second) > since);
            let newest = few.0.last().map(|seen| u64::from(seen.second) * 1_000_000);
            let fields = json!({
                "count": distinct(within),
                "threshold": rule.bar,
                "threshold_source": "fixed",
                "newest_us": newest,
            });
            Some((rule.metric.to_owned(), fields))
        };
        Value::Object(self.0.iter().filter_map(view).collect())
    }

    /// Roughly the bytes on the heap.
    pub fn weight(&self) -> usize {
        let seen: usize = self.0.iter().map(|(_, few)| few.weight()).sum();
        self.0.capacity() * size_of::<(u8, Few)>() + seen
    }
}

impl Few {
    /// Counts an event and judges it; `has_case` says whether a session has an open case of the rule's reason.
    pub fn check(&mut self, rule: &Rule, counted: &Count, has_case: impl Fn(Source) -> bool) -> Option<Crowd> {
        let own = origin(counted.session);
        let source = if counted.trusted { TRUSTED } else { own };
        let seen = Seen { second: counted.time.secs() as u32, source, thing: counted.thing };
        let window = (rule.window.0 / 1_000_000) as u32;
        self.count(seen, window);
        let held = |other: &&Seen| match other.source {
            TRUSTED => counted.trusted,
            other => other == own || !has_case(other),
        };
        let ends = self.0.iter().map(|end| end.second).filter(|end| (seen.second..seen.second + window).contains(end));
        let within = |end: u32| self.0.iter().filter(move |other| other.second <= end && other.second + window > end);
        let most = ends.map(|end| (distinct(within(end).filter(held)), end)).max_by_key(|(count, _)| *count);
        let (count, end) = most.filter(|(count, _)| *count >= rule.bar)?;
        Some(Crowd { count, end: Micros::from_secs(u64::from(end)) })
    }

    /// Roughly the bytes on the heap.
    pub fn weight(&self) -> usize {
        self.0.capacity() * size_of::<Seen>()
    }

    fn count(&mut self, seen: Seen, window: u32) {
        let newest = self.0.last().map_or(seen.second, |last| last.second.max(seen.second));
        // Another window beside the present one, in which what comes late may fall.
        self.0.retain(|other| other.second + 2 * window > newest);
        let same = |other: &Seen| seen.thing.is_some() && (other.thing, other.source) == (seen.thing, seen.source);
        if let Some(index) = self.0.iter().position(same) {
            if self.0[index].second >= seen.second {
                return;
            }
            self.0.remove(index);
        }
        let index = self.0.partition_point(|other| other.second <= seen.second);
        self.0.insert(index, seen);
        if self.0.len() > FEW_MAX {
            self.0.remove(0);
        }
    }
}

fn distinct<'a>(seen: impl Iterator<Item = &'a Seen>) -> usize {
    let (named, nameless): (Vec<Print>, Vec<Print>) = seen.map(|seen| seen.thing).partition(|thing| thing.is_some());
    let mut things = named;
    things.sort_unstable();
    things.dedup();
    things.len() + nameless.len()
}

/// What to show for too many, given the strings of the last event.
pub fn evidence(rule: &Rule, crowd: &Crowd, text: &EventText) -> Vec<Evidence> {
    let count = Evidence {
        reason: rule.reason.code().to_owned(),
        metric: rule.metric.to_owned(),
        observed: crowd.count.to_string(),
        threshold: rule.bar.to_string(),
        threshold_source: "fixed".to_owned(),
        window_start: Some(crowd.end.minus(rule.window)),
        window_end: Some(crowd.end),
        event_ids: vec![text.id.clone()],
        ..Evidence::default()
    };
    let field = (rule.field)(text).map(|(metric, observed)| Evidence {
        reason: count.reason.clone(),
        metric: metric.to_owned(),
        observed,
        event_ids: vec![text.id.clone()],
        ..Evidence::default()
    });
    [Some(count), field].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_can_be_reached() {
        assert!(RULES.iter().all(|rule| rule.bar <= FEW_MAX));
    }
}
