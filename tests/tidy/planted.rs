//! Violations planted in strings: each rule must notice its own, and let the look-alike beside it pass.

use crate::map;
use crate::rules::*;
use crate::source::Source;
use std::collections::BTreeSet;

const PATH: &str = "engine/src/x.rs";

fn broken(rule: fn(&Source) -> Vec<String>, path: &str, text: &str) -> usize {
    rule(&Source::new(path, text)).len()
}

#[test]
fn comments_strings_and_tests_are_told_from_code() {
    let text = "let a = \"fn {\"; // fn {\nlet b = r#\"x\"y\"#; /* a /* b */ } */ let c = '\"'; let d: &'static str;\n\
                #[cfg(test)]\nmod tests {\n    fn t() { HashMap }\n}\nlet e = b'}';\n#[cfg(test)]\nmod more;\nlet f;\n";
    let source = Source::new(PATH, text);
    assert_eq!(source.code.len(), text.len());
    assert_eq!(source.code.matches("fn").count(), 1);
    assert!(source.code.contains("let c =") && source.code.contains("&'static str"));
    assert!(!source.shipped.contains("HashMap") && !source.shipped.contains("more"));
    assert!(source.shipped.contains("let e =") && source.shipped.contains("let f"));
    assert!(source.shipped_with_strings.contains("fn {") && !source.shipped_with_strings.contains("// fn"));
}

#[test]
fn domain_words() {
    for text in [
        "// a user",
        "let user_id = 1;",
        "struct SessionRow;",
        "\"slack.com\"",
        "fn f(anomalies: u8) {}",
        "TOR",
        "USERRow",
    ] {
        assert_eq!(broken(speaks_no_domain, PATH, text), 1, "{text}");
    }
    for text in ["iterator, operator, store", "obsession", "reuse the usersource", "vector of slackness"] {
        assert_eq!(broken(speaks_no_domain, PATH, text), 0, "{text}");
    }
    assert_eq!(broken(speaks_no_domain, "engine/src/session.rs", ""), 1);
}

#[test]
fn time_and_chance() {
    for code in [
        "let t = SystemTime::now();",
        "use std::{env, fs};",
        "std::env::var(\"X\");",
        "std::thread::sleep(d);",
        "let m = HashMap::default();",
        "std::process::id();",
        "#[expect(clippy::disallowed_methods, reason = \"\")]",
    ] {
        assert_eq!(broken(has_no_time_or_chance, PATH, code), 1, "{code}");
        assert_eq!(broken(has_no_time_or_chance, CLOCK, code), 0, "{code}");
    }
    for code in [
        "// HashMap",
        "env!(\"X\")",
        "\"sleep\"",
        "#[cfg(test)]\nmod tests { fn t() { Instant::now(); } }",
        "environment",
    ] {
        assert_eq!(broken(has_no_time_or_chance, PATH, code), 0, "{code}");
    }
    assert_eq!(broken(has_no_time_or_chance, KEY, "type Map = std::collections::HashMap;"), 0);
    assert_eq!(broken(has_no_time_or_chance, KEY, "Instant::now()"), 1);
}

#[test]
fn rocksdb_and_timely_operators() {
    assert_eq!(broken(leaves_rocksdb_alone, PATH, "use rocksdb::DB;"), 1);
    assert_eq!(broken(leaves_rocksdb_alone, PATH, "// rocksdb does this\nlet librocksdb_sys;"), 0);
    assert_eq!(broken(leaves_rocksdb_alone, "engine/src/state/rocks.rs", "use rocksdb::DB;"), 0);
    for code in [
        "let c: Capability<u64>;",
        "s.unary(Pipeline, f)",
        "s.unary::<A, _>(f)",
        "source(scope, f)",
        "OperatorBuilder::new()",
    ] {
        assert_eq!(broken(builds_no_operator, "operators/src/x.rs", code), 1, "{code}");
    }
    for code in ["error.source()", "fn source(&self) {}", "self.unaryness()", "data_source(x)"] {
        assert_eq!(broken(builds_no_operator, "operators/src/x.rs", code), 0, "{code}");
    }
}

#[test]
fn manifests() {
    assert_eq!(broken(leaves_manifests_alone, PATH, "open(\"t/manifests/7\")"), 1);
    assert_eq!(broken(leaves_manifests_alone, PATH, "// t/manifests/ is last"), 0);
    assert_eq!(broken(leaves_manifests_alone, "engine/src/snapshot/mod.rs", "const M: &str = \"manifests\";"), 0);
}

