//! The promise: what a followed job judges by its clock (that a partition is idle, that a record stands ahead of the
//! clock) is on record before anything follows from it. Struck right before and right after, by an error, a panic or
//! `kill -9`, it goes on to what a bounded run over the same files decides, and a replay agrees.

use crate::crash::assert_each_once;
use crate::faults::{ACTIONS, LIVE};
use crate::inputs::{EXIT, Event, TOGGLES, answers, recently};
use crate::outputs::{Outputs, ledger, lines_so_far, same_lines, snapshots, values};
use crate::support::{Config, Place, Running, aerie};
use engine::source::journal::{Journal, Judgement};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Lines of the file that is never silent, and the seconds between them: more than any pause in which both files are
/// taken for idle, so that no line of it is late.
const LINES: u64 = 300;
const APART: u64 = 10;
/// The line after which one stands that is ahead of the clock.
const AHEAD_AFTER: u64 = 20;

/// All cases work on the same lines, which grow older meanwhile.
const LONG: &str = "[respond]\nmax_response_age = \"1d\"";

/// What is written: the first lines are there from the start.
struct Lines {
    busy: Vec<String>,
    /// The beginning and the end of a file that is silent in between.
    quiet: [Vec<String>; 2],
}

fn written() -> Lines {
    let start = recently();
    let event = |id: &str, secs: u64| {
        let user = format!("U{}", secs / APART % 7);
        Event::new(id, start + secs).user(&user).session(&format!("s{user}"))
    };
    let mut busy = Vec::new();
    for n in 0..LINES {
        let event = event(&format!("b{n}"), n * APART);
        busy.push(if n % 25 == 9 { event.session(&format!("x{n}")).ip(EXIT) } else { event }.line());
        if n == AHEAD_AFTER {
            busy.push(Event::new("ahead", start + 3_300 + 1_200).user("EARLY").line());
        }
    }
    let exit = event("q2", LINES * APART).session("q").ip(EXIT);
    let quiet = [vec![event("q1", 0).line()], vec![exit.line(), event("q3", (LINES + 3) * APART).line()]];
    Lines { busy, quiet }
}

fn append(path: &Path, lines: &[String]) {
    let mut file = OpenOptions::new().append(true).open(path).expect("the input is there");
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    file.write_all(text.as_bytes()).expect("the input can be appended to");
}

struct Stage {
    place: Place,
    lines: Lines,
    control: PathBuf,
    exits: PathBuf,
    /// What a bounded run over the whole files decides.
    expected: String,
    responses: usize,
}

impl Stage {
    fn new() -> Self {
        let (place, lines) = (Place::new(), written());
        let control = place.write_lines("control", &[answers("E1", &TOGGLES)]);
        let exits = place.write("tor.txt", EXIT);
        let files = [place.write_lines("busy", &lines.busy), place.write_lines("quiet", &lines.quiet.concat())];
        let bounded = place.job("bounded", &files).control(&control).tor_list(&exits);
        bounded.run();
        let outputs = Outputs::of(&bounded.data_dir);
        let responses = outputs.responses().len();
        assert!(responses > 8, "too little to compare");
        Stage { place, lines, control, exits, expected: outputs.decisions, responses }
    }

    fn follow(&self, name: &str) -> Followed<'_> {
        let files = ["busy", "quiet"].map(|file| self.place.write(&format!("{name}.{file}"), ""));
        let config = self
            .place
            .config(&format!("{name}.data"), &files, "follow = true\nmax_delay = \"300ms\"", LONG)
            .control(&self.control)
            .tor_list(&self.exits)
            .settings("snapshot_every = \"100ms\"\nsnapshots_kept = 1000");
        append(&files[1], &self.lines.quiet[0]);
        Followed { stage: self, config, files, fed: 0 }
    }
}

/// A job, and how much of its busy file is written.
struct Followed<'a> {
    stage: &'a Stage,
    config: Config,
    files: [PathBuf; 2],
    fed: usize,
}

