//! The house rules as tests: the invariants of ARCHITECTURE.md, and the measures that keep files and functions small.
//! Each rule is a function of text in `tidy/`, shown there to notice a planted violation; here they meet the tree.

#[path = "tidy/map.rs"]
mod map;
#[path = "tidy/planted.rs"]
mod planted;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use source::Source;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

const CRATES: &[&str] = &["", "engine/", "operators/", "connectors/", "config/"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every path of the project, folders with a `/` at their end: not hidden files, and not what `.gitignore` names.
fn tree() -> BTreeSet<String> {
    let ignored: BTreeSet<String> = read(".gitignore").lines().map(|line| line.trim_matches('/').to_owned()).collect();
    let mut paths = BTreeSet::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder of the project can be listed") {
            let entry = entry.expect("a folder of the project can be listed");
            let name = entry.file_name().into_string().expect("the project's names are UTF-8");
            let path = format!("{folder}{name}");
            if name.starts_with('.') || ignored.contains(&path) {
                continue;
            }
            if entry.path().is_dir() {
                folders.push(format!("{path}/"));
                paths.insert(format!("{path}/"));
            } else {
                paths.insert(path);
            }
        }
    }
    paths
}

fn sources(under: &[&str]) -> Vec<Source> {
    let rust = tree().into_iter().filter(|path| path.ends_with(".rs") && under.iter().any(|u| path.starts_with(u)));
    let sources: Vec<Source> = rust.map(|path| Source::new(&path, &read(&path))).collect();
    assert!(!sources.is_empty(), "no Rust files under {under:?}");
    sources
}

/// Fails with everything that the rule finds.
fn all_keep(sources: &[Source], rule: fn(&Source) -> Vec<String>) {
    none(sources.iter().flat_map(rule).collect());
}

