//! What a job leaves in its data folder: files for others, snapshots, the ledger. Owned here: reading and comparing them.
//! Not owned here: what must stand in them.

use connectors::store::Store;
use engine::snapshot::objects::Objects;
use engine::snapshot::repository::{Found, Repository};
use engine::snapshot::shelf::StoredFile;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What a job leaves for others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// As it stands.
    pub decisions: String,
    /// Sorted.
    pub audit: Vec<String>,
    /// Every file, by name.
    pub outbox: BTreeMap<String, String>,
    /// As they stand.
    pub dead_letter: String,
    pub late: String,
}

impl Outputs {
    pub fn of(data_dir: &Path) -> Self {
        let mut audit: Vec<_> = lines(&data_dir.join("audit.ndjson"));
        audit.sort_unstable();
        Outputs {
            decisions: text(&data_dir.join("decisions.ndjson")),
            audit,
            outbox: outbox(data_dir),
            dead_letter: text(&data_dir.join("dead_letter.ndjson")),
            late: text(&data_dir.join("late.ndjson")),
        }
    }

    /// What must not depend on how the input was cut into files.
    #[track_caller]
    pub fn assert_same_results(&self, other: &Outputs, what: &str) {
        same_lines(&self.decisions, &other.decisions, &format!("{what}: decisions.ndjson"));
        same_lines(&self.audit.join("\n"), &other.audit.join("\n"), &format!("{what}: sorted audit.ndjson"));
        same_lines(&pages(&self.outbox), &pages(&other.outbox), &format!("{what}: outbox/"));
    }

    /// What must not depend on how often the job was interrupted.
    #[track_caller]
    pub fn assert_same(&self, other: &Outputs, what: &str) {
        self.assert_same_results(other, what);
        same_lines(&self.dead_letter, &other.dead_letter, &format!("{what}: dead_letter.ndjson"));
        same_lines(&self.late, &other.late, &format!("{what}: late.ndjson"));
    }

    pub fn decisions(&self) -> Vec<Value> {
        values(&self.decisions)
    }

    /// Ids of responses in `audit.ndjson`, which are as many as were carried out.
    pub fn responses(&self) -> Vec<String> {
        let entries = self.audit.iter().filter(|line| line.contains("user_sessions_reset_by_anomaly_event_response"));
        let mut ids: Vec<_> =
            entries.map(|line| values(line)[0]["id"].as_str().expect("entries have ids").to_owned()).collect();
        ids.sort_unstable();
        ids
    }
}

fn pages(outbox: &BTreeMap<String, String>) -> String {
    outbox.iter().map(|(name, content)| format!("{name}: {content:?}\n")).collect()
}

fn outbox(data_dir: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(data_dir.join("outbox")) else { return BTreeMap::new() };
    let files = entries.map(|entry| entry.expect("a folder can be listed"));
    files.map(|file| (file.file_name().into_string().expect("names are ASCII"), text(&file.path()))).collect()
}

/// A file's text; a file that is not there is empty.
pub fn text(path: &Path) -> String {
    match fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

pub fn lines(path: &Path) -> Vec<String> {
    text(path).lines().map(str::to_owned).collect()
}

/// The whole lines of a file that may be written to.
pub fn lines_so_far(path: &Path) -> Vec<String> {
    let text = text(path);
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    text[..whole].lines().map(str::to_owned).collect()
}

/// Every line as JSON.
#[track_caller]
pub fn values(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Fails with the first line that differs.
#[track_caller]
pub fn same_lines(left: &str, right: &str, what: &str) {
    if left == right {
        return;
    }
    let (mut a, mut b) = (left.lines(), right.lines());
    for number in 1.. {
        match (a.next(), b.next()) {
            (Some(a), Some(b)) if a == b => {}
            (None, None) => panic!("{what}: differs in line ends alone"),
            (a, b) => {
                let (of, and) = (left.lines().count(), right.lines().count());
                panic!("{what}: differs at line {number} ({of} and {and} lines)\n  {a:?}\n  {b:?}");
            }
        }
    }
}

/// Numbers of the snapshots that exist: those with a manifest.
pub fn snapshots(data_dir: &Path) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(data_dir.join("snapshots/manifests")) else { return Vec::new() };
    let mut ids: Vec<u64> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    ids.sort_unstable();
    ids
}

/// The manifest of a snapshot.
pub fn manifest(data_dir: &Path, id: u64) -> PathBuf {
    data_dir.join("snapshots/manifests").join(format!("{id:010}"))
}

/// The largest file that a snapshot names and no other does.
pub fn own_file(data_dir: &Path, id: u64) -> PathBuf {
    let objects = Objects::in_folder(&data_dir.join("snapshots")).expect("there is a repository");
    let found = Repository::new(objects).list().expect("snapshots can be listed");
    let named = |found: &Found| -> Vec<StoredFile> {
        found.manifest.as_ref().map(|manifest| manifest.files().cloned().collect()).unwrap_or_default()
    };
    let others: BTreeSet<_> = found.iter().filter(|f| f.id != id).flat_map(named).map(|file| file.object).collect();
    let own = found.iter().filter(|found| found.id == id).flat_map(named).filter(|file| !others.contains(&file.object));
    let file = own.max_by_key(|file| file.size).expect("a snapshot has files of its own");
    data_dir.join("snapshots").join(file.object)
}

/// The embedded store of a data folder, found by what SQLite writes at the head of its files; `None` before there is
/// one.
pub fn ledger(data_dir: &Path) -> Option<Store> {
    let is_sqlite = |path: &PathBuf| {
        let mut head = [0; 16];
        path.is_file() && File::open(path).is_ok_and(|mut file| file.read_exact(&mut head).is_ok()) && head == *MAGIC
    };
    let mut files: Vec<_> = fs::read_dir(data_dir).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(is_sqlite);
    assert!(files.len() < 2, "one store was expected: {files:?}");
    files.pop().map(|path| Store::open_file(&path).expect("the store can be opened"))
}

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
