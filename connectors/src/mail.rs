//! Mails as bytes. Owned here: what an address, an id and a date may be, and that equal mails are equal bytes. Not owned
//! here: what a mail says, and where it goes (`outbox`, `smtp`).

use crate::file::digest;
use engine::error::Error;
use engine::time::Micros;
use lettre::Message;
use lettre::message::header::{ContentType, HeaderName, HeaderValue, MessageId};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use std::time::{Duration, SystemTime};

/// The longest id of a message, in bytes.
const ID_BYTES_MAX: usize = 128;

/// The last second that a mail's date can name, the end of the year 9999.
const DATE_MAX_SECS: u64 = 253_402_300_799;

/// A mail to one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mail<'a> {
    /// Its id, of ASCII letters, digits, `.`, `_` and `-`; the left part of the Message-ID.
    pub id: &'a str,
    /// Its date.
    pub at: Micros,
    /// Sender, as `name <address>` or an address. Its domain is the right part of the Message-ID.
    pub from: &'a str,
    /// Recipient, likewise.
    pub to: &'a str,
    /// Subject; control characters in it become blanks.
    pub subject: &'a str,
    /// Body as plain text.
    pub text: &'a str,
    /// The same as HTML.
    pub html: &'a str,
}

impl Mail<'_> {
    /// The mail as RFC 5322 has it: equal bytes for equal mails.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the id or an address is none, or the date is out of range. The text names the field and
    /// never holds its value.
    pub fn render(&self) -> Result<Vec<u8>, Error> {
        self.message().map(|message| message.formatted())
    }

    /// The mail with its envelope.
    pub(crate) fn message(&self) -> Result<Message, Error> {
        require_id(self.id)?;
        let from = mailbox("sender", self.from)?;
        let to = mailbox("recipient", self.to)?;
        if self.at.secs() > DATE_MAX_SECS {
            return Err(Error::Invalid(format!("mail {}: the date {} is past the year 9999", self.id, self.at)));
        }
        let subject: String = self.subject.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let message_id = MessageId::from(format!("<{}@{}>", self.id, from.email.domain()));
        // A boundary by chance would make each run's file another one; a text cannot hold its own hash.
        let boundary = digest(&[self.id, self.text, self.html]);
        let part = |kind, text: &str| SinglePart::builder().header(kind).body(text.to_owned());
        let body = MultiPart::alternative()
            .boundary(boundary)
            .singlepart(part(ContentType::TEXT_PLAIN, self.text))
            .singlepart(part(ContentType::TEXT_HTML, self.html));
        Message::builder()
            .from(from)
            .to(to)
            .subject(subject)
            .date(SystemTime::UNIX_EPOCH + Duration::from_secs(self.at.secs()))
            .header(message_id)
            .raw_header(auto_submitted())
            .multipart(body)
            .map_err(|error| Error::Invalid(format!("mail {}: {error}", self.id)))
    }
}

/// Tells programs that answer mail to leave this one alone (RFC 3834).
fn auto_submitted() -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned())
}

/// Whether a text is a sender.
///
/// # Errors
/// [`Error::Invalid`], without the text, if not.
pub fn require_sender(from: &str) -> Result<(), Error> {
    mailbox("sender", from).map(drop)
}

fn mailbox(role: &str, text: &str) -> Result<Mailbox, Error> {
    let refuse = || Error::Invalid(format!("the {role} of a mail is not an address"));
    if text.chars().any(char::is_control) {
        return Err(refuse());
    }
    text.parse().map_err(|_| refuse())
}

/// Whether an id is one of a message.
///
/// # Errors
/// [`Error::Invalid`], without the id, if not.
pub fn require_id(id: &str) -> Result<(), Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    // As in a Message-ID, where dots stand between other characters (RFC 5322, dot-atom).
    let dots = id.starts_with('.') || id.ends_with('.') || id.contains("..");
    if (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(fits) && !dots {
        return Ok(());
    }
    Err(Error::Invalid(format!("the id of a message has 1 to {ID_BYTES_MAX} letters, digits, `.`, `_`, `-`")))
}

#[cfg(test)]
pub(crate) mod tests;
