//! Tests of `post`, against a server that answers as it is told.

use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};

const TIMEOUT: Duration = Duration::from_millis(500);

/// A server that has each connection answered by `answer`, which is given what was asked for, until the test ends.
fn serve(answer: impl Fn(&str, TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
                    head.push(byte[0]);
                }
                answer(&String::from_utf8_lossy(&head), stream);
            });
        }
    });
    address
}

/// Says `text` and keeps the connection until the other side has had enough.
fn say(mut stream: TcpStream, text: &str) {
    // Who was told too much hangs up.
    let _ = stream.write_all(text.as_bytes());
    while stream.read(&mut [0; 1_024]).is_ok_and(|read| read > 0) {}
}

/// Says `text` again and again, as long as somebody listens.
fn repeat(mut stream: TcpStream, head: &str, text: &str) {
    let _ = stream.write_all(head.as_bytes());
    while stream.write_all(text.as_bytes()).is_ok() {}
}

fn hosts(names: &[&str]) -> PrivateHosts {
    PrivateHosts::new(names.iter().map(|name| (*name).to_owned()))
}

fn to(url: &str) -> Destination {
    Destination::parse(url, &hosts(&["127.0.0.1", "localhost", "receiver.test"])).unwrap()
}

fn post_with(look_up: LookUp, to: &Destination) -> Result<Reply, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let poster = Poster::that_looks_up(look_up, to, HeaderMap::new(), TIMEOUT).unwrap();
    runtime.block_on(poster.post(HeaderMap::new(), "body".to_owned()))
}

fn post(url: &str) -> Result<Reply, Failure> {
    post_with(look_up, &to(url))
}

#[test]
fn a_destination_lies_outside_unless_its_host_is_allowed() {
    let allowed = hosts(&["127.0.0.1", "::1", "10.1.2.3", "receiver.internal", "169.254.169.254", "8.8.8.8"]);
    let parse = |url: &str| Destination::parse(url, &allowed);
    for url in [
        "https://receiver.example",
        "https://receiver.example:8443/path?query",
        "HTTPS://Receiver.Example./",
        "https://receiver.internal:9000/",
        "http://receiver.internal/",
        "http://RECEIVER.internal./",
        "http://127.0.0.1:1234/",
        "http://[::1]:1/",
        "https://10.1.2.3/",
        "https://8.8.8.8/",
    ] {
        assert!(parse(url).is_ok(), "{url}: {:?}", parse(url));
    }
    for (url, rule) in [
        ("receiver.example", "must be a URL"),
        ("http://receiver.example/", "must use https"),
        ("ftp://receiver.internal/", "must use https"),
        ("file:///etc/passwd", "must name a host"),
        ("https://receiver.example:22/", "port 443 or 8443"),
        ("https://me:hunter2@receiver.example/", "no name and no password"),
        ("https://me@receiver.internal/", "no name and no password"),
        ("https://receiver.example/#x", "no fragment"),
        ("https://10.0.0.1/", "not an address"),
        ("https://8.8.4.4/", "not an address"),
        // The same addresses as others write them.
        ("https://2130706432/", "not an address"),
        ("https://0x0a000001/", "not an address"),
        ("https://012.1/", "not an address"),
        ("https://[::ffff:10.0.0.1]/", "not an address"),
        ("https://[::ffff:127.0.0.1]/", "not an address"),
        ("https://[64:ff9b::a00:1]/", "not an address"),
        ("http://2130706433/", "must write its address as 127.0.0.1"),
        ("http://0x7f.0.0.1/", "must write its address as 127.0.0.1"),
        ("http://127.1/", "must write its address as 127.0.0.1"),
        ("http://[0:0:0:0:0:0:0:1]/", "must write its address as [::1]"),
        ("http://169.254.169.254/", "nothing may be sent to"),
        ("https://0xa9fea9fe/", "must write its address"),
    ] {
        let told = parse(url).expect_err(url);
        assert!(told.contains(rule) && !told.contains("hunter2"), "{url}: {told}");
    }
    assert_eq!(to("http://localhost/api").below("method").url.as_str(), "http://localhost/api/method");
    assert_eq!(to("http://localhost/api/").below("method").url.as_str(), "http://localhost/api/method");
}

#[test]
fn a_name_that_leads_inside_is_not_connected_to() {
    let outside = Destination::parse("https://receiver.example/", &PrivateHosts::default()).unwrap();
    let leads: [LookUp; 4] = [
        |_, port| Ok(vec![SocketAddr::new("1.1.1.1".parse().unwrap(), port), "10.0.0.1:0".parse().unwrap()]),
        |_, port| Ok(vec![SocketAddr::new("169.254.169.254".parse().unwrap(), port)]),
        |_, port| Ok(vec![SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), port)]),
        |_, port| Ok(vec![SocketAddr::new("127.0.0.1".parse().unwrap(), port)]),
    ];
    for look_up in leads {
        let failure = post_with(look_up, &outside).unwrap_err();
        assert!(matches!(&failure, Failure::NotSent(why) if why.contains("is")), "{failure:?}");
    }
    let local = Destination::parse("https://localhost/", &PrivateHosts::default()).unwrap();
    let failure = post_with(look_up, &local).unwrap_err();
    assert!(matches!(&failure, Failure::NotSent(why) if why.contains("of this machine")), "{failure:?}");
}

