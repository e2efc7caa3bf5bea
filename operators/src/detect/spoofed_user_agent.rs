//! `spoofed_user_agent`: what was measured of the client contradicts what its user agent claims. Raised together with
//! `unexpected_client`.
//!
//! Rule: the agent claims one of Slack's apps or a browser, and (a) the measured client is another one, as
//! [`Software::is_contradicted_by`] tells, or (b) the TLS fingerprint is that of a tool.
//!
//! Nothing: what is not known on either side; a fingerprint that is in no table, as that of a proxy which rewrites the
//! handshake; a failed login. No state. Example: Slack's desktop app claimed, `Go` measured, raises; Safari on macOS
//! claimed, Safari on iOS measured, is an iPad.

use crate::model::software::Software;

/// What tells that a client is not what it claims, or that a script is behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The measured client.
    Measured,
    /// The TLS fingerprint.
    Tls,
}

impl By {
    /// Where evidence says that it comes from.
    pub fn source(self) -> &'static str {
        match self {
            By::Measured => "measured",
            By::Tls => "automation_tls",
        }
    }
}

/// What contradicts the claim, if anything does; `is_tool` says that the TLS fingerprint is a tool's.
pub fn check(claimed: Software, measured: Software, is_tool: bool) -> Option<By> {
    let by_measured = claimed.is_contradicted_by(measured).then_some(By::Measured);
    by_measured.or((is_tool && claimed.is_for_people()).then_some(By::Tls))
}
