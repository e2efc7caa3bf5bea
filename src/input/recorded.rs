//! What a job has read, from the fingerprint in its snapshots, to be read once more. Owned here: that it is the same, also
//! when it lies elsewhere now.

use super::feed::{Feed, Terms};
use super::file::{INPUT, InputFile, readable};
use super::kafka::{TOPIC, recorded_places, subject};
use super::{CONTROL, Input, SideFile, TERMS, TOR_LIST, USER_AGENTS};
use super::{add_database, database, parser, read_side, records, side_mark};
use config::Kafka;
use connectors::file::{FileIdentity, Sameness};
use engine::error::Error;
use operators::decode::networks::{About, Networks};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where files of a job lie now, if not where it read them. Which is which is told by their content.
#[derive(Clone, Debug, Default)]
pub struct Moved {
    /// Files of activity.
    pub input: Vec<PathBuf>,
    /// Files of control records, the list of Tor exits, databases of networks, and regexes of user agents.
    pub control: Vec<PathBuf>,
}

/// How topics that a job has read are read again.
pub struct Topics<'a> {
    /// Where they are.
    pub kafka: Option<&'a Kafka>,
    /// Names of the partitions that the job has read.
    pub partitions: &'a BTreeSet<String>,
}

impl Input {
    /// The input of a job that has run, by the fingerprint of its snapshots. It is read to its present end, also what the
    /// job followed as it grew.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the file that is missing, is another than it was, or was never read.
    pub fn recorded(fingerprint: &BTreeMap<String, String>, moved: &Moved, topics: &Topics<'_>) -> Result<Self, Error> {
        let mut elsewhere = moved.input.clone();
        let mut feeds = Vec::new();
        for (path, identity) in named(fingerprint, INPUT) {
            let identity: FileIdentity = parse(path, identity)?;
            let terms = terms_of(fingerprint, path)?;
            let place = Box::new(file(identity, terms.follow, &mut elsewhere)?);
            feeds.push(Feed { place, terms });
        }
        for (topic, mark) in named(fingerprint, TOPIC) {
            let terms = terms_of(fingerprint, &subject(topic))?;
            let places = recorded_places(topics, topic, parse(topic, mark)?)?;
            feeds.extend(places.into_iter().map(|place| Feed { place, terms: terms.clone() }));
        }
        refuse_strangers("input", &elsewhere)?;
        let mut elsewhere = moved.control.clone();
        let mut tor_list = None;
        for (path, mark) in named(fingerprint, TOR_LIST) {
            tor_list = Some(side(TOR_LIST, path, mark, &mut elsewhere)?.1);
        }
        let mut control = BTreeMap::new();
        for (path, mark) in named(fingerprint, CONTROL) {
            let (number, file) = side(CONTROL, path, mark, &mut elsewhere)?;
            control.insert(number, file);
        }
        let mut networks = Networks::default();
        for about in About::ALL {
            for (path, mark) in named(fingerprint, database(about)) {
                add_database(&mut networks, about, side(database(about), path, mark, &mut elsewhere)?.1)?;
            }
        }
        let mut regexes = None;
        for (path, mark) in named(fingerprint, USER_AGENTS) {
            regexes = Some(side(USER_AGENTS, path, mark, &mut elsewhere)?.1);
        }
        refuse_strangers("control", &elsewhere)?;
        let control = records(tor_list, control.into_values().collect())?.into();
        let (networks, agents) = (Arc::new(networks), parser(regexes)?);
        Ok(Input { feeds, control, networks, agents, side: BTreeMap::new() })
    }
}

/// On which terms something was read.
fn terms_of(fingerprint: &BTreeMap<String, String>, subject: &str) -> Result<Terms, Error> {
    parse(subject, fingerprint.get(&format!("{TERMS}{subject}")).map_or("", String::as_str))
}

