//! The tables, their version, and how numbers are kept in them.

use super::{Failure, refusal};
use engine::error::Error;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::path::Path;

/// The version of the tables, kept in `user_version`.
const VERSION: i64 = 1;

/// The number that fences writers of older generations.
pub(super) const GENERATION: &str = "generation";
/// The time issued so far, in microseconds.
pub(super) const ISSUED_THROUGH: &str = "issued_through";
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

/// Makes an empty file a store; refuses what is none, or is newer than this program.
pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let refuse = |error| refusal(path, error);
    // Before the first change of the file: a foreign one stays as it is.
    let found = version(connection).map_err(refuse)?;
    if found != VERSION {
        admit_empty(connection, found, path)?;
    }
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).map_err(refuse)?;
    if found == VERSION {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(refuse)?;
    // Another process may have been first.
    if version(&transaction).map_err(refuse)? != VERSION {
        transaction.execute_batch(TABLES).map_err(refuse)?;
        transaction.pragma_update(None, "user_version", VERSION).map_err(refuse)?;
    }
    transaction.commit().map_err(refuse)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn admit_empty(connection: &Connection, found: i64, path: &Path) -> Result<(), Error> {
    let place = path.display();
    if found != 0 {
        return Err(Error::Corrupt(format!(
            "the store {place} has format version {found}, this program knows {VERSION}; use the program that wrote \
             it, or another data directory"
        )));
    }
    // The version is read again in the same statement: another process may be creating the tables just now.
    let foreign: bool = connection
        .query_row(
            "select (select user_version from pragma_user_version) = 0 and exists (select 1 from sqlite_schema)",
            [],
            |row| row.get(0),
        )
        .map_err(|error| refusal(path, error))?;
    if foreign {
        return Err(Error::Corrupt(format!("{place} is a SQLite file of something else; use another data directory")));
    }
    Ok(())
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
