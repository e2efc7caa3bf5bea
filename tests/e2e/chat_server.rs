//! A chat server for tests that answers as Slack's Web API does, until its script has it do otherwise. Owned here: the
//! server. Not owned here: what is asserted of it.

use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What the server does at the next message, instead of taking it and saying so.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Answers with this status, these header lines and this body, and does not take the message.
    Answer(u16, &'static str, String),
    /// Takes the message and closes the connection.
    TakeAndDrop,
    /// Takes the message and says nothing until the client has gone.
    TakeAndHang,
}

#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<Deed>>,
    messages: Mutex<Vec<Value>>,
    calls: Mutex<Vec<String>>,
    authorization: Mutex<Vec<String>>,
}

/// A running server; it runs as long as the process.
#[derive(Clone)]
pub struct ChatServer {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl ChatServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it has an address");
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let own = own.clone();
                // Who has gone does not listen.
                std::thread::spawn(move || drop(talk(stream, &own)));
            }
        });
        ChatServer { address, shared }
    }

    /// At the next message the server does this.
    pub fn then(&self, deed: Deed) {
        self.shared.script.lock().expect("nobody panicked").push_back(deed);
    }

    /// Every message that was taken.
    pub fn messages(&self) -> Vec<Value> {
        self.shared.messages.lock().expect("nobody panicked").clone()
    }

    /// The method of every call.
    pub fn calls(&self) -> Vec<String> {
        self.shared.calls.lock().expect("nobody panicked").clone()
    }

    /// Who every call said it was by.
    pub fn authorization(&self) -> Vec<String> {
        self.shared.authorization.lock().expect("nobody panicked").clone()
    }
}

fn talk(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut head, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let lower = line.trim().to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length is a number");
        }
        if let Some(value) = line.trim().strip_prefix("authorization:") {
            shared.authorization.lock().expect("nobody panicked").push(value.trim().to_owned());
        }
        if lower.is_empty() {
            break;
        }
        head.push(line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).expect("bodies are UTF-8");
    let path = head[0].split(' ').nth(1).unwrap_or_default();
    let method = path.rsplit('/').next().unwrap_or_default().to_owned();
    shared.calls.lock().expect("nobody panicked").push(method.clone());
    let said = match method.as_str() {
        "conversations.open" => {
            let account = serde_json::from_str::<Value>(&body).expect("JSON")["users"].clone();
            json!({"ok": true, "channel": {"id": format!("D-{}", account.as_str().expect("an account"))}})
        }
        "conversations.history" => {
            let channel = body.split('&').find_map(|pair| pair.strip_prefix("channel=")).unwrap_or_default().to_owned();
            let all = shared.messages.lock().expect("nobody panicked").clone();
            json!({"ok": true, "messages": all.into_iter().filter(|one| one["channel"] == channel).collect::<Vec<_>>()})
        }
        "chat.postMessage" => {
            let deed = shared.script.lock().expect("nobody panicked").pop_front();
            if let Some(Deed::Answer(status, headers, body)) = deed {
                return answer(&stream, status, headers, &body);
            }
            let message = serde_json::from_str(&body).expect("JSON");
            shared.messages.lock().expect("nobody panicked").push(message);
            match deed {
                Some(Deed::TakeAndDrop) => return Ok(()),
                Some(Deed::TakeAndHang) => {
                    while reader.read(&mut [0; 64])? > 0 {}
                    return Ok(());
                }
                _ => json!({"ok": true, "ts": "1.0"}),
            }
        }
        _ => json!({"ok": false, "error": "unknown_method"}),
    };
    answer(&stream, 200, "", &said.to_string())
}

fn answer(mut stream: &TcpStream, status: u16, headers: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(stream, "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
}
