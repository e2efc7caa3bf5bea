//! The story of a run for somebody who sees it for the first time. Owned here: its order and its words. Everything that
//! it says of the run comes from the outputs that the run left.

mod read;
#[cfg(test)]
mod tests;

pub(super) use read::Told;

use super::generate::Files;
use super::{counted, grouped, plain};
use crate::run::Totals;
use engine::time::Micros;
use operators::evaluate::Report;
use operators::model::decision::Outcome;
use operators::respond::message::utc;
use operators::respond::templates::Templates;
use read::{Decision, Entry, Evidence};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Result, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::LazyLock;

/// How many of each kind are shown; the files have all.
const ANOMALIES_SHOWN: usize = 5;
const RESPONSES_SHOWN: usize = 6;
const MESSAGES_SHOWN: usize = 2;
const EVIDENCE_SHOWN: usize = 2;
const ORGS_SHOWN: usize = 5;

/// What the story is made of.
pub(super) struct Story<'a> {
    pub(super) told: Told,
    pub(super) totals: &'a Totals,
    pub(super) report: &'a Report,
    pub(super) dir: &'a Path,
    pub(super) files: &'a Files,
    /// Where metrics are served on, if they are.
    pub(super) serving: Option<SocketAddr>,
}

impl Story<'_> {
    /// The whole story.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a string takes everything");
        text
    }

    fn write(&self, to: &mut String) -> Result {
        self.came_in(to)?;
        self.found(to)?;
        self.signed_out(to)?;
        self.told(to)?;
        self.left_alone(to)?;
        self.score(to)?;
        self.next(to)
    }

    fn came_in(&self, to: &mut String) -> Result {
        let activity = &self.told.activity;
        let totals = self.totals;
        writeln!(to, "\nWHAT CAME IN")?;
        let names: Vec<_> = activity.orgs.values().take(ORGS_SHOWN).map(|name| plain(name)).collect();
        writeln!(
            to,
            "  {} by {} in {}: {}",
            counted(totals.received, "event", "events"),
            counted(activity.people.len() as u64, "person or bot", "people and bots"),
            counted(activity.orgs.len() as u64, "org", "orgs"),
            names.join(", "),
        )?;
        writeln!(to, "  from {} to {}", utc(activity.first), utc(activity.last))?;
        writeln!(
            to,
            "  {} applied ({} late), {} duplicate, {} too late, {} rejected",
            grouped(totals.applied),
            grouped(totals.late),
            grouped(totals.duplicate),
            grouped(totals.too_late),
            grouped(totals.rejected),
        )
    }

    fn found(&self, to: &mut String) -> Result {
        let anomalies = &self.told.anomalies;
        writeln!(to, "\nWHAT WAS FOUND: {}", counted(anomalies.len() as u64, "anomaly", "anomalies"))?;
        let mut by_reason: BTreeMap<&str, u64> = BTreeMap::new();
        for code in anomalies.iter().flat_map(|anomaly| &anomaly.details.reason) {
            *by_reason.entry(code).or_default() += 1;
        }
        for (code, count) in &by_reason {
            writeln!(to, "  {:>5}  {:<28} {}", grouped(*count), plain(code), phrase("reason", code))?;
        }
        if !anomalies.is_empty() {
            writeln!(to, "  For instance, and why:")?;
        }
        let mut kinds = BTreeSet::new();
        let first_of_kind = anomalies.iter().filter(|anomaly| kinds.insert(anomaly.kind()));
        for anomaly in first_of_kind.take(ANOMALIES_SHOWN) {
            writeln!(to, "  {}  {}: {}", utc(anomaly.at()), who(anomaly), plain(&anomaly.details.reason.join(" + ")))?;
            for evidence in anomaly.details.evidence.iter().take(EVIDENCE_SHOWN) {
                writeln!(to, "      {}", evidence_words(evidence))?;
            }
        }
        Ok(())
    }

    fn signed_out(&self, to: &mut String) -> Result {
        let responses = &self.told.responses;
        let mut seen = BTreeSet::new();
        let users = responses.iter().map(|response| response.actor.user.id.as_str());
        let users: Vec<&str> = users.filter(|user| seen.insert(*user)).collect();
        writeln!(
            to,
            "\nWHOSE SESSIONS WERE ENDED: {}, {}",
            counted(users.len() as u64, "person", "people"),
            counted(responses.len() as u64, "response", "responses"),
        )?;
        for user in users.iter().take(RESPONSES_SHOWN) {
            write_answers(to, responses.iter().filter(|response| response.actor.user.id == **user).collect())?;
        }
        match users.len().saturating_sub(RESPONSES_SHOWN) {
            0 => Ok(()),
            more => writeln!(to, "  and {more} more"),
        }
    }

    fn told(&self, to: &mut String) -> Result {
        let mails = &self.told.mails;
        let people: BTreeSet<_> = mails.iter().map(|mail| &mail.to).collect();
        let others = match self.told.other_messages {
            0 => String::new(),
            count => format!(", and {}", counted(count, "direct message", "direct messages")),
        };
        writeln!(
            to,
            "\nWHO WAS TOLD: {} to {}{others}",
            counted(mails.len() as u64, "mail", "mails"),
            counted(people.len() as u64, "person", "people"),
        )?;
        // Encoded words are for mail programs; a plain subject reads better here.
        let mut subjects = BTreeSet::new();
        let readable = mails.iter().filter(|mail| !mail.subject.contains("=?") && subjects.insert(&mail.subject));
        for mail in readable.take(MESSAGES_SHOWN) {
            writeln!(to, "  to {}: {}", plain(&mail.to), plain(&mail.subject))?;
        }
        Ok(())
    }

    fn left_alone(&self, to: &mut String) -> Result {
        let mut by_outcome: BTreeMap<Outcome, Vec<&Decision>> = BTreeMap::new();
        let unanswered = self.told.decisions.iter().filter(|decision| decision.decision != Outcome::Responded);
        unanswered.for_each(|decision| by_outcome.entry(decision.decision).or_default().push(decision));
        let only_logged = self.told.anomalies.len().saturating_sub(self.told.decisions.len()) as u64;
        let count = by_outcome.values().map(|decisions| decisions.len() as u64).sum::<u64>() + only_logged;
        writeln!(to, "\nWHAT WAS LEFT ALONE, AND WHY: {}", counted(count, "anomaly", "anomalies"))?;
        for (outcome, decisions) in &by_outcome {
            let [first, ..] = decisions.as_slice() else { continue };
            writeln!(to, "  {:>5}  {:<16} {}", decisions.len(), outcome.name(), why(*outcome))?;
            writeln!(to, "         such as {}: {}", self.whom(first), plain(&first.reason.join(" + ")))?;
        }
        match only_logged {
            0 => Ok(()),
            count => writeln!(to, "  {count:>5}  {:<16} no response exists for these reasons", "only logged"),
        }
    }

    /// Whom a decision is about, by name where the anomaly's entry has one.
    fn whom(&self, decision: &Decision) -> String {
        let anomaly = self.told.anomalies.iter().find(|anomaly| anomaly.id == decision.anomaly_id);
        anomaly.map_or_else(|| plain(&decision.user), who)
    }

    fn score(&self, to: &mut String) -> Result {
        let report = self.report;
        writeln!(to, "\nTHE SCORE, against {} of what was planted", counted(report.labels, "label", "labels"))?;
        writeln!(to, "  {:<28} {:>8} {:>6} {:>7} {:>13}", "reason", "planted", "found", "false", "median delay")?;
        for row in &report.reasons {
            let wrong = row.false_on_look_alike + row.false_unlabelled;
            let delay = row.delay_p50_s.map_or("-".to_owned(), |secs| format!("{secs:.1} s"));
            writeln!(to, "  {:<28} {:>8} {:>6} {:>7} {delay:>13}", row.reason, row.planted, row.found, wrong)?;
        }
        let responses = &report.responses;
        writeln!(
            to,
            "  responses: {} of {} owed were given; {} wrongful: {} on look-alikes, {} without a label, {} that the org had \
             not asked for, {} too many{}",
            responses.given,
            responses.owed,
            responses.wrongful,
            responses.on_look_alike,
            responses.unlabelled,
            responses.against_policy,
            responses.over_limit,
            responses.wrongful_per_10k.map_or(String::new(), |rate| format!("; {rate:.1} per 10,000 user-days")),
        )?;
        match &report.decisions {
            Some(decisions) => writeln!(
                to,
                "  decisions: {} of {} as the orgs' settings ask for",
                decisions.honoured, decisions.expected
            ),
            None => Ok(()),
        }
    }

    fn next(&self, to: &mut String) -> Result {
        let dir = self.dir.display();
        let Files { events, control, tor, labels, .. } = self.files;
        let [events, control, tor, labels] = [events, control, tor, labels].map(|path| path.display());
        writeln!(to, "\nWHAT TO LOOK AT NEXT")?;
        writeln!(to, "  {dir}/audit.ndjson      every anomaly with its evidence, every response")?;
        writeln!(to, "  {dir}/decisions.ndjson  what was decided about each, reason by reason")?;
        writeln!(to, "  {dir}/outbox/           what people were told")?;
        let score = format!("--labels {labels} --audit {dir}/audit.ndjson --decisions {dir}/decisions.ndjson");
        writeln!(to, "  aerie evaluate {score}")?;
        writeln!(to, "  aerie snapshots list --data-dir {dir}")?;
        let inputs = format!("--input {events} --control {control} --tor-list {tor}");
        writeln!(to, "  aerie run {inputs} --data-dir {dir}/shadow --shadow")?;
        match self.serving {
            Some(address) => writeln!(to, "  http://{address}/metrics until Ctrl-C"),
            None => writeln!(to, "  aerie demo --data-dir {dir} --keep-serving   to look at /metrics as well"),
        }
    }
}

