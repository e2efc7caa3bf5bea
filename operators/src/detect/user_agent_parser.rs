//! What a user agent claims: which program in which version on which system. Owned here: reading the regexes file of
//! uap-core (`uap-core/`, or the one that a job names), Slack's own apps, which it does not know, and which claims no
//! real client makes. Not owned here: what is kept of a claim per user (`agents`), and what follows from it.
//!
//! Parsing is a pure function of the text. Built once per process: 40 ms and 10 MB. An agent takes 3 µs, one of a
//! kilobyte 15, as measured on one core: as much as reading its text from the line. Both are done once per user and agent.

mod regexes;

use super::client::Print;
use crate::model::software::{Nature, Os, Program, Software};
use engine::key;
use regexes::{AGENTS, SYSTEMS, entries};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Arc, LazyLock};
use ua_parser::{os, user_agent};

/// The regexes that are shipped.
const SHIPPED: &str = include_str!("uap-core/regexes.yaml");

static PARSER: LazyLock<Arc<UserAgentParser>> =
    LazyLock::new(|| Arc::new(UserAgentParser::read(SHIPPED).expect("a test reads the shipped file")));

/// Chrome, Edge and Firefox make 13 versions a year and reach this one after 2040.
const MAJOR_MAX: u32 = 400;

/// The last versions of Chrome (49) and Firefox (52) that ran on a Windows before 6.0.
const MAJOR_ON_OLD_WINDOWS_MAX: u32 = 52;

/// The last version of Internet Explorer before the one that presents itself by its engine.
const MSIE_MAX: u32 = 10;

/// What an agent claims, as small facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Print of the program's name and its system, so that all versions of one client are one.
    pub family: Print,
    /// Program and system.
    pub software: Software,
    /// Of the program.
    pub version: Version,
}

/// A version of three parts, twelve bits for the first and ten for each other. What does not fit counts as the largest
/// that does: that can hide a step down, never make one up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version(pub u32);

impl Version {
    fn of(parts: [Option<&str>; 3]) -> Self {
        let [major, minor, patch] = parts.map(|part| part.map_or(0, number));
        Version(major.min(0xfff) << 20 | minor.min(0x3ff) << 10 | patch.min(0x3ff))
    }

    fn major(self) -> u32 {
        self.0 >> 20
    }

    /// The parts, as far as any is not zero, for people; empty if it is not known.
    pub fn name(self) -> String {
        let parts = [self.major(), self.0 >> 10 & 0x3ff, self.0 & 0x3ff];
        let known = parts.iter().rposition(|part| *part > 0).map_or(0, |last| last + 1);
        parts[..known].iter().map(u32::to_string).collect::<Vec<_>>().join(".")
    }

    /// Whether both are known and this one is the lower.
    pub fn is_below(self, other: Version) -> bool {
        self.0 != 0 && self < other
    }
}

impl Claim {
    /// What it claims, such as `Chrome 131 on Windows`; empty if nothing that is known.
    pub fn name(&self) -> String {
        let parts = [self.software.program.name(), &self.version.name()];
        let program = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
        match (program.is_empty(), self.software.os.name()) {
            (_, "") => program,
            (true, os) => os.to_owned(),
            (false, os) => format!("{program} on {os}"),
        }
    }
}

/// The number that a text begins with.
fn number(text: &str) -> u32 {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    // Nothing is zero; of what does not fit, all is too large.
    if digits == 0 { 0 } else { text[..digits].parse().unwrap_or(u32::MAX) }
}

/// Reads claims.
pub struct UserAgentParser {
    agents: user_agent::Extractor<'static>,
    systems: os::Extractor<'static>,
}

impl fmt::Debug for UserAgentParser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserAgentParser").finish_non_exhaustive()
    }
}

impl UserAgentParser {
    /// The one with the regexes that are shipped.
    pub fn shipped() -> Arc<Self> {
        PARSER.clone()
    }

