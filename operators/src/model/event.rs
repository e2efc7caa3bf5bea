//! One activity event, as it travels from the source to the detectors: what the hot path compares, as numbers, and
//! beside it the line it came from, which is read again only for the rare event that raises something.

use super::software::Software;
use bytes::{BufMut, Bytes};
use engine::key::{self, KeyGroup};
use engine::keyed::Record;
use engine::state::RowKey;
use engine::time::{Micros, Span};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::net::IpAddr;

/// What happened, as far as a detector cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// `file_downloaded`.
    FileDownloaded,
    /// `file_shared` or `file_public_link_created`.
    FileShared,
    /// `file_malicious_content_detected`.
    MaliciousFile,
    /// `message_deleted` or `message_tombstoned`.
    MessageDeleted,
    /// `api_call` of a method.
    ApiCall(Method),
    /// `user_login`.
    Login,
    /// `user_login_failed`.
    LoginFailed,
    /// What only an admin does; holds the lower half of the name's hash.
    Administrative(u32),
    /// `anomaly`: a detection made elsewhere.
    Anomaly,
    /// Any other of Slack's documented actions, or one of ours.
    Other,
    /// A name that is not in the catalogue. Kept and counted.
    Unknown,
}

/// What an API method does. The catalogue of methods is `decode`'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Method {
    /// Searches messages or files.
    Search,
    /// Reads messages, files, members or profiles.
    Read,
    /// Deletes a message.
    Delete,
    /// Shares a file.
    Share,
    /// Publishes a workflow's function to everybody.
    Publish,
    /// Tells whether a credential is valid.
    Credential,
    /// Anything else, or none named.
    Other,
}

impl Action {
    /// What a name of the catalogue means; `administrative` is the catalogue's word for it, `method` what an API call
    /// calls.
    pub fn of_known(name: &str, administrative: bool, method: Method) -> Self {
        match name {
            "file_downloaded" => Action::FileDownloaded,
            "file_shared" | "file_public_link_created" => Action::FileShared,
            "file_malicious_content_detected" => Action::MaliciousFile,
            "message_deleted" | "message_tombstoned" => Action::MessageDeleted,
            "api_call" => Action::ApiCall(method),
            "user_login" => Action::Login,
            "user_login_failed" => Action::LoginFailed,
            "anomaly" => Action::Anomaly,
            _ if administrative => Action::Administrative(key::hash(name.as_bytes()) as u32),
            _ => Action::Other,
        }
    }
}

/// Whose activity a record is judged as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyKind {
    /// The acting person's.
    User,
    /// The app's that acted on the person's behalf.
    App,
}

/// An activity event on its way to the detectors. Names are 64-bit pinned hashes; two that differ may collide, so no
/// decision rests on a hash alone: rows are told apart by the full key, and evidence is read from the line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Effective time: when the event applies.
    pub at: Micros,
    /// Event time: when it happened, as its `date_create` says.
    pub time: Micros,
    /// How far behind the partition's watermark it came; zero if in time.
    pub behind: Span,
    /// Index of the source partition.
    pub partition: u32,
    /// Position within the partition.
    pub position: u64,
    /// Key, id and line, one after the other.
    pub text: Bytes,
    /// Length of the key in `text`.
    pub key_len: u16,
    /// Length of the id in `text`.
    pub id_len: u16,
    /// Pinned hash of the key.
    pub key_hash: u64,
    /// Pinned hash of the id.
    pub id_hash: u64,
    /// Whose activity this copy of the event counts as.
    pub kind: KeyKind,
    /// Pinned hash of `actor.user.id`, whoever the key names.
    pub person: u64,
    /// What happened.
    pub action: Action,
    /// Whether `context.app` is present.
    pub by_app: bool,
    /// `actor.user.is_external`, where the event says so.
    pub is_external: Option<bool>,
    /// Whether the action succeeded (`details.ok` other than `false`).
    pub ok: bool,
    /// Hash of `context.session_id`.
    pub session: Option<u64>,
    /// Hash of `context.ua`.
    pub agent: Option<u64>,
    /// `context.ip_address`, IPv4 also where it came mapped into IPv6.
    pub ip: Option<IpAddr>,
    /// Hash of `context.tls_fingerprint`.
    pub tls: Option<u64>,
    /// Hash of `context.client` name and system (not the version).
    pub client: Option<u64>,
    /// The software that `context.client` stands for.
    pub measured: Software,
    /// Hash of `context.client.version`.
    pub client_version: Option<u64>,
    /// Hash of `context.device_id`.
    pub device: Option<u64>,
    /// `context.cookie_ts`.
    pub cookie: Option<Micros>,
    /// `context.asn`, else what a database says of the address.
    pub asn: Option<u32>,
    /// `context.country`, two capital letters, else what a database says of the address.
    pub country: Option<[u8; 2]>,
    /// Whether a database says that the address hides its users.
    pub is_anonymous: bool,
    /// Hash of `entity`'s type and id.
    pub entity: Option<u64>,
}

