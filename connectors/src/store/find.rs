//! Entries by what they can be found under. Owned here: which index a query goes by.

use super::read::entry;
use super::{Arg, Statements};
use engine::error::Error;
use engine::ledger::{AnyOf, Entry, Found, Query};
use std::collections::BTreeMap;

/// [`engine::ledger::Ledger::find`].
pub(super) fn find(on: &dyn Statements, query: &Query<'_>) -> Result<Vec<(u64, Entry)>, Error> {
    // The fewest values lead to the fewest entries; each value's are in order already, and are merged.
    let Some(first) = query.terms.iter().min_by_key(|any| any.values.len()) else {
        return page(on, query, None);
    };
    let mut found = BTreeMap::new();
    for value in first.values {
        for (seq, entry) in page(on, query, Some((first, value)))? {
            found.insert(Found { dated: entry.dated, seq }, entry);
        }
    }
    Ok(found.into_iter().rev().take(query.limit).map(|(place, entry)| (place.seq, entry)).collect())
}

/// A statement and its arguments while they are put together.
struct Writing<'a> {
    sql: String,
    arguments: Vec<Arg<'a>>,
}

impl<'a> Writing<'a> {
    /// Appends SQL in which `#` stands for the argument.
    fn with(&mut self, sql: &str, argument: impl Into<Arg<'a>>) {
        self.arguments.push(argument.into());
        self.sql.push_str(&sql.replace('#', &format!("?{}", self.arguments.len())));
    }

    /// Appends that an entry has one of these values.
    fn with_any(&mut self, any: &AnyOf<'a>) {
        self.sql.push_str(
            " and exists (select 1 from terms where terms.grp = e.grp and terms.dated = e.dated \
                           and terms.seq = e.seq",
        );
        self.with(" and terms.kind = #", u64::from(any.kind));
        self.sql.push_str(" and terms.value in (null");
        any.values.iter().for_each(|value| self.with(", #", *value));
        self.sql.push_str("))");
    }
}

/// One page, of entries that also stand under `led_by` if that is given.
fn page<'a>(
    on: &dyn Statements,
    query: &Query<'a>,
    led_by: Option<(&AnyOf<'a>, &'a str)>,
) -> Result<Vec<(u64, Entry)>, Error> {
    let mut writing = Writing {
        sql: "select e.seq, e.id, e.at, e.dated, e.grp, e.terms, e.body from ".to_owned(),
        arguments: Vec::new(),
    };
    match led_by {
        None => writing.sql.push_str("entries as e where"),
        Some((any, value)) => {
            writing.sql.push_str("terms as t join entries as e on e.seq = t.seq where");
            writing.with(" t.kind = # and", u64::from(any.kind));
            writing.with(" t.value = # and", value);
        }
    }
    // The columns of the index that leads.
    let by = if led_by.is_some() { "t" } else { "e" };
    writing.with(&format!(" {by}.grp = #"), query.group);
    writing.with(&format!(" and {by}.dated >= #"), query.from.0);
    writing.with(&format!(" and {by}.dated <= #"), query.to.0);
    writing.with(&format!(" and {by}.seq <= #"), query.through);
    if let Some(after) = query.after {
        writing.with(&format!(" and ({by}.dated, {by}.seq) < (#"), after.dated.0);
        writing.with(", #)", after.seq);
    }
    let others = query.terms.iter().filter(|any| led_by.is_none_or(|(lead, _)| !std::ptr::eq(*any, lead)));
    others.for_each(|any| writing.with_any(any));
    writing.with(&format!(" order by {by}.dated desc, {by}.seq desc limit #"), query.limit);
    on.query(&writing.sql, &writing.arguments)?.into_iter().map(entry).collect()
}
