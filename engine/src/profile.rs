//! Where the workers of a run spend their time, by operator, for who asks before it starts: timely tells when it begins
//! and ends a turn of an operator, and here the turns are added up. Nothing is measured, and nothing costs, unless asked.

use crate::metrics::Spent;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use timely::logging::{OperatesEvent, ParkEvent, ScheduleEvent, StartStop, TimelyEvent, TimelyEventBuilder};
use timely::worker::Worker;

/// Under this name: the worker had nothing to do and waited.
pub const PARKED: &str = "(parked)";

/// Under this name: between the turns of the dataflow, with its assembly and the exchange between workers.
pub const BETWEEN: &str = "(between turns)";

/// Time by operator, over all workers of this process. What an operator's turn contains of others' is theirs; the turns of
/// the dataflow itself stand under its own name.
#[derive(Clone, Default)]
pub struct Profile(Arc<Inner>);

#[derive(Default)]
struct Inner {
    asked: AtomicBool,
    spent: Mutex<BTreeMap<String, Spent>>,
}

impl Profile {
    /// Asks for it. To be called before the run starts.
    pub fn ask(&self) {
        self.0.asked.store(true, Ordering::Relaxed);
    }

    /// Time by operator, complete once the run has ended. Operators of one name are one.
    pub fn spent(&self) -> BTreeMap<String, Spent> {
        self.0.spent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Listens to a worker that has built nothing yet.
    pub(crate) fn observe(&self, worker: &Worker) {
        let asked = self.0.asked.load(Ordering::Relaxed);
        let Some(mut log) = worker.log_register().filter(|_| asked) else { return };
        let mut turns = Turns::of(self.clone());
        log.insert::<TimelyEventBuilder, _>("timely", move |now, events| {
            for (at, event) in events.iter_mut().flat_map(|events| events.drain(..)) {
                turns.hear(at, event);
            }
            turns.pass(*now);
        });
    }
}

/// What one worker does, as it tells.
struct Turns {
    profile: Profile,
    /// Everything before this is counted.
    counted: Duration,
    names: BTreeMap<usize, String>,
    /// Turns that have begun and not ended, the innermost last, each with the time that it has had.
    begun: Vec<(usize, Duration)>,
    parked: bool,
    spent: BTreeMap<String, Spent>,
}

impl Turns {
    fn of(profile: Profile) -> Self {
        Turns {
            profile,
            counted: Duration::ZERO,
            names: BTreeMap::new(),
            begun: Vec::new(),
            parked: false,
            spent: BTreeMap::new(),
        }
    }

    fn hear(&mut self, at: Duration, event: TimelyEvent) {
        match event {
            TimelyEvent::Operates(OperatesEvent { id, name, .. }) => drop(self.names.insert(id, name)),
            TimelyEvent::Schedule(ScheduleEvent { id, start_stop: StartStop::Start }) => {
                self.pass(at);
                self.begun.push((id, Duration::ZERO));
            }
            TimelyEvent::Schedule(ScheduleEvent { start_stop: StartStop::Stop, .. }) => {
                self.pass(at);
                if let Some((id, spent)) = self.begun.pop() {
                    let name = self.names.get(&id).map_or("(unnamed)", String::as_str);
                    add(&mut self.spent, name, spent);
                }
            }
            TimelyEvent::Park(event) => {
                self.pass(at);
                self.parked = matches!(event, ParkEvent::Park(_));
            }
            _ => {}
        }
    }

    /// The time up to here was that of the innermost turn, or of none.
    fn pass(&mut self, at: Duration) {
        let spent = at.saturating_sub(self.counted);
        self.counted = self.counted.max(at);
        match self.begun.last_mut() {
            Some((_, turn)) => *turn += spent,
            None => add(&mut self.spent, if self.parked { PARKED } else { BETWEEN }, spent),
        }
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        let mut all = self.profile.0.spent.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, spent) in std::mem::take(&mut self.spent) {
            all.entry(name).or_default().merge(spent);
        }
    }
}

fn add(to: &mut BTreeMap<String, Spent>, name: &str, spent: Duration) {
    let spent = Spent::once(spent.as_secs_f64());
    match to.get_mut(name) {
        Some(sum) => sum.merge(spent),
        None => drop(to.insert(name.to_owned(), spent)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(id: usize, start_stop: StartStop) -> TimelyEvent {
        ScheduleEvent { id, start_stop }.into()
    }

    #[test]
    fn a_turn_is_without_those_within_it_and_nothing_is_left_out() {
        let profile = Profile::default();
        let mut turns = Turns::of(profile.clone());
        let named = |id, name: &str| OperatesEvent { id, addr: Vec::new(), name: name.to_owned() }.into();
        let told = [
            (0, named(1, "job")),
            (0, named(2, "count")),
            (10, turn(1, StartStop::Start)),
            (12, turn(2, StartStop::Start)),
            (19, turn(2, StartStop::Stop)),
            (20, turn(2, StartStop::Start)),
            (21, turn(2, StartStop::Stop)),
            (25, turn(1, StartStop::Stop)),
            (26, ParkEvent::park(None).into()),
            (36, ParkEvent::unpark().into()),
        ];
        for (at, event) in told {
            turns.hear(Duration::from_secs(at), event);
        }
        turns.pass(Duration::from_secs(40));
        drop(turns);
        let spent = profile.spent();
        let seconds: Vec<_> = spent.iter().map(|(name, spent)| (name.as_str(), spent.seconds as u64)).collect();
        assert_eq!(seconds, [(BETWEEN, 15), (PARKED, 10), ("count", 8), ("job", 7)]);
        assert_eq!((spent["count"].stretches, spent["count"].longest as u64), (2, 7));
    }
}
