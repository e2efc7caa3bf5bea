//! The promise: whatever the clock of a live job does, and whoever is silent or late meanwhile, what the job judged by the
//! clock is on record: a replay, which has no clock, comes to the same decisions, rejections and late events.

use crate::inputs::{EXIT, Event, TOGGLES, answers};
use crate::outputs::{ledger, lines, lines_so_far, snapshots, text, values};
use crate::support::{Config, Place, Running, aerie, get};
use engine::source::journal::{Journal, Judgement};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Two producers that say a line at each look, one that is silent in between and then late, and a clock that is set.
struct Stage {
    _place: Place,
    config: Config,
    files: [PathBuf; 3],
    clock: PathBuf,
    /// Wall time at the start, in seconds.
    now: u64,
}

const LATE: usize = 2;

impl Stage {
    fn new() -> Self {
        let place = Place::new();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs();
        let files = ["one", "two", "late"].map(|name| place.write(name, ""));
        let clock = place.write("clock", "0");
        let config = place
            .config("data", &files, "follow = true\nmax_delay = \"200ms\"", "")
            .control(&place.write_lines("control", &[answers("E1", &TOGGLES)]))
            .tor_list(&place.write("tor.txt", EXIT))
            .settings("snapshot_every = \"150ms\"\nsnapshots_kept = 1000")
            .env("CLOCK_STEP", &clock.display().to_string());
        Stage { _place: place, config, files, clock, now }
    }

    /// Sets the clock, so many seconds off.
    fn set_clock(&self, seconds: i64) {
        // A file half written would be another step.
        let next = self.clock.with_extension("next");
        fs::write(&next, seconds.to_string()).expect("a file can be written");
        fs::rename(next, &self.clock).expect("a file can be renamed");
    }

    fn say(&self, file: usize, event: &Event) {
        let mut file = OpenOptions::new().append(true).open(&self.files[file]).expect("the input is there");
        writeln!(file, "{}", event.line()).expect("the input can be appended to");
    }

    /// Both producers say so many lines, one at each look, from `from` on (in seconds from the start) and two seconds
    /// apart, and are read; each tenth goes through the exit. `what` is the beginning of all ids and sessions.
    fn produce(&self, running: &mut Running, what: &str, from: i64, count: u64) {
        let mut said = 0;
        running.running_until(what, || {
            for producer in [0, 1] {
                let event = Event::new(&format!("{what}{producer}-{said}"), self.at(from) + said * 2);
                let event = event.user(&format!("U{}", said % 7)).session(&format!("{what}{producer}-{said}"));
                self.say(producer, &if said % 10 == 9 { event.ip(EXIT) } else { event });
            }
            said += 1;
            said == count
        });
        self.wait_until_read(running);
    }

    fn at(&self, seconds: i64) -> u64 {
        self.now.saturating_add_signed(seconds)
    }

    /// Waits until a file of the data folder has so many lines that hold these words.
    fn wait_for(&self, running: &mut Running, file: &str, words: &str, count: usize) {
        let path = self.config.data_dir.join(file);
        running.running_until(&format!("{count} lines with {words} in {file}"), || {
            lines_so_far(&path).iter().filter(|line| line.contains(words)).count() >= count
        });
    }

    /// Waits until the job has read, and so judged, all that was said.
    fn wait_until_read(&self, running: &mut Running) {
        let address = running.address();
        let said: usize = self.files.iter().map(|file| lines(file).len()).sum();
        running.running_until("all lines to be read", || {
            let standing = &values(&get(address, "/api/job").1)[0];
            let sources = standing["sources"].as_array().expect("a list").iter();
            sources.filter_map(|source| source["received"].as_u64()).sum::<u64>() == said as u64
        });
    }

    /// How often a file was judged so.
    fn judged(&self, file: usize, judgement: Judgement) -> usize {
        let store = ledger(&self.config.data_dir).expect("there is a store");
        let entries = store.load(&self.files[file].display().to_string()).expect("the journal can be read");
        entries.into_iter().filter(|entry| entry.judgement == judgement).count()
    }
}

