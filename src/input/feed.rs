//! One partition of a job's activity, of whatever kind its source is. Owned here: on which terms it is read, and
//! what each kind has to answer. Not owned here: the answers (a file for each kind).

use config::Source;
use engine::error::Error;
use engine::source::{Partition, Timing};
use engine::time::Span;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A partition, and on which terms it is read.
pub(super) struct Feed {
    pub(super) place: Box<dyn Place>,
    pub(super) terms: Terms,
}

/// A partition of some kind of source.
pub(super) trait Place: Send + Sync {
    /// The partition's name.
    fn name(&self) -> &str;

    /// As what a fingerprint knows the terms on which it is read.
    fn subject(&self) -> &str {
        self.name()
    }

    /// Where a fingerprint speaks of it.
    fn key(&self) -> String;

    /// What a fingerprint says of it.
    fn mark(&self) -> Result<String, Error>;

    /// What a fingerprint says of it, of which a snapshot has said this; an error tells what became of it since. Comes
    /// before [`Place::partition`].
    fn since(&self, was: &str, complete: bool) -> Result<String, Error>;

    /// Whether it may grow while it is read.
    fn is_live(&self) -> bool;

    /// How many bytes there are to read.
    fn bytes(&self) -> u64;

    /// What a dataflow reads.
    fn partition(&self) -> Arc<dyn Partition>;
}

/// On which terms a partition is read. A fingerprint holds all that its records' meaning depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Terms {
    pub(super) follow: bool,
    pub(super) max_disorder_us: u64,
    pub(super) lateness_limit_us: u64,
    pub(super) org: Option<String>,
    pub(super) speaks_for: Option<BTreeSet<String>>,
    /// The clock's share: it moves idleness, never meaning.
    #[serde(skip)]
    pub(super) max_delay: Option<Span>,
}

impl Terms {
    pub(super) fn of(source: &Source) -> Self {
        Terms {
            follow: source.kind.is_live(),
            max_disorder_us: source.max_disorder.0,
            lateness_limit_us: source.lateness_limit.0,
            org: source.org.clone(),
            speaks_for: (!source.speaks_for.is_empty()).then(|| source.speaks_for.clone()),
            max_delay: u64::try_from(source.max_delay.as_micros()).ok().map(Span),
        }
    }

    pub(super) fn timing(&self) -> Timing {
        let default = Timing::default();
        Timing {
            max_disorder: Span(self.max_disorder_us),
            lateness_limit: Span(self.lateness_limit_us),
            max_delay: self.max_delay.unwrap_or(default.max_delay),
            ..default
        }
    }
}
