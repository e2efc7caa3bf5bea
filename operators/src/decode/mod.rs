//! Bytes to domain words: lines of activity to events, control records to settings, and what can be neither to a
//! rejection with its reason. Owned here: the wire formats of the contract's sections 1 and 2. Not owned here: reading
//! files, effective time and lateness (the source), and what events mean (`detect`). No I/O, no clock.
//!
//! An event is decoded in two steps. [`EventDecoder::parse`] reads the line once, borrowed, and gives its event time;
//! the source finds the effective time; [`EventDecoder::stamp`] then finds the org and makes the record that travels.
//!
//! Where the contract leaves a choice: a member that is read and stands twice in its object is `bad_value`, `null` in
//! a required field is `wrong_type`, an empty optional string is absent, and a lone surrogate in a string is read as
//! U+FFFD. Times may have an exponent and are read exactly.

mod actions;
mod address;
pub mod control;
mod diagnose;
mod members;
pub mod networks;
mod rejection;
mod report;
pub mod source;
mod surrogate;
mod text;
mod time;
mod value;
mod wire;
mod workspace;

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod tests;

pub use actions::administrative;
pub use address::{parse_ip, public_ip};
pub use rejection::{RAW_BYTES_MAX, RejectReason, Rejection, dead_letter_line, escape, late_line};
pub use report::REPORT_REASONS_MAX;
pub use text::{TEXT_BYTES_MAX, clip, read_text};
pub use time::{EARLIEST, TOO_LATE};
pub use value::{ID_BYTES_MAX, NAME_BYTES_MAX};
pub use workspace::WorkspaceDirectory;

use crate::model::event::{Action, Event, KeyKind, push_key};
use crate::model::software::Software;
use actions::Catalogue;
use bytes::{BufMut, BytesMut};
use diagnose::{diagnose, nests_too_deep};
use engine::key::hash;
use engine::source::Arrival;
use engine::time::Micros;
use networks::Networks;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use wire::{Line, Object, Text};

/// Most bytes of an event's line, without the line end.
pub const EVENT_BYTES_MAX: usize = 64 * 1_024;

/// How deep brackets may nest.
pub const DEPTH_MAX: usize = 128;

/// How many bytes of events share one allocation. It lives as long as the last of them does.
const TEXT_BLOCK_BYTES: usize = 64 * 1_024;

/// Decodes the events of one source.
#[derive(Debug)]
pub struct EventDecoder {
    catalogue: Catalogue,
    networks: Arc<Networks>,
    orgs: Orgs,
    block: BytesMut,
}

/// An event read from its line, before its effective time is known.
#[derive(Clone, Debug)]
pub struct Parsed<'a> {
    line: Cow<'a, [u8]>,
    id: Cow<'a, str>,
    user: Cow<'a, str>,
    enterprise: Option<Cow<'a, str>>,
    location: Cow<'a, str>,
    /// `context.app.id`, or its name.
    app: Option<Cow<'a, str>>,
    facts: Facts,
}

/// What the detectors compare, as numbers; the members mean what [`Event`]'s of the same name do.
#[derive(Clone, Copy, Debug)]
struct Facts {
    time: Micros,
    action: Action,
    by_app: bool,
    is_external: Option<bool>,
    ok: bool,
    session: Option<u64>,
    agent: Option<u64>,
    ip: Option<IpAddr>,
    bad_address: bool,
    tls: Option<u64>,
    client: Option<u64>,
    measured: Software,
    client_version: Option<u64>,
    device: Option<u64>,
    cookie: Option<Micros>,
    asn: Option<u32>,
    country: Option<[u8; 2]>,
    is_anonymous: bool,
    entity: Option<u64>,
}

