//! What tests feed to the program: generated activity, hand-made events and control records, and ways to put lines in
//! another order. Owned here: making lines. Not owned here: what must come of them.

use crate::support::{Dice, Job, Place};
use operators::sample::{Outputs, Plan, generate};
use serde_json::{Value, json};
use std::path::PathBuf;

/// A Wednesday in February 2026.
pub const START: u64 = 1_772_000_000;

/// An address that hand-made lists name as a Tor exit.
pub const EXIT: &str = "185.220.101.7";

/// How far lines may be out of order without being late.
pub const MAX_DISORDER_US: u64 = 5_000_000;

/// Generated activity.
pub struct Sample {
    pub events: Vec<String>,
    pub control: String,
    pub tor: String,
}

impl Sample {
    pub fn of(plan: Plan) -> Self {
        println!("seed {}: {plan:?}", plan.seed);
        let (mut events, mut control, mut tor, mut labels) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut outputs = Outputs { events: &mut events, control: &mut control, tor: &mut tor, labels: &mut labels };
        generate(plan, &mut outputs).expect("the plan is within bounds");
        let text = |bytes| String::from_utf8(bytes).expect("generated lines are UTF-8");
        let events = text(events).lines().map(str::to_owned).collect();
        Sample { events, control: text(control), tor: text(tor) }
    }

    /// The same with every event in order of its time, so that none is late.
    pub fn in_order(mut self) -> Self {
        self.events = in_order(self.events);
        self
    }

    /// A job over `inputs` with this sample's control records and exit list.
    pub fn job(&self, place: &Place, name: &str, inputs: &[PathBuf]) -> Job {
        let control = place.write("control.ndjson", &self.control);
        place.job(name, inputs).control(&control).tor_list(&place.write("tor.txt", &self.tor))
    }

    /// A job over all events in one file.
    pub fn whole(&self, place: &Place, name: &str) -> Job {
        self.job(place, name, &[place.write_lines("events.ndjson", &self.events)])
    }
}

/// Event time of a line in µs.
pub fn time_of(line: &str) -> u64 {
    let value: Value = serde_json::from_str(line).expect("the line is JSON");
    (value["date_create"].as_f64().expect("the line has a time") * 1e6).round() as u64
}

/// Sorted by event time; equal times stay as they are.
pub fn in_order(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_by_cached_key(|line| time_of(line));
    lines
}

/// Each line as late as it may be without being late.
pub fn disordered(lines: &[String], dice: &mut Dice) -> Vec<String> {
    let mut timed: Vec<_> = lines.iter().map(|line| (time_of(line) + dice.below(MAX_DISORDER_US), line)).collect();
    timed.sort_by_key(|(time, _)| *time);
    timed.into_iter().map(|(_, line)| line.clone()).collect()
}

/// Lines over files at random, each file in the order of the lines.
pub fn scattered(lines: &[String], files: usize, dice: &mut Dice) -> Vec<Vec<String>> {
    let mut parts = vec![Vec::new(); files];
    for line in lines {
        parts[dice.below(files as u64) as usize].push(line.clone());
    }
    parts
}

/// An event to be made.
#[derive(Clone)]
pub struct Event(Value);

impl Event {
    /// A call from an ordinary network by user U1 of org E1.
    pub fn new(id: &str, secs: u64) -> Self {
        Event(json!({
            "id": id, "date_create": secs, "action": "api_call",
            "actor": {"type": "user", "user": {"id": "U1", "name": "U1", "email": "u1@example.com", "team": "T1"}},
            "context": {
                "location": {"type": "enterprise", "id": "E1", "name": "E1", "domain": "e1"},
                "ua": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                       Chrome/131.0.0.0 Safari/537.36",
                "session_id": null, "ip_address": "62.1.2.3"},
            "details": {"method": "conversations.history"},
        }))
    }

    pub fn org(self, org: &str) -> Self {
        self.set("/context/location/id", json!(org))
    }

    pub fn user(self, user: &str) -> Self {
        self.set("/actor/user/id", json!(user)).set("/actor/user/email", json!(format!("{user}@example.com")))
    }

    pub fn session(self, session: &str) -> Self {
        self.set("/context/session_id", json!(session))
    }

    pub fn ip(self, ip: &str) -> Self {
        self.set("/context/ip_address", json!(ip))
    }

    pub fn action(self, action: &str) -> Self {
        self.set("/action", json!(action))
    }

    /// A download of some file.
    pub fn download(self, file: u64) -> Self {
        let entity = json!({"type": "file", "file": {"id": format!("F{file}"), "name": "f", "filetype": "pdf"}});
        self.action("file_downloaded").member("", "entity", entity).set("/details", json!({"bytes": 4096}))
    }

    /// Replaces what stands at a JSON pointer.
    pub fn set(mut self, pointer: &str, value: Value) -> Self {
        *self.0.pointer_mut(pointer).unwrap_or_else(|| panic!("nothing at {pointer}")) = value;
        self
    }

    /// Adds a member to the object at a JSON pointer.
    pub fn member(mut self, pointer: &str, name: &str, value: Value) -> Self {
        self.0.pointer_mut(pointer).unwrap_or_else(|| panic!("nothing at {pointer}"))[name] = value;
        self
    }

    pub fn line(&self) -> String {
        self.0.to_string()
    }
}

/// A control record.
pub fn control(kind: &str, org: &str, key: &str, value: Value, secs: u64) -> String {
    json!({"kind": kind, "org": org, "key": key, "value": value, "date_create": secs}).to_string()
}

/// Settings by which an org wants these reasons answered, from the beginning.
pub fn answers(org: &str, reasons: &[&str]) -> String {
    let responses: serde_json::Map<String, Value> =
        reasons.iter().map(|reason| ((*reason).to_owned(), json!({"enabled": true}))).collect();
    control("settings", org, "aer", json!({"responses": responses}), START - 86_400)
}

/// All reasons with a toggle.
pub const TOGGLES: [&str; 7] = [
    "tor",
    "unexpected_scraping",
    "excessive_downloads",
    "session_fingerprint",
    "spoofed_user_agent",
    "unexpected_api_call_volume",
    "unexpected_user_agent",
];

/// Seconds since 1970 at which activity may begin that ends before now and is not too old to be answered.
pub fn recently() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("the clock is past 1970").as_secs() - 3_300
}

/// `secs` seconds of twenty users at work, an event a second or so. Now and then one of them opens a session through
/// the exit, which is an anomaly on its own.
pub fn office_hours(start: u64, secs: u64, dice: &mut Dice) -> Vec<String> {
    let mut lines = Vec::new();
    let mut at = start;
    while at < start + secs {
        let (n, user) = (lines.len(), dice.below(20));
        let event = Event::new(&format!("e{n}"), at).user(&format!("U{user}"));
        let event =
            if dice.one_in(60) { event.session(&format!("x{n}")).ip(EXIT) } else { event.session(&format!("s{user}")) };
        lines.push(event.line());
        at += dice.below(3);
    }
    lines
}
