//! Requests over real connections, each with the answer that it has to have.

use super::body::{Budget, read};
use super::unpack::Packing;
use super::*;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Body, Frame};
use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

const TOKEN: &str = "a-token-of-twenty-four-ch";

/// Keeps what it takes.
#[derive(Default)]
struct Kept {
    bodies: Mutex<Vec<(usize, usize, Vec<u8>)>>,
    full: AtomicBool,
}

impl Taker for Kept {
    fn refuses(&self, path: usize, _bearer: usize) -> Option<Answer> {
        let full = path == 0 && self.full.load(Ordering::SeqCst);
        full.then(|| Answer::refused(Outcome::Busy, "full"))
    }

    fn take(&self, Posted { path, bearer, body }: Posted) -> Answer {
        match body.as_slice() {
            b"panic" => panic!("as asked for"),
            _ => {
                let lines = body.iter().filter(|byte| **byte == b'\n').count();
                self.bodies.lock().unwrap().push((path, bearer, body));
                Answer::accepted(lines as u64)
            }
        }
    }
}

fn start() -> (Serving, Arc<Kept>, Arc<Counts>) {
    let (taker, counts) = (Arc::<Kept>::default(), Arc::<Counts>::default());
    let mut tokens = Tokens::default();
    tokens.add(TOKEN, 1).unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let settings =
        Settings { listen, tokens, paths: &["/lines", "/words"], taker: taker.clone(), counts: counts.clone() };
    (serve(settings).unwrap(), taker, counts)
}

/// A request as it stands, on a connection of its own: status, and everything else of the answer.
fn send(serving: &Serving, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(serving.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = format!("{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    // It may be refused before all of it is sent.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no answer: {answer:?}")), answer)
}

fn post(serving: &Serving, more: &str, body: &[u8]) -> (u16, String) {
    send(serving, &format!("POST /lines HTTP/1.1\r\nAuthorization: Bearer {TOKEN}{more}"), body)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 19).unwrap()
}

/// Lines that compress as lines do.
fn lines(count: usize) -> Vec<u8> {
    (0..count).flat_map(|n| format!("{{\"id\":\"{:x}\",\"n\":{n}}}\n", n * 2_654_435_761).into_bytes()).collect()
}

const GZIP: &str = "\r\nContent-Encoding: gzip";
const ZSTD: &str = "\r\nContent-Encoding: zstd";

#[test]
fn a_body_is_taken_however_it_is_packed() {
    let (serving, kept, counts) = start();
    let body = lines(2_000);
    for (more, sent) in
        [("", body.clone()), (GZIP, gzip(&body)), (ZSTD, zstd(&body)), ("\r\nContent-Encoding: identity", body.clone())]
    {
        let (status, answer) = post(&serving, more, &sent);
        assert_eq!(status, 200, "{answer}");
        assert!(answer.contains("application/json") && answer.ends_with("{\"accepted\":2000}\n"), "{answer}");
        assert_eq!(kept.bodies.lock().unwrap().pop(), Some((0, 1, body.clone())));
    }
    let two = [gzip(b"a\n"), gzip(b"b\n")].concat();
    assert_eq!(post(&serving, GZIP, &two).0, 200, "members follow each other");
    let two = [zstd(b"a\n"), zstd(b"b\n")].concat();
    assert_eq!(post(&serving, ZSTD, &two).0, 200, "frames follow each other");
    assert!(kept.bodies.lock().unwrap().iter().all(|(_, _, body)| body == b"a\nb\n"));
    assert_eq!(post(&serving, "\r\nContent-Type: application/x-ndjson; charset=utf-8", b"").0, 200);
    let words = format!("POST /words?x HTTP/1.1\r\nauthorization: bearer {TOKEN}");
    assert_eq!(send(&serving, &words, b"w\n").0, 200);
    assert_eq!(kept.bodies.lock().unwrap().last().unwrap().0, 1);
    assert_eq!(counts.of(Outcome::Accepted), 8);
}