impl EventDecoder {
    /// A decoder for a source. `org` is its setting for events that name none; `speaks_for` lists the orgs that it may
    /// bring events of, all if `None`.
    pub fn new(workspaces: Arc<WorkspaceDirectory>, org: Option<String>, speaks_for: Option<BTreeSet<String>>) -> Self {
        let orgs = Orgs { workspaces, org, speaks_for };
        EventDecoder { catalogue: Catalogue::default(), networks: Arc::default(), orgs, block: BytesMut::new() }
    }

    /// The decoder with these databases, which say of an address what its event does not.
    pub fn with_networks(self, networks: Arc<Networks>) -> Self {
        EventDecoder { networks, ..self }
    }

    /// Takes a newer history of workspaces. It must agree with the old one up to the present of the source.
    pub fn set_workspaces(&mut self, workspaces: Arc<WorkspaceDirectory>) {
        self.orgs.workspaces = workspaces;
    }

    /// Reads a line without its line end. The rejection is the first that applies of all but `wrong_org`.
    pub fn parse<'a>(&self, line: &'a [u8]) -> Result<Parsed<'a>, Rejection> {
        let mut parsed = self.parse_alone(line)?;
        parsed.facts.look_up(&self.networks);
        Ok(parsed)
    }

    /// What the line itself says.
    fn parse_alone<'a>(&self, line: &'a [u8]) -> Result<Parsed<'a>, Rejection> {
        if let Some(parsed) = Parsed::read(line, &self.catalogue) {
            return Ok(parsed);
        }
        match surrogate::mend(line) {
            None => Err(explain(line)),
            Some(mended) => match Parsed::read(&mended, &self.catalogue) {
                Some(parsed) => Ok(parsed.into_owned()),
                None => Err(explain(&mended)),
            },
        }
    }

    /// The org of an event as of its effective time; `wrong_org` if the source does not speak for it.
    pub fn org<'p>(&'p self, parsed: &'p Parsed<'_>, at: Micros) -> Result<&'p str, Rejection> {
        self.orgs.of(parsed, at)
    }

    /// Appends the event's record, keyed by (org, user), and where an app acted and says which, a copy keyed by
    /// (org, app), now that the effective time is known.
    pub fn stamp(&mut self, parsed: &Parsed<'_>, arrival: Arrival, out: &mut Vec<Event>) -> Result<(), Rejection> {
        let org = self.orgs.of(parsed, arrival.at)?;
        let mut copy = |kind, name| out.push(parsed.event(arrival, kind, org, name, &mut self.block));
        copy(KeyKind::User, &*parsed.user);
        if let Some(app) = &parsed.app {
            copy(KeyKind::App, app);
        }
        Ok(())
    }
}

/// Why the one pass refused a line. The two are tested to agree; should they not, the line is still only rejected.
fn explain(line: &[u8]) -> Rejection {
    diagnose(line).unwrap_or_else(|| Rejection::whole(RejectReason::NotJson, "cannot be read as an event"))
}

impl<'a> Parsed<'a> {
    /// Event time.
    pub fn time(&self) -> Micros {
        self.facts.time
    }

    /// `id`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether `context.ip_address` holds something that is no address; to be counted.
    pub fn bad_address(&self) -> bool {
        self.facts.bad_address
    }

    /// What happened; [`Action::Unknown`] is to be counted.
    pub fn action(&self) -> Action {
        self.facts.action
    }

    /// The one pass over a line; `None` if anything is wrong with it.
    fn read(line: &'a [u8], catalogue: &Catalogue) -> Option<Self> {
        if line.len() > EVENT_BYTES_MAX {
            return None;
        }
        let text = std::str::from_utf8(line).ok()?;
        if nests_too_deep(line) {
            return None;
        }
        let wire = serde_json::from_str::<Object<Line<'a>>>(text).ok()?.0;
        let facts = Facts::of(&wire, catalogue)?;
        let (id, user, context) = (wire.id.0, wire.actor.0.user.0.id.0, wire.context.0);
        let (location, enterprise) = (context.location.0.id.0, context.enterprise_id.map(|text| text.0));
        let enterprise = enterprise.filter(|id| !id.is_empty());
        let app =
            context.app.and_then(|app| [app.0.id, app.0.name].into_iter().flatten().find(|name| !name.0.is_empty()));
        let app = app.map(|name| name.0);
        value::id(&id).ok()?;
        for name in [Some(&user), Some(&location), enterprise.as_ref()].into_iter().flatten() {
            value::name(name).ok()?;
        }
        Some(Parsed { line: Cow::Borrowed(line), id, user, enterprise, location, app, facts })
    }

