//! Volume: a session does something far more often than anybody here within an hour. Owned here: what the volume rules
//! have in common; which events each counts stands in the file of its reason.
//!
//! Rule: more events that a rule counts in 60 consecutive minutes than the bar, which is the org's threshold (while it
//! has taught none, what is set for such orgs), raised by the user's own long habit to at most twice that. Of two classes
//! of hours that the event's window touches, the higher threshold holds. Counts stand in buckets of a minute of event
//! time. A late event counts in its own minute and every window that holds it is judged, so late arrival raises neither
//! more nor less than arrival in time.
//!
//! What a session was raised for is not held against another: events of sessions with an open case count only for
//! those sessions. Else the user who signs in again after a reset would be over the bar with one file. Events from
//! trusted networks count for the org's distribution but are never held against the user.
//!
//! A user's highest count of the day, and of the quarter of the day, are their samples for the org's distributions. They
//! are taken back when a case opens, when events came through Tor, or when the user is not to be learned from. Once an
//! org has taught enough, a user raises its quantile on [`HIGH_DAYS_MAX`] days of a month only. Bounded by [`crate::limits::RING_MAX`].
//!
//! Example: bar 200; 201 files between 12:00 and 12:59 raise at the 201st; 100 at 12:00 and 101 at 13:00 do not.

mod ring;

pub use ring::{Source, TRUSTED, origin};

use super::client::Print;
use super::marks::day;
use super::signal::{Bar, BarSource, Excess, Signal};
use super::{
    excessive_downloads, excessive_file_shares, search_volume, unexpected_api_call_volume, unexpected_message_deletion,
    unexpected_scraping,
};
use crate::baseline::buckets::bucket;
use crate::baseline::{Class, Metric, quarter};
use crate::limits::{BASELINE_DAYS, HABIT_CAP, HABIT_DAYS, HABIT_GROWTH, HABIT_SPAN, HIGH_DAYS_MAX, WINDOW_MINUTES};
use crate::model::event::Action;
use crate::model::reason::Reason;
use engine::time::{Micros, Span};
use ring::{Ring, Slot};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

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
        let rings: usize = self.0.iter().map(|(_, volume)| volume.ring.weight()).sum();
        self.0.capacity() * size_of::<(Metric, Volume)>() + rings
    }
}

/// What is remembered of one metric of a user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    ring: Ring,
    day: Sample,
    quarter: Sample,
    habit: Habit,
    high: HighDays,
}

/// The user's sample of a day, or of a quarter of it, for the org's distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sample {
    /// Which day or quarter, since 1970.
    number: u32,
    peak: u32,
    /// The histogram bucket that was reported.
    bucket: Option<u16>,
    /// Nothing is learned from it any more.
    spoiled: bool,
}

/// The user's usual peak: the mean of daily peaks, later ones with weight 1/[`HABIT_SPAN`], in sixteenths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Habit {
    peak: u32,
    days: u8,
}

/// On how many days since one the user was above the org's quantile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct HighDays {
    since: u16,
    last: u16,
    count: u8,
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

/// What a user may teach the org.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teaches {
    /// The org has taught little so far.
    Anything,
    /// The org's quantile, and more on a few days only.
    Usual(u64),
    /// The user has only just come.
    Nothing,
}

/// How a sample changed its histogram bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Of which hours.
    pub class: Class,
    /// Day of the sample.
    pub day: u16,
    /// Bucket before.
    pub from: Option<u16>,
    /// Bucket after.
    pub to: Option<u16>,
}

const MINUTE: Span = Span::from_mins(1);

impl Volume {
    /// Counts an event and judges it; `has_case` says whether a session has an open case of the rule's reason. Told is
    /// also the user's [`Volume::peak`] with it.
    pub fn check(
        &mut self,
        rule: &'static Rule,
        counted: &Count,
        has_case: impl Fn(Source) -> bool,
        bar: Bar,
    ) -> (Option<Signal>, u32) {
        let minute = (counted.time.0 / MINUTE.0) as u32;
        let own = origin(counted.session);
        self.ring.count(minute, if counted.trusted { TRUSTED } else { own });
        let held = |slot: &Slot| match slot.source {
            TRUSTED => counted.trusted,
            other => other == own || !has_case(other),
        };
        let fullest = self.ring.fullest(minute, held);
        let signal = (fullest.held > bar.value).then(|| {
            let end = Micros(u64::from(fullest.end + 1) * MINUTE.0);
            let start = end.minus(Span(u64::from(WINDOW_MINUTES) * MINUTE.0));
            Signal::Volume(rule, Excess { count: fullest.held, start, end, bar })
        });
        (signal, u32::try_from(fullest.all).unwrap_or(u32::MAX))
    }

