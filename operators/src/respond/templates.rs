//! The wording of messages by locale: the templates that are built in, and those of a folder that take their place.
//! Owned here: which files there are, what is checked of them, and which locale stands in for which. Not owned here:
//! reading a folder, and what goes into a template (`message`).

use super::words::{Pieces, excerpt};
use crate::model::decision::Verdict;
use crate::model::reason::Reason;
use std::collections::{BTreeMap, BTreeSet};

/// The files of a locale: `name = phrase` lines, then plain text and HTML for the affected user, for admins, and for
/// what admins are told of repeats, and of a limit that keeps somebody from being answered.
pub const FILES: [&str; 9] = [
    "words.txt",
    "user.txt",
    "user.html",
    "admin.txt",
    "admin.html",
    "digest.txt",
    "digest.html",
    "escalation.txt",
    "escalation.html",
];

/// Most bytes of a file.
pub const FILE_BYTES_MAX: usize = 1 << 16;

/// Files by locale and name.
pub type Folder = BTreeMap<String, BTreeMap<String, String>>;

/// Whoever has another locale is told in this one.
const LAST: &str = "en";

macro_rules! built_in {
    ($tag:literal) => {
        (
            $tag,
            [
                include_str!(concat!("templates/", $tag, "/words.txt")),
                include_str!(concat!("templates/", $tag, "/user.txt")),
                include_str!(concat!("templates/", $tag, "/user.html")),
                include_str!(concat!("templates/", $tag, "/admin.txt")),
                include_str!(concat!("templates/", $tag, "/admin.html")),
                include_str!(concat!("templates/", $tag, "/digest.txt")),
                include_str!(concat!("templates/", $tag, "/digest.html")),
                include_str!(concat!("templates/", $tag, "/escalation.txt")),
                include_str!(concat!("templates/", $tag, "/escalation.html")),
            ],
        )
    };
}

const BUILT_IN: [(&str, [&str; FILES.len()]); 2] = [built_in!("en"), built_in!("de")];

/// Names that every template may use; the second says whether it stands for a list.
const NAMES: [(&str, bool); 13] = [
    ("org", false),
    ("name", false),
    ("affected", false),
    ("affected_id", false),
    ("reasons", true),
    ("advice", true),
    ("time", false),
    ("session", false),
    ("client", false),
    ("network", false),
    ("evidence", true),
    ("told", false),
    ("reference", false),
];

/// Those of templates of one kind.
const OF_RESPONSES: &[(&str, bool)] = &[("verdict", false), ("sessions", false)];
const OF_DIGESTS: &[(&str, bool)] = &[("verdict", false), ("count", false), ("since", false)];
const OF_ESCALATIONS: &[(&str, bool)] = &[("cause", false), ("next", false)];

/// The templates of all locales.
#[derive(Clone, Debug)]
pub struct Templates(BTreeMap<String, Language>);

/// The templates and phrases of one locale.
#[derive(Clone, Debug)]
pub struct Language {
    words: BTreeMap<String, Pieces>,
    /// For the affected user.
    pub user: Template,
    /// For admins.
    pub admin: Template,
    /// For admins, of repeats.
    pub digest: Template,
    /// For admins, of a limit that was reached.
    pub escalation: Template,
}

/// One message in both forms.
#[derive(Clone, Debug, Default)]
pub struct Template {
    /// One line.
    pub subject: Pieces,
    /// Plain text.
    pub text: Pieces,
    /// HTML.
    pub html: Pieces,
}

impl Templates {
    /// Those that are built in.
    pub fn built_in() -> Self {
        Templates::with(&Folder::new()).expect("what is built in is checked by a test")
    }

