//! A mail server for tests that speaks SMTP honestly, with STARTTLS, TLS and logins where it is given a certificate, until
//! its script has it do otherwise. Owned here: the server. Not owned here: what is asserted of it.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A point of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The connection is there.
    Greeting,
    /// EHLO.
    Hello,
    /// AUTH.
    Login,
    /// MAIL FROM.
    From,
    /// RCPT TO.
    To,
    /// DATA.
    Data,
    /// While the mail comes.
    Middle,
    /// After its last dot.
    End,
    /// NOOP, by which a client sees whether a connection that it kept is still there.
    Idle,
}

/// What the server does instead of going along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Answers with this line.
    Answer(String),
    /// Says nothing until the client has gone.
    Hang,
    /// Says a byte after the other, and never comes to an end.
    Drip,
    /// Closes the connection.
    Drop,
}

/// A mail whose last dot came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// As in MAIL FROM.
    pub from: String,
    /// As in RCPT TO.
    pub to: Vec<String>,
    /// As it was sent, dots undone.
    pub message: String,
    /// Whether it came encrypted.
    pub encrypted: bool,
    /// What AUTH PLAIN said.
    pub login: Option<String>,
    /// Whether the server has said that it takes it.
    pub taken: bool,
}

impl Received {
    /// The value of a header that stands on one line.
    pub fn header(&self, name: &str) -> String {
        let lines = self.message.replace("\r\n ", " ");
        let line = lines.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_default().to_owned()
    }
}

#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<(Stage, Deed)>>,
    received: Mutex<Vec<Received>>,
    connections: Mutex<u64>,
    said: Mutex<Vec<String>>,
    encrypted: Option<Arc<ServerConfig>>,
    from_the_start: bool,
}

/// A running server; it runs as long as the process.
#[derive(Clone)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    /// One that never encrypts.
    pub fn plain() -> Self {
        Server::start(Shared::default())
    }

    /// One with a certificate and its key in PEM, which encrypts when it is asked to, or from the start.
    pub fn encrypted(certificate: &Path, key: &Path, from_the_start: bool) -> Self {
        let chain =
            CertificateDer::pem_file_iter(certificate).expect("a file").map(|found| found.expect("a certificate"));
        let key = PrivateKeyDer::from_pem_file(key).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_no_client_auth().with_single_cert(chain.collect(), key);
        let encrypted = Some(Arc::new(config.expect("the key is that of the certificate")));
        Server::start(Shared { encrypted, from_the_start, ..Shared::default() })
    }

    fn start(shared: Shared) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it has an address");
        let shared = Arc::new(shared);
        let own = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                *own.connections.lock().expect("nobody panicked") += 1;
                let own = own.clone();
                // Who has gone does not listen.
                std::thread::spawn(move || drop(Talk::with(stream, &own)));
            }
        });
        Server { address, shared }
    }

    /// At the next time that a conversation comes to a stage, the server does this; deeds of one stage by turns.
    pub fn then(&self, stage: Stage, deed: Deed) {
        self.shared.script.lock().expect("nobody panicked").push_back((stage, deed));
    }

    /// Whether all that was to be done has been.
    pub fn is_through(&self) -> bool {
        self.shared.script.lock().expect("nobody panicked").is_empty()
    }

    /// Every mail whose last dot came.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("nobody panicked").clone()
    }

    /// Those that it has said it takes.
    pub fn taken(&self) -> Vec<Received> {
        self.received().into_iter().filter(|mail| mail.taken).collect()
    }

    /// How many connections there were.
    pub fn connections(&self) -> u64 {
        *self.shared.connections.lock().expect("nobody panicked")
    }

    /// Every command line that came.
    pub fn said(&self) -> Vec<String> {
        self.shared.said.lock().expect("nobody panicked").clone()
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// One conversation.
struct Talk<'a> {
    shared: &'a Shared,
    socket: TcpStream,
    stream: BufReader<Box<dyn Stream>>,
    encrypted: bool,
    login: Option<String>,
}

/// The client has gone, or was left.
type Over = std::io::Error;

fn over() -> Over {
    std::io::ErrorKind::UnexpectedEof.into()
}

