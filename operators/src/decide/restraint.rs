//! How often one person, and how many people of one org, may be answered. Owned here: the two rules and what they
//! remember. Both count dry runs like responses, so that a dry run shows what would have been.

use crate::limits::{
    ACTIVE_HOURS, HOLD_OFFS, RADIUS_PERMILLE, RADIUS_USERS, RADIUS_WINDOW, RESPONSE_RECENT, RESPONSES_HONEST_MAX,
    RESPONSES_PERSISTING_MAX,
};
use crate::model::control::Ended;
use crate::model::decision::Verdict;
use crate::model::id::Id;
use crate::model::reason::Reason;
use engine::time::{Micros, Span};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// When a person was answered lately, oldest first: at most [`RESPONSES_PERSISTING_MAX`] times within
/// [`RESPONSE_RECENT`], and the last time before that ended their sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers(Vec<Answer>);

/// A time at which a person was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Effective time of the event that was answered.
    at: Micros,
    /// What was ordered; nothing in a dry run.
    order: Option<Ordered>,
    /// False where nobody knows whether sessions were ended. It counts, but what came before goes on.
    ended: bool,
}

/// A response that was ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// Its id.
    pub id: Id,
    /// The reasons that were answered.
    pub reasons: Vec<Reason>,
    /// Whether it has been taken back, as far as that was possible.
    pub withdrawn: bool,
}

impl Answers {
    /// The last time, however long ago.
    pub fn last(&self) -> Option<Micros> {
        self.0.last().map(|answer| answer.at)
    }

    /// The last time at which sessions were ended, as far as is known. What was there by then is over.
    pub fn ended(&self) -> Option<Micros> {
        self.0.iter().rev().find(|answer| answer.ended).map(|answer| answer.at)
    }

    /// Whether another response with this verdict would be one too many, or would come too soon.
    pub fn hold_back(&self, verdict: Verdict, now: Micros) -> bool {
        let recent = self.0.iter().filter(|answer| is_within(answer.at, now, RESPONSE_RECENT)).count();
        match verdict {
            Verdict::First => false,
            Verdict::Persisting => recent >= RESPONSES_PERSISTING_MAX,
            Verdict::Repeat if recent >= RESPONSES_HONEST_MAX => true,
            Verdict::Repeat => {
                let hold_off = recent.checked_sub(1).map(|index| HOLD_OFFS[index]);
                let last = self.last().zip(hold_off);
                last.is_some_and(|(last, hold_off)| is_within(last, now, hold_off))
            }
        }
    }

    /// Notes a response; without an order it is a dry run.
    pub fn note(&mut self, now: Micros, order: Option<Ordered>) {
        self.push(Answer { at: now, order, ended: true });
    }

    fn push(&mut self, answer: Answer) {
        let is_recent = |other: &Answer| is_within(other.at, answer.at, RESPONSE_RECENT);
        // Should what comes now fail, what was over before still is.
        let over = self.0.iter().filter(|other| other.ended && !is_recent(other)).map(|other| other.at).max();
        self.0.retain(|other| is_recent(other) || Some(other.at) == over);
        self.0.push(answer);
    }

    /// Takes up, at `now`, what became of a response. What had come to nothing and was tried again by hand counts from now
    /// on. Gives when the person was answered with it, if that no longer counts.
    pub fn settle(&mut self, id: &Id, ended: Ended, now: Micros) -> Option<Micros> {
        let place = self.0.iter().position(|answer| answer.order.as_ref().is_some_and(|order| order.id == *id));
        let by_hand = || Some(Ordered { id: id.clone(), reasons: Vec::new(), withdrawn: true });
        match (ended, place) {
            (Ended::No, place) => return place.map(|place| self.0.remove(place).at),
            (Ended::Unknown, Some(place)) => self.0[place].ended = false,
            (Ended::Unknown, None) => self.push(Answer { at: now, order: by_hand(), ended: false }),
            (Ended::AfterAll, place) => {
                place.map(|place| self.0.remove(place));
                self.note(now, by_hand());
            }
        }
        None
    }

