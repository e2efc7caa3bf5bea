//! The control store: ledger, source journal and late control records in SQL, in a SQLite file or on a PostgreSQL
//! server. Owned here: one set of tables and statements for both. Not owned here: how either is spoken to (`sqlite`,
//! `postgres`), and what a ledger and a journal promise (`engine`).
//!
//! Any number of handles, in one process or several, may be open on a store. Those that write wait for each other, so
//! that numbers ascend in the order in which they become visible.

mod claim;
mod control;
mod find;
mod issue;
mod journal;
pub mod postgres;
mod read;
mod recall;
mod schema;
mod sqlite;
mod work;

pub use control::Kept;

use engine::error::Error;
use engine::ledger::{
    self, Ask, Attempt, Batch, Claim, Entry, Holds, Issued, Ledger, OrderStatus, Page, Query, Receipt, Recorded, Scope,
    Settlement, State, StepOutcome,
};
use engine::time::Micros;
use std::path::Path;

/// One handle on a store. Each thread opens its own.
pub struct Store {
    database: Box<dyn Database>,
    generation: u64,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// A database with the tables of a store.
trait Database: Send {
    /// One transaction, in which nobody else writes. It is rolled back unless `act` succeeds, and durable on return.
    /// `act` may be called again after a transaction of which nothing is known.
    fn write(&mut self, act: &mut Act<'_>) -> Result<(), Error>;

    /// Statements that only read, outside of a transaction.
    fn read(&self, get: &mut Act<'_>) -> Result<(), Error>;

    /// What there is now, whoever goes on writing: copied to a file that must not exist, if it has to be.
    fn freeze(self: Box<Self>, copy: &Path) -> Result<Box<dyn Database>, Error>;
}

type Act<'a> = dyn FnMut(&dyn Statements) -> Result<(), Error> + 'a;

/// What runs statements. Their arguments are named `?1`, `?2`.
trait Statements {
    /// Runs a statement; how many rows it has changed.
    fn execute(&self, sql: &str, arguments: &[Arg<'_>]) -> Result<u64, Error>;

    /// Runs a statement; the rows that it gives.
    fn query(&self, sql: &str, arguments: &[Arg<'_>]) -> Result<Vec<Row>, Error>;

    /// The error of a store whose content is none of ours.
    fn corrupt(&self, what: &str) -> Error;
}

/// An argument of a statement.
#[derive(Clone, Copy, Debug)]
enum Arg<'a> {
    Int(Option<i64>),
    Text(Option<&'a str>),
    Bytes(&'a [u8]),
}

impl From<u64> for Arg<'_> {
    fn from(value: u64) -> Self {
        Arg::Int(Some(signed(value)))
    }
}

impl From<Option<u64>> for Arg<'_> {
    fn from(value: Option<u64>) -> Self {
        Arg::Int(value.map(signed))
    }
}

impl From<usize> for Arg<'_> {
    fn from(value: usize) -> Self {
        Arg::from(value as u64)
    }
}

impl<'a> From<&'a str> for Arg<'a> {
    fn from(value: &'a str) -> Self {
        Arg::Text(Some(value))
    }
}

impl<'a> From<Option<&'a str>> for Arg<'a> {
    fn from(value: Option<&'a str>) -> Self {
        Arg::Text(value)
    }
}

impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(value: &'a [u8]) -> Self {
        Arg::Bytes(value)
    }
}

/// Arguments of a statement, in order.
macro_rules! args {
    ($($value:expr),* $(,)?) => { &[$($crate::store::Arg::from($value)),*] };
}
use args;

/// A row of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row(Vec<Cell>);

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cell {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Row {
    fn cell(&mut self, column: usize) -> Cell {
        self.0.get_mut(column).map_or(Cell::Null, |cell| std::mem::replace(cell, Cell::Null))
    }

    /// A number; each column is taken once.
    fn number(&mut self, column: usize) -> Result<u64, Error> {
        self.number_or_none(column)?.ok_or_else(|| other(column))
    }

    fn number_or_none(&mut self, column: usize) -> Result<Option<u64>, Error> {
        match self.cell(column) {
            Cell::Null => Ok(None),
            Cell::Int(value) => Ok(Some(unsigned(value))),
            _ => Err(other(column)),
        }
    }

    fn index(&mut self, column: usize) -> Result<usize, Error> {
        usize::try_from(self.number(column)?).map_err(|_| other(column))
    }

    fn text(&mut self, column: usize) -> Result<String, Error> {
        self.text_or_none(column)?.ok_or_else(|| other(column))
    }

    fn text_or_none(&mut self, column: usize) -> Result<Option<String>, Error> {
        match self.cell(column) {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text)),
            _ => Err(other(column)),
        }
    }

