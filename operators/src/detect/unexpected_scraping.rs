//! `unexpected_scraping`: a tool, or a way of reading, that is used for copying data in bulk.
//!
//! Two rules. (a) *Tool*: a person's API call or download comes from a script, as the measured client or the TLS
//! fingerprint tells. (b) *Breadth*: more distinct things were read within 60 minutes than the bar (see
//! [`super::volume`]), in at least [`SCRAPING_PARTS`] of the hour's six parts, by something that is not one of Slack's
//! apps. What counts are downloads, reads and searches that name an entity. An entity counts again only when it last
//! counted an hour ago, so what is read again and again counts least; that can only make the count too small.
//!
//! Nothing: reading much in one go, as when somebody opens what a search found; what an app reads on a person's behalf.
//! State: the entities of the last hour, at most [`READS_MAX`]; of more, the oldest may count again.
//!
//! Example: bar 800; a browser that reads 20 channels a minute raises at the 801st, after 40 minutes; one that read 900
//! within five minutes and then rests does not.

use super::client::Print;
use super::signal::Scene;
use super::spoofed_user_agent::By;
use super::volume::Rule;
use crate::baseline::Metric;
use crate::limits::{READS_MAX, WINDOW_MINUTES};
use crate::model::event::{Action, Method};
use crate::model::reason::Reason;
use crate::model::software::{Program, Software};
use serde::{Deserialize, Serialize};

/// The rule of breadth.
pub const RULE: Rule = Rule { reason: Reason::UnexpectedScraping, metric: Metric::DistinctReads, counts };

fn counts(action: Action) -> bool {
    matches!(action, Action::FileDownloaded | Action::ApiCall(Method::Read | Method::Search))
}

/// Whether a tool that does this copies data.
pub fn is_of_tools(action: Action) -> bool {
    matches!(action, Action::FileDownloaded | Action::ApiCall(_))
}

/// What the tool is called.
pub fn tool(scene: &Scene<'_>, by: By) -> String {
    let name = scene.text.client_name.as_deref().unwrap_or_default();
    match by {
        By::Tls => scene.tool.unwrap_or_default().to_owned(),
        By::Measured if Software::named(name, "").program == Program::Runtime => {
            format!("{}-based tool", name.split(['/', ' ']).next().unwrap_or_default())
        }
        By::Measured => name.to_owned(),
    }
}

/// What a user has read within an hour, in the order in which it counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reads(#[serde(with = "super::short")] Vec<Read>);

/// An entity, and the minute in which it counted, less what is too long ago to be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Read {
    entity: Print,
    minute: u16,
}

impl Read {
    /// Minutes between the two, whichever is first. A row is forgotten long before a month and a half have passed.
    fn apart(self, minute: u16) -> u16 {
        let ahead = minute.wrapping_sub(self.minute);
        ahead.min(ahead.wrapping_neg())
    }
}

impl Reads {
    /// Takes up that an entity is read in a minute. Whether it counts.
    pub fn take(&mut self, entity: Print, minute: u32) -> bool {
        let minute = minute as u16;
        let within = |read: &Read| u32::from(read.apart(minute)) < WINDOW_MINUTES;
        if self.0.iter().any(|read| read.entity == entity && within(read)) {
            return false;
        }
        // A late one forgets nothing: what counted after it is newer than its hour, and may be needed yet.
        if self.0.last().is_none_or(|newest| newest.apart(minute) == minute.wrapping_sub(newest.minute)) {
            self.0.retain(within);
        }
        if self.0.len() >= READS_MAX {
            self.0.remove(0);
        }
        self.0.push(Read { entity, minute });
        true
    }

    /// How many entities are remembered.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Roughly the bytes on the heap.
    pub fn weight(&self) -> usize {
        self.0.capacity() * size_of::<Read>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_counts_once_an_hour_also_where_minutes_wrap() {
        for start in [100_000, 65_530u32] {
            let mut reads = Reads::default();
            let mut taken = |entity, after: u32| reads.take(Print(entity), start + after);
            assert!(taken(1, 0) && taken(2, 10));
            assert!(!taken(1, 59) && !taken(1, 10));
            assert!(taken(1, 60) && !taken(2, 69));
            // Late ones: as far before as after.
            assert!(!taken(1, 1) && taken(3, 0) && !taken(3, 59));
        }
    }

    #[test]
    fn a_flood_is_bounded() {
        let mut reads = Reads::default();
        assert!((0..3 * READS_MAX as u32).all(|entity| reads.take(Print(entity), 7)));
        assert_eq!(reads.count(), READS_MAX);
        assert!(!reads.take(Print(3 * READS_MAX as u32 - 1), 8));
        assert!(reads.take(Print(1), 67));
        assert_eq!(reads.count(), 1);
    }
}
