//! What a job reads: sources of activity and control files, checked before anything starts. Owned here: control records
//! of all files in one order, and the fingerprint by which a data directory knows its job. Not owned here: what a partition
//! of each kind of source is (`feed`, and a file for each kind).

mod feed;
mod file;
mod kafka;
mod recorded;

pub use recorded::{Moved, Topics};

use crate::job::at_whole_millis;
use config::{Job, SourceKind};
use engine::error::Error;
use engine::snapshot::repository::Repository;
use engine::source::{Partition, Timing};
use engine::time::Micros;
use feed::{Feed, Terms};
use operators::decode::control::{ControlProblem, in_force, line_count, parse_control_file, parse_tor_list};
use operators::decode::networks::{About, Networks};
use operators::detect::user_agent_parser::UserAgentParser;
use operators::model::control::{ControlRecord, ControlValue};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Most problems of control files that are shown.
const PROBLEMS_SHOWN: usize = 20;

/// The input of a job.
pub struct Input {
    feeds: Vec<Feed>,
    /// Control records of all files, in order of time, whole milliseconds.
    pub control: Arc<[ControlRecord]>,
    /// Databases that say of an address what its event does not.
    pub networks: Arc<Networks>,
    /// Reads user agents.
    pub agents: Arc<UserAgentParser>,
    /// Name and digest of what was read beside the activity.
    side: BTreeMap<String, String>,
}

/// A threat list is replaced or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListChange {
    /// Its name.
    pub list: String,
    /// When, in event time.
    pub at: Micros,
    /// Whether there is one from then on.
    pub is_set: bool,
}

impl ListChange {
    /// What a control record changes, if it is a list.
    pub fn of(record: &ControlRecord) -> Option<Self> {
        match &record.value {
            ControlValue::ThreatList(list) => {
                Some(ListChange { list: record.key.clone(), at: record.at, is_set: list.is_some() })
            }
            _ => None,
        }
    }
}

/// Names in a fingerprint: each of these, and a path or the name of a partition.
const TERMS: &str = "source of ";
const CONTROL: &str = "control ";
const TOR_LIST: &str = "tor list ";
const USER_AGENTS: &str = "user agents ";
const fn database(about: About) -> &'static str {
    match about {
        About::Asn => "asn database ",
        About::Country => "country database ",
        About::Anonymous => "anonymous database ",
    }
}

impl Input {
    /// Looks at everything that the job names; what does not answer is asked again, for a while or until `stop` is set.
    /// An error names the first source that cannot be read, or all problems of the control files.
    pub fn of(job: &Job, stop: &AtomicBool) -> Result<Self, Error> {
        let mut feeds = Vec::new();
        for source in &job.sources {
            let terms = Terms::of(source);
            let places = match &source.kind {
                SourceKind::File(file) => file::places(file)?,
                SourceKind::Kafka(source) => kafka::places(job.kafka.as_ref(), &source.topic, stop)?,
            };
            feeds.extend(places.into_iter().map(|place| Feed { place, terms: terms.clone() }));
        }
        let mut side = BTreeMap::new();
        let control = control(job, &mut side)?.into();
        let networks = Arc::new(networks(job, &mut side)?);
        let regexes = job.detect.user_agents.as_deref();
        let agents = parser(regexes.map(|path| side_file(USER_AGENTS, path, 0, &mut side)).transpose()?)?;
        Ok(Input { feeds, control, networks, agents, side })
    }

    /// Bytes of all partitions, zero if any of them may grow.
    pub fn bytes(&self) -> u64 {
        match self.is_live() {
            true => 0,
            false => self.feeds.iter().map(|feed| feed.place.bytes()).sum(),
        }
    }

    /// Whether any partition may grow while it is read.
    pub fn is_live(&self) -> bool {
        self.feeds.iter().any(|feed| feed.place.is_live())
    }

    /// The input with what came in while the job ran.
    pub fn with(mut self, kept: Vec<ControlRecord>) -> Self {
        if !kept.is_empty() {
            self.control = in_force(self.control.iter().cloned().chain(kept).collect()).into();
        }
        self
    }

    /// When which threat list is replaced, in order.
    pub fn lists(&self) -> Vec<ListChange> {
        self.control.iter().filter_map(ListChange::of).collect()
    }

    /// Names of the partitions.
    pub fn names(&self) -> Arc<[String]> {
        self.feeds.iter().map(|feed| feed.place.name().to_owned()).collect()
    }

    /// Of each partition: the org of events that name none, and the orgs that it may speak for.
    pub fn orgs(&self) -> Vec<(Option<String>, Option<BTreeSet<String>>)> {
        self.feeds.iter().map(|feed| (feed.terms.org.clone(), feed.terms.speaks_for.clone())).collect()
    }

    /// The partitions.
    pub fn partitions(&self) -> Vec<(Arc<dyn Partition>, Timing)> {
        self.feeds.iter().map(|feed| (feed.place.partition(), feed.terms.timing())).collect()
    }

