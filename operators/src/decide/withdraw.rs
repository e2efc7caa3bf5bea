//! Responses that what was set since does not let through. Owned here: which ones, by the same checks by which they were
//! decided. Not owned here: whether one can still be taken back (the ledger).

use super::DryRun;
use super::checks::{self, Facts};
use super::rows::{OrgRow, UserRow};
use crate::limits::RESPONSE_RECENT;
use crate::model::decision::{Outcome, Withdrawal};
use engine::time::Micros;

/// Takes back what was ordered for a user lately and no longer stands: a response stands while one of the reasons that it
/// answers would be answered.
pub fn withdraw(
    now: Micros,
    (org, user): (&str, &str),
    of_org: &OrgRow,
    of_user: &mut UserRow,
    dry: &DryRun,
) -> Vec<Withdrawal> {
    let known = of_user.known.as_ref();
    let facts = Facts {
        external: known.is_some_and(|known| known.is_external),
        bot: known.is_some_and(|known| known.is_bot),
        ..Facts::default()
    };
    let mut answers = std::mem::take(&mut of_user.answers);
    let judge = |reason| checks::judge(&facts, &of_org.rule(reason, user, of_user, false, dry.covers(reason)));
    let mut withdrawals = Vec::new();
    for order in answers.ordered(now.minus(RESPONSE_RECENT)) {
        let why = order.reasons.iter().map(|reason| judge(*reason)).max();
        if let Some(why) = why.filter(|why| *why != Outcome::Responded) {
            order.withdrawn = true;
            let (org, user, id) = (org.to_owned(), user.to_owned(), order.id.clone());
            withdrawals.push(Withdrawal { at: now, org, user, id, why });
        }
    }
    of_user.answers = answers;
    withdrawals
}
