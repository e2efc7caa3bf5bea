//! Decide: whether an anomaly is answered, by what the org set and by what came before. Owned here: the checks, the
//! verdict, restraint, whom to tell, and the rows of orgs and users that this rests on. Not owned here: how policy is derived
//! (`policy`) and how a response is carried out (`respond`).

pub mod checks;
pub mod line;
pub mod recipients;
pub mod record;
pub mod restraint;
pub mod rows;
#[cfg(test)]
pub(crate) mod tests;
pub mod verdict;

pub use line::decision_line;
pub use record::DecideRecord;

use crate::model::anomaly::Anomaly;
use crate::model::control::Switch;
use crate::model::decision::{Decision, Outcome, Response, Verdict};
use crate::model::event::KeyKind;
use crate::model::id::Id;
use crate::model::reason::Reason;
use checks::Facts;
use engine::error::Error;
use engine::keyed::{Context, Logic};
use record::{Address, Body, person};
use rows::{DecideRow, OrgRow, UserRow, covers};

/// The logic of the decide operator, keyed by org. Emits one [`Decision`] per anomaly.
pub struct Decide {
    dry: DryRun,
}

/// The dry runs that are on beyond an org's own: for the whole job, and by the switch for all orgs. The switch arrives
/// by broadcast and is sent again after a restore, so it is in no row.
#[derive(Clone, Debug, Default)]
pub struct DryRun {
    /// The job decides and never acts.
    pub job: bool,
    /// The `shadow` switch of `*`.
    pub everywhere: Option<Switch>,
}

impl DryRun {
    fn covers(&self, reason: Reason) -> bool {
        self.job || covers(self.everywhere.as_ref(), reason)
    }
}

impl Decide {
    /// A new logic; with `shadow` the job decides and never acts.
    pub fn new(shadow: bool) -> Self {
        Decide { dry: DryRun { job: shadow, everywhere: None } }
    }

    fn judge(&self, at: &Address, anomaly: Anomaly, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let user = match context.rows.read(at.key())? {
            Some(DecideRow::User(row)) => row.clone(),
            _ => UserRow::default(),
        };
        let of_org = Address::org(&anomaly.org);
        let decision = match context.rows.read(of_org.key())? {
            Some(DecideRow::Org(org)) => decide(anomaly, org, &user, &self.dry),
            _ => decide(anomaly, &OrgRow::default(), &user, &self.dry),
        };
        if decision.by_reason.values().any(|outcome| matches!(outcome, Outcome::Shadow | Outcome::Responded)) {
            let now = decision.anomaly.at;
            user_row(context.rows.write(at.key())?).answers.note(now);
            org_row(context.rows.write(of_org.key())?).radius.note(person(&decision.anomaly), now);
        }
        context.totals[0] += 1;
        context.totals[decision.outcome().map_or(1, |outcome| 2 + outcome as usize)] += 1;
        context.out.emit(decision);
        Ok(())
    }
}

impl Logic for Decide {
    type Record = DecideRecord;
    type Row = DecideRow;
    type Out = Decision;
    const PORTS: usize = 1;
    /// All anomalies, those that are only logged, then one per [`Outcome`] in its order.
    const TOTALS: &'static [&'static str] = &[
        "anomalies",
        "log_only",
        "external_user",
        "bot_user",
        "app_actor",
        "disabled",
        "excluded_user",
        "excluded_group",
        "already_answered",
        "loop_protected",
        "rate_limited",
        "shadow",
        "responded",
    ];

    fn port(_out: &Decision) -> usize {
        0
    }

    fn apply(&mut self, record: DecideRecord, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let (address, body) = record.into_parts();
        match body {
            Body::Global(change) => self.dry.everywhere = change.shadow,
            Body::Org(change) => {
                let slot = context.rows.write(address.key())?;
                org_row(slot).change(change);
                drop_if_empty(slot);
            }
            Body::User(change) => {
                let slot = context.rows.write(address.key())?;
                user_row(slot).change(change);
                drop_if_empty(slot);
            }
            Body::Anomaly(anomaly) => self.judge(&address, *anomaly, context)?,
        }
        Ok(())
    }
}

/// What is decided about an anomaly, given what is known of its org and user. Nothing else enters.
pub fn decide(anomaly: Anomaly, org: &OrgRow, user: &UserRow, dry: &DryRun) -> Decision {
    let facts = Facts {
        external: user.known.as_ref().map_or(anomaly.is_external == Some(true), |known| known.is_external),
        bot: user.known.as_ref().is_some_and(|known| known.is_bot),
        by_app: anomaly.by_app || anomaly.kind == KeyKind::App,
        answered: user.answers.last().is_some_and(|answered| anomaly.first_seen <= answered),
        radius_reached: org.radius.is_reached(person(&anomaly), anomaly.at),
    };
    let judge = |reason: Reason| {
        let verdict = verdict::verdict(reason, &anomaly.marks, user.answers.last(), anomaly.at);
        let held_back = user.answers.hold_back(verdict, anomaly.at);
        let rule = org.rule(reason, person(&anomaly), user, held_back, dry.covers(reason));
        (reason, checks::judge(&facts, &rule))
    };
    let by_reason = anomaly.reasons.iter().copied().filter(|reason| reason.has_toggle()).map(judge).collect();
    let mut decision = Decision { anomaly, by_reason, response: None };
    decision.response = respond(&decision, org, user);
    decision
}

/// The response that the reasons to be answered call for, if there are any.
fn respond(decision: &Decision, org: &OrgRow, user: &UserRow) -> Option<Response> {
    let anomaly = &decision.anomaly;
    let answered = decision.by_reason.iter().filter(|(_, outcome)| **outcome == Outcome::Responded);
    let reasons: Vec<Reason> = answered.map(|(reason, _)| *reason).collect();
    let verdict: Verdict = reasons
        .iter()
        .map(|reason| verdict::verdict(*reason, &anomaly.marks, user.answers.last(), anomaly.at))
        .max()?;
    Some(Response {
        id: Id::of("response", &[anomaly.id.as_str().as_bytes()]),
        reasons,
        verdict,
        recipients: recipients::recipients(anomaly, user, &org.admins),
    })
}

/// The org's row in a slot. An org's address never holds another kind of row.
fn org_row(slot: &mut Option<DecideRow>) -> &mut OrgRow {
    match slot.get_or_insert_with(|| DecideRow::Org(OrgRow::default())) {
        DecideRow::Org(row) => row,
        DecideRow::User(_) => unreachable!("an org's address holds a user"),
    }
}

/// The user's row in a slot. A user's address never holds another kind of row.
fn user_row(slot: &mut Option<DecideRow>) -> &mut UserRow {
    match slot.get_or_insert_with(|| DecideRow::User(UserRow::default())) {
        DecideRow::User(row) => row,
        DecideRow::Org(_) => unreachable!("a user's address holds an org"),
    }
}

/// A row that says nothing is not kept.
fn drop_if_empty(slot: &mut Option<DecideRow>) {
    let empty = match slot {
        Some(DecideRow::Org(row)) => *row == OrgRow::default(),
        Some(DecideRow::User(row)) => *row == UserRow::default(),
        None => false,
    };
    if empty {
        *slot = None;
    }
}
