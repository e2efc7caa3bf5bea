//! `tor`: the request came from a Tor exit node.
//!
//! Rule: the address stands in the threat list `tor_exit` as of the event's effective time. No state, no threshold.
//! Example: `"ip_address":"185.220.101.7"` with that address in the list raises one anomaly per session; later events of
//! the session from any exit node are evidence of the same case.

use super::references::References;
use super::signal::Signal;
use crate::model::event::Event;

/// Whether an event came from a Tor exit node.
pub fn check(event: &Event, references: &References) -> Option<Signal> {
    event.ip.filter(|ip| references.is_tor_exit(*ip)).map(|_| Signal::Tor)
}
