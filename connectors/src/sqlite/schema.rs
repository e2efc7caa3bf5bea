//! The tables, their version, and how numbers are kept in them.

use super::{BUSY_TIMEOUT, Failure};
use engine::error::Error;
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait before looking again whether another holds the file.
const BUSY_LOOK: Duration = Duration::from_millis(5);

/// Marks a SQLite file as ours, in its header's application id: "aeri".
const APPLICATION: i64 = 0x6165_7269;

/// The version of the tables.
const VERSION: u64 = 1;

/// Where the version stands among the numbers.
const FORMAT: &str = "format";

/// The number that fences writers of older generations.
pub(super) const GENERATION: &str = "generation";
/// The time issued so far, in microseconds.
pub(super) const ISSUED_THROUGH: &str = "issued_through";
/// The number of the last settlement that a control record was kept of.
pub(super) const SETTLED: &str = "settled";
/// Not 0 while all orders are held.
pub(super) const HELD: &str = "held";

const TABLES: &str = "
create table numbers (
    name  text primary key,
    value integer not null
) strict, without rowid;

create table entries (
    seq  integer primary key,
    id   text not null unique,
    at   integer not null,
    body text not null
) strict;

-- due_ms: when the next step can be claimed; the end of the lease while claimed; null when at rest.
create table orders (
    seq        integer primary key,
    id         text not null unique,
    at         integer not null,
    payload    blob not null,
    steps      text not null,
    step       integer not null,
    state      text not null,
    held       integer not null,
    attempt    integer not null,
    lease      integer not null,
    due_ms     integer,
    first_ms   integer,
    claimed_ms integer,
    doubt_ms   integer,
    error      text,
    updated_ms integer not null
) strict;
create index orders_due on orders (due_ms, seq) where due_ms is not null and held = 0;
create index orders_state on orders (state, seq);

create table attempts (
    order_seq  integer not null references orders (seq),
    lease      integer not null,
    step       integer not null,
    claimed_ms integer not null,
    ended_ms   integer,
    result     text not null,
    text       text,
    primary key (order_seq, lease)
) strict, without rowid;

create table settlements (
    seq      integer primary key,
    order_id text not null,
    state    text not null,
    at_ms    integer not null
) strict;

create table receipts (
    seq  integer primary key,
    key  text not null unique,
    body text not null
) strict;

create table journal (
    partition text not null,
    seq       integer not null,
    position  integer not null,
    judgement text not null,
    watermark integer not null,
    primary key (partition, seq)
) strict, without rowid;
";

/// What came in while a job ran, and what replaces what. A store of before this was kept gets it when it is opened.
const CONTROL: &str = "
create table if not exists control (
    seq  integer primary key autoincrement,
    at   integer not null,
    slot text not null,
    line text not null
) strict;
";

/// Makes an empty file a store; refuses what is none, or is newer than this program.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), Failure> {
    // Before the first change of the file: a foreign one stays as it is.
    let there = is_store(connection)?;
    log_ahead(connection)?;
    if there {
        return Ok(connection.execute_batch(CONTROL)?);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been first.
    if !is_store(&transaction)? {
        transaction.execute_batch(TABLES)?;
        transaction.execute_batch(CONTROL)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        set_number(&transaction, FORMAT, VERSION)?;
    }
    Ok(transaction.commit()?)
}

/// Puts the file into WAL mode. SQLite waits for nobody here, so this does.
fn log_ahead(connection: &Connection) -> Result<(), Failure> {
    let since = Instant::now();
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())) {
            Err(error) if is_busy(&error) && since.elapsed() < BUSY_TIMEOUT => thread::sleep(BUSY_LOOK),
            done => return Ok(done?),
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Refuses what is no store of this version, an empty file too.
pub(super) fn require_store(connection: &Connection) -> Result<(), Failure> {
    if is_store(connection)? { Ok(()) } else { Err(corrupt(connection, "is empty; restore it from a copy")) }
}

/// Whether the file is a store of this version; otherwise it is empty, or refused.
fn is_store(connection: &Connection) -> Result<bool, Failure> {
    // In one statement: another process may be making the tables just now.
    let query = "select (select application_id from pragma_application_id), exists (select 1 from sqlite_schema)";
    let (application, filled): (i64, bool) = connection.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if application == 0 && !filled {
        return Ok(false);
    }
    if application != APPLICATION {
        return Err(corrupt(connection, "is a SQLite file of something else; use another data directory"));
    }
    match number(connection, FORMAT)? {
        VERSION => Ok(true),
        found => {
            let what = format!(
                "has format version {found}, this program knows {VERSION}; use the program that wrote it, or another \
                 data directory"
            );
            Err(corrupt(connection, &what))
        }
    }
}

fn corrupt(connection: &Connection, what: &str) -> Failure {
    Error::Corrupt(format!("the store {} {what}", connection.path().unwrap_or_default())).into()
}

/// A number by name, 0 if it was never set.
pub(super) fn number(connection: &Connection, name: &str) -> Result<u64, Failure> {
    let mut statement = connection.prepare_cached("select value from numbers where name = ?1")?;
    let value = statement.query_row([name], |row| row.get::<_, i64>(0)).optional()?;
    Ok(value.map_or(0, unsigned))
}

/// Sets a number.
pub(super) fn set_number(connection: &Connection, name: &str, value: u64) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(
        "insert into numbers (name, value) values (?1, ?2) on conflict (name) do update set value = excluded.value",
    )?;
    statement.execute(params![name, signed(value)])?;
    Ok(())
}

/// A number as SQLite keeps it. Everything from 2^63 - 1 up is one number, the end of time.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The way back of [`signed`].
pub(super) fn unsigned(value: i64) -> u64 {
    if value == i64::MAX { u64::MAX } else { u64::try_from(value).unwrap_or(0) }
}

/// A page size as SQLite takes it; a negative one would be no limit.
pub(super) fn page(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
