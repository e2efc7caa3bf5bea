//! `tor`: the request came from a Tor exit node.
//!
//! Rule: the address stands in the threat list `tor_exit` as of the event's effective time. No state, no threshold.
//! Example: `"ip_address":"185.220.101.7"` with that address in the list raises one anomaly per session; later events of
//! the session from any exit node are evidence of the same case.

use super::references::References;
use crate::model::event::Event;

/// Whether an event came from a Tor exit node.
pub fn is_from(event: &Event, references: &References) -> bool {
    event.ip.is_some_and(|ip| references.is_tor_exit(ip))
}