/// The responses to one person: the first, how often again, and how the last one was judged.
fn write_answers(to: &mut String, answers: Vec<&Entry>) -> Result {
    let [first, ..] = answers[..] else { return Ok(()) };
    let reasons: BTreeSet<&str> =
        answers.iter().flat_map(|answer| &answer.details.reason).map(String::as_str).collect();
    let reasons = plain(&reasons.into_iter().collect::<Vec<_>>().join(" + "));
    write!(to, "  {}  {}: {reasons}", utc(first.at()), who(first))?;
    let verdict = answers.last().and_then(|last| last.details.verdict.as_deref()).unwrap_or_default();
    match answers.len() {
        1 => writeln!(to, "; {}", phrase("verdict", verdict)),
        times => writeln!(to, ", {times} times; the last one: {}", phrase("verdict", verdict)),
    }
}

/// Who an entry is about, and where.
fn who(entry: &Entry) -> String {
    let (user, location) = (&entry.actor.user, &entry.context.location);
    let name = if user.name.is_empty() { &user.id } else { &user.name };
    let place = if location.name.is_empty() { &location.id } else { &location.name };
    format!("{} ({})", plain(name), plain(place))
}

/// The words that messages to people have for a code, else the code.
fn phrase(kind: &str, code: &str) -> String {
    static WORDS: LazyLock<Templates> = LazyLock::new(Templates::built_in);
    let words = WORDS.of("en").phrase(&format!("{kind}.{code}"));
    words.map_or_else(|| plain(code), |words| words.text(&[]))
}

