//! The promise: what user agents claim is read by the regexes that the job names, from activity files to the audit log.
//! A file that cannot be used is refused with its line, and so is a job that goes on with another one.

use crate::inputs::{Event, START, answers};
use crate::outputs::{Outputs, lines};
use crate::support::{Config, Place, aerie};
use serde_json::{Value, json};

const REGEXES: &str = "user_agent_parsers:\n  - regex: '(OurTool)/(\\d+)'\n    family_replacement: 'curl'\n\
                       os_parsers:\n  - regex: '(Linux)'\n";

fn anomalies(config: &Config) -> Vec<Value> {
    let entries = lines(&config.data_dir.join("audit.ndjson")).into_iter();
    let entries = entries.map(|line| serde_json::from_str::<Value>(&line).expect("a line is JSON"));
    entries.filter(|entry| entry["action"] == "anomaly").collect()
}

#[test]
fn a_job_reads_agents_by_the_file_that_it_names() {
    let place = Place::new();
    let event =
        |id: &str, secs, ua: &str| Event::new(id, START + secs).session("s1").set("/context/ua", json!(ua)).line();
    let chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/131.0.0.0";
    let events = place.write_lines("events", &[event("a", 0, chrome), event("b", 60, "OurTool/7 (Linux)")]);
    let control = place.write_lines("control", &[answers("E1", &["unexpected_user_agent"])]);
    let config = |name: &str| place.config(name, std::slice::from_ref(&events), "", "").control(&control);
    let shipped = config("shipped");
    shipped.start().wait().done();
    assert_eq!(anomalies(&shipped), Vec::<Value>::new());

    let regexes = place.write("regexes.yaml", REGEXES);
    let named = format!("[detect]\nuser_agents = {:?}\n", regexes.display().to_string());
    let own = config("own").sections(&named);
    own.start().wait().done();
    let found = anomalies(&own);
    assert_eq!(found.len(), 1);
    let details = &found[0]["details"];
    assert_eq!(details["reason"], json!(["unexpected_user_agent", "user_agent"]));
    assert_eq!(details["previous_ua"], chrome);
    assert_eq!(details["user_agent_change_details"], json!({"from": chrome, "to": "OurTool/7 (Linux)"}));
    assert_eq!(Outputs::of(&own.data_dir).responses().len(), 1);

    let dir = own.data_dir.display().to_string();
    let replayed = aerie(&["replay", "--json", "--data-dir", &dir, "--from", "1"]).done();
    assert_eq!(replayed.json()["differing"], 0);
    place.write("regexes.yaml", REGEXES.replace("OurTool", "Other"));
    own.start().wait().refused(2, &["regexes.yaml"]);
    place.write("regexes.yaml", REGEXES.replace("(Linux)", "(Linux"));
    config("new").sections(&named).start().wait().refused(2, &["regexes.yaml", "line 5"]);
}
