//! The promise: state of every released format can be read. Each folder of `fixtures/` holds a data directory as that
//! format left it, and what it had read; this program must verify its snapshots, show what is in them, and derive the
//! rest of its record again from one in the middle.

use crate::support::{Place, aerie};
use std::fs;
use std::path::{Path, PathBuf};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("a fixture can be read") {
        let (path, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).expect("a fixture can be read");
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).expect("a file can be copied");
        }
    }
}

/// The first snapshot that was kept.
fn first_snapshot(data: &Path) -> String {
    let manifests = fs::read_dir(data.join("snapshots/manifests")).expect("there are manifests");
    let number = |name: std::ffi::OsString| name.to_string_lossy().parse::<u64>().expect("a number");
    let first = manifests.map(|entry| number(entry.expect("a file").file_name())).min();
    first.expect("a snapshot").to_string()
}

fn words(text: &str, paths: &[(&str, &PathBuf)]) -> Vec<String> {
    let path = |word: &str| paths.iter().find(|(name, _)| *name == word).map(|(_, path)| path.display().to_string());
    text.split(' ').map(|word| path(word).unwrap_or_else(|| word.to_owned())).collect()
}

#[test]
fn state_of_every_format_is_read() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/fixtures");
    let formats: Vec<_> =
        fs::read_dir(fixtures).expect("there are fixtures").map(|entry| entry.expect("a folder")).collect();
    assert!(!formats.is_empty());
    for format in formats {
        let place = Place::new();
        let (from, data) = (format.path(), place.path("data"));
        copy(&from.join("data"), &data);
        let [events, control, tor] = ["events.ndjson", "control.ndjson", "tor.txt"].map(|name| from.join(name));
        let paths = [("DATA", &data), ("EVENTS", &events), ("CONTROL", &control), ("TOR", &tor)];
        aerie(&words("snapshots verify --data-dir DATA", &paths)).done();
        let first = first_snapshot(&data);
        for workers in ["1", "3"] {
            let replay = "--input EVENTS --control CONTROL TOR --json --workers";
            let replay = format!("replay --data-dir DATA --from {first} {replay} {workers}");
            let replayed = aerie(&words(&replay, &paths)).done();
            assert!(replayed.stdout.contains("\"orders\""), "{}", replayed.stdout);
        }
        let inspect = format!("inspect --data-dir DATA --at {first} --org E0000000 --user U0000000004 --json");
        let found = aerie(&words(&inspect, &paths)).done();
        assert_eq!(found.json()["known"], true, "{}", found.stdout);
    }
}
