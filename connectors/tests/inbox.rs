//! An inbox whose writer is killed holds all that was acknowledged, each line whole, and goes on from there.

#![expect(clippy::unwrap_used, reason = "a test")]

use connectors::file::Mode;
use connectors::inbox::{Inbox, InboxPartition};
use engine::source::{Block, Partition, Reading};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Tells the child where its inbox is, and which number it begins with.
const FOLDER: &str = "AERIE_TEST_INBOX";
const FIRST: &str = "AERIE_TEST_INBOX_FIRST";

const THREADS: u64 = 4;

/// So many lines are acknowledged before the child is killed.
const ACKNOWLEDGED: usize = 60;

/// Not a test of its own: what the child does until it is killed.
#[test]
fn child() {
    let (Ok(folder), Ok(first)) = (std::env::var(FOLDER), std::env::var(FIRST)) else { return };
    let (inbox, first) = (Inbox::open(Path::new(&folder)).unwrap(), first.parse::<u64>().unwrap());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let inbox = &inbox;
            scope.spawn(move || {
                for number in (first + thread..).step_by(THREADS as usize) {
                    inbox
                        .append(format!("{{\"number\":{number},\"pad\":\"{}\"}}\n", "x".repeat(500)).as_bytes())
                        .unwrap();
                    println!("acknowledged {number}");
                    std::io::stdout().flush().unwrap();
                }
            });
        }
    });
}

/// Numbers of the lines in the inbox; each line is whole and there once.
fn numbers(folder: &Path) -> BTreeSet<u64> {
    drop(Inbox::open(folder).unwrap());
    let mut reader = InboxPartition::new("inbox", folder, Mode::Bounded).open(0).unwrap();
    let (mut block, mut numbers) = (Block::default(), BTreeSet::new());
    while reader.read(&mut block).unwrap() == Reading::Lines {
        for line in &block.lines {
            let line: serde_json::Value = serde_json::from_slice(&block.bytes[line.start..line.end]).unwrap();
            assert!(numbers.insert(line["number"].as_u64().unwrap()), "{line} came twice");
        }
    }
    numbers
}

#[test]
fn a_killed_writer_leaves_all_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(FOLDER, folder.path())
            .env(FIRST, (round * 1_000_000).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let number = |line: String| line.split("acknowledged ").nth(1).map(|number| number.parse::<u64>().unwrap());
        while acknowledged.len() < round as usize * ACKNOWLEDGED {
            acknowledged.extend(number(said.next().unwrap().unwrap()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it was killed counts, too; the last line may be cut off.
        let rest: Vec<String> = said.map_while(Result::ok).collect();
        acknowledged.extend(rest.iter().rev().skip(1).filter_map(|line| number(line.clone())));
        let there = numbers(folder.path());
        assert!(acknowledged.is_subset(&there), "lost {:?}", acknowledged.difference(&there).collect::<Vec<_>>());
    }
}
