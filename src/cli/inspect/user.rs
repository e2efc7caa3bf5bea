//! A user as a person on call reads it: what is open first, then what is counted and against which bars, then what is
//! known of the user. The same facts as `--json` has, in fewer words.

use super::table::{cut, table};
use super::value::{NONE, count, day, fields, items, list, text, time};
use crate::inspect::{Held, Recorded};
use serde_json::Value;

/// Most characters of a line of its own. All reasons that can be answered fit.
const LINE_CHARS_MAX: usize = 160;

/// All of it.
pub(super) fn text_of(held: &Held, recorded: &Recorded) -> String {
    let nothing = Value::Null;
    let detect = held.detect.as_ref().unwrap_or(&nothing);
    let decide = held.decide.as_ref().unwrap_or(&nothing);
    let mut to = String::new();
    who(&mut to, detect, decide);
    open_cases(&mut to, &detect["cases"]);
    counts(&mut to, &detect["volumes"], &held.thresholds["in_force"]);
    if held.cut_ms.is_none() && fields(&held.thresholds["taught"]).next().is_some() {
        to.push_str("  at the end of all input, what the org taught has run out: --at shows an earlier snapshot\n");
    }
    small_counts(&mut to, &detect["few"]);
    sessions(&mut to, detect);
    agents(&mut to, &detect["agents"]);
    known_by(&mut to, detect);
    whereabouts(&mut to, &detect["whereabouts"]);
    admin(&mut to, &detect["admin"]);
    org(&mut to, held.org.as_ref().unwrap_or(&nothing));
    decisions(&mut to, recorded);
    to
}

fn heading(to: &mut String, name: &str) {
    to.push('\n');
    to.push_str(name);
    to.push('\n');
}

fn line(to: &mut String, name: &str, value: &str) {
    to.push_str(&format!("  {name:<14} {}\n", cut(value, LINE_CHARS_MAX)));
}

/// Who it is, and what is set for them.
fn who(to: &mut String, detect: &Value, decide: &Value) {
    let directory = &decide["directory"];
    if directory.is_object() {
        line(to, "name", &text(&directory["name"]));
        line(to, "mail", &text(&directory["email"]));
    }
    let is = |name: &str| directory[name] == true || detect["directory"][name] == true;
    let kinds = [("is_external", "external"), ("is_bot", "bot"), ("is_admin", "admin")];
    let kinds: Vec<&str> = kinds.into_iter().filter(|(name, _)| is(name)).map(|(_, kind)| kind).collect();
    line(to, "is", &list(if kinds.is_empty() { vec!["member"] } else { kinds }));
    line(to, "first seen", &time(&detect["first_seen_us"]));
    line(to, "active hour", &time(&detect["last_active_hour_us"]));
    let answered: Vec<String> = items(&decide["answered_us"]).iter().map(time).collect();
    line(to, "responses", &list(answered.iter().map(String::as_str)));
    let exempt = items(&decide["excluded_by_group"]).iter().filter_map(Value::as_str);
    line(to, "group excluded", &list(exempt));
}

fn open_cases(to: &mut String, cases: &Value) {
    heading(to, "OPEN CASES");
    let row = |(_, case): (&String, &Value)| {
        [
            text(&case["reason"]),
            count(&case["count"]),
            time(&case["first_us"]),
            time(&case["last_us"]),
            time(&case["closes_us"]),
            text(&case["session_id"]),
            text(&case["anomaly_id"]),
        ]
    };
    let rows: Vec<_> = fields(cases).map(row).collect();
    table(to, ["reason", "events", "since", "last", "closes if quiet", "session", "anomaly"], &rows);
}

/// What was counted within the last hour, against which bar, and what is usual.
fn counts(to: &mut String, volumes: &Value, bars: &Value) {
    heading(to, "COUNTS OF THE LAST HOUR");
    let row = |(metric, bar): (&String, &Value)| {
        let volume = &volumes[metric.as_str()];
        let counted = |name: &str| count(volume.get(name).unwrap_or(&Value::from(0)));
        let habit = match volume["habit_days"].as_u64() {
            Some(days) if days > 0 => {
                format!("{:.1} in {days} days", volume["habit_peak"].as_f64().unwrap_or_default())
            }
            _ => NONE.to_owned(),
        };
        let spoiled = if volume["day_spoiled"] == true { ", not learned" } else { "" };
        let peak = match volume.is_object() {
            true => format!("{} on {}{spoiled}", counted("day_peak"), day(&volume["day_us"])),
            false => NONE.to_owned(),
        };
        let (own, trusted) = (counted("last_hour"), counted("last_hour_trusted"));
        [metric.clone(), own, trusted, count(&bar["value"]), bar_source(bar), peak, habit]
    };
    let rows: Vec<_> = fields(bars).map(row).collect();
    table(to, ["metric", "count", "trusted", "bar", "from", "day's most", "habit"], &rows);
}

