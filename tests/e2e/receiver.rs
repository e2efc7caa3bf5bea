//! A receiver that answers calls as it is told, by user and attempt, and keeps what it heard. Owned here: speaking just
//! enough HTTP, well and badly. Not owned here: what a job makes of it.

use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What a receiver does with a call.
#[derive(Clone)]
pub enum Act {
    /// Says this after `HTTP/1.1 `.
    Say(String),
    /// Says nothing and keeps the connection.
    Hang,
    /// Hangs up.
    Reset,
    /// Says 200 and goes on without end.
    Endless,
}

impl Act {
    /// A status and a body.
    pub fn answer(status: u16, headers: &str, body: &str) -> Act {
        Act::Say(format!("{status} X\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }
}

/// A call as it came in.
#[derive(Clone, Debug)]
pub struct Call {
    pub at: Instant,
    pub head: String,
    pub body: String,
}

impl Call {
    /// The value of a header.
    pub fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:")));
        line.and_then(|line| line.split_once(':')).unwrap_or_else(|| panic!("no {name} in {}", self.head)).1.trim()
    }

    /// The user that it is about.
    pub fn user(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body));
        let user = body["user"].as_str().or_else(|| body["user_id"].as_str());
        user.unwrap_or_else(|| panic!("no user in {body}")).to_owned()
    }
}

/// A receiver, for as long as the test runs.
#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Receiver {
    /// One that does with a user's n-th call, counted from 1, what `script` says.
    pub fn start(script: impl Fn(&str, usize) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let receiver = Receiver { address: listener.local_addr().expect("it has an address"), calls: Arc::default() };
        let (calls, script) = (receiver.calls.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (calls, script) = (calls.clone(), script.clone());
                std::thread::spawn(move || serve(stream, &calls, &*script));
            }
        });
        receiver
    }

    /// What it heard of a user, in order.
    pub fn calls_of(&self, user: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.user() == user).collect()
    }

    /// All that it heard.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("nobody panicked").clone()
    }
}

fn serve(mut stream: TcpStream, calls: &Mutex<Vec<Call>>, script: &dyn Fn(&str, usize) -> Act) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            // Who was killed says no more.
            _ => return,
        }
    }
    let mut call = Call { at: Instant::now(), head: String::from_utf8_lossy(&head).into_owned(), body: String::new() };
    let mut body = vec![0; call.header("content-length").parse().expect("a length")];
    if stream.read_exact(&mut body).is_err() {
        return;
    }
    call.body = String::from_utf8(body).expect("a body is text");
    let user = call.user();
    let nth = {
        let mut calls = calls.lock().expect("nobody panicked");
        calls.push(call);
        calls.iter().filter(|call| call.user() == user).count()
    };
    // Whoever had enough hangs up, and then nothing can be said to them.
    match script(&user, nth) {
        Act::Say(text) => drop(stream.write_all(format!("HTTP/1.1 {text}").as_bytes())),
        Act::Hang => while stream.read(&mut byte).is_ok_and(|read| read > 0) {},
        Act::Reset => drop(stream),
        Act::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while stream.write_all(b"3\r\nabc\r\n").is_ok() {}
        }
    }
}
