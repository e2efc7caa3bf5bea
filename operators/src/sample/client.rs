//! The software that people and thieves use: what it claims (user agent), what the server measures (client, TLS
//! fingerprint), and how it is updated. Fingerprints have JA4's shape; apart from that they are made up.

use engine::time::Micros;
use std::io::{self, Write};

/// A program on a system.
#[derive(Debug)]
pub(super) struct Software {
    pub(super) name: &'static str,
    pub(super) os: &'static str,
    /// User agent before and after the version.
    ua: (&'static str, &'static str),
    /// Version before and after the number that counts releases.
    version: (&'static str, &'static str),
    /// Number of release zero; one more every [`RELEASE_DAYS`].
    base: i64,
    /// Changes with every fourth release, as the TLS library is updated.
    pub(super) tls: [&'static str; 2],
    /// Signed in anew every day.
    pub(super) browser: bool,
}

/// Days between releases.
const RELEASE_DAYS: u64 = 9;
/// Release periods since 1970 that are not counted; earlier than any day of a plan.
const FIRST_RELEASE: u64 = 2_190;

/// The end of a version that a rollback brings back.
const PATCH_BEFORE: &str = ".79";

/// A program in a version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) software: &'static Software,
    pub(super) release: u64,
    /// The patch before, as after a rollback.
    pub(super) rolled_back: bool,
}

impl Software {
    /// What is installed at a time by someone who updates `lag` days after a release.
    pub(super) fn at(&'static self, at: Micros, lag: u64) -> Client {
        let release = (at.secs() / 86_400).saturating_sub(lag) / RELEASE_DAYS - FIRST_RELEASE;
        Client { software: self, release, rolled_back: false }
    }
}

impl Client {
    pub(super) fn write_version(self, line: &mut Vec<u8>) -> io::Result<()> {
        let (head, tail) = self.software.version;
        let number = self.software.base.saturating_add_unsigned(self.release).max(0);
        let tail = if self.rolled_back { PATCH_BEFORE } else { tail };
        write!(line, "{head}{number}{tail}")
    }

    pub(super) fn write_ua(self, line: &mut Vec<u8>) -> io::Result<()> {
        let (head, tail) = self.software.ua;
        line.extend_from_slice(head.as_bytes());
        self.write_version(line)?;
        line.extend_from_slice(tail.as_bytes());
        Ok(())
    }

    pub(super) fn tls(self) -> &'static str {
        self.software.tls[(self.release / 4 % 2) as usize]
    }

    /// The next release with another TLS library.
    pub(super) fn updated(self) -> Self {
        Client { release: self.release + 4, ..self }
    }

    /// A release that most people no longer have, of the same TLS library.
    pub(super) fn outdated(self) -> Self {
        Client { release: self.release.saturating_sub(8), ..self }
    }

    /// The same release, a patch earlier.
    pub(super) fn rolled_back(self) -> Self {
        Client { rolled_back: true, ..self }
    }
}

macro_rules! software {
    ($($id:ident $name:literal $os:literal $ua_head:literal $ua_tail:literal $head:literal $base:literal $tail:literal
       $tls:literal $next:literal $browser:literal)*) => {
        $(pub(super) static $id: Software = Software {
            name: $name, os: $os, ua: ($ua_head, $ua_tail), version: ($head, $tail), base: $base, tls: [$tls, $next],
            browser: $browser,
        };)*
    };
}

