//! An inbox over many small segments: what is appended, cut, lost, forgotten and copied.

use super::*;
use crate::file::Mode;
use engine::source::{Block, Partition, Reader, Reading};
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// Small enough that a few lines make several segments.
const SEGMENT: u64 = 64;

fn open(folder: &Path) -> Inbox {
    Inbox::open_with(folder, SEGMENT).unwrap()
}

fn lines(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("line {number} {}", "x".repeat(number % 23))).collect()
}

fn partition(folder: &Path, mode: Mode) -> InboxPartition {
    InboxPartition::new("inbox", folder, mode)
}

/// What a reader gives until it has nothing more for now, each line with its position, and why it stopped.
fn read_on(reader: &mut dyn Reader) -> (Vec<(u64, String)>, Reading) {
    let (mut block, mut found) = (Block::default(), Vec::new());
    loop {
        match reader.read(&mut block).unwrap() {
            Reading::Lines => {
                found.extend(block.lines.iter().map(|line| {
                    (line.position, String::from_utf8(block.bytes[line.start..line.end].to_vec()).unwrap())
                }))
            }
            stopped => return (found, stopped),
        }
    }
}

fn read(folder: &Path, position: u64, mode: Mode) -> (Vec<(u64, String)>, Reading) {
    read_on(&mut *partition(folder, mode).open(position).unwrap())
}

fn texts(found: &[(u64, String)]) -> Vec<&str> {
    found.iter().map(|(_, text)| text.as_str()).collect()
}

#[test]
fn what_is_appended_is_read_in_order_and_again_from_each_position() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("of").join("one");
    let inbox = open(&folder);
    let all = lines(40);
    let mut reader = partition(&folder, Mode::Follow).open(0).unwrap();
    assert_eq!(read_on(&mut *reader), (Vec::new(), Reading::Pending));
    for some in all.chunks(3) {
        inbox.append(format!("{}\n", some.join("\n")).as_bytes()).unwrap();
        let (found, stopped) = read_on(&mut *reader);
        assert_eq!((texts(&found), stopped), (some.iter().map(String::as_str).collect(), Reading::Pending));
    }
    assert!(starts_of(&folder).len() > 3, "there are several segments");
    let (found, _) = read(&folder, 0, Mode::Follow);
    for (number, (position, _)) in found.iter().enumerate() {
        assert_eq!(read(&folder, *position, Mode::Bounded), (found[number..].to_vec(), Reading::End));
    }
    let end = inbox.end();
    assert_eq!(read(&folder, end, Mode::Follow), (Vec::new(), Reading::Pending));

    drop(inbox);
    let inbox = open(&folder);
    inbox.append(b"more\n").unwrap();
    assert_eq!(read_on(&mut *reader), (vec![(end, "more".to_owned())], Reading::Pending));
    inbox.close().unwrap();
    inbox.close().unwrap();
    assert_eq!(read_on(&mut *reader), (Vec::new(), Reading::End));
    assert!(matches!(inbox.append(b"too late\n"), Err(Error::Invalid(_))));
    drop(inbox);
    let inbox = open(&folder);
    assert!(inbox.is_closed());
    assert!(matches!(inbox.append(b"too late\n"), Err(Error::Invalid(_))));
    assert!(matches!(inbox.append(b""), Ok(())));
    assert_eq!(read(&folder, end, Mode::Follow), (vec![(end, "more".to_owned())], Reading::End));
}

fn starts_of(folder: &Path) -> Vec<u64> {
    segments(folder).unwrap()
}

#[test]
fn a_torn_tail_is_cut_and_what_is_not_durable_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    open(folder).append(b"one\ntwo\n").unwrap();
    let path = segment_path(folder, 0);
    let appended = |tail: &str| std::fs::write(&path, format!("one\ntwo\n{tail}")).unwrap();
    for tail in ["t", &"x".repeat(200_000)] {
        appended(tail);
        assert_eq!(texts(&read(folder, 0, Mode::Follow).0), ["one", "two"]);
        assert_eq!(open(folder).end(), 8);
        assert_eq!(path.metadata().unwrap().len(), 8);
    }
    appended("three\nf");
    assert_eq!(texts(&read(folder, 0, Mode::Follow).0), ["one", "two"], "nobody has synced it");
    let inbox = open(folder);
    assert_eq!(
        texts(&read(folder, 0, Mode::Follow).0),
        ["one", "two", "three"],
        "a whole line that was not acknowledged"
    );
    inbox.append(b"four\n").unwrap();
    assert_eq!(texts(&read(folder, 8, Mode::Bounded).0), ["three", "four"]);
    assert!(matches!(inbox.append(b"no end"), Err(Error::Fault(_))));
}

