//! One thread of the executor: claims steps of its lanes, attempts them, and records what came of it. Owned here: when a
//! step is not begun, and when it is given up. Not owned here: the attempt itself (`terminate`, `tell`), and when a step
//! is tried again (`answer`).

use super::Signal;
use super::answer::Answer;
use super::tell::Messenger;
use super::terminate::{Terminator, Times};
use crate::run::Responses;
use config::Job;
use connectors::store::Store;
use engine::clock::Clock;
use engine::error::Error;
use engine::fault::point;
use engine::ledger::{Ask, Claim, Entry, Ledger, Recorded, StepOutcome, lane};
use operators::respond::steps::{AUDIT, END_SESSIONS, LANES, Performance, perform};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a claimed step belongs to who has claimed it.
const LEASE_MS: u64 = 30_000;

const HOUR_MS: u64 = 3_600_000;

/// When a step is not begun, and when it is given up; in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    give_up_ms: u64,
    /// How old an order may be, and how many of a group may be begun in an hour. None where all input is of the past and
    /// nothing happens outside.
    limits: Option<Limits>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    age_ms: u64,
    per_group_and_hour: u64,
}

impl Rules {
    pub(super) fn of(job: &Job) -> Self {
        let is_live = job.sources.iter().any(|source| source.kind.is_live());
        let earnest = is_live || LANES.iter().any(|lane| !super::is_done_here(job, lane));
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let limits = Limits {
            age_ms: millis(job.respond.max_response_age),
            per_group_and_hour: job.respond.max_per_org_and_hour,
        };
        Rules { give_up_ms: millis(job.respond.give_up_after), limits: earnest.then_some(limits) }
    }

    /// What becomes of an order too old to be begun.
    fn too_old(&self, claim: &Claim, now_ms: u64) -> Option<StepOutcome> {
        let age_ms = now_ms.saturating_sub(claim.order.at.0 / 1_000);
        let Limits { age_ms: most, .. } = self.limits.filter(|limits| claim.step == 0 && age_ms > limits.age_ms)?;
        let (age, most) = (Duration::from_secs(age_ms / 1_000), Duration::from_millis(most));
        let error = format!("{age:?} have passed since what it answers, and {most:?} are the most that may");
        Some(match claim.doubtful_since_ms {
            None => StepOutcome::Expired { error },
            Some(_) => {
                StepOutcome::Unknown { retry_at_ms: None, error: format!("an attempt may have worked; {error}") }
            }
        })
    }

    /// The outcome, unless it is a further attempt after the time for it. What only tells people is passed over when it
    /// is given up: nothing that comes after needs it.
    fn bound(&self, claim: &Claim, outcome: StepOutcome) -> StepOutcome {
        let end_ms = claim.first_claimed_ms.saturating_add(self.give_up_ms);
        let given_up = |error: &str| format!("given up after {:?}: {error}", Duration::from_millis(self.give_up_ms));
        let outcome = match outcome {
            StepOutcome::NotDone { retry_at_ms, error } if retry_at_ms > end_ms => match claim.doubtful_since_ms {
                None => StepOutcome::Dead { error: given_up(&error) },
                Some(_) => StepOutcome::Unknown { retry_at_ms: None, error: given_up(&error) },
            },
            StepOutcome::Unknown { retry_at_ms: Some(at), error } if at > end_ms => {
                StepOutcome::Unknown { retry_at_ms: None, error: given_up(&error) }
            }
            other => other,
        };
        match outcome {
            StepOutcome::Dead { error } | StepOutcome::Unknown { retry_at_ms: None, error }
                if ![END_SESSIONS, AUDIT].contains(&claim.step_name()) =>
            {
                StepOutcome::Passed { error }
            }
            other => other,
        }
    }
}

