//! How much is usual: what the volume rules count, how much of it the heaviest people of an org do in their hour, and
//! from which counts on the rules, at their default settings, may and must call it too much.

use super::act::Verb;
use super::dice::Dice;
use super::org::{Org, Style};
use crate::limits::PRIOR_SAMPLES;
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

    /// The floor and the prior of the rule's default settings. Its margin is two everywhere.
    const fn rule(self) -> (u64, u64) {
        match self {
            Volume::Downloads => (50, 50),
            Volume::Shares | Volume::Deletions => (30, 50),
            Volume::Calls => (1_000, 1_500),
            Volume::Searches => (60, 100),
            Volume::Breadth => (300, 400),
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

    /// The least count in 60 minutes that the rule may call too many here, once it knows the org.
    pub(super) fn bar_least(&self, volume: Volume) -> u64 {
        (2 * self.high(volume)).max(volume.rule().0)
    }

    /// A count that is too many here at a time, also where the rule has seen few samples yet.
    pub(super) fn bar_sure(&self, volume: Volume, at: Micros) -> u64 {
        let ((floor, prior), high) = (volume.rule(), self.high(volume));
        if high >= prior {
            return 2 * high;
        }
        // On a working day at least a third of the people do it at all.
        let days = (at.since(self.opens).0 / Span::from_days(1).0).min(28) * 5 / 7;
        let samples = self.users * days / 3;
        (2 * (samples * high + PRIOR_SAMPLES * prior) / (samples + PRIOR_SAMPLES)).max(floor)
    }

    /// Whether people here do as a matter of course what is too much for an org that nothing is known of.
    pub(super) fn starts_high(&self) -> bool {
        Volume::ALL.iter().any(|volume| self.high(*volume) > 2 * volume.rule().1)
    }
}