    fn bytes(&mut self, column: usize) -> Result<Vec<u8>, Error> {
        match self.cell(column) {
            Cell::Bytes(bytes) => Ok(bytes),
            _ => Err(other(column)),
        }
    }

    /// A column that holds one of a few names.
    fn named<T>(&mut self, column: usize, of_name: fn(&str) -> Option<T>) -> Result<T, Error> {
        let name = self.text(column)?;
        of_name(&name).ok_or_else(|| Error::Corrupt(format!("the control store has the unknown name {name:?}")))
    }
}

fn other(column: usize) -> Error {
    Error::Corrupt(format!("the control store has another value than was written in column {column} of a row"))
}

/// A number as databases keep it. Everything from 2^63 - 1 up is one number, the end of time.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The way back of [`signed`].
fn unsigned(value: i64) -> u64 {
    if value == i64::MAX { u64::MAX } else { u64::try_from(value).unwrap_or(0) }
}

impl Store {
    /// Opens the store in the SQLite file at `path`, creating it if there is none (its folder must exist). The file is
    /// in WAL mode with every commit synced.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the file is no such store, is damaged, or was written by a newer version;
    /// [`Error::Io`] if the system refuses it; [`Error::Unavailable`] if another process holds it for too long.
    pub fn open_file(path: &Path) -> Result<Self, Error> {
        Ok(Store::over(sqlite::File::open(path)?))
    }

    /// Opens the store at `path` to read what others write. Its folder is left as it is: no file is made in it, and a
    /// writer is not waited for, nor does one wait. Every writing method fails.
    ///
    /// # Errors
    /// As [`Store::open_file`]; [`Error::Corrupt`] also if the file is empty.
    pub fn read_file(path: &Path) -> Result<Self, Error> {
        Ok(Store::over(sqlite::File::open_to_read(path)?))
    }

    /// Opens the store in a schema of a PostgreSQL server, creating it if there is none.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the server refuses the name, the password or the database; [`Error::Corrupt`] if the
    /// schema holds something else; [`Error::Unavailable`] if there is no such server at present and nobody waits for
    /// it.
    pub fn open_server(server: &postgres::Server, patience: postgres::Patience) -> Result<Self, Error> {
        Ok(Store::over(postgres::Connection::open(server, patience, postgres::Tables::Made)?))
    }

    /// Opens the store in a schema of a PostgreSQL server to read it, or to put holds on. Nothing is created, and nobody
    /// waits.
    ///
    /// # Errors
    /// As [`Store::open_server`]; [`Error::Invalid`] also if there is no store.
    pub fn existing_on_server(server: &postgres::Server) -> Result<Self, Error> {
        Ok(Store::over(postgres::Connection::open(server, postgres::Patience::default(), postgres::Tables::Found)?))
    }

    /// The store as it is now, to be read; writers go on meanwhile. A store in a file is copied to `copy`, which must not
    /// exist.
    ///
    /// # Errors
    /// As the store fails; [`Error::Invalid`] if the path is not UTF-8.
    pub fn freeze(self, copy: &Path) -> Result<Self, Error> {
        Ok(Store { database: self.database.freeze(copy)?, generation: 0 })
    }

    fn over(database: impl Database + 'static) -> Self {
        Store { database: Box::new(database), generation: 0 }
    }

    fn write<T>(&mut self, act: impl Fn(&dyn Statements) -> Result<T, Error>) -> Result<T, Error> {
        let mut value = None;
        self.database.write(&mut |statements| {
            value = Some(act(statements)?);
            Ok(())
        })?;
        value.ok_or_else(|| Error::Fault("a transaction was not run".to_owned()))
    }

    /// A transaction of this handle's generation: refused once a newer one has taken over.
    fn act<T>(&mut self, act: impl Fn(&dyn Statements) -> Result<T, Error>) -> Result<T, Error> {
        let own = self.generation;
        self.write(|on| {
            let current = schema::number(on, schema::GENERATION)?;
            if current != own {
                return Err(ledger::superseded(own, current));
            }
            act(on)
        })
    }

    fn read<T>(&self, get: impl Fn(&dyn Statements) -> Result<T, Error>) -> Result<T, Error> {
        let mut value = None;
        self.database.read(&mut |statements| {
            value = Some(get(statements)?);
            Ok(())
        })?;
        value.ok_or_else(|| Error::Fault("a query was not run".to_owned()))
    }
}

impl Ledger for Store {
    fn claim_generation(&mut self, generation: u64) -> Result<(), Error> {
        self.write(|on| {
            let current = schema::number(on, schema::GENERATION)?;
            if generation < current {
                return Err(ledger::superseded(generation, current));
            }
            schema::set_number(on, schema::GENERATION, generation)
        })?;
        self.generation = generation;
        Ok(())
    }

