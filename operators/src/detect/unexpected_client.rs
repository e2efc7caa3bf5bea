//! `unexpected_client`: a client that is made for scripts, on a person's session or without one.
//!
//! Rule: with `spoofed_user_agent` always; alone, where a script was measured, or the TLS fingerprint is a tool's, nothing
//! contradicts the agent, and the measured client (or the fingerprint) is not known of the user.
//!
//! No state but the user's marks. Example: `curl/8.11.1` claimed and `curl` measured raises this alone, beside what the
//! agent itself raises.

use super::signal::Scene;
use super::spoofed_user_agent::By;
use crate::model::software::Software;

/// What tells that a script is behind it, if anything does.
pub fn check(measured: Software, is_tool: bool) -> Option<By> {
    measured.is_automation().then_some(By::Measured).or(is_tool.then_some(By::Tls))
}

/// The client and the system that were detected, empty where they were not.
pub fn detected(scene: &Scene<'_>, by: By) -> (String, String) {
    match by {
        By::Measured => {
            let own = |part: &Option<String>| part.clone().unwrap_or_default();
            (own(&scene.text.client_name), own(&scene.text.client_os))
        }
        By::Tls => (scene.tool.unwrap_or_default().to_owned(), String::new()),
    }
}
