//! `[destinations]`: what holds for every place that a job sends something to.

use crate::read::{self, Refusal, Section};
use crate::value::Value;
use connectors::http::post::Destination;
use connectors::reach::{PrivateHosts, host};

/// Reads the section: the hosts of the own network that may be sent to.
pub(crate) fn read(destinations: &mut Section<'_>) -> Option<PrivateHosts> {
    destinations.read_list("allow_private", named).map(PrivateHosts::new)
}

fn named(value: &Value) -> Result<String, Refusal> {
    host(&read::text(value)?)
        .map_err(|rule| Refusal::new(rule).hint("name a host such as \"receiver.internal\" or \"10.1.2.3\""))
}

/// A URL that something is posted to.
pub(crate) fn destination(hosts: &PrivateHosts) -> impl Fn(&Value) -> Result<Destination, Refusal> {
    move |value| {
        Destination::parse(&read::text(value)?, hosts).map_err(|rule| {
            Refusal::new(rule).hint("a host of your own network stands in allow_private in [destinations]")
        })
    }
}