    /// One with the regexes of a file of uap-core's form. Its devices are passed over.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub fn read(regexes: &str) -> Result<Self, String> {
        let (mut agents, mut systems) = (user_agent::Builder::new(), os::Builder::new());
        let (mut agent_count, mut system_count) = (0, 0);
        for entry in entries(regexes)? {
            let wrong = |error: ua_parser::Error| format!("line {}: not a regex that can be used: {error}", entry.line);
            let text = |key: &str| entry.get(key).map(|value| value.to_owned().into());
            let regex = entry.regex.clone().into();
            match entry.section {
                AGENTS => {
                    let parser = user_agent::Parser {
                        regex,
                        family_replacement: text("family_replacement"),
                        v1_replacement: text("v1_replacement"),
                        v2_replacement: text("v2_replacement"),
                        v3_replacement: text("v3_replacement"),
                        v4_replacement: None,
                    };
                    agents = agents.push(parser).map_err(wrong)?;
                    agent_count += 1;
                }
                SYSTEMS => {
                    let os_replacement = text("os_replacement");
                    systems = systems
                        .push(os::Parser { regex, os_replacement, ..os::Parser::default() })
                        .map_err(|error| wrong(error.into()))?;
                    system_count += 1;
                }
                _ => {}
            }
        }
        if agent_count == 0 || system_count == 0 {
            return Err(format!("no regexes below {AGENTS} or below {SYSTEMS}"));
        }
        let built = |error| format!("the regexes cannot be built: {error:?}");
        Ok(UserAgentParser { agents: agents.build().map_err(built)?, systems: systems.build().map_err(built)? })
    }

    /// What a text claims.
    pub fn parse(&self, text: &str) -> Claim {
        let system = self.systems.extract(text).map(|found| found.os.into_owned()).unwrap_or_default();
        let apples = IOS_BROWSERS.iter().find_map(|(token, program)| Some((*program, version_after(text, token)?)));
        let os = if apples.is_some() { Os::Ios } else { Os::named(&system) };
        let found = self.agents.extract(text);
        let (name, program, version) = match (slack(text).or(apples), &found) {
            (Some((program, version)), _) => (format!("{program:?}"), program, version),
            (None, Some(found)) => {
                let version = Version::of([found.major, found.minor, found.patch]);
                (found.family.clone().into_owned(), Program::named(&found.family), version)
            }
            (None, None) => {
                let name = text.split([' ', '(', ';']).next().unwrap_or_default();
                (without_versions(text), Program::named(name), version_of(name.split('/').nth(1).unwrap_or_default()))
            }
        };
        let program = if is_implausible(text, program, version) { Program::Implausible } else { program };
        let family = Print::of(Some(key::hash(format!("agent:{name}/{system}").as_bytes())));
        Claim { family, software: Software { program, os }, version }
    }
}

/// What Chrome, Firefox and Edge are called on Apple's phones and tablets, also where these claim to be Macs.
const IOS_BROWSERS: [(&str, Program); 3] =
    [("CriOS/", Program::Chrome), ("FxiOS/", Program::Firefox), ("EdgiOS/", Program::Edge)];

/// Which of Slack's own apps it is, and its version.
fn slack(text: &str) -> Option<(Program, Version)> {
    let after = |token: &str| version_after(text, token);
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if let Some(version) = after("com.tinyspeck.chatlyio/") {
        return Some((Program::SlackIos, version));
    }
    if let Some(version) = after("com.Slack/") {
        return Some((Program::SlackAndroid, version));
    }
    let version = after("Slack_SSB/").or_else(|| after("Slack/"))?;
    let program = if has(&["Android"]) {
        Program::SlackAndroid
    } else if has(&["iPhone", "iPad", "iOS"]) {
        Program::SlackIos
    } else if has(&["CFNetwork/"]) {
        // The networking of Apple's systems, which does not say on which of them.
        Program::WebView
    } else {
        Program::SlackDesktop
    };
    Some((program, version))
}

/// The version behind a token that begins a word.
fn version_after(text: &str, token: &str) -> Option<Version> {
    let at = text.match_indices(token).map(|(at, _)| at).find(|at| *at == 0 || text[..*at].ends_with(' '))?;
    Some(version_of(&text[at + token.len()..]))
}

fn version_of(text: &str) -> Version {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let mut parts = text[..end].split('.');
    Version::of([parts.next(), parts.next(), parts.next()])
}

/// The text of an agent that no regex knows, without its digits and the dots and underscores between them.
fn without_versions(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit() && !matches!(c, '.' | '_')).collect()
}

