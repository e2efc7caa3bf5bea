//! How often one person, and how many people of one org, may be answered. Owned here: the two rules and what they
//! remember. Both count dry runs like responses, so that a dry run shows what would have been.

use crate::limits::{
    ACTIVE_HOURS, HOLD_OFFS, RADIUS_PERMILLE, RADIUS_USERS, RADIUS_WINDOW, RESPONSE_RECENT, RESPONSES_HONEST_MAX,
    RESPONSES_PERSISTING_MAX,
};
use crate::model::decision::Verdict;
use engine::time::{Micros, Span};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// When a person was answered lately, oldest first; at most [`RESPONSES_PERSISTING_MAX`] times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers(Vec<Micros>);

impl Answers {
    /// The last time, if it was within [`RESPONSE_RECENT`] or nothing was noted since.
    pub fn last(&self) -> Option<Micros> {
        self.0.last().copied()
    }

    /// Whether another response with this verdict would be one too many, or would come too soon.
    pub fn hold_back(&self, verdict: Verdict, now: Micros) -> bool {
        let recent = self.0.iter().filter(|at| is_within(**at, now, RESPONSE_RECENT)).count();
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

    /// Notes a response.
    pub fn note(&mut self, now: Micros) {
        self.0.retain(|at| is_within(*at, now, RESPONSE_RECENT));
        self.0.push(now);
    }

    /// The times, for people.
    pub fn view(&self) -> Value {
        self.0.iter().map(|at| at.0).collect::<Vec<_>>().into()
    }
}

/// How many people of an org were active lately, and which were answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Radius {
    /// By hour since 1970: how many people were last active in it.
    active: BTreeMap<u32, u64>,
    /// By person: the last time within [`RADIUS_WINDOW`].
    answered: BTreeMap<String, Micros>,
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

    /// Whether nobody else than those who were answered already may be answered at `now`.
    pub fn is_reached(&self, person: &str, now: Micros) -> bool {
        let recent = self.answered.iter().filter(|(_, at)| is_within(**at, now, RADIUS_WINDOW));
        let others = recent.filter(|(other, _)| *other != person).count() as u64;
        let already = self.answered.get(person).is_some_and(|at| is_within(*at, now, RADIUS_WINDOW));
        !already && others >= self.limit(now)
    }

    /// Notes that a person was answered.
    pub fn note(&mut self, person: &str, now: Micros) {
        self.answered.retain(|_, at| is_within(*at, now, RADIUS_WINDOW));
        self.answered.insert(person.to_owned(), now);
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
        mins.iter().for_each(|mins| answers.note(at(*mins)));
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
