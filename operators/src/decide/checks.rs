//! The checks that stand between an anomaly and a response, as a list in the order in which they are made. Owned
//! here: the order and each rule. Not owned here: where the facts come from.

use crate::model::decision::Outcome;

/// What the checks look at that is the same for all reasons of an anomaly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The user belongs to another org.
    pub external: bool,
    /// The user is a bot.
    pub bot: bool,
    /// An app acted.
    pub by_app: bool,
    /// An earlier response ended the session.
    pub answered: bool,
    /// As many people of the org were answered lately as may be.
    pub radius_reached: bool,
}

/// What was set for one reason, as it applies to the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The toggle is on.
    pub enabled: bool,
    /// The user is excluded.
    pub excluded_user: bool,
    /// A group of the user's is excluded.
    pub excluded_group: bool,
    /// The user was answered too often or too lately for it.
    pub held_back: bool,
    /// Decide, but do not act.
    pub shadow: bool,
}

/// Whether a check holds a response back.
type Applies = fn(&Facts, &Rule) -> bool;

/// The checks. The first that applies is the decision.
const CHECKS: &[(Outcome, Applies)] = &[
    (Outcome::ExternalUser, |facts, _| facts.external),
    (Outcome::BotUser, |facts, _| facts.bot),
    (Outcome::AppActor, |facts, _| facts.by_app),
    (Outcome::Disabled, |_, rule| !rule.enabled),
    (Outcome::ExcludedUser, |_, rule| rule.excluded_user),
    (Outcome::ExcludedGroup, |_, rule| rule.excluded_group),
    (Outcome::AlreadyAnswered, |facts, _| facts.answered),
    (Outcome::LoopProtected, |_, rule| rule.held_back),
    (Outcome::RateLimited, |facts, _| facts.radius_reached),
    (Outcome::Shadow, |_, rule| rule.shadow),
];

/// The decision on one reason that has a toggle.
pub fn judge(facts: &Facts, rule: &Rule) -> Outcome {
    CHECKS.iter().find(|(_, applies)| applies(facts, rule)).map_or(Outcome::Responded, |(outcome, _)| *outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_made_in_the_order_of_the_outcomes() {
        assert!(CHECKS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn the_first_check_that_applies_decides() {
        for bits in 0u32..1 << CHECKS.len() {
            let on = |n: u32| bits & 1 << n != 0;
            let facts = Facts { external: on(0), bot: on(1), by_app: on(2), answered: on(6), radius_reached: on(8) };
            let (excluded_user, excluded_group) = (on(4), on(5));
            let rule = Rule { enabled: !on(3), excluded_user, excluded_group, held_back: on(7), shadow: on(9) };
            let expected = [
                Outcome::ExternalUser,
                Outcome::BotUser,
                Outcome::AppActor,
                Outcome::Disabled,
                Outcome::ExcludedUser,
                Outcome::ExcludedGroup,
                Outcome::AlreadyAnswered,
                Outcome::LoopProtected,
                Outcome::RateLimited,
                Outcome::Shadow,
                Outcome::Responded,
            ][bits.trailing_zeros().min(10) as usize];
            assert_eq!(judge(&facts, &rule), expected, "{facts:?} {rule:?}");
        }
    }
}