#[test]
fn a_job_whose_clock_is_set_back_and_forth_is_replayed_from_its_journal() {
    const HOUR: i64 = 3_600;
    let stage = Stage::new();
    let mut running = stage.config.start();
    for n in 0..30 {
        stage.say(LATE, &Event::new(&format!("early-{n}"), stage.at(-1_800) + n).user("U8").session("s8"));
    }
    stage.produce(&mut running, "as-it-is", -1_800, 400);

    // What is right on time stands an hour ahead of a clock that is set back, and is refused. It stands in the dead letter
    // only once event time goes on, which it does not while the clock is behind it.
    stage.set_clock(-HOUR);
    stage.produce(&mut running, "back", -1_000, 60);

    // Set forward, it takes what the true clock would refuse. Then all are silent, and event time runs on.
    stage.set_clock(HOUR);
    stage.produce(&mut running, "forward", 2_400, 60);
    let before = stage.judged(0, Judgement::Idle);
    running.running_until("all are silent", || stage.judged(0, Judgement::Idle) > before + 1);
    stage.wait_for(&mut running, "decisions.ndjson", "forward", 12);
    assert!(running.kill(), "it runs until it is killed");
    let mut running = stage.config.start();

    // Set right again: what comes now is refused, and the silent producer is late.
    stage.wait_until_read(&mut running);
    stage.set_clock(0);
    for n in 0..40 {
        let at = if n % 2 == 0 { -900 } else { -1_700 };
        stage.say(LATE, &Event::new(&format!("late-{n}"), stage.at(at) + n).user("U8").session("s8").ip(EXIT));
    }
    stage.produce(&mut running, "again", 2_520, 20);
    stage.set_clock(HOUR);
    stage.produce(&mut running, "last", 2_600, 40);
    stage.wait_for(&mut running, "decisions.ndjson", "last", 8);
    stage.wait_for(&mut running, "late.ndjson", "late-", 40);
    running.terminate().done().totals().assert_conserved();
    assert_replayed(&stage);
}

/// It was judged by the clock in all ways, and a replay from any snapshot comes to all that is on record.
fn assert_replayed(stage: &Stage) {
    let dir = &stage.config.data_dir;
    let decisions = text(&dir.join("decisions.ndjson"));
    for (words, decided) in [("as-it-is", true), ("forward", true), ("last", true), ("back", false), ("again", false)] {
        assert_eq!(decisions.contains(words), decided, "{words}");
    }
    let late = values(&text(&dir.join("late.ndjson")));
    for applied in [true, false] {
        assert!(late.iter().any(|line| line["applied"] == applied), "{late:?}");
    }
    assert!(stage.judged(0, Judgement::Ahead) == 80 && stage.judged(LATE, Judgement::Idle) > 0);

    let ids = snapshots(dir);
    assert!(ids.len() > 6, "{ids:?}");
    let some = (0..ids.len()).step_by(ids.len().div_ceil(6)).chain([ids.len() - 1]);
    for (n, at) in some.enumerate() {
        let (from, workers) = (ids[at].to_string(), ["1", "2", "3"][n % 3]);
        let dir = dir.display().to_string();
        let ended = aerie(&["replay", "--json", "--data-dir", &dir, "--from", &from, "--workers", workers]);
        let told: String = ended.stdout.chars().take(4_000).collect();
        assert_eq!(ended.code, Some(0), "from {from}: {told}\n{}", ended.stderr);
        let compared = &ended.json()["compared"];
        if n == 0 {
            let files = ["decisions.ndjson", "dead_letter.ndjson", "late.ndjson"];
            let counts = files.map(|file| lines(&stage.config.data_dir.join(file)).len() as u64);
            assert_eq!(["decisions", "dead_letters", "late"].map(|name| compared[name].as_u64()), counts.map(Some));
        }
    }
}