#[test]
fn the_model() {
    let path = "operators/src/model/event.rs";
    for code in ["use crate::detect::X;", "use crate::{detect, model};", "use super::super::limits;"] {
        assert_eq!(broken(model_imports_nothing, path, code), 1, "{code}");
    }
    for code in ["use super::reason::Reason;", "use crate::model::id::Id;", "use engine::time::Micros;"] {
        assert_eq!(broken(model_imports_nothing, path, code), 0, "{code}");
    }
    assert_eq!(broken(model_imports_nothing, "operators/src/model/mod.rs", "use super::limits;"), 1);
}

#[test]
fn measures() {
    let function =
        |lines: usize| format!("fn f<T>(a: [u8; 3]) -> T\nwhere T: X {{\n{}}}\n", "    g();\n".repeat(lines - 3));
    assert_eq!(broken(functions_are_short, PATH, &function(FUNCTION_LINES_MAX)), 0);
    assert_eq!(broken(functions_are_short, PATH, &function(FUNCTION_LINES_MAX + 1)), 1);
    assert_eq!(broken(functions_are_short, PATH, "trait T { fn f(&self); }\ntype F = fn(u8) -> u8;\n"), 0);

    let tests = "#[cfg(test)]\nmod tests {\n    fn t() {}\n}\n";
    let file = |lines: usize| "//! A line.\n\n".repeat(lines / 2) + tests;
    assert_eq!(broken(is_short, PATH, &file(FILE_LINES_MAX)), 0);
    assert_eq!(broken(is_short, PATH, &file(FILE_LINES_MAX + 2)), 1);

    assert_eq!(broken(opens_with_its_purpose, PATH, "use a;\n//! late"), 1);
    assert_eq!(broken(opens_with_its_purpose, PATH, "\n//! Owns x.\n"), 0);
}

#[test]
fn statements_that_check_nothing() {
    assert_eq!(broken(asserts_what_it_matches, PATH, "fn t() {\n    matches!(a, Some(_));\n}"), 1);
    assert_eq!(broken(asserts_what_it_matches, PATH, "fn t() { f(); matches!(\n a,\n b\n); }"), 1);
    for code in
        ["assert!(matches!(a, B));", "fn f() -> bool { matches!(a, B) }", "let x = matches!(a, B);", "// matches!(a);"]
    {
        assert_eq!(broken(asserts_what_it_matches, PATH, code), 0, "{code}");
    }
}

#[test]
fn lifted_lints() {
    for code in [
        "#[expect(dead_code)]",
        "#![expect(\n    dead_code\n)]",
        "#[allow(dead_code)]",
        "#[cfg_attr(test, expect(dead_code))]",
    ] {
        assert_eq!(broken(lifted_lints_have_reasons, PATH, code), 1, "{code}");
    }
    for code in ["#[expect(dead_code, reason = \"why\")]", "x.expect(\"why\");", "f(a, expect(b));", "// #[allow(x)]"] {
        assert_eq!(broken(lifted_lints_have_reasons, PATH, code), 0, "{code}");
    }
}

#[test]
fn promises() {
    for text in ["// TODO: more", "see issue 12", "Issue #7", "FIXME"] {
        assert_eq!(makes_no_promises(PATH, text).len(), 1, "{text}");
    }
    for text in ["todo = \"warn\"", "an issue of taste", "issued 12 tokens"] {
        assert_eq!(makes_no_promises(PATH, text).len(), 0, "{text}");
    }
}

#[test]
fn arrows_and_map() {
    let page = "# A\n\n## Map\n\n| Path | Owns |\n| --- | --- |\n| `a/` | one |\n| `a/src/` | `x.rs` does; `Y` is a type |\n\n\
                ## Arrows\n\n| Crate | Depends on |\n| --- | --- |\n| `a` | nothing |\n| `b` | `a` |\n\n## End\n\n| `c` | `d` |\n";
    let arrows = map::arrows(page);
    assert_eq!(arrows.len(), 2);
    assert!(arrows["a"].is_empty() && arrows["b"] == BTreeSet::from(["a".to_owned()]));

    let set = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<BTreeSet<_>>();
    let named = map::named(page);
    assert_eq!(named, set(&["a/", "a/src/", "a/src/x.rs"]));
    assert!(map::differences(&named, &named, &set(&["a/", "a/src/x.rs"])).is_empty());
    assert_eq!(map::differences(&named, &set(&["a/", "a/src/", "a/src/y.rs"]), &set(&["a/src/y.rs"])).len(), 2);
}
