//! `aerie demo`: a seeded week through the whole system, and its story from the files that it left.

use super::evaluate::RunFiles;
use super::generate::{self, Files};
use super::story::{Story, Told};
use super::{Failure, evaluate, print, run, signals, tell};
use crate::execute::AUDIT;
use crate::job::DECISIONS;
use crate::run::Watch;
use crate::serve::{self, Port};
use config::{Flags, Job};
use engine::error::Error;
use engine::flow::Ended;
use operators::sample::demo_plan;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Show the whole system on a seeded week of activity whose last day holds attacks
///
/// Makes a week of activity of made-up orgs, with attacks and look-alikes on its last day, runs the whole system on it
/// with built-in defaults and two workers, and tells what came in, what was found, who was signed out and why others
/// were not, with a score against what was planted. Run again with the same --data-dir it tells the story again.
///
/// Nothing leaves the machine: sessions are ended by name only, and messages are files in outbox/.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aerie demo\n  aerie demo --data-dir demo --keep-serving")]
pub(super) struct Args {
    /// Folder for the week, state and outputs [default: a fresh one for temporary files]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Serve metrics on until Ctrl-C
    #[arg(long)]
    keep_serving: bool,
}

pub(super) fn execute(args: &Args) -> Result<(), Failure> {
    let dir = args.data_dir.clone().map_or_else(fresh_folder, Ok)?;
    let files = Files::in_folder(&dir.join("sample"));
    tell(&format!("making a week of activity in {}", dir.display()));
    let summary = generate::write(demo_plan(), &files)?;
    let job = job(&dir, &files)?;
    let watch = Watch::default();
    signals::stop_on_signal(watch.stop.clone())?;
    let server = serve::start(job.http_listen, Port::OrAnyFree, watch.clone())?;
    tell(&format!("running; metrics at http://{}/metrics", server.address));
    let finished = run::with_progress(&job, &watch, None)?;
    if finished.ended == Ended::Stopped {
        tell(&format!("stopped before the end; aerie demo --data-dir {} goes on", dir.display()));
        return Ok(());
    }
    let (audit, decisions) = (dir.join(AUDIT), dir.join(DECISIONS));
    let run = RunFiles { labels: &files.labels, audit: &audit, decisions: Some(&decisions) };
    let report = evaluate::score(&[run], Some(summary.user_days))?;
    let story = Story {
        told: Told::read(&dir, &files)?,
        totals: &finished.totals,
        report: &report,
        dir: &dir,
        files: &files,
        serving: args.keep_serving.then_some(server.address),
    };
    print(&story.text())?;
    run::outcome(&finished)?;
    if args.keep_serving {
        wait_for(&watch.stop);
    }
    Ok(())
}

/// The demo's job: the built-in defaults whatever the environment says.
fn job(dir: &Path, files: &Files) -> Result<Job, Failure> {
    let flags = Flags {
        input: vec![files.events.clone()],
        control: vec![files.control.clone()],
        tor_list: Some(files.tor.clone()),
        data_dir: Some(dir.to_owned()),
        workers: Some("2".to_owned()),
        ..Flags::default()
    };
    Ok(Job::from_flags(flags, Vec::new())?)
}

/// A folder that nobody has used, under the system's one for temporary files.
fn fresh_folder() -> Result<PathBuf, Failure> {
    let process = std::process::id();
    let mut number = 0;
    loop {
        let dir = std::env::temp_dir().join(format!("aerie-demo-{process}-{number}"));
        match std::fs::create_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(Error::io("create", dir)(error).into()),
        }
    }
}

fn wait_for(stop: &AtomicBool) {
    const LOOK_EVERY: Duration = Duration::from_millis(100);
    while !stop.load(Ordering::SeqCst) {
        std::thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_job_is_two_workers_on_the_week() {
        let files = Files::in_folder(Path::new("d/sample"));
        let job = job(Path::new("d"), &files).unwrap();
        assert_eq!((job.workers.get(), job.control.len(), job.sources.len()), (2, 1, 1));
        assert_eq!(job.tor_list, Some(files.tor));
        assert_eq!(job.data_dir, Path::new("d"));
    }

    #[test]
    fn fresh_folders_differ() {
        let (one, other) = (fresh_folder().unwrap(), fresh_folder().unwrap());
        assert!(one != other && one.is_dir() && other.is_dir());
        std::fs::remove_dir(one).unwrap();
        std::fs::remove_dir(other).unwrap();
    }
}
