//! The layers of settings, each over the one before: shipped defaults, file, environment, flags. Owned here: how they
//! are put over each other. Every value keeps where it came from.

use crate::flags::Flags;
use crate::problem::{Problem, Problems};
use crate::value::{Located, Node, Origin, Table, Value};
use toml::de::DeTable;

/// A job file as read.
#[derive(Clone, Debug)]
pub struct JobFile {
    /// How messages name it.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// Where settings come from. What is absent leaves the layer below as it is.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The job file.
    pub file: Option<JobFile>,
    /// Environment variables, name and value. Those not named `AERIE__…` are ignored.
    pub environment: Vec<(String, String)>,
    /// The command line.
    pub flags: Flags,
}

/// What messages call the compiled-in defaults.
pub(crate) const DEFAULTS_NAME: &str = "default.toml (built in)";

/// What the names of environment variables that are settings begin with.
pub(crate) const ENVIRONMENT_PREFIX: &str = "AERIE__";

/// Job files are written by people; what is larger is not one.
const FILE_BYTES_MAX: usize = 1 << 20;

impl Layers {
    /// All layers as one tree. In the defaults, the one entry of a list of sections holds the defaults of each entry.
    pub(crate) fn merge(&self) -> Result<Table, Problems> {
        let mut tree = parse(DEFAULTS_NAME, crate::DEFAULTS)?;
        let source_defaults = match tree.remove("source").map(|node| node.value) {
            Some(Value::List(mut entries)) => entries.pop(),
            _ => None,
        };
        if let Some(file) = &self.file {
            overlay(&mut tree, parse(&file.name, &file.text)?);
        }
        let mut environment: Vec<_> = self.environment.iter().collect();
        environment.sort();
        for (name, value) in environment {
            if let Some(keys) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                overlay(&mut tree, nested(keys, value, Origin::Environment(name.clone())));
            }
        }
        overlay(&mut tree, self.flags.table());
        if let (Some(defaults), Some(Node { value: Value::List(entries), .. })) =
            (source_defaults, tree.get_mut("source"))
        {
            entries.iter_mut().for_each(|entry| lay_over_defaults(entry, &defaults));
        }
        Ok(tree)
    }

    /// Where what is missing should have been.
    pub(crate) fn place(&self) -> Origin {
        match &self.file {
            Some(file) => Located { name: &file.name, text: "" }.whole(),
            None => Origin::Flag("command line".to_owned()),
        }
    }
}

fn lay_over_defaults(entry: &mut Node, defaults: &Node) {
    if let (Value::Table(given), Value::Table(defaults)) = (&mut entry.value, &defaults.value) {
        let mut whole = defaults.clone();
        overlay(&mut whole, std::mem::take(given));
        *given = whole;
    }
}

/// Puts `over` on top: sections are joined, also those of a list that are named by their number, everything else is
/// replaced.
fn overlay(base: &mut Table, over: Table) {
    for (key, node) in over {
        match (base.get_mut(&key), node) {
            (Some(Node { value: Value::Table(below), origin }), Node { value: Value::Table(above), origin: newer }) => {
                // A section stands where the file has it; a flag that sets one key in it does not move it.
                if matches!(newer, Origin::File { .. }) {
                    *origin = newer;
                }
                overlay(below, above);
            }
            (Some(Node { value: Value::List(entries), .. }), Node { value: Value::Table(above), .. })
                if above.keys().all(|key| (0..entries.len()).any(|number| number.to_string() == *key)) =>
            {
                let count = entries.len();
                let mut below =
                    entries.drain(..).enumerate().map(|(number, entry)| (number.to_string(), entry)).collect();
                overlay(&mut below, above);
                entries.extend((0..count).filter_map(|number| below.remove(&number.to_string())));
            }
            (_, node) => drop(base.insert(key, node)),
        }
    }
}

/// `JOB__WORKERS` and a value, as a tree of one leaf.
fn nested(keys: &str, value: &str, origin: Origin) -> Table {
    let leaf = Node { value: Value::Word(value.to_owned()), origin: origin.clone() };
    let mut keys = keys.rsplit("__").map(str::to_lowercase);
    let last = keys.next().unwrap_or_default();
    keys.fold(Table::from([(last, leaf)]), |inner, key| {
        Table::from([(key, Node { value: Value::Table(inner), origin: origin.clone() })])
    })
}

fn parse(name: &str, text: &str) -> Result<Table, Problems> {
    let located = Located { name, text };
    let problem = |origin, rule: String, hint: &str| Problem {
        origin,
        path: String::new(),
        value: None,
        rule,
        hint: Some(hint.to_owned()),
    };
    if text.len() > FILE_BYTES_MAX {
        let rule = format!("the file has {} bytes, more than {FILE_BYTES_MAX}", text.len());
        return Err(Problems(vec![problem(located.whole(), rule, "name a job file, not a data file")]));
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(located.table(table.get_ref()));
    }
    let problems = errors.iter().map(|error| {
        let origin = error.span().map_or(located.whole(), |span| located.at(span.start));
        let rule = format!("not TOML: {}", error.message().replace('\n', "; "));
        problem(origin, rule, "values are \"text\", numbers, true, false or [lists]; sections are [name]")
    });
    Err(Problems(problems.collect()))
}