/// Where a bar comes from, in words.
fn bar_source(bar: &Value) -> String {
    let samples = || format!("{} user-days", count(&bar["samples"]));
    let source = match bar["source"].as_str().unwrap_or_default() {
        "prior" => "prior, org has taught nothing".to_owned(),
        "org" => format!("org, {}", samples()),
        "habit" => format!("own habit, org's is {}", count(&bar["before_habit"])),
        of_hours => format!("{}, {}", of_hours.replace(':', " "), samples()),
    };
    if bar["value"] == bar["floor"] { format!("floor ({source})") } else { source }
}

fn small_counts(to: &mut String, few: &Value) {
    if fields(few).next().is_none() {
        return;
    }
    heading(to, "SMALL COUNTS");
    let row = |(metric, few): (&String, &Value)| {
        [
            metric.clone(),
            count(&few["count"]),
            count(&few["threshold"]),
            text(&few["threshold_source"]),
            time(&few["newest_us"]),
        ]
    };
    let rows: Vec<_> = fields(few).map(row).collect();
    table(to, ["metric", "count", "bar", "from", "last"], &rows);
}

fn sessions(to: &mut String, detect: &Value) {
    heading(to, "SESSIONS");
    let claims = |agent: &Value| {
        let found = fields(&detect["agents"]).find(|(_, known)| known["text"] == *agent);
        found.map_or(NONE.to_owned(), |(_, known)| text(&known["claims"]))
    };
    let row = |(hash, session): (&String, &Value)| {
        let name = session["name"].as_str().map_or_else(|| format!("#{hash}"), str::to_owned);
        let holders = &session["holders"];
        let two = if holders["contested"] == true { "contested" } else { NONE };
        [
            name,
            time(&session["first_seen_us"]),
            time(&session["newest_us"]),
            text(&session["ip"]),
            text(&session["previous_ip"]),
            claims(&session["agent"]),
            claims(&session["previous_agent"]),
            two.to_owned(),
        ]
    };
    let rows: Vec<_> = fields(&detect["sessions"]).map(row).collect();
    let headings = ["session", "since", "last", "address", "before", "agent", "agent before", "holders"];
    table(to, headings, &rows);
}

fn agents(to: &mut String, agents: &Value) {
    heading(to, "AGENTS");
    let row = |(_, agent): (&String, &Value)| {
        let by = if agent["is_for_scripts"] == true { "scripts" } else { "people" };
        let by = if text(&agent["claims"]) == NONE { NONE } else { by };
        [text(&agent["claims"]), by.to_owned(), text(&agent["text"])]
    };
    let rows: Vec<_> = fields(agents).map(row).collect();
    table(to, ["claims to be", "for", "agent"], &rows);
}

/// What the user is known by, most established first, and which rules have it otherwise.
fn known_by(to: &mut String, detect: &Value) {
    heading(to, "KNOWN BY, OUTSIDE ANY CASE");
    let row = |(mark, fields): (&String, &Value)| {
        let (kind, print) = mark.split_once(' ').unwrap_or((mark, ""));
        let name = fields["name"].as_str().map_or_else(|| format!("#{print}"), str::to_owned);
        let standing = if fields["established"] == true { "known" } else { "seen" };
        [kind.to_owned(), name, standing.to_owned(), count(&fields["days"]), day(&fields["last_day_us"])]
    };
    let mut marks: Vec<_> = fields(&detect["marks"]).collect();
    let kind = |mark: &str| mark.split(' ').next().unwrap_or_default().to_owned();
    marks.sort_by_key(|(mark, fields)| (kind(mark), std::cmp::Reverse(fields["days"].as_u64())));
    table(to, ["kind", "what", "standing", "days", "last"], &marks.into_iter().map(row).collect::<Vec<_>>());
    let rules: Vec<&str> = fields(&detect["marks_by_rule"]).map(|(rule, _)| rule.as_str()).collect();
    if !rules.is_empty() {
        to.push_str(&format!("  as learned otherwise, for a case: {}; --json shows it\n", list(rules)));
    }
}

fn whereabouts(to: &mut String, stays: &Value) {
    if fields(stays).next().is_none() {
        return;
    }
    heading(to, "WHEREABOUTS");
    let row = |(client, stay): (&String, &Value)| {
        let name = stay["name"].as_str().map_or_else(|| format!("#{client}"), str::to_owned);
        [name, text(&stay["country"]), time(&stay["seen_us"]), day(&stay["jumped_day_us"])]
    };
    table(to, ["client", "country", "seen", "last jump"], &fields(stays).map(row).collect::<Vec<_>>());
}

