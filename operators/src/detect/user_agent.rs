//! `user_agent`: within one session the user agent changed as an update does not change it.
//!
//! Rule: the event's agent is another program than the session's agent until now, or runs on another system, or is the
//! same program in a lower version. Each change is judged once, against the agent just before, so that somebody who goes
//! on with an older version is told of once.
//!
//! Nothing: a higher version; a phone or tablet that claims a desktop's system ([`Os::contradicts`]); an engine within
//! an app beside the app; an agent that is not known. The version before an update is tolerated for [`COOKIE_GRACE`]
//! after it, as requests may be under way; a change between two whole-second stamps whose order cannot be told is
//! skipped, and so is an event older than the session's newest.
//!
//! When an org takes a version back, its users go down together. Once [`ROLLBACK_USERS`] of them went down to the same
//! version of the same program, which detection hears of an hour later, nobody else is raised for it.
//!
//! Always raised with `unexpected_user_agent`. State: when the session's agent last changed. Example: Chrome 132, then
//! Chrome 131 in the same session five minutes later raises; Chrome 133 does not.
//!
//! [`Os::contradicts`]: crate::model::software::Os::contradicts
//! [`COOKIE_GRACE`]: crate::limits::COOKIE_GRACE
//! [`ROLLBACK_USERS`]: crate::limits::ROLLBACK_USERS

use super::user_agent_parser::Claim;
use crate::model::software::{Nature, Program};

/// What is odd about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    /// Another program or system.
    Other,
    /// A lower version.
    Lower,
}

/// What is odd about a session's agent becoming another one, if anything is.
pub fn odd(from: &Claim, to: &Claim) -> Option<Odd> {
    let programs = (from.software.program, to.software.program);
    if programs.0 == Program::Unknown || programs.1 == Program::Unknown {
        return None;
    }
    if programs.0 != programs.1 && !are_of_one_app(programs) || from.software.os.contradicts(to.software.os) {
        return Some(Odd::Other);
    }
    let same = from.family == to.family && from.software == to.software;
    (same && to.version.is_below(from.version)).then_some(Odd::Lower)
}

/// Whether the two may be parts of one app.
fn are_of_one_app(programs: (Program, Program)) -> bool {
    match programs {
        (Program::WebView, other) | (other, Program::WebView) => other.nature() == Nature::Native,
        _ => false,
    }
}
