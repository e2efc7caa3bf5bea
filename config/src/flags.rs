//! The command line's settings, as the last layer.

use crate::value::{Node, Origin, Table, Value};
use std::path::{Path, PathBuf};

/// In place of files: what is fed to the program.
const STDIN: &str = "-";

/// Settings given as flags, as words: they are checked by the same rules as the file's. What is empty, `None` or
/// `false` was not given.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--input FILE…`: one source of these files, or of stdin if it is `-`, in place of the file's sources.
    pub input: Vec<PathBuf>,
    /// `--follow`: read on as the inputs grow.
    pub follow: bool,
    /// `--control FILE…`.
    pub control: Vec<PathBuf>,
    /// `--tor-list FILE`.
    pub tor_list: Option<PathBuf>,
    /// `--data-dir DIR`.
    pub data_dir: Option<PathBuf>,
    /// `--workers N`.
    pub workers: Option<String>,
    /// `--processes N`.
    pub processes: Option<String>,
    /// `--state-memory SIZE`.
    pub state_memory: Option<String>,
    /// `--snapshot-every DURATION`.
    pub snapshot_every: Option<String>,
    /// `--drain-timeout DURATION`.
    pub drain_timeout: Option<String>,
    /// `--shadow`.
    pub shadow: bool,
}

impl Flags {
    /// As a layer of the tree.
    pub(crate) fn table(&self) -> Table {
        let words: [(&str, &'static str, Option<String>); 7] = [
            ("data_dir", "--data-dir", self.data_dir.as_ref().map(|dir| dir.display().to_string())),
            ("workers", "--workers", self.workers.clone()),
            ("processes", "--processes", self.processes.clone()),
            ("state_memory", "--state-memory", self.state_memory.clone()),
            ("snapshot_every", "--snapshot-every", self.snapshot_every.clone()),
            ("drain_timeout", "--drain-timeout", self.drain_timeout.clone()),
            ("shadow", "--shadow", self.shadow.then(|| "true".to_owned())),
        ];
        let mut job = Table::new();
        for (key, flag, word) in words {
            if let Some(word) = word {
                job.insert(key.to_owned(), node(flag, Value::Word(word)));
            }
        }
        let mut table = Table::new();
        if !job.is_empty() {
            // The section itself was not given: what is missing from it is missing from the whole.
            table.insert("job".to_owned(), node("command line", Value::Table(job)));
        }
        if !self.control.is_empty() {
            table.insert("control".to_owned(), node("--control", paths("--control", &self.control)));
        }
        if let Some(file) = &self.tor_list {
            table.insert("tor_list".to_owned(), node("--tor-list", Value::Word(file.display().to_string())));
        }
        if !self.input.is_empty() {
            let stdin = self.input.iter().map(PathBuf::as_path).eq([Path::new(STDIN)]);
            let kind = if stdin { "stdin" } else { "file" };
            let mut source = Table::from([("kind".to_owned(), node("--input", Value::Word(kind.to_owned())))]);
            if !stdin {
                source.insert("paths".to_owned(), node("--input", paths("--input", &self.input)));
            }
            if self.follow {
                source.insert("follow".to_owned(), node("--follow", Value::Bool(true)));
            }
            let sources = Value::List(vec![node("--input", Value::Table(source))]);
            table.insert("source".to_owned(), node("--input", sources));
        }
        table
    }
}

fn paths(flag: &str, paths: &[PathBuf]) -> Value {
    Value::List(paths.iter().map(|path| node(flag, Value::Word(path.display().to_string()))).collect())
}

fn node(flag: &str, value: Value) -> Node {
    Node { value, origin: Origin::Flag(flag.to_owned()) }
}