    /// The record of the event under one key. Its texts are put at the end of `block`.
    fn event(&self, arrival: Arrival, kind: KeyKind, org: &str, name: &str, block: &mut BytesMut) -> Event {
        let length = 3 + org.len() + name.len() + self.id.len() + self.line.len();
        if block.capacity() < length {
            *block = BytesMut::with_capacity(length.max(TEXT_BLOCK_BYTES));
        }
        push_key(block, kind, org, name);
        let key_len = block.len();
        let key_hash = hash(block);
        block.put_slice(self.id.as_bytes());
        block.put_slice(&self.line);
        let Arrival { at, behind, partition, position } = arrival;
        let facts = &self.facts;
        Event {
            at,
            time: facts.time,
            behind,
            partition,
            position,
            text: block.split().freeze(),
            key_len: key_len as u16,
            id_len: self.id.len() as u16,
            key_hash,
            id_hash: hash(self.id.as_bytes()),
            kind,
            person: hash(self.user.as_bytes()),
            action: facts.action,
            by_app: facts.by_app,
            is_external: facts.is_external,
            ok: facts.ok,
            session: facts.session,
            agent: facts.agent,
            ip: facts.ip,
            tls: facts.tls,
            client: facts.client,
            measured: facts.measured,
            client_version: facts.client_version,
            device: facts.device,
            cookie: facts.cookie,
            asn: facts.asn,
            country: facts.country,
            is_anonymous: facts.is_anonymous,
            entity: facts.entity,
        }
    }

    fn into_owned(self) -> Parsed<'static> {
        fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        Parsed {
            line: Cow::Owned(self.line.into_owned()),
            id: owned(self.id),
            user: owned(self.user),
            enterprise: self.enterprise.map(owned),
            location: owned(self.location),
            app: self.app.map(owned),
            facts: self.facts,
        }
    }
}

impl Facts {
    fn of(wire: &Line<'_>, catalogue: &Catalogue) -> Option<Self> {
        let context = &wire.context.0;
        value::action(&wire.action.0).ok()?;
        let country = said(&context.country).unwrap_or_default();
        value::country(country).ok()?;
        let address = said(&context.ip_address).and_then(value::address);
        let details = wire.details.as_ref().map(|details| &details.0);
        if let Some(bytes) = details.and_then(|details| details.bytes) {
            value::number(bytes.get()).ok()?;
        }
        let client = context.client.as_ref().map(|client| (said(&client.0.name), said(&client.0.os)));
        let client = client.map(|(name, os)| (name.unwrap_or_default(), os.unwrap_or_default()));
        let client = client.filter(|(name, os)| !name.is_empty() || !os.is_empty());
        if let Some(app) = &context.app {
            for name in [&app.0.id, &app.0.name].into_iter().filter_map(said) {
                value::name(name).ok()?;
            }
        }
        Some(Facts {
            time: value::time(wire.date_create.get()).ok()?,
            action: catalogue.action(&wire.action.0, details.and_then(|details| said(&details.method))),
            by_app: context.app.is_some(),
            is_external: wire.actor.0.user.0.is_external,
            ok: details.and_then(|details| details.ok).unwrap_or(true),
            session: scalar_hash(context.session_id)?,
            agent: said(&context.ua).map(hash_of),
            ip: address.and_then(Result::ok),
            bad_address: matches!(address, Some(Err(()))),
            tls: said(&context.tls_fingerprint).map(hash_of),
            client_version: context
                .client
                .as_ref()
                .and_then(|client| said(&client.0.version))
                .map(|version| hash(version.as_bytes())),
            client: client.map(|(name, os)| client_hash(name, os)),
            measured: client.map_or_else(Software::default, |(name, os)| Software::named(name, os)),
            device: said(&context.device_id).map(hash_of),
            cookie: context.cookie_ts.map(|stamp| value::time(stamp.get())).transpose().ok()?,
            asn: context.asn.map(|asn| value::asn(asn.get())).transpose().ok()?,
            country: <[u8; 2]>::try_from(country.as_bytes())
                .ok()
                .map(|code| code.map(|letter| letter.to_ascii_uppercase())),
            is_anonymous: false,
            entity: entity_hash(wire.entity.as_ref())?,
        })
    }
}

