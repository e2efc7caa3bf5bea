//! The source journal in the store.

use super::{Row, Statements, Store, args};
use engine::error::Error;
use engine::source::journal::{Journal, JournalEntry, Judgement};
use engine::source::partition::PartitionState;
use engine::time::Micros;

impl Journal for Store {
    fn append(&mut self, entries: &[JournalEntry]) -> Result<(), Error> {
        if entries.is_empty() {
            return Ok(());
        }
        self.act(|on| entries.iter().try_for_each(|entry| append_one(on, entry)))
    }

    fn load(&self, partition: &str) -> Result<Vec<JournalEntry>, Error> {
        self.read(|on| load(on, partition))
    }

    fn shorten(&mut self, partition: &str, from: &[&PartitionState]) -> Result<(), Error> {
        // Mostly there is nothing to forget, and then nobody who writes has to wait.
        let Some(last) = self.read(|on| last_before(on, partition, from))? else { return Ok(()) };
        self.act(|on| {
            on.execute("delete from journal where partition = ?1 and seq <= ?2", args![partition, last]).map(drop)
        })
    }
}

fn load(on: &dyn Statements, partition: &str) -> Result<Vec<JournalEntry>, Error> {
    let query = "select partition, seq, position, judgement, watermark from journal where partition = ?1 order by seq";
    on.query(query, args![partition])?.into_iter().map(entry).collect()
}

/// Number of the last entry before the first one that counts; `None` if that is the first of all.
fn last_before(on: &dyn Statements, partition: &str, from: &[&PartitionState]) -> Result<Option<u64>, Error> {
    let counts = |entry: &JournalEntry| from.iter().any(|state| entry.counts_from(state));
    Ok(load(on, partition)?.iter().take_while(|entry| !counts(entry)).last().map(|entry| entry.seq))
}

fn append_one(on: &dyn Statements, entry: &JournalEntry) -> Result<(), Error> {
    let JournalEntry { partition, seq, position, judgement, watermark } = entry;
    let newest = "select 1 from journal where partition = ?1 and seq >= ?2 limit 1";
    if on.query(newest, args![partition.as_str(), *seq])?.is_empty() {
        let insert = "insert into journal (partition, seq, position, judgement, watermark) values (?1, ?2, ?3, ?4, ?5)";
        let arguments = args![partition.as_str(), *seq, *position, name(*judgement), watermark.0];
        return on.execute(insert, arguments).map(drop);
    }
    match has(on, entry)? {
        true => Ok(()),
        false => {
            Err(Error::Fault(format!("entry {seq} of the journal of {partition} does not ascend or is another one")))
        }
    }
}

fn has(on: &dyn Statements, wanted: &JournalEntry) -> Result<bool, Error> {
    let query = "select partition, seq, position, judgement, watermark from journal where partition = ?1 and seq = ?2";
    let found = on.query(query, args![wanted.partition.as_str(), wanted.seq])?.pop();
    Ok(found.map(entry).transpose()?.as_ref() == Some(wanted))
}

fn entry(mut row: Row) -> Result<JournalEntry, Error> {
    Ok(JournalEntry {
        partition: row.text(0)?,
        seq: row.number(1)?,
        position: row.number(2)?,
        judgement: row.named(3, judgement)?,
        watermark: Micros(row.number(4)?),
    })
}

const fn name(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Idle => "idle",
        Judgement::Ahead => "ahead",
    }
}

fn judgement(text: &str) -> Option<Judgement> {
    [Judgement::Idle, Judgement::Ahead].into_iter().find(|judgement| name(*judgement) == text)
}
