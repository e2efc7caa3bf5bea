//! Programs and systems, as a client claims them and as the server measured them. Owned here: which there are, what
//! names they go by, and when what was measured contradicts a claim. What is not known contradicts nothing.

use engine::key::Map;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// A program that talks to the server, or the kind of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "u8", from = "u8")]
pub enum Program {
    /// None that is known.
    #[default]
    Unknown,
    /// Slack's app for desktops.
    SlackDesktop,
    /// Slack's app for iPhones and iPads.
    SlackIos,
    /// Slack's app for Android.
    SlackAndroid,
    /// A browser's engine within an app: that app's, whichever it is.
    WebView,
    /// Chrome or Chromium.
    Chrome,
    /// Edge.
    Edge,
    /// Another browser built on Chromium.
    Chromium,
    /// Safari.
    Safari,
    /// Firefox.
    Firefox,
    /// Another browser.
    Browser,
    /// A browser without a window, driven by a script.
    Headless,
    /// A language's runtime, such as Go or Python.
    Runtime,
    /// A tool or library that makes HTTP requests.
    Tool,
    /// What no client of a person's is, such as a crawler.
    Implausible,
}

/// What kind of program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// One of Slack's own apps.
    Native,
    /// A browser, or a browser's engine within an app.
    Browser,
    /// Made for scripts.
    Automation,
    /// A claim that no real client makes.
    Implausible,
    /// It cannot be told.
    Unknown,
}

/// An operating system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "u8", from = "u8")]
pub enum Os {
    /// None that is known.
    #[default]
    Unknown,
    /// Windows.
    Windows,
    /// macOS.
    MacOs,
    /// iOS or iPadOS.
    Ios,
    /// Android.
    Android,
    /// Linux.
    Linux,
    /// ChromeOS.
    ChromeOs,
}

/// A program on a system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Software {
    /// The program.
    pub program: Program,
    /// The system.
    pub os: Os,
}

/// Both enums stand in rows as one byte, their place; so new ones come last.
const PROGRAMS: [Program; 15] = [
    Program::Unknown,
    Program::SlackDesktop,
    Program::SlackIos,
    Program::SlackAndroid,
    Program::WebView,
    Program::Chrome,
    Program::Edge,
    Program::Chromium,
    Program::Safari,
    Program::Firefox,
    Program::Browser,
    Program::Headless,
    Program::Runtime,
    Program::Tool,
    Program::Implausible,
];
const SYSTEMS: [Os; 7] = [Os::Unknown, Os::Windows, Os::MacOs, Os::Ios, Os::Android, Os::Linux, Os::ChromeOs];

impl From<Program> for u8 {
    fn from(program: Program) -> u8 {
        program as u8
    }
}

impl From<u8> for Program {
    fn from(place: u8) -> Program {
        PROGRAMS.get(usize::from(place)).copied().unwrap_or_default()
    }
}

impl From<Os> for u8 {
    fn from(os: Os) -> u8 {
        os as u8
    }
}

impl From<u8> for Os {
    fn from(place: u8) -> Os {
        SYSTEMS.get(usize::from(place)).copied().unwrap_or_default()
    }
}

/// A name in small letters and what it is on a line, in the order of their bytes.
const NAMES: &str = include_str!("software.txt");

static BY_NAME: LazyLock<Map<&[u8], Program>> = LazyLock::new(|| {
    NAMES.lines().filter_map(|line| line.split_once(" = ")).map(|(name, of)| (name.as_bytes(), word(of))).collect()
});

/// No name is longer, in bytes.
const NAME_MAX: usize = 64;

/// The program of a name in letters of any case. Asked for every event, so nothing is allocated.
fn known(name: &str) -> Option<Program> {
    let mut room = [0; NAME_MAX];
    let small = room.get_mut(..name.len())?;
    small.copy_from_slice(name.as_bytes());
    small.make_ascii_lowercase();
    BY_NAME.get(&*small).copied()
}

fn word(word: &str) -> Program {
    match word {
        "slack_desktop" => Program::SlackDesktop,
        "slack_ios" => Program::SlackIos,
        "slack_android" => Program::SlackAndroid,
        "webview" => Program::WebView,
        "chrome" => Program::Chrome,
        "edge" => Program::Edge,
        "chromium" => Program::Chromium,
        "safari" => Program::Safari,
        "firefox" => Program::Firefox,
        "browser" => Program::Browser,
        "headless" => Program::Headless,
        "runtime" => Program::Runtime,
        "tool" => Program::Tool,
        "implausible" => Program::Implausible,
        _ => Program::Unknown,
    }
}

