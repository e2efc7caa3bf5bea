//! Volume: a session does something far more often than anybody here within an hour. Owned here: what the volume rules
//! have in common; which events each counts stands in the file of its reason.
//!
//! Rule: more events that a rule counts in 60 consecutive minutes than the bar, which is the org's threshold (the
//! platform's prior while it has taught none), raised by the user's own long habit to at most twice that. Counts stand
//! in buckets of a minute of event time. A late event counts in its own minute and every window that holds it is judged,
//! so late arrival raises neither more nor less than arrival in time.
//!
//! What a session was raised for is not held against another: events of sessions with an open case count only for
//! those sessions. Else the user who signs in again after a reset would be over the bar with one file. Events from
//! trusted networks count for the org's distribution but are never held against the user.
//!
//! A user's highest count of the day is their sample for the org's distribution. The day's sample is taken back when a
//! case opens, when events came through Tor, or when the user is not to be learned from. Bounded by [`RING_MAX`].
//!
//! Example: bar 200; 201 files between 12:00 and 12:59 raise at the 201st; 100 at 12:00 and 101 at 13:00 do not.

use super::client::Print;
use super::marks::day;
use super::signal::{Bar, BarSource, Excess, Signal};
use super::{
    excessive_downloads, excessive_file_shares, search_volume, unexpected_api_call_volume, unexpected_message_deletion,
    unexpected_scraping,
};
use crate::baseline::Metric;
use crate::baseline::buckets::bucket;
use crate::limits::{HABIT_CAP, HABIT_DAYS, RING_MAX, RING_MINUTES, WINDOW_MINUTES};
use crate::model::event::Action;
use crate::model::reason::Reason;
use engine::time::{Micros, Span};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A volume rule: what it counts and which reason it gives.
#[derive(Debug)]
pub struct Rule {
    /// The reason.
    pub reason: Reason,
    /// What is counted, and so what thresholds it has.
    pub metric: Metric,
    /// Whether an event of this action counts.
    pub counts: fn(Action) -> bool,
}

/// Every volume rule, in the order of their metrics.
pub const RULES: [Rule; Metric::ALL.len()] = [
    excessive_downloads::RULE,
    excessive_file_shares::RULE,
    unexpected_api_call_volume::RULE,
    search_volume::RULE,
    unexpected_message_deletion::RULE,
    unexpected_scraping::RULE,
];

/// What is remembered of a user's volumes, those that there are, in the order of their metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Volumes(#[serde(with = "super::short")] Vec<(Metric, Volume)>);

impl Volumes {
    /// The volume of a metric, if there is any.
    pub fn get(&self, metric: Metric) -> Option<&Volume> {
        self.0.iter().find(|(other, _)| *other == metric).map(|(_, volume)| volume)
    }

    /// The volume of a metric, empty if there was none.
    pub fn open(&mut self, metric: Metric) -> &mut Volume {
        let place = self.0.partition_point(|(other, _)| *other < metric);
        if self.0.get(place).is_none_or(|(other, _)| *other != metric) {
            self.0.insert(place, (metric, Volume::default()));
        }
        &mut self.0[place].1
    }

    /// All of them by metric, for people.
    pub fn view(&self, now: Micros) -> Value {
        Value::Object(self.0.iter().map(|(metric, volume)| (metric.name().to_owned(), volume.view(now))).collect())
    }

    /// Roughly the bytes on the heap.
    pub fn weight(&self) -> usize {
        let rings: usize = self.0.iter().map(|(_, volume)| volume.ring.capacity() * size_of::<Slot>()).sum();
        self.0.capacity() * size_of::<(Metric, Volume)>() + rings
    }
}

/// What is remembered of one metric of a user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    #[serde(with = "super::short")]
    ring: Vec<Slot>,
    sample: Sample,
    habit: Habit,
}

/// Events of one session in one minute.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Slot {
    minute: u32,
    source: Source,
    count: u32,
}

/// Whose events a slot holds: zero for no session, else a session's print, or one of the two below.
type Source = u32;

const TRUSTED: Source = u32::MAX;
const MIXED: Source = u32::MAX - 1;

/// The user's sample of a day for the org's distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sample {
    day: u16,
    peak: u32,
    /// The histogram bucket that was reported.
    bucket: Option<u16>,
    /// Nothing is learned from this day any more.
    spoiled: bool,
}

/// The user's usual peak: an exponential mean of daily peaks with weight 1/4, in sixteenths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Habit {
    peak: u32,
    days: u8,
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
    /// Whether it may be learned from.
    pub learned: bool,
}

/// How a sample changed its histogram bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Day of the sample.
    pub day: u16,
    /// Bucket before.
    pub from: Option<u16>,
    /// Bucket after.
    pub to: Option<u16>,
}

const MINUTE: Span = Span::from_mins(1);

impl Volume {
    /// Counts an event and judges it; `has_case` says whether a session has an open case of the rule's reason.
    pub fn check(
        &mut self,
        rule: &'static Rule,
        counted: &Count,
        has_case: impl Fn(Source) -> bool,
        bar: Bar,
    ) -> Option<Signal> {
        let minute = (counted.time.0 / MINUTE.0) as u32;
        let own = origin(counted.session);
        self.count(minute, if counted.trusted { TRUSTED } else { own });
        let held = |slot: &Slot| match slot.source {
            TRUSTED => counted.trusted,
            other => other == own || !has_case(other),
        };
        let (count, end) = self.fullest(minute, held);
        (count > bar.value).then(|| {
            let end = Micros(u64::from(end + 1) * MINUTE.0);
            let start = end.minus(Span(u64::from(WINDOW_MINUTES) * MINUTE.0));
            Signal::Volume(rule, Excess { count, start, end, bar })
        })
    }

