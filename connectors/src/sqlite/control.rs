//! Control records that came in while a job ran, each with the time that it was given, so that it takes effect at that
//! time again after a restart and in a replay. Owned here: that they last. Not owned here: what they say.

use super::SqliteStore;
use super::schema::{self, signed, unsigned};
use engine::error::Error;
use engine::time::Micros;
use rusqlite::params;

/// The slot of records that nothing replaces.
const ONCE: &str = "";

/// A record as it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its number, ascending in the order in which records came in.
    pub seq: u64,
    /// When it takes effect.
    pub at: Micros,
    /// The record as it came in.
    pub line: String,
}

impl SqliteStore {
    /// Keeps a record that takes effect at `at`. Of two in one `slot` the later one replaces the earlier. It is durable
    /// on return. Returns its number.
    ///
    /// # Errors
    /// [`Error::Fault`] if a newer generation has taken over. Else as the store fails.
    pub fn keep_control(&mut self, at: Micros, slot: &str, line: &str) -> Result<u64, Error> {
        self.act(|transaction| {
            transaction
                .prepare_cached("insert into control (at, slot, line) values (?1, ?2, ?3)")?
                .execute(params![signed(at.0), slot, line])?;
            Ok(unsigned(transaction.last_insert_rowid()))
        })
    }

    /// Keeps a record that came of a settlement and takes effect at `at`: it is needed by who starts before that, and nothing
    /// replaces it. With it, that all settlements up to this number have been heard of. Durable on return. Returns its
    /// number.
    ///
    /// # Errors
    /// As [`SqliteStore::keep_control`].
    pub fn keep_settled(&mut self, at: Micros, settlement: u64, line: &str) -> Result<u64, Error> {
        self.act(|transaction| {
            transaction
                .prepare_cached("insert into control (at, slot, line) values (?1, ?2, ?3)")?
                .execute(params![signed(at.0), ONCE, line])?;
            let seq = unsigned(transaction.last_insert_rowid());
            schema::set_number(transaction, schema::SETTLED, settlement)?;
            Ok(seq)
        })
    }

    /// The number of the last settlement that a record was kept of; zero before there was one.
    ///
    /// # Errors
    /// As the store fails.
    pub fn settled_heard(&self) -> Result<u64, Error> {
        self.read(|connection| schema::number(connection, schema::SETTLED))
    }

    /// All that is kept, in the order in which it came in.
    ///
    /// # Errors
    /// As the store fails.
    pub fn control(&self) -> Result<Vec<Kept>, Error> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("select seq, at, line from control order by seq")?;
            let kept = statement.query_map([], |row| {
                Ok(Kept { seq: unsigned(row.get(0)?), at: Micros(unsigned(row.get(1)?)), line: row.get(2)? })
            })?;
            Ok(kept.collect::<Result<_, _>>()?)
        })
    }

    /// Forgets what had been replaced by `at`, and what counts once and did by then. Who starts there or later misses
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Fault`] if a newer generation has taken over. Else as the store fails.
    pub fn forget_control(&mut self, at: Micros) -> Result<(), Error> {
        self.act(|transaction| {
            transaction
                .prepare_cached(
                    "delete from control where slot <> ?2 and exists (select 1 from control as later where later.slot = control.slot \
                     and later.at <= ?1 and (later.at, later.seq) > (control.at, control.seq))",
                )?
                .execute(params![signed(at.0), ONCE])?;
            transaction
                .prepare_cached("delete from control where slot = ?2 and at <= ?1")?
                .execute(params![signed(at.0), ONCE])?;
            Ok(())
        })
    }
}
