//! Rust text as the rules see it: comments and strings told apart from code, test code told apart from what ships.
//! Blanked parts keep their length and line breaks, so every view has the lines of the file.

/// One Rust file in the views that the rules need.
pub struct Source {
    /// Path from the root, with `/`.
    pub path: String,
    /// The file as it is.
    pub text: String,
    /// Code alone: comments, strings and characters are blank.
    pub code: String,
    /// Code alone, without `#[cfg(test)]` items.
    pub shipped: String,
    /// Code and strings, without comments and `#[cfg(test)]` items.
    pub shipped_with_strings: String,
    /// How many lines `#[cfg(test)]` items take.
    pub test_lines: usize,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let (code, with_strings) = blank(text);
        let tests = test_items(&code);
        let without = |view: &str| {
            let mut bytes = view.as_bytes().to_vec();
            tests.iter().for_each(|range| wipe(&mut bytes[range.clone()]));
            String::from_utf8(bytes).expect("blanks replace whole characters")
        };
        let (shipped, shipped_with_strings) = (without(&code), without(&with_strings));
        let test_lines = tests.iter().map(|range| text[range.clone()].matches('\n').count() + 1).sum();
        Source { path: path.to_owned(), text: text.to_owned(), code, shipped, shipped_with_strings, test_lines }
    }

    /// Whether the file as a whole is test code.
    pub fn is_test(&self) -> bool {
        let file = self.path.rsplit('/').next();
        file == Some("tests.rs") || self.path.split('/').any(|part| part == "tests" || part == "benches")
    }
}

/// The line of a byte offset, from one.
pub fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// Where `word` stands with no letter, digit or `_` on either side.
pub fn find_word<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let (open, closed) =
        (word.starts_with(|c: char| !c.is_alphanumeric()), word.ends_with(|c: char| !c.is_alphanumeric()));
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |&at| open || !joins(text[..at].chars().next_back()))
        .filter(move |&at| closed || !joins(text[at + word.len()..].chars().next()))
}

/// The offset after the bracket that closes the one at `open`, or the end of the text.
pub fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// Where an item's body opens (`{`) or the item ends without one (`;`), brackets in its head skipped.
pub fn body(code: &str, from: usize) -> Option<(usize, u8)> {
    let mut at = from;
    while at < code.len() {
        match code.as_bytes()[at] {
            b'(' | b'[' => at = closing(code, at),
            end @ (b'{' | b';') => return Some((at, end)),
            _ => at += 1,
        }
    }
    None
}

fn test_items(code: &str) -> Vec<std::ops::Range<usize>> {
    const MARK: &str = "#[cfg(test)]";
    let end = |start| match body(code, start + MARK.len()) {
        // The head of an item may carry further attributes; `body` skips their brackets.
        Some((open, b'{')) => closing(code, open),
        Some((semicolon, _)) => semicolon + 1,
        None => code.len(),
    };
    code.match_indices(MARK).map(|(start, _)| start..end(start)).collect()
}

fn wipe(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}

/// The text with comments, strings and characters blank; and with comments alone blank.
fn blank(text: &str) -> (String, String) {
    let (mut code, mut with_strings) = (text.as_bytes().to_vec(), text.as_bytes().to_vec());
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if let Some(length) = comment(rest) {
            wipe(&mut code[at..at + length]);
            wipe(&mut with_strings[at..at + length]);
            at += length;
        } else if let Some(length) = literal(rest, text[..at].chars().next_back()) {
            wipe(&mut code[at..at + length]);
            at += length;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    let text = |bytes| String::from_utf8(bytes).expect("blanks replace whole characters");
    (text(code), text(with_strings))
}

fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    Some(rest.len())
}

/// The length of a string or character that begins here; `before` tells a prefix from the end of a name.
fn literal(rest: &str, before: Option<char>) -> Option<usize> {
    let in_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let prefix = if in_name { 0 } else { rest.find(|c| !matches!(c, 'b' | 'c' | 'r')).unwrap_or(0) };
    let raw = rest[..prefix].contains('r');
    let quoted = &rest[prefix..];
    if raw && prefix <= 2 {
        let hashes = quoted.find(|c| c != '#')?;
        let inner = quoted[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let length = inner.find(&end).map_or(inner.len(), |found| found + end.len());
        return Some(prefix + hashes + 1 + length);
    }
    let quote = quoted.chars().next().filter(|c| *c == '"' || *c == '\'')?;
    if quote == '\'' && !is_char(quoted) {
        return None;
    }
    let mut escaped = false;
    for (at, c) in quoted.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(prefix + at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

/// Whether a `'` opens a character rather than a lifetime.
fn is_char(quoted: &str) -> bool {
    let mut chars = quoted.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}
