//! `unexpected_user_agent`: an agent that this user would not have. Raised together with `user_agent`.
//!
//! Rule: on an event of a person's, within a session or without, the agent is that of a tool, library or headless
//! browser, or claims what no real client does, and its family is not known of the user.
//!
//! Nothing: no agent, one that is not known to be any of these (the networking of phones, whatever nobody has heard of),
//! a failed login, which anybody can make who knows the name. Every such event is an anomaly, and so teaches nothing: a
//! family becomes known where the org trusts the network, as on a machine of its own that runs scripts.
//!
//! State: the family among the user's marks. Example: `python-requests/2.32.3` on a session raises; `okhttp/4.12.0` does
//! not.

use super::user_agent_parser::Claim;
use crate::model::software::Nature;

/// Whether the agent is one that people do not have.
pub fn is_odd(claim: &Claim) -> bool {
    matches!(claim.software.program.nature(), Nature::Automation | Nature::Implausible)
}

/// What evidence calls it.
pub fn metric(nature: Nature) -> &'static str {
    if nature == Nature::Implausible { "implausible_user_agent" } else { "automation_user_agent" }
}