fn admin(to: &mut String, admin: &Value) {
    if !admin["active_days"].is_u64() {
        return;
    }
    heading(to, "AS AN ADMIN");
    line(to, "active days", &count(&admin["active_days"]));
    let hours = items(&admin["active_days_by_hour_utc"]).iter().enumerate();
    let hours: Vec<String> =
        hours.filter(|(_, days)| days.as_u64() > Some(0)).map(|(hour, days)| format!("{hour:02}h {days}")).collect();
    line(to, "days by hour", &list(hours.iter().map(String::as_str)));
    let row = |(print, kind): (&String, &Value)| {
        let name = kind["name"].as_str().map_or_else(|| format!("#{print}"), str::to_owned);
        [name, count(&kind["days"]), day(&kind["last_day_us"])]
    };
    table(to, ["action", "days", "last"], &fields(&admin["kinds"]).map(row).collect::<Vec<_>>());
}

fn org(to: &mut String, org: &Value) {
    heading(to, "WHAT THE ORG HAS SET");
    if org.is_null() {
        to.push_str("  nothing: the defaults hold\n");
        return;
    }
    let toggles = |on: bool| {
        list(fields(&org["responses"]).filter(|(_, set)| set["enabled"] == on).map(|(name, _)| name.as_str()))
    };
    line(to, "responds to", &toggles(true));
    line(to, "only recorded", &toggles(false));
    let shadow = &org["shadow"];
    let reasons = || list(items(&shadow["reasons"]).iter().filter_map(Value::as_str));
    let dry = match (shadow["on"] == true, shadow["reasons"].is_array()) {
        (false, _) => "no".to_owned(),
        (true, false) => "yes".to_owned(),
        (true, true) => format!("for {}", reasons()),
    };
    line(to, "dry run", &dry);
    let radius = &org["blast_radius"];
    let answered = fields(&radius["answered_us"]).count();
    let radius = format!(
        "{} people an hour, {answered} so far, {} active",
        count(&radius["limit_1h"]),
        count(&radius["active_24h"])
    );
    line(to, "blast radius", &radius);
}