/// Somebody who carries out steps.
pub(super) struct Hand {
    pub(super) ledger: Store,
    pub(super) lanes: Vec<&'static str>,
    /// Steps claimed at once.
    pub(super) claims: usize,
    /// Of these, and of those of others, at most so many of one group.
    pub(super) per_group: usize,
    pub(super) terminator: Arc<Terminator>,
    pub(super) messenger: Arc<Messenger>,
    pub(super) rules: Rules,
    pub(super) responses: Arc<Responses>,
    pub(super) clock: Clock,
}

impl Hand {
    /// Works until it is told to end, or something is broken.
    pub(super) fn run(&mut self, signal: &Signal) -> Result<(), Error> {
        while !signal.ended() {
            let heard = signal.heard();
            match self.work()? {
                // What follows may be somebody else's.
                true => signal.wake(),
                false => signal.wait(heard),
            }
        }
        Ok(())
    }

    /// Does what is due; whether there was anything.
    fn work(&mut self) -> Result<bool, Error> {
        let (lanes, now_ms) = (self.lanes.as_slice(), self.clock.now().0 / 1_000);
        let ask = Ask { lanes, now_ms, lease_ms: LEASE_MS, limit: self.claims, per_group: self.per_group };
        let claims = self.ledger.claim(&ask)?;
        for claim in &claims {
            point("execute.claimed")?;
            let (outcome, entries) = self.attempt(claim)?;
            point("execute.attempted")?;
            let recorded = self.ledger.record(claim, &outcome, &entries, self.now_ms())?;
            // A step whose lease was lost belongs to whoever holds it now, and is counted there.
            if recorded == Recorded::Applied {
                self.responses.count(lane(claim.step_name()), &outcome);
            }
        }
        Ok(!claims.is_empty())
    }

    fn attempt(&mut self, claim: &Claim) -> Result<(StepOutcome, Vec<Entry>), Error> {
        if let Some(outcome) = self.rules.too_old(claim, self.now_ms()) {
            return Ok((outcome, Vec::new()));
        }
        // Of many that were claimed at once, the last may be held by now.
        if self.ledger.is_held(claim)? || self.is_beyond_the_limit(claim)? {
            return Ok((StepOutcome::Postponed { until_ms: self.now_ms() }, Vec::new()));
        }
        let performed = perform(claim.step_name(), &claim.order.payload, &claim.details).and_then(|step| match step {
            Performance::EndSessions(call) => {
                let times = Times::of(claim, self.now_ms());
                Ok((self.terminator.end(&mut self.ledger, &call, times)?, Vec::new()))
            }
            Performance::Entry(entry) => Ok((Answer::Done { detail: None }, vec![entry])),
            Performance::Mail(mail) => Ok((self.messenger.mail(&mail, &|| self.may_go_on(claim))?, Vec::new())),
            Performance::Dm(dm) => {
                let times = Times::of(claim, self.now_ms());
                Ok((self.messenger.dm(&dm, times, &|| self.may_go_on(claim))?, Vec::new()))
            }
        });
        let (answer, entries) = performed.unwrap_or_else(|error| {
            let text = error.to_string();
            let answer = match error {
                // Another attempt would come to the same: it is no order of ours, or an address that is none.
                Error::Corrupt(_) | Error::Invalid(_) => Answer::Refused { error: text },
                _ => Answer::NotDone { error: text, retry_after: None },
            };
            (answer, Vec::new())
        });
        Ok((self.rules.bound(claim, answer.outcome(claim, self.now_ms())), entries))
    }

