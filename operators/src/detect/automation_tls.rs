//! Which TLS fingerprints are those of tools that scripts use. Owned here: the table that is shipped, and looking up.
//! A fingerprint that is in no table says nothing: it may be that of a proxy which rewrites the handshake.

use engine::key::{self, Map};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A fingerprint and a tool on a line.
const LINES: &str = include_str!("automation_tls.txt");

static SHIPPED: LazyLock<AutomationTls> = LazyLock::new(|| AutomationTls::of(shipped_lines()));

/// Tools by the hash of their fingerprint, as events carry it.
#[derive(Debug, Default)]
pub struct AutomationTls(Map<u64, String>);

impl AutomationTls {
    /// The table that holds while no list is set.
    pub fn shipped() -> &'static Self {
        &SHIPPED
    }

    /// The table of a threat list.
    pub fn of_list(list: &BTreeMap<String, String>) -> Self {
        Self::of(list.iter().map(|(fingerprint, tool)| (fingerprint.as_str(), tool.as_str())))
    }

    fn of<'t>(entries: impl Iterator<Item = (&'t str, &'t str)>) -> Self {
        AutomationTls(entries.map(|(fingerprint, tool)| (key::hash(fingerprint.as_bytes()), tool.to_owned())).collect())
    }

    /// The tool that has this fingerprint.
    pub fn tool(&self, tls: u64) -> Option<&str> {
        self.0.get(&tls).map(String::as_str)
    }
}

fn shipped_lines() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = LINES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap_or((line, "unknown")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_table_has_each_fingerprint_once_in_the_shape_of_ja4() {
        let lines: Vec<_> = shipped_lines().collect();
        assert_eq!(AutomationTls::shipped().0.len(), lines.len());
        for (fingerprint, tool) in lines {
            let parts: Vec<&str> = fingerprint.split('_').collect();
            assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [10, 12, 12], "{fingerprint}");
            assert!(parts[0].starts_with("t1") && tool != "unknown", "{fingerprint}");
        }
    }

    #[test]
    fn a_browsers_fingerprint_is_not_in_it() {
        // The cipher suites of Chromium, and so of Slack's app for desktops and of headless browsers; of Firefox; of
        // Safari.
        for ciphers in ["_8daaf6152771_", "_5b57614c22b0_", "_a09f3c656075_"] {
            assert!(shipped_lines().all(|(fingerprint, _)| !fingerprint.contains(ciphers)));
        }
        let tool = |text: &str| AutomationTls::shipped().tool(key::hash(text.as_bytes()));
        assert_eq!(tool("t13d1312h2_f57a46bbacb6_ab7e3b40a677"), Some("Go-based tool"));
        assert_eq!(tool("t13d1516h2_8daaf6152771_02713d6af862"), None);
    }
}