fn decisions(to: &mut String, recorded: &Recorded) {
    heading(to, "LAST DECISIONS, NEWEST FIRST");
    let row = |decision: &Value| {
        let by_reason = fields(&decision["by_reason"]).map(|(reason, outcome)| format!("{reason} {}", text(outcome)));
        let by_reason = by_reason.collect::<Vec<_>>().join(", ");
        let secs = decision["date_create"].as_u64().map(|secs| Value::from(secs.saturating_mul(1_000_000)));
        let ids = [&decision["anomaly_id"], &decision["session_id"]].map(text);
        let [anomaly, session] = ids;
        [time(&secs.unwrap_or_default()), text(&decision["decision"]), session, anomaly, by_reason]
    };
    let rows: Vec<_> = recorded.decisions.iter().map(row).collect();
    table(to, ["at", "decision", "session", "anomaly", "by reason"], &rows);
    heading(to, "THEIR ORDERS");
    let row = |order: &Value| {
        let held = if order["held"] == true { "held" } else { NONE };
        [time(&order["at_us"]), text(&order["state"]), held.to_owned(), text(&order["id"]), text(&order["error"])]
    };
    let rows: Vec<_> = recorded.orders.iter().map(row).collect();
    table(to, ["at", "state", "held", "response", "error"], &rows);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DAY_US: u64 = 86_400_000_000;
    const AT: u64 = 1_767_225_600_000_000;

    fn held() -> Held {
        let session = json!({
            "name": "S1", "first_seen_us": AT, "newest_us": AT + 60_000_000, "ip": "203.0.113.9", "previous_ip": null,
            "agent": "Mozilla/5.0 x", "previous_agent": "", "holders": {"contested": true},
        });
        let tor = json!({
            "reason": "tor", "anomaly_id": "a1", "session_id": "S1", "count": 1_200, "first_us": AT, "last_us": AT,
            "closes_us": AT + 3_600_000_000u64,
        });
        let detect = json!({
            "first_seen_us": AT - 9 * DAY_US,
            "last_active_hour_us": null,
            "directory": {"is_external": false, "is_bot": false, "is_admin": true},
            "sessions": {"00000000000000ff": session},
            "agents": {"01": {"text": "Mozilla/5.0 x", "claims": "Chrome 131 on Windows", "is_for_scripts": false}},
            "marks": {
                "network 0000000a": {"name": "AS64500", "days": 9, "last_day_us": AT, "established": true},
                "network 0000000b": {"days": 1, "last_day_us": AT, "established": false},
            },
            "marks_by_rule": {"ip_address": {}},
            "volumes": {"file_downloads_1h": {
                "last_hour": 70, "last_hour_trusted": 2, "day_us": AT, "day_peak": 81, "day_spoiled": true,
                "habit_peak": 40.25, "habit_days": 6,
            }},
            "few": {"malicious_files_24h": {"count": 2, "threshold": 3, "threshold_source": "fixed", "newest_us": AT}},
            "whereabouts": {"0000000c": {"name": "Chrome on Windows", "country": "DE", "seen_us": AT, "jumped_day_us": null}},
            "admin": {"active_days": 6, "active_days_by_hour_utc": [0, 3, 0], "kinds": {"0d": {"days": 2, "last_day_us": AT}}},
            "cases": {"tor a1": tor},
        });
        let bar = |value: u64, source: &str| json!({"value": value, "source": source, "samples": 700, "before_habit": 60, "floor": 50});
        let in_force = json!({
            "api_calls_1h": bar(3_000, "org:weekdays_06_12"),
            "file_downloads_1h": bar(90, "habit"),
            "searches_1h": bar(50, "org"),
        });
        Held {
            snapshot: Some(3),
            cut_ms: Some(1),
            known: true,
            detect: Some(detect),
            thresholds: json!({"in_force": in_force, "taught": {}}),
            decide: Some(json!({"directory": {"name": "Ada\u{1b}[2J", "email": ""}, "answered_us": [AT]})),
            org: None,
        }
    }

    #[test]
    fn a_user_is_told_in_lines_for_people() {
        let decision = json!({
            "date_create": AT / 1_000_000, "decision": "responded", "session_id": "S1", "anomaly_id": "a1",
            "by_reason": {"tor": "responded"},
        });
        let recorded = Recorded { decisions: vec![decision], ..Recorded::default() };
        let expected = "  name           Ada?[2J
  mail           -
  is             admin
  first seen     2025-12-23 00:00:00
  active hour    -
  responses      2026-01-01 00:00:00
  group excluded -

OPEN CASES
  reason  events  since                last                 closes if quiet      session  anomaly
  tor      1,200  2026-01-01 00:00:00  2026-01-01 00:00:00  2026-01-01 01:00:00  S1       a1

COUNTS OF THE LAST HOUR
  metric             count  trusted    bar  from                               day's most                     habit
  api_calls_1h           0        0  3,000  org weekdays_06_12, 700 user-days  -                              -
  file_downloads_1h     70        2     90  own habit, org's is 60             81 on 2026-01-01, not learned  40.2 in 6 days
  searches_1h            0        0     50  floor (org, 700 user-days)         -                              -

SMALL COUNTS
  metric               count  bar  from   last
  malicious_files_24h      2    3  fixed  2026-01-01 00:00:00

SESSIONS
  session  since                last                 address      before  agent                  agent before  holders
  S1       2026-01-01 00:00:00  2026-01-01 00:01:00  203.0.113.9  -       Chrome 131 on Windows  -             contested

AGENTS
  claims to be           for     agent
  Chrome 131 on Windows  people  Mozilla/5.0 x

KNOWN BY, OUTSIDE ANY CASE
  kind     what       standing  days  last
  network  AS64500    known        9  2026-01-01
  network  #0000000b  seen         1  2026-01-01
  as learned otherwise, for a case: ip_address; --json shows it

WHEREABOUTS
  client             country  seen                 last jump
  Chrome on Windows  DE       2026-01-01 00:00:00  -

AS AN ADMIN
  active days    6
  days by hour   01h 3
  action  days  last
  #0d        2  2026-01-01

WHAT THE ORG HAS SET
  nothing: the defaults hold

LAST DECISIONS, NEWEST FIRST
  at                   decision   session  anomaly  by reason
  2026-01-01 00:00:00  responded  S1       a1       tor responded

THEIR ORDERS
  none
";
        let text = text_of(&held(), &recorded);
        assert_eq!(text, expected, "{text}");
    }

    #[test]
    fn of_a_user_without_rows_everything_is_told_to_be_missing() {
        let nothing = Held { detect: None, decide: None, thresholds: Value::Null, cut_ms: None, ..held() };
        let text = text_of(&nothing, &Recorded::default());
        assert!(
            text.contains("OPEN CASES\n  none\n") && text.contains("KNOWN BY, OUTSIDE ANY CASE\n  none\n"),
            "{text}"
        );
    }
}
