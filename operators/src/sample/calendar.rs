//! The days that a plan covers. They end with a Tuesday that is also the end of a quarter, so that the last day is a
//! working day and has a reason for honest bursts.

use engine::time::{Micros, Span};

/// Midnight UTC after Tuesday, 31 March 2026.
const END: Micros = Micros::from_secs(1_775_001_600);
const DAY_SECS: u64 = 86_400;
const HOUR_SECS: u64 = 3_600;

/// The hours of a plan, counted from its first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calendar {
    pub(super) days: u64,
}

impl Calendar {
    /// Midnight UTC of the first day.
    pub(super) fn start(self) -> Micros {
        END.minus(Span::from_days(self.days))
    }

    pub(super) fn end(self) -> Micros {
        END
    }

    pub(super) fn hours(self) -> u64 {
        self.days * 24
    }

    /// When hour number `hour` begins.
    pub(super) fn hour(self, hour: u64) -> Micros {
        self.start().plus(Span::from_hours(hour))
    }

    /// When day number `day` begins.
    pub(super) fn day(self, day: u64) -> Micros {
        self.start().plus(Span::from_days(day))
    }

    /// From and until when an app is rolled back in an org: two days, the last of them a working day.
    pub(super) fn rollback(self) -> (Micros, Micros) {
        let until = self.days.saturating_sub(if self.days > 21 { 12 } else { 0 });
        (self.day(until.saturating_sub(2)).plus(Span::from_hours(6)), self.day(until))
    }

    /// The hour number that a time falls in.
    pub(super) fn hour_of(self, at: Micros) -> u64 {
        at.since(self.start()).0 / Span::from_hours(1).0
    }

    /// The days that attacks fall on: the last one of a week or less, else the working days after the first week, so
    /// that there is a history to hold them against.
    pub(super) fn attack_days(self) -> Vec<u64> {
        if self.days <= 7 {
            return (self.days.saturating_sub(1)..self.days).collect();
        }
        (7..self.days).filter(|day| Local::of(self.day(*day), 0).is_workday()).collect()
    }
}

/// A time as the clock on somebody's wall shows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local {
    /// Days since 1970-01-01.
    pub(super) day: u64,
    /// 0 to 23.
    pub(super) hour: u64,
}

impl Local {
    /// `zone` is in hours east of Greenwich.
    pub(super) fn of(at: Micros, zone: i64) -> Self {
        let secs = at.secs().saturating_add_signed(zone * HOUR_SECS as i64);
        Local { day: secs / DAY_SECS, hour: secs % DAY_SECS / HOUR_SECS }
    }

    /// 0 is Monday. 1970-01-01 was a Thursday.
    pub(super) fn weekday(self) -> u64 {
        (self.day + 3) % 7
    }

    /// Monday to Friday.
    pub(super) fn is_workday(self) -> bool {
        self.weekday() < 5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_day_is_a_tuesday() {
        let calendar = Calendar { days: 7 };
        let workdays = (0..7).map(|d| Local::of(calendar.day(d), 0).is_workday()).collect::<Vec<_>>();
        assert_eq!(workdays, [true, true, true, false, false, true, true], "Wednesday to Tuesday");
        assert_eq!(calendar.attack_days(), [6]);
        assert_eq!(Calendar { days: 28 }.attack_days().len(), 15);
        assert_eq!(calendar.end().since(calendar.start()), Span::from_days(7));
        assert_eq!(calendar.hour_of(calendar.day(2)), 48);
    }
}