fn none(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

fn shipped() -> Vec<Source> {
    sources(&[""]).into_iter().filter(|source| !source.is_test()).collect()
}

fn toml(path: &str) -> toml::Table {
    read(path).parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

// ---- Invariant 1: the arrows are the whole graph.

#[test]
fn the_arrows_are_the_whole_graph() {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("cargo writes JSON");
    let mut graph = map::Arrows::new();
    for package in metadata["packages"].as_array().expect("packages is a list") {
        let name = package["name"].as_str().expect("a package has a name");
        let dependencies = package["dependencies"].as_array().expect("dependencies is a list").iter();
        let local = dependencies.filter(|dependency| dependency["path"].is_string());
        let names = local.filter_map(|dependency| dependency["name"].as_str()).filter(|other| *other != name);
        graph.insert(name.to_owned(), names.map(str::to_owned).collect());
    }
    assert_eq!(graph, map::arrows(&read("ARCHITECTURE.md")));
}

#[test]
fn the_map_names_what_there_is() {
    let tree = tree();
    let top_folder = |path: &str| path.ends_with('/') && path.matches('/').count() == 1;
    let module = |path: &str| {
        let in_crate = CRATES.iter().any(|krate| path.starts_with(&format!("{krate}src/")));
        in_crate && path.ends_with(".rs") && !path.ends_with("/tests.rs")
    };
    let must = tree.iter().filter(|path| top_folder(path) || module(path)).cloned().collect();
    none(map::differences(&map::named(&read("ARCHITECTURE.md")), &tree, &must));
}

// ---- Invariant 2: the engine has never heard of users.

#[test]
fn engine_and_connectors_speak_no_domain() {
    all_keep(&sources(&["engine/src/", "connectors/src/"]), rules::speaks_no_domain);
}

// ---- Invariant 3: inside the dataflow, time and chance are inputs.

#[test]
fn time_and_chance_are_inputs() {
    let mut sources = sources(&["engine/src/", "operators/src/"]);
    sources.retain(|source| !source.is_test());
    all_keep(&sources, rules::has_no_time_or_chance);
}

#[test]
fn the_strict_lints_hold_for_both_crates_and_repeat_the_roots() {
    assert_eq!(read("engine/clippy.toml"), read("operators/clippy.toml"));
    let strict = toml("engine/clippy.toml");
    for (key, value) in toml("clippy.toml") {
        assert_eq!(strict.get(&key), Some(&value), "engine/clippy.toml replaces clippy.toml and must repeat `{key}`");
    }
    for list in ["disallowed-methods", "disallowed-types"] {
        for entry in strict[list].as_array().expect("a list of paths") {
            assert!(entry.get("reason").is_some_and(|reason| reason.is_str()), "no reason: {entry}");
        }
    }
}

// ---- Invariant 4: one file knows RocksDB, and the domain builds no timely operator by hand.

#[test]
fn one_file_knows_rocksdb() {
    all_keep(&sources(&[""]), rules::leaves_rocksdb_alone);
    for krate in CRATES {
        let manifest = read(&format!("{krate}Cargo.toml"));
        let owns = *krate == "engine/" || krate.is_empty();
        assert!(owns || !manifest.contains("rocksdb"), "{krate}Cargo.toml names rocksdb");
        assert!(
            !toml(&format!("{krate}Cargo.toml"))["dependencies"]
                .as_table()
                .is_some_and(|table| { *krate != "engine/" && table.contains_key("rocksdb") })
        );
    }
}

#[test]
fn the_domain_builds_no_operator() {
    all_keep(&sources(&["operators/src/"]), rules::builds_no_operator);
}

// ---- Invariant 5: a snapshot exists once its manifest does, and not before.

#[test]
fn only_the_snapshot_code_handles_manifests() {
    all_keep(&shipped(), rules::leaves_manifests_alone);
}

// ---- Measures.

#[test]
fn files_and_functions_are_short() {
    all_keep(&shipped(), rules::is_short);
    all_keep(&shipped(), rules::functions_are_short);
}

#[test]
fn every_module_opens_with_its_purpose() {
    all_keep(&sources(&[""]), rules::opens_with_its_purpose);
}

#[test]
fn the_model_stands_on_its_own() {
    all_keep(&sources(&["operators/src/model/"]), rules::model_imports_nothing);
}

#[test]
fn matches_are_asserted_and_lifted_lints_have_reasons() {
    all_keep(&sources(&[""]), rules::asserts_what_it_matches);
    all_keep(&sources(&[""]), rules::lifted_lints_have_reasons);
}

#[test]
fn what_is_shipped_makes_no_promises() {
    let kinds = [".rs", ".md", ".toml", ".sh", ".html", ".js", ".yaml", ".yml", ".json", "Makefile", "Dockerfile"];
    let shown = |path: &String| kinds.iter().any(|kind| path.ends_with(kind)) && !path.starts_with("tests/tidy");
    none(
        tree().iter().filter(|path| shown(path)).flat_map(|path| rules::makes_no_promises(path, &read(path))).collect(),
    );
}

// ---- Supply chain: what can be seen without cargo-deny, which CI runs as well where it is installed.

#[test]
fn the_locked_crates_are_those_that_deny_toml_allows() {
    let deny = toml("deny.toml");
    let banned: BTreeSet<&str> = deny["bans"]["deny"]
        .as_array()
        .expect("bans.deny is a list")
        .iter()
        .map(|ban| {
            assert!(ban.get("reason").is_some_and(|reason| reason.is_str()), "a ban without a reason: {ban}");
            ban["crate"].as_str().expect("a ban names a crate")
        })
        .collect();
    for package in toml("Cargo.lock")["package"].as_array().expect("Cargo.lock lists packages") {
        let name = package["name"].as_str().expect("a package has a name");
        assert!(!banned.contains(name), "{name} is banned by deny.toml");
        let source = package.get("source").and_then(|source| source.as_str());
        let registry = "registry+https://github.com/rust-lang/crates.io-index";
        assert!(source.is_none_or(|source| source == registry), "{name} does not come from crates.io");
    }
}

#[test]
fn every_advisory_that_is_let_pass_has_a_reason_and_a_crate() {
    let deny = toml("deny.toml");
    let lock = read("Cargo.lock");
    for entry in deny["advisories"]["ignore"].as_array().expect("advisories.ignore is a list") {
        let reason = entry.get("reason").and_then(|reason| reason.as_str()).unwrap_or_default();
        let name = reason.split([' ', ':', ',']).next().unwrap_or_default();
        assert!(reason.len() > 20, "an exception without a reason: {entry}");
        assert!(lock.contains(&format!("name = \"{name}\"")), "{name} is gone, and so is the exception: {entry}");
    }
}
