//! Tests of `reader`.

use super::*;
use proptest::prelude::*;
use std::io::Write;

const SMALL: Sizes = Sizes { block: 1, line_max: 12, head: 5 };

fn file_of(content: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    file
}

/// A line as it should be given: position, whole bytes or head, length.
type Wanted = (u64, Vec<u8>, u64);

/// The slow and obvious way: all in memory, line by line.
fn oracle(content: &[u8], from: u64, mode: Mode, sizes: Sizes) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    let mut position = 0;
    for raw in content.split_inclusive(|byte| *byte == b'\n') {
        let at = position;
        position += raw.len() as u64;
        let ended = raw.ends_with(b"\n");
        if at < from || !ended && mode == Mode::Follow {
            continue;
        }
        let mut line = raw;
        if ended {
            line = line.strip_suffix(b"\n").unwrap();
            line = line.strip_suffix(b"\r").unwrap_or(line);
        }
        if at == 0 {
            line = line.strip_prefix(BOM).unwrap_or(line);
        }
        if line.len() > sizes.line_max {
            wanted.push((at, line[..sizes.head].to_vec(), line.len() as u64));
        } else if line.iter().any(|byte| !b" \t\r".contains(byte)) {
            wanted.push((at, line.to_vec(), line.len() as u64));
        }
    }
    wanted
}

fn take(batch: &LineBatch, into: &mut Vec<Wanted>, sizes: Sizes) {
    for (position, line) in batch.iter() {
        into.push(match line {
            Line::Whole(bytes) => {
                assert!(bytes.len() <= sizes.line_max);
                (position, bytes.to_vec(), bytes.len() as u64)
            }
            Line::TooLarge { head, length } => {
                assert!(length > sizes.line_max as u64);
                (position, head.to_vec(), length)
            }
        });
    }
}

/// Reads until nothing is there; whether that is the end, and the largest carry.
fn drain(reader: &mut LineReader, blocks: &mut impl Iterator<Item = usize>, into: &mut Vec<Wanted>) -> bool {
    loop {
        match reader.next_batch(blocks.next().unwrap()).unwrap() {
            Read::Lines(batch) => {
                take(&batch, into, reader.sizes);
                assert_eq!(batch.next_position(), reader.position());
                assert!(reader.carry.len() <= reader.sizes.line_max + 1 + BOM.len());
            }
            Read::Pending => return false,
            Read::End => return true,
        }
    }
}

