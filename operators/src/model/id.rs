//! Ids that follow from content, so that the same thing has the same id in every run.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// An id derived from content: 32 lowercase hex digits, the first half of a SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Id(pub String);

impl Id {
    /// The id of `parts` within a domain such as `anomaly` or `response`. Each part is preceded by its length (eight
    /// bytes, little endian), so that no two lists of parts run together.
    pub fn of(domain: &str, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in std::iter::once(domain.as_bytes()).chain(parts.iter().copied()) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Id(hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(Id::of("a", &[b"bc", b"d"]), Id::of("a", &[b"b", b"cd"]));
        assert_ne!(Id::of("ab", &[b"c"]), Id::of("a", &[b"bc"]));
        assert_eq!(Id::of("a", &[b"b"]).as_str().len(), 32);
    }
}