#[test]
fn each_wrong_request_has_its_own_answer_and_nothing_is_taken() {
    let (serving, kept, counts) = start();
    let bomb = vec![b'x'; 2 << 20];
    let large = vec![b'x'; BODY_BYTES_MAX + 1];
    let cut = |packed: Vec<u8>| packed[..packed.len() - 9].to_vec();
    let wide = {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&lines(100)).unwrap();
        encoder.finish().unwrap()
    };
    for (status, more, body) in [
        (413, "", large.as_slice()),
        (413, GZIP, &gzip(&bomb)),
        (413, ZSTD, &zstd(&bomb)),
        (413, GZIP, &gzip(&lines(350_000))),
        (413, ZSTD, &zstd::encode_all(&lines(350_000)[..], 1).unwrap()),
        (400, GZIP, b"this is no gzip"),
        (400, ZSTD, b"this is no zstd"),
        (400, GZIP, &cut(gzip(&lines(100)))),
        (400, ZSTD, &cut(zstd(&lines(100)))),
        (400, ZSTD, &wide),
        (400, GZIP, &[gzip(b"x"), b"more".to_vec()].concat()),
        (415, "\r\nContent-Encoding: br", b"x"),
        (415, "\r\nContent-Encoding: gzip, gzip", b"x"),
        (415, "\r\nContent-Encoding: gzip\r\nContent-Encoding: gzip", b"x"),
        (415, "\r\nContent-Type: application/x-www-form-urlencoded", b"x"),
    ] {
        let (found, answer) = post(&serving, more, body);
        assert_eq!(found, status, "{more}: {answer}");
        assert!(answer.contains("{\"error\":\""), "{answer}");
    }
    let head = |method: &str, path: &str, token: &str| format!("{method} {path} HTTP/1.1\r\nAuthorization: {token}");
    let bearer = format!("Bearer {TOKEN}");
    for (status, head, part) in [
        (401, head("POST", "/lines", "Bearer another-token-of-some-length"), "WWW-Authenticate: Bearer"),
        (401, head("POST", "/lines", &format!("Basic {TOKEN}")), "Bearer"),
        (401, "POST /lines HTTP/1.1".to_owned(), "token"),
        (404, head("POST", "/", &bearer), "/lines or /words"),
        (405, head("GET", "/lines", &bearer), "Allow: POST"),
    ] {
        let (found, answer) = send(&serving, &head, b"x");
        assert_eq!(found, status, "{answer}");
        assert!(answer.to_lowercase().contains(&part.to_lowercase()), "{part} in {answer}");
        assert!(!answer.contains(TOKEN));
    }
    kept.full.store(true, Ordering::SeqCst);
    let (status, answer) = post(&serving, "", b"x");
    assert!(status == 429 && answer.to_lowercase().contains("retry-after: 1"), "{answer}");
    kept.full.store(false, Ordering::SeqCst);
    let (status, answer) = post(&serving, "", b"panic");
    assert!(status == 503 && answer.contains("could not be handled"), "{answer}");
    assert!(kept.bodies.lock().unwrap().is_empty());
    assert_eq!([413, 400, 415].map(|_| counts.of(Outcome::Accepted)), [0; 3]);
    assert_eq!((counts.of(Outcome::TooLarge), counts.of(Outcome::Unauthorized)), (5, 3));
    assert_eq!(post(&serving, "", b"x\n").0, 200, "it goes on");
}

#[test]
fn heads_have_bounds_and_a_connection_serves_many_requests() {
    let (serving, _, _) = start();
    let wide = format!("\r\nX-Wide: {}", "x".repeat(HEAD_BYTES_MAX));
    let many: String = (0..=HEADERS_MAX).map(|n| format!("\r\nX-{n}: x")).collect();
    for more in [wide, many] {
        assert_eq!(post(&serving, &more, b"x").0, 431);
    }
    let mut stream = TcpStream::connect(serving.address).unwrap();
    for _ in 0..3 {
        let request =
            format!("POST /lines HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 2\r\n\r\nx\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"{\"accepted\":1}\n") {
            let mut byte = [0];
            assert_eq!(stream.read(&mut byte).unwrap(), 1);
            answer.extend(byte);
        }
    }
    drop(serving);
    let mut rest = Vec::new();
    assert_eq!(stream.read_to_end(&mut rest).unwrap(), 0, "the server has ended, and what was idle with it");
}

/// A body of some pieces, and then of silence or an end.
struct Slow {
    pieces: usize,
    ends: bool,
}

impl Body for Slow {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match (self.pieces, self.ends) {
            (0, true) => Poll::Ready(None),
            (0, false) => Poll::Pending,
            _ => {
                self.pieces -= 1;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'x'; 1 << 20])))))
            }
        }
    }
}

#[test]
fn a_body_has_its_time_and_all_bodies_have_one_budget() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let budget = Arc::<Budget>::default();
    let read = |pieces, ends| {
        let mut share = budget.share();
        let read = runtime.block_on(read(Slow { pieces, ends }, &mut share, Duration::from_millis(20)));
        (read.map(|body| body.len()).map_err(|refused| refused.outcome()), share)
    };
    assert_eq!(read(3, false).0, Err(Outcome::TimedOut));
    assert_eq!(read(11, true).0, Err(Outcome::TooLarge));
    assert_eq!(budget.taken(), 0, "all is given back");
    let mut held = Vec::new();
    let refused = loop {
        match read(8, true) {
            (Ok(bytes), share) => held.push((bytes, share)),
            (Err(outcome), _) => break outcome,
        }
    };
    assert_eq!((refused, held.len()), (Outcome::Busy, BODIES_BYTES_MAX / (8 << 20)));
    let mut share = budget.share();
    let packed = gzip(&vec![b'x'; 60_000]);
    let unpacked = Packing::Gzip.unpack(packed.clone(), &mut share).map_err(|refused| refused.outcome());
    assert_eq!(unpacked, Err(Outcome::Busy));
    held.clear();
    drop(share);
    assert_eq!(budget.taken(), 0);
    assert_eq!(Packing::Gzip.unpack(packed, &mut budget.share()).unwrap().len(), 60_000, "a small one has any ratio");
}