#[test]
fn the_address_that_was_looked_at_is_the_one_that_is_connected_to() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    // Whoever asks a second time is led elsewhere.
    let look_up: LookUp = |host, _| {
        assert_eq!(host, "receiver.test");
        match ASKED.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(vec!["127.0.0.1:0".parse().unwrap()]),
            _ => Err("asked twice".to_owned()),
        }
    };
    let address = serve(|head, stream| {
        assert!(head.starts_with("POST /in HTTP/1.1\r\n") && head.contains("receiver.test"), "{head}");
        say(stream, "HTTP/1.1 204 No Content\r\n\r\n");
    });
    let reply = post_with(look_up, &to(&format!("http://receiver.test:{}/in", address.port()))).unwrap();
    assert_eq!((reply.status, ASKED.load(Ordering::SeqCst)), (204, 1));
}

#[test]
fn an_answer_is_a_status_and_a_body_that_may_be_missing() {
    let address = serve(|head, stream| match head.split(' ').nth(1).unwrap() {
        "/ok" => say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
        "/wait" => say(stream, "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"),
        "/late" => {
            say(stream, "HTTP/1.1 503 No\r\nRetry-After: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n")
        }
        "/odd" => say(stream, "HTTP/1.1 503 No\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n"),
        "/moved" => say(stream, "HTTP/1.1 307 Away\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n"),
        "/large" => say(stream, &format!("HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n{}", "x".repeat(70_000))),
        "/endless" => repeat(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\nabc\r\n"),
        "/slow" => say(stream, "HTTP/1.1 202 OK\r\nContent-Length: 20\r\n\r\n{"),
        "/cut" => drop(stream.try_clone().map(|mut s| s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"))),
        path => panic!("{path}"),
    });
    let get =
        |path: &str| post(&format!("http://{address}{path}")).unwrap_or_else(|failure| panic!("{path} {failure:?}"));
    assert_eq!(get("/ok"), Reply { status: 200, retry_after: None, body: Ok(b"{}".to_vec()) });
    for (path, status, seconds) in
        [("/wait", 429, Some(7)), ("/late", 503, Some(0)), ("/odd", 503, None), ("/moved", 307, None)]
    {
        let reply = get(path);
        assert_eq!((reply.status, reply.retry_after.map(|wait| wait.as_secs())), (status, seconds), "{path}");
    }
    for (path, status, why) in [
        ("/large", 200, "more than 65536 bytes"),
        ("/endless", 200, "more than 65536 bytes"),
        ("/slow", 202, "timed out"),
        ("/cut", 200, "body"),
    ] {
        let reply = get(path);
        let told = reply.body.expect_err(path);
        assert!(reply.status == status && told.contains(why), "{path}: {told}");
    }
}

#[test]
fn it_is_known_whether_a_request_may_have_arrived() {
    let address = serve(|head, stream| match head.split(' ').nth(1).unwrap() {
        "/mute" => say(stream, ""),
        // What was not read when the connection goes is a reset.
        "/reset" => drop(stream),
        "/garbage" => say(stream, "SSH-2.0-OpenSSH\r\n\r\n"),
        "/headers" => repeat(stream, "HTTP/1.1 200 OK\r\n", "X: abcdefgh\r\n"),
        "/line" => repeat(stream, "HTTP/1.1 200 OK\r\nX: ", "abcdefgh"),
        path => panic!("{path}"),
    });
    for path in ["/mute", "/reset", "/garbage", "/headers", "/line"] {
        let failure = post(&format!("http://{address}{path}?key=hunter2")).unwrap_err();
        assert!(matches!(&failure, Failure::NoAnswer(why) if !why.contains("hunter2")), "{path}: {failure:?}");
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // Nobody there, nobody who speaks TLS, no such name.
    for url in [format!("http://{free}/hunter2"), format!("https://{address}/hunter2")] {
        let failure = post(&url).unwrap_err();
        assert!(matches!(&failure, Failure::NotSent(why) if !why.contains("hunter2")), "{url}: {failure:?}");
    }
    let nowhere: LookUp = |_, _| Err("no such name".to_owned());
    let failure = post_with(nowhere, &to("http://receiver.test/hunter2")).unwrap_err();
    assert!(matches!(&failure, Failure::NotSent(why) if why.contains("no such name")), "{failure:?}");
}

#[test]
fn a_wait_is_a_number_of_seconds_or_a_date() {
    assert_eq!(wait(" 30 "), Some(Duration::from_secs(30)));
    let future = |secs| httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(secs));
    let waits = wait(&future(600)).unwrap().as_secs();
    assert!((590..=600).contains(&waits), "{waits}");
    for long in ["901", "31536000", "99999999999", "99999999999999999999999", &future(365 * 86_400)] {
        assert_eq!(wait(long), Some(Duration::from_secs(900)), "{long}");
    }
    for bad in ["", "-1", "1.5", "tomorrow"] {
        assert_eq!(wait(bad), None, "{bad}");
    }
}
