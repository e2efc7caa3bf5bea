//! Mail by SMTP. Owned here: connections and how long an attempt may take, and what is known after each way in which
//! one ends. Not owned here: what a mail says (`mail`), and when it is sent again.

use crate::mail::Mail;
use crate::reach::PrivateHosts;
use engine::error::Error;
use lettre::address::Envelope;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as From, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::transport::smtp::response::Severity;
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};

/// Connections that are kept for the next mail.
const IDLE_MAX: usize = 4;

/// Characters of a server's answer that are passed on.
const ANSWER_CHARS_MAX: usize = 300;

/// A message goes out in pieces of this size, so that a connection that is lost meanwhile is noticed before its end.
const PIECE_BYTES: usize = 16 << 10;

/// How long somebody is listened to who was told goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

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
    /// It was not sent, since it may not be any more.
    Withheld,
}

/// Sends mails by one server. May be shared between threads.
pub struct Smtp {
    server: Server,
    tls: Option<TlsParameters>,
    idle: Mutex<Vec<AsyncSmtpConnection>>,
    runtime: Runtime,
}

impl Smtp {
    /// Opens nothing yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the system has no certificates to trust, [`Error::Unavailable`] if it gives no thread.
    pub fn new(server: Server) -> Result<Self, Error> {
        let tls = (server.encryption != Encryption::None).then(|| TlsParameters::new(server.host.clone())).transpose();
        let tls = tls.map_err(|error| Error::Invalid(format!("cannot encrypt mail: {error}")))?;
        // One thread moves the bytes of all who wait for an answer.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_io().enable_time().build();
        let runtime = runtime.map_err(|error| Error::Unavailable(format!("no mail can be sent: {error}")))?;
        Ok(Smtp { server, tls, idle: Mutex::default(), runtime })
    }

    /// Sends a mail, if it still may be when the server is ready for it. However the server answers, byte by byte if it
    /// likes, an attempt is over after its `timeout`.
    ///
    /// # Errors
    /// As [`Mail::render`].
    pub fn send(&self, mail: &Mail<'_>, may: &dyn Fn() -> bool) -> Result<Delivery, Error> {
        let (message, ended, whole) = (mail.message()?, Cell::new(false), self.server.timeout);
        let deadline = Instant::now() + whole;
        let slow = || format!("the mail server was not through with it after {whole:?}");
        let connection = match self.by(deadline, self.introduced(message.envelope())) {
            Some(Ok(connection)) => connection,
            Some(Err(delivery)) => return Ok(delivery),
            None => return Ok(Delivery::NotTaken(slow())),
        };
        // Asked between the two: whoever answers may have to wait for a server, too, which nobody can within a wait.
        if !may() {
            self.leave(connection);
            return Ok(Delivery::Withheld);
        }
        let delivery = self.by(deadline, self.deliver(connection, &message.formatted(), &ended));
        let given_up = || if ended.get() { Delivery::Unknown(slow()) } else { Delivery::NotTaken(slow()) };
        Ok(delivery.unwrap_or_else(given_up))
    }

    /// Waits for something, not beyond a point of time.
    fn by<T>(&self, deadline: Instant, awaited: impl Future<Output = T>) -> Option<T> {
        self.runtime.block_on(async { timeout_at(deadline, awaited).await.ok() })
    }