software! {
    SLACK_MAC "Slack Desktop" "macOS"
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36 Slack_SSB/" ""
        "4." 0 ".81" "t13d1516h2_8daaf6152771_b186095e22b6" "t13d1517h2_8daaf6152771_d8a2da3f94cd" false
    SLACK_WINDOWS "Slack Desktop" "Windows"
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36 Slack_SSB/" ""
        "4." 0 ".81" "t13d1516h2_8daaf6152771_e5627efa2ab1" "t13d1517h2_8daaf6152771_02713d6af862" false
    CHROME_WINDOWS "Chrome" "Windows"
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/" " Safari/537.36"
        "" 60 ".0.0.0" "t13d1516h2_8daaf6152771_7f4d9c01be22" "t13d1517h2_8daaf6152771_91c5de70aa13" true
    CHROME_MAC "Chrome" "macOS"
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/" " Safari/537.36"
        "" 60 ".0.0.0" "t13d1516h2_8daaf6152771_5ac1f1d90b34" "t13d1517h2_8daaf6152771_6600cf8812e9" true
    SLACK_IOS "Slack iOS" "iOS"
        "com.tinyspeck.chatlyio/" " (iPhone; iOS 18.3; Scale/3.00)"
        "25." 1 ".10" "t13d2014h2_a09f3c656075_14788d8d241b" "t13d2014h2_a09f3c656075_e42f34c56612" false
    SLACK_ANDROID "Slack Android" "Android"
        "com.Slack/" " (Google Pixel 8; Android 15)"
        "25." 1 ".20" "t13d1812h2_5d04281c6031_cf86d33bc3a1" "t13d1812h2_5d04281c6031_be15d0a91c02" false
    TOR_BROWSER "Firefox" "Windows"
        "Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Firefox/" ""
        "" 40 ".0" "t13d1717h2_5b57614c22b0_3cbfd9057e0d" "t13d1717h2_5b57614c22b0_3cbfd9057e0d" true
    FIREFOX_LINUX "Firefox" "Linux"
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/" ""
        "" 50 ".0" "t13d1717h2_5b57614c22b0_9a0b1f63e1c7" "t13d1717h2_5b57614c22b0_9a0b1f63e1c7" true
    SLACK_LINUX "Slack Desktop" "Linux"
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36 Slack_SSB/" ""
        "4." 0 ".81" "t13d1516h2_8daaf6152771_0b7d6b3a9c54" "t13d1517h2_8daaf6152771_4c1f2be8d07a" false
    SAFARI_IPAD "Safari" "iOS"
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/" " Safari/605.1.15"
        "26." -89 "" "t13d2014h2_a09f3c656075_7f0f34a4126d" "t13d2014h2_a09f3c656075_7f0f34a4126d" true
    CHROME_TABLET "Chrome" "Android"
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/" " Safari/537.36"
        "" 60 ".0.0.0" "t13d1516h2_8daaf6152771_27ad3c1e95f0" "t13d1516h2_8daaf6152771_27ad3c1e95f0" true
    PYTHON "Python" "Linux"
        "python-requests/" "" "2." -60 ".3" "t13d1811h1_85036bcba153_b26ce05bbdd6" "t13d1811h1_85036bcba153_b26ce05bbdd6" false
    GO "Go" "Linux"
        "Go-http-client/" "" "2." -92 "" "t13d1312h2_f57a46bbacb6_ab7e3b40a677" "t13d1312h2_f57a46bbacb6_ab7e3b40a677" false
    CURL "curl" "Linux"
        "curl/" "" "8." -80 ".1" "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6" "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6" false
    NODE "Node.js" "Linux"
        "axios/" "" "1." -84 ".2" "t13d5912h1_a33745022dd6_1f22a2ca17c4" "t13d5912h1_a33745022dd6_1f22a2ca17c4" false
    HEADLESS "HeadlessChrome" "Linux"
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/" " Safari/537.36"
        "" 60 ".0.0.0" "t13d1515h2_8daaf6152771_de4a06bb82e3" "t13d1515h2_8daaf6152771_de4a06bb82e3" true
}

/// What people have on their desks; nobody has Linux there.
pub(super) static DESKTOPS: [&Software; 6] =
    [&SLACK_MAC, &SLACK_WINDOWS, &SLACK_WINDOWS, &SLACK_MAC, &CHROME_WINDOWS, &CHROME_MAC];
/// What people have in their pockets.
pub(super) static PHONES: [&Software; 2] = [&SLACK_IOS, &SLACK_ANDROID];
/// What some people read on in the evening; it claims to be a computer.
pub(super) static TABLETS: [&Software; 2] = [&SAFARI_IPAD, &CHROME_TABLET];
/// Programs that nobody sits in front of, by the name that a list gives each.
pub(super) static AUTOMATION: [(&Software, &str); 5] =
    [(&GO, "Go-based tool"), (&PYTHON, "Python"), (&CURL, "curl"), (&NODE, "Node.js"), (&HEADLESS, "Headless Chrome")];
/// The handshake of a bank's proxy, through which all traffic of its desks goes.
pub(super) const PROXY_TLS: &str = "t13d1714h2_5b57614c22b0_93c746dc12af";
/// A TLS fingerprint that no client here has: a proxy that rewrites the handshake.
pub(super) const REWRITTEN_TLS: &str = "t13d1715h2_5b57614c22b0_7121afd63204";
