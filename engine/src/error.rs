//! What can go wrong in the engine, by what the reader has to do about it.

use std::path::PathBuf;

/// An engine error. Its kind names the remedy; its text says what, where and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The inputs or settings do not fit: fix them and start again.
    #[error("{0}")]
    Invalid(String),
    /// Stored state is damaged or of another job: restore or choose another data directory.
    #[error("{0}")]
    Corrupt(String),
    /// Stored state is whole, and of another version of the program: run that one, or choose another data directory.
    #[error("{0}")]
    Unfit(String),
    /// The operating system refused a file: make room, fix permissions, then start again.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: `open`, `sync`.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A store or service gave an error that may pass: start again.
    #[error("{0}")]
    Unavailable(String),
    /// A broken promise within the program: a bug, to be reported.
    #[error("internal fault: {0}")]
    Fault(String),
}

impl Error {
    /// For `map_err` on file operations.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { action, path, source }
    }
}
