//! Mail by SMTP. Owned here: connections and how long an attempt may take, and what is known after each way in which
//! one ends. Not owned here: what a mail says (`mail`), and when it is sent again.

use crate::mail::Mail;
use crate::reach::PrivateHosts;
use engine::clock::Stopwatch;
use engine::error::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{SmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as From, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::transport::smtp::response::Severity;
use std::cell::Cell;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Connections that are kept for the next mail.
const IDLE_MAX: usize = 4;

/// Characters of a server's answer that are passed on.
const ANSWER_CHARS_MAX: usize = 300;

/// A message goes out in pieces of this size, so that a connection that is lost meanwhile is noticed before its end.
const PIECE_BYTES: usize = 16 << 10;

/// A server, and how it is talked to.
#[derive(Clone)]
pub struct Server {
    /// Its name, which its certificate has to bear, or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The hosts of the own network that it may be one of.
    pub hosts: PrivateHosts,
    /// How the connection is encrypted.
    pub encryption: Encryption,
    /// Name and password, if it wants to know who is there.
    pub login: Option<(String, String)>,
    /// How long an attempt may take.
    pub timeout: Duration,
}

/// How a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Not at all.
    None,
    /// From the server's greeting on, or there is no mail.
    StartTls,
    /// From the first byte on.
    Tls,
}

/// What came of an attempt. Texts hold no secret and no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The server has taken the mail.
    Taken,
    /// It has not, and may another time.
    NotTaken(String),
    /// It has not, and will not.
    Refused(String),
    /// It may have: the mail was sent to its end, and no answer came.
    Unknown(String),
}

/// Sends mails by one server.
pub struct Smtp {
    server: Server,
    tls: Option<TlsParameters>,
    idle: Mutex<Vec<SmtpConnection>>,
}

impl Smtp {
    /// Opens nothing yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the system has no certificates to trust.
    pub fn new(server: Server) -> Result<Self, Error> {
        let tls = (server.encryption != Encryption::None).then(|| TlsParameters::new(server.host.clone())).transpose();
        let tls = tls.map_err(|error| Error::Invalid(format!("cannot encrypt mail: {error}")))?;
        Ok(Smtp { server, tls, idle: Mutex::default() })
    }

    /// Sends a mail.
    ///
    /// # Errors
    /// As [`Mail::render`].
    pub fn send(&self, mail: &Mail<'_>) -> Result<Delivery, Error> {
        let message = mail.message()?;
        let (envelope, bytes) = (message.envelope(), message.formatted());
        let attempt = Attempt { time: Stopwatch::start(), whole: self.server.timeout };
        let domain = envelope.from().map(|from| from.domain()).filter(|domain| domain.is_ascii());
        let hello = ClientId::Domain(domain.unwrap_or("localhost").to_owned());
        let mut connection = match self.connection(&hello, &attempt) {
            Ok(connection) => connection,
            Err(Failure(text)) => return Ok(Delivery::NotTaken(text)),
        };
        let mut parameters = Vec::new();
        if envelope.from().into_iter().chain(envelope.to()).any(|address| !address.to_string().is_ascii()) {
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                self.keep(connection);
                return Ok(Delivery::Refused("the mail server takes no address beyond ASCII".to_owned()));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        let from = From::new(envelope.from().cloned(), parameters);
        let mut said = attempt.say(&mut connection, |on| on.command(from));
        for to in envelope.to() {
            said = said.and_then(|()| attempt.say(&mut connection, |on| on.command(Rcpt::new(to.clone(), Vec::new()))));
        }
        let said = said.and_then(|()| attempt.say(&mut connection, |on| on.command(Data)));
        if let Err(refusal) = said {
            attempt.give_up(&mut connection);
            return Ok(refusal.before_the_mail());
        }
        let ended = Cell::new(false);
        // The end is marked once all pieces are out: the next that is written is the dot that ends the mail.
        let end = std::iter::from_fn(|| {
            ended.set(true);
            None
        });
        let sent = attempt.say(&mut connection, |on| on.message_iter(bytes.chunks(PIECE_BYTES).chain(end)));
        Ok(match sent {
            Ok(()) => {
                self.keep(connection);
                Delivery::Taken
            }
            Err(refusal) => {
                attempt.give_up(&mut connection);
                if ended.get() { refusal.after_the_mail() } else { refusal.before_the_mail() }
            }
        })
    }

    /// One that is idle and still there, else a new one.
    fn connection(&self, hello: &ClientId, attempt: &Attempt) -> Result<SmtpConnection, Failure> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut connection) = idle else { return self.connect(hello, attempt) };
            attempt.limit(&mut connection);
            if connection.test_connected() {
                return Ok(connection);
            }
            attempt.give_up(&mut connection);
        }
    }

    fn connect(&self, hello: &ClientId, attempt: &Attempt) -> Result<SmtpConnection, Failure> {
        let Server { host, port, hosts, encryption, login, .. } = &self.server;
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error: lettre::transport::smtp::Error| Failure(format!("cannot {what}: {}", said(&error)))
        };
        let from_the_start = self.tls.as_ref().filter(|_| *encryption == Encryption::Tls);
        let reach = "reach the mail server";
        let found = hosts.resolve(host, *port).map_err(|error| Failure(format!("cannot {reach}: {error}")))?;
        let connected = SmtpConnection::connect(&found[..], Some(attempt.rest()), hello, from_the_start, None);
        let mut connection = connected.map_err(failed(reach))?;
        if let Some(tls) = self.tls.as_ref().filter(|_| *encryption == Encryption::StartTls) {
            attempt.limit(&mut connection);
            connection.starttls(tls, hello).map_err(failed("encrypt the connection to the mail server"))?;
        }
        if let Some((name, password)) = login {
            attempt.limit(&mut connection);
            let credentials = Credentials::new(name.clone(), password.clone());
            connection.auth(DEFAULT_MECHANISMS, &credentials).map_err(failed("log in to the mail server"))?;
        }
        Ok(connection)
    }

    fn keep(&self, connection: SmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }
}

