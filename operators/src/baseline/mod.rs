//! Thresholds that each org teaches by its own activity, in three stages: [`histograms`] keeps how many user-days have
//! which peak and releases the net changes, [`distribution`] maintains quantiles of that incrementally, [`thresholds`]
//! makes of them what detection holds counts against. Beside them [`rollbacks`] tells which versions an org took back.
//! Owned here: the words the stages speak. Not owned here: counting (detect does) and the hour by which thresholds lag
//! (the job's feedback edge).
//!
//! A sample is one user's highest count of one day in a sliding window, one per user, metric, class and day, so that
//! one user cannot move a quantile.

pub mod buckets;
pub mod distribution;
pub mod histograms;
pub mod rollbacks;
pub mod thresholds;

use crate::limits::PRIOR_SAMPLES;
use engine::time::Micros;
use serde::{Deserialize, Serialize};

macro_rules! metrics {
    ($($variant:ident $name:literal $doc:literal)*) => {
        /// What is counted per user in a sliding window. The order is part of the format of rows: new ones come last.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Metric { $(#[doc = $doc] $variant),* }

        impl Metric {
            /// Every metric.
            pub const ALL: &'static [Metric] = &[$(Metric::$variant),*];

            /// The name as it stands in evidence.
            pub const fn name(self) -> &'static str {
                match self { $(Metric::$variant => $name),* }
            }
        }
    };
}

metrics! {
    FileDownloads "file_downloads_1h" "Files downloaded within an hour."
    FileShares "file_shares_1h" "Files shared within an hour."
    ApiCalls "api_calls_1h" "API calls within an hour."
    Searches "searches_1h" "Searches within an hour."
    MessageDeletions "message_deletions_1h" "Messages deleted within an hour."
    DistinctReads "distinct_reads_1h" "Distinct things read within an hour."
}

/// A class of hours of the week that has thresholds of its own: all hours, or one of the four quarters of working days
/// or of weekends (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Class(pub u8);

impl Class {
    /// All hours of the week.
    pub const ALL_HOURS: Class = Class(0);

    /// The class of a quarter of a day, counted since 1970.
    pub fn of_quarter(quarter: u32) -> Class {
        // 1 January 1970 was a Thursday.
        let weekend = matches!(quarter / QUARTERS % 7, 2 | 3);
        Class(1 + u8::from(weekend) * QUARTERS as u8 + (quarter % QUARTERS) as u8)
    }

    /// The name as it stands in evidence; empty for all hours.
    pub fn name(self) -> &'static str {
        const NAMES: [&str; 9] = [
            "",
            "weekdays_00_06",
            "weekdays_06_12",
            "weekdays_12_18",
            "weekdays_18_24",
            "weekends_00_06",
            "weekends_06_12",
            "weekends_12_18",
            "weekends_18_24",
        ];
        NAMES.get(usize::from(self.0)).copied().unwrap_or_default()
    }
}

/// Quarters of a day.
const QUARTERS: u32 = 4;

/// The quarter of a day that a time is in, counted since 1970.
pub fn quarter(time: Micros) -> u32 {
    (time.secs() / (86_400 / u64::from(QUARTERS))) as u32
}

/// What a distribution is of, within an org.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// What was counted.
    pub metric: Metric,
    /// In which hours.
    pub class: Class,
}

/// A user's sample of a day changed its histogram bucket. The first has no `from`; without `to` it is taken back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Move {
    /// Effective time of the event that moved it.
    pub at: Micros,
    /// The org.
    pub org: String,
    /// Of which distribution.
    pub subject: Subject,
    /// Day of the sample, since 1970.
    pub day: u16,
    /// Bucket that it leaves.
    pub from: Option<u16>,
    /// Bucket that it enters.
    pub to: Option<u16>,
}

/// A released change of a distribution.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Delta {
    /// When it was released.
    pub at: Micros,
    /// The org.
    pub org: String,
    /// Of which distribution.
    pub subject: Subject,
    /// Which bucket, see [`buckets`]; [`buckets::SENTINEL`] only says that the distribution exists.
    pub bucket: u16,
    /// Samples that came or, negative, went.
    pub change: i64,
}

/// The quantile of a distribution has changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Quantile {
    /// When.
    pub at: Micros,
    /// The org.
    pub org: String,
    /// Of which distribution.
    pub subject: Subject,
    /// The quantile's value; zero without samples.
    pub value: u64,
    /// How many samples there are.
    pub samples: u64,
}

/// A threshold that an org has taught.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Threshold {
    /// From when it applies: an hour after it was learned.
    pub at: Micros,
    /// The org.
    pub org: String,
    /// For which counts.
    pub subject: Subject,
    /// Counts above it are too many.
    pub value: u64,
    /// How many samples it rested on when it was learned.
    pub samples: u64,
}

/// A version of a program that users went down to: prints of the program's family and of the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rollback {
    /// Print of the family.
    pub family: u32,
    /// The version, packed.
    pub version: u32,
}

/// A user of an org went down to a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WentDown {
    /// Effective time of the event that showed it.
    pub at: Micros,
    /// The org.
    pub org: String,
    /// To which version.
    pub rollback: Rollback,
    /// Print of the user.
    pub user: u32,
}

/// An org took a version back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TakenBack {
    /// From when it counts as taken back: an hour after enough users went down to it.
    pub at: Micros,
    /// The org.
    pub org: String,
    /// What its users went down to.
    pub rollback: Rollback,
}

