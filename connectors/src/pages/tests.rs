//! Tests of `pages`, against a log that is played.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What is planted in a played log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Quirks {
    /// Every page that is the n-th is empty, and names the next.
    empty_every: usize,
    /// A cursor is good for so many pages.
    cursor_pages: usize,
    /// The n-th taking fails after it took a part.
    take_fails: usize,
}

/// A log whose entries show up at rounds of their own, in pages of a fixed size.
struct Played {
    /// Second and id of each entry, and the round that shows it first.
    entries: Vec<(u64, u64, usize)>,
    round: usize,
    page: usize,
    quirks: Quirks,
    asked: usize,
    takes: usize,
    taken: Vec<(u64, u64)>,
}

impl Played {
    fn new(entries: &[(u64, u64, usize)], page: usize, quirks: Quirks) -> Self {
        Played { entries: entries.to_vec(), round: 0, page, quirks, asked: 0, takes: 0, taken: Vec::new() }
    }

    fn keep(&mut self, lines: &[u8]) {
        let parse = |line: &str| {
            let (at, id) = line.split_once(' ').unwrap();
            (at.parse().unwrap(), id.parse().unwrap())
        };
        self.taken.extend(std::str::from_utf8(lines).unwrap().lines().map(parse));
    }
}

impl Log for Played {
    fn ask(&mut self, window: Window, cursor: Option<&str>) -> Result<Asked, Error> {
        self.asked += 1;
        // The cursor says how many entries went before, and how many pages.
        let (skip, pages) = cursor.map_or((0, 0), |cursor| {
            let (skip, pages) = cursor.split_once('-').unwrap();
            (skip.parse().unwrap(), pages.parse().unwrap())
        });
        if pages > self.quirks.cursor_pages && self.quirks.cursor_pages > 0 && window.from < window.to {
            return Ok(Asked::TooMuch);
        }
        let mut shown: Vec<_> = self.entries.iter().filter(|entry| entry.2 <= self.round).collect();
        shown.retain(|entry| (window.from..=window.to).contains(&entry.0));
        shown.sort_by_key(|entry| std::cmp::Reverse(entry.0));
        let page = match self.quirks.empty_every {
            0 => self.page,
            every if self.asked.is_multiple_of(every) => 0,
            _ => self.page,
        };
        let entries = shown.iter().skip(skip).take(page).map(|(at, id, _)| entry(*at, *id)).collect();
        let next = (skip + page < shown.len()).then(|| format!("{}-{}", skip + page, pages + 1));
        Ok(Asked::Page(Page { entries, next }))
    }

    fn take(&mut self, lines: &[u8]) -> Result<(), Error> {
        self.takes += 1;
        if self.quirks.take_fails == self.takes {
            let half = lines.split_inclusive(|byte| *byte == b'\n').count() / 2;
            let part: Vec<u8> = lines.split_inclusive(|byte| *byte == b'\n').take(half).flatten().copied().collect();
            self.keep(&part);
            return Err(Error::Unavailable("planted".to_owned()));
        }
        self.keep(lines);
        Ok(())
    }
}

fn entry(at: u64, id: u64) -> Entry {
    Entry { at, id, line: format!("{at} {id}").into_bytes() }
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("position");
    (folder, path)
}

/// A follower that holds little.
fn follower(path: &Path, overlap: u64, held_bytes_max: usize) -> Follower {
    Follower { held_bytes_max, ..Follower::open(path, 100, overlap).unwrap() }
}

#[test]
fn entries_come_once_and_oldest_first_over_pages_that_end_among_equals() {
    let (_folder, path) = place();
    let entries: Vec<_> = (0..30).map(|n| (100 + n / 10, n, 0)).collect();
    let mut log = Played::new(&entries, 4, Quirks { empty_every: 3, ..Quirks::default() });
    let mut follower = follower(&path, 5, 1 << 20);
    for _ in 0..3 {
        assert!(follower.round(200, &mut log).unwrap());
    }
    let seconds: Vec<_> = log.taken.iter().map(|(at, _)| *at).collect();
    assert!(seconds.is_sorted(), "{seconds:?}");
    log.taken.sort_unstable();
    assert_eq!(log.taken, entries.iter().map(|(at, id, _)| (*at, *id)).collect::<Vec<_>>());
}

#[test]
fn an_entry_that_shows_up_late_is_found_within_the_overlap_and_not_beyond() {
    let (_folder, path) = place();
    let entries = [(100, 0, 0), (150, 1, 0), (145, 2, 1), (144, 3, 1)];
    let mut log = Played::new(&entries, 10, Quirks::default());
    let mut follower = follower(&path, 5, 1 << 20);
    follower.round(200, &mut log).unwrap();
    assert_eq!(follower.from(), 145);
    log.round = 1;
    follower.round(200, &mut log).unwrap();
    assert_eq!(log.taken, [(100, 0), (150, 1), (145, 2)]);
}

