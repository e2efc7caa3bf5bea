//! The promise: what is posted and answered with 200 comes to what a file comes to, once, through kills and repeats; nobody
//! says anything for an org that their token is not for; and nothing that is posted makes the job fall over or grow.

use crate::inputs::{EXIT, Event, control, office_hours, recently};
use crate::outputs::{Outputs, ledger, lines_so_far, same_lines, snapshots, values};
use crate::support::{Dice, Ended, PATIENCE, Place, Running, aerie, get, metric, peak_memory, start_in};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SEED: u64 = 62;
const SECS: u64 = 2_900;

/// Lines of a request.
const BATCH: usize = 60;

/// Who may post: everything; for one org only, and so on with an org that nobody else has.
const ALL: &str = "token-of-who-may-say-everything";
const ONE: &str = "token-of-who-may-speak-for-e1";

/// Hostile requests of every day, and of the whole test.
const HOSTILE: u64 = 2_000;
const ALL_HOSTILE: u64 = 100_000;

/// What a job may take while it is posted to: what it takes otherwise and the memory for bodies.
const MEMORY_MAX: u64 = 900 << 20;

/// A job that is posted to.
struct Ingest {
    data_dir: PathBuf,
    file: PathBuf,
}

impl Ingest {
    fn new(place: &Place, tokens: &str, source: &str) -> Self {
        let (data_dir, file) = (place.path("data"), place.path("data.toml"));
        let (tokens, tor) = (place.write("tokens", tokens), place.write("tor.txt", EXIT));
        let text = format!(
            "tor_list = {tor:?}\n[job]\ndata_dir = {data_dir:?}\nworkers = 2\nsnapshot_every = \"100ms\"\n[http]\n\
             listen = \"127.0.0.1:0\"\n[[source]]\nkind = \"http\"\nlisten = \"127.0.0.1:0\"\n\
             tokens_file = {tokens:?}\n{source}\n"
        );
        std::fs::write(&file, text).expect("a file can be written");
        Ingest { data_dir, file }
    }

    fn start(&self) -> Running {
        start_in(&["run", "--json", "--config", &self.file.display().to_string()], &self.data_dir, &[])
    }

    fn dead_letter(&self) -> Vec<Value> {
        values(&lines_so_far(&self.data_dir.join("dead_letter.ndjson")).join("\n"))
    }
}

fn both() -> String {
    format!("all {ALL} *\n# a comment\none {ONE} E1\n")
}

/// Where a job takes events, as it says.
fn intake(running: &mut Running) -> SocketAddr {
    let err = running.stderr_file();
    let said = || {
        let text = std::fs::read_to_string(&err).unwrap_or_default();
        let after = text.split("taking events on http://").nth(1)?;
        after.split('/').next()?.parse().ok()
    };
    running.running_until("where it takes events", || said().is_some());
    said().expect("it was there")
}

#[derive(Clone, Copy, Debug)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    fn of(self, body: &[u8]) -> (&'static str, Vec<u8>) {
        match self {
            Packing::Plain => ("", body.to_vec()),
            Packing::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(body).expect("memory takes everything");
                ("Content-Encoding: gzip\r\n", encoder.finish().expect("memory takes everything"))
            }
            Packing::Zstd => ("Content-Encoding: zstd\r\n", zstd::encode_all(body, 3).expect("it can be packed")),
        }
    }
}

/// What came back: status, head and body. None if the connection was lost.
type Answer = Option<(u16, String, String)>;

fn send(to: SocketAddr, path: &str, token: &str, headers: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(to).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n{headers}\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    // It may be refused before all of it is sent.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    answer(&mut stream)
}

fn answer(stream: &mut TcpStream) -> Answer {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, head.to_lowercase(), body.to_owned()))
}

fn events(to: SocketAddr, token: &str, lines: &[String], packing: Packing) -> Answer {
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let (headers, body) = packing.of(body.as_bytes());
    send(to, "/ingest/events", token, headers, &body)
}

/// Posts until it is accepted, through back-pressure.
#[track_caller]
fn accepted(to: SocketAddr, token: &str, lines: &[String], packing: Packing) {
    let begun = Instant::now();
    loop {
        match events(to, token, lines, packing) {
            Some((200, _, body)) => {
                assert_eq!(body, format!("{{\"accepted\":{}}}\n", lines.len()));
                return;
            }
            Some((429, ..)) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(20)),
            other => panic!("{other:?}"),
        }
    }
}