/// Whether no real client makes this claim. Only what is certain: a wrong one would sign somebody out.
fn is_implausible(text: &str, program: Program, version: Version) -> bool {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let systems: [&[&str]; 4] = [&["Windows NT"], &["Macintosh"], &["iPhone", "iPad"], &["Android"]];
    let two_systems = systems.iter().filter(|words| has(words)).count() > 1;
    let numbered = matches!(program, Program::Chrome | Program::Edge | Program::Firefox);
    let major = version.major();
    let never_made = numbered && major > MAJOR_MAX;
    let too_new = numbered && major > MAJOR_ON_OLD_WINDOWS_MAX && has(&["Windows NT 5.", "Windows NT 4.", "Windows 9"]);
    let ancient = program == Program::Browser && has(&["MSIE "]) && !has(&["Trident/7"]) && major <= MSIE_MAX;
    let bare = matches!(text.trim(), "Mozilla/5.0" | "Mozilla/4.0" | "Mozilla");
    let for_people = matches!(program.nature(), Nature::Native | Nature::Browser);
    bare || for_people && (two_systems || never_made || too_new || ancient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    /// A Chrome on Windows.
    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                          Chrome/131.0.0.0 Safari/537.36";

    fn claim(text: &str) -> Claim {
        UserAgentParser::shipped().parse(text)
    }

    fn shown(text: &str) -> String {
        let Claim { software: Software { program, os }, version, .. } = claim(text);
        format!("{program:?} {}.{}.{} {os:?}", version.major(), version.0 >> 10 & 0x3ff, version.0 & 0x3ff)
    }

    #[test]
    fn the_shipped_file_is_the_one_that_its_source_note_names() {
        let digest: String = Sha256::digest(SHIPPED).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, "896e693efa6c275410f51fabc3bb1805b9a27b6efc3fd623fa308490551ce448");
        assert_eq!(entries(SHIPPED).unwrap().len(), 547);
    }

    #[test]
    fn what_people_use_is_known() {
        let mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko)";
        let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)";
        let android = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko)";
        for (text, expected) in [
            (CHROME.to_owned(), "Chrome 131.0.0 Windows"),
            (format!("{CHROME} Edg/131.0.0.0"), "Edge 131.0.0 Windows"),
            (format!("{CHROME} OPR/116.0.0.0"), "Chromium 116.0.0 Windows"),
            (CHROME.replace("Windows NT 10.0; Win64; x64", "X11; CrOS x86_64 14541.0.0"), "Chrome 131.0.0 ChromeOs"),
            (CHROME.replace("Windows NT 10.0; Win64; x64", "X11; Linux x86_64"), "Chrome 131.0.0 Linux"),
            (format!("{mac} Chrome/134.0.0.0 Safari/537.36 Slack_SSB/4.43.81"), "SlackDesktop 4.43.81 MacOs"),
            (
                format!("{mac} Slack/4.41.105 Chrome/130.0.6723.137 Electron/33.2.1 Safari/537.36 Sonic"),
                "SlackDesktop 4.41.105 MacOs",
            ),
            (format!("{mac} Chrome/130.0.6723.137 Electron/33.2.1 Safari/537.36"), "WebView 33.2.1 MacOs"),
            (format!("{mac} Version/18.1 Safari/605.1.15"), "Safari 18.1.0 MacOs"),
            (format!("{mac} CriOS/131.0 Version/11.1.1 Safari/605.1.15"), "Chrome 131.0.0 Ios"),
            (format!("{iphone} Version/18.1 Mobile/15E148 Safari/604.1"), "Safari 18.1.0 Ios"),
            (format!("{iphone} FxiOS/133.0 Mobile/15E148 Safari/605.1.15"), "Firefox 133.0.0 Ios"),
            (format!("{iphone} Mobile/15E148"), "WebView 0.0.0 Ios"),
            (format!("{android} Chrome/131.0.0.0 Mobile Safari/537.36"), "Chrome 131.0.0 Android"),
            (
                format!("{android} Version/4.0 Chrome/131.0.6778.1 Mobile Safari/537.36").replace("; K", "; wv"),
                "WebView 131.0.1023 Android",
            ),
            (
                "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0".to_owned(),
                "Firefox 133.0.0 Linux",
            ),
            ("com.tinyspeck.chatlyio/25.1.10 (iPhone; iOS 18.3; Scale/3.00)".to_owned(), "SlackIos 25.1.10 Ios"),
            ("com.Slack/25.1.20 (Google Pixel 8; Android 15)".to_owned(), "SlackAndroid 25.1.20 Android"),
            ("Slack/254010 CFNetwork/1568.200.51 Darwin/24.1.0".to_owned(), "WebView 4095.0.0 Ios"),
        ] {
            assert_eq!(shown(&text), expected, "{text}");
        }
    }

    #[test]
    fn what_scripts_use_is_known_and_what_may_be_an_apps_own_is_not() {
        let headless = CHROME.replace("Chrome/", "HeadlessChrome/");
        for text in [
            "python-requests/2.32.3",
            "Python/3.12 aiohttp/3.11.10",
            "Python-urllib/3.12",
            "python-httpx/0.28.1",
            "python-slack-sdk/3.33.4 Python/3.12.0 Linux/6.8",
            "Go-http-client/2.0",
            "slackdump/3.0.0",
            "curl/8.11.1",
            "Wget/1.24.5",
            "axios/1.7.9",
            "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
            "undici",
            "node",
            "Java/17.0.2",
            "PostmanRuntime/7.43.0",
            "Ruby",
            "libwww-perl/6.77",
            "Scrapy/2.12.0 (+https://scrapy.org)",
            "colly - https://github.com/gocolly/colly",
            "Deno/2.1.4",
            &headless,
        ] {
            assert_eq!(claim(text).software.program.nature(), Nature::Automation, "{text}");
        }
        // The networking of phones, servers of Slack's own, and whatever nobody has heard of.
        for text in [
            "okhttp/4.12.0",
            "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/AP2A)",
            "ApiApp/A0123",
            "",
            "Slackbot 1.0 (+https://api.slack.com/robots)",
            "Slackbot-LinkExpanding 1.0",
            "my own/1",
            "/",
            "(",
            "é/1",
        ] {
            assert_eq!(claim(text).software.program, Program::Unknown, "{text}");
        }
    }

    #[test]
    fn what_no_client_claims_is_implausible_and_the_old_and_odd_are_not() {
        let on =
            |system: &str, major: u32| CHROME.replace("10.0; Win64; x64", system).replace("131", &major.to_string());
        for text in [
            "Mozilla/5.0",
            "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)",
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            &on("10.0; iPhone", 131),
            &on("5.1", 131),
            &on("10.0", 999),
            &on("10.0; Macintosh", 131),
        ] {
            assert_eq!(claim(text).software.program, Program::Implausible, "{text}");
        }
        for text in [
            "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
            "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; Trident/7.0; .NET4.0C)",
            "Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Firefox/121.0",
            "Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) AppleWebKit/537.36 Chrome/52.0.2743.116",
            &on("6.1", 109),
            &on("5.1", 49),
            &on("10.0", 399),
        ] {
            assert_ne!(claim(text).software.program, Program::Implausible, "{text}");
        }
    }

    #[test]
    fn an_upgrade_stays_in_the_family_and_another_system_does_not() {
        let (old, new) = (claim(CHROME), claim(&CHROME.replace("131", "132")));
        assert_eq!(old.family, new.family);
        assert!(old.version.is_below(new.version) && !new.version.is_below(old.version));
        assert_ne!(old.family, claim(&CHROME.replace("Windows NT 10.0; Win64; x64", "X11; Linux x86_64")).family);
        assert_eq!(claim("my own/1").family, claim("my own/2.7").family);
        assert_ne!(claim("my own/1").family, claim("your own/1").family);
    }

    #[test]
    fn versions_that_do_not_fit_hide_a_step_down_and_make_none_up() {
        let version = |text| version_of(text);
        assert!(version("4.9.2").is_below(version("4.10.0")));
        assert!(!version("5000.1").is_below(version("4096.1")));
        assert!(!version("99999999999999999999.1").is_below(version("4096.1")));
        assert!(!version("").is_below(version("1")) && !version("x").is_below(version("1")));
        assert!(!version("3").is_below(version("3")));
    }

    #[test]
    fn a_file_of_another_form_is_refused_with_its_line() {
        let read = |text: &str| UserAgentParser::read(text).expect_err("refused");
        let good = "user_agent_parsers:\n  - regex: '(It''s)/(\\d+)'\nos_parsers:\n  - regex: '(Own)'\n";
        let own = UserAgentParser::read(good).expect("of the form");
        assert_eq!(own.parse("It's/7 Own").version, version_of("7"));
        assert!(read("").starts_with("no regexes"));
        assert!(read("os_parsers:\n  - regex: '(x)'\n").starts_with("no regexes"));
        assert!(read("user_agent_parsers:\n  family_replacement: 'x'\n").starts_with("line 2: "));
        assert!(read("user_agent_parsers:\n  - regex: \"x\"\n").starts_with("line 2: "));
        assert!(read("user_agent_parsers:\n  - regex\n").starts_with("line 2: "));
        assert!(read(&good.replace("(Own)", "(Own")).starts_with("line 4: "));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(\\PC|Chrome/|Slack/|Slack_SSB/|Mozilla/|[0-9.]){0,100}") {
            let once = claim(&text);
            prop_assert_eq!(once, claim(&text));
        }
    }
}
