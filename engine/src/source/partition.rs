//! The judgement of one partition's records: what time each has, how late it is, and what a record far ahead may do.
//! Everything here is a function of the partition's own order, so that every run judges alike.
//!
//! The watermark is the newest event time so far less the allowed disorder. A record's effective time is the larger
//! of its event time and the watermark. A record beyond the jump limit (ahead of the larger of newest and watermark +
//! disorder) waits: when the very next record is beyond it too, time moves to the earlier of the two and the later is
//! judged anew; else it is delivered once others have reached its time.

use super::Timing;
use crate::limits::WAITING_MAX;
use crate::time::{Micros, Span, Stamp};
use serde::{Deserialize, Serialize};

/// Where reading goes on, and what is known by then. Part of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// Position of the next line.
    pub position: u64,
    /// Lines read so far.
    pub received: u64,
    /// What judging rests on.
    pub judge: Judge,
}

/// A record far ahead of its partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Its event time.
    pub time: Micros,
    /// Its position.
    pub position: u64,
    /// Its line.
    pub line: Vec<u8>,
}

/// The state of judging.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judge {
    /// Newest event time that counted.
    pub newest: Micros,
    /// No later record can have an effective time before this.
    pub watermark: Micros,
    /// Records far ahead, in the order in which they came.
    pub waiting: Vec<Waiting>,
    /// The last record, if it was far ahead: its event time, and whether it is in `waiting` (last) or was refused.
    pub jumped: Option<(Micros, bool)>,
}

/// What becomes of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is delivered now.
    Deliver,
    /// It waits; a copy of its line was kept.
    Waits,
    /// It is refused: it is far ahead and too many wait already.
    Refused,
    /// The last one, which waited, is delivered first; then this one is to be judged again.
    AfterPrevious(Waiting),
    /// It is delivered now; then the last one, which waited, is to be judged again.
    BeforePrevious(Waiting),
}

impl Judge {
    /// Judges the next record of the partition.
    pub fn judge(&mut self, time: Micros, position: u64, line: &[u8], timing: &Timing) -> Verdict {
        let reached = self.newest.max(self.watermark.plus(timing.max_disorder));
        if time <= reached.plus(timing.max_jump) {
            self.jumped = None;
            self.move_to(time, timing);
            return Verdict::Deliver;
        }
        match self.jumped.take() {
            Some((previous, waits)) => self.jump(previous, waits, time, timing),
            None => self.wait(time, position, line),
        }
    }

    /// Two records in a row were beyond the jump limit: time moves to the earlier of them.
    fn jump(&mut self, previous: Micros, waits: bool, time: Micros, timing: &Timing) -> Verdict {
        self.move_to(previous.min(time), timing);
        let waited = if waits { self.waiting.pop() } else { None };
        match waited {
            Some(waited) if waited.time <= time => Verdict::AfterPrevious(waited),
            Some(waited) => Verdict::BeforePrevious(waited),
            None if time <= previous => Verdict::Deliver,
            // The earlier one was refused and is gone; this one is judged from where it had moved the time to.
            None => {
                let reached = self.newest.plus(timing.max_jump);
                if time > reached {
                    self.jumped = Some((time, false));
                    return Verdict::Refused;
                }
                self.move_to(time, timing);
                Verdict::Deliver
            }
        }
    }

    fn wait(&mut self, time: Micros, position: u64, line: &[u8]) -> Verdict {
        let room = self.waiting.len() < WAITING_MAX;
        self.jumped = Some((time, room));
        if !room {
            return Verdict::Refused;
        }
        self.waiting.push(Waiting { time, position, line: line.to_vec() });
        Verdict::Waits
    }

    fn move_to(&mut self, time: Micros, timing: &Timing) {
        self.newest = self.newest.max(time);
        self.watermark = self.watermark.max(self.newest.minus(timing.max_disorder));
    }

    /// The next waiting record whose time the partition has reached; the earliest first.
    pub fn release(&mut self) -> Option<Waiting> {
        if self.waiting.is_empty() {
            return None;
        }
        let reached = self.newest.max(self.watermark);
        self.take_earliest(|waiting| waiting.time <= reached)
    }

    /// The partition has ended: the next waiting record, the earliest first. Moves time to it.
    pub fn drain(&mut self, timing: &Timing) -> Option<Waiting> {
        let waiting = self.take_earliest(|_| true)?;
        self.move_to(waiting.time, timing);
        Some(waiting)
    }

    fn take_earliest(&mut self, due: impl Fn(&Waiting) -> bool) -> Option<Waiting> {
        let (index, _) = self
            .waiting
            .iter()
            .enumerate()
            .filter(|(_, waiting)| due(waiting))
            .min_by_key(|(_, waiting)| (waiting.time, waiting.position))?;
        if index + 1 == self.waiting.len() {
            // It is no longer the one that the next record is compared with.
            self.jumped = None;
        }
        Some(self.waiting.remove(index))
    }

    /// The partition is idle and follows the others: its watermark is at least `watermark` from now on.
    pub fn follow(&mut self, watermark: Micros) {
        self.watermark = self.watermark.max(watermark);
    }

    /// Effective time and lateness of a record that is delivered now.
    pub fn place(&self, time: Micros) -> (Micros, Span) {
        let at = time.max(self.watermark).max(Micros::from_stamp(1));
        (at, at.since(time))
    }

    /// Effective time of a line that has none of its own.
    pub fn placeless(&self) -> Micros {
        self.watermark.max(Micros::from_stamp(1))
    }

