//! Messages as files: what would be sent stands in a folder, mail as `.eml`, all else as `.json`. Owned here: how a
//! message is written once and whole. Not owned here: what it says and whom it is for.

use crate::file::{sha256, sync_folder_of};
use engine::error::Error;
use engine::fault::point;
use engine::time::Micros;
use lettre::message::header::{ContentType, MessageId};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
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
        lettre::Message::builder()
            .from(from)
            .to(to)
            .subject(subject)
            .date(SystemTime::UNIX_EPOCH + Duration::from_secs(self.at.secs()))
            .header(message_id)
            .multipart(body)
            .map(|message| message.formatted())
            .map_err(|error| Error::Invalid(format!("mail {}: {error}", self.id)))
    }
}

fn mailbox(role: &str, text: &str) -> Result<Mailbox, Error> {
    let refuse = || Error::Invalid(format!("the {role} of a mail is not an address"));
    if text.chars().any(char::is_control) {
        return Err(refuse());
    }
    text.parse().map_err(|_| refuse())
}

fn require_id(id: &str) -> Result<(), Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    // As in a Message-ID, where dots stand between other characters (RFC 5322, dot-atom).
    let dots = id.starts_with('.') || id.ends_with('.') || id.contains("..");
    if (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(fits) && !dots {
        return Ok(());
    }
    Err(Error::Invalid(format!("the id of a message has 1 to {ID_BYTES_MAX} letters, digits, `.`, `_`, `-`")))
}

/// A folder of messages, each in a file named after its content: to write one again changes nothing. It has one writer
/// at a time.
#[derive(Debug)]
pub struct Outbox {
    folder: PathBuf,
}

impl Outbox {
    /// Opens a folder, creating it (but not its parent) if there is none.
    ///
    /// # Errors
    /// [`Error::Invalid`] if something else has its name, [`Error::Io`] if the system refuses it.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Error::io("create", folder)(error));
            }
            _ if folder.is_dir() => sync_folder_of(folder)?,
            _ => return Err(Error::Invalid(format!("{} is not a folder; move it away", folder.display()))),
        }
        Ok(Outbox { folder: folder.to_owned() })
    }

    /// Writes a mail; its file is durable on return.
    ///
    /// # Errors
    /// As [`Mail::render`], and [`Error::Io`] if the system refuses the file.
    pub fn write_mail(&mut self, mail: &Mail<'_>) -> Result<PathBuf, Error> {
        let bytes = mail.render()?;
        self.write(&format!("{}.eml", sha256(&bytes)), &bytes)
    }

    /// Writes a message that is JSON already; its file is durable on return. Two ids with one body are two files.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the id is none, [`Error::Io`] if the system refuses the file.
    pub fn write_message(&mut self, id: &str, json: &str) -> Result<PathBuf, Error> {
        require_id(id)?;
        self.write(&format!("{}.json", digest(&[id, json])), json.as_bytes())
    }

    /// Writes a file whose name tells its content, whole or not at all.
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<PathBuf, Error> {
        let path = self.folder.join(name);
        // There already: renamed before a crash, perhaps, but its name not yet durable.
        if !path.try_exists().map_err(Error::io("look for", &path))? {
            // What a crash left is written over when the message is tried again.
            let partial = self.folder.join(format!(".{name}.partial"));
            point("outbox.write")?;
            let mut file = File::create(&partial).map_err(Error::io("create", &partial))?;
            file.write_all(bytes).map_err(Error::io("write", &partial))?;
            point("outbox.sync")?;
            file.sync_all().map_err(Error::io("sync", &partial))?;
            point("outbox.rename")?;
            std::fs::rename(&partial, &path).map_err(Error::io("rename", &partial))?;
        }
        point("outbox.renamed")?;
        sync_folder_of(&path)?;
        Ok(path)
    }
}

/// SHA-256, in hex, of texts with their lengths before them.
fn digest(parts: &[&str]) -> String {
    let mut all = Vec::new();
    for part in parts {
        all.extend_from_slice(&(part.len() as u64).to_be_bytes());
        all.extend_from_slice(part.as_bytes());
    }
    sha256(&all)
}

#[cfg(test)]
mod tests;