    /// The most that counted within an hour around a time, whoever's it was.
    pub fn peak(&self, time: Micros) -> u32 {
        let fullest = self.ring.fullest((time.0 / MINUTE.0) as u32, |_| false);
        u32::try_from(fullest.all).unwrap_or(u32::MAX)
    }

    /// In how many of a window's six parts a good deal of it counted, see [`Ring::parts`].
    pub fn parts(&self, window: &Excess) -> usize {
        self.ring.parts((window.start.0 / MINUTE.0) as u32)
    }

    /// What the user is held against, given the org's threshold.
    pub fn bar(&self, org: Bar) -> Bar {
        let usual = u64::from(self.habit.peak) * 3 / 32;
        if self.habit.days < HABIT_DAYS || usual <= org.value {
            return org;
        }
        Bar { value: usual.min(org.value.saturating_mul(HABIT_CAP)), source: BarSource::Habit, ..org }
    }

    /// Takes the event that was just counted, and the peak with it, into the samples of its day and quarter. `spoiled`:
    /// nothing is to be learned of them, neither the user's habit nor by the org.
    pub fn learn(
        &mut self,
        counted: &Count,
        peak: u32,
        spoiled: bool,
        teaches: Teaches,
    ) -> impl Iterator<Item = Moved> + use<> {
        let (today, quarter) = (day(counted.time), quarter(counted.time));
        if u32::from(today) > self.day.number {
            self.habit.close_day(&self.day);
        }
        let spoiled = spoiled || !counted.learned;
        let most = self.most(today, peak, teaches);
        let of_day = self.day.take(today.into(), peak, most, spoiled);
        let of_quarter = self.quarter.take(quarter, peak, most, spoiled);
        let moved = |class, change: Option<_>| change.map(|(from, to)| Moved { class, day: today, from, to });
        [moved(Class::ALL_HOURS, of_day), moved(Class::of_quarter(quarter), of_quarter)].into_iter().flatten()
    }

    /// The most that today may teach the org, if anything, now that the user has come to `peak`.
    fn most(&mut self, today: u16, peak: u32, teaches: Teaches) -> Option<u32> {
        let usual = match teaches {
            Teaches::Nothing => return None,
            Teaches::Anything => return Some(u32::MAX),
            Teaches::Usual(usual) => u32::try_from(usual).unwrap_or(u32::MAX),
        };
        if peak > usual {
            self.high.note(today);
        }
        Some(if self.high.count > HIGH_DAYS_MAX { usual } else { u32::MAX })
    }

    /// What was counted, for people: the window that ends at `now`, the day's sample and the habit.
    fn view(&self, now: Micros) -> Value {
        let minute = (now.0 / MINUTE.0) as u32;
        let (counted, trusted) = self.ring.last_hour(minute);
        let by_minute = self.ring.by_minute().into_iter();
        let by_minute: BTreeMap<String, u64> =
            by_minute.map(|(minute, count)| ((u64::from(minute) * MINUTE.0).to_string(), count)).collect();
        json!({
            "last_hour": counted,
            "last_hour_trusted": trusted,
            "by_minute_us": by_minute,
            "day_us": u64::from(self.day.number) * Span::from_days(1).0,
            "day_peak": self.day.peak,
            "day_spoiled": self.day.spoiled,
            "high_days": self.high.count,
            "habit_peak": f64::from(self.habit.peak) / 16.0,
            "habit_days": self.habit.days,
        })
    }
}

impl Sample {
    /// Takes up a peak, of which at most `most` is learned, if anything. Returns the bucket before and after, if that changed.
    fn take(&mut self, number: u32, peak: u32, most: Option<u32>, spoiled: bool) -> Option<(Option<u16>, Option<u16>)> {
        if number < self.number {
            return None;
        }
        if number > self.number {
            *self = Sample { number, ..Sample::default() };
        }
        self.spoiled |= spoiled;
        self.peak = self.peak.max(peak);
        let from = self.bucket;
        self.bucket = most.filter(|_| !self.spoiled).map(|most| bucket(self.peak.min(most)));
        (from != self.bucket).then_some((from, self.bucket))
    }
}

impl Habit {
    fn close_day(&mut self, day: &Sample) {
        if day.spoiled || day.peak == 0 {
            return;
        }
        let peak = day.peak.min(u32::MAX / 64) * 16;
        let weight = HABIT_SPAN.min(u32::from(self.days) + 1);
        let counted = if self.days == 0 { peak } else { peak.min(self.peak.saturating_mul(HABIT_GROWTH)) };
        self.peak = (self.peak * (weight - 1) + counted) / weight;
        self.days = self.days.saturating_add(1);
    }
}

impl HighDays {
    fn note(&mut self, today: u16) {
        if u32::from(today) >= u32::from(self.since) + BASELINE_DAYS {
            *self = HighDays { since: today, last: 0, count: 0 };
        }
        if today > self.last {
            self.last = today;
            self.count = self.count.saturating_add(1);
        }
    }
}
