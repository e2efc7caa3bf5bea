//! One event to be written: who does what from where; and how it stands in `events.ndjson`.

use super::client::Client;
use super::dice::scramble;
use super::network::Address;
use super::org::Org;
use super::person::Person;
use engine::time::Micros;
use std::io::{self, Write};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Login,
    Download {
        file: u64,
        ok: bool,
    },
    Upload {
        file: u64,
    },
    Share {
        file: u64,
    },
    Join {
        channel: u64,
    },
    Leave {
        channel: u64,
    },
    Emoji,
    /// An API call that is about nothing in particular.
    Call {
        method: &'static str,
    },
    /// An API call that reads a channel.
    Read {
        method: &'static str,
        channel: u64,
    },
    /// An API call that fails.
    Fail {
        method: &'static str,
    },
    Delete {
        channel: u64,
    },
    Malware {
        file: u64,
    },
    /// What only an admin does.
    Admin {
        action: &'static str,
    },
}

/// An app that acts on people's behalf.
#[derive(Clone, Copy, Debug)]
pub(super) struct App {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) ua: &'static str,
    /// Tells apps of one kind apart.
    pub(super) turn: usize,
}

/// A user agent that is not that of the program that was measured.
#[derive(Clone, Copy, Debug)]
pub(super) enum Claim {
    /// Another program's.
    Of(Client),
    Text(&'static str),
}

/// Where it comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// `None` is the server itself.
    pub(super) address: Option<Address>,
    /// What is measured and, unless something else is claimed, claimed.
    pub(super) client: Option<Client>,
    pub(super) claim: Option<Claim>,
    /// Measured instead of what the client has.
    pub(super) tls: Option<&'static str>,
    pub(super) device: Option<u64>,
    pub(super) session: Option<u64>,
    pub(super) cookie: Option<Micros>,
    /// An app acts on the person's behalf.
    pub(super) app: Option<App>,
}

/// One event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Act {
    pub(super) at: Micros,
    /// Its place in the file; later than `at` where a producer flushed late.
    pub(super) arrives: Micros,
    pub(super) person: usize,
    pub(super) verb: Verb,
    pub(super) origin: Origin,
}

/// The parts of an org's entries that never change.
pub(super) struct Frame {
    location: String,
    plain: bool,
}