fn replayed(ingest: &Ingest) -> Ended {
    let dir = ingest.data_dir.display().to_string();
    let ids = snapshots(&ingest.data_dir);
    let first = ids.first().expect("there are snapshots").to_string();
    aerie(&["replay", "--data-dir", &dir, "--from", &first, "--json"])
}

#[test]
fn what_is_posted_comes_to_what_a_file_comes_to_through_kills_and_repeats() {
    let place = Place::new();
    let mut lines = office_hours(recently(), SECS, &mut Dice::new(SEED));
    // Behind the last decision, so that time passes it.
    lines.push(Event::new("last", recently() + SECS + 60).line());
    let input = place.write_lines("events.ndjson", &lines);
    let file = place.job("file", &[input]).tor_list(&place.write("tor.txt", EXIT));
    let totals = file.run();
    let expected = Outputs::of(&file.data_dir).decisions;
    let count = expected.lines().count();
    assert!(count > 10, "too little to compare");

    // One alone, and never idle: then time is a function of what is posted.
    let ingest = Ingest::new(&place, &format!("all {ALL} *\n"), "max_delay = \"1h\"");
    let mut running = ingest.start();
    let mut to = intake(&mut running);
    for (number, batch) in lines.chunks(BATCH).enumerate() {
        let packing = [Packing::Plain, Packing::Gzip, Packing::Zstd][number % 3];
        if number % 10 == 5 {
            // Whether it was taken before the kill nobody knows: it is posted once more.
            let posting = std::thread::spawn({
                let batch = batch.to_vec();
                move || drop(events(to, ALL, &batch, packing))
            });
            assert!(running.kill(), "it ended by itself");
            posting.join().expect("the poster does not panic");
            running = ingest.start();
            to = intake(&mut running);
        }
        accepted(to, ALL, batch, packing);
        if number % 7 == 0 {
            accepted(to, ALL, batch, packing);
        }
    }
    let decisions = ingest.data_dir.join("decisions.ndjson");
    running.running_until("all decisions", || lines_so_far(&decisions).len() >= count);
    let ended = running.terminate().done().totals();
    ended.assert_conserved();
    same_lines(&Outputs::of(&ingest.data_dir).decisions, &expected, "decisions over what was posted and over a file");
    // The last event lies beyond the last snapshot, since nothing came after it.
    assert_eq!(ended.of("applied") + 1, totals.of("applied"), "each once: {ended:?}");
    assert!(ended.of("duplicate") as usize >= BATCH, "{ended:?}");
    let report = replayed(&ingest).done().json();
    assert!(report["compared"]["decisions"].as_u64().is_some_and(|n| n as usize == count), "{report}");
}