impl Followed<'_> {
    /// Writes a line at each look until the condition holds. False if the process has ended before.
    fn feed_until(&mut self, running: &mut Running, what: &str, mut holds: impl FnMut(&str) -> bool) -> bool {
        let said = running.stderr_file();
        running.until(what, || {
            let busy = &self.stage.lines.busy;
            append(&self.files[0], &busy[self.fed..(self.fed + 1).min(busy.len())]);
            self.fed = (self.fed + 1).min(busy.len());
            holds(&std::fs::read_to_string(&said).unwrap_or_default())
        })
    }

    /// Writes the rest, waits for all responses, stops, and compares.
    fn end(self, mut running: Running, what: &str) {
        let Followed { stage, config, files, fed } = self;
        append(&files[0], &stage.lines.busy[fed..]);
        append(&files[1], &stage.lines.quiet[1]);
        let audit = config.data_dir.join("audit.ndjson");
        running.running_until(&format!("{what}: all responses"), || {
            let entries = lines_so_far(&audit);
            entries.iter().filter(|entry| entry.contains("_by_anomaly_event_response")).count() >= stage.responses
        });
        running.terminate().done().totals().assert_conserved();
        let outputs = Outputs::of(&config.data_dir);
        same_lines(&outputs.decisions, &stage.expected, &format!("{what}: decisions.ndjson"));
        assert_each_once(&config.data_dir, &outputs);
        let refused: Vec<_> = values(&outputs.dead_letter).iter().map(|line| line["reason"].clone()).collect();
        assert_eq!(refused, ["bad_time"], "{what}: the line ahead of the clock");
        let store = ledger(&config.data_dir).expect("there is a store");
        let judged = |file: &Path, judgement| {
            let entries = store.load(&file.display().to_string()).expect("the journal can be read");
            entries.into_iter().filter(|entry| entry.judgement == judgement).count()
        };
        assert_eq!(judged(&files[0], Judgement::Ahead), 1, "{what}");
        assert!(judged(&files[1], Judgement::Idle) > 0, "{what}");
        let (dir, first) = (config.data_dir.display().to_string(), snapshots(&config.data_dir)[0].to_string());
        let replayed = aerie(&["replay", "--json", "--data-dir", &dir, "--from", &first, "--workers", "2"]).done();
        assert_eq!(replayed.json()["differing"], 0, "{what}: {}", replayed.stdout);
    }
}

#[test]
fn a_fault_at_any_judgement_by_the_clock_changes_nothing() {
    let stage = Stage::new();
    let mut calm = stage.follow("calm");
    let counting: Vec<_> = LIVE.iter().map(|name| format!("{name}=return(pass)")).collect();
    let mut running = calm.config.clone().env("FAILPOINTS", &counting.join(";")).start();
    let fired = |said: &str| LIVE.iter().all(|name| said.contains(&format!("fault point {name} ")));
    assert!(calm.feed_until(&mut running, "every point to be passed", fired), "{}", running.stderr());
    calm.end(running, "undisturbed");

    let cases: Vec<_> = LIVE.iter().flat_map(|name| ACTIONS.map(|action| (*name, action))).collect();
    std::thread::scope(|scope| {
        for third in 0..3 {
            let (stage, cases) = (&stage, &cases);
            scope.spawn(move || {
                cases.iter().skip(third).step_by(3).for_each(|(name, action)| strike(stage, name, action))
            });
        }
    });
}

fn strike(stage: &Stage, name: &str, action: &str) {
    let what = format!("{action} at {name}");
    let mut job = stage.follow(&format!("{name}.{action}"));
    let mut running = job.config.clone().env("FAILPOINTS", &format!("{name}=1*{action}->off")).start();
    assert!(!job.feed_until(&mut running, &what, |_| false));
    let struck = running.wait();
    let code = if action == "return(kill)" { None } else { Some(1) };
    assert_eq!(struck.code, code, "{what}: {}", struck.stderr);
    let running = job.config.start();
    job.end(running, &what);
}
