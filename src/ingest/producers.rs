//! Who may post to a job: names with tokens and orgs, from a file of their own.

use crate::secrets;
use connectors::intake::Tokens;
use engine::error::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The setting that names the file.
const SETTING: &str = "[[source]] tokens_file";

/// The word for all orgs.
const ALL: &str = "*";

/// A name becomes that of a partition and of a folder.
const NAME_BYTES_MAX: usize = 64;

/// One that posts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Its name.
    pub name: String,
    /// The orgs that it may speak for; `None` is all.
    pub orgs: Option<BTreeSet<String>>,
}

impl Producer {
    /// Whether it may speak for an org; `*` is all of them.
    pub fn may_speak_for(&self, org: &str) -> bool {
        self.orgs.as_ref().is_none_or(|orgs| orgs.contains(org))
    }
}

/// All of one source, each with its tokens.
pub struct Producers {
    /// By name; a bearer of `tokens` is an index of this.
    pub named: Vec<Producer>,
    /// Their tokens.
    pub tokens: Tokens,
}

impl Producers {
    /// Those of a file: lines of a name, a token and orgs, with `#` before comments. A name may stand on several lines,
    /// with a token each, so that one can be replaced by another.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the line, without what stands there.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let text = secrets::read(path, SETTING)?;
        Producers::parse(&text).map_err(|why| secrets::unusable(path, SETTING, &why))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut orgs_of: BTreeMap<&str, Option<BTreeSet<String>>> = BTreeMap::new();
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let wrong = |why: &str| format!("line {number}: {why}");
            let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
            let [name, token, orgs @ ..] = &words[..] else {
                match words.is_empty() {
                    true => continue,
                    false => return Err(wrong("must be a name, a token and orgs")),
                }
            };
            let orgs = parse_orgs(orgs).map_err(wrong)?;
            check_name(name).map_err(wrong)?;
            if *orgs_of.entry(name).or_insert_with(|| orgs.clone()) != orgs {
                return Err(wrong("names other orgs than a line above with the same name"));
            }
            lines.push((number, *name, *token));
        }
        let mut tokens = Tokens::default();
        for (number, name, token) in lines {
            let bearer = orgs_of.keys().position(|known| *known == name).unwrap_or_default();
            tokens.add(token, bearer).map_err(|rule| format!("line {number}: the token {rule}"))?;
        }
        let named: Vec<_> = orgs_of.into_iter().map(|(name, orgs)| Producer { name: name.to_owned(), orgs }).collect();
        match named.is_empty() {
            true => Err("it names nobody; a line is a name, a token and orgs, or * for all orgs".to_owned()),
            false => Ok(Producers { named, tokens }),
        }
    }
}

fn parse_orgs(words: &[&str]) -> Result<Option<BTreeSet<String>>, &'static str> {
    match words {
        [] => Err("must name the orgs that the token may speak for, or * for all"),
        [ALL] => Ok(None),
        words if words.contains(&ALL) => Err("* stands alone"),
        words => Ok(Some(words.iter().map(|org| (*org).to_owned()).collect())),
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    match plain && !name.starts_with('-') && name.len() <= NAME_BYTES_MAX {
        true => Ok(()),
        false => Err("the name must be of at most 64 small letters, digits and hyphens"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Producers::parse(text).err().unwrap_or_else(|| panic!("{text:?} is taken"))
    }

    #[test]
    fn each_name_has_its_tokens_and_orgs() {
        let (a, b, c) = ("a".repeat(24), "b".repeat(24), "c".repeat(24));
        let text = format!("# who posts\n\nmobile {a} E1 E2\nall {b} * # the platform\nmobile {c} E2 E1\n");
        let producers = Producers::parse(&text).unwrap();
        let [all, mobile] = &producers.named[..] else { panic!("{:?}", producers.named) };
        assert_eq!((all.name.as_str(), &all.orgs), ("all", &None));
        assert!(all.may_speak_for("E9") && all.may_speak_for("*"));
        assert_eq!(mobile.orgs.as_ref().unwrap().len(), 2);
        assert!(mobile.may_speak_for("E1") && !mobile.may_speak_for("E3") && !mobile.may_speak_for("*"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_without_the_token() {
        let (a, b) = ("a".repeat(24), "b".repeat(24));
        for (text, words) in [
            (String::new(), "names nobody"),
            (format!("mobile {a}"), "line 1: must name the orgs"),
            ("mobile".to_owned(), "line 1: must be a name, a token and orgs"),
            (format!("\nmobile {a} E1 *"), "line 2: * stands alone"),
            (format!("Mobile {a} E1"), "small letters"),
            (format!("../x {a} E1"), "small letters"),
            (format!("mobile {a} E1\nmobile {b} E2"), "line 2: names other orgs"),
            (format!("mobile {a} E1\nother {a} E2"), "line 2: the token is there twice"),
            ("mobile short E1".to_owned(), "line 1: the token must have"),
        ] {
            let said = refused(&text);
            assert!(said.contains(words), "{words} in {said}");
            assert!(!said.contains(&a) && !said.contains("short"), "{said}");
        }
    }
}