/// Why there is no connection.
struct Failure(String);

/// How long an attempt has taken so far, and may take.
struct Attempt {
    time: Stopwatch,
    whole: Duration,
}

impl Attempt {
    /// What is left; never nothing, which would mean no limit.
    fn rest(&self) -> Duration {
        self.whole.saturating_sub(self.time.elapsed()).max(Duration::from_millis(1))
    }

    /// The next answer has to come in what is left. A connection for which that cannot be set is broken, and says so.
    fn limit(&self, connection: &mut SmtpConnection) {
        let _ = connection.set_timeout(Some(self.rest()));
    }

    /// Says goodbye where there is still time for it.
    fn give_up(&self, connection: &mut SmtpConnection) {
        self.limit(connection);
        connection.abort();
    }

    fn say<T>(
        &self,
        connection: &mut SmtpConnection,
        say: impl FnOnce(&mut SmtpConnection) -> Result<T, lettre::transport::smtp::Error>,
    ) -> Result<(), Refusal> {
        self.limit(connection);
        say(connection)
            .map(drop)
            .map_err(|error| Refusal { severity: error.status().map(|code| code.severity), text: said(&error) })
    }
}

/// Why a server did not go along.
struct Refusal {
    /// Of its answer, if it gave one.
    severity: Option<Severity>,
    text: String,
}

impl Refusal {
    /// What it means while the mail was not sent to its end.
    fn before_the_mail(self) -> Delivery {
        match self.severity {
            Some(Severity::PermanentNegativeCompletion) => Delivery::Refused(self.text),
            _ => Delivery::NotTaken(self.text),
        }
    }

    /// What it means once it was.
    fn after_the_mail(self) -> Delivery {
        match self.severity {
            Some(Severity::PermanentNegativeCompletion) => Delivery::Refused(self.text),
            Some(_) => Delivery::NotTaken(self.text),
            None => Delivery::Unknown(self.text),
        }
    }
}

/// An error for the record: what a server said, on one line, bounded, without addresses.
fn said(error: &lettre::transport::smtp::Error) -> String {
    let text = error.to_string();
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let masked: Vec<&str> = words.map(|word| if word.contains('@') { "<address>" } else { word }).collect();
    let mut text = masked.join(" ");
    if let Some((end, _)) = text.char_indices().nth(ANSWER_CHARS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}