#[test]
fn what_is_dated_ahead_waits_and_moves_nothing() {
    let (_folder, path) = place();
    let mut log = Played::new(&[(100, 0, 0), (900, 1, 0), (120, 2, 1)], 10, Quirks::default());
    let mut follower = follower(&path, 5, 1 << 20);
    follower.round(200, &mut log).unwrap();
    log.round = 1;
    follower.round(200, &mut log).unwrap();
    assert_eq!((follower.from(), log.taken.clone()), (115, vec![(100, 0), (120, 2)]));
    follower.round(900, &mut log).unwrap();
    assert_eq!(log.taken.last(), Some(&(900, 1)));
}

#[test]
fn a_window_without_an_end_is_given_up() {
    /// Says the same cursor for ever, or another one each time.
    struct Endless(bool, u64);
    impl Log for Endless {
        fn ask(&mut self, _window: Window, _cursor: Option<&str>) -> Result<Asked, Error> {
            self.1 += 1;
            let next = Some(if self.0 { self.1.to_string() } else { "same".to_owned() });
            Ok(Asked::Page(Page { entries: Vec::new(), next }))
        }
        fn take(&mut self, _lines: &[u8]) -> Result<(), Error> {
            panic!("there are none");
        }
    }
    let (_folder, path) = place();
    let mut follower = follower(&path, 5, 1 << 20);
    for (changes, why) in [(false, "names itself"), (true, "do not come to an end")] {
        let error = follower.round(104, &mut Endless(changes, 0)).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert_eq!(follower.from(), 100);
    }
}

#[test]
fn who_is_stopped_goes_on_from_what_was_handed_on() {
    struct Stopping(Played, usize);
    impl Log for Stopping {
        fn ask(&mut self, window: Window, cursor: Option<&str>) -> Result<Asked, Error> {
            self.1 -= 1;
            if self.1 == 0 { Ok(Asked::Stopped) } else { self.0.ask(window, cursor) }
        }
        fn take(&mut self, lines: &[u8]) -> Result<(), Error> {
            self.0.take(lines)
        }
    }
    let (_folder, path) = place();
    let entries: Vec<_> = (0..100).map(|n| (100 + n, n, 0)).collect();
    let mut log = Stopping(Played::new(&entries, 5, Quirks::default()), 20);
    assert!(!follower(&path, 5, 100).round(300, &mut log).unwrap());
    let before = log.0.taken.len();
    assert!(before > 0 && before < 100, "{before}");
    log.1 = usize::MAX;
    assert!(follower(&path, 5, 100).round(300, &mut log).unwrap());
    assert!(log.0.taken.len() <= 105, "{}", log.0.taken.len());
    let ids: std::collections::BTreeSet<_> = log.0.taken.into_iter().collect();
    assert_eq!(ids.len(), 100);
}

/// Whether each entry came once, but for those that may come again.
fn check(log: &Played, again: bool) -> Result<(), TestCaseError> {
    let mut counts = BTreeMap::new();
    for (_, id) in &log.taken {
        *counts.entry(*id).or_insert(0) += 1;
    }
    for (at, id, shown) in &log.entries {
        let count = counts.get(id).copied().unwrap_or(0);
        prop_assert!(count == 1 || again && count > 1, "{count} of entry {id} at {at}, shown in round {shown}");
    }
    Ok(())
}

proptest! {
    // Each case writes to the disk at every turn.
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever the pages, the memory and the quirks: every entry comes, once unless a taking failed.
    #[test]
    fn every_entry_comes(
        times in prop::collection::vec((0_u64..60, 0_u64..8, 0_usize..4), 0..150),
        page in 1_usize..20,
        held in 1_usize..2_000,
        quirks in (0_usize..4, 0_usize..4, 0_usize..6)
            .prop_map(|(empty, pages, fails)| Quirks {
                empty_every: if empty == 1 { 2 } else { empty }, cursor_pages: pages, take_fails: fails }),
        restart in any::<bool>(),
    ) {
        const OVERLAP: u64 = 8;
        // Time runs on by 60 s a round; what shows up a round late is at most an overlap behind what was there.
        let entries: Vec<_> = times.iter().enumerate().map(|(id, (at, behind, round))| {
            let base = 100 + *round as u64 * 60;
            (if *round > 0 && *behind > 0 { base - behind } else { base + at }, id as u64, *round)
        }).collect();
        let (_folder, path) = place();
        let mut log = Played::new(&entries, page, quirks);
        let mut reader = follower(&path, OVERLAP, held);
        for round in 0..4 {
            log.round = round;
            while reader.round(1_000, &mut log).is_err() {}
            if restart {
                reader = follower(&path, OVERLAP, held);
            }
        }
        let again = restart || (quirks.take_fails > 0 && log.takes >= quirks.take_fails);
        check(&log, again)?;
    }
}