impl Frame {
    pub(super) fn of(org: &Org) -> Self {
        let (kind, id) = match &org.workspace {
            Some(workspace) => ("workspace", workspace),
            None => ("enterprise", &org.id),
        };
        let (name, domain) = (&org.name, &org.domain);
        let enterprise = match (&org.workspace, org.is_plain()) {
            (Some(_), false) => format!(r#""enterprise_id":"{}","#, org.id),
            _ => String::new(),
        };
        let location = format!(
            r#""context":{{"location":{{"type":"{kind}","id":"{id}","name":"{name}","domain":"{domain}"}},{enterprise}"#
        );
        Frame { location, plain: org.is_plain() }
    }
}

/// Writes events, numbering them.
pub(super) struct Pen {
    seed: u64,
    written: u64,
    line: Vec<u8>,
}

impl Pen {
    pub(super) fn new(seed: u64) -> Self {
        Pen { seed: scramble(seed), written: 0, line: Vec::with_capacity(1_024) }
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Writes one line. All names in it are made here and need no escaping.
    pub(super) fn write(&mut self, act: &Act, person: &Person, frame: &Frame, to: &mut dyn Write) -> io::Result<()> {
        self.written += 1;
        let number = self.seed.wrapping_add(self.written);
        self.line.clear();
        let line = &mut self.line;
        write_id(line, scramble(number), scramble(!number))?;
        line.extend_from_slice(br#","date_create":"#);
        write_secs(line, act.at)?;
        write!(line, r#","action":"{}","actor":{}"#, act.verb.action(frame.plain), person.actor)?;
        act.verb.write_entity(line, person)?;
        line.push(b',');
        line.extend_from_slice(frame.location.as_bytes());
        act.origin.write(line, frame.plain)?;
        act.verb.write_details(line)?;
        line.extend_from_slice(b"}\n");
        to.write_all(line)
    }
}

/// An id in the usual form of a UUID. Unique, since the first half is a bijection of the event's number.
fn write_id(line: &mut Vec<u8>, high: u64, low: u64) -> io::Result<()> {
    let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
    let (d, e) = (low >> 48, low & 0xffff_ffff_ffff);
    write!(line, r#"{{"id":"{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}""#)
}

/// Unix seconds, with milliseconds where there are any.
fn write_secs(line: &mut Vec<u8>, at: Micros) -> io::Result<()> {
    match at.0 / 1_000 % 1_000 {
        0 => write!(line, "{}", at.secs()),
        millis => write!(line, "{}.{millis:03}", at.secs()),
    }
}

impl Verb {
    /// Slack's plain log has no API calls and no deletions; there they show as what Slack does record.
    fn action(self, plain: bool) -> &'static str {
        match self {
            Verb::Login => "user_login",
            Verb::Download { .. } => "file_downloaded",
            Verb::Upload { .. } => "file_uploaded",
            Verb::Share { .. } => "file_shared",
            Verb::Join { .. } => "user_channel_join",
            Verb::Leave { .. } => "user_channel_leave",
            Verb::Emoji => "emoji_added",
            Verb::Malware { .. } => "file_malicious_content_detected",
            Verb::Admin { action } => action,
            Verb::Call { .. } | Verb::Read { .. } | Verb::Fail { .. } if plain => "user_channel_join",
            Verb::Delete { .. } if plain => "user_channel_leave",
            Verb::Call { .. } | Verb::Read { .. } | Verb::Fail { .. } => "api_call",
            Verb::Delete { .. } => "message_deleted",
        }
    }

    fn write_entity(self, line: &mut Vec<u8>, person: &Person) -> io::Result<()> {
        match self {
            Verb::Login => write!(line, r#","entity":{}"#, person.actor),
            Verb::Download { file, .. } | Verb::Upload { file } | Verb::Share { file } | Verb::Malware { file } => {
                write!(
                    line,
                    r#","entity":{{"type":"file","file":{{"id":"F{:03}{file:07}","name":"file-{file}","filetype":"pdf"}}}}"#,
                    person.org
                )
            }
            Verb::Join { channel }
            | Verb::Leave { channel }
            | Verb::Delete { channel }
            | Verb::Read { channel, .. } => write!(
                line,
                r#","entity":{{"type":"channel","channel":{{"id":"C{:03}{channel:05}","privacy":"public"}}}}"#,
                person.org
            ),
            Verb::Emoji | Verb::Call { .. } | Verb::Fail { .. } | Verb::Admin { .. } => Ok(()),
        }
    }

    fn write_details(self, line: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Verb::Call { method } | Verb::Read { method, .. } => {
                write!(line, r#","details":{{"method":"{method}"}}"#)
            }
            Verb::Fail { method } => write!(line, r#","details":{{"method":"{method}","ok":false}}"#),
            Verb::Download { ok: false, .. } => write!(line, r#","details":{{"ok":false}}"#),
            Verb::Download { file, .. } | Verb::Upload { file } => {
                write!(line, r#","details":{{"bytes":{}}}"#, 2_000 + scramble(file) % 4_000_000)
            }
            _ => Ok(()),
        }
    }
}

impl Origin {
    /// Everything of `context` after the location, and its closing brace.
    fn write(&self, line: &mut Vec<u8>, plain: bool) -> io::Result<()> {
        line.extend_from_slice(br#""ua":""#);
        match (self.app, self.claim, self.client) {
            (Some(app), ..) => line.extend_from_slice(app.ua.as_bytes()),
            (None, Some(Claim::Text(ua)), _) => line.extend_from_slice(ua.as_bytes()),
            (None, Some(Claim::Of(client)), _) | (None, None, Some(client)) => client.write_ua(line)?,
            (None, None, None) => {}
        }
        line.push(b'"');
        match self.session {
            // Slack's real entries have a number here, its documentation a string.
            Some(session) if plain => write!(line, r#","session_id":{session}"#)?,
            Some(session) => write!(line, r#","session_id":"{session}""#)?,
            None => line.extend_from_slice(br#","session_id":null"#),
        }
        match self.address {
            Some(address) => write!(line, r#","ip_address":"{}""#, address.ip)?,
            None => line.extend_from_slice(br#","ip_address":"127.0.0.1""#),
        }
        if let Some(App { id, name, turn, .. }) = self.app {
            write!(line, r#","app":{{"id":"A0{id}{turn:04}","name":"{name}"}}"#)?;
        }
        if !plain {
            self.write_measured(line)?;
        }
        line.push(b'}');
        Ok(())
    }

    fn write_measured(&self, line: &mut Vec<u8>) -> io::Result<()> {
        if let Some(client) = self.client {
            let (tls, name, os) = (self.tls.unwrap_or(client.tls()), client.software.name, client.software.os);
            write!(line, r#","tls_fingerprint":"{tls}","client":{{"name":"{name}","os":"{os}","version":""#)?;
            client.write_version(line)?;
            line.extend_from_slice(br#""}"#);
        }
        if let Some(device) = self.device {
            write!(line, r#","device_id":"D{device:09}""#)?;
        }
        if let Some(cookie) = self.cookie {
            line.extend_from_slice(br#","cookie_ts":"#);
            write_secs(line, cookie)?;
        }
        if let Some(address) = self.address {
            write!(line, r#","asn":{},"country":"{}""#, address.asn, address.country)?;
        }
        Ok(())
    }
}
