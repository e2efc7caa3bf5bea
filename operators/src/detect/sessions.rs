//! What is remembered of each session of a user. Owned here: when sessions go, and which address and agent came before.
//! What a change of client means is the rule's (`session_fingerprint`).

use super::agents::Agents;
use super::client::{Client, Print};
use super::session_fingerprint::Holders;
use crate::limits::{COOKIE_GRACE, SESSION_IDLE, SESSIONS_MAX};
use engine::time::Micros;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::net::IpAddr;

/// One session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Hash of its id.
    pub id: u64,
    /// Effective time of its first event.
    pub first_seen: Micros,
    /// Event time of its newest event.
    pub newest: Micros,
    /// Who holds it.
    pub holders: Holders,
    ip: Option<IpAddr>,
    previous_ip: Option<IpAddr>,
    agent: Print,
    previous_agent: Print,
    /// Event time, in seconds, at which the agent became another one than these two.
    agent_since: u32,
}

impl Session {
    fn new(id: u64, at: Micros, time: Micros, client: Client) -> Self {
        Session {
            id,
            first_seen: at,
            newest: time,
            holders: Holders::new(client),
            ip: None,
            previous_ip: None,
            agent: Print::default(),
            previous_agent: Print::default(),
            agent_since: 0,
        }
    }

    /// Takes over address and agent of an event that is no older than the newest.
    pub fn follow(&mut self, time: Micros, ip: Option<IpAddr>, agent: Print) {
        if ip.is_some() && ip != self.ip {
            self.previous_ip = self.ip.or(self.previous_ip);
            self.ip = ip;
        }
        if agent.is_some() && agent != self.agent {
            if agent != self.previous_agent {
                self.agent_since = time.secs() as u32;
            }
            if self.agent.is_some() {
                self.previous_agent = self.agent;
            }
            self.agent = agent;
        }
    }

    /// Whether the session's agent was another one until now.
    pub fn had_other(&self, agent: Print) -> bool {
        agent.differs(self.agent)
    }

    /// The agent, if there was one.
    pub fn agent(&self) -> Print {
        self.agent
    }

    /// Whether this agent was replaced so short a time ago that it may still be heard of.
    pub fn lingers(&self, agent: Print, time: Micros) -> bool {
        let since = Micros::from_secs(u64::from(self.agent_since) + 1);
        agent == self.previous_agent && time.since(since) <= COOKIE_GRACE
    }

    /// Whether the session needs the text of this agent.
    pub fn needs(&self, agent: Print) -> bool {
        self.agent == agent || self.previous_agent == agent
    }

    /// The address before the last change, empty if it never changed.
    pub fn previous_ip(&self) -> String {
        self.previous_ip.map_or_else(String::new, |ip| ip.to_string())
    }

    /// The agent before the last change, if it changed.
    pub fn previous_agent(&self) -> Print {
        self.previous_agent
    }
}

/// The sessions of one user, at most [`SESSIONS_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sessions(#[serde(with = "super::short")] Vec<Session>);

impl Sessions {
    /// The session, if it is remembered.
    pub fn get(&self, id: u64) -> Option<&Session> {
        self.0.iter().find(|session| session.id == id)
    }

    /// The session, new if need be, and whether another was evicted for it: the one that was used over the shortest time,
    /// and of several the one that was used least recently. Its case, if it has one, stays open without it.
    pub fn open(&mut self, id: u64, at: Micros, time: Micros, client: Client) -> (&mut Session, bool) {
        if let Some(place) = self.0.iter().position(|session| session.id == id) {
            return (&mut self.0[place], false);
        }
        self.0.retain(|session| time.since(session.newest) < SESSION_IDLE);
        let full = self.0.len() >= SESSIONS_MAX;
        if full {
            let established =
                |session: &Session| (session.newest.since(session.first_seen), session.newest, session.id);
            let least = self.0.iter().enumerate().min_by_key(|(_, session)| established(session));
            let place = least.expect("a full list has one").0;
            self.0.remove(place);
        }
        self.0.push(Session::new(id, at, time, client));
        (self.0.last_mut().expect("just pushed"), full)
    }

    /// The TLS fingerprints that a client had in sessions before it was updated.
    pub fn before_update(&self, client: Client) -> impl Iterator<Item = Print> + '_ {
        self.0.iter().filter_map(move |session| session.holders.before_update(&client))
    }

    /// Whether any session needs the text of this agent.
    pub fn need(&self, agent: Print) -> bool {
        self.0.iter().any(|session| session.needs(agent))
    }

    /// All of them by the hash of their id, for people.
    pub fn view(&self, agents: &Agents) -> Value {
        let view = |session: &Session| {
            let fields = json!({
                "first_seen_us": session.first_seen.0,
                "newest_us": session.newest.0,
                "ip": session.ip,
                "previous_ip": session.previous_ip,
                "agent": agents.text(session.agent),
                "previous_agent": agents.text(session.previous_agent),
                "holders": session.holders.view(),
            });
            (format!("{:016x}", session.id), fields)
        };
        Value::Object(self.0.iter().map(view).collect())
    }

    /// Roughly the bytes on the heap.
    pub fn weight(&self) -> usize {
        self.0.iter().map(|session| size_of::<Session>() + session.holders.weight()).sum()
    }
}
