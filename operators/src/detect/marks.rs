//! The marks by which a user is known: TLS fingerprints (else agent families), measured clients, networks, and on how
//! many days each was seen outside any case. Owned here: counting days and eviction. Who may teach a mark is decided
//! where events are applied.

use super::client::Print;
use crate::limits::{MARK_DAYS, MARK_IDLE_DAYS, MARKS_MAX};
use crate::model::anomaly::MarkKind;
use engine::time::{Micros, Span};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KnownMark {
    kind: u8,
    days: u8,
    last_day: u16,
    print: Print,
}

/// The marks of one user, at most [`MARKS_MAX`] of each kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KnownMarks(#[serde(with = "super::short")] Vec<KnownMark>);

/// The day of a point in time, since 1970.
pub fn day(at: Micros) -> u16 {
    (at.0 / Span::from_days(1).0) as u16
}

impl KnownMarks {
    /// Counts a day for a mark. Returns whether another mark had to go for it, or it found no room itself: a mark goes
    /// only for one at least as young, least established first, and never once it was seen on [`MARK_DAYS`] days.
    pub fn learn(&mut self, kind: MarkKind, print: Print, today: u16) -> bool {
        if let Some(mark) = self.0.iter_mut().find(|mark| mark.kind == kind as u8 && mark.print == print) {
            if mark.last_day < today {
                mark.days = if forgotten(mark, today) { 1 } else { mark.days.saturating_add(1) };
                mark.last_day = today;
                self.0.retain(|mark| !forgotten(mark, today));
            }
            return false;
        }
        self.place(kind, KnownMark { kind: kind as u8, days: 1, last_day: today, print }, today)
    }

    /// Hands the days of a mark to the one that took its place, as a program's fingerprint changes with an update. It
    /// keeps them itself: another device of the user's may not be updated yet. Returns the same as [`KnownMarks::learn`].
    pub fn inherit(&mut self, kind: MarkKind, from: Print, to: Print, today: u16) -> bool {
        let place_of = |print| self.0.iter().position(|mark| mark.kind == kind as u8 && mark.print == print);
        let Some(old) = place_of(from).map(|place| self.0[place]).filter(|old| !forgotten(old, today)) else {
            return false;
        };
        let handed = KnownMark { print: to, ..old };
        let Some(place) = place_of(to) else { return self.place(kind, handed, today) };
        let new = &mut self.0[place];
        if counted(new) < counted(&handed) || forgotten(new, today) {
            *new = handed;
        }
        false
    }

    fn place(&mut self, kind: MarkKind, new: KnownMark, today: u16) -> bool {
        self.0.retain(|mark| !forgotten(mark, today));
        let of_kind = self.0.iter().filter(|mark| mark.kind == kind as u8).count();
        let full = of_kind >= MARKS_MAX;
        if full && !self.evict(kind) {
            return true;
        }
        self.0.push(new);
        full
    }

    /// Whether the user was known by the mark on at least [`MARK_DAYS`] days before today.
    pub fn knows(&self, kind: MarkKind, print: Print, today: u16) -> bool {
        self.0
            .iter()
            .filter(|mark| mark.kind == kind as u8 && mark.print == print && !forgotten(mark, today))
            .any(|mark| mark.days - u8::from(mark.last_day >= today) >= MARK_DAYS)
    }

    /// Whether the mark was seen of the user on an earlier day, of late and outside any case.
    pub fn had(&self, kind: MarkKind, print: Print, today: u16) -> bool {
        let seen = self.0.iter().filter(|mark| mark.kind == kind as u8 && mark.print == print);
        seen.filter(|mark| !forgotten(mark, today)).any(|mark| mark.days > u8::from(mark.last_day >= today))
    }

    /// Whether the mark was seen of the user at all, of late and outside any case.
    pub fn has(&self, kind: MarkKind, print: Print, today: u16) -> bool {
        self.0.iter().any(|mark| mark.kind == kind as u8 && mark.print == print && !forgotten(mark, today))
    }

    /// Whether the user was known by any mark of a kind.
    pub fn knows_any(&self, kind: MarkKind, today: u16) -> bool {
        self.0.iter().filter(|mark| mark.kind == kind as u8).any(|mark| self.knows(kind, mark.print, today))
    }

    /// Whether nobody who asks could tell the two apart, now or ever: days beyond what establishes a mark say nothing.
    pub fn serves_as(&self, other: &KnownMarks) -> bool {
        let same = |mark: &KnownMark, other: &KnownMark| {
            (mark.kind, mark.print, mark.last_day, counted(mark))
                == (other.kind, other.print, other.last_day, counted(other))
        };
        self.0.len() == other.0.len() && self.0.iter().all(|mark| other.0.iter().any(|other| same(mark, other)))
    }