/// Path and value of each entry of a kind.
fn named<'a>(fingerprint: &'a BTreeMap<String, String>, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    fingerprint.iter().filter_map(move |(name, value)| Some((name.strip_prefix(kind)?, value.as_str())))
}

fn parse<T: serde::de::DeserializeOwned>(path: &str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| {
        Error::Unfit(format!(
            "the snapshot says of {path} what this program cannot read: {error}; run the one that wrote it"
        ))
    })
}

/// One file, where it was read or among those that lie elsewhere.
fn file(identity: FileIdentity, follow: bool, elsewhere: &mut Vec<PathBuf>) -> Result<InputFile, Error> {
    let path = match take(elsewhere, &identity.path, |path| is_same(&identity, path, follow))? {
        Some(path) => path,
        None => {
            let path = PathBuf::from(&identity.path);
            if !is_same(&identity, &path, follow).map_err(|error| elsewhere_now(error, "--input"))? {
                return Err(another(&identity.path, "--input"));
            }
            path
        }
    };
    // What it followed is read to its present end: the clock has no say in it any more.
    Ok(InputFile { identity, path, follow: false })
}

fn is_same(identity: &FileIdentity, path: &Path, follow: bool) -> Result<bool, Error> {
    let there = FileIdentity { path: readable(path)?.path, ..identity.clone() };
    Ok(match there.check()? {
        Sameness::Same => true,
        Sameness::Grown => follow,
        Sameness::Shorter | Sameness::Changed => false,
    })
}

/// Number and content of a file beside the activity.
fn side(kind: &str, path: &str, mark: &str, elsewhere: &mut Vec<PathBuf>) -> Result<(usize, SideFile), Error> {
    let number = mark.strip_prefix("file ").and_then(|rest| rest.split(',').next()?.parse().ok());
    let number: usize = number.ok_or_else(|| {
        Error::Unfit(format!("the snapshot says of {path} what this program cannot read; run the one that wrote it"))
    })?;
    let same = |path: &Path| Ok(side_mark(&read_side(kind, path)?, number) == mark);
    if let Some(path) = take(elsewhere, path, same)? {
        return Ok((number, (path.display().to_string(), read_side(kind, &path)?)));
    }
    let content = read_side(kind, Path::new(path)).map_err(|error| elsewhere_now(error, "--control"))?;
    if side_mark(&content, number) == mark {
        return Ok((number, (path.to_owned(), content)));
    }
    Err(another(path, "--control"))
}

/// What is not where it was read may have moved.
fn elsewhere_now(error: Error, flag: &str) -> Error {
    match error {
        Error::Invalid(text) => Error::Invalid(format!("{text}; if it lies elsewhere now, say where with {flag}")),
        error => error,
    }
}

fn another(path: &str, flag: &str) -> Error {
    Error::Invalid(format!(
        "{path} is another file than the one that this job read: bring the former one back, or say where it lies with \
         {flag}"
    ))
}

/// Takes the file that is the wanted one out of those that lie elsewhere; of several, one of the same path or name first.
fn take(
    elsewhere: &mut Vec<PathBuf>,
    wanted: &str,
    same: impl Fn(&Path) -> Result<bool, Error>,
) -> Result<Option<PathBuf>, Error> {
    let wanted = Path::new(wanted);
    let unlike = |path: &PathBuf| (path != wanted, path.file_name() != wanted.file_name());
    let mut order: Vec<usize> = (0..elsewhere.len()).collect();
    order.sort_by_key(|index| unlike(&elsewhere[*index]));
    for index in order {
        if same(&elsewhere[index])? {
            return Ok(Some(elsewhere.remove(index)));
        }
    }
    Ok(None)
}

fn refuse_strangers(kind: &str, left: &[PathBuf]) -> Result<(), Error> {
    let Some(path) = left.first() else { return Ok(()) };
    Err(Error::Invalid(format!(
        "{} is none of the {kind} files that this job read, by its head and size: name the same files, wherever they lie",
        path.display()
    )))
}