    /// In how many of a window's six parts anything counted that did not come from a trusted network.
    pub fn parts(&self, window: &Excess) -> usize {
        let (start, end) = ((window.start.0 / MINUTE.0) as u32, (window.end.0 / MINUTE.0) as u32);
        let within = self.ring.iter().filter(|slot| slot.source != TRUSTED && (start..end).contains(&slot.minute));
        within.map(|slot| (slot.minute - start) / (WINDOW_MINUTES / 6)).collect::<BTreeSet<u32>>().len()
    }

    /// What the user is held against, given the org's threshold.
    pub fn bar(&self, org: Bar) -> Bar {
        let usual = u64::from(self.habit.peak) * 3 / 32;
        if self.habit.days < HABIT_DAYS || usual <= org.value {
            return org;
        }
        Bar { value: usual.min(org.value.saturating_mul(HABIT_CAP)), source: BarSource::Habit, ..org }
    }

    /// Takes the event that was just counted into the day's sample. `spoiled`: nothing is to be learned of this day.
    pub fn learn(&mut self, counted: &Count, spoiled: bool) -> Option<Moved> {
        let today = day(counted.time);
        if today < self.sample.day {
            return None;
        }
        if today > self.sample.day {
            self.habit.close_day(&self.sample);
            self.sample = Sample { day: today, ..Sample::default() };
        }
        self.sample.spoiled |= spoiled || !counted.learned;
        let (peak, _) = self.fullest((counted.time.0 / MINUTE.0) as u32, |_| true);
        self.sample.peak = self.sample.peak.max(u32::try_from(peak).unwrap_or(u32::MAX));
        let from = self.sample.bucket;
        let to = (!self.sample.spoiled).then(|| bucket(self.sample.peak));
        self.sample.bucket = to;
        (from != to).then_some(Moved { day: today, from, to })
    }

    /// What was counted, for people: the window that ends at `now`, the day's sample and the habit.
    fn view(&self, now: Micros) -> Value {
        let minute = (now.0 / MINUTE.0) as u32;
        let within = self.ring.iter().filter(|slot| slot.minute <= minute && slot.minute + WINDOW_MINUTES > minute);
        let (trusted, counted): (Vec<&Slot>, Vec<&Slot>) = within.partition(|slot| slot.source == TRUSTED);
        let sum = |slots: &[&Slot]| slots.iter().map(|slot| u64::from(slot.count)).sum::<u64>();
        let by_minute: BTreeMap<String, u64> = self.ring.iter().fold(BTreeMap::new(), |mut minutes, slot| {
            *minutes.entry((u64::from(slot.minute) * MINUTE.0).to_string()).or_default() += u64::from(slot.count);
            minutes
        });
        json!({
            "last_hour": sum(&counted),
            "last_hour_trusted": sum(&trusted),
            "by_minute_us": by_minute,
            "day_us": u64::from(self.sample.day) * Span::from_days(1).0,
            "day_peak": self.sample.peak,
            "day_spoiled": self.sample.spoiled,
            "habit_peak": f64::from(self.habit.peak) / 16.0,
            "habit_days": self.habit.days,
        })
    }

    fn count(&mut self, minute: u32, source: Source) {
        let newest = self.ring.last().map_or(minute, |slot| slot.minute.max(minute));
        self.ring.retain(|slot| slot.minute + RING_MINUTES > newest);
        let slot = self.ring.iter_mut().rfind(|slot| slot.minute == minute && slot.source == source);
        if let Some(slot) = slot {
            slot.count += 1;
            return;
        }
        if self.ring.len() >= RING_MAX {
            self.mix();
        }
        let place = self.ring.partition_point(|slot| slot.minute <= minute);
        self.ring.insert(place, Slot { minute, source, count: 1 });
    }

    /// Counts the sessions of each minute together; what is left is at most two slots a minute.
    fn mix(&mut self) {
        let mut mixed: Vec<Slot> = Vec::with_capacity(RING_MAX);
        for slot in self.ring.drain(..) {
            let source = if slot.source == TRUSTED { TRUSTED } else { MIXED };
            match mixed.iter_mut().rev().take(2).find(|other| other.minute == slot.minute && other.source == source) {
                Some(other) => other.count += slot.count,
                None => mixed.push(Slot { source, ..slot }),
            }
        }
        self.ring = mixed;
    }

    /// The highest count in a window that holds `minute` and ends with a minute in which something counted, and that
    /// last minute.
    fn fullest(&self, minute: u32, held: impl Fn(&Slot) -> bool) -> (u64, u32) {
        let ends =
            self.ring.iter().map(|slot| slot.minute).filter(|end| (minute..minute + WINDOW_MINUTES).contains(end));
        let mut best = (0, minute);
        let mut judged = None;
        for end in ends {
            if judged.replace(end) == Some(end) {
                continue;
            }
            let within = self.ring.iter().filter(|slot| slot.minute <= end && slot.minute + WINDOW_MINUTES > end);
            let count = within.filter(|slot| held(slot)).map(|slot| u64::from(slot.count)).sum();
            if count > best.0 {
                best = (count, end);
            }
        }
        best
    }
}

/// The source that stands for a session.
pub fn origin(session: Print) -> Source {
    session.0.min(MIXED - 1)
}

impl Habit {
    fn close_day(&mut self, sample: &Sample) {
        if sample.spoiled || sample.peak == 0 {
            return;
        }
        let peak = sample.peak.min(u32::MAX / 16) * 16;
        self.peak = if self.days == 0 { peak } else { self.peak - self.peak / 4 + peak / 4 };
        self.days = self.days.saturating_add(1);
    }
}
