//! What ARCHITECTURE.md says of the tree: its table of arrows and its map.

use std::collections::{BTreeMap, BTreeSet};

/// Crate to the crates it depends on.
pub type Arrows = BTreeMap<String, BTreeSet<String>>;

/// The rows of the tables below a heading of level two, cell by cell, without the heading rows.
fn rows<'a>(text: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let section = text.lines().skip_while(|line| *line != format!("## {heading}")).skip(1);
    let tables = section.take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with('|'));
    let cells = tables.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    cells.filter(|row| row[0].starts_with('`')).collect()
}

/// Everything in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The table of arrows.
pub fn arrows(architecture: &str) -> Arrows {
    let row = |cells: Vec<&str>| {
        let crate_name = quoted(cells[0]).next().unwrap_or_default().to_owned();
        (crate_name, cells[1..].iter().flat_map(|cell| quoted(cell)).map(str::to_owned).collect())
    };
    rows(architecture, "Arrows").into_iter().map(row).collect()
}

/// Every path that the map names: the first cell of each row, and what the row of a folder names inside it: `x.rs`.
pub fn named(architecture: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for row in rows(architecture, "Map") {
        let place = quoted(row[0]).next().unwrap_or_default();
        paths.insert(place.to_owned());
        if place.ends_with('/') {
            let inside = row[1..].iter().flat_map(|cell| quoted(cell)).filter(|name| name.ends_with(".rs"));
            paths.extend(inside.map(|name| format!("{place}{name}")));
        }
    }
    paths
}

/// What the map names and the tree lacks, and what the tree has and the map does not name.
pub fn differences(named: &BTreeSet<String>, tree: &BTreeSet<String>, must_be_named: &BTreeSet<String>) -> Vec<String> {
    let absent = named.difference(tree).map(|path| format!("the map names `{path}`, which does not exist"));
    let unnamed = must_be_named.difference(named).map(|path| format!("`{path}` stands in no row of the map"));
    absent.chain(unnamed).collect()
}
