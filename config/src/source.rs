//! `[[source]]`: where activity comes from, and how late and how quiet a source may be.

mod file;
mod kafka;

pub use file::FileSource;
pub use kafka::KafkaSource;

use crate::read::{self, Refusal, Section};
use engine::time::Span;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// One source of activity.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// What is read.
    pub kind: SourceKind,
    /// The org of events that name none themselves.
    pub org: Option<String>,
    /// The orgs that this source may speak for; empty is all.
    pub speaks_for: BTreeSet<String>,
    /// How far a partition's watermark stays behind its newest event.
    pub max_disorder: Span,
    /// How long a live partition may be silent before it is idle.
    pub max_delay: Duration,
    /// How late an event may be and still take part.
    pub lateness_limit: Span,
}

/// The kinds of source, each with what only it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// Files of one JSON object per line.
    File(FileSource),
    /// A topic of one JSON object per message.
    Kafka(KafkaSource),
}

impl SourceKind {
    /// Whether it may grow while it is read: then the job goes on until it is told to stop, and the clock matters.
    pub fn is_live(&self) -> bool {
        match self {
            SourceKind::File(file) => file.follow,
            SourceKind::Kafka(_) => true,
        }
    }

    /// The files that have to be there before anything is read.
    pub fn files(&self) -> &[PathBuf] {
        match self {
            SourceKind::File(file) => &file.paths,
            SourceKind::Kafka(_) => &[],
        }
    }

    /// What is read, for people.
    pub fn describe(&self) -> String {
        match self {
            SourceKind::File(file) => file.describe(),
            SourceKind::Kafka(topic) => topic.describe(),
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    File,
    Kafka,
}

const KINDS: &[(&str, Kind)] = &[("file", Kind::File), ("kafka", Kind::Kafka)];

/// What the sources above read.
#[derive(Default)]
struct Seen {
    files: BTreeSet<PathBuf>,
    topics: BTreeSet<String>,
}

/// Reads every source. What two sources read would be applied twice, so that is refused.
pub(crate) fn read_all(root: &mut Section<'_>) -> Option<Vec<Source>> {
    let mut seen = Seen::default();
    let hint = "say what to read: [[source]] in a job file, or --input FILE";
    root.sections("source", hint, |section| read_one(section, &mut seen))
}

fn read_one(section: &mut Section<'_>, seen: &mut Seen) -> Option<Source> {
    const DAY: Duration = Duration::from_secs(24 * 3_600);
    const MILLISECOND: Duration = Duration::from_millis(1);
    let kind = section.require("kind", "kind = \"file\" reads files, kind = \"kafka\" a topic", read::one_of(KINDS));
    let kind = match kind {
        Some(Kind::File) => FileSource::read(section, &mut seen.files).map(SourceKind::File),
        Some(Kind::Kafka) => KafkaSource::read(section, &mut seen.topics).map(SourceKind::Kafka),
        None => {
            section.pass_over();
            None
        }
    };
    let org = section.read_if_set("org", read::text);
    let speaks_for = section.read_list("speaks_for", read::text);
    let max_disorder = section.read("max_disorder", read::duration(Duration::ZERO..=DAY));
    let max_delay = section.read("max_delay", read::duration(MILLISECOND..=DAY));
    let lateness_limit = section.read("lateness_limit", read::duration(Duration::ZERO..=28 * DAY));
    if let (Some(Some(org)), Some(orgs)) = (&org, &speaks_for)
        && !orgs.is_empty()
        && !orgs.contains(org)
    {
        let rule = "is not among speaks_for, so its events would all be rejected";
        section.refuse("org", Refusal::new(rule).hint("add it to speaks_for"));
    }
    Some(Source {
        kind: kind?,
        org: org?,
        speaks_for: speaks_for?.into_iter().collect(),
        max_disorder: span(max_disorder?),
        max_delay: max_delay?,
        lateness_limit: span(lateness_limit?),
    })
}

/// Event time; the rules allow no duration that does not fit.
fn span(duration: Duration) -> Span {
    Span(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}
