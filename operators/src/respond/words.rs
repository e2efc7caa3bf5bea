//! How values get into the wording of messages. Owned here: templates as pieces, their filling, and that no value can
//! be more than text: cleaned of control characters, bounded, escaped in HTML, kept in its place between letters of
//! either direction, and made so that no mail or chat program turns it into a link. Not owned here: which templates
//! there are (`templates`).

use crate::limits::MESSAGE_VALUE_CHARS_MAX;

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

/// A template, taken apart. A name is filled once: what a value holds is never looked at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Plain(String),
    Name(String),
}

impl Pieces {
    /// Takes a template apart at each `{{name}}`.
    ///
    /// # Errors
    /// What is wrong with it, if a name is not closed.
    pub fn parse(template: &str) -> Result<Self, String> {
        let (mut pieces, mut rest) = (Vec::new(), template);
        while let Some((before, after)) = rest.split_once("{{") {
            let named = after.split_once("}}").filter(|(name, _)| !name.contains(['{', '\n']));
            let (name, after) = named.ok_or_else(|| format!("`{{{{{}` is not closed", excerpt(after)))?;
            pieces.extend([Piece::Plain(before.to_owned()), Piece::Name(name.to_owned())]);
            rest = after;
        }
        pieces.push(Piece::Plain(rest.to_owned()));
        Ok(Pieces(pieces))
    }

    /// The names in it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Name(name) => Some(name.as_str()),
            Piece::Plain(_) => None,
        })
    }

    /// Names that do not stand in the text of an HTML page, but in a tag, a comment, a script or a style sheet, where to
    /// escape a value is not enough.
    pub fn out_of_text(&self) -> Vec<&str> {
        let (mut place, mut found) = (Place::Text, Vec::new());
        for piece in &self.0 {
            match piece {
                Piece::Plain(text) => place = place.after(text),
                Piece::Name(name) if place != Place::Text => found.push(name.as_str()),
                Piece::Name(_) => {}
            }
        }
        found
    }

    /// As plain text.
    pub fn text(&self, values: &Values) -> String {
        self.fill(values, |value| match value {
            Value::Text(text) => text.clone(),
            Value::List(items) => items.iter().map(|item| format!("- {item}")).collect::<Vec<_>>().join("\n"),
        })
    }

    /// As HTML, values escaped.
    pub fn html(&self, values: &Values) -> String {
        self.fill(values, |value| match value {
            Value::Text(text) => escape(text),
            Value::List(items) => {
                let items: String = items.iter().map(|item| format!("<li>{}</li>", escape(item))).collect();
                format!("<ul>{items}</ul>")
            }
        })
    }

    /// A name without a value is left out; templates are checked for having none.
    fn fill(&self, values: &Values, form: impl Fn(&Value) -> String) -> String {
        let of = |name: &str| values.iter().find(|(key, _)| *key == name).map(|(_, value)| form(value));
        let filled = self.0.iter().map(|piece| match piece {
            Piece::Plain(text) => text.clone(),
            Piece::Name(name) => of(name).unwrap_or_default(),
        });
        filled.collect()
    }
}

/// The start of what is wrong.
pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(20).take_while(|c| !c.is_control()).collect()
}

/// Where in an HTML page something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Text,
    /// In a construct that this ends.
    Until(&'static str),
}

/// What begins a construct that is not text, and what ends it. The first that fits counts.
const NOT_TEXT: [(&str, &str); 4] = [("<!--", "-->"), ("<script", "</script"), ("<style", "</style"), ("<", ">")];

impl Place {
    fn after(mut self, text: &str) -> Place {
        let text = text.to_ascii_lowercase();
        let mut rest = text.as_str();
        loop {
            let found = match self {
                Place::Until(end) => rest.find(end).map(|at| (Place::Text, at + end.len())),
                Place::Text => rest.find('<').map(|at| {
                    let begun =
                        NOT_TEXT.iter().find(|(begin, _)| rest[at..].starts_with(begin)).unwrap_or(&NOT_TEXT[3]);
                    (Place::Until(begun.1), at + begun.0.len())
                }),
            };
            let Some((place, end)) = found else { return self };
            (self, rest) = (place, &rest[end..]);
        }
    }
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
            '.' | '\u{2024}' | '\u{3002}' | '\u{fe52}' | '\u{ff0e}' | '\u{ff61}' if next.is_alphabetic() => Some("[.]"),
            ':' | '\u{fe55}' | '\u{ff1a}' if next == '/' || next == '\\' => Some("[:]"),
            '@' | '\u{fe6b}' | '\u{ff20}' => Some("[at]"),
            _ => None,
        };
        match replaced {
            Some(text) => cleaned.push_str(text),
            None => cleaned.push(c),
        }
    }
    isolated(cleaned.trim())
}

/// Letters that run from right to left change the order of what stands beside them, unless they are kept apart: first
/// strong isolate and its end.
fn isolated(text: &str) -> String {
    let runs_left = |c: char| {
        matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}'
            | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
    };
    match text.contains(runs_left) {
        true => format!("\u{2068}{text}\u{2069}"),
        false => text.to_owned(),
    }
}

/// Characters that show nothing, or that change the direction or joining of what stands beside them.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_text_and_nowhere_else() {
        for (page, expected) in [
            ("<p>{{a}}</p><!-- x --><b title='1'>{{b}}</b>", &[][..]),
            ("<title>{{a}}</title><STYLE>p{}</STYLE>{{b}}<br>{{c}}", &[]),
            ("<a href=\"{{a}}\">{{b}}</a>", &["a"]),
            ("<!-- {{a}} > {{b}} --> {{c}}", &["a", "b"]),
            ("<Script>x = '>{{a}}'</script>{{b}}", &["a"]),
            ("<style>.x{color:{{a}}}</style>{{b}}", &["a"]),
            ("<p {{a}}>{{b}}<{{c}}>", &["a", "c"]),
        ] {
            assert_eq!(Pieces::parse(page).unwrap().out_of_text(), expected, "{page}");
        }
    }

    #[test]
    fn what_a_value_holds_is_never_looked_at_again() {
        let values = [("a", Value::Text("{{b}}".into())), ("b", Value::List(vec!["<i>".into(), "}}".into()]))];
        let pieces = Pieces::parse("{{a}} {{b}}!").unwrap();
        assert_eq!(pieces.text(&values), "{{b}} - <i>\n- }}!");
        assert_eq!(pieces.html(&values), "{{b}} <ul><li>&lt;i&gt;</li><li>}}</li></ul>!");
        for open in ["{{a", "{{a}", "x {{a\n}}", "{{a {{b}}"] {
            assert!(Pieces::parse(open).unwrap_err().contains("is not closed"), "{open}");
        }
    }

    #[test]
    fn letters_from_right_to_left_stay_in_their_place() {
        assert_eq!(clean("שלום"), "\u{2068}שלום\u{2069}");
        assert_eq!(clean("a\u{202e}b\u{2067}c"), "abc");
        assert_eq!(clean("\u{2069}علي\u{2069}"), "\u{2068}علي\u{2069}");
    }
}
