//! Anomalies that were found elsewhere and came as events. Each is a report, not an act of the user's: no rule looks at
//! it, nothing is learned from it, and how often it is repeated is for its finder to judge. Where the job says so it is
//! raised like our own, and from there on all is as with our own: toggles, exclusions, loop protection and limits.
//!
//! Whoever can bring one in can have somebody signed out by a single line. So it counts from those partitions only that
//! may import; and not from a trusted network, nor of what happened too long before it was reported. What does not count
//! is applied and counted.

use super::{Judge, Total};
use crate::detect::record::DetectOut;
use crate::limits::IMPORTED_AGE_MAX;
use crate::model::anomaly::{Anomaly, Evidence};
use crate::model::event::{EventText, KeyKind};
use crate::model::reason::Reason;
use engine::time::Micros;

/// What a reason's evidence is called that somebody else has.
const IMPORTED: &str = "imported";

impl Judge<'_> {
    /// Takes in an anomaly that was found elsewhere.
    pub(super) fn imported(&mut self) {
        self.count(Total::ImportedAnomalies, 1);
        let may_import = self.settings.imports.get(self.event.partition as usize).copied().unwrap_or_default();
        if !may_import || self.event.kind != KeyKind::User {
            return;
        }
        let text = (self.read_text)(self.event);
        let mut reasons: Vec<Reason> = text.report.reasons.iter().filter_map(|code| code.parse().ok()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        let acted = self.acted(&text);
        if reasons.is_empty() || self.event.time.since(acted) > IMPORTED_AGE_MAX {
            return;
        }
        if self.facts.is_trusted {
            self.count(Total::SuppressedTrusted, 1);
            return;
        }
        let found = self.anomaly(&text, reasons, evidence(&text));
        let report = text.report;
        let or = |theirs: String, ours: String| if theirs.is_empty() { ours } else { theirs };
        (self.emit)(DetectOut::Anomaly(Box::new(Anomaly {
            location: or(report.location, found.location),
            previous_ip_address: or(report.previous_ip_address, found.previous_ip_address),
            previous_ua: or(report.previous_ua, found.previous_ua),
            // What happened before a response was over with it.
            first_seen: found.first_seen.min(acted),
            imported: true,
            ..found
        })));
    }

    /// When that happened which was reported; by a clock that is ahead of the reporter's, when it was reported.
    fn acted(&self, text: &EventText) -> Micros {
        text.report.acted.map_or(self.event.time, |acted| acted.min(self.event.time))
    }
}

/// That somebody else has found it, for each of their reasons, and what they say of it.
fn evidence(text: &EventText) -> Vec<Evidence> {
    let report = &text.report;
    let mut evidence: Vec<Evidence> = Vec::new();
    for code in &report.reasons {
        if evidence.iter().any(|piece| piece.reason == *code) {
            continue;
        }
        let metric = IMPORTED.to_owned();
        evidence.push(Evidence {
            reason: code.clone(),
            metric,
            event_ids: vec![text.id.clone()],
            ..Evidence::default()
        });
        let of_reason = report.particulars.iter().filter(|(name, _)| reason_of(name).code() == code);
        evidence.extend(of_reason.map(|(name, observed)| Evidence {
            reason: code.clone(),
            metric: name.clone(),
            observed: observed.clone(),
            ..Evidence::default()
        }));
        // The shape of Slack's own field is not known; ours says what changed into what.
        if code == Reason::UserAgent.code() && !report.previous_ua.is_empty() {
            evidence.push(Evidence {
                reason: code.clone(),
                metric: "user_agent_change_details".to_owned(),
                observed: text.ua.clone(),
                threshold: report.previous_ua.clone(),
                ..Evidence::default()
            });
        }
    }
    evidence
}

/// The reason that brings a field along.
fn reason_of(particular: &str) -> Reason {
    match particular {
        "ip_address_details" => Reason::IpAddress,
        "scraping_tool" => Reason::UnexpectedScraping,
        "api_call_method" => Reason::PotentialSpam,
        _ => Reason::UnexpectedClient,
    }
}
