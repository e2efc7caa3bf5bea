//! The reason codes of anomalies, and which of them an org can have answered.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

macro_rules! reasons {
    ($($variant:ident $code:literal $doc:literal)*) => {
        /// Why an event is anomalous: the 18 codes of Slack's catalogue. Ordered as their codes are.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason { $(#[doc = $doc] $variant),* }

        impl Reason {
            /// All of them, in the order of their codes.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant),*];

            /// The code as it stands in audit entries and settings.
            pub const fn code(self) -> &'static str {
                match self { $(Reason::$variant => $code),* }
            }
        }
    };
}

reasons! {
    Asn "asn" "AS number on a suspicious list."
    ExcessiveDownloads "excessive_downloads" "Far more file downloads than is usual here."
    ExcessiveFileShares "excessive_file_shares" "Far more file shares than is usual here."
    ExcessiveMalwareUploads "excessive_malware_uploads" "Several malicious files shared."
    IpAddress "ip_address" "Network that is not in the history."
    PotentialSpam "potential_spam" "Very many calls of one disruptive method."
    SearchVolume "search_volume" "Far more searches than is usual here."
    SessionFingerprint "session_fingerprint" "Stale session cookie, or another client within one session."
    SpoofedUserAgent "spoofed_user_agent" "What was measured of the client contradicts its user agent."
    Tor "tor" "Request from a Tor exit node."
    UnexpectedAdminAction "unexpected_admin_action" "Admin action that is unusual for this admin."
    UnexpectedApiCallVolume "unexpected_api_call_volume" "More API calls than a person's client makes."
    UnexpectedClient "unexpected_client" "Anomalous client."
    UnexpectedCredentialTesting "unexpected_credential_testing" "An app probes credentials."
    UnexpectedMessageDeletion "unexpected_message_deletion" "Mass deletion of messages."
    UnexpectedScraping "unexpected_scraping" "A tool or a reading pattern of scraping."
    UnexpectedUserAgent "unexpected_user_agent" "User agent that this user would not have."
    UserAgent "user_agent" "User agent changed in an odd way."
}

impl Reason {
    /// The reasons that an org's settings have a toggle for. All others are only logged.
    pub const WITH_TOGGLE: &'static [Reason] = &[
        Reason::ExcessiveDownloads,
        Reason::SessionFingerprint,
        Reason::SpoofedUserAgent,
        Reason::Tor,
        Reason::UnexpectedApiCallVolume,
        Reason::UnexpectedScraping,
        Reason::UnexpectedUserAgent,
    ];

    /// Whether an org's settings have a toggle for this reason.
    pub fn has_toggle(self) -> bool {
        Self::WITH_TOGGLE.contains(&self)
    }

    /// Whether the toggle is on in an org that never set it.
    pub fn enabled_by_default(self) -> bool {
        matches!(self, Reason::Tor | Reason::UnexpectedScraping)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A reason code that is not in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a reason code")]
pub struct UnknownReason(pub String);

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(code: &str) -> Result<Self, UnknownReason> {
        Reason::ALL.iter().copied().find(|r| r.code() == code).ok_or_else(|| UnknownReason(code.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_codes() {
        assert!(Reason::ALL.windows(2).all(|pair| pair[0] < pair[1] && pair[0].code() < pair[1].code()));
        assert!(Reason::ALL.iter().all(|r| r.code().parse() == Ok(*r)));
        assert_eq!(Reason::ALL.len(), 18);
    }
}
