//! Control records that came in while a job ran, each with the time that it was given, so that it takes effect at that
//! time again after a restart and in a replay. Owned here: that they last. Not owned here: what they say.

use super::{Statements, Store, args, schema};
use engine::error::Error;
use engine::time::Micros;

/// The slot of records that nothing replaces.
const ONCE: &str = "";

/// A record that is to be kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep<'a> {
    /// When it takes effect.
    pub at: Micros,
    /// The record.
    pub line: &'a str,
    /// Where it comes from.
    pub comes_of: Comes<'a>,
}

/// Where a record comes from.
#[derive(Clone, Copy, Debug)]
pub enum Comes<'a> {
    /// It came in, and replaces the one before in this slot.
    In(&'a str),
    /// It came of a settlement: it is needed by who starts before its time, and nothing replaces it. Once it is kept, all
    /// settlements up to this number have been heard of.
    OfSettlement(u64),
}

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

impl Store {
    /// Keeps records, all of them or none. Of two in one slot the later one replaces the earlier. They are durable on
    /// return. Returns their numbers.
    ///
    /// # Errors
    /// [`Error::Fault`] if a newer generation has taken over. Else as the store fails.
    pub fn keep_control(&mut self, records: &[Keep<'_>]) -> Result<Vec<u64>, Error> {
        self.act(|on| records.iter().map(|record| record.keep(on)).collect())
    }

    /// The number of the last settlement that a record was kept of; zero before there was one.
    ///
    /// # Errors
    /// As the store fails.
    pub fn settled_heard(&self) -> Result<u64, Error> {
        self.read(|on| schema::number(on, schema::SETTLED))
    }

    /// All that is kept, in the order in which it came in.
    ///
    /// # Errors
    /// As the store fails.
    pub fn control(&self) -> Result<Vec<Kept>, Error> {
        self.read(|on| {
            let kept = on.query("select seq, at, line from control order by seq", args![])?.into_iter();
            let kept =
                kept.map(|mut row| Ok(Kept { seq: row.number(0)?, at: Micros(row.number(1)?), line: row.text(2)? }));
            kept.collect()
        })
    }

    /// Forgets what had been replaced by `at`, and what counts once and did by then. Who starts there or later misses
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Fault`] if a newer generation has taken over. Else as the store fails.
    pub fn forget_control(&mut self, at: Micros) -> Result<(), Error> {
        self.act(|on| {
            let delete = "delete from control where slot <> ?2 and exists (select 1 from control as later where \
                          later.slot = control.slot and later.at <= ?1 and (later.at, later.seq) > (control.at, \
                          control.seq))";
            on.execute(delete, args![at.0, ONCE])?;
            on.execute("delete from control where slot = ?2 and at <= ?1", args![at.0, ONCE]).map(drop)
        })
    }
}

impl Keep<'_> {
    fn keep(&self, on: &dyn Statements) -> Result<u64, Error> {
        let slot = match self.comes_of {
            Comes::In(slot) => slot,
            Comes::OfSettlement(number) => {
                schema::set_number(on, schema::SETTLED, number)?;
                ONCE
            }
        };
        let insert = "insert into control (at, slot, line) values (?1, ?2, ?3) returning seq";
        let kept = on.query(insert, args![self.at.0, slot, self.line])?.pop();
        kept.map_or_else(|| Err(on.corrupt("keeps no control record")), |mut row| row.number(0))
    }
}
