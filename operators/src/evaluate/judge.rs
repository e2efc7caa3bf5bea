//! The judgement: what belongs to which label, and what that makes of it.

use super::read::{Audit, DecisionLine, Mention};
use super::report::{
    Anomalies, Decisions, DifficultyRow, FINDINGS_MAX, Finding, ReasonRow, Report, Responses, per_10k, share,
};
use super::thresholds::Thresholds;
use crate::model::decision::Outcome;
use crate::model::reason::Reason;
use crate::sample::label::{Difficulty, Kind, Label};
use engine::time::Micros;
use std::collections::{BTreeMap, BTreeSet};

/// Labels, and what was said about each so far.
pub(super) struct Judge<'a> {
    labels: &'a [Label],
    orgs: BTreeSet<&'a str>,
    by_user: BTreeMap<&'a str, Vec<usize>>,
    /// First anomaly of a label (by index) for each of its reasons.
    found: BTreeMap<(usize, Reason), Micros>,
    /// Responses to each label's own reasons.
    answered: BTreeMap<usize, u64>,
    /// What was decided about each label's own reasons.
    decided: BTreeMap<usize, Vec<Outcome>>,
    tallies: BTreeMap<Reason, Tally>,
    answerable: Anomalies,
    log_only: Anomalies,
    thresholds: Thresholds,
    responses: Responses,
    has_decisions: bool,
    findings: Vec<Finding>,
}

/// Counts of one reason.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    right: u64,
    neutral: u64,
    look_alike: u64,
    unlabelled: u64,
    /// Wrongful responses.
    wrongful: u64,
}

impl<'a> Judge<'a> {
    pub(super) fn new(labels: &'a [Label]) -> Self {
        let mut by_user: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (index, label) in labels.iter().enumerate() {
            by_user.entry(label.user.as_str()).or_default().push(index);
        }
        Judge {
            labels,
            orgs: labels.iter().map(|label| label.org.as_str()).collect(),
            by_user,
            found: BTreeMap::new(),
            answered: BTreeMap::new(),
            decided: BTreeMap::new(),
            tallies: BTreeMap::new(),
            answerable: Anomalies::default(),
            log_only: Anomalies::default(),
            thresholds: Thresholds::default(),
            responses: Responses::default(),
            has_decisions: false,
            findings: Vec::new(),
        }
    }

    /// The labels that an entry belongs to, by index.
    fn labels_of(&self, entry: &Mention) -> Vec<usize> {
        let of = |user: &str| self.by_user.get(user).into_iter().flatten().copied();
        of(&entry.user).chain(of("*")).filter(|index| self.belongs(&self.labels[*index], entry)).collect()
    }

    fn belongs(&self, label: &Label, entry: &Mention) -> bool {
        let org = match &entry.org {
            Some(org) => *org == label.org,
            // A location that is no org of these labels is taken for a workspace; then the user alone decides.
            None if label.user == "*" => entry.location == label.org,
            None => entry.location == label.org || !self.orgs.contains(entry.location.as_str()),
        };
        let session = match (&label.session_id, &entry.session) {
            (Some(planted), Some(seen)) => planted == seen,
            _ => true,
        };
        // Entries without `action_timestamp` have whole seconds only.
        let start = Micros::from_secs(label.start.secs());
        org && session && (start..=label.end).contains(&entry.at)
    }

    pub(super) fn audit(&mut self, audit: &Audit) {
        for (id, anomaly) in &audit.anomalies {
            self.anomaly(id, anomaly);
        }
        for (id, response) in &audit.responses {
            let anomaly = id.as_ref().and_then(|id| audit.anomalies.get(id));
            let at = anomaly.map_or(response.at, |anomaly| anomaly.at);
            self.response(&Mention { at, ..response.clone() });
        }
    }

    fn anomaly(&mut self, id: &str, anomaly: &Mention) {
        self.thresholds.take(anomaly);
        let labels = self.labels_of(anomaly);
        let mut is_false = true;
        for reason in &anomaly.reasons {
            let tally = self.tallies.entry(*reason).or_default();
            let named = |index: &&usize| self.labels[**index].reasons.contains(reason);
            let wanted = labels.iter().filter(named).filter(|i| to_be_found(&self.labels[**i])).collect::<Vec<_>>();
            let beside = |label: &Label| label.also.contains(reason) || label.tolerated.contains(reason);
            if !wanted.is_empty() {
                is_false = false;
                tally.right += 1;
                for index in wanted {
                    let first = self.found.entry((*index, *reason)).or_insert(anomaly.at);
                    *first = anomaly.at.min(*first);
                }
            } else if labels.iter().any(|index| beside(&self.labels[*index])) {
                is_false = false;
                tally.neutral += 1;
            } else {
                let look_alike = labels.iter().find(|index| named(index)).map(|index| &self.labels[*index]);
                match look_alike {
                    Some(_) => tally.look_alike += 1,
                    None => tally.unlabelled += 1,
                }
                let finding = Finding::of("false_alarm", *reason, look_alike, anomaly, id);
                self.note(finding);
            }
        }
        let answerable = anomaly.reasons.iter().any(|reason| reason.has_toggle());
        let counted = if answerable { &mut self.answerable } else { &mut self.log_only };
        counted.total += 1;
        counted.false_alarms += u64::from(is_false);
    }