impl Program {
    /// The program of a name, in letters of any case and with or without a version behind it.
    pub fn named(name: &str) -> Program {
        let name = name.trim();
        let is_version = |at: &usize| name[at + 1..].starts_with(|c: char| c.is_ascii_digit());
        let versioned = name.find('/').or_else(|| name.find(' ').filter(is_version));
        known(name).or_else(|| known(&name[..versioned?])).unwrap_or_default()
    }

    /// What people call it; empty if it is not known.
    pub fn name(self) -> &'static str {
        match self {
            Program::Unknown => "",
            Program::SlackDesktop => "Slack Desktop",
            Program::SlackIos => "Slack iOS",
            Program::SlackAndroid => "Slack Android",
            Program::WebView => "an app's browser",
            Program::Chrome => "Chrome",
            Program::Edge => "Edge",
            Program::Chromium => "a Chromium browser",
            Program::Safari => "Safari",
            Program::Firefox => "Firefox",
            Program::Browser => "a browser",
            Program::Headless => "a headless browser",
            Program::Runtime => "a language's runtime",
            Program::Tool => "a tool",
            Program::Implausible => "an implausible client",
        }
    }

    /// What kind of program it is.
    pub fn nature(self) -> Nature {
        match self {
            Program::Unknown => Nature::Unknown,
            Program::SlackDesktop | Program::SlackIos | Program::SlackAndroid => Nature::Native,
            Program::Headless | Program::Runtime | Program::Tool => Nature::Automation,
            Program::Implausible => Nature::Implausible,
            Program::WebView
            | Program::Chrome
            | Program::Edge
            | Program::Chromium
            | Program::Safari
            | Program::Firefox
            | Program::Browser => Nature::Browser,
        }
    }
}

impl Os {
    /// What people call it; empty if it is not known.
    pub fn name(self) -> &'static str {
        match self {
            Os::Unknown => "",
            Os::Windows => "Windows",
            Os::MacOs => "macOS",
            Os::Ios => "iOS",
            Os::Android => "Android",
            Os::Linux => "Linux",
            Os::ChromeOs => "ChromeOS",
        }
    }

    /// The system of a name, in letters of any case.
    pub fn named(name: &str) -> Os {
        let names: [(&[&str], Os); 6] = [
            (&["Windows"], Os::Windows),
            (&["macOS", "Mac OS X"], Os::MacOs),
            (&["iOS", "iPadOS"], Os::Ios),
            (&["Android"], Os::Android),
            (&["Linux", "Ubuntu", "Debian", "Fedora"], Os::Linux),
            (&["ChromeOS", "Chrome OS"], Os::ChromeOs),
        ];
        let name = name.trim();
        let is = |names: &[&str]| names.iter().any(|other| other.eq_ignore_ascii_case(name));
        names.into_iter().find(|(names, _)| is(names)).map_or(Os::Unknown, |(_, os)| os)
    }

    /// Whether both are known and one cannot pass for the other. An iPad that asks for desktop pages claims macOS, a
    /// phone that does claims Linux, which Android and ChromeOS are underneath.
    pub fn contradicts(self, other: Os) -> bool {
        let kernel = |os| match os {
            Os::Unknown => None,
            Os::Windows => Some(0),
            Os::MacOs | Os::Ios => Some(1),
            Os::Android | Os::Linux | Os::ChromeOs => Some(2),
        };
        kernel(self).zip(kernel(other)).is_some_and(|(one, other)| one != other)
    }
}

/// What a program is built on, as far as it can be measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Engine {
    Blink,
    WebKit,
    Gecko,
}

impl Software {
    /// The software that a measured name and system stand for.
    pub fn named(name: &str, os: &str) -> Software {
        let os = Os::named(os);
        let program = match (Program::named(name), os) {
            // Its name alone does not say on what it runs.
            (Program::SlackDesktop, Os::Ios) => Program::SlackIos,
            (Program::SlackDesktop, Os::Android) => Program::SlackAndroid,
            (program, _) => program,
        };
        Software { program, os }
    }

    /// Whether a script is behind it.
    pub fn is_automation(self) -> bool {
        self.program.nature() == Nature::Automation
    }

    /// Whether it claims to be what people use: one of Slack's apps, or a browser.
    pub fn is_for_people(self) -> bool {
        matches!(self.program.nature(), Nature::Native | Nature::Browser)
    }

    /// Whether this claim is contradicted by what was measured: a script behind what people use, another system, another
    /// of Slack's apps, or another engine. Slack's app for desktops is built on Chromium, as that for Android may be in
    /// part; on Apple's phones and tablets every program uses WebKit.
    pub fn is_contradicted_by(self, measured: Software) -> bool {
        if !self.is_for_people() {
            return false;
        }
        let both_native = [self, measured].iter().all(|software| software.program.nature() == Nature::Native);
        let other_engine = self.engine().zip(measured.engine()).is_some_and(|(claimed, found)| claimed != found);
        measured.is_automation()
            || self.os.contradicts(measured.os)
            || other_engine
            || both_native && self.program != measured.program
    }

