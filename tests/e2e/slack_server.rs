//! Slack's Audit Logs API, played: pages of a log that grows, newest first, with the quirks and mishaps that a test asks
//! for. Owned here: speaking it, well and badly. Not owned here: what a job makes of it.

use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

/// What is done with one request in place of an answer.
#[derive(Clone, Debug)]
pub enum Mishap {
    /// This status with these header lines and this body.
    Say(u16, &'static str, String),
    /// All cursors are good no more: the next request that shows one is told so.
    Expire,
    /// Nothing, and the connection stays.
    Hang,
}

/// A log, for as long as the test runs.
#[derive(Clone)]
pub struct Slack {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    entries: Vec<Value>,
    mishaps: VecDeque<Mishap>,
    /// The heads of all requests.
    asked: Vec<String>,
    hanging: usize,
}

/// Entries of a page; Slack may give fewer than it is asked for.
const PAGE: usize = 3;

impl Slack {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let slack = Slack { address: listener.local_addr().expect("it has an address"), state: Arc::default() };
        let state = slack.state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = state.clone();
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        slack
    }

    /// These entries show up now, whatever their dates.
    pub fn show(&self, lines: impl IntoIterator<Item = String>) {
        let entries = lines.into_iter().map(|line| serde_json::from_str(&line).expect("an entry is JSON"));
        self.state().entries.extend(entries);
    }

    /// The next requests meet these mishaps, one each.
    pub fn plan(&self, mishaps: impl IntoIterator<Item = Mishap>) {
        self.state().mishaps.extend(mishaps);
    }

    /// Whether all mishaps have happened.
    pub fn is_calm(&self) -> bool {
        self.state().mishaps.is_empty()
    }

    /// How many requests hang or have hung.
    pub fn hanging(&self) -> usize {
        self.state().hanging
    }

    /// The heads of all requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panicked")
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            // Who was killed says no more.
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let (status, headers, body) = {
        let mut state = state.lock().expect("nobody panicked");
        state.asked.push(head.clone());
        let due = match state.mishaps.front() {
            Some(Mishap::Expire) if !head.contains("cursor=") => None,
            Some(_) => state.mishaps.pop_front(),
            None => None,
        };
        match due {
            None => (200, "", page(&state.entries, &head)),
            Some(Mishap::Say(status, headers, body)) => (status, headers, body),
            Some(Mishap::Expire) => (400, "", json!({"ok": false, "error": "invalid_cursor"}).to_string()),
            Some(Mishap::Hang) => {
                state.hanging += 1;
                drop(state);
                while stream.read(&mut byte).is_ok_and(|read| read > 0) {}
                return;
            }
        }
    };
    let length = body.len();
    let text = format!("HTTP/1.1 {status} X\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    // Whoever had enough hangs up, and then nothing can be said to them.
    let _ = stream.write_all(text.as_bytes());
}

/// The page that a request asks for. A cursor says how many entries and pages went before; every third page is empty. An
/// entry that shows up meanwhile moves the others, so that some come again.
fn page(entries: &[Value], head: &str) -> String {
    assert!(head.starts_with("GET /audit/v1/logs?"), "{head}");
    let query = head.split(['?', ' ']).nth(2).unwrap_or_default();
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let number = |name: &str| value(name).and_then(|value| value.parse::<u64>().ok());
    let (oldest, latest) = (number("oldest").unwrap_or(0), number("latest").unwrap_or(u64::MAX));
    assert!(number("limit").is_some_and(|limit| (1..=9_999).contains(&limit)), "{head}");
    let date = |entry: &Value| entry["date_create"].as_u64().expect("a date in seconds");
    let mut shown: Vec<_> = entries.iter().rev().filter(|entry| (oldest..=latest).contains(&date(entry))).collect();
    shown.sort_by_key(|entry| std::cmp::Reverse(date(entry)));
    let before = value("cursor").filter(|cursor| !cursor.is_empty()).map(|cursor| {
        let (skipped, pages) = cursor.split_once('-').expect("a cursor of this log");
        [skipped, pages].map(|number| number.parse::<usize>().expect("a number"))
    });
    let [skipped, pages] = before.unwrap_or_default();
    let count = if pages % 3 == 2 { 0 } else { PAGE };
    let page: Vec<_> = shown.iter().skip(skipped).take(count).collect();
    if skipped + count >= shown.len() {
        // The last page names no cursor, or an empty one.
        return match pages % 2 {
            0 => json!({ "entries": page }).to_string(),
            _ => json!({ "entries": page, "response_metadata": { "next_cursor": "" } }).to_string(),
        };
    }
    let cursor = format!("{}-{}", skipped + count, pages + 1);
    json!({ "entries": page, "response_metadata": { "next_cursor": cursor } }).to_string()
}
