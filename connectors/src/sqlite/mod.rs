//! The embedded SQL store: ledger, source journal and late control records in one SQLite file. Owned here: the file, its schema and how its
//! errors are told. Not owned here: what a ledger and a journal promise (`engine`).
//!
//! The file is in WAL mode with every commit synced. Any number of [`SqliteStore`]s, in one process or several, may be
//! open on it; writers wait for each other.

mod control;
mod issue;
mod journal;
mod read;
mod schema;
mod work;

pub use control::Kept;

use engine::error::Error;
use engine::fault::point;
use engine::ledger::{
    self, Attempt, Batch, Claim, Entry, Issued, Ledger, OrderStatus, Page, Receipt, Recorded, Scope, Settlement, State,
    StepOutcome,
};
use engine::time::Micros;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a writer waits for another before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Statements kept prepared per connection: all there are.
const STATEMENTS: usize = 64;

/// One handle on a store. Each thread opens its own.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    path: PathBuf,
    generation: u64,
}

impl SqliteStore {
    /// Opens the store at `path`, creating it if there is none (its folder must exist).
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the file is no such store, is damaged, or was written by a newer version;
    /// [`Error::Io`] if the system refuses it; [`Error::Unavailable`] if another process holds it for too long.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let refuse = |error| refusal(path, error);
        let mut connection = Connection::open(path).map_err(refuse)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(refuse)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.pragma_update(None, "synchronous", "FULL").map_err(refuse)?;
        schema::prepare(&mut connection).map_err(|failure| failure.at(path))?;
        Ok(SqliteStore { connection, path: path.to_owned(), generation: 0 })
    }

    /// Opens the store at `path` to read what others write. Its folder is left as it is: no file is made in it, and a
    /// writer is not waited for, nor does one wait. Every writing method fails.
    ///
    /// # Errors
    /// As [`SqliteStore::open`]; [`Error::Corrupt`] also if the file is empty.
    pub fn open_to_read(path: &Path) -> Result<Self, Error> {
        let refuse = |error| refusal(path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // The index of the log is there while somebody writes, or was killed while writing. Without it all stands in
        // the file itself, and SQLite would make one.
        let index = beside(path, "-shm");
        let connection = match index.exists() {
            true => Connection::open_with_flags(path, flags),
            false => Connection::open_with_flags(uri(path), flags | OpenFlags::SQLITE_OPEN_URI),
        };
        let connection = connection.map_err(refuse)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(refuse)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        schema::require_store(&connection).map_err(|failure| failure.at(path))?;
        Ok(SqliteStore { connection, path: path.to_owned(), generation: 0 })
    }

    /// Copies the store as it is now to `to`, which must not exist. Writers go on meanwhile.
    ///
    /// # Errors
    /// As the store fails; [`Error::Invalid`] if the path is not UTF-8.
    pub fn copy_to(&self, to: &Path) -> Result<(), Error> {
        let name = to.to_str().ok_or_else(|| Error::Invalid(format!("the path {} is not UTF-8", to.display())))?;
        self.connection.execute("vacuum into ?1", [name]).map_err(|error| refusal(to, error))?;
        Ok(())
    }

    /// One transaction that holds the write lock from its start. It is rolled back unless `act` succeeds.
    fn write<T>(&mut self, act: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>) -> Result<T, Error> {
        let path = &self.path;
        let run = || -> Result<T, Failure> {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = act(&transaction)?;
            point("sqlite.commit")?;
            transaction.commit()?;
            point("sqlite.committed")?;
            Ok(value)
        };
        run().map_err(|failure| failure.at(path))
    }

    /// A transaction of this handle's generation: refused once a newer one has taken over.
    fn act<T>(&mut self, act: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>) -> Result<T, Error> {
        let own = self.generation;
        self.write(|transaction| {
            let current = schema::number(transaction, schema::GENERATION)?;
            if current != own {
                return Err(ledger::superseded(own, current).into());
            }
            act(transaction)
        })
    }

    /// Takes over: makes this handle act for a generation newer than any before, and all older ones fail. What they had
    /// claimed can be claimed again at once, since they can no longer record it.
    ///
    /// # Errors
    /// As the store fails, and [`ledger::superseded`] if the generation is not newer.
    pub fn take_over(&mut self, generation: u64) -> Result<(), Error> {
        self.write(|transaction| {
            let current = schema::number(transaction, schema::GENERATION)?;
            if generation <= current {
                return Err(ledger::superseded(generation, current).into());
            }
            schema::set_number(transaction, schema::GENERATION, generation)?;
            work::release_claims(transaction)
        })?;
        self.generation = generation;
        Ok(())
    }

    /// The generation that may act now; zero before there was one.
    ///
    /// # Errors
    /// As the store fails.
    pub fn current_generation(&self) -> Result<u64, Error> {
        self.read(|connection| schema::number(connection, schema::GENERATION))
    }

    fn read<T>(&self, get: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Error> {
        get(&self.connection).map_err(|failure| failure.at(&self.path))
    }
}

impl Ledger for SqliteStore {
    fn claim_generation(&mut self, generation: u64) -> Result<(), Error> {
        self.write(|transaction| {
            let current = schema::number(transaction, schema::GENERATION)?;
            if generation < current {
                return Err(ledger::superseded(generation, current).into());
            }
            schema::set_number(transaction, schema::GENERATION, generation)
        })?;
        self.generation = generation;
        Ok(())
    }

    fn issue(&mut self, batch: &Batch, through: Micros) -> Result<Issued, Error> {
        self.act(|transaction| issue::issue(transaction, batch, through))
    }

    fn issued_through(&self) -> Result<Micros, Error> {
        self.read(|connection| Ok(Micros(schema::number(connection, schema::ISSUED_THROUGH)?)))
    }

    fn claim(&mut self, now_ms: u64, lease_ms: u64, limit: usize) -> Result<Vec<Claim>, Error> {
        if !self.read(|connection| work::any_due(connection, now_ms))? {
            return Ok(Vec::new());
        }
        self.act(|transaction| work::claim(transaction, now_ms, lease_ms, limit))
    }

    fn record(
        &mut self,
        claim: &Claim,
        outcome: &StepOutcome,
        entries: &[Entry],
        now_ms: u64,
    ) -> Result<Recorded, Error> {
        self.act(|transaction| {
            let recorded = work::record(transaction, claim, outcome, now_ms)?;
            if recorded == Recorded::Applied {
                for entry in entries {
                    issue::insert_entry(transaction, entry)?;
                }
            }
            Ok(recorded)
        })
    }

    fn receipt(&mut self, key: &str, body: &str) -> Result<bool, Error> {
        self.act(|transaction| issue::receipt(transaction, key, body))
    }

    fn hold(&mut self, scope: Scope<'_>, on: bool, now_ms: u64) -> Result<bool, Error> {
        self.write(|transaction| work::hold(transaction, scope, on, now_ms))
    }

    fn retry(&mut self, id: &str, now_ms: u64) -> Result<bool, Error> {
        self.write(|transaction| work::retry(transaction, id, now_ms))
    }

    fn all_held(&self) -> Result<bool, Error> {
        self.read(|connection| Ok(schema::number(connection, schema::HELD)? != 0))
    }

    fn open_orders(&self) -> Result<u64, Error> {
        self.read(read::open_orders)
    }

    fn count(&self, state: State) -> Result<u64, Error> {
        self.read(|connection| read::count(connection, state))
    }

    fn orders(&self, page: Page) -> Result<Vec<OrderStatus>, Error> {
        self.read(|connection| read::orders(connection, page))
    }

    fn order(&self, id: &str) -> Result<Option<OrderStatus>, Error> {
        self.read(|connection| read::order(connection, id))
    }

    fn trail(&self, id: &str) -> Result<Vec<Attempt>, Error> {
        self.read(|connection| read::trail(connection, id))
    }

    fn settled_after(&self, seq: u64, limit: usize) -> Result<Vec<Settlement>, Error> {
        self.read(|connection| read::settled_after(connection, seq, limit))
    }

    fn entries_after(&self, seq: u64, limit: usize) -> Result<Vec<(u64, Entry)>, Error> {
        self.read(|connection| read::entries_after(connection, seq, limit))
    }

    fn entries_before(&self, seq: Option<u64>, limit: usize) -> Result<Vec<(u64, Entry)>, Error> {
        self.read(|connection| read::entries_before(connection, seq, limit))
    }

    fn entry_seq(&self, id: &str) -> Result<Option<u64>, Error> {
        self.read(|connection| read::entry_seq(connection, id))
    }

    fn receipts_after(&self, seq: u64, limit: usize) -> Result<Vec<(u64, Receipt)>, Error> {
        self.read(|connection| read::receipts_after(connection, seq, limit))
    }
}

/// A file that SQLite keeps beside a store.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A path as SQLite's URI of a file that nobody writes. Each byte that could mean something else is escaped.
fn uri(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    let escaped = path.as_os_str().as_encoded_bytes().iter().map(|byte| match plain(*byte) {
        true => char::from(*byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    // An empty authority, so that a path with two leading slashes is not taken for a host.
    let root = if path.is_absolute() { "file://" } else { "file:" };
    format!("{root}{}?immutable=1", escaped.collect::<String>())
}

/// What ends a transaction: SQLite, or a refusal of our own.
enum Failure {
    Sqlite(rusqlite::Error),
    Ours(Error),
}

impl Failure {
    fn at(self, path: &Path) -> Error {
        match self {
            Failure::Sqlite(error) => refusal(path, error),
            Failure::Ours(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Failure::Sqlite(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Ours(error)
    }
}

/// SQLite's error by its remedy.
fn refusal(path: &Path, error: rusqlite::Error) -> Error {
    let place = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::Unavailable(format!("the store {place} is held by another process for too long: {error}"))
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::Corrupt(format!("the store {place} is damaged or no SQLite file: {error}; restore it from a copy"))
        }
        Some(
            ErrorCode::CannotOpen
            | ErrorCode::DiskFull
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::SystemIoFailure,
        ) => Error::io("use", path)(std::io::Error::other(error)),
        _ => Error::Fault(format!("store {place}: {error}")),
    }
}

#[cfg(test)]
mod tests;
