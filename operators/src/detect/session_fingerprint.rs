//! `session_fingerprint`: one session, two holders, or another client than it was issued to.
//!
//! Two rules, each within one session. (a) *Stale cookie*: the event presents a rotation stamp older than one that was
//! first seen more than [`COOKIE_GRACE`] ago, and comes from another client (TLS, measured client, device or network)
//! than both the session's first one and the one that holds the newest stamp. The first client alone may present older
//! stamps for long, as its rotations may be lost; but when the other then comes back with the newer stamp, two hold it.
//! (b) *Changed client*: TLS fingerprint, device, or measured name or system differ from the session's, and no upgrade
//! explains it. An upgrade is a TLS change on the same device with the same measured client of another version; where no
//! client was measured, one with another user agent. An upgrade goes one way: the old fingerprint is tolerated for
//! the grace, later it is a second holder.
//!
//! Absent fields are no signal. Who of the holders is the thief cannot be told: the session is what is compromised.
//! Order counts, so an event older than the session's newest is skipped, and so is a change between two whole-second
//! stamps whose order cannot be told. Every change back and forth is evidence of the one case. Bounded by
//! [`STAMPS_MAX`].
//!
//! Example: stamps 100, 700 (first seen at 12:10:00) from a laptop; stamp 100 at 12:12:01 from elsewhere raises; at
//! 12:12:00, or from the laptop itself, it does not.

