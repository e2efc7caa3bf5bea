//! Detection: what one user or app does, held against rules, thresholds and their own past. Owned here: the order in
//! which an event meets its user's state ([`judge`]), and the logic that the engine runs. Each rule has a file of its
//! own, named after its reason. Not owned here: what is done about an anomaly (`decide`), how thresholds are learned
//! (`baseline`).

pub mod agents;
pub mod asn;
pub mod automation_tls;
pub mod cases;
pub mod client;
pub mod excessive_downloads;
pub mod excessive_file_shares;
pub mod excessive_malware_uploads;
pub mod few;
pub mod ip_address;
pub mod judge;
pub mod known;
pub mod marks;
pub mod names;
pub mod potential_spam;
pub mod prefixes;
pub mod recent;
pub mod record;
pub mod references;
pub mod search_volume;
pub mod session_fingerprint;
pub mod sessions;
pub mod short;
pub mod signal;
pub mod spoofed_user_agent;
pub mod state;
pub mod tor;
pub mod unexpected_admin_action;
pub mod unexpected_api_call_volume;
pub mod unexpected_client;
pub mod unexpected_credential_testing;
pub mod unexpected_message_deletion;
pub mod unexpected_scraping;
pub mod unexpected_user_agent;
pub mod user_agent;
pub mod user_agent_parser;
pub mod volume;
pub mod whereabouts;

#[cfg(test)]
mod tests;

use crate::baseline::VolumeRules;
use crate::model::event::{Event, EventText, KeyKind, split_key};
use cases::Case;
use engine::error::Error;
use engine::keyed::{Context, Logic, Record};
use engine::state::{RowKey, Timer};
use judge::{Facts, Judge};
use record::{CLOSED, DetectOut, DetectRecord, UserChange};
use references::References;
use state::UserState;
use std::sync::Arc;
use user_agent_parser::UserAgentParser;

/// How detection is set for a job.
#[derive(Clone, Debug)]
pub struct DetectSettings {
    /// Whether an anomaly found elsewhere, which came as an event, is raised like our own.
    pub respond_to_imported: bool,
    /// How the bars of volume rules are made.
    pub volumes: VolumeRules,
    /// Reads what user agents claim.
    pub agents: Arc<UserAgentParser>,
    /// What a test changes about one rule.
    #[cfg(test)]
    pub(in crate::detect) edit: Option<tests::isolation::Edit>,
}

/// The totals of detection. Those of events are of the user's copy alone, so that each event counts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    /// Events that took part.
    Applied,
    /// Copies that had no effect.
    Duplicate,
    /// Of those applied, late ones.
    Late,
    /// Of those applied, with an action that is not in the catalogue.
    UnknownActions,
    /// Of those applied, anomalies found elsewhere.
    ImportedAnomalies,
    /// Of those applied, ones that would have raised something but came from a trusted network.
    SuppressedTrusted,
    /// Event ids forgotten early for room.
    IdsEvicted,
    /// Sessions forgotten early for room.
    SessionsEvicted,
    /// Marks forgotten early, or not remembered, for room.
    MarksEvicted,
    /// Cases closed early for room.
    CasesEvicted,
}

/// The one timer of a row: a case may have been quiet for long enough.
const CASES: u8 = 1;

/// The keyed logic of detection.
pub struct Detect {
    settings: DetectSettings,
    read_text: fn(&Event) -> EventText,
    references: References,
}

impl Detect {
    /// Detection that has learned nothing yet. `read_text` reads the strings of an event from its line.
    pub fn new(settings: DetectSettings, read_text: fn(&Event) -> EventText) -> Self {
        Detect { settings, read_text, references: References::default() }
    }

    fn event(&self, event: Event, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let state = context.rows.write(event.key())?.get_or_insert_default();
        let mut judge = Judge {
            settings: &self.settings,
            read_text: self.read_text,
            references: &self.references,
            facts: Facts::of(&event, &self.references),
            event: &event,
            state,
            emit: &mut |out| context.out.emit(out),
            totals: context.totals,
        };
        if let Some(at) = judge.event() {
            let key = event.key();
            context.timers.set(Timer { at, group: key.group, key: key.bytes.to_vec(), tag: CASES });
        }
        Ok(())
    }
}

impl Logic for Detect {
    type Record = DetectRecord;
    type Row = UserState;
    type Out = DetectOut;
    const PORTS: usize = 6;
    const TOTALS: &'static [&'static str] = &[
        "applied",
        "duplicate",
        "late",
        "unknown_actions",
        "imported_anomalies",
        "suppressed_trusted",
        "ids_evicted",
        "sessions_evicted",
        "marks_evicted",
        "cases_evicted",
    ];

    fn port(out: &DetectOut) -> usize {
        out.port()
    }

    fn timer_reaches(_tag: u8, port: usize) -> bool {
        port == CLOSED
    }

    fn apply(&mut self, record: DetectRecord, context: &mut Context<'_, Self>) -> Result<(), Error> {
        match record {
            DetectRecord::Event(event) => self.event(event, context)?,
            DetectRecord::Threshold(threshold) => self.references.threshold(*threshold),
            DetectRecord::TakenBack(taken_back) => self.references.taken_back(*taken_back),
            DetectRecord::Reference(record) => self.references.control(*record),
            DetectRecord::Directory(directory) => {
                let (key, change) = directory.into_parts();
                let slot = context.rows.write(RowKey::of(&key))?;
                match change {
                    UserChange::Standing { standing, .. } => slot.get_or_insert_default().standing = standing,
                    UserChange::Exempt { on, reason } => slot.get_or_insert_default().set_exempt(reason, on),
                    UserChange::Unanswered => {
                        let cases = slot.as_mut().and_then(|state| state.cases.as_mut());
                        let open = cases.map(|cases| cases.close_all()).unwrap_or_default();
                        close(open, &key, context);
                    }
                }
            }
        }
        Ok(())
    }

    fn fire(&mut self, timer: Timer, context: &mut Context<'_, Self>) -> Result<(), Error> {
        let key = RowKey::under(timer.group, &timer.key);
        let Some(state) = context.rows.write(key)?.as_mut() else { return Ok(()) };
        let Some(cases) = state.cases.as_mut() else { return Ok(()) };
        let quiet = cases.fire(context.now);
        match cases.arm() {
            Some(at) => context.timers.set(Timer { at, ..timer.clone() }),
            None => state.cases = None,
        }
        close(quiet, &timer.key, context);
        Ok(())
    }
}

/// Tells that these cases of the user or app of a key are closed.
fn close(cases: Vec<Case>, key: &[u8], context: &mut Context<'_, Detect>) {
    let kind = if key.first() == Some(&b'a') { KeyKind::App } else { KeyKind::User };
    let (org, user) = split_key(key).expect("rows and timers have the key of an event");
    for case in cases {
        context.out.emit(DetectOut::CaseClosed(Box::new(case.close(context.now, kind, org, user))));
    }
}