/// What was measured, and what it was held against.
fn evidence_words(evidence: &Evidence) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut words = format!("{}: {}", evidence.metric.replace('_', " "), text(&evidence.observed));
    let source = match evidence.threshold_source.as_str() {
        "prior" => "assumed while the org has taught too little".to_owned(),
        "org" => "learned from the org".to_owned(),
        "habit" => "the user's own habit".to_owned(),
        "fixed" => "a fixed rule".to_owned(),
        "session" => "within one session".to_owned(),
        other => other.strip_prefix("threat_list:").map_or(other.to_owned(), |list| format!("on the list {list}")),
    };
    match (evidence.threshold.as_ref().map(text), source.is_empty()) {
        (Some(threshold), true) => words.push_str(&format!("; limit {threshold}")),
        (Some(threshold), false) if evidence.threshold_source == "session" => {
            words.push_str(&format!("; expected {threshold} {source}"));
        }
        (Some(threshold), false) => words.push_str(&format!("; limit {threshold}, {source}")),
        (None, false) => words.push_str(&format!(", {source}")),
        (None, true) => {}
    }
    if let Some(samples) = evidence.samples.filter(|samples| *samples > 0) {
        words.push_str(&format!(" ({} samples)", grouped(samples)));
    }
    if let (Some(start), Some(end)) = (evidence.window_start, evidence.window_end) {
        words.push_str(&format!(", in {} min", Micros(end).since(Micros(start)).0.div_ceil(60_000_000)));
    }
    plain(&words)
}

/// Why nothing was done.
fn why(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::ExternalUser => "guests of another org, whose own org decides",
        Outcome::BotUser => "bots, which have nobody's sessions",
        Outcome::AppActor => "an app acted, and nobody's sessions end for that",
        Outcome::Disabled => "the org has this response switched off",
        Outcome::ExcludedUser => "the org excludes the person",
        Outcome::ExcludedGroup => "the org excludes a group of the person's",
        Outcome::AlreadyAnswered => "an earlier response had ended that session",
        Outcome::LoopProtected => "held back so that nobody is thrown out again and again",
        Outcome::RateLimited => "the org's limit of responses in an hour was reached",
        Outcome::Shadow => "dry run: decided and not done",
        Outcome::Responded => "answered",
    }
}
