//! The source journal in the store.

use super::schema::{signed, unsigned};
use super::{Failure, SqliteStore};
use engine::error::Error;
use engine::source::journal::{Journal, JournalEntry, Judgement};
use engine::source::partition::PartitionState;
use engine::time::Micros;
use rusqlite::{Connection, Row, params};

impl Journal for SqliteStore {
    fn append(&mut self, entries: &[JournalEntry]) -> Result<(), Error> {
        if entries.is_empty() {
            return Ok(());
        }
        self.act(|transaction| entries.iter().try_for_each(|entry| append_one(transaction, entry)))
    }

    fn load(&self, partition: &str) -> Result<Vec<JournalEntry>, Error> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "select partition, seq, position, judgement, watermark from journal where partition = ?1 order by seq",
            )?;
            let entries = statement.query_map([partition], entry)?.collect::<Result<_, _>>()?;
            Ok(entries)
        })
    }

    fn shorten(&mut self, partition: &str, from: &[&PartitionState]) -> Result<(), Error> {
        // Mostly there is nothing to forget, and then nobody who writes has to wait.
        let Some(last) = self.read(|connection| last_before(connection, partition, from))? else { return Ok(()) };
        self.act(|transaction| {
            transaction
                .prepare_cached("delete from journal where partition = ?1 and seq <= ?2")?
                .execute(params![partition, signed(last)])?;
            Ok(())
        })
    }
}

/// Number of the last entry before the first one that counts; `None` if that is the first of all.
fn last_before(connection: &Connection, partition: &str, from: &[&PartitionState]) -> Result<Option<u64>, Failure> {
    let mut statement = connection.prepare_cached(
        "select partition, seq, position, judgement, watermark from journal where partition = ?1 order by seq",
    )?;
    let mut last = None;
    for found in statement.query_map([partition], entry)? {
        let found = found?;
        if from.iter().any(|state| found.counts_from(state)) {
            break;
        }
        last = Some(found.seq);
    }
    Ok(last)
}

fn append_one(connection: &Connection, entry: &JournalEntry) -> Result<(), Failure> {
    let values = params![
        entry.partition,
        signed(entry.seq),
        signed(entry.position),
        name(entry.judgement),
        signed(entry.watermark.0)
    ];
    let inserted = connection
        .prepare_cached(
            "insert into journal (partition, seq, position, judgement, watermark) select ?1, ?2, ?3, ?4, ?5 \
             where not exists (select 1 from journal where partition = ?1 and seq >= ?2)",
        )?
        .execute(values)?;
    if inserted == 1 || has(connection, entry)? {
        return Ok(());
    }
    let JournalEntry { partition, seq, .. } = entry;
    Err(Error::Fault(format!("entry {seq} of the journal of {partition} does not ascend or is another one")).into())
}

fn has(connection: &Connection, wanted: &JournalEntry) -> Result<bool, Failure> {
    let mut statement = connection.prepare_cached(
        "select partition, seq, position, judgement, watermark from journal where partition = ?1 and seq = ?2",
    )?;
    let mut found = statement.query_map(params![wanted.partition, signed(wanted.seq)], entry)?;
    Ok(found.next().transpose()?.as_ref() == Some(wanted))
}

fn entry(row: &Row<'_>) -> rusqlite::Result<JournalEntry> {
    Ok(JournalEntry {
        partition: row.get(0)?,
        seq: unsigned(row.get(1)?),
        position: unsigned(row.get(2)?),
        judgement: judgement(row, 3)?,
        watermark: Micros(unsigned(row.get(4)?)),
    })
}

const fn name(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Idle => "idle",
        Judgement::Ahead => "ahead",
    }
}

fn judgement(row: &Row<'_>, column: usize) -> rusqlite::Result<Judgement> {
    super::read::named(row, column, |text| [Judgement::Idle, Judgement::Ahead].into_iter().find(|j| name(*j) == text))
}
