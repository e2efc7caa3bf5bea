//! The promise: a Slack org's audit log is taken entry by entry, each once, however badly Slack answers and whenever the
//! program is killed; what Slack itself has found is answered by the org's rules, and sessions are ended at Slack.

use crate::inputs::Event;
use crate::outputs::{Outputs, lines_so_far};
use crate::receiver::{Act, Receiver};
use crate::slack_server::{Mishap, Slack};
use crate::support::{Place, Running, get, metric, start};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tokens of the log and of the sessions.
const AUDIT_TOKEN: &str = "xoxp-hunter2";
const ADMIN_TOKEN: &str = "xoxp-hunter3";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs()
}

/// A job over a log.
struct Live<'a> {
    place: &'a Place,
    slack: &'a Slack,
    data_dir: PathBuf,
    file: PathBuf,
    shown: usize,
}

impl<'a> Live<'a> {
    fn new(place: &'a Place, slack: &'a Slack, receiver: &Receiver) -> Self {
        let data_dir = place.path("data");
        let quoted = |path: PathBuf| format!("{:?}", path.display().to_string());
        let (audit, admin) = (place.write("audit-token", AUDIT_TOKEN), place.write("admin-token", ADMIN_TOKEN));
        let text = format!(
            "[job]\ndata_dir = {}\nworkers = 2\nsnapshot_every = \"100ms\"\nimported_anomalies = \"respond\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\n[destinations]\nallow_private = [\"127.0.0.1\"]\n\
             [[source]]\nkind = \"slack\"\norg = \"E1\"\nurl = \"http://{}\"\ntoken_file = {}\npoll_every = \"100ms\"\n\
             overlap = \"1m\"\nstart = \"1h\"\nmax_delay = \"500ms\"\n\
             [sessions]\nkind = \"slack\"\nurl = \"http://{}/api/\"\ntoken_file = {}\n",
            quoted(data_dir.clone()),
            slack.address,
            quoted(audit),
            receiver.address,
            quoted(admin),
        );
        Live { place, slack, data_dir, file: place.write("job.toml", text), shown: 0 }
    }

    fn start(&self) -> Running {
        start(&["run", "--json", "--config", &self.file.display().to_string()], &self.data_dir)
    }

    /// So many entries of this second show up, of users by turns, in a workspace of the org.
    fn show(&mut self, at: u64, count: usize) {
        let lines: Vec<_> = (0..count)
            .map(|_| {
                self.shown += 1;
                let user = format!("U{}", self.shown % 4);
                let location = json!({"type": "workspace", "id": "T1", "name": "T1", "domain": "t1"});
                let event = Event::new(&format!("e{}", self.shown), at).user(&user).session(&user);
                event.set("/context/location", location).download(self.shown as u64).line()
            })
            .collect();
        self.slack.show(lines);
    }

    /// Slack has found this of a user.
    fn find(&mut self, user: &str, details: Value) {
        self.shown += 1;
        let event = Event::new(&format!("e{}", self.shown), now()).user(user).session(user).action("anomaly");
        self.slack.show([event.set("/details", details).line()]);
    }

    /// Waits until all entries have applied.
    fn applied(&self, running: &mut Running) {
        let address = running.address();
        running
            .running_until("all entries to apply", || applied(&get(address, "/metrics").1) == Some(self.shown as u64));
    }

    fn decided(&self) -> Vec<Value> {
        let lines = lines_so_far(&self.data_dir.join("decisions.ndjson"));
        lines.iter().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }
}

fn applied(page: &str) -> Option<u64> {
    metric(page, "aerie_events_total{outcome=\"applied\"}")
}

fn polls(page: &str, outcome: &str) -> u64 {
    let series = format!("aerie_slack_polls_total{{org=\"E1\",outcome=\"{outcome}\"}}");
    metric(page, &series).unwrap_or_default()
}

