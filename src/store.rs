//! Where a job's control store is. Owned here: the one place that opens it, in the data directory or on a server. Not
//! owned here: what is in it (`connectors::store`).

use crate::secrets;
use config::{Job, LedgerServer};
use connectors::store::Store;
use connectors::store::postgres::{Patience, Server};
use engine::error::Error;
use engine::ledger::Ledger;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// File of the embedded control store: the ledger, the audit entries and the source journal.
const FILE: &str = "control.sqlite";

/// A control store, open or not.
#[derive(Clone, Debug)]
pub struct StorePlace(At);

#[derive(Clone, Debug)]
enum At {
    File(PathBuf),
    /// A server, and until when it is waited for when it is lost.
    Server(Box<Server>, Patience),
}

impl StorePlace {
    /// Where a job that runs has it. A server that is lost is waited for until `stop` is set.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the file of a password cannot be used.
    pub fn of(job: &Job, stop: &Arc<AtomicBool>) -> Result<Self, Error> {
        StorePlace::with(job, Patience::until(stop.clone()))
    }

    /// Where a job has it that is looked at from outside. Nobody waits.
    ///
    /// # Errors
    /// As [`StorePlace::of`].
    pub fn seen(job: &Job) -> Result<Self, Error> {
        StorePlace::with(job, Patience::default())
    }

    /// A file.
    pub fn file(path: PathBuf) -> Self {
        StorePlace(At::File(path))
    }

    fn with(job: &Job, patience: Patience) -> Result<Self, Error> {
        Ok(match &job.ledger {
            None => StorePlace::file(job.data_dir.join(FILE)),
            Some(ledger) => StorePlace(At::Server(Box::new(server(ledger)?), patience)),
        })
    }

    /// Opens it, creating it if there is none.
    ///
    /// # Errors
    /// As the store fails.
    pub fn open(&self) -> Result<Store, Error> {
        match &self.0 {
            At::File(path) => Store::open_file(path),
            At::Server(server, patience) => Store::open_server(server, patience.clone()),
        }
    }

    /// Opens it to act for `generation`.
    ///
    /// # Errors
    /// As the store fails.
    pub fn open_as(&self, generation: u64) -> Result<Store, Error> {
        let mut store = self.open()?;
        store.claim_generation(generation)?;
        Ok(store)
    }

    /// Opens that of a job that has run, to be read: nothing is created or changed.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is none. Else as the store fails.
    pub fn read(&self) -> Result<Store, Error> {
        match &self.0 {
            At::File(path) => require(path).and_then(|()| Store::read_file(path)),
            At::Server(server, _) => Store::existing_on_server(server),
        }
    }

    /// Opens that of a job that has run, for an admin's hand: nothing is created.
    ///
    /// # Errors
    /// As [`StorePlace::read`].
    pub fn administer(&self) -> Result<Store, Error> {
        match &self.0 {
            At::File(path) => require(path).and_then(|()| Store::open_file(path)),
            At::Server(server, _) => Store::existing_on_server(server),
        }
    }

    /// What people call it.
    pub fn name(&self) -> String {
        match &self.0 {
            At::File(path) => path.display().to_string(),
            At::Server(server, _) => server.place(),
        }
    }
}

fn require(path: &Path) -> Result<(), Error> {
    if path.is_file() {
        return Ok(());
    }
    let dir = path.parent().unwrap_or(path).display();
    Err(Error::Invalid(format!(
        "{dir} has no file {FILE}: name the data directory of a job, or its file with --config"
    )))
}

fn server(ledger: &LedgerServer) -> Result<Server, Error> {
    let server = ledger.server.clone();
    match &ledger.password {
        None => Ok(server),
        Some(origin) => Ok(server.with_password(secrets::reveal(origin, "[ledger] password_file")?.expose())),
    }
}