impl Event {
    /// The name of the row: see [`key_of`].
    pub fn key_bytes(&self) -> &[u8] {
        &self.text[..self.key_len as usize]
    }

    /// `id`.
    pub fn id(&self) -> &[u8] {
        &self.text[self.key_len as usize..][..self.id_len as usize]
    }

    /// The line that the event came as.
    pub fn line(&self) -> &[u8] {
        &self.text[self.key_len as usize + self.id_len as usize..]
    }

    /// The org and the user (or app) that the key names.
    pub fn names(&self) -> (&str, &str) {
        split_key(self.key_bytes()).expect("the key was made by key_of")
    }

    /// Whether the event came after its partition's watermark had passed it.
    pub fn is_late(&self) -> bool {
        self.behind > Span(0)
    }
}

impl Record for Event {
    fn at(&self) -> Micros {
        self.at
    }

    fn key(&self) -> RowKey<'_> {
        RowKey { group: KeyGroup::of(self.key_hash), hash: self.key_hash, bytes: self.key_bytes() }
    }

    fn order(&self, other: &Self) -> Ordering {
        self.time.cmp(&other.time).then_with(|| self.id().cmp(other.id())).then_with(|| self.line().cmp(other.line()))
    }
}

/// The row name of a user or app: a kind byte, the org's length (two bytes, big endian), the org, the name.
pub fn key_of(kind: KeyKind, org: &str, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(3 + org.len() + name.len());
    push_key(&mut key, kind, org, name);
    key
}

/// Appends [`key_of`] to a buffer.
pub fn push_key(buffer: &mut impl BufMut, kind: KeyKind, org: &str, name: &str) {
    buffer.put_u8(match kind {
        KeyKind::User => b'u',
        KeyKind::App => b'a',
    });
    buffer.put_u16(org.len() as u16);
    buffer.put_slice(org.as_bytes());
    buffer.put_slice(name.as_bytes());
}

/// The org and name within a key, `None` if it is not one.
pub fn split_key(key: &[u8]) -> Option<(&str, &str)> {
    let len = u16::from_be_bytes([*key.get(1)?, *key.get(2)?]) as usize;
    let org = std::str::from_utf8(key.get(3..3 + len)?).ok()?;
    let name = std::str::from_utf8(key.get(3 + len..)?).ok()?;
    Some((org, name))
}

/// The strings of an event, read from its line when something is raised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventText {
    /// `id`.
    pub id: String,
    /// `action`.
    pub action: String,
    /// `actor.user`.
    pub actor: Person,
    /// `context.location`.
    pub location: Place,
    /// `context.ua`, empty if absent.
    pub ua: String,
    /// `context.session_id` as a string.
    pub session_id: Option<String>,
    /// `context.ip_address` as it came, empty if absent.
    pub ip_address: String,
    /// `context.app.id`, or its name.
    pub app: Option<String>,
    /// `context.tls_fingerprint`.
    pub tls_fingerprint: Option<String>,
    /// `context.client.name`.
    pub client_name: Option<String>,
    /// `context.client.os`.
    pub client_os: Option<String>,
    /// `context.client.version`.
    pub client_version: Option<String>,
    /// `context.device_id`.
    pub device_id: Option<String>,
    /// `context.country`.
    pub country: Option<String>,
    /// `details.method`.
    pub method: Option<String>,
    /// What `details` say of an anomaly that was found elsewhere.
    pub report: Report,
}

/// What an anomaly that was found elsewhere says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// `reason`, as it came.
    pub reasons: Vec<String>,
    /// `action_timestamp`: when that happened which it tells of.
    pub acted: Option<Micros>,
    /// `location`.
    pub location: String,
    /// `previous_ip_address`.
    pub previous_ip_address: String,
    /// `previous_ua`.
    pub previous_ua: String,
    /// The fields that single reasons bring along, by name; those of a list with commas between them.
    pub particulars: Vec<(String, String)>,
}

/// `actor.user` of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// User id.
    pub id: String,
    /// Display name.
    pub name: String,
    /// Mail address.
    pub email: String,
    /// Workspace or org that the account belongs to.
    pub team: String,
}

/// `context.location` of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// `enterprise` or `workspace`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its domain.
    pub domain: String,
}
