//! The promise: what is decided about `tor` and `excessive_downloads` is what the contract says. Held against a batch
//! program that is slow and obvious: it looks every setting up as of the event, in a list.
//!
//! The input is such that loop protection and the blast-radius limit have nothing to say: at most three sessions a user,
//! hours apart, and few users an hour.

use crate::inputs::{Event, START, control};
use crate::outputs::{Outputs, same_lines};
use crate::support::{Dice, Place};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const SEEDS: [u64; 4] = [71, 72, 73, 74];
const ORGS: u64 = 3;
const USERS: u64 = 30;
const HOUR: u64 = 3_600;
const SPAN: u64 = 30 * HOUR;
const ADDRESSES: [&str; 4] = ["185.220.101.1", "185.220.101.2", "2001:db8::1", "62.9.9.9"];

/// An event as the oracle sees it.
#[derive(Clone, Debug)]
struct Seen {
    id: String,
    at: u64,
    org: String,
    user: String,
    session: Option<String>,
    ip: &'static str,
    external: Option<bool>,
}

impl Seen {
    fn line(&self) -> String {
        let event = Event::new(&self.id, self.at).org(&self.org).user(&self.user).ip(self.ip);
        let event = match &self.session {
            Some(session) => event.session(session),
            None => event,
        };
        match self.external {
            Some(external) => event.member("/actor/user", "is_external", json!(external)).line(),
            None => event.line(),
        }
    }
}

/// A control record as the oracle sees it.
#[derive(Clone, Debug)]
struct Set {
    at: u64,
    kind: &'static str,
    org: String,
    key: String,
    value: Value,
}

impl Set {
    fn line(&self) -> String {
        control(self.kind, &self.org, &self.key, self.value.clone(), self.at)
    }
}

/// Everything that was set, in the order of the file.
struct Policy(Vec<Set>);

impl Policy {
    /// What is in force: of the records up to this second, the last by date, then by place in the file.
    fn get(&self, kind: &str, org: &str, key: &str, at: u64) -> &Value {
        let of = |set: &&Set| set.kind == kind && set.org == org && set.key == key && set.at <= at;
        self.0.iter().filter(of).max_by_key(|set| set.at).map_or(&Value::Null, |set| &set.value)
    }

    fn is_exit(&self, ip: &str, at: u64) -> bool {
        has(&self.get("threat_list", "*", "tor_exit", at)["entries"], ip)
    }

    /// Prefixes are so chosen that their text tells.
    fn trusts(&self, org: &str, ip: &str, at: u64) -> bool {
        let list = &self.get("allow_list", org, "trusted", at)["trusted_cidr"];
        list.as_array().into_iter().flatten().any(|prefix| prefix.as_str() == Some(&format!("{ip}/32")))
    }

    fn shadows(&self, org: &str, at: u64) -> bool {
        ["*", org].iter().any(|org| {
            let switch = self.get("control", org, "shadow", at);
            switch["on"] == true && (switch["reasons"].is_null() || has(&switch["reasons"], "tor"))
        })
    }

    /// What is decided, apart from earlier responses.
    fn outcome(&self, event: &Seen, answered: bool) -> &'static str {
        let (org, user, at) = (&event.org, &event.user, event.at);
        let row = self.get("user", org, user, at);
        let tor = &self.get("settings", org, "aer", at)["responses"]["tor"];
        let external = if row.is_null() { event.external == Some(true) } else { row["is_external"] == true };
        let groups = row["groups"].as_array().into_iter().flatten();
        let excluded_group = groups.filter_map(Value::as_str).any(|group| has(&tor["exclude_groups"], group));
        let checks = [
            (external, "external_user"),
            (row["is_bot"] == true, "bot_user"),
            (tor["enabled"] == false, "disabled"),
            (has(&tor["exclude_users"], user), "excluded_user"),
            (excluded_group, "excluded_group"),
            (answered, "already_answered"),
            (self.shadows(org, at), "shadow"),
        ];
        checks.into_iter().find(|(applies, _)| *applies).map_or("responded", |(_, outcome)| outcome)
    }
}

fn has(list: &Value, text: &str) -> bool {
    list.as_array().into_iter().flatten().any(|entry| entry == text)
}

/// The decisions on `tor`, as lines that can be compared.
fn decide(events: &[Seen], policy: &Policy) -> Vec<String> {
    let mut events = events.to_vec();
    events.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    let mut first_seen = BTreeMap::new();
    let mut quiet_since: BTreeMap<(&str, &str, &Option<String>), u64> = BTreeMap::new();
    let mut answered: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut decisions = Vec::new();
    for event in &events {
        let person = (event.org.as_str(), event.user.as_str());
        let session = (person.0, person.1, &event.session);
        let first = if event.session.is_some() { *first_seen.entry(session).or_insert(event.at) } else { event.at };
        if !policy.is_exit(event.ip, event.at) || policy.trusts(&event.org, event.ip, event.at) {
            continue;
        }
        let last = quiet_since.insert(session, event.at);
        if last.is_some_and(|last| event.at < last + HOUR) {
            continue;
        }
        let was_answered = answered.get(&person).is_some_and(|answered| first <= *answered);
        let outcome = policy.outcome(event, was_answered);
        if matches!(outcome, "responded" | "shadow") {
            answered.insert(person, event.at);
        }
        decisions.push(said(&event.org, &event.user, &json!(event.session), event.at, "tor", outcome));
    }
    decisions.sort_unstable();
    decisions
}