    /// All of them by kind and print, for people.
    pub fn view(&self, now: Micros) -> Value {
        let view = |mark: &KnownMark| {
            let kind = ["tls", "client", "network", "agent"].get(usize::from(mark.kind)).copied().unwrap_or("unknown");
            let today = day(now);
            let known = mark.days >= MARK_DAYS && !forgotten(mark, today);
            let last_day_us = u64::from(mark.last_day) * Span::from_days(1).0;
            let fields = json!({"days": mark.days, "last_day_us": last_day_us, "established": known});
            (format!("{kind} {:08x}", mark.print.0), fields)
        };
        Value::Object(self.0.iter().map(view).collect())
    }

    /// Roughly the bytes on the heap.
    pub fn weight(&self) -> usize {
        self.0.capacity() * size_of::<KnownMark>()
    }

    fn evict(&mut self, kind: MarkKind) -> bool {
        let young = self.0.iter().enumerate().filter(|(_, mark)| mark.kind == kind as u8 && mark.days < MARK_DAYS);
        let least = young.min_by_key(|(_, mark)| (mark.days, mark.last_day, mark.print)).map(|(index, _)| index);
        least.map(|index| self.0.remove(index)).is_some()
    }
}

/// The days of a mark, as far as they matter: those that establish it, and today.
fn counted(mark: &KnownMark) -> u8 {
    mark.days.min(MARK_DAYS + 1)
}

fn forgotten(mark: &KnownMark, today: u16) -> bool {
    mark.last_day.saturating_add(MARK_IDLE_DAYS) < today
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_known_after_three_earlier_days() {
        let mut marks = KnownMarks::default();
        for (today, known) in [(10, false), (11, false), (12, false), (13, true)] {
            assert_eq!(marks.knows(MarkKind::Tls, Print(5), today), known, "day {today}");
            marks.learn(MarkKind::Tls, Print(5), today);
            marks.learn(MarkKind::Tls, Print(5), today);
            assert_eq!(marks.knows(MarkKind::Tls, Print(5), today), known, "day {today}");
        }
        assert!(!marks.knows(MarkKind::Client, Print(5), 13));
        assert!(!marks.knows(MarkKind::Tls, Print(5), 13 + MARK_IDLE_DAYS + 1));
    }

    #[test]
    fn what_takes_a_marks_place_is_known_for_as_long_as_it_and_both_stay() {
        let mut marks = KnownMarks::default();
        (10..14).for_each(|today| assert!(!marks.learn(MarkKind::Tls, Print(1), today)));
        let knows = |marks: &KnownMarks, print| marks.knows(MarkKind::Tls, Print(print), 14);
        for to in [2, 2] {
            assert!(!marks.inherit(MarkKind::Tls, Print(1), Print(to), 14));
            assert!(knows(&marks, 1) && knows(&marks, to) && marks.0.len() == 2);
        }
        marks.learn(MarkKind::Tls, Print(3), 14);
        assert!(!knows(&marks, 3));
        marks.inherit(MarkKind::Tls, Print(3), Print(1), 14);
        assert!(knows(&marks, 1), "never for the worse");
        marks.inherit(MarkKind::Tls, Print(1), Print(3), 14);
        assert!(knows(&marks, 3));
        // Of another kind, or forgotten: nothing to hand on.
        marks.inherit(MarkKind::Client, Print(1), Print(4), 14);
        marks.inherit(MarkKind::Tls, Print(1), Print(5), 14 + MARK_IDLE_DAYS);
        assert!(!knows(&marks, 4) && marks.0.iter().all(|mark| mark.print.0 < 4));
    }

    #[test]
    fn a_flood_of_new_marks_never_takes_an_established_one() {
        let mut marks = KnownMarks::default();
        for today in 0..3 {
            marks.learn(MarkKind::Network, Print(1), today);
        }
        let evicted = (100..10_000).filter(|print| marks.learn(MarkKind::Network, Print(*print), 3)).count();
        assert!(marks.knows(MarkKind::Network, Print(1), 3));
        assert_eq!(marks.0.len(), MARKS_MAX);
        assert_eq!(evicted, 9_900 - (MARKS_MAX - 1));
    }

    #[test]
    fn when_all_are_established_a_new_one_waits_until_one_is_forgotten() {
        let mut marks = KnownMarks::default();
        for today in 0..3 {
            (0..MARKS_MAX as u32).for_each(|n| assert!(!marks.learn(MarkKind::Tls, Print(1 + n), today)));
        }
        assert!(marks.learn(MarkKind::Tls, Print(99), 3));
        assert!((0..MARKS_MAX as u32).all(|n| marks.knows(MarkKind::Tls, Print(1 + n), 3)));
        assert!(!marks.learn(MarkKind::Tls, Print(99), 3 + MARK_IDLE_DAYS));
    }
}
