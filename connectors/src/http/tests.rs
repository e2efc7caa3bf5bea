//! Tests of `http`, against a server that answers as it is told.

use super::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

const BOUNDS: Bounds = Bounds { bytes_max: 1_000, timeout: Duration::from_millis(500), redirects_max: 3 };

/// A server that answers each path as `answers` says, until the test ends, and hangs after an answer without an end.
fn serve(answers: impl Fn(&str) -> String + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            assert!(!head.to_lowercase().contains("referer"), "{head}");
            // Who was told too much hangs up.
            let _ = stream.write_all(answers(head.split(' ').nth(1).unwrap()).as_bytes());
            open.push(stream);
        }
    });
    address
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn moved(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
}

fn fetch(url: &str) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let fetched = runtime.block_on(Fetcher::new(url, HeaderMap::new(), BOUNDS).unwrap().fetch());
    fetched.map(|bytes| String::from_utf8(bytes).unwrap()).map_err(|error| error.to_string())
}

#[test]
fn an_answer_comes_whole_within_its_bounds() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let address = serve(move |path| match path {
        "/list" => ok("one\ntwo\n"),
        "/full" => ok(&"x".repeat(1_000)),
        "/pieces" => format!("{chunked}2\r\non\r\n2\r\ne\n\r\n0\r\n\r\n"),
        "/large" => ok(&"x".repeat(1_001)),
        "/larger" => format!("{chunked}200\r\n{}\r\n1f4\r\n{}\r\n0\r\n\r\n", "y".repeat(512), "z".repeat(500)),
        "/cut" => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\none".to_owned(),
        "/mute" => String::new(),
        "/gone" => "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope".to_owned(),
        "/part" => "HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\n\r\n1".to_owned(),
        "/garbage" => "SSH-2.0-OpenSSH\r\n\r\n".to_owned(),
        _ => panic!("{path}"),
    });
    let get = |path: &str| fetch(&format!("http://{address}{path}"));
    assert_eq!(get("/list").unwrap(), "one\ntwo\n");
    assert_eq!(get("/full").unwrap().len(), 1_000);
    assert_eq!(get("/pieces").unwrap(), "one\n");
    for (path, why) in [
        ("/large", "more than 1000 bytes"),
        ("/larger", "more than 1000 bytes"),
        ("/cut", "timed out"),
        ("/mute", "timed out"),
        ("/gone", "404"),
        ("/part", "206"),
        ("/garbage", "HTTP"),
    ] {
        let error = get(path).expect_err(path);
        assert!(error.contains(why), "{path}: {error}");
    }
}

#[test]
fn redirects_are_followed_three_times_and_nowhere_else() {
    let address = serve(|path| match path.split_once("/hop").map(|(_, hops)| hops.parse::<u32>().unwrap()) {
        Some(0) => ok("there"),
        Some(hops) => moved(&format!("/hop{}", hops - 1)),
        None if path == "/file" => moved("file:///etc/passwd"),
        None => moved("ftp://127.0.0.1/list"),
    });
    let get = |path: &str| fetch(&format!("http://{address}{path}"));
    assert_eq!(get("/hop3").unwrap(), "there");
    assert!(get("/hop4").unwrap_err().contains("more than 3 redirects"));
    for (path, why) in [("/file", "302"), ("/ftp", "away from http")] {
        let error = get(path).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_redirect_leads_to_no_address_of_the_own_network() {
    let inside = serve(|_| ok("metadata"));
    let port = inside.port();
    let address = serve(move |path| match path {
        "/literal" => moved(&format!("http://127.0.0.2:{port}/")),
        "/mapped" => moved(&format!("http://[::ffff:127.0.0.1]:{port}/")),
        "/metadata" => moved("http://169.254.169.254/latest/meta-data/"),
        "/name" => moved(&format!("http://localhost:{port}/")),
        // The host that a job has named stays allowed.
        _ => moved(&format!("http://127.0.0.1:{port}/")),
    });
    let get = |path: &str| fetch(&format!("http://{address}{path}"));
    for path in ["/literal", "/mapped", "/metadata", "/name"] {
        let error = get(path).expect_err(path);
        assert!(error.contains("is of this machine") || error.contains("that nothing may be sent to"), "{error}");
    }
    assert_eq!(get("/own").unwrap(), "metadata");
    assert_eq!(fetch(&format!("http://localhost:{port}/")).unwrap(), "metadata");
}

#[test]
fn nothing_that_is_said_names_the_url() {
    let address = serve(|path| match path.starts_with("/away") {
        true => moved("ftp://hunter2/hunter2"),
        false => "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_owned(),
    });
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for place in [format!("{address}"), format!("{address}/away"), format!("{free}"), "[::1]:1".to_owned()] {
        let error = fetch(&format!("http://{place}/hunter2?key=hunter2")).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
    for url in ["ftp://127.0.0.1/hunter2", "hunter2", "file:///hunter2", "http://", ""] {
        let error = Fetcher::new(url, HeaderMap::new(), BOUNDS).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_server_without_a_trusted_certificate_is_not_spoken_to() {
    let address = serve(|path| panic!("{path} was asked for in the clear"));
    let error = fetch(&format!("https://{address}/list")).unwrap_err();
    assert!(error.contains("error sending request"), "{error}");
}
