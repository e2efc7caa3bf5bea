//! The wording of messages: templates and phrases by language, and how values get into them. Owned here: the choice
//! of language, the filling of templates, and that no value can be more than text: cleaned of control characters,
//! bounded, escaped in HTML, and made so that no mail or chat program turns it into a link.

use crate::limits::MESSAGE_VALUE_CHARS_MAX;

/// The templates and phrases of one language.
#[derive(Debug)]
pub struct Language {
    /// Primary subtag of BCP 47, such as `de`.
    pub tag: &'static str,
    /// `name = phrase` lines.
    words: &'static str,
    /// For the affected user.
    pub user: Template,
    /// For admins.
    pub admin: Template,
}

/// One message in both forms. The first line of the text is the subject.
#[derive(Debug)]
pub struct Template {
    /// Plain text with `Subject: ` first.
    pub text: &'static str,
    /// HTML.
    pub html: &'static str,
}

macro_rules! language {
    ($tag:literal) => {
        Language {
            tag: $tag,
            words: include_str!(concat!("templates/", $tag, "/words.txt")),
            user: Template {
                text: include_str!(concat!("templates/", $tag, "/user.txt")),
                html: include_str!(concat!("templates/", $tag, "/user.html")),
            },
            admin: Template {
                text: include_str!(concat!("templates/", $tag, "/admin.txt")),
                html: include_str!(concat!("templates/", $tag, "/admin.html")),
            },
        }
    };
}

/// All languages; the first is for everyone else.
pub const LANGUAGES: &[Language] = &[language!("en"), language!("de")];

impl Language {
    /// The language of a locale such as `de-AT`, else the first.
    pub fn of(locale: &str) -> &'static Language {
        let tag = locale.split(['-', '_']).next().unwrap_or_default();
        LANGUAGES.iter().find(|language| language.tag.eq_ignore_ascii_case(tag)).unwrap_or(&LANGUAGES[0])
    }

    /// A phrase by name, if there is one.
    pub fn phrase(&self, name: &str) -> Option<&'static str> {
        self.words.lines().filter_map(|line| line.split_once(" = ")).find(|(key, _)| *key == name).map(|(_, text)| text)
    }
}

/// What goes in the place of a name in a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A piece of text.
    Text(String),
    /// Several, one below the other.
    List(Vec<String>),
}

/// The names of a template and what goes in their places. Cleaned already: see [`clean`].
pub type Values = [(&'static str, Value)];

/// A text template with its values filled in.
pub fn fill_text(template: &str, values: &Values) -> String {
    fill(template, values, |value| match value {
        Value::Text(text) => text.clone(),
        Value::List(items) => items.iter().map(|item| format!("- {item}")).collect::<Vec<_>>().join("\n"),
    })
}

/// An HTML template with its values filled in, escaped.
pub fn fill_html(template: &str, values: &Values) -> String {
    fill(template, values, |value| match value {
        Value::Text(text) => escape(text),
        Value::List(items) => {
            let items: String = items.iter().map(|item| format!("<li>{}</li>", escape(item))).collect();
            format!("<ul>{items}</ul>")
        }
    })
}

/// Replaces each `{{name}}` once, from left to right: what a value holds is never looked at again.
fn fill(template: &str, values: &Values, form: impl Fn(&Value) -> String) -> String {
    let mut filled = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").expect("templates are checked by a test: every name is closed");
        let value = values.iter().find(|(key, _)| *key == name).map(|(_, value)| value);
        filled.push_str(before);
        filled.push_str(&form(value.expect("templates are checked by a test: every name has a value")));
        rest = after;
    }
    filled.push_str(rest);
    filled
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A text for a chat program that reads `<`, `>` and `&` as markup, as Slack's does.
pub fn escape_chat(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A value from outside as text for people: one line, bounded, without characters that cannot be seen, and with the
/// dots, colons and at signs that make a link written `[.]`, `[:]`, `[at]`. Empty if nothing is left.
pub fn clean(value: &str) -> String {
    let visible: Vec<char> = value
        .chars()
        .take(4 * MESSAGE_VALUE_CHARS_MAX)
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !c.is_control() && !is_invisible(*c))
        .collect();
    let mut cleaned = String::new();
    for (index, &c) in visible.iter().enumerate() {
        if index >= MESSAGE_VALUE_CHARS_MAX {
            cleaned.push('…');
            break;
        }
        let next = visible.get(index + 1).copied().unwrap_or(' ');
        let replaced = match c {
            '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}' if next.is_alphabetic() => Some("[.]"),
            ':' | '\u{ff1a}' if next == '/' || next == '\\' => Some("[:]"),
            '@' | '\u{ff20}' => Some("[at]"),
            _ => None,
        };
        match replaced {
            Some(text) => cleaned.push_str(text),
            None => cleaned.push(c),
        }
    }
    cleaned.trim().to_owned()
}

/// Characters that show nothing, or that change the direction or joining of what stands beside them.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}