#[test]
fn nobody_speaks_for_an_org_that_their_token_is_not_for() {
    let place = Place::new();
    let ingest = Ingest::new(&place, &both(), "max_delay = \"1s\"");
    let mut running = ingest.start();
    let (to, served) = (intake(&mut running), running.address());
    let now = recently();
    let of = |id: &str, org: &str| Event::new(id, now).org(org).line();
    accepted(to, ONE, &[of("a", "E1"), of("b", "E2"), "no event".to_owned()], Packing::Plain);
    running.running_until("the dead letter to have two", || ingest.dead_letter().len() == 2);
    let mut refused: Vec<_> =
        ingest.dead_letter().iter().map(|line| (line["source"].clone(), line["reason"].clone())).collect();
    refused.sort_by_key(|(_, reason)| reason.to_string());
    assert_eq!(refused, [(json!("http-one"), json!("not_json")), (json!("http-one"), json!("wrong_org"))]);

    let record = |org: &str, on: bool| control("control", org, "shadow", json!({ "on": on }), now);
    let post = |token: &str, body: &str| send(to, "/ingest/control", token, "", body.as_bytes()).expect("an answer");
    let (status, _, body) = post(ONE, &format!("{}\n{}\n", record("E1", true), record("E2", true)));
    assert!(status == 403 && body.contains("line 2") && body.contains("E2"), "{status} {body}");
    let (status, _, body) = post(ONE, &record("*", true));
    assert!(status == 403 && body.contains("line 1"), "{status} {body}");
    let (status, _, body) = post(ONE, &format!("{}\n{{\"kind\":\"settings\"}}\nnothing\n", record("E1", true)));
    assert!(status == 400 && body.contains("line:2") && body.contains("line:3"), "{status} {body}");
    let kept = || ledger(&ingest.data_dir).map_or(0, |store| store.control().expect("it can be read").len());
    assert_eq!(kept(), 0, "nothing was taken of any");
    let (status, _, body) = post(ONE, &format!("{}\r\n\n{}", record("E1", true), record("E1", false)));
    assert_eq!((status, body.as_str()), (200, "{\"accepted\":2}\n"));
    assert_eq!(kept(), 2, "they are kept once they are acknowledged");
    assert_eq!(post(ALL, &record("*", false)).0, 200);
    assert_eq!(post("token-of-somebody-or-nobody", "").0, 401);

    let page = get(served, "/metrics").1;
    let figure = |series: &str| metric(&page, series).unwrap_or_else(|| panic!("{series} in {page}"));
    assert_eq!(figure("aerie_ingest_lines_total{kind=\"events\"}"), 3);
    assert_eq!(figure("aerie_ingest_lines_total{kind=\"control\"}"), 3);
    assert_eq!(figure("aerie_ingest_requests_total{outcome=\"forbidden\"}"), 2);
    assert_eq!(figure("aerie_inbox_ahead_bytes{partition=\"http-one\"}"), 0);
    running.terminate().done().totals().assert_conserved();

    // A token may get another org; what was said before stays wrong, also in a replay.
    place.write("tokens", format!("one {ONE} E1 E2\nnew token-of-somebody-who-is-new E3\n"));
    let mut running = ingest.start();
    let to = intake(&mut running);
    accepted(to, ONE, &[of("c", "E2")], Packing::Plain);
    let ended = running.terminate().done().totals();
    assert_eq!((ended.of("rejected"), ingest.dead_letter().len()), (2, 2));
    replayed(&ingest).done();
    // Without the file there is nobody.
    place.write("tokens", "one short E1\n");
    ingest.start().wait().refused(2, &["tokens_file", "line 1: the token must have"]);
}

#[test]
fn what_the_job_does_not_get_to_is_not_taken() {
    let place = Place::new();
    // The other one is not idle, and holds the job at the beginning of time.
    let ingest = Ingest::new(&place, &both(), "max_delay = \"1h\"\nmax_ahead = \"8KiB\"");
    let mut running = ingest.start();
    let to = intake(&mut running);
    let now = recently();
    let lines: Vec<_> = (0..40).map(|n| Event::new(&format!("e{n}"), now + n).line()).collect();
    accepted(to, ALL, &lines, Packing::Plain);
    running.running_until("back-pressure", || {
        let (status, head, body) = events(to, ALL, &[], Packing::Plain).expect("an answer");
        assert!(status == 200 || head.contains("retry-after: 1") && body.contains("try again"), "{head}{body}");
        status == 429
    });
    assert_eq!(send(to, "/ingest/control", ALL, "", b"").expect("an answer").0, 200, "what an org sets is taken");
    // Two, since one alone might have a wrong clock.
    let others: Vec<_> = (40..42).map(|n| Event::new(&format!("o{n}"), now + n).line()).collect();
    accepted(to, ONE, &others, Packing::Plain);
    running.running_until("room again", || events(to, ALL, &[], Packing::Plain).is_some_and(|answer| answer.0 == 200));
    assert_eq!(running.terminate().done().totals().of("rejected"), 0);
}

