//! Audit entries of what an org changed about its own anomaly event response, under Slack's names where it has them.
//! Owned here: their keys, in a fixed order, on one line. A control record does not say who set it, so the actor is the
//! one that Slack writes where there is none.

use super::audit::{BY_ACTION, BY_ACTOR, BY_ENTITY};
use crate::model::change::{Change, Preferences, Step, What};
use crate::model::control::{AllowList, Channels};
use crate::model::event::Person;
use crate::model::reason::Reason;
use engine::ledger::Term;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Which anomalies are answered, or which admins are told.
pub const PREFERENCES: &str = "pref.anomaly_event_response_changed";

/// For which anomalies a user is excluded.
pub const USER: &str = "user_anomaly_event_response_allowlist_changed";

/// For which anomalies a group is excluded.
pub const GROUP: &str = "usergroup_anomaly_event_response_allowlist_changed";

/// Which networks are trusted. Slack has no name for it.
pub const ALLOW_LIST: &str = "anomaly_allow_list_changed";

/// The user id that Slack writes where nobody acted.
const NOBODY: &str = "USLACKUSER";

/// What the entry of a change is found under: its action, its actor, and whom or what it is about.
pub fn change_terms(change: &Change) -> Vec<Term> {
    let (action, entity) = match &change.what {
        What::Preferences(_) => (PREFERENCES, &change.org),
        What::User(user, _) => (USER, user),
        What::Group(group, _) => (GROUP, group),
        What::AllowList(_) => (ALLOW_LIST, &change.org),
    };
    let terms = [(BY_ACTION, action), (BY_ACTOR, NOBODY), (BY_ENTITY, entity.as_str())];
    terms.map(|(kind, value)| Term { kind, value: value.to_owned() }).to_vec()
}

/// The entry of a change. Its id is the change's.
pub fn change_entry(change: &Change) -> String {
    let org = change.org.as_str();
    let enterprise = json!({"type": "enterprise", "enterprise": {"id": org, "name": "", "domain": ""}});
    let (action, entity, from, to) = match &change.what {
        What::Preferences(Step { from, to }) => (PREFERENCES, enterprise, preferences(from), preferences(to)),
        What::User(user, Step { from, to }) => {
            let entity = json!({"type": "user", "user": person(user, org)});
            (USER, entity, codes(from), codes(to))
        }
        What::Group(group, Step { from, to }) => {
            let entity = json!({"type": "usergroup", "usergroup": {"id": group, "name": ""}});
            (GROUP, entity, codes(from), codes(to))
        }
        What::AllowList(Step { from, to }) => (ALLOW_LIST, enterprise, allow_list(from), allow_list(to)),
    };
    let entry = Entry {
        id: change.id.as_str(),
        date_create: change.at.secs(),
        action,
        actor: json!({"type": "user", "user": person(NOBODY, org)}),
        entity,
        context: json!({
            "location": {"type": "enterprise", "id": org, "name": "", "domain": ""},
            "ua": "", "session_id": null, "ip_address": "",
        }),
        details: json!({"action_timestamp": change.at.0, "previous_value": from, "new_value": to}),
    };
    serde_json::to_string(&entry).expect("strings, numbers and lists of them always have a JSON form")
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    date_create: u64,
    action: &'a str,
    actor: Value,
    entity: Value,
    context: Value,
    details: Value,
}

fn person(id: &str, org: &str) -> Person {
    Person { id: id.to_owned(), name: String::new(), email: String::new(), team: org.to_owned() }
}

fn preferences(of: &Preferences) -> Value {
    let responses: serde_json::Map<String, Value> =
        of.responses.iter().map(|(reason, on)| (reason.code().to_owned(), json!(on))).collect();
    let channels = |channels: Channels| json!({"email": channels.email, "dm": channels.dm});
    let (owner, admins) = (channels(of.primary_owner), channels(of.security_admins));
    json!({"responses": responses, "notifications": {"primary_owner": owner, "security_admins": admins}})
}

fn codes(of: &BTreeSet<Reason>) -> Value {
    of.iter().map(|reason| reason.code()).collect()
}

fn allow_list(of: &AllowList) -> Value {
    json!({"trusted_cidr": of.trusted_cidr, "trusted_asn": of.trusted_asn})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::Id;
    use engine::time::Micros;

    fn entry(what: What) -> Value {
        let change = Change { id: Id("c1".into()), at: Micros(1_767_225_600_250_000), org: "E1".into(), what };
        let line = change_entry(&change);
        assert!(line.starts_with(r#"{"id":"c1","date_create":1767225600,"action":""#), "{line}");
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn exclusions_stand_under_the_names_of_slack() {
        let step = || Step { from: BTreeSet::new(), to: BTreeSet::from([Reason::Tor]) };
        let user = entry(What::User("U1".into(), step()));
        assert_eq!(user["action"], "user_anomaly_event_response_allowlist_changed");
        assert_eq!((&user["entity"]["user"]["id"], &user["actor"]["user"]["id"]), (&json!("U1"), &json!(NOBODY)));
        let details = json!({"action_timestamp": 1_767_225_600_250_000u64, "previous_value": [], "new_value": ["tor"]});
        assert_eq!(user["details"], details);
        let group = entry(What::Group("S1".into(), step()));
        assert_eq!(group["action"], "usergroup_anomaly_event_response_allowlist_changed");
        assert_eq!(group["entity"], json!({"type": "usergroup", "usergroup": {"id": "S1", "name": ""}}));
    }

    #[test]
    fn settings_and_networks_are_told_before_and_after() {
        let of = |tor, email| Preferences {
            responses: [(Reason::Tor, tor)].into(),
            primary_owner: Channels { email, dm: false },
            security_admins: Channels::default(),
        };
        let settings = entry(What::Preferences(Step { from: of(true, false), to: of(false, true) }));
        assert_eq!(settings["action"], "pref.anomaly_event_response_changed");
        assert_eq!(settings["entity"]["enterprise"]["id"], "E1");
        let told = |tor: bool, email: bool| {
            json!({"responses": {"tor": tor}, "notifications": {
                "primary_owner": {"email": email, "dm": false}, "security_admins": {"email": false, "dm": false}}})
        };
        assert_eq!(settings["details"]["previous_value"], told(true, false));
        assert_eq!(settings["details"]["new_value"], told(false, true));
        let trusted = AllowList {
            trusted_cidr: BTreeSet::from(["203.0.113.0/24".parse().unwrap()]),
            trusted_asn: BTreeSet::from([64_500]),
        };
        let list = entry(What::AllowList(Step { from: AllowList::default(), to: trusted }));
        assert_eq!(list["action"], "anomaly_allow_list_changed");
        let (none, some) = (&list["details"]["previous_value"], &list["details"]["new_value"]);
        assert_eq!(none, &json!({"trusted_cidr": [], "trusted_asn": []}));
        assert_eq!(some, &json!({"trusted_cidr": ["203.0.113.0/24"], "trusted_asn": [64_500]}));
    }
}
