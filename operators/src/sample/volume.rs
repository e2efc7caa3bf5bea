//! How much is usual: what the volume rules count, how much of it the heaviest people of an org do in their hour, and
//! from which counts on the rules, at their default settings, may and must call it too much.

use super::act::Verb;
use super::calendar::Local;
use super::dice::Dice;
use super::org::{Org, Style};
use crate::limits::{LEARNING, PRIOR_SAMPLES};
use crate::model::reason::Reason;
use engine::time::{Micros, Span};

/// What is counted within an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Volume {
    Downloads,
    Shares,
    Calls,
    Searches,
    Deletions,
    /// Distinct things read.
    Breadth,
}

impl Volume {
    pub(super) const ALL: [Volume; 6] =
        [Volume::Downloads, Volume::Shares, Volume::Calls, Volume::Searches, Volume::Deletions, Volume::Breadth];

    pub(super) const fn reason(self) -> Reason {
        match self {
            Volume::Downloads => Reason::ExcessiveDownloads,
            Volume::Shares => Reason::ExcessiveFileShares,
            Volume::Calls => Reason::UnexpectedApiCallVolume,
            Volume::Searches => Reason::SearchVolume,
            Volume::Deletions => Reason::UnexpectedMessageDeletion,
            Volume::Breadth => Reason::UnexpectedScraping,
        }
    }

    /// The floor, the prior and the untaught bar of the rule's default settings. Its margin is two everywhere.
    const fn rule(self) -> (u64, u64, u64) {
        match self {
            Volume::Downloads => (50, 50, 400),
            Volume::Shares | Volume::Deletions => (30, 50, 200),
            Volume::Calls => (1_000, 1_500, 3_000),
            Volume::Searches => (60, 100, 400),
            Volume::Breadth => (300, 400, 800),
        }
    }

    /// How many in ten people at least do it at all on a working day.
    const fn takers(self) -> u64 {
        match self {
            Volume::Deletions => 5,
            _ => 9,
        }
    }

    /// One thing that counts.
    pub(super) fn verb(self, dice: &mut Dice) -> Verb {
        match self {
            Volume::Downloads => Verb::Download { file: dice.below(9_000), ok: true },
            Volume::Shares => Verb::Share { file: dice.below(9_000) },
            Volume::Calls => Verb::Call { method: dice.pick(&["users.info", "conversations.info", "users.list"]) },
            Volume::Searches => Verb::Call { method: "search.messages" },
            Volume::Deletions => Verb::Delete { channel: dice.below(400) },
            Volume::Breadth => Verb::Read { method: "conversations.history", channel: dice.below(90_000) },
        }
    }
}

impl Style {
    /// What the heaviest people of such a house do in their daily hour, in the order of [`Volume::ALL`]: its high
    /// quantile, since three in a hundred do so every day.
    pub(super) const fn highs(self) -> [u64; 6] {
        match self {
            Style::Studio => [300, 60, 500, 60, 20, 300],
            Style::Bank => [12, 20, 300, 50, 15, 60],
            Style::Startup => [24, 20, 300, 40, 15, 60],
            Style::Agency => [40, 90, 600, 60, 40, 60],
            Style::University => [60, 40, 800, 80, 60, 60],
            Style::CallCentre => [8, 15, 700, 240, 15, 60],
        }
    }
}

impl Org {
    /// What its heaviest people do within their hour.
    pub(super) fn high(&self, volume: Volume) -> u64 {
        self.style.highs()[volume as usize]
    }

    /// The least count in 60 minutes that the rule may call too many here, once it knows the org: at the quietest hours,
    /// half of its margin above a quantile that is somewhat under what the heaviest do.
    pub(super) fn bar_least(&self, volume: Volume) -> u64 {
        (self.high(volume) * 7 / 5).max(volume.rule().0)
    }

    /// A count that is too many here at a time, also where the rule has seen few samples yet.
    pub(super) fn bar_sure(&self, volume: Volume, at: Micros) -> u64 {
        let ((floor, prior, untaught), high) = (volume.rule(), self.high(volume));
        let days = (0..28).map(|back| at.minus(Span::from_days(back + 1))).take_while(|day| *day >= self.opens);
        let workdays = days.filter(|day| Local::of(*day, self.zone).is_workday()).count() as u64;
        let samples = self.users * workdays * volume.takers() / 10;
        // For a day after it has learned for long enough it may have a threshold or not.
        if samples < PRIOR_SAMPLES || at < self.opens.plus(LEARNING).plus(Span::from_days(1)) {
            untaught.max(2 * high)
        } else if high >= prior {
            2 * high
        } else {
            (2 * (samples * high + PRIOR_SAMPLES * prior) / (samples + PRIOR_SAMPLES)).max(floor)
        }
    }
}