#[test]
fn what_is_lost_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let corrupt = |error: Error, word: &str| {
        assert!(matches!(&error, Error::Corrupt(text) if text.contains(word)), "{error}");
    };
    corrupt(partition(folder, Mode::Follow).require(0).unwrap_err(), "cannot be read");
    let inbox = open(folder);
    lines(30).iter().for_each(|line| inbox.append(format!("{line}\n").as_bytes()).unwrap());
    let end = inbox.end();
    drop(inbox);
    assert!(partition(folder, Mode::Follow).require(end).is_ok());
    corrupt(partition(folder, Mode::Follow).require(end + 1).unwrap_err(), "restore");
    let starts = starts_of(folder);
    let last = segment_path(folder, starts[starts.len() - 1]);
    let held = std::fs::read(&last).unwrap();
    std::fs::write(&last, "").unwrap();
    corrupt(Inbox::open(folder).unwrap_err(), "restore");
    std::fs::write(&last, held).unwrap();
    std::fs::remove_file(segment_path(folder, starts[1])).unwrap();
    corrupt(Inbox::open(folder).unwrap_err(), "the next segment starts at");
    std::fs::remove_dir_all(folder).unwrap();
    open(folder);
    corrupt(partition(folder, Mode::Follow).require(end).unwrap_err(), "restore");
}

#[test]
fn old_segments_go_and_the_rest_is_read_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let inbox = open(folder);
    lines(40).iter().for_each(|line| inbox.append(format!("{line}\n").as_bytes()).unwrap());
    let (found, _) = read(folder, 0, Mode::Bounded);
    let starts = starts_of(folder);
    inbox.forget(starts[2] - 1).unwrap();
    assert_eq!(starts_of(folder), starts[1..], "the one that holds the position stays");
    inbox.forget(starts[3]).unwrap();
    assert_eq!(starts_of(folder), starts[3..]);
    inbox.forget(u64::MAX).unwrap();
    assert_eq!(starts_of(folder), starts[starts.len() - 1..], "the last one stays");
    let rest: Vec<_> = found.into_iter().filter(|(position, _)| *position >= starts[starts.len() - 1]).collect();
    assert_eq!(read(folder, rest[0].0, Mode::Bounded).0, rest);
    assert!(partition(folder, Mode::Follow).require(rest[0].0 - 1).is_err());
    drop(inbox);
    open(folder).append(b"and on\n").unwrap();
    assert_eq!(read(folder, rest[0].0, Mode::Bounded).0.len(), rest.len() + 1);
}

#[test]
fn a_bounded_reading_ends_where_the_inbox_ended() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open(folder.path());
    inbox.append(b"one\n").unwrap();
    let bounded = partition(folder.path(), Mode::Bounded);
    assert!(!bounded.live() && partition(folder.path(), Mode::Follow).live());
    let mut reader = bounded.open(0).unwrap();
    inbox.append(b"two\n").unwrap();
    let (found, stopped) = read_on(&mut *reader);
    assert_eq!((texts(&found), stopped), (vec!["one"], Reading::End));
}

#[test]
fn what_many_append_at_once_is_all_there() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = open(folder.path());
    thread::scope(|scope| {
        for thread in 0..8 {
            let inbox = &inbox;
            scope.spawn(move || {
                for number in 0..50 {
                    let before = inbox.end();
                    inbox.append(format!("{thread} {number}\n").as_bytes()).unwrap();
                    assert!(inbox.end() > before);
                }
            });
        }
    });
    let (found, _) = read(folder.path(), 0, Mode::Bounded);
    for thread in 0..8 {
        let own: Vec<_> = found.iter().filter_map(|(_, text)| text.strip_prefix(&format!("{thread} "))).collect();
        assert_eq!(own, (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
    }
}

/// A stream that gives what is sent to it.
struct Pipe(Receiver<&'static [u8]>);

impl Read for Pipe {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self.0.recv() {
            Ok(b"broken") => Err(io::Error::other("broken")),
            Ok(piece) => {
                to[..piece.len()].copy_from_slice(piece);
                Ok(piece.len())
            }
            Err(_) => Ok(0),
        }
    }
}

#[test]
fn a_stream_is_copied_to_its_end_and_what_was_taken_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Arc::new(open(folder.path()));
    let room = Arc::new(AtomicBool::new(true));
    let (tell, failed) = channel();
    let start = |pipe: Receiver<&'static [u8]>| {
        let (room, tell) = (room.clone(), tell.clone());
        let room = move || room.load(Ordering::SeqCst);
        copy(Pipe(pipe), "pipe", inbox.clone(), room, move |error| tell.send(error.to_string()).unwrap()).unwrap()
    };
    let (to, pipe) = channel::<&'static [u8]>();
    let copying = start(pipe);
    to.send(b"one\ntw").unwrap();
    to.send(b"o\nth").unwrap();
    let mut reader = partition(folder.path(), Mode::Follow).open(0).unwrap();
    let mut found = Vec::new();
    while found.len() < 2 {
        found.extend(read_on(&mut *reader).0);
    }
    to.send(b"broken").unwrap();
    assert_eq!(failed.recv().unwrap(), "cannot read pipe: broken");
    drop(copying);
    assert_eq!(texts(&found), ["one", "two"]);

    room.store(false, Ordering::SeqCst);
    let (to, pipe) = channel::<&'static [u8]>();
    to.send(b"three\nfour" as &[u8]).unwrap();
    drop(to);
    let copying = start(pipe);
    assert_eq!(read_on(&mut *reader), (Vec::new(), Reading::Pending));
    room.store(true, Ordering::SeqCst);
    let stopped = loop {
        let (more, stopped) = read_on(&mut *reader);
        found.extend(more);
        if stopped == Reading::End {
            break stopped;
        }
    };
    drop(copying);
    assert_eq!((&texts(&found)[2..], stopped), (&["three", "four"][..], Reading::End));
    assert!(inbox.is_closed() && failed.try_recv().is_err());
}