    fn engine(self) -> Option<Engine> {
        match (self.program, self.os) {
            (Program::SlackIos | Program::Safari, _) => Some(Engine::WebKit),
            (program, Os::Ios) if program.nature() == Nature::Browser => Some(Engine::WebKit),
            (
                Program::SlackDesktop | Program::SlackAndroid | Program::Chrome | Program::Edge | Program::Chromium,
                _,
            ) => Some(Engine::Blink),
            (Program::Firefox, _) => Some(Engine::Gecko),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(program: Program, os: Os) -> Software {
        Software { program, os }
    }

    #[test]
    fn the_list_of_names_is_sorted_and_every_word_is_known() {
        let lines: Vec<(&str, &str)> = NAMES.lines().map(|line| line.split_once(" = ").unwrap()).collect();
        assert!(lines.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(lines.iter().all(|(name, of)| word(of) != Program::Unknown && *name == name.to_ascii_lowercase()));
    }

    #[test]
    fn programs_and_systems_come_back_from_their_bytes() {
        assert!(PROGRAMS.iter().all(|program| Program::from(u8::from(*program)) == *program));
        assert!(SYSTEMS.iter().all(|os| Os::from(u8::from(*os)) == *os));
        assert_eq!((Program::from(200), Os::from(200)), (Program::Unknown, Os::Unknown));
    }

    #[test]
    fn names_are_known_in_any_case_with_or_without_version() {
        for name in ["Go", "go 1.22", "GO/1.22", " Python ", "Node.js", "node.js 20.1"] {
            assert_eq!(Program::named(name), Program::Runtime, "{name}");
        }
        assert_eq!(Program::named("Go-http-client/2.0"), Program::Tool);
        assert_eq!(Program::named("HeadlessChrome"), Program::Headless);
        for name in ["", "Go Live", "Gopher", "/", " ", "Chrome-like", "Ä 1"] {
            assert_eq!(Program::named(name), Program::Unknown, "{name}");
        }
        assert_eq!(Software::named("Slack", "iOS"), on(Program::SlackIos, Os::Ios));
        assert_eq!(Software::named("Slack Desktop", "macOS"), on(Program::SlackDesktop, Os::MacOs));
    }

    #[test]
    fn what_honest_clients_claim_is_not_contradicted() {
        use {Os::*, Program::*};
        for (claim, measured) in [
            // An iPad that claims macOS; every browser there is WebKit.
            (on(Safari, MacOs), on(Safari, Ios)),
            (on(Chrome, Ios), on(Safari, Ios)),
            (on(Firefox, Ios), on(Chrome, Ios)),
            (on(SlackIos, Ios), on(Safari, MacOs)),
            (on(WebView, Ios), on(SlackIos, Ios)),
            // A phone that asks for desktop pages; Android seen as Linux.
            (on(Chrome, Os::Linux), on(Chrome, Android)),
            (on(SlackAndroid, Android), on(Chrome, Os::Linux)),
            (on(Chrome, ChromeOs), on(Chrome, Os::Linux)),
            (on(SlackDesktop, Windows), on(Chrome, Windows)),
            (on(Edge, Windows), on(Chrome, Windows)),
            (on(SlackDesktop, Windows), on(WebView, Windows)),
            // What is not known says nothing, nor does a claim to be a script.
            (on(SlackDesktop, Windows), on(Program::Unknown, Os::Unknown)),
            (on(Chrome, Os::Unknown), on(Program::Unknown, MacOs)),
            (on(Program::Unknown, Windows), on(Runtime, Os::Linux)),
            (on(Tool, Os::Unknown), on(Runtime, Os::Linux)),
            (on(Browser, Windows), on(Chrome, Windows)),
        ] {
            assert!(!claim.is_contradicted_by(measured), "{claim:?} and {measured:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_contradicted() {
        use {Os::*, Program::*};
        for (claim, measured) in [
            (on(SlackDesktop, MacOs), on(Runtime, Os::Unknown)),
            (on(Chrome, Windows), on(Headless, Windows)),
            (on(Chrome, Windows), on(Chrome, MacOs)),
            (on(SlackDesktop, Windows), on(Firefox, Windows)),
            (on(SlackIos, Ios), on(Chrome, MacOs)),
            (on(SlackDesktop, MacOs), on(SlackIos, Ios)),
            (on(SlackAndroid, Android), on(SlackAndroid, Windows)),
        ] {
            assert!(claim.is_contradicted_by(measured), "{claim:?} and {measured:?}");
        }
    }
}
