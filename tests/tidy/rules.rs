//! The rules, each a function from one file to what breaks it. None of them looks at the disk.

use crate::source::{Source, body, closing, find_word, line_of};

pub const FUNCTION_LINES_MAX: usize = 70;
pub const FILE_LINES_MAX: usize = 500;

/// What the domain talks about, and the engine and the connectors have never heard of.
const DOMAIN_WORDS: &[&str] =
    &["user", "session", "anomaly", "anomalies", "detector", "organisation", "organization", "slack", "tor"];

/// Names of time and chance. Clippy knows most of them by path; this net also catches what it cannot resolve.
const TIME_AND_CHANCE: &[&str] = &[
    "SystemTime",
    "Instant",
    "sleep",
    "available_parallelism",
    "process::id",
    "HashMap",
    "HashSet",
    "RandomState",
    "thread_rng",
    "ThreadRng",
    "OsRng",
    "SysRng",
    "rand::rng",
    "rand::random",
    "from_os_rng",
    "getrandom",
];

/// Names that only one who builds a timely operator by hand needs.
const TIMELY_BY_HAND: &[&str] = &[
    "Capability",
    "CapabilitySet",
    "InputCapability",
    "OperatorBuilder",
    "unary_frontier",
    "unary_notify",
    "binary_frontier",
    "binary_notify",
    ".unary",
    ".binary",
    "generic::operator",
];

pub const CLOCK: &str = "engine/src/clock.rs";
pub const KEY: &str = "engine/src/key.rs";
const ROCKS: &str = "engine/src/state/rocks.rs";

fn at(source: &Source, offset: usize, what: impl std::fmt::Display) -> String {
    format!("{}:{}: {what}", source.path, line_of(&source.text, offset))
}

fn found(source: &Source, view: &str, words: &[&str], why: &str) -> Vec<String> {
    let hits = words.iter().flat_map(|word| find_word(view, word).map(move |offset| (offset, word)));
    hits.map(|(offset, word)| at(source, offset, format!("`{word}` {why}"))).collect()
}

/// No word of the domain, in code, comments or strings, also as a part of a name or in the plural. One method of timely
/// is called as a word of the domain is: `.session(` opens an output under a capability. So is one setting of PostgreSQL.
pub fn speaks_no_domain(source: &Source) -> Vec<String> {
    let text =
        source.text.replace(".session(", ".outgoes(").replace("_in_transaction_session_", "_in_transaction_client_");
    let in_text = words(&text).into_iter().filter(|(_, word)| is_domain(word));
    let in_path = words(&source.path).into_iter().filter(|(_, word)| is_domain(word)).map(|(_, word)| (0, word));
    in_text
        .chain(in_path)
        .map(|(offset, word)| at(source, offset, format!("`{word}` is a word of the domain")))
        .collect()
}

fn is_domain(word: &str) -> bool {
    let word = word.to_lowercase();
    DOMAIN_WORDS.iter().any(|domain| word == *domain || word.strip_suffix('s') == Some(domain))
}

/// The words of a text: letters, cut at `_`, digits and the humps of CamelCase.
fn words(text: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut start = None;
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    for (i, &(offset, c)) in chars.iter().enumerate() {
        let before = i.checked_sub(1).map(|before| chars[before].1);
        let after = chars.get(i + 1).map(|(_, c)| *c);
        let hump = c.is_uppercase()
            && before.is_some_and(|b| b.is_lowercase() || (b.is_uppercase() && after.is_some_and(char::is_lowercase)));
        if let Some(from) = start.filter(|_| hump || !c.is_alphabetic()) {
            words.push((from, &text[from..offset]));
            start = None;
        }
        if start.is_none() && c.is_alphabetic() {
            start = Some(offset);
        }
    }
    words.extend(start.map(|from| (from, &text[from..])));
    words
}

/// No clock, chance, sleep, environment or randomly ordered map in code that ships, and no lint switched off for it.
pub fn has_no_time_or_chance(source: &Source) -> Vec<String> {
    if source.path == CLOCK {
        return Vec::new();
    }
    let maps = |name: &&str| source.path == KEY && name.starts_with("Hash");
    let names: Vec<&str> = TIME_AND_CHANCE.iter().copied().filter(|name| !maps(name)).collect();
    let mut problems = found(source, &source.shipped, &names, "is time or chance; it comes in as an argument");
    let environment = find_word(&source.shipped, "env").filter(|at| !source.shipped[at + 3..].starts_with('!'));
    problems.extend(environment.map(|offset| at(source, offset, "`env` is read by the config crate alone")));
    if source.path != KEY {
        let lints = ["disallowed_methods", "disallowed_types"];
        problems.extend(found(source, &source.shipped, &lints, "may be lifted in clock.rs and key.rs alone"));
    }
    problems
}

/// RocksDB's crate is used in one file.
pub fn leaves_rocksdb_alone(source: &Source) -> Vec<String> {
    match source.path == ROCKS {
        true => Vec::new(),
        false => found(source, &source.code, &["rocksdb"], &format!("belongs into {ROCKS}")),
    }
}