    /// A connection on which the server knows from whom and to whom a mail is.
    async fn introduced(&self, envelope: &Envelope) -> Result<AsyncSmtpConnection, Delivery> {
        let domain = envelope.from().map(|from| from.domain()).filter(|domain| domain.is_ascii());
        let hello = ClientId::Domain(domain.unwrap_or("localhost").to_owned());
        let mut connection = self.connection(&hello).await.map_err(|Failure(text)| Delivery::NotTaken(text))?;
        let mut parameters = Vec::new();
        if envelope.from().into_iter().chain(envelope.to()).any(|address| !address.to_string().is_ascii()) {
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                self.keep(connection);
                return Err(Delivery::Refused("the mail server takes no address beyond ASCII".to_owned()));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        match introduce(&mut connection, envelope, parameters).await {
            Ok(()) => Ok(connection),
            Err(error) => {
                self.leave(connection);
                Err(Refusal::of(&error).before_the_mail())
            }
        }
    }

    /// Sends the mail itself, and notes when it has been sent to its end.
    async fn deliver(&self, mut connection: AsyncSmtpConnection, bytes: &[u8], ended: &Cell<bool>) -> Delivery {
        // The end is marked once all pieces are out: the next that is written is the dot that ends the mail.
        let end = std::iter::from_fn(|| {
            ended.set(true);
            None
        });
        let sent = match connection.command(Data).await {
            Ok(_) => connection.message_iter(bytes.chunks(PIECE_BYTES).chain(end)).await,
            refused => refused,
        };
        match sent {
            Ok(_) => {
                self.keep(connection);
                Delivery::Taken
            }
            Err(error) => {
                self.leave(connection);
                let refusal = Refusal::of(&error);
                if ended.get() { refusal.after_the_mail() } else { refusal.before_the_mail() }
            }
        }
    }

    /// One that is idle and still there, else a new one.
    async fn connection(&self, hello: &ClientId) -> Result<AsyncSmtpConnection, Failure> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut connection) = idle else { return self.connect(hello).await };
            // Should it say nothing, there is time left for another.
            if timeout(self.server.timeout / 4, connection.test_connected()).await == Ok(true) {
                return Ok(connection);
            }
            self.leave(connection);
        }
    }

    async fn connect(&self, hello: &ClientId) -> Result<AsyncSmtpConnection, Failure> {
        let Server { encryption, login, .. } = &self.server;
        let failed = |what: &str, why: String| Failure(format!("cannot {what}: {why}"));
        let reach = "reach the mail server";
        let from_the_start = self.tls.clone().filter(|_| *encryption == Encryption::Tls);
        let found = self.resolve().await.map_err(|why| failed(reach, why))?;
        // Of several addresses the first may say nothing.
        let each = self.server.timeout / 2;
        let connected = AsyncSmtpConnection::connect_tokio1(&found[..], Some(each), hello, from_the_start, None).await;
        let mut connection = connected.map_err(|error| failed(reach, said(&error)))?;
        if let Some(tls) = self.tls.clone().filter(|_| *encryption == Encryption::StartTls) {
            let encrypted = connection.starttls(tls, hello).await;
            encrypted.map_err(|error| failed("encrypt the connection to the mail server", said(&error)))?;
        }
        if let Some((name, password)) = login {
            let credentials = Credentials::new(name.clone(), password.clone());
            let welcome = connection.auth(DEFAULT_MECHANISMS, &credentials).await;
            welcome.map_err(|error| failed("log in to the mail server", said_at_login(&error)))?;
        }
        Ok(connection)
    }

    async fn resolve(&self) -> Result<Vec<SocketAddr>, String> {
        let (host, port, hosts) = (self.server.host.clone(), self.server.port, self.server.hosts.clone());
        match spawn_blocking(move || hosts.resolve(&host, port)).await {
            Ok(found) => found.map_err(|error| error.to_string()),
            Err(_) => Err("its name was not looked up".to_owned()),
        }
    }

    /// Says goodbye, and waits for no answer.
    fn leave(&self, mut connection: AsyncSmtpConnection) {
        self.runtime.spawn(async move { drop(timeout(GOODBYE, connection.abort()).await) });
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }
}

/// Says from whom and to whom a mail is.
async fn introduce(
    connection: &mut AsyncSmtpConnection,
    envelope: &Envelope,
    parameters: Vec<MailParameter>,
) -> Result<(), lettre::transport::smtp::Error> {
    connection.command(From::new(envelope.from().cloned(), parameters)).await?;
    for to in envelope.to() {
        connection.command(Rcpt::new(to.clone(), Vec::new())).await?;
    }
    Ok(())
}

/// Why there is no connection.
struct Failure(String);

/// Why a server did not go along.
struct Refusal {
    /// Of its answer, if it gave one.
    severity: Option<Severity>,
    text: String,
}

impl Refusal {
    fn of(error: &lettre::transport::smtp::Error) -> Self {
        Refusal { severity: error.status().map(|code| code.severity), text: said(error) }
    }

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

/// [`said`] of a server that was given a password: it could repeat it, so only its code is passed on.
fn said_at_login(error: &lettre::transport::smtp::Error) -> String {
    match error.status() {
        Some(code) => format!("it answers {code}"),
        None if error.is_response() => "its answer is none".to_owned(),
        None => said(error),
    }
}
