//! Decide: whether an anomaly is answered, by what the org set and by what came before. Owned here: the checks, the
//! verdict, restraint, whom to tell, what is taken back when an org changes its mind, and the rows of orgs and users that
//! this rests on. Not owned here: how policy is derived (`policy`) and how a response is carried out (`respond`).

pub mod changes;
pub mod checks;
pub mod escalate;
pub mod line;
pub mod recipients;
pub mod record;
pub mod restraint;
pub mod rows;
#[cfg(test)]
pub(crate) mod tests;
pub mod verdict;
pub mod withdraw;

pub use line::decision_line;
pub use record::{DecideOut, DecideRecord};

use crate::model::anomaly::Anomaly;
use crate::model::control::{Ended, Switch};
use crate::model::decision::{Decision, Outcome, Response, Verdict};
use crate::model::event::KeyKind;
use crate::model::id::Id;
use crate::model::reason::Reason;
use checks::Facts;
use engine::error::Error;
use engine::keyed::{Context, Logic};
use engine::time::Micros;
use record::{Address, Body, DECISIONS, GlobalChange, OrgChange, UserChange, WORDS, person};
use restraint::Ordered;
use rows::{DecideRow, OrgRow, UserRow, covers};
use std::collections::BTreeMap;

/// The logic of the decide operator, keyed by org. Emits one [`Decision`] per anomaly.
pub struct Decide {
    stance: Stance,
    /// When all latched stops were lifted last. As the dry runs, this is in no row.
    resumed: Micros,
}

/// What holds for all orgs.
#[derive(Clone, Debug, Default)]
pub struct Stance {
    /// What is only tried.
    pub dry: DryRun,
    /// Once an org's blast-radius limit is reached, an admin has to lift the stop.
    pub latch: bool,
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
    /// A new logic; with `shadow` the job decides and never acts, with `latch` a blast-radius stop lasts until an admin
    /// lifts it.
    pub fn new(shadow: bool, latch: bool) -> Self {
        let dry = DryRun { job: shadow, everywhere: None };
        Decide { stance: Stance { dry, latch }, resumed: Micros::ZERO }
    }

    fn judge(&self, at: &Address, anomaly: Anomaly, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let user = match context.rows.read(at.key())? {
            Some(DecideRow::User(row)) => row.clone(),
            _ => UserRow::default(),
        };
        let of_org = Address::org(&anomaly.org);
        self.resume(&of_org, context)?;
        let decision = match context.rows.read(of_org.key())? {
            Some(DecideRow::Org(org)) => decide(anomaly, org, &user, &self.stance),
            _ => decide(anomaly, &OrgRow::default(), &user, &self.stance),
        };
        remember(&decision, at, &of_org, context)?;
        context.totals[0] += 1;
        context.totals[decision.outcome().map_or(1, |outcome| 2 + outcome as usize)] += 1;
        context.out.emit(DecideOut::Decision(Box::new(decision)));
        Ok(())
    }

    /// Lifts the org's stop if all were lifted since it fell.
    fn resume(&self, of_org: &Address, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let waits = match context.rows.read(of_org.key())? {
            Some(DecideRow::Org(row)) => row.radius.waits_for(self.resumed),
            _ => false,
        };
        if waits {
            org_row(context.rows.write(of_org.key())?).resume(self.resumed);
        }
        Ok(())
    }

    fn org(&self, address: &Address, change: OrgChange, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let org = address.names().0;
        let slot = context.rows.write(address.key())?;
        let row = org_row(slot);
        for change in changes::changes(context.now, org, row, &change) {
            context.out.emit(DecideOut::Change(Box::new(change)));
        }
        let takes_back = matches!(change, OrgChange::Settings { .. } | OrgChange::Shadow { .. });
        row.change(change);
        let people: Vec<String> = if takes_back { row.radius.people().cloned().collect() } else { Vec::new() };
        drop_if_empty(slot);
        people.iter().try_for_each(|user| self.withdraw(&Address::user(org, user), context))
    }

    fn user(&self, address: &Address, change: UserChange, context: &mut Context<'_, Self>) -> Result<(), Error> {
        if let UserChange::Settled { response, ended } = &change {
            settle(address, response, *ended, context)?;
        }
        let slot = context.rows.write(address.key())?;
        user_row(slot).change(change);
        drop_if_empty(slot);
        self.withdraw(address, context)
    }

    /// Takes back what was ordered for a user and no longer stands.
    fn withdraw(&self, address: &Address, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let (org, Some(user)) = address.names() else { return Ok(()) };
        let mut of_user = match context.rows.read(address.key())? {
            Some(DecideRow::User(row)) if row.answers.last().is_some() => row.clone(),
            _ => return Ok(()),
        };
        let of_org = Address::org(org);
        let default = OrgRow::default();
        let row: &OrgRow = match context.rows.read(of_org.key())? {
            Some(DecideRow::Org(row)) => row,
            _ => &default,
        };
        let withdrawals = withdraw::withdraw(context.now, (org, user), row, &mut of_user, &self.stance.dry);
        if withdrawals.is_empty() {
            return Ok(());
        }
        *user_row(context.rows.write(address.key())?) = of_user;
        withdrawals.into_iter().for_each(|it| context.out.emit(DecideOut::Withdrawal(Box::new(it))));
        Ok(())
    }
}

