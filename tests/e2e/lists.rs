//! The promise: a job that follows its sources can fetch the list of exits. A list holds from when it came in, outlasts
//! whatever is no list and a crash, and the replay finds it at the same time.

use crate::inputs::{EXIT, Event};
use crate::outputs::{Outputs, lines_so_far, snapshots};
use crate::support::{Place, Running, aerie, get, metric};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// An address of another list.
const OTHER: &str = "185.220.101.99";

/// Status and body of an answer.
type Answer = Arc<Mutex<(u16, String)>>;

/// A server that gives every request the present answer, as long as the test runs.
fn serve(answer: Answer) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it has an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
                head.push(byte[0]);
            }
            let (status, body) = answer.lock().expect("nobody panicked").clone();
            let length = body.len();
            let text = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
            // Who was killed does not listen.
            let _ = stream.write_all(text.as_bytes());
        }
    });
    address
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs_f64()
}

/// The file that is followed, and what was decided.
struct Live {
    input: PathBuf,
    data_dir: PathBuf,
    events: usize,
}

impl Live {
    /// One user's first event, from this address, `ago` seconds ago.
    fn event(&mut self, ip: &str, ago: f64) {
        self.events += 1;
        let (id, user) = (format!("e{}", self.events), format!("U{}", self.events));
        let event = Event::new(&id, 0).user(&user).session(&id).ip(ip).set("/date_create", json!(now() - ago));
        let mut file = OpenOptions::new().append(true).open(&self.input).expect("the input is there");
        writeln!(file, "{}", event.line()).expect("the input can be appended to");
    }

    /// An event from this address now, which is answered.
    fn answered(&mut self, running: &mut Running, ip: &str) {
        self.event(ip, 0.0);
        let session = format!("e{}", self.events);
        let decisions = self.data_dir.join("decisions.ndjson");
        running.running_until("the answer to an exit on the list", || {
            sessions(&lines_so_far(&decisions)).contains(&session)
        });
    }
}

fn sessions(lines: &[String]) -> Vec<String> {
    let value = |line: &String| serde_json::from_str::<Value>(line).expect("a line is JSON");
    lines.iter().map(|line| value(line)["session_id"].as_str().expect("a session").to_owned()).collect()
}

fn figure(address: SocketAddr, series: &str) -> u64 {
    metric(&get(address, "/metrics").1, series).unwrap_or_default()
}

fn fetched(address: SocketAddr, outcome: &str) -> u64 {
    figure(address, &format!("aerie_threat_list_fetches_total{{list=\"tor_exit\",outcome=\"{outcome}\"}}"))
}

/// Waits until a list is in force that came in after `since`; when that was.
fn in_force(running: &mut Running, address: SocketAddr, since: u64) -> u64 {
    let replaced = || figure(address, "aerie_threat_list_replaced_timestamp_seconds{list=\"tor_exit\"}");
    running.running_until("a list to be in force", || replaced() > since);
    replaced()
}

fn replayed(data_dir: &Path, from: &str) -> Value {
    let dir = data_dir.display().to_string();
    aerie(&["replay", "--json", "--data-dir", &dir, "--from", from, "--workers", "2"]).done().json()
}

#[test]
fn a_fetched_list_holds_from_when_it_came_and_outlasts_failures_and_a_crash() {
    let place = Place::new();
    let answer: Answer = Arc::new(Mutex::new((200, format!("{EXIT}\n192.0.2.1\n192.0.2.2\n"))));
    let server = serve(answer.clone());
    let set = |status: u16, body: &str| *answer.lock().expect("nobody panicked") = (status, body.to_owned());
    let lists = format!("[threat_lists]\ntor_exit = \"http://{server}/list?key=hunter2\"\nevery = \"1s\"");
    let input = place.write("events", "");
    let source = "follow = true\nmax_delay = \"200ms\"\nmax_disorder = \"1s\"";
    let config = place.config("data", std::slice::from_ref(&input), source, &lists);
    let settings = "snapshot_every = \"100ms\"\nsnapshots_kept = 1000";
    let config = config.settings(settings);
    let mut live = Live { input, data_dir: config.data_dir.clone(), events: 0 };
    // Before the list came in, its addresses are like any.
    live.event(EXIT, 4.0);
    live.event(EXIT, 3.0);

    let mut running = config.start();
    let address = running.address();
    let first = in_force(&mut running, address, 0);
    live.answered(&mut running, EXIT);
    running.running_until("the same list again", || fetched(address, "unchanged") > 0);
    for (status, body, outcome) in
        [(200, "<html>\n", "refused"), (200, "192.0.2.1\n", "refused"), (503, "192.0.2.9\n", "failed")]
    {
        let before = fetched(address, outcome);
        set(status, body);
        running.running_until("an answer that is no list", || fetched(address, outcome) > before);
    }
    live.answered(&mut running, EXIT);
    set(
        200,
        &format!("ExitNode 00AA\nExitAddress {OTHER} 2026-02-25 12:31:00\nExitAddress 192.0.2.1 2026-02-25 1:2:3"),
    );
    let second = in_force(&mut running, address, first);
    live.event(EXIT, 0.0);
    live.answered(&mut running, OTHER);
    assert_eq!((fetched(address, "replaced"), figure(address, "aerie_generation")), (2, 1));
    assert!(running.kill(), "it was running");

    // The list comes in at one process and holds in both.
    set(500, "");
    let mut running = config.settings(&format!("workers = 1\nprocesses = 2\n{settings}")).start();
    let address = running.address();
    live.answered(&mut running, OTHER);
    running.running_until("an attempt", || fetched(address, "failed") > 0);
    assert_eq!(in_force(&mut running, address, 0), second, "the list was kept with its time");
    set(200, &format!("{EXIT}\n192.0.2.1\n"));
    in_force(&mut running, address, second);
    live.answered(&mut running, EXIT);
    live.answered(&mut running, EXIT);
    set(500, "");
    let before = fetched(address, "failed");
    running.running_until("another attempt", || fetched(address, "failed") > before);
    let ended = running.terminate().done();
    ended.totals().assert_conserved();
    assert!(ended.stderr.contains("127.0.0.1: the answer is 500"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);

    let decided = Outputs::of(&live.data_dir).decisions;
    let lines: Vec<String> = decided.lines().map(str::to_owned).collect();
    assert_eq!(sessions(&lines), ["e3", "e4", "e6", "e7", "e8", "e9"], "{decided}");
    let from = snapshots(&live.data_dir)[0].to_string();
    let report = replayed(&live.data_dir, &from);
    assert_eq!((&report["differing"], &report["compared"]["decisions"]), (&json!(0), &json!(6)), "{report}");
}