fn said(org: &str, user: &str, session: &Value, at: u64, reason: &str, outcome: &str) -> String {
    format!("{org} {user} {session} {} {reason} {outcome}", at - START)
}

/// The same lines from `decisions.ndjson`; those without the reason are other rules' own.
fn decided(outputs: &Outputs, reason: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let of_reason = |line: &Value| line["reason"].as_array().is_some_and(|found| found.contains(&json!(reason)));
    for line in outputs.decisions().into_iter().filter(of_reason) {
        let outcome = line["by_reason"][reason].as_str().unwrap_or("no decision");
        let text = |name: &str| line[name].as_str().unwrap_or_else(|| panic!("no {name}: {line}")).to_owned();
        let at = line["date_create"].as_u64().expect("a time");
        lines.push(said(&text("org"), &text("user"), &line["session_id"], at, reason, outcome));
    }
    lines.sort_unstable();
    lines
}

/// Up to three sessions a user, hours apart, some of them through an exit now and then.
fn activity(dice: &mut Dice) -> Vec<Seen> {
    let mut events: Vec<Seen> = Vec::new();
    for (org, user) in (0..ORGS).flat_map(|org| (0..USERS).map(move |user| (org, user))) {
        let external = dice.pick(&[None, None, Some(false), Some(true)]);
        let mut at = START + dice.below(SPAN / 3);
        for turn in 0..dice.between(1, 3) {
            let named = !dice.one_in(5);
            let session = named.then(|| format!("s{user}-{turn}"));
            // Without a session, a second case would be a second response: it stays one.
            let end = at + if named { dice.between(60, 4 * HOUR) } else { dice.between(60, HOUR / 2) };
            let mut odd: Vec<u64> = Vec::new();
            while at < end {
                let ip = if dice.one_in(3) { dice.pick(&ADDRESSES) } else { "62.1.2.3" };
                // When exactly an hour is over is not what is tested here.
                if !odd.contains(&(at - HOUR)) {
                    let (id, session) = (format!("e{}", events.len()), session.clone());
                    let (org, user) = (format!("E{org}"), format!("U{user}"));
                    events.push(Seen { id, at, org, user, session, ip, external });
                    odd.push(at);
                }
                at += dice.pick(&[1, 20, 300, 1_500, 3_500, 3_700]);
            }
            at = end + 2 * HOUR + dice.below(4 * HOUR);
        }
    }
    events
}

/// What is set over time, about everything that the oracle knows. Dates are whole seconds, many of them an event's own.
fn policy(events: &[Seen], dice: &mut Dice) -> Policy {
    let exits = |n: u64| json!({"entries": ADDRESSES[..=n as usize % ADDRESSES.len()]});
    let set = |at: u64, kind, org: String, key: &str, value| Set { at, kind, org, key: key.to_owned(), value };
    let mut sets = vec![set(START - 1, "threat_list", "*".to_owned(), "tor_exit", exits(1))];
    for n in 0..300 {
        let event = &events[dice.below(events.len() as u64) as usize];
        let at = if dice.one_in(4) { START - dice.below(100) } else { event.at };
        let org = event.org.clone();
        let some = |dice: &mut Dice, of: &str, most: u64| -> Vec<String> {
            (0..dice.below(4)).map(|_| format!("{of}{}", dice.below(most))).collect()
        };
        let record = match dice.below(40) {
            0 => set(at, "threat_list", "*".to_owned(), "tor_exit", exits(dice.roll() % 4)),
            1 => set(at, "control", dice.pick(&["*".to_owned(), org]), "shadow", switch(dice)),
            2 | 3 => {
                let trusted = json!({"trusted_cidr": if dice.one_in(2) { vec!["185.220.101.2/32"] } else { vec![] }});
                set(at, "allow_list", org, "trusted", trusted)
            }
            4..=12 => {
                let tor = json!({
                    "enabled": !dice.one_in(5),
                    "exclude_users": some(dice, "U", USERS), "exclude_groups": some(dice, "S", 6),
                });
                let value = if dice.one_in(8) { Value::Null } else { json!({"responses": {"tor": tor}}) };
                set(at, "settings", org, "aer", value)
            }
            _ => {
                let row = json!({
                    "name": format!("n{n}"), "is_external": dice.one_in(6), "is_bot": dice.one_in(10),
                    "groups": some(dice, "S", 6),
                });
                set(at, "user", org, &event.user, if dice.one_in(8) { Value::Null } else { row })
            }
        };
        sets.push(record);
    }
    Policy(sets)
}

