//! Names for what a job keeps as prints alone, put beside them. Owned here: where in what is held prints stand, and what
//! else on hand says what they are of. What is tried beyond that is `operators::detect::names`'s.

use super::{Held, Recorded};
use engine::key;
use operators::detect::client::Print;
use operators::detect::names;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

type Fields = serde_json::Map<String, Value>;

/// Gives marks, whereabouts, sessions and administrative actions a `name` each, as far as one can be told.
pub fn name(held: &mut Held, recorded: &Recorded) {
    let Some(Value::Object(detect)) = &mut held.detect else { return };
    let marks = names_of_marks(detect);
    let whereabouts = &marks.by_print;
    if let Some(stays) = fields(detect, "whereabouts") {
        give(stays, |print| whereabouts.get(print).cloned());
    }
    let sessions = names_of_sessions(detect, recorded);
    if let Some(all) = fields(detect, "sessions") {
        give(all, |hash| sessions.get(hash).cloned());
    }
    let actions = names::admin_actions();
    if let Some(kinds) = fields(detect, "admin").and_then(|admin| fields(admin, "kinds")) {
        give(kinds, |print| Some((*actions.get(&read(print)?)?).to_owned()));
    }
    if let Some(list) = fields(detect, "marks") {
        give(list, |mark| marks.by_mark.get(mark).cloned());
    }
    for (_, list) in fields(detect, "marks_by_rule").into_iter().flatten() {
        if let Value::Object(list) = list {
            give(list, |mark| marks.by_mark.get(mark).cloned());
        }
    }
}

fn fields<'a>(of: &'a mut Fields, name: &str) -> Option<&'a mut Fields> {
    of.get_mut(name).and_then(Value::as_object_mut)
}

fn give(items: &mut Fields, name: impl Fn(&str) -> Option<String>) {
    for (key, item) in items.iter_mut() {
        if let (Some(name), Value::Object(item)) = (name(key), item) {
            item.insert("name".to_owned(), name.into());
        }
    }
}

/// The print that stands as hexadecimal digits.
fn read(digits: &str) -> Option<Print> {
    u32::from_str_radix(digits, 16).ok().map(Print)
}

/// Names of marks, by how marks are called and by the print alone, as far as that is of a client.
struct Marks {
    by_mark: BTreeMap<String, String>,
    by_print: BTreeMap<String, String>,
}

fn names_of_marks(detect: &Fields) -> Marks {
    let of = |name: &str| detect.get(name).and_then(Value::as_object).into_iter().flatten();
    let lists = of("marks_by_rule").filter_map(|(_, list)| list.as_object()).flatten();
    let all: BTreeSet<&str> = of("marks").chain(lists).map(|(mark, _)| mark.as_str()).collect();
    let marks = || all.iter().filter_map(|mark| Some((*mark, mark.split_once(' ')?)));
    let networks = marks().filter(|(_, (kind, _))| *kind == "network").filter_map(|(_, (_, print))| read(print));
    let addresses = of("sessions").flat_map(|(_, session)| [&session["ip"], &session["previous_ip"]]);
    let seen: Vec<IpAddr> = addresses.filter_map(|ip| ip.as_str()?.parse().ok()).collect();
    let networks = names::networks(&networks.collect(), &seen);
    let clients = names::clients();
    let families: BTreeMap<Print, &str> = of("agents")
        .filter_map(|(_, agent)| Some((read(agent["family_print"].as_str()?)?, agent["family"].as_str()?)))
        .collect();
    let mut named = Marks { by_mark: BTreeMap::new(), by_print: BTreeMap::new() };
    for (mark, (kind, digits)) in marks() {
        let print = read(digits);
        let of_family = || print.as_ref().and_then(|print| families.get(print)).filter(|name| !name.is_empty());
        let name = match kind {
            "network" => print.as_ref().and_then(|print| networks.get(print)).cloned(),
            "client" => print.as_ref().and_then(|print| clients.get(print)).cloned(),
            _ => of_family().map(|family| format!("agent {family}")),
        };
        if let Some(name) = name {
            if kind != "network" {
                named.by_print.insert(digits.to_owned(), name.clone());
            }
            named.by_mark.insert(mark.to_owned(), name);
        }
    }
    named
}

/// Ids of sessions by their hash, of those that cases and decisions name.
fn names_of_sessions(detect: &Fields, recorded: &Recorded) -> BTreeMap<String, String> {
    let cases = detect.get("cases").and_then(Value::as_object).into_iter().flatten().map(|(_, case)| case);
    let ids = cases.chain(&recorded.decisions).filter_map(|line| line["session_id"].as_str());
    ids.map(|id| (format!("{:016x}", key::hash(id.as_bytes())), id.to_owned())).collect()
}