/// Requests by turns, each with the status that it has to have.
fn hostile(number: u64, to: SocketAddr, bombs: &[Vec<u8>; 2]) -> (&'static str, u16, Answer) {
    let post = |token: &str, headers: &str, body: &[u8]| send(to, "/ingest/events", token, headers, body);
    let (gzip, zstd) = ("Content-Encoding: gzip\r\n", "Content-Encoding: zstd\r\n");
    let stranger = || Event::new(&format!("h{number}"), recently()).org("E9").line();
    match number % 10 {
        0 => ("a gzip bomb", 413, post(ALL, gzip, &bombs[0])),
        1 => ("a zstd bomb", 413, post(ALL, zstd, &bombs[1])),
        2 => ("no gzip", 400, post(ALL, gzip, b"\x1f\x8b\x08 and so on")),
        3 => ("a wrong token", 401, post(&format!("token-of-nobody-number-{number}"), "", b"{}\n")),
        4 => ("another org's event", 200, post(ONE, "", stranger().as_bytes())),
        5 => ("no event", 200, post(ONE, "", b"\xff\xfe\x00{[[[[\n")),
        6 => ("an unknown packing", 415, post(ALL, "Content-Encoding: deflate\r\n", b"x")),
        7 => ("another org's record", 403, {
            let record = control("settings", "E9", "aer", json!({}), recently());
            send(to, "/ingest/control", ONE, "", record.as_bytes())
        }),
        8 => ("no control record", 400, send(to, "/ingest/control", ALL, "", b"{\"kind\":\"settings\"")),
        _ => ("a body that is too large", 413, {
            let mut stream = TcpStream::connect(to).expect("it accepts connections");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
            let head = format!(
                "POST /ingest/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {ALL}\r\n\
                 Content-Length: {}\r\n\r\n",
                1u64 << 40
            );
            let _ = stream.write_all(head.as_bytes());
            answer(&mut stream)
        }),
    }
}

fn bombs() -> [Vec<u8>; 2] {
    let zeros = vec![0; 9 << 20];
    [Packing::Gzip.of(&zeros).1, Packing::Zstd.of(&zeros).1]
}

/// So many hostile requests over some connections at a time; then an honest one is taken as before.
fn withstands(count: u64, beside: impl FnOnce(SocketAddr)) {
    let place = Place::new();
    let ingest = Ingest::new(&place, &both(), "max_delay = \"1s\"");
    let mut running = ingest.start();
    let (to, served) = (intake(&mut running), running.address());
    let (next, bombs) = (AtomicU64::new(0), bombs());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let (what, status, answer) = hostile(number, to, &bombs);
                    let found = answer.as_ref().map(|(status, ..)| *status);
                    assert_eq!(found, Some(status), "request {number}, {what}: {answer:?}");
                }
            });
        }
        beside(to);
    });
    let peak = peak_memory(running.pid()).expect("it runs");
    println!("{count} hostile requests: peak memory {} MiB", peak >> 20);
    assert!(peak < MEMORY_MAX, "{peak} bytes");
    accepted(to, ONE, &[Event::new("honest", recently()).line()], Packing::Zstd);
    let each = count / 10;
    running.running_until("all to be read", || {
        metric(&get(served, "/metrics").1, "aerie_events_total{outcome=\"applied\"}") == Some(1)
            && metric(&get(served, "/metrics").1, "aerie_events_total{outcome=\"rejected\"}") == Some(2 * each)
    });
    let page = get(served, "/metrics").1;
    for (outcome, times) in
        [("too_large", 3), ("invalid", 2), ("unauthorized", 1), ("unsupported", 1), ("forbidden", 1)]
    {
        let series = format!("aerie_ingest_requests_total{{outcome=\"{outcome}\"}}");
        assert_eq!(metric(&page, &series), Some(times * each), "{series}");
    }
    let ended = running.terminate().done().totals();
    assert_eq!((ended.of("applied"), ended.of("rejected"), ended.of("anomalies")), (1, 2 * each, 0));
}

#[test]
fn hostile_requests_have_no_effect() {
    withstands(HOSTILE, |_| {});
}

/// With bodies and heads that do not come meanwhile. Takes minutes.
#[test]
#[ignore = "takes minutes"]
fn a_hundred_thousand_hostile_requests_have_no_effect() {
    withstands(ALL_HOSTILE, |to| {
        let begin = |text: &str| {
            let mut stream = TcpStream::connect(to).expect("it accepts connections");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
            stream.write_all(text.as_bytes()).expect("it listens");
            stream
        };
        let slow = format!(
            "POST /ingest/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALL}\r\nContent-Length: 100\r\n\r\n{{"
        );
        let bodies: Vec<_> = (0..90).map(|_| begin(&slow)).collect();
        let heads: Vec<_> = (0..100).map(|_| begin("POST /ingest/events HTTP/1.1\r\nHost: ")).collect();
        for mut stream in bodies {
            assert_eq!(answer(&mut stream).map(|(status, ..)| status), Some(408));
        }
        for mut stream in heads {
            assert!(answer(&mut stream).is_none_or(|(status, ..)| status == 408), "a head has its time");
        }
    });
}