/// Notes what was decided, where a later decision asks for it.
fn remember(
    decision: &Decision,
    at: &Address,
    of_org: &Address,
    context: &mut Context<'_, Decide>,
) -> Result<(), Error> {
    let now = decision.anomaly.at;
    if decision.by_reason.values().any(|outcome| matches!(outcome, Outcome::Shadow | Outcome::Responded)) {
        let order = decision.response.as_ref().map(|response| Ordered {
            id: response.id.clone(),
            reasons: response.reasons.clone(),
            withdrawn: false,
        });
        user_row(context.rows.write(at.key())?).answers.note(now, order);
        org_row(context.rows.write(of_org.key())?).radius.note(person(&decision.anomaly), now);
    }
    if decision.latches {
        org_row(context.rows.write(of_org.key())?).radius.latch(now);
    }
    match decision.escalation.as_ref().map(|escalation| escalation.cause) {
        Some(Outcome::RateLimited) => org_row(context.rows.write(of_org.key())?).told = Some(now),
        Some(_) => user_row(context.rows.write(at.key())?).told = Some(now),
        None => {}
    }
    Ok(())
}

/// Corrects what is remembered of a response by what became of it.
fn settle(address: &Address, response: &Id, ended: Ended, context: &mut Context<'_, Decide>) -> Result<(), Error> {
    let (org, Some(user)) = address.names() else { return Ok(()) };
    let now = context.now;
    let answers = &mut user_row(context.rows.write(address.key())?).answers;
    let failed = answers.settle(response, ended, now);
    let last = answers.last();
    let of_org = Address::org(org);
    match failed {
        Some(failed) => org_row(context.rows.write(of_org.key())?).radius.take_back(user, failed, last),
        None if last == Some(now) => org_row(context.rows.write(of_org.key())?).radius.note(user, now),
        None => {}
    }
    Ok(())
}

impl Logic for Decide {
    type Record = DecideRecord;
    type Row = DecideRow;
    type Out = DecideOut;
    const PORTS: usize = 2;
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

    fn port(out: &DecideOut) -> usize {
        match out {
            DecideOut::Decision(_) => DECISIONS,
            DecideOut::Withdrawal(_) | DecideOut::Change(_) => WORDS,
        }
    }

    fn apply(&mut self, record: DecideRecord, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let (address, body) = record.into_parts();
        match body {
            Body::Global(GlobalChange::Shadow { switch, .. }) => self.stance.dry.everywhere = switch,
            Body::Global(GlobalChange::Resume { at }) => self.resumed = at,
            Body::Org(change) => self.org(&address, change, context)?,
            Body::User(change) => self.user(&address, change, context)?,
            Body::Anomaly(anomaly) => self.judge(&address, *anomaly, context)?,
        }
        Ok(())
    }
}

/// What is decided about an anomaly, given what is known of its org and user. Nothing else enters.
pub fn decide(anomaly: Anomaly, org: &OrgRow, user: &UserRow, stance: &Stance) -> Decision {
    // What is said to have happened by the time of an earlier response was over with it, however late it comes.
    let since = anomaly.first_seen.min(anomaly.time);
    let facts = Facts {
        external: user.known.as_ref().map_or(anomaly.is_external == Some(true), |known| known.is_external),
        bot: user.known.as_ref().is_some_and(|known| known.is_bot),
        by_app: anomaly.by_app || anomaly.kind == KeyKind::App,
        answered: user.answers.ended().is_some_and(|ended| since <= ended),
        radius_reached: org.radius.is_reached(person(&anomaly), anomaly.at),
    };
    let (mut by_reason, mut limited) = (BTreeMap::new(), None);
    for reason in anomaly.reasons.iter().copied().filter(|reason| reason.has_toggle()) {
        let verdict = verdict::verdict(reason, &anomaly.marks, user.answers.last(), anomaly.at);
        let held_back = user.answers.hold_back(verdict, anomaly.at);
        let rule = org.rule(reason, person(&anomaly), user, held_back, stance.dry.covers(reason));
        let outcome = checks::judge(&facts, &rule);
        by_reason.insert(reason, outcome);
        // A dry run tells nobody and stops nothing.
        if !rule.shadow && matches!(outcome, Outcome::LoopProtected | Outcome::RateLimited) {
            limited = limited.max(Some(outcome));
        }
    }
    let mut decision = Decision { anomaly, by_reason, response: None, latches: false, escalation: None };
    decision.response = respond(&decision, org, user);
    decision.latches = stance.latch && limited == Some(Outcome::RateLimited);
    if let (Some(cause), None) = (limited, &decision.response) {
        decision.escalation = escalate::escalation(cause, decision.latches, &decision.anomaly, org, user);
    }
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
    match slot.get_or_insert_with(|| DecideRow::Org(Box::default())) {
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
        Some(DecideRow::Org(row)) => **row == OrgRow::default(),
        Some(DecideRow::User(row)) => *row == UserRow::default(),
        None => false,
    };
    if empty {
        *slot = None;
    }
}