impl Facts {
    /// Adds what databases say of the address. What the event says wins.
    fn look_up(&mut self, networks: &Networks) {
        if let Some(ip) = self.ip {
            let found = networks.find(ip);
            self.asn = self.asn.or(found.asn);
            self.country = self.country.or(found.country);
            self.is_anonymous = found.is_anonymous;
        }
    }
}

fn said<'t>(text: &'t Option<Text<'_>>) -> Option<&'t str> {
    text.as_ref().map(|text| &*text.0).filter(|text| !text.is_empty())
}

fn hash_of(text: &str) -> u64 {
    hash(text.as_bytes())
}

/// The hash of a measured client's name and system.
pub fn client_hash(name: &str, os: &str) -> u64 {
    hash_pair(name, os)
}

/// The hash of two strings: that of their hashes, eight bytes each, little endian.
fn hash_pair(first: &str, second: &str) -> u64 {
    let mut both = [0; 16];
    both[..8].copy_from_slice(&hash_of(first).to_le_bytes());
    both[8..].copy_from_slice(&hash_of(second).to_le_bytes());
    hash(&both)
}

/// The hash of an id that may be a string or a number; the outer `None` if it can be neither.
fn scalar_hash(json: Option<&serde_json::value::RawValue>) -> Option<Option<u64>> {
    let Some(json) = json else { return Some(None) };
    let id = value::scalar(json.get()).ok()?;
    Some((!id.is_empty()).then(|| hash_of(&id)))
}

/// The hash of an entity's type and id, of those that have both; the outer `None` if the id can be none.
fn entity_hash(entity: Option<&wire::Entity<'_>>) -> Option<Option<u64>> {
    let Some((Some(kind), Some(json))) = entity.map(|entity| (entity.kind.as_deref(), entity.id)) else {
        return Some(None);
    };
    let id = value::scalar(json.get()).ok()?;
    Some((!id.is_empty()).then(|| hash_pair(kind, &id)))
}

/// How a source finds the org of an event.
#[derive(Debug)]
struct Orgs {
    workspaces: Arc<WorkspaceDirectory>,
    org: Option<String>,
    speaks_for: Option<BTreeSet<String>>,
}

impl Orgs {
    fn of<'p>(&'p self, parsed: &'p Parsed<'_>, at: Micros) -> Result<&'p str, Rejection> {
        let by_workspace = || self.workspaces.lookup(&parsed.location, at);
        let named = parsed.enterprise.as_deref().or_else(by_workspace).or(self.org.as_deref());
        let org = named.unwrap_or(&parsed.location);
        if org.len() > NAME_BYTES_MAX || self.speaks_for.as_ref().is_some_and(|orgs| !orgs.contains(org)) {
            let why = format!("the source does not speak for org `{}`", clip(org, 64));
            let field = if parsed.enterprise.is_some() { "context.enterprise_id" } else { "context.location.id" };
            return Err(Rejection::field(RejectReason::WrongOrg, field, why));
        }
        Ok(org)
    }
}
