//! Inboxes as partitions: what comes once is in the data directory before the dataflow reads it. Owned here: where an inbox
//! lies, and from where on whose lines it holds. Not owned here: the inbox itself (`connectors`), and who fills it.

use super::feed::{Orgs, Place};
use super::slack::is_log;
use connectors::file::{Mode, replace};
use connectors::inbox::InboxPartition;
use engine::error::Error;
use engine::source::Partition;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Folder of all inboxes in a data directory.
const INBOXES: &str = "inbox";

/// Before the kind of a source in a fingerprint.
pub(super) const INBOX: &str = "inbox ";

/// The file in an inbox that says whose lines it holds.
const ORGS: &str = "orgs.ndjson";

/// An inbox that a job reads.
#[derive(Clone, Debug)]
pub struct InboxPlace {
    name: String,
    /// The kind of its source; all inboxes of a kind are read on the same terms.
    kind: String,
    folder: PathBuf,
    mode: Mode,
    /// The orgs that its lines may speak for from now on, where that is said by who fills it.
    orgs: Option<Orgs>,
}

/// A line of the file of orgs: from a position on, lines may speak for these; all of them if there are none.
#[derive(Serialize, Deserialize)]
struct Said {
    from: u64,
    orgs: Orgs,
}

impl InboxPlace {
    /// The inbox of this name in a data directory. `orgs` are those that lines may speak for from now on, where that is not
    /// on the terms of the source.
    pub(super) fn new(data_dir: &Path, name: &str, kind: &str, mode: Mode, orgs: Option<Orgs>) -> Self {
        let folder = folder_of(data_dir, name);
        InboxPlace { name: name.to_owned(), kind: kind.to_owned(), folder, mode, orgs }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// As it is read.
    pub fn reading(&self) -> InboxPartition {
        InboxPartition::new(self.name.clone(), self.folder.clone(), self.mode)
    }

    /// Puts down that lines from `end` on may speak for other orgs than those before, if it is so.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses it.
    pub fn put_down_orgs(&self, end: u64) -> Result<(), Error> {
        let Some(orgs) = &self.orgs else { return Ok(()) };
        let mut said = self.said()?;
        if said.last().is_some_and(|last| last.orgs == *orgs) {
            return Ok(());
        }
        said.retain(|said| said.from < end);
        said.push(Said { from: end, orgs: orgs.clone() });
        let mut text = String::new();
        for said in said {
            text.push_str(&super::describe(&said)?);
            text.push('\n');
        }
        replace(&self.folder.join(ORGS), text.as_bytes())
    }

    fn said(&self) -> Result<Vec<Said>, Error> {
        let path = self.folder.join(ORGS);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            text => text.map_err(Error::io("read", &path))?,
        };
        let line = |line: &str| {
            serde_json::from_str(line).map_err(|error| {
                Error::Corrupt(format!("{} cannot be read: {error}; restore it from a copy", path.display()))
            })
        };
        text.lines().map(line).collect()
    }
}

impl Place for InboxPlace {
    fn name(&self) -> &str {
        &self.name
    }

    fn key(&self) -> String {
        format!("{INBOX}{}", self.kind)
    }

    fn terms_of(&self) -> &str {
        &self.kind
    }

    /// What it holds lies in the data directory itself.
    fn mark(&self) -> Result<String, Error> {
        Ok("in the data directory".to_owned())
    }

    fn since(&self, was: &str, _complete: bool) -> Result<String, Error> {
        Ok(was.to_owned())
    }

    fn may_import(&self) -> bool {
        is_log(&self.kind)
    }

    fn is_live(&self) -> bool {
        self.mode == Mode::Follow
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn partition(&self) -> Arc<dyn Partition> {
        Arc::new(self.reading())
    }

    fn orgs(&self) -> Result<Option<Vec<(u64, Orgs)>>, Error> {
        if self.orgs.is_none() {
            return Ok(None);
        }
        let said: Vec<_> = self.said()?.into_iter().map(|said| (said.from, said.orgs)).collect();
        // What nobody may speak for yet.
        Ok(Some(if said.is_empty() { vec![(0, Some(BTreeSet::new()))] } else { said }))
    }

    fn inbox(&self) -> Option<&InboxPlace> {
        Some(self)
    }
}

/// Where the inbox of this name lies in a data directory.
pub fn folder_of(data_dir: &Path, name: &str) -> PathBuf {
    data_dir.join(INBOXES).join(name)
}

/// Names of the inboxes in a data directory that begin so.
pub(super) fn there(data_dir: &Path, prefix: &str) -> Result<BTreeSet<String>, Error> {
    let folder = data_dir.join(INBOXES);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries.map_err(Error::io("list", &folder))?,
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(Error::io("list", &folder))?.file_name();
        names.extend(name.to_str().filter(|name| name.starts_with(prefix)).map(str::to_owned));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_speak_for_whom_they_could_when_they_came() {
        let dir = tempfile::tempdir().unwrap();
        let orgs = |orgs: &[&str]| -> Orgs { Some(orgs.iter().map(|org| (*org).to_owned()).collect()) };
        let place = |orgs: Option<Orgs>| InboxPlace::new(dir.path(), "http-a", "http", Mode::Follow, orgs);
        let (one, two) = (orgs(&["E1"]), orgs(&["E1", "E2"]));
        fs::create_dir_all(place(None).folder()).unwrap();
        assert_eq!(place(None).orgs().unwrap(), None, "its source says so");
        assert_eq!(
            place(Some(one.clone())).orgs().unwrap(),
            Some(vec![(0, orgs(&[]))]),
            "nobody, before it is put down"
        );
        let put = |orgs: &Orgs, end, expected: &[(u64, &Orgs)]| {
            place(Some(orgs.clone())).put_down_orgs(end).unwrap();
            let expected = expected.iter().map(|(from, orgs)| (*from, Clone::clone(*orgs))).collect();
            assert_eq!(place(Some(orgs.clone())).orgs().unwrap(), Some(expected));
        };
        put(&one, 0, &[(0, &one)]);
        put(&one, 70, &[(0, &one)]);
        put(&two, 100, &[(0, &one), (100, &two)]);
        put(&None, 100, &[(0, &one), (100, &None)]);
        put(&one, 300, &[(0, &one), (100, &None), (300, &one)]);
        assert_eq!(there(dir.path(), "http-").unwrap(), BTreeSet::from(["http-a".to_owned()]));
        assert!(there(dir.path(), "stdin").unwrap().is_empty());
        fs::write(place(None).folder().join(ORGS), "{").unwrap();
        assert!(matches!(place(Some(one)).orgs(), Err(Error::Corrupt(_))));
    }
}