    fn take_over(&mut self, generation: u64) -> Result<(), Error> {
        self.write(|on| {
            let current = schema::number(on, schema::GENERATION)?;
            if generation <= current {
                return Err(ledger::superseded(generation, current));
            }
            schema::set_number(on, schema::GENERATION, generation)?;
            claim::release_all(on)
        })?;
        self.generation = generation;
        Ok(())
    }

    fn current_generation(&self) -> Result<u64, Error> {
        self.read(|on| schema::number(on, schema::GENERATION))
    }

    fn issue(&mut self, batch: &Batch, through: Micros) -> Result<Issued, Error> {
        self.act(|on| issue::issue(on, batch, through))
    }

    fn issued_through(&self) -> Result<Micros, Error> {
        self.read(|on| Ok(Micros(schema::number(on, schema::ISSUED_THROUGH)?)))
    }

    fn claim(&mut self, ask: &Ask<'_>) -> Result<Vec<Claim>, Error> {
        if !self.read(|on| claim::any_due(on, ask))? {
            return Ok(Vec::new());
        }
        self.act(|on| claim::claim(on, ask))
    }

    fn record(
        &mut self,
        claim: &Claim,
        outcome: &StepOutcome,
        entries: &[Entry],
        now_ms: u64,
    ) -> Result<Recorded, Error> {
        self.act(|on| {
            let recorded = work::record(on, claim, outcome, now_ms)?;
            if recorded == Recorded::Applied {
                for entry in entries {
                    issue::insert_entry(on, entry)?;
                }
            }
            Ok(recorded)
        })
    }

    fn receipt(&mut self, key: &str, body: &str) -> Result<bool, Error> {
        self.act(|on| issue::receipt(on, key, body))
    }

    fn hold(&mut self, scope: Scope<'_>, on: bool, now_ms: u64) -> Result<bool, Error> {
        self.write(|statements| work::hold(statements, scope, on, now_ms))
    }

    fn is_held(&self, claim: &Claim) -> Result<bool, Error> {
        self.read(|on| read::is_held(on, claim))
    }

    fn hold_back(&mut self, group: &str) -> Result<(), Error> {
        self.write(|on| work::hold_back(on, group))
    }

    fn retry(&mut self, id: &str, now_ms: u64) -> Result<bool, Error> {
        self.write(|on| work::retry(on, id, now_ms))
    }

    fn holds(&self) -> Result<Holds, Error> {
        self.read(read::holds)
    }

    fn begun_since(&self, claim: &Claim, since_ms: u64) -> Result<u64, Error> {
        self.read(|on| read::begun_since(on, claim, since_ms))
    }

    fn open_orders(&self) -> Result<u64, Error> {
        self.read(read::open_orders)
    }

    fn held_orders(&self) -> Result<u64, Error> {
        self.read(read::held_orders)
    }

    fn oldest_open(&self) -> Result<Option<Micros>, Error> {
        self.read(read::oldest_open)
    }

    fn count(&self, state: State) -> Result<u64, Error> {
        self.read(|on| read::count(on, state))
    }

    fn orders(&self, page: Page<'_>) -> Result<Vec<OrderStatus>, Error> {
        self.read(|on| read::orders(on, page))
    }

    fn order(&self, id: &str) -> Result<Option<OrderStatus>, Error> {
        self.read(|on| read::order(on, id))
    }

    fn trail(&self, id: &str) -> Result<Vec<Attempt>, Error> {
        self.read(|on| read::trail(on, id))
    }

    fn settled_after(&self, seq: u64, limit: usize) -> Result<Vec<Settlement>, Error> {
        self.read(|on| read::settled_after(on, seq, limit))
    }

    fn entries_after(&self, seq: u64, limit: usize) -> Result<Vec<(u64, Entry)>, Error> {
        self.read(|on| read::entries_after(on, seq, limit))
    }

    fn entries_before(&self, seq: Option<u64>, limit: usize) -> Result<Vec<(u64, Entry)>, Error> {
        self.read(|on| read::entries_before(on, seq, limit))
    }

    fn find(&self, query: &Query<'_>) -> Result<Vec<(u64, Entry)>, Error> {
        self.read(|on| find::find(on, query))
    }

    fn entry_seq(&self, id: &str) -> Result<Option<u64>, Error> {
        self.read(|on| read::entry_seq(on, id))
    }

    fn receipts_after(&self, seq: u64, limit: usize) -> Result<Vec<(u64, Receipt)>, Error> {
        self.read(|on| read::receipts_after(on, seq, limit))
    }
}

#[cfg(test)]
mod tests;