    /// Those of a folder, and the built-in ones where it has none. A locale that lacks a file takes it from the next
    /// wider one, `pt` for `pt-BR`.
    ///
    /// # Errors
    /// Everything that is wrong, each with its file.
    pub fn with(folder: &Folder) -> Result<Self, Vec<String>> {
        let (mut problems, mut given) = (Vec::new(), Folder::new());
        for (name, files) in folder {
            let tag = normal(name);
            if !(2..=35).contains(&tag.len()) || !tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                problems.push(format!("{name}: is no locale such as `pt` or `pt-BR`"));
            } else if given.insert(tag.clone(), files.clone()).is_some() {
                problems.push(format!("{name}: there is another folder for `{tag}`"));
            }
            let unknown = files.keys().filter(|file| !FILES.contains(&file.as_str()));
            problems
                .extend(unknown.map(|file| format!("{name}/{file}: is no template; known are {}", FILES.join(", "))));
        }
        let tags: BTreeSet<&str> = given.keys().map(String::as_str).chain(BUILT_IN.map(|(tag, _)| tag)).collect();
        let mut languages = BTreeMap::new();
        for tag in tags {
            let read = read(tag, &given, &mut problems);
            languages.extend(read.map(|language| (tag.to_owned(), language)));
        }
        // What several locales take from one file is wrong once.
        let mut seen = BTreeSet::new();
        problems.retain(|problem| seen.insert(problem.clone()));
        if problems.is_empty() { Ok(Templates(languages)) } else { Err(problems) }
    }

    /// The language of a locale: its own, the next wider one's, else English.
    pub fn of(&self, locale: &str) -> &Language {
        let found = chain(&normal(locale)).find_map(|tag| self.0.get(&tag));
        found.unwrap_or_else(|| &self.0[LAST])
    }

    /// The locales, in lower case.
    pub fn locales(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Language {
    /// A phrase by name.
    pub fn phrase(&self, name: &str) -> Option<&Pieces> {
        self.words.get(name)
    }
}

/// A locale as it is compared: `pt-br` for `pt_BR.UTF-8`.
fn normal(locale: &str) -> String {
    locale.split(['.', '@']).next().unwrap_or_default().replace('_', "-").to_ascii_lowercase()
}

/// A locale, and what is wider, one subtag after the other.
fn chain(tag: &str) -> impl Iterator<Item = String> {
    let next = |tag: &String| tag.rsplit_once('-').map(|(wider, _)| wider.to_owned());
    std::iter::successors(Some(tag.to_owned()), next)
}

/// Reads a locale. Problems are noted by the file in which they are.
fn read(tag: &str, given: &Folder, problems: &mut Vec<String>) -> Option<Language> {
    let found = FILES.map(|file| find(tag, file, given));
    for (file, found) in FILES.iter().zip(&found) {
        if found.is_none() {
            problems.push(format!("{tag}/{file}: is missing, and no wider locale has it"));
        }
    }
    let [words, user, user_html, admin, admin_html, digest, digest_html, escalation, escalation_html] = found;
    let words = read_words(&words?, problems);
    let mut template = |text: Option<File<'_>>, html: Option<File<'_>>, own| {
        let (subject, text) = read_text(&text?, own, problems);
        Some(Template { subject, text, html: read_html(&html?, own, problems) })
    };
    let user = template(user, user_html, OF_RESPONSES);
    let admin = template(admin, admin_html, OF_RESPONSES);
    let digest = template(digest, digest_html, OF_DIGESTS);
    let escalation = template(escalation, escalation_html, OF_ESCALATIONS);
    Some(Language { words, user: user?, admin: admin?, digest: digest?, escalation: escalation? })
}

/// A file, and how problems name it.
struct File<'a> {
    name: String,
    text: &'a str,
}

fn find<'a>(tag: &str, file: &str, given: &'a Folder) -> Option<File<'a>> {
    chain(tag).find_map(|tag| {
        let built_in = || {
            let (_, texts) = BUILT_IN.iter().find(|(built_in, _)| *built_in == tag)?;
            FILES.iter().position(|name| *name == file).map(|index| texts[index])
        };
        let text = given.get(&tag).and_then(|files| files.get(file)).map(String::as_str).or_else(built_in)?;
        Some(File { name: format!("{tag}/{file}"), text })
    })
}

/// Every phrase that messages need, with the names that may stand in it.
fn phrases() -> BTreeMap<String, &'static [&'static str]> {
    const TIME: &[&str] = &["year", "month", "day", "hour", "minute", "second"];
    let reasons = Reason::ALL.iter().map(|reason| format!("reason.{reason}"));
    let advice = Reason::WITH_TOGGLE.iter().map(|reason| format!("advice.{reason}"));
    let verdicts = [Verdict::First, Verdict::Repeat, Verdict::Persisting].map(|v| format!("verdict.{}", v.name()));
    let others = ["unknown", "sessions.all", "told.both", "told.primary_owner", "told.security_admin"];
    let limits =
        ["cause", "next"].iter().flat_map(|kind| ["person", "org", "latched"].map(|of| format!("{kind}.{of}")));
    let plain = reasons
        .chain(advice)
        .chain(verdicts)
        .chain(limits)
        .chain(others.map(str::to_owned))
        .map(|name| (name, &[][..]));
    plain.chain([("time".to_owned(), TIME), ("sessions.counted".to_owned(), &["count"][..])]).collect()
}

