//! The tables, their version, and the numbers that stand by themselves.

use super::{Statements, args};
use engine::error::Error;

/// The version of the tables.
pub(super) const VERSION: u64 = 2;

/// Where the version stands among the numbers.
pub(super) const FORMAT: &str = "format";

/// The number that fences writers of older generations.
pub(super) const GENERATION: &str = "generation";
/// The time issued so far, in microseconds.
pub(super) const ISSUED_THROUGH: &str = "issued_through";
/// The number of the last settlement that a control record was kept of.
pub(super) const SETTLED: &str = "settled";
/// Not 0 while all orders are held.
pub(super) const HELD: &str = "held";
/// When the last word on a hold was spoken, in milliseconds since 1970; of that on a group, with the group after it.
pub(super) const HELD_BY: &str = "held_by";

/// What the tables are made of, in the words of one database.
pub(super) struct Dialect {
    /// The type of a number.
    pub(super) int: &'static str,
    /// The type of a text, compared by its bytes.
    pub(super) text: &'static str,
    /// The type of bytes.
    pub(super) bytes: &'static str,
    /// A number that ascends with each row; none is given twice, even if the row is gone.
    pub(super) seq: &'static str,
    /// What ends a table.
    pub(super) end: &'static str,
    /// What ends a table that is laid out by its primary key.
    pub(super) end_by_key: &'static str,
}

/// The statements that make the tables.
pub(super) fn tables(dialect: &Dialect) -> Vec<String> {
    let words = [
        ("%int", dialect.int),
        ("%text", dialect.text),
        ("%bytes", dialect.bytes),
        ("%seq", dialect.seq),
        ("%end_by_key", dialect.end_by_key),
        ("%end", dialect.end),
    ];
    let statements: String =
        TABLES.lines().filter(|line| !line.starts_with("--")).flat_map(|line| [line, "\n"]).collect();
    let statements = words.iter().fold(statements, |text, (word, meaning)| text.replace(word, meaning));
    statements.split(';').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

const TABLES: &str = "
create table numbers (
    name  %text primary key,
    value %int not null
)%end_by_key;

-- dated: the time that queries go by. terms: what the entry can be found under, as JSON; table terms is made of it.
create table entries (
    seq   %seq,
    id    %text not null unique,
    at    %int not null,
    dated %int not null,
    grp   %text not null,
    terms %text not null,
    body  %text not null
)%end;
create index entries_dated on entries (grp, dated, seq);

create table terms (
    grp   %text not null,
    kind  %int not null,
    value %text not null,
    dated %int not null,
    seq   %int not null references entries (seq),
    primary key (grp, kind, value, dated, seq)
)%end_by_key;

-- lane: that of the next step. due_ms: when it can be claimed; the end of the lease while claimed; null when at rest.
-- recalled: why it was taken back, while it is not known what comes of the attempt under way.
create table orders (
    seq        %seq,
    id         %text not null unique,
    at         %int not null,
    grp        %text not null,
    payload    %bytes not null,
    steps      %text not null,
    step       %int not null,
    lane       %text not null,
    state      %text not null,
    held       %int not null,
    attempt    %int not null,
    lease      %int not null,
    due_ms     %int,
    first_ms   %int,
    claimed_ms %int,
    doubt_ms   %int,
    error      %text,
    recalled   %text,
    updated_ms %int not null
)%end;
create index orders_due on orders (lane, grp, due_ms, seq) where due_ms is not null and held = 0;
create index orders_next on orders (lane, due_ms) where due_ms is not null and held = 0;
create index orders_state on orders (state, seq);
create index orders_grp on orders (grp, seq);
create index orders_recalled on orders (due_ms) where recalled is not null;

create table attempts (
    order_seq  %int not null references orders (seq),
    lease      %int not null,
    grp        %text not null,
    lane       %text not null,
    step       %int not null,
    claimed_ms %int not null,
    ended_ms   %int,
    result     %text not null,
    text       %text,
    primary key (order_seq, lease)
)%end_by_key;
create index attempts_begun on attempts (lane, grp, claimed_ms);

-- held: 1 while the group's orders are held, 2 while those are of which no step is done. released_ms: when a hold was last lifted.
create table groups (
    grp         %text primary key,
    held        %int not null,
    released_ms %int not null
)%end_by_key;

-- served: the number of the last claim that was a group's in a lane, ascending.
create table turns (
    lane   %text not null,
    grp    %text not null,
    served %int not null,
    primary key (lane, grp)
)%end_by_key;

create table settlements (
    seq      %seq,
    order_id %text not null,
    state    %text not null,
    at_ms    %int not null
)%end;

create table receipts (
    seq  %seq,
    key  %text not null unique,
    body %text not null
)%end;

create table journal (
    partition %text not null,
    seq       %int not null,
    position  %int not null,
    judgement %text not null,
    watermark %int not null,
    primary key (partition, seq)
)%end_by_key;

-- What came in while a job ran, and what replaces what.
create table control (
    seq  %seq,
    at   %int not null,
    slot %text not null,
    line %text not null
)%end;
";

/// Refuses tables of another version.
pub(super) fn require_version(on: &dyn Statements) -> Result<(), Error> {
    match number(on, FORMAT)? {
        VERSION => Ok(()),
        found => Err(on.corrupt(&format!(
            "has format version {found}, this program knows {VERSION}; use the program that wrote it, or another one"
        ))),
    }
}

/// A number by name, 0 if it was never set.
pub(super) fn number(on: &dyn Statements, name: &str) -> Result<u64, Error> {
    let found = on.query("select value from numbers where name = ?1", args![name])?.pop();
    found.map_or(Ok(0), |mut row| row.number(0))
}

/// Sets a number.
pub(super) fn set_number(on: &dyn Statements, name: &str, value: u64) -> Result<(), Error> {
    let upsert =
        "insert into numbers (name, value) values (?1, ?2) on conflict (name) do update set value = excluded.value";
    on.execute(upsert, args![name, value]).map(drop)
}