    /// What was ordered at `since` or later and is not taken back.
    pub fn ordered(&mut self, since: Micros) -> impl Iterator<Item = &mut Ordered> {
        let recent = self.0.iter_mut().filter(move |answer| answer.at >= since);
        recent.filter_map(|answer| answer.order.as_mut()).filter(|order| !order.withdrawn)
    }

    /// The times, for people.
    pub fn view(&self) -> Value {
        self.0.iter().map(|answer| answer.at.0).collect::<Vec<_>>().into()
    }

    /// Roughly the bytes on the heap.
    pub fn weight(&self) -> usize {
        self.0.len() * 160
    }
}

/// How many people of an org were active lately, and which were answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Radius {
    /// By hour since 1970: how many people were last active in it.
    active: BTreeMap<u32, u64>,
    /// By person: the last time within [`RESPONSE_RECENT`].
    answered: BTreeMap<String, Micros>,
    /// Since when nobody is answered until an admin says so.
    latched: Option<Micros>,
    /// When an admin last said so. What was answered before no longer counts.
    resumed: Micros,
}

impl Radius {
    /// Notes that a person was active at `now`, and last counted as that in the hour `previous`.
    pub fn active(&mut self, now: Micros, previous: u32) {
        let hour = hour(now);
        self.active = self.active.split_off(&(hour + 1).saturating_sub(ACTIVE_HOURS));
        if let Some(count) = self.active.get_mut(&previous) {
            *count = count.saturating_sub(1);
        }
        *self.active.entry(hour).or_default() += 1;
    }

    /// Whether nobody else than those who were answered already may be answered at `now`, or nobody at all.
    pub fn is_reached(&self, person: &str, now: Micros) -> bool {
        let counts = |at: Micros| at >= self.resumed && is_within(at, now, RADIUS_WINDOW);
        let others = self.answered.iter().filter(|(other, at)| *other != person && counts(**at)).count() as u64;
        let already = self.answered.get(person).is_some_and(|at| counts(*at));
        self.latched.is_some() || (!already && others >= self.limit(now))
    }

    /// Notes that a person was answered.
    pub fn note(&mut self, person: &str, now: Micros) {
        self.answered.retain(|_, at| is_within(*at, now, RESPONSE_RECENT));
        self.answered.insert(person.to_owned(), now);
    }

    /// What was noted of a person at `failed` does not count; `last` is when they were answered before, if they were.
    pub fn take_back(&mut self, person: &str, failed: Micros, last: Option<Micros>) {
        if self.answered.get(person) == Some(&failed) {
            self.answered.remove(person);
            self.answered.extend(last.map(|last| (person.to_owned(), last)));
        }
    }

    /// From now on nobody is answered.
    pub fn latch(&mut self, now: Micros) {
        self.latched.get_or_insert(now);
    }

    /// An admin lifts the latch at `at`, if it fell before. The hour begins anew: what the admin has seen does not count
    /// again. Whether there was one.
    pub fn resume(&mut self, at: Micros) -> bool {
        let waits = self.waits_for(at);
        if waits {
            (self.latched, self.resumed) = (None, at);
        }
        waits
    }

    /// Whether [`Radius::resume`] at `at` would change anything.
    pub fn waits_for(&self, at: Micros) -> bool {
        self.latched.is_some_and(|latched| latched < at)
    }

    /// Who was answered lately.
    pub fn people(&self) -> impl Iterator<Item = &String> {
        self.answered.keys()
    }

    /// How many people may be answered within an hour.
    pub fn limit(&self, now: Micros) -> u64 {
        RADIUS_USERS.max(self.active_people(now) * RADIUS_PERMILLE / 1_000)
    }

    /// What it comes to, for people.
    pub fn view(&self) -> Value {
        let newest = self.active.keys().next_back().copied().unwrap_or_default();
        let now = Micros(u64::from(newest) * HOUR.0);
        json!({
            "active_24h": self.active_people(now),
            "limit_1h": self.limit(now),
            "answered_us": self.answered.iter().map(|(person, at)| (person.clone(), at.0)).collect::<BTreeMap<_, _>>(),
            "latched_us": self.latched.map(|at| at.0),
        })
    }