/// Bytes in which everything that matters to lines is frequent.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => proptest::collection::vec(any::<u8>(), 0..4),
        5 => Just(b"\n".to_vec()),
        4 => Just(b"\r\n".to_vec()),
        2 => Just(b"\r".to_vec()),
        2 => Just(b"  \t".to_vec()),
        1 => Just(BOM.to_vec()),
        2 => proptest::collection::vec(b'a'..=b'z', 8..40),
    ];
    (any::<bool>(), proptest::collection::vec(piece, 0..30)).prop_map(|(mark, pieces)| {
        let mut all = if mark { BOM.to_vec() } else { Vec::new() };
        all.extend(pieces.concat());
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_bounded_file_reads_as_the_oracle_says(
        content in content(), blocks in proptest::collection::vec(1_usize..20, 1..6),
    ) {
        let file = file_of(&content);
        let sizes = Sizes { block: 16, ..SMALL };
        let mut reader = LineReader::open_with(file.path(), Mode::Bounded, sizes).unwrap();
        let mut found = Vec::new();
        prop_assert!(drain(&mut reader, &mut blocks.iter().copied().cycle(), &mut found));
        prop_assert_eq!(&found, &oracle(&content, 0, Mode::Bounded, sizes));
        prop_assert_eq!(reader.position(), content.len() as u64);
        prop_assert!(matches!(reader.next_batch(9), Ok(Read::End)));
    }

    #[test]
    fn reading_on_from_any_line_gives_the_rest(content in content(), pick in any::<prop::sample::Index>()) {
        let file = file_of(&content);
        let sizes = Sizes { block: 7, ..SMALL };
        let all = oracle(&content, 0, Mode::Bounded, sizes);
        let mut positions: Vec<u64> = all.iter().map(|(position, ..)| *position).collect();
        positions.push(content.len() as u64);
        let from = positions[pick.index(positions.len())];
        let mut reader = LineReader::open_with(file.path(), Mode::Bounded, sizes).unwrap();
        let mut found = Vec::new();
        drain(&mut reader, &mut std::iter::repeat(5), &mut found);
        reader.seek(from).unwrap();
        found.clear();
        prop_assert!(drain(&mut reader, &mut std::iter::repeat(5), &mut found));
        prop_assert_eq!(found, oracle(&content, from, Mode::Bounded, sizes));
    }

    #[test]
    fn a_growing_file_gives_each_line_once_when_it_is_whole(
        parts in proptest::collection::vec(content(), 1..5), block in 1_usize..20,
    ) {
        let mut file = file_of(b"");
        let sizes = Sizes { block, ..SMALL };
        let mut reader = LineReader::open_with(file.path(), Mode::Follow, sizes).unwrap();
        let (mut written, mut found) = (Vec::new(), Vec::new());
        for part in &parts {
            file.write_all(part).unwrap();
            written.extend_from_slice(part);
            prop_assert!(!drain(&mut reader, &mut std::iter::repeat(usize::MAX), &mut found));
            prop_assert_eq!(&found, &oracle(&written, 0, Mode::Follow, sizes));
        }
    }
}

#[test]
fn lines_at_the_limit_are_whole_and_one_byte_more_is_too_large() {
    let line = |length: usize| vec![b'x'; length];
    for end in ["\n", "\r\n", ""] {
        for mark in [b"".as_slice(), BOM] {
            let content = [mark, &line(LINE_BYTES_MAX), end.as_bytes()].concat();
            let file = file_of(&content);
            let mut reader = LineReader::open(file.path(), Mode::Bounded).unwrap();
            let Read::Lines(batch) = reader.next_batch(usize::MAX).unwrap() else { panic!("lines") };
            let batch = if end.is_empty() {
                let Read::Lines(batch) = reader.next_batch(usize::MAX).unwrap() else { panic!("lines") };
                batch
            } else {
                batch
            };
            let lines: Vec<_> = batch.iter().collect();
            assert_eq!(lines, [(0, Line::Whole(&line(LINE_BYTES_MAX)))], "{end:?}");
        }
    }
    let content = [line(LINE_BYTES_MAX + 1), b"\r\nnext\n".to_vec()].concat();
    let file = file_of(&content);
    let mut reader = LineReader::open(file.path(), Mode::Bounded).unwrap();
    let Read::Lines(batch) = reader.next_batch(usize::MAX).unwrap() else { panic!("lines") };
    let length = LINE_BYTES_MAX as u64 + 1;
    let wanted = [(0, Line::TooLarge { head: &line(HEAD_BYTES), length }), (length + 2, Line::Whole(b"next"))];
    assert_eq!(batch.iter().collect::<Vec<_>>(), wanted);
}

#[test]
fn a_line_of_any_length_is_counted_and_not_held() {
    // A sparse file: 256 MiB of zero bytes, then a line end and a line.
    let mut file = file_of(b"");
    let length = 256 << 20;
    file.as_file_mut().set_len(length).unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(b"\r\nnext").unwrap();
    let mut reader = LineReader::open(file.path(), Mode::Bounded).unwrap();
    reader.seek(0).unwrap();
    let mut found = Vec::new();
    let mut batches = 0;
    loop {
        match reader.next_batch(usize::MAX).unwrap() {
            Read::Lines(batch) => {
                take(&batch, &mut found, reader.sizes);
                assert!(batch.buffer.capacity() <= BLOCK_BYTES + LINE_BYTES_MAX + HEAD_BYTES);
                assert!(reader.carry.capacity() <= LINE_BYTES_MAX + 4);
                batches += 1;
            }
            Read::End => break,
            Read::Pending => panic!("it is bounded"),
        }
    }
    assert!(batches >= 256, "the caller gets a word in between");
    let (head, next) = (vec![0; HEAD_BYTES], b"next".to_vec());
    assert_eq!(found, [(0, head, length), (length + 2, next, 4)]);
}

#[test]
fn a_bounded_file_ends_where_it_ended_when_opened() {
    let mut file = file_of(b"one\ntw");
    let mut reader = LineReader::open(file.path(), Mode::Bounded).unwrap();
    file.write_all(b"o\nthree\n").unwrap();
    let mut found = Vec::new();
    drain(&mut reader, &mut std::iter::repeat(100), &mut found);
    assert_eq!(found, [(0, b"one".to_vec(), 3), (4, b"tw".to_vec(), 2)]);

    let mut reader = LineReader::open(file.path(), Mode::Bounded).unwrap();
    file.as_file_mut().set_len(3).unwrap();
    drop(reader.next_batch(3).unwrap());
    assert!(matches!(reader.next_batch(3), Err(Error::Invalid(text)) if text.contains("truncated")));
}

fn followed(content: &[u8]) -> (tempfile::TempDir, PathBuf, LineReader) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    std::fs::write(&path, content).unwrap();
    let mut reader = LineReader::open(&path, Mode::Follow).unwrap();
    assert!(matches!(reader.next_batch(100), Ok(Read::Lines(_))));
    assert!(matches!(reader.next_batch(100), Ok(Read::Pending)));
    (folder, path, reader)
}