    fn response(&mut self, response: &Mention) {
        self.responses.total += 1;
        let labels = self.labels_of(response);
        let has = |list: &[Reason]| response.reasons.iter().any(|reason| list.contains(reason));
        let own = labels.iter().find(|i| to_be_found(&self.labels[**i]) && has(&self.labels[**i].reasons));
        let beside = labels.iter().any(|i| {
            let label = &self.labels[*i];
            to_be_found(label) && (has(&label.also) || has(&label.tolerated))
        });
        let (what, label) = match own {
            Some(index) => {
                let label = &self.labels[*index];
                let answers = self.answered.entry(*index).or_default();
                *answers += 1;
                match label.max_responses {
                    // Another reason of the same entry may have called for it.
                    Some(0) if beside => return,
                    Some(0) if label.kind == Kind::Attack => {
                        self.responses.against_policy += 1;
                        ("against_policy", Some(label))
                    }
                    Some(most) if *answers > most => {
                        self.responses.over_limit += 1;
                        ("over_limit", Some(label))
                    }
                    _ => return,
                }
            }
            None if beside => return,
            None => match labels.first() {
                Some(index) => {
                    self.responses.on_look_alike += 1;
                    ("on_look_alike", Some(&self.labels[*index]))
                }
                None => {
                    self.responses.unlabelled += 1;
                    ("unlabelled_response", None)
                }
            },
        };
        for reason in &response.reasons {
            self.tallies.entry(*reason).or_default().wrongful += 1;
        }
        let reason = response.reasons.first().copied();
        let finding = Finding::of(what, reason.unwrap_or(Reason::Tor), label, response, "");
        self.note(Finding { reason: reason.map_or("", Reason::code), ..finding });
    }

    pub(super) fn decisions(&mut self, audit: &Audit, decisions: &[DecisionLine]) {
        self.has_decisions = true;
        let mut wrongful_if_all_on = 0;
        for line in decisions {
            let at = audit.anomalies.get(&line.anomaly_id).map_or(Micros::from_secs(line.date_create), |a| a.at);
            let mention = Mention {
                org: Some(line.org.clone()),
                location: String::new(),
                user: line.user.clone(),
                session: line.session_id.clone(),
                at,
                reasons: Vec::new(),
                evidence: Vec::new(),
            };
            let labels = self.labels_of(&mention);
            wrongful_if_all_on += u64::from(self.is_wrongful_if_all_on(line, &labels));
            for index in labels {
                let own = |code: &str| code.parse().is_ok_and(|reason| self.labels[index].reasons.contains(&reason));
                let outcomes = line.by_reason.iter().filter(|(code, _)| own(code)).map(|(_, outcome)| *outcome);
                self.decided.entry(index).or_default().extend(outcomes);
            }
        }
        self.responses.wrongful_if_all_on = Some(wrongful_if_all_on);
    }

    /// Whether something was answered, or would have been but for its toggle, that no attack or chain explains.
    fn is_wrongful_if_all_on(&self, line: &DecisionLine, labels: &[usize]) -> bool {
        let answered = |outcome: &Outcome| matches!(outcome, Outcome::Responded | Outcome::Disabled);
        let reasons = line.by_reason.iter().filter(|(_, outcome)| answered(outcome));
        let reasons: Vec<Reason> = reasons.filter_map(|(code, _)| code.parse().ok()).collect();
        let explains = |label: &Label| {
            let named = [&label.reasons, &label.also, &label.tolerated].into_iter().flatten();
            to_be_found(label) && named.into_iter().any(|reason| reasons.contains(reason))
        };
        !reasons.is_empty() && !labels.iter().any(|index| explains(&self.labels[*index]))
    }

    /// How the decisions on each label compare with what its org had set.
    fn compare_decisions(&mut self) -> Option<Decisions> {
        if !self.has_decisions {
            return None;
        }
        let mut compared = Decisions::default();
        for (index, label) in self.labels.iter().enumerate().filter(|(_, l)| !l.expected_decisions.is_empty()) {
            let decided = self.decided.get(&index).map_or(&[][..], Vec::as_slice);
            if decided.is_empty() && !to_be_found(label) {
                continue;
            }
            compared.expected += 1;
            let answered = decided.contains(&Outcome::Responded);
            let right = |outcome: &Outcome| {
                label.expected_decisions.contains(outcome) || (answered && *outcome == Outcome::AlreadyAnswered)
            };
            if decided.is_empty() {
                compared.missing += 1;
            } else if decided.iter().all(right) && (answered || !label.must_respond) {
                compared.honoured += 1;
            } else {
                compared.broken += 1;
                let names: Vec<_> = decided.iter().map(|outcome| outcome.name()).collect();
                self.findings.push(Finding { detail: names.join(","), ..Finding::on("decision", label) });
            }
        }
        Some(compared)
    }