    /// Whether this would be one response too many of its org within an hour. The org is held then: so many are no
    /// longer a matter for a machine.
    fn is_beyond_the_limit(&mut self, claim: &Claim) -> Result<bool, Error> {
        let Some(Limits { per_group_and_hour: most, .. }) = self.rules.limits else { return Ok(false) };
        if claim.step_name() != END_SESSIONS {
            return Ok(false);
        }
        let (now_ms, group) = (self.now_ms(), claim.order.group.as_str());
        if self.ledger.begun_since(claim, now_ms.saturating_sub(HOUR_MS))? < most {
            return Ok(false);
        }
        self.ledger.hold_back(group)?;
        self.responses.orgs_held.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            target: "aerie::execute",
            "more than {most} responses of org {group:?} within an hour: the org is held; look at `aerie responses list`, \
             and let it go on with `aerie responses release --org`"
        );
        Ok(true)
    }

    /// Whether an attempt that is under way may come to its effect: nobody has put a hold on it meanwhile.
    fn may_go_on(&self, claim: &Claim) -> bool {
        self.ledger.is_held(claim).is_ok_and(|held| !held)
    }

    fn now_ms(&self) -> u64 {
        self.clock.now().0 / 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::ledger::Order;
    use engine::time::Micros;

    const RULES: Rules = Rules { give_up_ms: 10_000, limits: Some(Limits { age_ms: 60_000, per_group_and_hour: 5 }) };

    fn claim(step: usize, doubtful_since_ms: Option<u64>) -> Claim {
        let steps = ["end_sessions", "audit", "mail:U1"].map(str::to_owned).to_vec();
        Claim {
            order: Order { id: "o".to_owned(), at: Micros(1_000_000), group: "E1".to_owned(), payload: vec![], steps },
            step,
            attempt: 3,
            lease: 3,
            lease_until_ms: 100_000,
            first_claimed_ms: 50_000,
            doubtful_since_ms,
            details: Vec::new(),
        }
    }

    #[test]
    fn what_is_too_old_is_not_begun_but_is_ended_once_begun() {
        let of = |step, doubt, now_ms| RULES.too_old(&claim(step, doubt), now_ms);
        assert_eq!(of(0, None, 61_000), None);
        assert!(matches!(of(0, None, 61_001), Some(StepOutcome::Expired { .. })));
        assert!(matches!(of(0, Some(55_000), 61_001), Some(StepOutcome::Unknown { retry_at_ms: None, .. })));
        assert_eq!(of(1, None, 999_000), None, "what comes after the first step is owed");
        let past = Rules { limits: None, ..RULES };
        assert_eq!(past.too_old(&claim(0, None), 999_000), None);
    }

    #[test]
    fn what_is_given_up_waits_for_an_admin_and_messages_are_passed_over() {
        let error = || "busy".to_owned();
        let not_done = |retry_at_ms| StepOutcome::NotDone { retry_at_ms, error: error() };
        let unknown = |at| StepOutcome::Unknown { retry_at_ms: Some(at), error: error() };
        for step in 0..3 {
            for in_time in [not_done(60_000), unknown(60_000), StepOutcome::Done { detail: None }] {
                assert_eq!(RULES.bound(&claim(step, None), in_time.clone()), in_time);
            }
        }
        assert!(
            matches!(RULES.bound(&claim(0, None), not_done(60_001)), StepOutcome::Dead { error } if error.contains("10s: busy"))
        );
        let doubtful = RULES.bound(&claim(0, Some(55_000)), not_done(60_001));
        assert!(
            matches!(doubtful, StepOutcome::Unknown { retry_at_ms: None, .. }),
            "an earlier attempt may have worked"
        );
        assert!(matches!(
            RULES.bound(&claim(0, None), unknown(60_001)),
            StepOutcome::Unknown { retry_at_ms: None, .. }
        ));
        let refused = || StepOutcome::Dead { error: error() };
        assert_eq!(RULES.bound(&claim(1, None), refused()), refused());
        assert_eq!(RULES.bound(&claim(2, None), refused()), StepOutcome::Passed { error: error() });
        assert!(matches!(RULES.bound(&claim(2, None), not_done(60_001)), StepOutcome::Passed { .. }));
        assert!(matches!(RULES.bound(&claim(2, None), unknown(60_001)), StepOutcome::Passed { .. }));
    }
}
