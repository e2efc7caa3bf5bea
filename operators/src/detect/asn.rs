//! `asn`: the request came from a network on the list of suspicious ones.
//!
//! Rule: the AS number stands in the threat list `suspicious_asn` as of the event's effective time, whatever the
//! history. It always comes with `ip_address`. No state, no threshold. Example: `"asn":64666` with that number listed.

use super::references::References;
use crate::model::anomaly::Evidence;
use crate::model::event::{Event, EventText};
use crate::model::reason::Reason;

/// The AS number of an event, if it is on the list.
pub fn check(event: &Event, references: &References) -> Option<u32> {
    event.asn.filter(|asn| references.is_suspicious(*asn))
}

/// What to show for it.
pub fn evidence(asn: u32, text: &EventText) -> Vec<Evidence> {
    vec![Evidence {
        reason: Reason::Asn.code().to_owned(),
        metric: "asn".to_owned(),
        observed: asn.to_string(),
        threshold_source: "threat_list:suspicious_asn".to_owned(),
        event_ids: vec![text.id.clone()],
        ..Evidence::default()
    }]
}
