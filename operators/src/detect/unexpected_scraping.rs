//! `unexpected_scraping`: a tool, or a way of reading, that is used for copying data in bulk.
//!
//! Two rules. (a) *Tool*: a person's API call or download comes from a script, as the measured client or the TLS
//! fingerprint tells, that is not known of the user or claims to be something else. (b) *Breadth*: more distinct things
//! were read within 60 minutes than the bar (see [`super::volume`]), a good deal of them in each of at least
//! [`SCRAPING_PARTS`] of the hour's six parts, by something that is not one of Slack's apps. What counts are downloads,
//! reads and searches that name an entity. An entity counts again only when it last counted an hour ago, so what is read
//! again and again counts least; that can only make the count too small.
//!
//! Nothing: reading much in one go, as when somebody opens what a search found; what an app reads on a person's behalf; a
//! script of the user's own, which becomes known where the org trusts the network.
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

/// An entity, and the minute in which it counted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Read {
    entity: Print,
    minute: u32,
}

impl Reads {
    /// Takes up that an entity is read in a minute. Whether it counts.
    pub fn take(&mut self, entity: Print, minute: u32) -> bool {
        let within = |read: &Read| read.minute.abs_diff(minute) < WINDOW_MINUTES;
        if self.0.iter().any(|read| read.entity == entity && within(read)) {
            return false;
        }
        // A late one forgets nothing: what counted after it is newer than its hour, and may be needed yet.
        if self.0.first().is_some_and(|first| first.minute + WINDOW_MINUTES <= minute) {
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
    fn an_entity_counts_once_an_hour() {
        let mut reads = Reads::default();
        let mut taken = |entity, minute| reads.take(Print(entity), minute);
        assert!(taken(1, 100) && taken(2, 110));
        assert!(!taken(1, 159) && !taken(1, 110));
        assert!(taken(1, 160) && !taken(2, 169));
        // Late ones: as far before as after.
        assert!(!taken(1, 101) && taken(3, 100) && !taken(3, 159));
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
