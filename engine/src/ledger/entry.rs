//! Lines of a projected log, and how they are found again. Owned here: what an entry is filed under, and what can be
//! asked for. Not owned here: what a line says.

use crate::time::Micros;

/// A line of a projected log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Unique among entries, derived from the content of the cause.
    pub id: String,
    /// Effective time.
    pub at: Micros,
    /// The time by which it is found; it may lie before the effective one.
    pub dated: Micros,
    /// Whose it is; opaque here.
    pub group: String,
    /// What it can be found under.
    pub terms: Vec<Term>,
    /// One line without its line end.
    pub body: String,
}

/// Something that an entry can be found under. Both parts are opaque here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term {
    /// What kind of thing it is.
    pub kind: u8,
    /// Which one.
    pub value: String,
}

/// Which entries of one group to find: those that fulfil all of it, the newest by date first, a page at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// Of this group.
    pub group: &'a str,
    /// Not dated before this.
    pub from: Micros,
    /// Not dated after this.
    pub to: Micros,
    /// With one of the values of each.
    pub terms: &'a [AnyOf<'a>],
    /// Only entries with a number up to this: that of the newest when the first page was asked for, so that what comes
    /// since does not move the pages.
    pub through: u64,
    /// Only those after this one: the last of the page before.
    pub after: Option<Found>,
    /// At most so many.
    pub limit: usize,
}

/// Values of one kind, of which an entry has to have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnyOf<'a> {
    /// The kind.
    pub kind: u8,
    /// The values, each once.
    pub values: &'a [&'a str],
}

/// Where an entry stands among those that are found, the newest first: its date, then its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Its date.
    pub dated: Micros,
    /// Its number.
    pub seq: u64,
}