fn assert_told(result: Result<Read, Error>, word: &str) {
    match result {
        Err(Error::Invalid(text)) if text.contains(word) => {}
        other => panic!("wanted {word}, found {other:?}"),
    }
}

#[test]
fn a_followed_file_that_is_not_the_same_any_more_is_told() {
    let (_folder, path, mut reader) = followed(b"one\ntwo\n");
    std::fs::write(&path, b"one\n").unwrap();
    assert_told(reader.next_batch(100), "truncated");

    let (_folder, path, mut reader) = followed(b"one\ntwo\n");
    std::fs::write(&path, b"three\nfour\nfive\n").unwrap();
    assert_told(reader.next_batch(100), "rewritten");

    let (folder, path, mut reader) = followed(b"one\ntwo\n");
    std::fs::rename(&path, folder.path().join("log.1")).unwrap();
    assert_told(reader.next_batch(100), "replaced");
    std::fs::write(&path, b"one\ntwo\nthree\n").unwrap();
    assert_told(reader.next_batch(100), "replaced");
}

#[test]
fn a_position_of_another_file_is_refused() {
    let file = file_of(b"one\ntwo\nthree");
    for mode in [Mode::Bounded, Mode::Follow] {
        let mut reader = LineReader::open(file.path(), mode).unwrap();
        for position in [1, 3, 7, 12, 14, u64::MAX] {
            assert!(matches!(reader.seek(position), Err(Error::Invalid(_))), "{position}");
        }
        for position in [0, 4, 8] {
            reader.seek(position).unwrap();
        }
        assert_eq!(reader.seek(13).is_ok(), mode == Mode::Bounded, "the end of a bounded file is a position");
    }
}

#[test]
fn what_cannot_be_read_again_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(LineReader::open(folder.path(), Mode::Bounded), Err(Error::Invalid(_))));
    assert!(matches!(LineReader::open(Path::new("/dev/null"), Mode::Follow), Err(Error::Invalid(_))));
    assert!(matches!(LineReader::open(&folder.path().join("none"), Mode::Follow), Err(Error::Io { .. })));
}
