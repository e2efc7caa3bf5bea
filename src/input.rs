//! What a job reads: activity files and control files, checked before anything starts. Owned here: partitions and
//! their names, control records of all files in one order, and the fingerprint by which a data directory knows its job.

mod recorded;

pub use recorded::Moved;

use crate::job::at_whole_millis;
use config::{Job, SourceKind};
use connectors::file::{FileIdentity, FilePartition, Mode, Sameness, identity};
use engine::error::Error;
use engine::snapshot::repository::Repository;
use engine::source::{Partition, Timing};
use engine::time::{Micros, Span};
use operators::decode::control::{ControlProblem, in_force, line_count, parse_control_file, parse_tor_list};
use operators::decode::networks::{About, Networks};
use operators::detect::user_agent_parser::UserAgentParser;
use operators::model::control::{ControlRecord, ControlValue};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most problems of control files that are shown.
const PROBLEMS_SHOWN: usize = 20;

/// The input of a job.
pub struct Input {
    files: Vec<InputFile>,
    /// Control records of all files, in order of time, whole milliseconds.
    pub control: Vec<ControlRecord>,
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

struct InputFile {
    identity: FileIdentity,
    /// Where it lies: the identity's path, but for a file that has moved since.
    path: PathBuf,
    follow: bool,
    timing: Timing,
    org: Option<String>,
    speaks_for: Option<BTreeSet<String>>,
}

/// On which terms a file is read, as a fingerprint holds them: all that its records' meaning depends on.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Terms {
    follow: bool,
    max_disorder_us: u64,
    lateness_limit_us: u64,
    org: Option<String>,
    speaks_for: Option<BTreeSet<String>>,
}

impl InputFile {
    fn terms(&self) -> Terms {
        Terms {
            follow: self.follow,
            max_disorder_us: self.timing.max_disorder.0,
            lateness_limit_us: self.timing.lateness_limit.0,
            org: self.org.clone(),
            speaks_for: self.speaks_for.clone(),
        }
    }
}

