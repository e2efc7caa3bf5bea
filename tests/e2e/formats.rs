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
        for workers in ["1", "3"] {
            let replay = "replay --data-dir DATA --from 3 --input EVENTS --control CONTROL TOR --json --workers";
            let replayed = aerie(&words(&format!("{replay} {workers}"), &paths)).done();
            assert!(replayed.stdout.contains("\"orders\""), "{}", replayed.stdout);
        }
        let found =
            aerie(&words("inspect --data-dir DATA --at 3 --org E0000000 --user U0000000004 --json", &paths)).done();
        assert_eq!(found.json()["known"], true, "{}", found.stdout);
    }
}