impl<'a> Talk<'a> {
    fn with(socket: TcpStream, shared: &'a Shared) -> Result<(), Over> {
        let stream: Box<dyn Stream> = Box::new(socket.try_clone()?);
        let mut talk = Talk { shared, socket, stream: BufReader::new(stream), encrypted: false, login: None };
        if shared.from_the_start {
            talk.encrypt()?;
        }
        talk.answer(Stage::Greeting, "220 mail.test ESMTP")?;
        let (mut from, mut to) = (String::new(), Vec::new());
        loop {
            let line = talk.line()?;
            shared.said.lock().expect("nobody panicked").push(line.clone());
            let upper = line.to_ascii_uppercase();
            let inner =
                || line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(inner, _)| inner);
            match upper.split([' ', ':']).next().unwrap_or_default() {
                "EHLO" => talk.hello()?,
                "STARTTLS" => {
                    talk.say("220 go on")?;
                    talk.encrypt()?;
                }
                "AUTH" => {
                    if talk.answer(Stage::Login, "235 welcome")? {
                        talk.login = line.split(' ').nth(2).map(str::to_owned);
                    }
                }
                "MAIL" => {
                    (from, to) = (inner().to_owned(), Vec::new());
                    talk.answer(Stage::From, "250 ok")?;
                }
                "RCPT" => {
                    if talk.answer(Stage::To, "250 ok")? {
                        to.push(inner().to_owned());
                    }
                }
                "DATA" if to.is_empty() => talk.say("554 nobody to send it to")?,
                "DATA" => talk.mail(&from, &to)?,
                "NOOP" => drop(talk.answer(Stage::Idle, "250 ok")?),
                "RSET" => talk.say("250 ok")?,
                "QUIT" => return talk.say("221 bye"),
                _ => talk.say("502 what?")?,
            }
        }
    }

    fn hello(&mut self) -> Result<(), Over> {
        let mut lines = vec!["mail.test", "8BITMIME", "SMTPUTF8", "SIZE 99999999"];
        match (&self.shared.encrypted, self.encrypted) {
            (Some(_), false) => lines.push("STARTTLS"),
            _ => lines.push("AUTH PLAIN LOGIN"),
        }
        let last = lines.pop().expect("there are lines");
        let lines: String = lines.iter().map(|line| format!("250-{line}\r\n")).collect();
        self.answer(Stage::Hello, &format!("{lines}250 {last}")).map(drop)
    }

    fn mail(&mut self, from: &str, to: &[String]) -> Result<(), Over> {
        if !self.answer(Stage::Data, "354 go on")? {
            return Ok(());
        }
        if let Some(deed) = self.deed(Stage::Middle) {
            self.stream.read_exact(&mut [0; 64])?;
            return self.act(&deed);
        }
        let mut message = String::new();
        loop {
            let line = self.line()?;
            if line == "." {
                break;
            }
            message.push_str(line.strip_prefix('.').unwrap_or(&line));
            message.push_str("\r\n");
        }
        let (encrypted, login) = (self.encrypted, self.login.clone());
        let received = Received { from: from.to_owned(), to: to.to_vec(), message, encrypted, login, taken: false };
        let number = {
            let mut all = self.shared.received.lock().expect("nobody panicked");
            all.push(received);
            all.len() - 1
        };
        match self.deed(Stage::End) {
            Some(deed) => self.act(&deed),
            None => {
                // Before it is said: who hears it may look at once.
                self.shared.received.lock().expect("nobody panicked")[number].taken = true;
                self.say("250 taken")
            }
        }
    }

    /// Answers, or does what stands in the script; whether it went along.
    fn answer(&mut self, stage: Stage, text: &str) -> Result<bool, Over> {
        match self.deed(stage) {
            None => self.say(text).map(|()| true),
            Some(deed) => self.act(&deed).map(|()| false),
        }
    }

    fn deed(&self, stage: Stage) -> Option<Deed> {
        let mut script = self.shared.script.lock().expect("nobody panicked");
        let next = script.iter().position(|(at, _)| *at == stage)?;
        script.remove(next).map(|(_, deed)| deed)
    }

    fn act(&mut self, deed: &Deed) -> Result<(), Over> {
        match deed {
            Deed::Answer(text) => self.say(text),
            Deed::Hang => {
                while self.stream.read(&mut [0; 1_024])? > 0 {}
                Err(over())
            }
            Deed::Drip => loop {
                self.stream.get_mut().write_all(b"2")?;
                self.stream.get_mut().flush()?;
                std::thread::sleep(Duration::from_millis(50));
            },
            Deed::Drop => {
                self.socket.shutdown(Shutdown::Both)?;
                Err(over())
            }
        }
    }

    fn say(&mut self, text: &str) -> Result<(), Over> {
        let stream = self.stream.get_mut();
        stream.write_all(format!("{text}\r\n").as_bytes())?;
        stream.flush()
    }

    /// A line without its end.
    fn line(&mut self) -> Result<String, Over> {
        let mut line = Vec::new();
        match self.stream.read_until(b'\n', &mut line)? {
            0 => Err(over()),
            _ => Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()),
        }
    }

    fn encrypt(&mut self) -> Result<(), Over> {
        let config = self.shared.encrypted.clone().ok_or_else(over)?;
        let connection = ServerConnection::new(config).map_err(|_| over())?;
        self.stream = BufReader::new(Box::new(StreamOwned::new(connection, self.socket.try_clone()?)));
        self.encrypted = true;
        Ok(())
    }
}
