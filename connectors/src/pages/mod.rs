//! A log that is had page by page, newest first, while it grows, and is handed on oldest first. Owned here: which window
//! is asked for next, what is held until it is whole, what was handed on before, and from where it goes on after a
//! restart. Not owned here: how a page is had, and what an entry says.
//!
//! An entry may show up late: up to an overlap behind the newest one. So each round asks again for the overlap, and what
//! was handed on is passed over. A window that holds too much is asked for in parts; one of a single second is handed on
//! as it comes, since its entries have no order. From where to go on is written after what lies before it is durable: a
//! crash in between hands on some of it twice, and loses nothing.

mod position;
mod seen;

use engine::error::Error;
use position::Position;
use seen::Seen;
use std::path::Path;

/// Most bytes of lines that are held until their window is whole.
const HELD_BYTES_MAX: usize = 64 << 20;

/// Most pages of a window; one that has more is asked for in parts.
const PAGES_MAX: usize = 1_000;

/// About how many bytes are handed on at once.
const PIECE_BYTES: usize = 4 << 20;

/// An entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its second, as the log has it.
    pub at: u64,
    /// What tells it from the others of its second.
    pub id: u64,
    /// The entry on one line, without a line end.
    pub line: Vec<u8>,
}

/// Some entries of a window, and whether there are more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries, newest first.
    pub entries: Vec<Entry>,
    /// What to ask for the next page with, if there is one.
    pub next: Option<String>,
}

/// The seconds from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first of them.
    pub from: u64,
    /// The last of them.
    pub to: u64,
}

/// What came of asking for a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The page.
    Page(Page),
    /// The window has more than can be had: it is to be asked for in parts.
    TooMuch,
    /// Nobody wants to know any more.
    Stopped,
}

/// A log, and who takes its lines.
pub trait Log {
    /// A page of a window: the first, or the one after an earlier page's cursor. Waits for it as long as it takes.
    ///
    /// # Errors
    /// Whatever no waiting helps against; the round is given up.
    fn ask(&mut self, window: Window, cursor: Option<&str>) -> Result<Asked, Error>;

    /// Takes whole lines, oldest first. They are durable on return.
    ///
    /// # Errors
    /// If they may not be; the round is given up, and some of them come again.
    fn take(&mut self, lines: &[u8]) -> Result<(), Error>;
}

/// Follows one log.
#[derive(Debug)]
pub struct Follower {
    position: Position,
    overlap: u64,
    /// The newest second of any entry so far.
    newest: u64,
    seen: Seen,
    held_bytes_max: usize,
}

/// What came of a window.
enum Walked {
    /// All of it was handed on; so many bytes were new.
    Whole(usize),
    /// It has more than can be held; what was seen of it spans so many seconds.
    TooMuch(Option<u64>),
    Stopped,
}

impl Follower {
    /// A follower that goes on where the file at `path` says, or from the second `first` if there is none. An entry may
    /// show up `overlap` seconds behind the newest.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the file says nothing, [`Error::Io`] if it cannot be read or written.
    pub fn open(path: &Path, first: u64, overlap: u64) -> Result<Self, Error> {
        let position = Position::open(path, first)?;
        Ok(Follower { position, overlap, newest: 0, seen: Seen::default(), held_bytes_max: HELD_BYTES_MAX })
    }

    /// The second from which on is asked; all before is handed on.
    pub fn from(&self) -> u64 {
        self.position.second()
    }

    /// Hands on all that there is up to the second `horizon`. False if it was stopped before.
    ///
    /// # Errors
    /// Those of the log. The next round goes on from what is durable.
    pub fn round(&mut self, horizon: u64, log: &mut impl Log) -> Result<bool, Error> {
        let (mut from, mut width) = (self.from(), u64::MAX);
        while from <= horizon {
            let window = Window { from, to: from.saturating_add(width).min(horizon) };
            match self.walk(window, log)? {
                Walked::Stopped => return Ok(false),
                Walked::TooMuch(_) if window.to == from => {
                    return Err(Error::Unavailable(format!("the entries of second {from} do not come to an end")));
                }
                Walked::TooMuch(spanned) => {
                    let span = window.to - from;
                    width = spanned.unwrap_or(span).min(span) / 2;
                }
                Walked::Whole(bytes) => {
                    from = window.to.saturating_add(1);
                    self.reach(from)?;
                    if bytes < self.held_bytes_max / 4 {
                        width = width.saturating_mul(2).max(1);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Asks for all of a window, and hands on what is new.
    fn walk(&mut self, window: Window, log: &mut impl Log) -> Result<Walked, Error> {
        let (mut held, mut bytes, mut cursor) = (Vec::new(), 0, None);
        // The oldest second of the window so far, and the newest.
        let (mut oldest, mut newest) = (u64::MAX, 0_u64);
        for _ in 0..PAGES_MAX {
            let page = match log.ask(window, cursor.as_deref())? {
                Asked::Page(page) => page,
                Asked::TooMuch => break,
                Asked::Stopped => return Ok(Walked::Stopped),
            };
            // What lies outside was not asked for: before it all is known, and what lies after it will be asked for.
            for entry in page.entries.into_iter().filter(|entry| (window.from..=window.to).contains(&entry.at)) {
                (oldest, newest) = (oldest.min(entry.at), newest.max(entry.at));
                if !self.seen.has(&entry) {
                    bytes += entry.line.len();
                    held.push(entry);
                }
            }
            self.newest = self.newest.max(newest);
            if window.from == window.to {
                self.hand_on(&mut held, log)?;
            } else if bytes > self.held_bytes_max {
                break;
            }
            match page.next {
                None => {
                    self.hand_on(&mut held, log)?;
                    return Ok(Walked::Whole(bytes));
                }
                next if next == cursor => {
                    return Err(Error::Unavailable("a page names itself as the next one".to_owned()));
                }
                next => cursor = next,
            }
        }
        Ok(Walked::TooMuch(newest.checked_sub(oldest)))
    }

    /// Hands on what is held, oldest first, each entry once.
    fn hand_on(&mut self, held: &mut Vec<Entry>, log: &mut impl Log) -> Result<(), Error> {
        held.reverse();
        held.sort_by_key(|entry| entry.at);
        let mut piece = Vec::new();
        let mut taken = Ok(());
        for entry in held.drain(..) {
            if taken.is_ok() && self.seen.add(&entry) {
                piece.extend_from_slice(&entry.line);
                piece.push(b'\n');
                if piece.len() >= PIECE_BYTES {
                    taken = log.take(&piece);
                    piece.clear();
                }
            }
        }
        if !piece.is_empty() && taken.is_ok() {
            taken = log.take(&piece);
        }
        // What was not taken has not been seen.
        taken.inspect_err(|_| self.seen = Seen::default())
    }

    /// All before `second` is durable. What may still show up is asked for again.
    fn reach(&mut self, second: u64) -> Result<(), Error> {
        self.position.reach(second.min(self.newest.saturating_sub(self.overlap)))?;
        self.seen.forget_before(self.from());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