/// The domain builds no timely operator.
pub fn builds_no_operator(source: &Source) -> Vec<String> {
    let mut problems =
        found(source, &source.shipped, TIMELY_BY_HAND, "builds a timely operator; the engine owns those");
    let calls = find_word(&source.shipped, "source(").filter(|at| {
        let before = source.shipped[..*at].trim_end();
        !before.ends_with('.') && !before.ends_with("fn")
    });
    problems.extend(calls.map(|offset| at(source, offset, "`source(` builds a timely source; the engine owns those")));
    problems
}

/// Only the snapshot code handles manifests.
pub fn leaves_manifests_alone(source: &Source) -> Vec<String> {
    match source.path.starts_with("engine/src/snapshot/") {
        true => Vec::new(),
        false => found(
            source,
            &source.shipped_with_strings,
            &["\"manifests", "/manifests"],
            "is touched by engine/src/snapshot/ alone",
        ),
    }
}

/// The model stands on its own.
pub fn model_imports_nothing(source: &Source) -> Vec<String> {
    let out = |path: &str| {
        find_word(&source.code, path)
            .filter(|at| !source.code[at + path.len()..].starts_with("model::"))
            .map(|offset| at(source, offset, format!("`{path}` reaches out of operators/src/model")))
            .collect::<Vec<_>>()
    };
    let mut problems = [out("crate::"), out("super::super::")].concat();
    if source.path.ends_with("/mod.rs") {
        problems.extend(out("super::"));
    }
    problems
}

/// Every module says first what it owns.
pub fn opens_with_its_purpose(source: &Source) -> Vec<String> {
    match source.text.lines().find(|line| !line.trim().is_empty()) {
        Some(line) if line.starts_with("//!") => Vec::new(),
        _ => vec![at(source, 0, "opens without `//!`: what it owns, and what not")],
    }
}

/// Files stay small, tests aside.
pub fn is_short(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count() - source.test_lines;
    match lines > FILE_LINES_MAX {
        true => vec![at(source, 0, format!("{lines} lines, more than {FILE_LINES_MAX}"))],
        false => Vec::new(),
    }
}

/// Functions stay small.
pub fn functions_are_short(source: &Source) -> Vec<String> {
    let code = &source.shipped;
    let mut problems = Vec::new();
    for start in find_word(code, "fn") {
        let name: String =
            code[start + 2..].trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if let (false, Some((open, b'{'))) = (name.is_empty(), body(code, start)) {
            let lines = code[start..closing(code, open)].matches('\n').count() + 1;
            if lines > FUNCTION_LINES_MAX {
                problems.push(at(source, start, format!("`{name}` has {lines} lines, more than {FUNCTION_LINES_MAX}")));
            }
        }
    }
    problems
}

/// `matches!` as a statement checks nothing.
pub fn asserts_what_it_matches(source: &Source) -> Vec<String> {
    const CALL: &str = "matches!(";
    let bare = find_word(&source.code, CALL).filter(|start| {
        let before = source.code[..*start].trim_end();
        let after = source.code[closing(&source.code, start + CALL.len() - 1)..].trim_start();
        before.ends_with(['{', '}', ';']) && after.starts_with(';')
    });
    bare.map(|offset| at(source, offset, "`matches!` as a statement checks nothing: assert it")).collect()
}

/// Every lint that is lifted says why, and complains when it need not be lifted any more.
pub fn lifted_lints_have_reasons(source: &Source) -> Vec<String> {
    let attributes = |name: &'static str| {
        ["#[", "#![", ", "].into_iter().flat_map(move |open| {
            source.code.match_indices(open).filter_map(move |(start, _)| {
                source.code[start + open.len()..].starts_with(name).then_some(start + open.len() + name.len() - 1)
            })
        })
    };
    let in_attribute = |offset: &usize| {
        let line = source.code[..*offset].rfind('\n').map_or(0, |newline| newline + 1);
        source.code[line..*offset].trim_start().starts_with('#')
    };
    let without = attributes("expect(")
        .filter(in_attribute)
        .filter(|open| find_word(&source.code[*open..closing(&source.code, *open)], "reason").next().is_none())
        .map(|offset| at(source, offset, "`expect` without a reason"));
    let allows = attributes("allow(")
        .filter(in_attribute)
        .map(|offset| at(source, offset, "`allow`: write `expect`, with a reason"));
    without.chain(allows).collect()
}

/// What is shipped makes no promises and speaks of the project alone.
pub fn makes_no_promises(path: &str, text: &str) -> Vec<String> {
    let promises = ["TODO", "FIXME", "XXX"].into_iter().flat_map(|word| find_word(text, word));
    let lower = text.to_ascii_lowercase();
    let issues: Vec<usize> = find_word(&lower, "issue")
        .filter(|at| lower[at + 5..].trim_start_matches([' ', '#']).starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    let say = |offset: usize| format!("{path}:{}: a promise or the number of an issue", line_of(text, offset));
    promises.chain(issues).map(say).collect()
}