    /// Roughly the bytes on the heap.
    pub fn weight(&self) -> usize {
        32 * self.active.len() + 96 * self.answered.len()
    }

    fn active_people(&self, now: Micros) -> u64 {
        self.active.range((hour(now) + 1).saturating_sub(ACTIVE_HOURS)..).map(|(_, count)| count).sum()
    }
}

const HOUR: Span = Span::from_hours(1);

/// The hour of a time, counted since 1970.
pub fn hour(at: Micros) -> u32 {
    (at.0 / HOUR.0) as u32
}

fn is_within(at: Micros, now: Micros, span: Span) -> bool {
    now.since(at) < span
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::collections::BTreeSet;

    fn at(mins: u64) -> Micros {
        Micros::from_secs(1_767_225_600 + mins * 60)
    }

    fn answers(mins: &[u64]) -> Answers {
        let mut answers = Answers::default();
        mins.iter().for_each(|mins| answers.note(at(*mins), None));
        answers
    }

    #[test]
    fn an_honest_person_is_left_in_peace_for_longer_each_time_and_then_for_the_day() {
        let held = |mins: &[u64], now| answers(mins).hold_back(Verdict::Repeat, at(now));
        assert!(held(&[0], 9) && !held(&[0], 10));
        assert!(held(&[0, 10], 69) && !held(&[0, 10], 70));
        assert!(held(&[0, 10, 70], 71) && held(&[0, 10, 70], 24 * 60 - 1));
        // The first is a day old: two are left, and the longer hold-off is over.
        assert!(!held(&[0, 10, 70], 24 * 60));
        assert!(!answers(&[]).hold_back(Verdict::First, at(0)));
    }

    #[test]
    fn an_attack_that_persists_is_answered_ten_times_a_day() {
        let nine: Vec<u64> = (0..9).collect();
        assert!(!answers(&nine).hold_back(Verdict::Persisting, at(9)));
        let ten: Vec<u64> = (0..10).collect();
        assert!(answers(&ten).hold_back(Verdict::Persisting, at(10)));
        assert!(!answers(&ten).hold_back(Verdict::Persisting, at(24 * 60)));
    }

    #[test]
    fn a_small_org_has_ten_and_a_large_one_a_twentieth() {
        let mut radius = Radius::default();
        (0..10).for_each(|n| radius.note(&format!("U{n}"), at(0)));
        assert!(radius.is_reached("U10", at(59)) && !radius.is_reached("U3", at(59)));
        assert!(!radius.is_reached("U10", at(60)));
        (0..219).for_each(|_| radius.active(at(0), 0));
        assert_eq!((radius.limit(at(0)), radius.limit(at(23 * 60))), (10, 10));
        radius.active(at(1), 0);
        assert_eq!((radius.limit(at(1)), radius.limit(at(24 * 60))), (11, 10));
        assert!(!radius.is_reached("U10", at(59)));
    }

    #[test]
    fn active_people_are_those_of_a_plain_list() {
        for seed in 0..20u64 {
            let mut dice = ChaCha8Rng::seed_from_u64(seed);
            let (mut radius, mut list, mut last) = (Radius::default(), Vec::new(), BTreeMap::<u32, u32>::new());
            let mut mins = 0;
            for _ in 0..2_000 {
                mins += dice.random_range(0..20);
                let person = dice.random_range(0..60u32);
                let now = at(mins);
                let previous = last.insert(person, hour(now)).unwrap_or_default();
                if previous < hour(now) {
                    radius.active(now, previous);
                }
                list.push((hour(now), person));
                let within = list.iter().filter(|(then, _)| then + ACTIVE_HOURS > hour(now));
                let people: BTreeSet<u32> = within.map(|(_, person)| *person).collect();
                assert_eq!(radius.active_people(now), people.len() as u64, "seed {seed}");
                assert!(radius.active.len() <= ACTIVE_HOURS as usize, "seed {seed}");
            }
        }
    }
}