fn read_words(file: &File<'_>, problems: &mut Vec<String>) -> BTreeMap<String, Pieces> {
    let (mut words, mut known) = (BTreeMap::new(), phrases());
    let lines = file.text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let mut problem = |what: String| problems.push(format!("{}:{number}: {what}", file.name));
        let Some((name, phrase)) = line.split_once('=').map(|(name, phrase)| (name.trim(), phrase.trim())) else {
            problem(format!("`{}` is no line such as `name = phrase`", excerpt(line)));
            continue;
        };
        let Some(allowed) = known.remove(name) else {
            let again = if words.contains_key(name) { "stands here twice" } else { "is no phrase of messages" };
            problem(format!("`{}` {again}", excerpt(name)));
            continue;
        };
        let pieces = Pieces::parse(phrase).and_then(|pieces| {
            let unknown = pieces.names().find(|name| !allowed.contains(name)).map(excerpt);
            match (unknown, allowed) {
                (Some(name), []) => Err(format!("`{name}` is no name: this phrase has none")),
                (Some(name), _) => Err(format!("`{name}` is no name of this phrase; known are {}", allowed.join(", "))),
                (None, _) if phrase.is_empty() => Err("the phrase is empty".to_owned()),
                (None, _) => Ok(pieces),
            }
        });
        match pieces {
            Ok(pieces) => drop(words.insert(name.to_owned(), pieces)),
            Err(what) => problem(what),
        }
    }
    problems.extend(known.keys().map(|name| format!("{}: lacks the phrase `{name}`", file.name)));
    words
}

fn read_text(file: &File<'_>, own: &[(&str, bool)], problems: &mut Vec<String>) -> (Pieces, Pieces) {
    let text = file.text.replace("\r\n", "\n");
    let parts = text.strip_prefix("Subject: ").and_then(|rest| rest.split_once("\n\n"));
    let Some((subject, body)) = parts.filter(|(subject, _)| !subject.contains('\n')) else {
        problems.push(format!("{}: begins with a line `Subject: …` and a blank one", file.name));
        return Default::default();
    };
    let subject = pieces(file, subject, own, problems);
    let lists = NAMES.iter().filter(|(name, list)| *list && subject.names().any(|used| used == *name));
    problems
        .extend(lists.map(|(name, _)| format!("{}: `{name}` is a list and cannot stand in the subject", file.name)));
    (subject, pieces(file, body, own, problems))
}

fn read_html(file: &File<'_>, own: &[(&str, bool)], problems: &mut Vec<String>) -> Pieces {
    let html = pieces(file, file.text, own, problems);
    let misplaced = html.out_of_text().into_iter();
    problems.extend(misplaced.map(|name| {
        format!(
            "{}: `{}` stands in a tag, a comment, a script or a style sheet; values are text only",
            file.name,
            excerpt(name)
        )
    }));
    html
}

fn pieces(file: &File<'_>, text: &str, own: &[(&str, bool)], problems: &mut Vec<String>) -> Pieces {
    let known = |name: &&str| NAMES.iter().chain(own).any(|(known, _)| known == name);
    if text.trim().is_empty() {
        problems.push(format!("{}: holds nothing", file.name));
    }
    match Pieces::parse(text) {
        Err(what) => {
            problems.push(format!("{}: {what}", file.name));
            Pieces::default()
        }
        Ok(pieces) => {
            for name in pieces.names().filter(|name| !known(name)) {
                let all: Vec<&str> = NAMES.iter().chain(own).map(|(name, _)| *name).collect();
                problems.push(format!("{}: `{}` is no name; known are {}", file.name, excerpt(name), all.join(", ")));
            }
            pieces
        }
    }
}

#[cfg(test)]
mod tests;
