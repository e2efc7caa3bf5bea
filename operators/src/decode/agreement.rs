//! The one pass that every event takes against the diagnosis of those that fail: on any line the one must refuse
//! exactly where the other finds a reason.

use super::tests::{full, refused, stamped};
use super::*;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::LazyLock;

/// The one pass and the diagnosis agree on a line, and so does the decoder, after mending.
fn agree(line: &[u8]) {
    let mended = surrogate::mend(line);
    let line = mended.as_deref().unwrap_or(line);
    let diagnosis = diagnose(line);
    assert_eq!(accepts(line), diagnosis.is_none(), "{} {diagnosis:?}", escape(line));
    if diagnosis.is_none() {
        assert!(!read_text(&stamped(std::str::from_utf8(line).unwrap())).id.is_empty());
    }
}

#[test]
fn an_event_cut_anywhere_is_rejected() {
    let line = full().to_string();
    for length in 0..line.len() {
        agree(&line.as_bytes()[..length]);
        assert_eq!(refused(&line.as_bytes()[..length]).unwrap().0, "not_json");
    }
}

/// Lines near valid ones: bytes changed, removed, doubled; values swapped for others; pieces repeated.
#[test]
fn mutated_events_are_judged_alike_by_both() {
    const PIECES: [&str; 24] = [
        "null",
        "true",
        "7",
        "-1",
        "1e5",
        "1.5",
        "\"\"",
        "\"x\"",
        "[]",
        "{}",
        "{\"id\":\"x\"}",
        "\"type\":\"file\",",
        "\"id\":null,",
        "\\ud800",
        "\\u0041",
        "\"file\":{},",
        "\"ok\":true,",
        ",",
        "\"",
        "}",
        "[[[[",
        "\"\":1,",
        "\"context\":{},",
        "1767225600.25",
    ];
    let seed = 0x5eed_0001;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let text = full().to_string();
    let values: Vec<(usize, usize)> = value_spans(&text);
    let (mut accepted, mut rounds) = (0, 0);
    while rounds < 10_000 {
        let mut line = text.clone().into_bytes();
        for _ in 0..random.random_range(1..=2) {
            let at = random.random_range(0..line.len());
            let piece = PIECES[random.random_range(0..PIECES.len())].as_bytes();
            match random.random_range(0..6) {
                0 => line[at] = random.random(),
                1 => drop(line.remove(at)),
                2 => drop(line.splice(at..at, piece.iter().copied())),
                3 => line.truncate(at.max(1)),
                _ if line.len() == text.len() => {
                    let (from, to) = values[random.random_range(0..values.len())];
                    line.splice(from..to, piece.iter().copied());
                }
                _ => {}
            }
        }
        agree(&line);
        accepted += u32::from(accepts(&line));
        rounds += 1;
    }
    assert!((rounds / 20..rounds * 9 / 10).contains(&accepted), "seed {seed:#x} is one-sided: {accepted} of {rounds}");
}

/// Whether the one pass takes the line.
fn accepts(line: &[u8]) -> bool {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::default);
    Parsed::read(line, &CATALOGUE).is_some()
}

/// Where values and names stand in a compact JSON text.
fn value_spans(text: &str) -> Vec<(usize, usize)> {
    let starts = text.match_indices([':', ',']).map(|(at, _)| at + 1);
    starts
        .map(|from| (from, text[from..].find([',', '}', ']', ':']).map_or(text.len(), |length| from + length)))
        .collect()
}

proptest! {
    #[test]
    fn random_bytes_are_judged_alike_by_both(line in proptest::collection::vec(any::<u8>(), 0..300)) {
        agree(&line);
        prop_assert!(refused(&line).is_some());
    }

    #[test]
    fn one_field_of_any_shape_is_judged_alike_by_both(
        index in 0usize..200,
        value in "null|true|-?[0-9]{1,12}(\\.[0-9]{1,8})?([eE][+-]?[0-9]{1,3})?|\"[ -~]{0,3}\"|\\[\\{\\}\\]|\\{\"(id|type|user|file|x)\":(null|7|\"file\"|\\{\\})\\}",
    ) {
        let text = full().to_string();
        let spans = value_spans(&text);
        let (from, to) = spans[index % spans.len()];
        agree(format!("{}{value}{}", &text[..from], &text[to..]).as_bytes());
    }
}