    /// What must be the same when the job goes on. What is read is compared with what the newest snapshot says of it, so
    /// that the message can say what became of it.
    pub fn fingerprint(&self, repository: &Repository) -> Result<BTreeMap<String, String>, Error> {
        let newest = repository.list()?.into_iter().rev().find_map(|found| found.manifest.ok());
        let mut fingerprint = self.side.clone();
        for feed in &self.feeds {
            let key = feed.place.key();
            let was = newest.as_ref().and_then(|newest| Some((newest.fingerprint.get(&key)?, newest.complete)));
            let is = match was {
                Some((was, complete)) => feed.place.since(was, complete)?,
                None => feed.place.mark()?,
            };
            fingerprint.insert(key, is);
            fingerprint.insert(format!("{TERMS}{}", feed.place.subject()), describe(&feed.terms)?);
        }
        Ok(fingerprint)
    }

    /// A fingerprint without what may differ between processes that look at a growing partition one after the other.
    pub fn without_growth(&self, mut fingerprint: BTreeMap<String, String>) -> BTreeMap<String, String> {
        for feed in self.feeds.iter().filter(|feed| feed.place.is_live()) {
            fingerprint.insert(feed.place.key(), String::new());
        }
        // A topic may get another partition between two looks.
        fingerprint.insert("partitions".to_owned(), self.names().join(" "));
        fingerprint
    }
}

fn describe(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Fault(format!("a fingerprint has no JSON form: {error}")))
}

/// The records of all control files and the Tor list.
fn control(job: &Job, side: &mut BTreeMap<String, String>) -> Result<Vec<ControlRecord>, Error> {
    let tor_list = job.tor_list.as_deref().map(|path| side_file(TOR_LIST, path, 0, side)).transpose()?;
    let files = job.control.iter().enumerate();
    let files = files.map(|(number, path)| side_file(CONTROL, path, number, side)).collect::<Result<Vec<_>, _>>()?;
    records(tor_list, files)
}

/// The databases of networks.
fn networks(job: &Job, side: &mut BTreeMap<String, String>) -> Result<Networks, Error> {
    let mut networks = Networks::default();
    for (about, path) in &job.networks {
        add_database(&mut networks, *about, side_file(database(*about), path, 0, side)?)?;
    }
    Ok(networks)
}

fn add_database(networks: &mut Networks, about: About, (path, content): SideFile) -> Result<(), Error> {
    networks.add(about, content).map_err(|why| {
        Error::Invalid(format!("cannot use {path} as {} in [networks]: {why}; name another database", about.name()))
    })
}

/// What reads user agents: by the regexes of a file, or those that are shipped.
fn parser(regexes: Option<SideFile>) -> Result<Arc<UserAgentParser>, Error> {
    let Some((path, content)) = regexes else { return Ok(UserAgentParser::shipped()) };
    let text = String::from_utf8(content).map_err(|_| "not UTF-8".to_owned());
    let parser = text.and_then(|text| UserAgentParser::read(&text));
    parser.map(Arc::new).map_err(|why| {
        Error::Invalid(format!("cannot read user agents by {path}: {why}; it has to have the form of uap-core's file"))
    })
}

/// A file that is read beside the activity: its path as messages name it, and its content.
type SideFile = (String, Vec<u8>);

/// The records of a Tor list and of control files, in this order.
fn records(tor_list: Option<SideFile>, control: Vec<SideFile>) -> Result<Vec<ControlRecord>, Error> {
    let (mut records, mut problems, mut first) = (Vec::new(), Vec::new(), 0);
    if let Some((path, content)) = tor_list {
        match parse_tor_list(&path, &content) {
            Ok(record) => records.push(record),
            Err(found) => problems.extend(found),
        }
    }
    for (path, content) in control {
        match parse_control_file(&path, &content, first) {
            Ok(found) => records.extend(found),
            Err(found) => problems.extend(found),
        }
        first += line_count(&content);
    }
    if problems.is_empty() {
        return Ok(in_force(records.into_iter().map(at_whole_millis).collect()));
    }
    let shown: Vec<String> = problems.iter().take(PROBLEMS_SHOWN).map(ControlProblem::to_string).collect();
    let more = problems.len().saturating_sub(PROBLEMS_SHOWN);
    let more = if more > 0 { format!("\n... and {more} more") } else { String::new() };
    Err(Error::Invalid(format!("{} problems in control files:\n{}{more}", problems.len(), shown.join("\n"))))
}

/// Reads a file, and notes its digest and its number among those of its kind.
fn side_file(kind: &str, path: &Path, number: usize, side: &mut BTreeMap<String, String>) -> Result<SideFile, Error> {
    let content = read_side(kind, path)?;
    let absolute = std::path::absolute(path).map_err(Error::io("find", path))?;
    side.insert(format!("{kind}{}", absolute.display()), side_mark(&content, number));
    Ok((path.display().to_string(), content))
}

fn read_side(kind: &str, path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| {
        Error::Invalid(format!("cannot read the {kind}file {}: {error}; check the path", path.display()))
    })
}

/// What a fingerprint says of a file beside the activity. Later files win over earlier ones, so its number counts.
fn side_mark(content: &[u8], number: usize) -> String {
    let digest: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("file {number}, sha256 {digest}")
}
