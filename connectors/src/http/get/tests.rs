//! Tests of `get`, against the server of `post`'s.

use super::super::Lost;
use super::super::post::tests::{repeat, say, serve, to};
use super::*;
use std::net::SocketAddr;

const BOUNDS: Bounds =
    Bounds { bytes_max: 1_000, idle: Duration::from_millis(300), timeout: Duration::from_millis(900) };

fn get_with(look_up: LookUp, url: &str, query: &[(&str, &str)]) -> Result<Got, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let getter = Getter::that_looks_up(look_up, &to(url), HeaderMap::new(), BOUNDS).unwrap();
    runtime.block_on(getter.get(query))
}

fn get(url: &str) -> Result<Got, Failure> {
    get_with(look_up, url, &[])
}

#[test]
fn an_answer_comes_whole_within_its_bounds_of_size_and_time() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let address = serve(move |head, stream| match head.split(' ').nth(1).unwrap() {
        "/ask?a=1%262&b=x+y%2F%C3%A4" => say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        "/full?" => say(stream, &format!("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}", "x".repeat(1_000))),
        "/large?" => say(stream, &format!("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n{}", "x".repeat(1_001))),
        "/later?" => say(stream, "HTTP/1.1 429 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"),
        "/moved?" => say(stream, "HTTP/1.1 302 No\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
        "/endless?" => repeat(stream, chunked, "3\r\nabc\r\n"),
        "/hanging?" => say(stream, &format!("{chunked}3\r\nabc\r\n")),
        "/cut?" => drop(stream),
        "/mute?" => say(stream, ""),
        path => panic!("{path}"),
    });
    let url = |path: &str| format!("http://{address}{path}");
    let asked = get_with(look_up, &url("/ask"), &[("a", "1&2"), ("b", "x y/ä")]).unwrap();
    assert_eq!(asked, Got { status: 200, retry_after: None, body: Ok(b"ok".to_vec()) });
    assert_eq!(get(&url("/full")).unwrap().body.map(|body| body.len()), Ok(1_000));
    for path in ["/large", "/endless"] {
        assert_eq!(get(&url(path)).unwrap().body, Err(Lost::TooLarge), "{path}");
    }
    let later = get(&url("/later")).unwrap();
    assert_eq!((later.status, later.retry_after), (429, Some(Duration::from_secs(7))));
    assert_eq!(get(&url("/moved")).unwrap().status, 302, "nobody goes where it leads");
    let hanging = get(&url("/hanging")).unwrap().body;
    assert!(matches!(&hanging, Err(Lost::Broken(why)) if why.contains("timed out")), "{hanging:?}");
    for path in ["/cut", "/mute"] {
        assert!(matches!(get(&url(path)), Err(Failure::NoAnswer(_))), "{path}");
    }
}

#[test]
fn a_body_that_trickles_has_an_end_in_time() {
    let address = serve(|_, mut stream| {
        let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n");
        while std::io::Write::write_all(&mut stream, b"x").is_ok() {
            std::thread::park_timeout(Duration::from_millis(50));
        }
    });
    let trickling = get(&format!("http://{address}/")).unwrap().body;
    assert!(matches!(&trickling, Err(Lost::Broken(why)) if why.contains("timed out")), "{trickling:?}");
}

#[test]
fn a_name_with_an_address_of_this_machine_is_not_connected_to_and_nothing_names_the_url() {
    let inward: LookUp = |_, _| Ok(vec![SocketAddr::from(([127, 0, 0, 1], 80))]);
    let destination = Destination::parse("https://log.example/hunter2", &Default::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let getter = Getter::that_looks_up(inward, &destination, HeaderMap::new(), BOUNDS).unwrap();
    let Err(Failure::NotSent(why)) = runtime.block_on(getter.get(&[("cursor", "hunter2")])) else { panic!("it went") };
    assert!(why.contains("this machine") && !why.contains("hunter2"), "{why}");
}