    pub(super) fn report(mut self, user_days: Option<u64>) -> Report {
        let reasons = Reason::ALL.iter().filter_map(|reason| self.row(*reason, user_days)).collect();
        for (index, label) in self.labels.iter().enumerate().filter(|(_, label)| to_be_found(label)) {
            for reason in label.reasons.iter().filter(|reason| !self.found.contains_key(&(index, **reason))) {
                self.findings.push(Finding { reason: reason.code(), ..Finding::on("missed", label) });
            }
        }
        let decisions = self.compare_decisions();
        let owed = |(index, label): (usize, &Label)| (label.must_respond).then_some(index);
        let owed: Vec<_> = self.labels.iter().enumerate().filter_map(owed).collect();
        let mut responses = self.responses;
        responses.owed = owed.len() as u64;
        responses.given = owed.iter().filter(|index| self.answered.contains_key(index)).count() as u64;
        responses.wrongful = responses.wrongful();
        responses.wrongful_per_10k = per_10k(responses.wrongful, user_days);
        responses.wrongful_if_all_on_per_10k = responses.wrongful_if_all_on.and_then(|count| per_10k(count, user_days));
        let findings_dropped = self.findings.len().saturating_sub(FINDINGS_MAX) as u64;
        self.findings.truncate(FINDINGS_MAX);
        Report {
            labels: self.labels.len() as u64,
            anomalies: self.answerable.total + self.log_only.total,
            user_days,
            answerable: self.answerable.per(user_days),
            log_only: self.log_only.per(user_days),
            reasons,
            responses,
            decisions,
            thresholds: self.thresholds.rows(),
            findings: self.findings,
            findings_dropped,
        }
    }

    /// The row of a reason that was planted or raised.
    fn row(&self, reason: Reason, user_days: Option<u64>) -> Option<ReasonRow> {
        let planted = |label: &Label| to_be_found(label) && label.reasons.contains(&reason);
        let labels: Vec<_> = self.labels.iter().enumerate().filter(|(_, label)| planted(label)).collect();
        let tally = self.tallies.get(&reason).copied();
        if labels.is_empty() && tally.is_none() {
            return None;
        }
        let tally = tally.unwrap_or_default();
        let mut by_difficulty: BTreeMap<Difficulty, DifficultyRow> = BTreeMap::new();
        let mut delays = Vec::new();
        for (index, label) in &labels {
            let row = by_difficulty.entry(label.difficulty).or_insert_with(|| DifficultyRow {
                difficulty: label.difficulty,
                planted: 0,
                found: 0,
                missed: 0,
                recall: None,
            });
            row.planted += 1;
            match self.found.get(&(*index, reason)) {
                Some(at) => {
                    row.found += 1;
                    delays.push(at.since(label.first_detectable).0);
                }
                None => row.missed += 1,
            }
        }
        delays.sort_unstable();
        let by_difficulty: Vec<_> = by_difficulty
            .into_values()
            .map(|row| DifficultyRow { recall: share(row.found, row.planted), ..row })
            .collect();
        let (count, found) = (labels.len() as u64, delays.len() as u64);
        let wrong = tally.look_alike + tally.unlabelled;
        Some(ReasonRow {
            reason: reason.code(),
            planted: count,
            found,
            missed: count - found,
            recall: share(found, count),
            by_difficulty,
            right: tally.right,
            neutral: tally.neutral,
            false_on_look_alike: tally.look_alike,
            false_unlabelled: tally.unlabelled,
            precision: share(tally.right, tally.right + wrong),
            false_per_10k: per_10k(wrong, user_days),
            delay_p50_s: quantile(&delays, 50),
            delay_p99_s: quantile(&delays, 99),
            owed: labels.iter().filter(|(_, label)| label.must_respond).count() as u64,
            given: labels.iter().filter(|(index, l)| l.must_respond && self.answered.contains_key(index)).count()
                as u64,
            wrongful: tally.wrongful,
        })
    }

    fn note(&mut self, finding: Finding) {
        self.findings.push(finding);
    }
}

/// Attacks are to be found; so are chains of honest users, which only must not be answered without end.
fn to_be_found(label: &Label) -> bool {
    label.kind == Kind::Attack || label.chain
}

/// The value at or under which `percent` of sorted delays lie (nearest rank), in seconds.
fn quantile(sorted: &[u64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map(|micros| *micros as f64 / 1e6)
}