fn switch(dice: &mut Dice) -> Value {
    let reasons = dice.pick(&[json!(null), json!(["tor"]), json!(["excessive_downloads"])]);
    json!({"on": dice.one_in(2), "reasons": reasons})
}

/// Ten users an hour would meet the limit of an org.
fn assert_few(decisions: &[String]) {
    let mut hours: BTreeMap<(String, u64), u64> = BTreeMap::new();
    for line in decisions.iter().filter(|line| line.ends_with("responded") || line.ends_with("shadow")) {
        let words: Vec<_> = line.split(' ').collect();
        let at: u64 = words[3].parse().expect("a time");
        *hours.entry((words[0].to_owned(), at / HOUR)).or_default() += 1;
    }
    let most = hours.into_iter().max_by_key(|(_, count)| *count);
    assert!(most.as_ref().is_none_or(|(_, count)| *count <= 5), "the limit could apply: {most:?}");
}

#[test]
fn tor_is_decided_as_a_slow_and_obvious_program_decides_it() {
    let mut outcomes = BTreeSet::new();
    for seed in SEEDS {
        let place = Place::new();
        let mut dice = Dice::new(seed);
        let mut events = activity(&mut dice);
        let policy = policy(&events, &mut dice);
        let expected = decide(&events, &policy);
        assert_few(&expected);
        events.sort_by_key(|event| event.at);
        let lines: Vec<_> = events.iter().map(Seen::line).collect();
        let records: Vec<_> = policy.0.iter().map(Set::line).collect();
        let job = place
            .job("data", &[place.write_lines("events", &lines)])
            .control(&place.write_lines("control", &records))
            .workers(1 + seed as usize % 3);
        job.run();
        let seen = decided(&Outputs::of(&job.data_dir), "tor");
        same_lines(&expected.join("\n"), &seen.join("\n"), &format!("seed {seed}: expected and decided"));
        outcomes.extend(expected.iter().filter_map(|line| line.rsplit(' ').next().map(str::to_owned)));
    }
    let all = [
        "external_user",
        "bot_user",
        "disabled",
        "excluded_user",
        "excluded_group",
        "already_answered",
        "shadow",
        "responded",
    ];
    assert_eq!(outcomes, BTreeSet::from(all.map(str::to_owned)), "every outcome is met");
}

/// The bar while an org has taught none.
const BAR: u64 = 400;

/// Users who download about as much as is too much, within fifty minutes, over two sessions; of some the calls fail. So
/// few that all of them may be answered within an hour.
#[test]
fn downloads_are_decided_as_a_slow_and_obvious_program_decides_them() {
    for seed in SEEDS {
        let place = Place::new();
        let mut dice = Dice::new(seed);
        let (mut lines, mut expected) = (Vec::new(), Vec::new());
        for user in 0..10 {
            let name = format!("U{user}");
            let count = dice.between(BAR - 20, 3 * BAR);
            let mut of_session: BTreeMap<String, u64> = BTreeMap::new();
            let mut raised: BTreeSet<String> = BTreeSet::new();
            let (mut first_seen, mut answered) = (BTreeMap::new(), None);
            for n in 0..count {
                let at = START + n * 3_000 / count;
                let session = format!("s{user}-{}", u64::from(dice.one_in(3)));
                let (failed, uploads) = (dice.one_in(20), dice.one_in(20));
                let event = Event::new(&format!("d{user}-{n:05}"), at).user(&name).session(&session).download(n);
                let event = if failed { event.set("/details", json!({"ok": false})) } else { event };
                lines.push((at, if uploads { event.action("file_uploaded") } else { event }.line()));
                let first = *first_seen.entry(session.clone()).or_insert(at);
                if failed || uploads {
                    continue;
                }
                *of_session.entry(session.clone()).or_default() += 1;
                let held = of_session.iter().filter(|(other, _)| **other == session || !raised.contains(*other));
                let total: u64 = held.map(|(_, count)| count).sum();
                if total > BAR && raised.insert(session.clone()) {
                    let outcome = if answered.is_some_and(|answered| first <= answered) {
                        "already_answered"
                    } else {
                        "responded"
                    };
                    if outcome == "responded" {
                        answered = Some(at);
                    }
                    expected.push(said("E1", &name, &json!(session), at, "excessive_downloads", outcome));
                }
            }
        }
        lines.sort_by_key(|(at, _)| *at);
        expected.sort_unstable();
        let lines: Vec<_> = lines.into_iter().map(|(_, line)| line).collect();
        let settings = crate::inputs::answers("E1", &["excessive_downloads"]);
        let job = place
            .job("data", &[place.write_lines("events", &lines)])
            .control(&place.write_lines("control", &[settings]))
            .workers(2);
        job.run();
        let seen = decided(&Outputs::of(&job.data_dir), "excessive_downloads");
        same_lines(&expected.join("\n"), &seen.join("\n"), &format!("seed {seed}: expected and decided"));
    }
}