    /// No later record of the partition can have a stamp before this one.
    pub fn frontier(&self) -> Stamp {
        self.placeless().stamp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIMING: Timing = Timing {
        max_disorder: Span::from_secs(5),
        max_jump: Span::from_mins(10),
        lateness_limit: Span::from_hours(1),
        max_delay: Span::from_secs(15),
        ahead_limit: Span::from_mins(5),
    };

    /// Judges a whole partition and returns (event time, effective time) in order of delivery, and the refused.
    fn deliver(times: &[u64]) -> (Vec<(u64, u64)>, Vec<u64>) {
        let mut judge = Judge::default();
        let (mut delivered, mut refused) = (Vec::new(), Vec::new());
        for (position, secs) in times.iter().enumerate() {
            let mut again = vec![(Micros::from_secs(*secs), position as u64)];
            while let Some((time, position)) = again.pop() {
                let mut now = |judge: &Judge, time: Micros| {
                    delivered.push((time.secs(), judge.place(time).0.secs()));
                };
                match judge.judge(time, position, b"", &TIMING) {
                    Verdict::Deliver => now(&judge, time),
                    Verdict::Waits => {}
                    Verdict::Refused => refused.push(time.secs()),
                    Verdict::AfterPrevious(waited) => {
                        now(&judge, waited.time);
                        again.push((time, position));
                    }
                    Verdict::BeforePrevious(waited) => {
                        now(&judge, time);
                        again.push((waited.time, waited.position));
                    }
                }
                while let Some(waited) = judge.release() {
                    delivered.push((waited.time.secs(), judge.place(waited.time).0.secs()));
                }
            }
        }
        while let Some(waited) = judge.drain(&TIMING) {
            delivered.push((waited.time.secs(), judge.place(waited.time).0.secs()));
        }
        (delivered, refused)
    }

    const DAY: u64 = 86_400;

    #[test]
    fn disorder_is_not_lateness_and_lateness_is_seen() {
        let (delivered, _) = deliver(&[DAY, DAY + 1, DAY + 10, DAY + 5, DAY + 2]);
        assert_eq!(delivered[2..], [(DAY + 10, DAY + 10), (DAY + 5, DAY + 5), (DAY + 2, DAY + 5)]);
    }

    #[test]
    fn one_record_far_ahead_waits_for_its_time() {
        let far = DAY + 270 * DAY;
        let (delivered, refused) = deliver(&[DAY, DAY + 1, far, DAY + 2, DAY + 3]);
        assert_eq!(delivered.iter().map(|d| d.0).collect::<Vec<_>>(), [DAY, DAY + 1, DAY + 2, DAY + 3, far]);
        assert!(delivered.iter().all(|(time, at)| time == at));
        assert!(refused.is_empty());
    }

    #[test]
    fn a_first_record_far_ahead_makes_nobody_late() {
        let (delivered, _) = deliver(&[900 * DAY, DAY, DAY + 1, DAY + 2]);
        assert!(delivered.iter().all(|(time, at)| time == at), "{delivered:?}");
    }

    #[test]
    fn two_in_a_row_move_the_time_over_a_gap() {
        let (delivered, _) = deliver(&[DAY, DAY + 1, 300 * DAY + 1, 300 * DAY, 300 * DAY + 2]);
        let expected = [DAY, DAY + 1, 300 * DAY, 300 * DAY + 1, 300 * DAY + 2];
        assert_eq!(delivered.iter().map(|d| d.0).collect::<Vec<_>>(), expected);
        assert!(delivered.iter().all(|(time, at)| time == at));
    }

    #[test]
    fn a_waiting_record_is_delivered_when_its_time_has_come() {
        let (delivered, _) = deliver(&[DAY, DAY, DAY + 700, DAY + 300, DAY + 699, DAY + 701]);
        let expected = [DAY, DAY, DAY + 300, DAY + 699, DAY + 701, DAY + 700];
        assert_eq!(delivered.iter().map(|d| d.0).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn too_many_far_ahead_are_refused_and_time_can_still_move() {
        let mut times = vec![DAY, DAY];
        for n in 0..WAITING_MAX as u64 + 3 {
            times.extend([500 * DAY + n * DAY, DAY + 1]);
        }
        let (_, refused) = deliver(&times);
        assert_eq!(refused.len(), 3);
        times.extend([400 * DAY, 400 * DAY + 1, 400 * DAY + 2]);
        let (delivered, refused) = deliver(&times);
        assert_eq!(refused.len(), 4);
        assert!(delivered.contains(&(400 * DAY + 1, 400 * DAY + 1)));
    }

    proptest! {
        #[test]
        fn time_never_runs_back_and_nothing_is_lost(times in proptest::collection::vec(1u64..5_000_000, 1..300)) {
            let (delivered, refused) = deliver(&times);
            prop_assert_eq!(delivered.len() + refused.len(), times.len());
            prop_assert!(delivered.iter().all(|(time, at)| at >= time));
        }

        #[test]
        fn disorder_within_the_limit_changes_no_effective_time(
            mut times in proptest::collection::vec(0u64..500, 2..200), swaps in proptest::collection::vec(0usize..200, 0..100),
        ) {
            times.sort_unstable();
            let times: Vec<u64> = times.into_iter().map(|t| t + DAY).collect();
            let mut shuffled = times.clone();
            for at in swaps {
                let at = at % (times.len() - 1);
                // Keeps every record within the allowed disorder of all that came before it.
                shuffled.swap(at, at + 1);
                let mut newest = 0;
                if shuffled.iter().any(|t| { newest = newest.max(*t); newest - t > 5 }) {
                    shuffled.swap(at, at + 1);
                }
            }
            let sorted = |(mut delivered, _): (Vec<(u64, u64)>, Vec<u64>)| { delivered.sort_unstable(); delivered };
            prop_assert_eq!(sorted(deliver(&shuffled)), sorted(deliver(&times)));
        }
    }
}