use super::client::{Client, Print};
use super::signal::{Change, Signal};
use crate::limits::{COOKIE_GRACE, STAMPS_MAX};
use engine::time::Micros;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Who holds a session, as far as its events show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holders {
    /// The client seen last.
    current: Client,
    /// The first client, where it is not the current one.
    owner: Option<Box<Client>>,
    /// The client that presented the newest stamp last, where it is not the current one.
    presenter: Option<Box<Client>>,
    /// Rotation stamps, ascending: the newest that has settled (was first seen longer ago than the grace), and later ones.
    #[serde(with = "super::short")]
    stamps: Vec<Stamp>,
    /// What an upgrade replaced.
    replaced: Option<Box<Replaced>>,
    /// The owner presented a stale stamp while another client held the newest.
    contested: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Stamp {
    value: Micros,
    seen: Micros,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Replaced {
    tls: Print,
    version: Print,
    since: Micros,
}

/// One event of a session, as the rule sees it.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// Event time.
    pub time: Micros,
    /// The client.
    pub client: Client,
    /// The rotation stamp presented.
    pub cookie: Option<Micros>,
    /// Whether the user agent is another than the session's last.
    pub agent_changed: bool,
}

impl Holders {
    /// A session that this client opened.
    pub fn new(client: Client) -> Self {
        Holders { current: client, owner: None, presenter: None, stamps: Vec::new(), replaced: None, contested: false }
    }

    /// Who they are, for people: the clients as prints of their traits.
    pub fn view(&self) -> Value {
        let client = |client: &Option<Box<Client>>| client.as_ref().map(|client| client.view());
        json!({
            "current": self.current.view(),
            "owner": client(&self.owner),
            "presenter": client(&self.presenter),
            "cookie_stamps_us": self.stamps.iter().map(|stamp| stamp.value.0).collect::<Vec<_>>(),
            "contested": self.contested,
        })
    }

    /// Takes up the next event, which is no older than `newest`, the one before it.
    pub fn check(&mut self, sight: &Sight, newest: Micros) -> Option<Signal> {
        let change = self.changed(sight, newest);
        let stale = sight.cookie.and_then(|cookie| self.stale(sight, cookie, newest));
        self.settle(sight, change);
        match (change, stale) {
            (Verdict::Changed(change), _) => Some(Signal::ClientChanged(change)),
            (_, stale) => stale,
        }
    }

    /// The TLS fingerprint that an upgrade at this time replaced.
    pub fn upgraded(&self, time: Micros) -> Option<Print> {
        let replaced = self.replaced.as_deref().filter(|replaced| replaced.since == time);
        replaced.map(|replaced| replaced.tls)
    }

    /// The TLS fingerprint that a client had here, if it is the same program on the same device and was updated since.
    pub fn before_update(&self, client: &Client) -> Option<Print> {
        let old = &self.current;
        let same = |one: Print, other: Print| one.is_some() && one == other;
        let same = same(client.device, old.device) && same(client.name, old.name);
        (same && client.version.differs(old.version) && client.tls.differs(old.tls)).then_some(old.tls)
    }

    /// Roughly the bytes on the heap.
    pub fn weight(&self) -> usize {
        let boxes = usize::from(self.owner.is_some()) + usize::from(self.presenter.is_some());
        self.stamps.capacity() * size_of::<Stamp>() + boxes * size_of::<Client>() + size_of::<Replaced>()
    }

    fn changed(&self, sight: &Sight, newest: Micros) -> Verdict {
        let (old, new) = (&self.current, &sight.client);
        let change = Change {
            tls: new.tls.differs(old.tls),
            client: new.name.differs(old.name),
            device: new.device.differs(old.device),
        };
        if !change.any() {
            return Verdict::Same;
        }
        if !order_known(newest, sight.time) {
            return Verdict::Ignored;
        }
        if change.client || change.device {
            return Verdict::Changed(change);
        }
        // A third version with the old fingerprint is a further upgrade, not the replaced client.
        let is_replaced = |old: &&Replaced| old.tls == new.tls && !new.version.differs(old.version);
        if let Some(replaced) = self.replaced.as_deref().filter(is_replaced) {
            let lingering = sight.time.since(latest(replaced.since, sight.time)) <= COOKIE_GRACE;
            return if lingering { Verdict::Ignored } else { Verdict::Changed(change) };
        }
        let measured = old.name.is_some() && new.name.is_some();
        let upgraded = if measured { new.version.differs(old.version) } else { sight.agent_changed };
        if upgraded { Verdict::Upgraded } else { Verdict::Changed(change) }
    }

    /// Rule (a), and what it remembers of stamps and their presenters.
    fn stale(&mut self, sight: &Sight, cookie: Micros, before: Micros) -> Option<Signal> {
        self.forget_settled(sight.time);
        let newest = self.stamps.last().map(|stamp| stamp.value);
        let superseded = self.stamps.iter().find(|stamp| stamp.value > cookie && stamp.settled(sight.time)).copied();
        let not_owner = sight.client.is_other(self.owner.as_deref().unwrap_or(&self.current));
        let not_presenter = sight.client.is_other(self.presenter.as_deref().unwrap_or(&self.current));
        if let Some(by) = superseded {
            self.contested |= not_presenter && !not_owner;
            let stale = Signal::StaleCookie { stamp: cookie, newer: by.value, since: by.seen };
            return (not_owner && not_presenter).then_some(stale);
        }
        if newest.is_none_or(|newest| cookie >= newest) {
            self.presenter = Some(Box::new(sight.client));
            if newest != Some(cookie) && self.stamps.len() < STAMPS_MAX {
                self.stamps.push(Stamp { value: cookie, seen: sight.time });
            }
            if self.contested && not_owner && order_known(before, sight.time) {
                self.contested = false;
                return Some(Signal::TwoHolders { stamp: cookie });
            }
        }
        None
    }

    fn forget_settled(&mut self, time: Micros) {
        let settled = self.stamps.iter().rposition(|stamp| stamp.settled(time));
        self.stamps.drain(..settled.unwrap_or(0));
    }

    /// Remembers who holds the session after this event.
    fn settle(&mut self, sight: &Sight, verdict: Verdict) {
        let old = self.current;
        let replaced_at = |since| Some(Box::new(Replaced { tls: old.tls, version: old.version, since }));
        match verdict {
            Verdict::Ignored => return,
            Verdict::Same => {}
            Verdict::Upgraded => {
                self.replaced = replaced_at(sight.time);
                self.upgrade(&old, &sight.client);
            }
            // Back and forth between the two of an upgrade: either is a second holder of the other from now on.
            Verdict::Changed(_) => match self.replaced.as_deref() {
                Some(replaced) if replaced.tls == sight.client.tls => self.replaced = replaced_at(replaced.since),
                _ => {}
            },
        }
        let mut new = self.current;
        new.refresh(&sight.client);
        if new != self.current {
            let old = Box::new(self.current);
            self.owner.get_or_insert_with(|| old.clone());
            if !self.stamps.is_empty() {
                self.presenter.get_or_insert(old);
            }
            self.current = new;
        }
        for holder in [&mut self.owner, &mut self.presenter] {
            // What equals the current client, as it does in most sessions, takes no room.
            if holder.as_deref().is_some_and(|holder| !holder.is_other(&new)) {
                *holder = None;
            }
        }
    }

    /// An upgraded client is still the same holder.
    fn upgrade(&mut self, old: &Client, new: &Client) {
        let holders = [self.owner.as_deref_mut(), self.presenter.as_deref_mut(), Some(&mut self.current)];
        for holder in holders.into_iter().flatten().filter(|holder| holder.tls == old.tls) {
            (holder.tls, holder.version) = (new.tls, new.version);
        }
    }
}

#[derive(Clone, Copy)]
enum Verdict {
    Same,
    Upgraded,
    Changed(Change),
    /// It cannot be told, or is a straggler: as if it had not been seen.
    Ignored,
}

impl Stamp {
    /// Whether this stamp was first seen longer ago than the grace, whatever its time was rounded from.
    fn settled(&self, time: Micros) -> bool {
        time.since(latest(self.seen, time)) > COOKIE_GRACE
    }
}

const SECOND: u64 = 1_000_000;

/// Whether the order of two stamps can be told: within one second it cannot if either was rounded down to it.
pub fn order_known(earlier: Micros, later: Micros) -> bool {
    earlier.secs() != later.secs() || !(earlier.0.is_multiple_of(SECOND) || later.0.is_multiple_of(SECOND))
}

/// The latest that a whole-second stamp may have been rounded from, when held against a finer one.
fn latest(stamp: Micros, against: Micros) -> Micros {
    let rounded = stamp.0.is_multiple_of(SECOND) && !against.0.is_multiple_of(SECOND);
    Micros(stamp.0 + if rounded { SECOND - 1 } else { 0 })
}