#[test]
fn every_entry_of_a_log_is_taken_once_and_what_slack_found_is_answered() {
    let place = Place::new();
    let slack = Slack::start();
    let receiver = Receiver::start(|_, _| Act::answer(200, "", r#"{"ok":true}"#));
    let mut live = Live::new(&place, &slack, &receiver);
    // Equal seconds run over the ends of pages; before the start and after the present there is nothing to take.
    let begun = now();
    for n in 0..6 {
        live.show(begun - 120 + n * 10, 5);
    }
    slack.show([Event::new("before", begun - 7_200).line()]);
    slack.plan([
        Mishap::Say(429, "Retry-After: 1\r\n", json!({"ok": false, "error": "ratelimited"}).to_string()),
        Mishap::Expire,
        Mishap::Say(200, "", "<html>no page</html>".to_owned()),
        Mishap::Say(503, "", String::new()),
    ]);

    let mut running = live.start();
    live.applied(&mut running);
    let page = get(running.address(), "/metrics").1;
    assert!(slack.is_calm());
    let outcomes = ["rate_limited", "expired", "malformed", "unavailable", "refused"];
    assert_eq!(outcomes.map(|outcome| polls(&page, outcome)), [1, 1, 1, 1, 0], "{page}");
    assert!(metric(&page, "aerie_slack_read_to_end_timestamp_seconds{org=\"E1\"}").is_some_and(|at| at >= begun));

    // Late ones, and killed while Slack says nothing.
    live.show(begun - 70, 1);
    live.show(begun - 100, 2);
    live.applied(&mut running);
    slack.plan([Mishap::Hang]);
    running.running_until("a request that hangs", || slack.hanging() == 1);
    live.show(now(), 7);
    assert!(running.kill(), "it was running");
    live.show(now() - 20, 4);

    // Killed again and again as it takes up what has come meanwhile.
    for asked in 1..4 {
        live.show(now() - asked, 3);
        let (mut running, before) = (live.start(), slack.asked().len());
        running.running_until("some requests", || slack.asked().len() > before + 2 * asked as usize);
        assert!(running.kill(), "it was running");
    }

    let mut running = live.start();
    live.applied(&mut running);
    let found = json!({"action_timestamp": now() * 1_000_000, "location": "Reno, Nevada", "previous_ua": "",
                       "previous_ip_address": "", "reason": ["unexpected_scraping"], "scraping_tool": "Go-based tool"});
    live.find("U1", found.clone());
    running.running_until("Slack to be told to end the sessions", || !receiver.calls_of("U1").is_empty());
    live.find("U1", found);
    live.find("U2", json!({"reason": ["session_fingerprint"]}));
    live.find("U3", json!({"reason": ["tor"], "action_timestamp": (now() - 4_000) * 1_000_000}));
    live.applied(&mut running);
    let ended = running.terminate().done();
    let totals = ended.totals();
    totals.assert_conserved();
    let counts = ["applied", "too_late", "rejected"].map(|name| totals.of(name));
    assert_eq!(counts, [live.shown as u64, 0, 0], "{totals:?}");

    let decided: BTreeSet<_> = live
        .decided()
        .iter()
        .map(|line| (line["user"].as_str().unwrap().to_owned(), line["decision"].as_str().unwrap().to_owned()))
        .collect();
    let expected = [("U1", "already_answered"), ("U1", "responded"), ("U2", "disabled")];
    assert!(decided.iter().map(|(user, decision)| (user.as_str(), decision.as_str())).eq(expected), "{decided:?}");
    assert_eq!(receiver.calls().len(), 1);
    assert_eq!(receiver.calls()[0].header("authorization"), format!("Bearer {ADMIN_TOKEN}"));
    let outputs = Outputs::of(&live.data_dir);
    let entry = outputs.audit.iter().find(|line| line.contains("scraping_tool")).expect("there is an anomaly entry");
    assert!(entry.contains("\"location\":\"Reno, Nevada\"") && entry.contains("\"metric\":\"imported\""), "{entry}");

    let heads = slack.asked();
    let shows = |head: &String| head.to_lowercase().contains(&format!("authorization: bearer {AUDIT_TOKEN}"));
    assert!(heads.iter().all(shows), "{:?}", heads.iter().find(|head| !shows(head)));
    for text in [&ended.stderr, &page] {
        assert!(!text.contains("hunter"), "{text}");
    }
    assert!(!std::fs::read_to_string(live.place.path("job.toml")).unwrap().contains("hunter"));
}
