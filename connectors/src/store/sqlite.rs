//! The store in a SQLite file. Owned here: how the file is opened, and how its errors are told. Not owned here: what
//! stands in it.

use super::schema::{self, Dialect, tables};
use super::{Act, Arg, Cell, Database, Row, Statements};
use engine::error::Error;
use engine::fault::point;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long a writer waits for another before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait before looking again whether another holds the file.
const BUSY_LOOK: Duration = Duration::from_millis(5);

/// Statements kept prepared per connection: all there are, and some queries by terms.
const STATEMENTS: usize = 96;

/// Marks a SQLite file as ours, in its header's application id: "aeri".
const APPLICATION: i64 = 0x6165_7269;

const DIALECT: Dialect = Dialect {
    int: "integer",
    text: "text",
    bytes: "blob",
    seq: "integer primary key autoincrement",
    end: " strict",
    end_by_key: " strict, without rowid",
};

/// A connection to a file.
pub(super) struct File {
    pub(super) connection: Connection,
    path: PathBuf,
}

impl File {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let refuse = |error| refusal(path, error);
        let connection = Connection::open(path).map_err(refuse)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(refuse)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.pragma_update(None, "synchronous", "FULL").map_err(refuse)?;
        let mut file = File { connection, path: path.to_owned() };
        file.prepare()?;
        Ok(file)
    }

    pub(super) fn open_to_read(path: &Path) -> Result<Self, Error> {
        let refuse = |error| refusal(path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // The index of the log is there while somebody writes, or was killed while writing. Without it all stands in
        // the file itself, and SQLite would make one.
        let connection = match beside(path, "-shm").exists() {
            true => Connection::open_with_flags(path, flags),
            false => Connection::open_with_flags(uri(path), flags | OpenFlags::SQLITE_OPEN_URI),
        };
        let connection = connection.map_err(refuse)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(refuse)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let file = File { connection, path: path.to_owned() };
        match file.is_store()? {
            true => Ok(file),
            false => Err(file.corrupt("is empty; restore it from a copy")),
        }
    }

    /// Makes an empty file a store; refuses what is none, or is of another version.
    fn prepare(&mut self) -> Result<(), Error> {
        // Before the first change of the file: a foreign one stays as it is.
        let there = self.is_store()?;
        self.log_ahead()?;
        if there {
            return Ok(());
        }
        self.write(&mut |on| {
            // Another process may have been first.
            if !self::is_store(on)? {
                tables(&DIALECT).iter().try_for_each(|statement| on.execute(statement, &[]).map(drop))?;
                on.query(&format!("pragma application_id = {APPLICATION}"), &[])?;
                schema::set_number(on, schema::FORMAT, schema::VERSION)?;
            }
            Ok(())
        })
    }

    /// Puts the file into WAL mode. SQLite waits for nobody here, so this does.
    fn log_ahead(&self) -> Result<(), Error> {
        let since = Instant::now();
        loop {
            match self.connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())) {
                Err(error) if is_busy(&error) && since.elapsed() < BUSY_TIMEOUT => thread::sleep(BUSY_LOOK),
                done => return done.map_err(|error| refusal(&self.path, error)),
            }
        }
    }

    fn is_store(&self) -> Result<bool, Error> {
        is_store(self)
    }
}

/// Whether the file is a store of this version; otherwise it is empty, or refused.
fn is_store(on: &dyn Statements) -> Result<bool, Error> {
    // In one statement: another process may be making the tables just now.
    let query = "select (select application_id from pragma_application_id), exists (select 1 from sqlite_schema)";
    let mut row = on.query(query, &[])?.pop().unwrap_or(Row(Vec::new()));
    let (application, filled) = (row.number(0)?, row.number(1)? != 0);
    if application == 0 && !filled {
        return Ok(false);
    }
    if application != APPLICATION as u64 {
        return Err(on.corrupt("is a SQLite file of something else; use another data directory"));
    }
    schema::require_version(on).map(|()| true)
}

impl Database for File {
    fn write(&mut self, act: &mut Act<'_>) -> Result<(), Error> {
        let path = &self.path;
        let refuse = |error| refusal(path, error);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(refuse)?;
        act(&Speaking { connection: &transaction, path })?;
        point("store.commit")?;
        transaction.commit().map_err(refuse)?;
        point("store.committed")
    }

    fn read(&self, get: &mut Act<'_>) -> Result<(), Error> {
        get(self)
    }

    fn freeze(self: Box<Self>, copy: &Path) -> Result<Box<dyn Database>, Error> {
        let name = copy.to_str().ok_or_else(|| Error::Invalid(format!("the path {} is not UTF-8", copy.display())))?;
        self.connection.execute("vacuum into ?1", [name]).map_err(|error| refusal(copy, error))?;
        Ok(Box::new(File::open(copy)?))
    }
}

/// A connection, within a transaction or not.
struct Speaking<'a> {
    connection: &'a Connection,
    path: &'a Path,
}

impl Statements for Speaking<'_> {
    fn execute(&self, sql: &str, arguments: &[Arg<'_>]) -> Result<u64, Error> {
        let run = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.execute(rusqlite::params_from_iter(arguments))
        };
        run().map(|changed| changed as u64).map_err(|error| refusal(self.path, error))
    }

    fn query(&self, sql: &str, arguments: &[Arg<'_>]) -> Result<Vec<Row>, Error> {
        let run = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let columns = statement.column_count();
            let row = |row: &rusqlite::Row<'_>| (0..columns).map(|at| row.get_ref(at)?.try_into()).collect();
            let rows = statement.query_map(rusqlite::params_from_iter(arguments), row)?;
            rows.map(|row| row.map(Row)).collect::<rusqlite::Result<Vec<_>>>()
        };
        run().map_err(|error| refusal(self.path, error))
    }

    fn corrupt(&self, what: &str) -> Error {
        Error::Corrupt(format!("the store {} {what}", self.path.display()))
    }
}

impl Statements for File {
    fn execute(&self, sql: &str, arguments: &[Arg<'_>]) -> Result<u64, Error> {
        Speaking { connection: &self.connection, path: &self.path }.execute(sql, arguments)
    }

    fn query(&self, sql: &str, arguments: &[Arg<'_>]) -> Result<Vec<Row>, Error> {
        Speaking { connection: &self.connection, path: &self.path }.query(sql, arguments)
    }

    fn corrupt(&self, what: &str) -> Error {
        Speaking { connection: &self.connection, path: &self.path }.corrupt(what)
    }
}

impl ToSql for Arg<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = match self {
            Arg::Int(Some(value)) => ValueRef::Integer(*value),
            Arg::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Arg::Bytes(bytes) => ValueRef::Blob(bytes),
            Arg::Int(None) | Arg::Text(None) => ValueRef::Null,
        };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

impl TryFrom<ValueRef<'_>> for Cell {
    type Error = rusqlite::Error;

    fn try_from(value: ValueRef<'_>) -> rusqlite::Result<Self> {
        Ok(match value {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(value) => Cell::Int(value),
            ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_owned()),
            ValueRef::Real(_) => return Err(rusqlite::Error::InvalidQuery),
        })
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

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
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