/// Names in a fingerprint: each of these, and a path.
const INPUT: &str = "input ";
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
    /// Looks at every file that the job names. An error names the first activity file that cannot be read, or all
    /// problems of the control files.
    pub fn of(job: &Job) -> Result<Self, Error> {
        let mut files = Vec::new();
        for source in &job.sources {
            let SourceKind::File(kind) = &source.kind;
            let timing = Timing {
                max_disorder: source.max_disorder,
                max_delay: Span(source.max_delay.as_micros() as u64),
                lateness_limit: source.lateness_limit,
                ..Timing::default()
            };
            for path in &kind.paths {
                files.push(InputFile {
                    identity: readable(path)?,
                    path: path.clone(),
                    follow: kind.follow,
                    timing,
                    org: source.org.clone(),
                    speaks_for: (!source.speaks_for.is_empty()).then(|| source.speaks_for.clone()),
                });
            }
        }
        let mut side = BTreeMap::new();
        let control = control(job, &mut side)?;
        let networks = Arc::new(networks(job, &mut side)?);
        let regexes = job.detect.user_agents.as_deref();
        let agents = parser(regexes.map(|path| side_file(USER_AGENTS, path, 0, &mut side)).transpose()?)?;
        Ok(Input { files, control, networks, agents, side })
    }

    /// Bytes of all files, zero if any of them may grow.
    pub fn bytes(&self) -> u64 {
        match self.follows() {
            true => 0,
            false => self.files.iter().map(|file| file.identity.size).sum(),
        }
    }

    /// Whether any file is followed.
    pub fn follows(&self) -> bool {
        self.files.iter().any(|file| file.follow)
    }

    /// The input with what came in while the job ran.
    pub fn with(mut self, kept: Vec<ControlRecord>) -> Self {
        self.control.extend(kept);
        self.control = in_force(self.control);
        self
    }

    /// When which threat list is replaced, in order.
    pub fn lists(&self) -> Vec<ListChange> {
        self.control.iter().filter_map(ListChange::of).collect()
    }

    /// Names of the partitions: absolute paths.
    pub fn names(&self) -> Arc<[String]> {
        self.files.iter().map(|file| file.identity.path.clone()).collect()
    }

    /// Of each partition: the org of events that name none, and the orgs that it may speak for.
    pub fn orgs(&self) -> Vec<(Option<String>, Option<BTreeSet<String>>)> {
        self.files.iter().map(|file| (file.org.clone(), file.speaks_for.clone())).collect()
    }

    /// The partitions.
    pub fn partitions(&self) -> Vec<(Arc<dyn Partition>, Timing)> {
        let partition = |file: &InputFile| {
            let mode = if file.follow { Mode::Follow } else { Mode::Bounded };
            let name = file.identity.path.clone();
            (Arc::new(FilePartition::new(name, &file.path, mode)) as Arc<dyn Partition>, file.timing)
        };
        self.files.iter().map(partition).collect()
    }

    /// What must be the same when the job goes on. Files are compared with those of the newest snapshot, so that the
    /// message can say what became of them.
    pub fn fingerprint(&self, repository: &Repository) -> Result<BTreeMap<String, String>, Error> {
        let mut fingerprint = self.side.clone();
        for file in &self.files {
            let path = &file.identity.path;
            fingerprint.insert(format!("{INPUT}{path}"), describe(&file.identity)?);
            fingerprint.insert(format!("{TERMS}{path}"), describe(&file.terms())?);
        }
        let newest = repository.list()?.into_iter().rev().find_map(|found| found.manifest.ok());
        let Some(newest) = newest else { return Ok(fingerprint) };
        for (name, was) in newest.fingerprint.iter().filter(|(name, _)| name.starts_with(INPUT)) {
            let Some(now) = fingerprint.get_mut(name) else { continue };
            let Ok(former) = serde_json::from_str::<FileIdentity>(was) else { continue };
            let follow = self.files.iter().any(|file| file.identity.path == former.path && file.follow);
            unchanged(&former, follow, newest.complete)?;
            now.clone_from(was);
        }
        Ok(fingerprint)
    }

    /// A fingerprint without what may differ between processes that look at a growing file one after the other.
    pub fn without_growth(&self, mut fingerprint: BTreeMap<String, String>) -> BTreeMap<String, String> {
        for file in self.files.iter().filter(|file| file.follow) {
            fingerprint.insert(format!("input {}", file.identity.path), String::new());
        }
        fingerprint
    }
}

fn describe(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Fault(format!("a fingerprint has no JSON form: {error}")))
}

/// Refuses a file that is not the one that this data directory has read.
fn unchanged(former: &FileIdentity, follow: bool, complete: bool) -> Result<(), Error> {
    let what = match former.check()? {
        Sameness::Same => return Ok(()),
        Sameness::Grown if follow && !complete => return Ok(()),
        Sameness::Grown => "has grown",
        Sameness::Shorter => "is shorter than it was",
        Sameness::Changed => "is another file than it was",
    };
    Err(Error::Invalid(format!(
        "{} {what} since this data directory read it: bring the former file back, or use another --data-dir",
        former.path
    )))
}

/// The identity of a file that can be read.
fn readable(path: &Path) -> Result<FileIdentity, Error> {
    let refuse = |why: &str| {
        Error::Invalid(format!(
            "cannot read the input file {}: {why}; check the path and its permissions",
            path.display()
        ))
    };
    match fs::metadata(path) {
        Err(error) => Err(refuse(&error.to_string())),
        Ok(found) if found.is_dir() => Err(refuse("it is a directory")),
        Ok(found) if !found.is_file() => Err(refuse("it is no regular file")),
        Ok(_) => identity(path).map_err(|error| refuse(&error.to_string())),
    }
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
