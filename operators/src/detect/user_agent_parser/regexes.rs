//! The regexes file of uap-core. Owned here: the one form of YAML that it has. What is done with the regexes is the
//! parser's.

/// The section of programs.
pub const AGENTS: &str = "user_agent_parsers:";
/// The section of systems.
pub const SYSTEMS: &str = "os_parsers:";

/// A regex of the file, and what stands with it.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The section that it stands in.
    pub section: &'a str,
    /// The line that it begins on, from one.
    pub line: usize,
    /// The regex.
    pub regex: String,
    values: Vec<(&'a str, String)>,
}

impl Entry<'_> {
    /// The value of a key beside the regex.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.iter().find(|(other, _)| *other == key).map(|(_, value)| value.as_str())
    }
}

/// The entries of a file that has the one form of YAML which uap-core's has: sections, in them lists of maps that begin
/// with `regex`, and values in single quotes.
///
/// # Errors
/// What is of another form, and in which line.
pub fn entries(text: &str) -> Result<Vec<Entry<'_>>, String> {
    let (mut entries, mut section): (Vec<Entry<'_>>, &str) = (Vec::new(), "");
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if !line.starts_with(' ') {
            section = content;
            continue;
        }
        let (key, value) = content.split_once(": ").ok_or_else(|| format!("line {number}: not `key: 'value'`"))?;
        let value = value.trim().strip_prefix('\'').and_then(|value| value.strip_suffix('\''));
        let value = value.ok_or_else(|| format!("line {number}: a value that is not in single quotes"))?;
        let value = value.replace("''", "'");
        match (key, entries.last_mut()) {
            ("- regex", _) => entries.push(Entry { section, line: number, regex: value, values: Vec::new() }),
            (key, Some(entry)) if !key.starts_with('-') => entry.values.push((key, value)),
            _ => return Err(format!("line {number}: `{key}` where a list begins with `- regex`")),
        }
    }
    Ok(entries)
}
