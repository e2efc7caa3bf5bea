//! The result as a table for people.

use super::report::{Anomalies, Decisions, Finding, ReasonRow, Report};
use super::thresholds::Held;
use std::fmt::Write;

/// Findings that the text shows; `--json` has more.
const FINDINGS_SHOWN: usize = 20;
/// Rows of thresholds that the text shows.
const THRESHOLDS_SHOWN: usize = 60;

impl Report {
    /// A compact table.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a string takes everything");
        text
    }

    fn write(&self, to: &mut String) -> std::fmt::Result {
        writeln!(
            to,
            "{:<28} {:>7} {:>6} {:>7} {:>6} {:>6} {:>6} {:>9} {:>9} {:>9} {:>8} {:>8}",
            "reason",
            "planted",
            "found",
            "recall",
            "right",
            "beside",
            "false",
            "precision",
            "p50 s",
            "p99 s",
            "answered",
            "wrongful"
        )?;
        for row in &self.reasons {
            self.write_reason(row, to)?;
        }
        let days = self.user_days.map_or("an unknown number of".to_owned(), |days| days.to_string());
        writeln!(to, "\nanomalies  {} over {days} user-days", self.anomalies)?;
        for (name, counted) in [("answerable", &self.answerable), ("log-only", &self.log_only)] {
            let rate = |rate: Option<f64>| rate.map_or(String::new(), |rate| format!(" ({rate:.2} per 10,000)"));
            let Anomalies { total, false_alarms, per_10k, false_per_10k } = counted;
            let (all, wrong) = (rate(*per_10k), rate(*false_per_10k));
            writeln!(to, "  {name:<10} {total}{all}, of which {false_alarms}{wrong} that nothing planted explains")?;
        }
        let r = &self.responses;
        writeln!(to, "responses  {} in all; {} of {} owed were given", r.total, r.given, r.owed)?;
        writeln!(
            to,
            "wrongful   {}: {} on look-alikes, {} without label, {} against policy, {} over the limit",
            r.wrongful, r.on_look_alike, r.unlabelled, r.against_policy, r.over_limit
        )?;
        if let Some(rate) = r.wrongful_per_10k {
            writeln!(to, "           {rate:.2} per 10,000 user-days")?;
        }
        if let Some(count) = r.wrongful_if_all_on {
            let rate = r.wrongful_if_all_on_per_10k.map_or(String::new(), |rate| format!(" ({rate:.2} per 10,000)"));
            writeln!(to, "           at most {count}{rate} had every org switched every response on")?;
        }
        if let Some(d) = &self.decisions {
            let Decisions { expected, honoured, broken, missing } = d;
            writeln!(to, "decisions  {honoured} of {expected} as expected, {broken} not, {missing} missing")?;
        }
        self.write_thresholds(to)?;
        self.write_findings(to)
    }

    fn write_thresholds(&self, to: &mut String) -> std::fmt::Result {
        let Some(head) = self.thresholds.first().map(|_| THRESHOLD_COLUMNS) else { return Ok(()) };
        writeln!(to, "\nthresholds that anomalies were held against, as first and last seen")?;
        writeln!(to, "{}", columns(head.map(str::to_owned)))?;
        for row in self.thresholds.iter().take(THRESHOLDS_SHOWN) {
            let held = |held: &Held| format!("{} ({})", held.threshold, held.samples);
            let cells = [&row.org, &row.reason, &row.metric, &row.source].map(|cell| printable(cell));
            let [org, reason, metric, source] = cells;
            let counts = [row.anomalies.to_string(), held(&row.first), held(&row.last)];
            let [anomalies, first, last] = counts;
            writeln!(to, "{}", columns([org, reason, metric, source, anomalies, first, last]))?;
        }
        match self.thresholds.len().saturating_sub(THRESHOLDS_SHOWN) {
            0 => writeln!(to),
            more => writeln!(to, "and {more} more\n"),
        }
    }

    fn write_reason(&self, row: &ReasonRow, to: &mut String) -> std::fmt::Result {
        let delay = |secs: Option<f64>| secs.map_or("-".to_owned(), |secs| format!("{secs:.1}"));
        writeln!(
            to,
            "{:<28} {:>7} {:>6} {:>7} {:>6} {:>6} {:>6} {:>9} {:>9} {:>9} {:>8} {:>8}",
            row.reason,
            row.planted,
            row.found,
            percent(row.recall),
            row.right,
            row.neutral,
            row.false_on_look_alike + row.false_unlabelled,
            percent(row.precision),
            delay(row.delay_p50_s),
            delay(row.delay_p99_s),
            format!("{}/{}", row.given, row.owed),
            row.wrongful
        )?;
        for part in &row.by_difficulty {
            let name = format!("{:?}", part.difficulty).to_lowercase();
            writeln!(to, "  {name:<26} {:>7} {:>6} {:>7}", part.planted, part.found, percent(part.recall))?;
        }
        Ok(())
    }

    fn write_findings(&self, to: &mut String) -> std::fmt::Result {
        for finding in self.findings.iter().take(FINDINGS_SHOWN) {
            let Finding { what, reason, org, user, detail, .. } = finding;
            let label = finding.label_id.as_deref().unwrap_or("-");
            let scenario = finding.scenario.as_deref().unwrap_or("-");
            let line = format!("{what:<20} {reason:<22} {org} {user} {label} {scenario} {detail}");
            writeln!(to, "{}", printable(&line))?;
        }
        match (self.findings.len() + self.findings_dropped as usize).saturating_sub(FINDINGS_SHOWN) {
            0 => Ok(()),
            more => writeln!(to, "and {more} more"),
        }
    }
}

const THRESHOLD_COLUMNS: [&str; 7] =
    ["org", "reason", "metric", "source", "anomalies", "first (samples)", "last (samples)"];

fn columns(cells: [String; 7]) -> String {
    let [org, reason, metric, source, anomalies, first, last] = cells;
    format!("{org:<10} {reason:<27} {metric:<22} {source:<8} {anomalies:>9} {first:>16} {last:>16}")
}

/// Names may come from foreign files; a terminal must not take orders from them.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn percent(part: Option<f64>) -> String {
    part.map_or("-".to_owned(), |part| format!("{:.1} %", part * 100.0))
}
