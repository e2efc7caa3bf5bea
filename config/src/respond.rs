//! `[respond]`: what holds for carrying out responses, in wall time.

use crate::read::{self, Section};
use std::time::Duration;

/// How long and how often responses are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Respond {
    /// How long a step is tried before it is given up.
    pub give_up_after: Duration,
    /// How old a response may be whose first step is begun.
    pub max_response_age: Duration,
    /// How many responses of one org may be begun in an hour.
    pub max_per_org_and_hour: u64,
}

pub(crate) fn read(respond: &mut Section<'_>) -> Option<Respond> {
    const DAY: Duration = Duration::from_secs(24 * 3_600);
    let give_up_after = respond.read("give_up_after", read::duration(Duration::from_secs(1)..=7 * DAY));
    let max_response_age = respond.read("max_response_age", read::duration(Duration::from_secs(10)..=7 * DAY));
    let max_per_org_and_hour = respond.read("max_per_org_and_hour", read::count(1..=1_000_000));
    Some(Respond {
        give_up_after: give_up_after?,
        max_response_age: max_response_age?,
        max_per_org_and_hour: max_per_org_and_hour?,
    })
}
