//! `control.ndjson`: workspaces, directory, settings and allow lists of all orgs, and lists of threats, in order of time.

use super::client::AUTOMATION;
use super::network::{CLOUD, REPORTED, SUSPICIOUS};
use super::org::{BEFORE, Org};
use super::person::{Person, Role};
use crate::model::control::{Channels, Settings};
use engine::time::{Micros, Span};
use serde_json::{Value, json};
use std::io::{self, Write};

/// Writes every record; what holds from the beginning is dated a day before the first event.
pub(super) fn write(start: Micros, orgs: &[Org], people: &[Person], to: &mut dyn Write) -> io::Result<()> {
    let before = start.minus(Span::from_days(1));
    for (name, entries) in threat_lists() {
        line(to, "threat_list", "*", name, json!({"entries": entries}), before)?;
    }
    for org in orgs {
        if let Some(workspace) = &org.workspace {
            line(to, "workspace", &org.id, workspace, json!({}), before)?;
        }
        if let Some(list) = org.allow_list() {
            line(to, "allow_list", &org.id, "trusted", list, before)?;
        }
    }
    for person in people.iter().filter(|person| person.role != Role::GuestUnlisted) {
        line(to, "user", &orgs[person.org].id, &person.id, directory_row(person), before)?;
    }
    let mut settings: Vec<_> = orgs.iter().flat_map(|org| org.settings.iter().map(move |s| (s.0, org, &s.1))).collect();
    settings.sort_by_key(|(from, org, _)| (*from, org.index));
    for (from, org, settings) in settings {
        let at = if from == BEFORE { before } else { from };
        if *settings != Settings::default() {
            line(to, "settings", &org.id, "aer", settings_value(settings), at)?;
        }
    }
    Ok(())
}

fn line(to: &mut dyn Write, kind: &str, org: &str, key: &str, value: Value, at: Micros) -> io::Result<()> {
    let record = json!({"kind": kind, "org": org, "key": key, "value": value, "date_create": at.secs()});
    writeln!(to, "{record}")
}

/// What is known of the world outside; Tor exits have a file of their own.
fn threat_lists() -> [(&'static str, Value); 4] {
    // Each program has one fingerprint whatever its version.
    let tools = AUTOMATION.iter().map(|(program, tool)| json!({"fingerprint": program.tls[0], "tool": tool}));
    [
        ("suspicious_asn", json!(SUSPICIOUS)),
        ("cloud_asn", json!(CLOUD)),
        ("ioc_ip", json!(REPORTED)),
        ("automation_tls", tools.collect()),
    ]
}

fn directory_row(person: &Person) -> Value {
    let roles: &[&str] = if person.role == Role::SecurityAdmin { &["security_admin"] } else { &[] };
    let locale = match person.country {
        "DE" => "de-DE",
        "GB" => "en-GB",
        "FI" => "fi-FI",
        "BR" => "pt-BR",
        _ => "en-US",
    };
    json!({
        "name": person.name, "email": person.email, "locale": locale,
        "is_primary_owner": person.role == Role::Owner, "is_external": person.role == Role::GuestListed,
        "is_bot": person.role == Role::Bot, "roles": roles, "groups": person.groups(),
    })
}

fn settings_value(settings: &Settings) -> Value {
    let responses = settings.responses.iter().map(|(reason, set)| {
        let enabled = settings.enabled(*reason);
        let (users, groups) = (&set.exclude_users, &set.exclude_groups);
        let value = json!({"enabled": enabled, "exclude_users": users, "exclude_groups": groups});
        (reason.code().to_owned(), value)
    });
    let channels = |c: Channels| json!({"email": c.email, "dm": c.dm});
    json!({
        "responses": responses.collect::<serde_json::Map<_, _>>(),
        "notifications": {
            "primary_owner": channels(settings.primary_owner),
            "security_admins": channels(settings.security_admins),
        },
    })
}
