//! Lists of Tor exits as they are published for anyone to fetch. Owned here: their two forms, which of them may take the
//! place of the one before, and the control record that does so. Not owned here: fetching.

use super::ALL_ORGS;
use crate::decode::address::parse_ip;
use crate::decode::text::clip;
use engine::time::Micros;
use serde_json::json;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Most bytes of a line that a refusal shows.
const SHOWN_BYTES_MAX: usize = 60;

/// Words that begin lines of the Tor project's `exit-addresses` which hold no address.
const WITHOUT_ADDRESS: [&str; 3] = ["ExitNode", "Published", "LastStatus"];

/// Reads a list: one address a line, or the `ExitAddress` lines of `exit-addresses`. Blank lines and `#` comments are
/// passed over.
///
/// # Errors
/// What is wrong with it, as the end of a sentence: a line of another form, or no address at all. A list of which a part
/// cannot be read is none: the part may be all but one line.
pub fn parse_exits(content: &[u8]) -> Result<BTreeSet<IpAddr>, String> {
    let text = std::str::from_utf8(content).map_err(|_| "is no text".to_owned())?;
    let mut exits = BTreeSet::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let address = match words.next() {
            None => continue,
            Some(word) if WITHOUT_ADDRESS.contains(&word) => continue,
            Some("ExitAddress") => words.next().and_then(parse_ip),
            Some(word) => parse_ip(word).filter(|_| words.next().is_none()),
        };
        match address {
            Some(address) => drop(exits.insert(address)),
            None => {
                let shown = clip(line.trim(), SHOWN_BYTES_MAX);
                return Err(format!("has a line {} that is no address: {shown:?}", index + 1));
            }
        }
    }
    if exits.is_empty() { Err("names no address".to_owned()) } else { Ok(exits) }
}

/// Whether a list may take the place of the one before.
///
/// # Errors
/// Why not, as the end of a sentence: it has fewer than half as many addresses.
pub fn may_replace(exits: &BTreeSet<IpAddr>, former: &BTreeSet<IpAddr>) -> Result<(), String> {
    match exits.len() * 2 < former.len() {
        true => Err(format!("names {} addresses where there were {}, fewer than half", exits.len(), former.len())),
        false => Ok(()),
    }
}

/// The line of the control record by which a list holds for all orgs from `at` on, rounded down to whole seconds.
pub fn exits_record(exits: &BTreeSet<IpAddr>, at: Micros) -> String {
    let value = json!({"entries": exits});
    json!({"kind": "threat_list", "org": ALL_ORGS, "key": "tor_exit", "value": value, "date_create": at.secs()})
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::control::parse_control;
    use crate::model::control::{ControlRecord, ControlValue, ThreatList};
    use proptest::prelude::*;

    fn list(addresses: &[&str]) -> BTreeSet<IpAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn both_published_forms_are_read() {
        let plain = "\u{feff}# of today\n185.220.101.7\r\n\n  2001:db8::1  # new\n::ffff:192.0.2.1\n185.220.101.7";
        assert_eq!(parse_exits(plain.as_bytes()), Ok(list(&["185.220.101.7", "192.0.2.1", "2001:db8::1"])));
        let exit_addresses = "ExitNode 0011BD2485AD45D984EC4159C88FC066E5E3300E\nPublished 2026-02-25 10:11:12\n\
                              LastStatus 2026-02-25 12:00:00\nExitAddress 162.247.74.201 2026-02-25 12:30:11\n\
                              ExitNode 00AA\nExitAddress 185.220.101.7 2026-02-25 12:31:00\n\
                              ExitAddress 185.220.101.8 2026-02-25 12:32:00\n";
        let expected = list(&["162.247.74.201", "185.220.101.7", "185.220.101.8"]);
        assert_eq!(parse_exits(exit_addresses.as_bytes()), Ok(expected));
    }

    #[test]
    fn what_is_no_list_is_refused_with_its_line() {
        for (content, why) in [
            ("", "names no address"),
            ("# maintenance\n\n", "names no address"),
            ("ExitNode 00AA\nPublished 2026-02-25 10:11:12\n", "names no address"),
            ("<!DOCTYPE html>\n<html>185.220.101.7</html>", "line 1 that is no address: \"<!DOCTYPE html>\""),
            ("185.220.101.7\n185.220.101.256\n", "line 2 that is no address: \"185.220.101.256\""),
            ("185.220.101.7 185.220.101.8\n", "line 1"),
            ("185.220.101.0/24\n", "line 1"),
            ("ExitAddress\n", "line 1"),
            ("ExitAddress soon 2026-02-25 12:30:11\n", "line 1"),
            ("{\"error\":\"rate limited\"}", "line 1"),
        ] {
            let refused = parse_exits(content.as_bytes()).expect_err(content);
            assert!(refused.contains(why), "{refused}");
        }
        assert_eq!(parse_exits(b"185.220.101.7\n\xff"), Err("is no text".to_owned()));
        let long = parse_exits("x".repeat(10_000).as_bytes()).unwrap_err();
        assert!(long.len() < 120, "{long}");
    }

    #[test]
    fn half_as_many_may_replace_a_list_and_fewer_may_not() {
        let former = list(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]);
        assert_eq!(may_replace(&list(&["10.0.0.1", "10.0.0.2", "10.0.0.9"]), &former), Ok(()));
        let refused = may_replace(&list(&["10.0.0.1", "10.0.0.2"]), &former).unwrap_err();
        assert_eq!(refused, "names 2 addresses where there were 5, fewer than half");
        assert_eq!(may_replace(&list(&["10.0.0.1"]), &BTreeSet::new()), Ok(()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(content in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_exits(&content);
        }

        #[test]
        fn a_list_comes_back_from_its_record(addresses in prop::collection::btree_set(any::<IpAddr>(), 1..20), secs in 0u64..4_000_000_000) {
            let exits: BTreeSet<IpAddr> = addresses.iter().map(IpAddr::to_canonical).collect();
            let text: String = addresses.iter().map(|address| format!("{address}\n")).collect();
            prop_assert_eq!(parse_exits(text.as_bytes()), Ok(exits.clone()));
            let at = Micros::from_secs(secs);
            let value = ControlValue::ThreatList(Some(ThreatList::TorExit(exits.clone())));
            let record = ControlRecord { at, position: 7, org: "*".into(), key: "tor_exit".into(), value };
            prop_assert_eq!(parse_control(exits_record(&exits, Micros(at.0 + 999_999)).as_bytes(), 7), Ok(record));
        }
    }
}