/// How the threshold of a volume rule is made: see [`VolumeRule::threshold`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeRule {
    /// No threshold is under this count.
    floor: u64,
    /// What the quantile is multiplied with, in thousandths.
    margin: u64,
    /// The quantile assumed of an org without samples.
    prior: u64,
    /// The threshold while an org has taught next to nothing.
    untaught: u64,
}

impl VolumeRule {
    /// A rule from its settings; `margin` is rounded to thousandths and is at least 1.
    pub fn new(floor: u64, margin: f64, prior: u64, untaught: u64) -> Self {
        VolumeRule { floor, margin: (margin.max(1.0) * 1_000.0).round() as u64, prior, untaught }
    }

    /// The larger of the floor and margin x shrunk quantile, where the quantile `q` of `n` samples is shrunk towards
    /// the prior `p` as (n q + k p) / (n + k) with k = [`PRIOR_SAMPLES`], as in an empirical Bayes mean. Rounded down.
    pub fn threshold(&self, quantile: u64, samples: u64) -> u64 {
        self.bar(self.shrunk(self.prior(), quantile, samples), self.margin)
    }

    /// The same for a class of hours, whose quantile is shrunk towards the org's of all hours. Both are a quantile and
    /// its number of samples. Half of the margin stays above the quantile of all hours: what is usual here at noon is
    /// not too many in the evening.
    pub fn threshold_of_hours(&self, all: (u64, u64), hours: (u64, u64)) -> u64 {
        let shrunk = self.shrunk(self.prior(), all.0, all.1);
        let least = self.bar(shrunk, (1_000 + self.margin) / 2);
        self.bar(self.shrunk(shrunk, hours.0, hours.1), self.margin).max(least)
    }

    /// The threshold of an org that has taught fewer than [`PRIOR_SAMPLES`] samples so far.
    pub fn untaught(&self) -> u64 {
        self.untaught.max(self.floor)
    }

    /// What no threshold is under.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// The quantile that a threshold stands for, were it not for the floor.
    pub fn quantile_of(&self, threshold: u64) -> u64 {
        u64::try_from(u128::from(threshold) * 1_000 / u128::from(self.margin)).unwrap_or(u64::MAX)
    }

    fn prior(&self) -> u128 {
        u128::from(self.prior) * 1_000
    }

    /// In thousandths.
    fn shrunk(&self, prior: u128, quantile: u64, samples: u64) -> u128 {
        let (weight, samples) = (u128::from(PRIOR_SAMPLES), u128::from(samples));
        (samples * u128::from(quantile)).saturating_mul(1_000).saturating_add(weight * prior) / (samples + weight)
    }

    /// A shrunk quantile with a margin.
    fn bar(&self, shrunk: u128, margin: u64) -> u64 {
        let scaled = shrunk.saturating_mul(u128::from(margin)) / 1_000_000;
        u64::try_from(scaled).unwrap_or(u64::MAX).max(self.floor)
    }
}

/// The rule of every metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeRules([VolumeRule; Metric::ALL.len()]);

impl VolumeRules {
    /// The rules that `of` gives.
    pub fn new(of: impl Fn(Metric) -> VolumeRule) -> Self {
        VolumeRules(std::array::from_fn(|index| of(Metric::ALL[index])))
    }

    /// The rule of a metric.
    pub fn of(&self, metric: Metric) -> &VolumeRule {
        &self.0[metric as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_moves_from_the_prior_to_the_orgs_own_and_never_under_the_floor() {
        let rule = VolumeRule::new(50, 2.0, 100, 250);
        assert_eq!((rule.untaught(), VolumeRule::new(50, 2.0, 100, 1).untaught()), (250, 50));
        assert_eq!(rule.threshold(10, 0), 200);
        assert_eq!(rule.threshold(40, 200), 140);
        assert_eq!(rule.threshold(40, 1_000_000), 80);
        assert_eq!(rule.threshold(3, 1_000_000), 50);
        assert_eq!(rule.threshold(1_000, 1_800), 1_820);
        assert_eq!(VolumeRule::new(1, 1.25, 8, 1).threshold(8, 7), 10);
        assert_eq!(rule.threshold(u64::MAX, 1 << 40), u64::MAX);
        assert_eq!(rule.quantile_of(140), 70);
    }

    #[test]
    fn hours_with_few_samples_have_the_orgs_own_bar() {
        let rule = VolumeRule::new(50, 2.0, 100, 200);
        assert_eq!(rule.threshold_of_hours((40, 200), (0, 0)), rule.threshold(40, 200));
        assert_eq!(rule.threshold_of_hours((40, 200), (50, 200)), 120);
        assert_eq!(rule.threshold_of_hours((40, 1_000_000), (90, 1_000_000)), 179);
        assert_eq!(rule.threshold_of_hours((300, 1_000_000), (3, 1_000_000)), 449, "half of the margin is left");
    }

    #[test]
    fn quarters_of_working_days_and_weekends_are_told_apart() {
        let class = |secs: u64| Class::of_quarter(quarter(Micros::from_secs(secs))).name();
        let monday = 1_767_571_200; // 2026-01-05
        assert_eq!(
            [0, 6, 12, 23].map(|hour| class(monday + hour * 3_600)),
            ["weekdays_00_06", "weekdays_06_12", "weekdays_12_18", "weekdays_18_24"]
        );
        assert_eq!(class(monday - 1), "weekends_18_24");
        assert_eq!(class(monday - 2 * 86_400), "weekends_00_06");
        assert_eq!(class(monday - 2 * 86_400 - 1), "weekdays_18_24");
        assert_eq!(Class::ALL_HOURS.name(), "");
    }
}
