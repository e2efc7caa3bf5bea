//! The promise: at every write, sync, rename, publication, commit and effect the run may fail, panic or die, and what is
//! left in the end is what an undisturbed run leaves. The points are found in the source, and one that never fires fails
//! the test. `AERIE_SEED=n` chooses other passes.

use crate::crash::assert_each_once;
use crate::inputs::Sample;
use crate::outputs::{Outputs, snapshots};
use crate::support::{Dice, Ended, Job, Place, Totals};
use operators::sample::Plan;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const SEED: u64 = 31;
const PLAN: Plan = Plan { seed: SEED, orgs: 2, users: 6, days: 2 };
pub const ACTIONS: [&str; 3] = ["return(error)", "return(kill)", "panic"];

/// These need a source that is followed: see `live_faults`.
pub const LIVE: [&str; 4] = ["source.judge", "source.judged", "source.follow", "source.followed"];

/// These need what is fed: see `stdin`.
pub const FED: [&str; 2] = ["inbox.write", "inbox.sync"];

/// The names of all points, from the source of what is shipped.
fn points() -> Vec<String> {
    let mut names = Vec::new();
    let mut folders: Vec<_> =
        ["src", "engine/src", "connectors/src"].map(|at| Path::new(env!("CARGO_MANIFEST_DIR")).join(at)).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the source can be read") {
            let path = entry.expect("the source can be read").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            let called = text.split("point(\"").skip(1).filter_map(|rest| rest.split_once('"'));
            names.extend(called.map(|(name, _)| name.to_owned()));
        }
    }
    names.sort_unstable();
    names.dedup();
    let elsewhere = |name: &String| [&LIVE[..], &FED].concat().contains(&name.as_str());
    let (struck_elsewhere, others): (Vec<_>, Vec<_>) = names.into_iter().partition(elsewhere);
    assert!(struck_elsewhere.len() == LIVE.len() + FED.len() && others.len() > 10, "{struck_elsewhere:?} {others:?}");
    others
}

fn armed(job: &Job, points: &[(String, String)]) -> Job {
    let setting: Vec<String> = points.iter().map(|(name, action)| format!("{name}={action}")).collect();
    job.clone().env("FAILPOINTS", &setting.join(";"))
}

/// How often each point was passed.
fn passes(ended: &Ended, names: &[String]) -> BTreeMap<String, u64> {
    let count = |name: &String| ended.stderr.matches(&format!("fault point {name} ")).count() as u64;
    names.iter().map(|name| (name.clone(), count(name))).collect()
}

struct Stage {
    job: Job,
    totals: Totals,
    outputs: Outputs,
}

impl Stage {
    /// A job that was interrupted after some snapshots.
    fn interrupted(&self, name: &str) -> Job {
        let job = self.job.beside(name);
        let killed = armed(&job, &[("snapshot.publish".to_owned(), "3*off->return(kill)".to_owned())]).end();
        assert_eq!(killed.code, None, "{}", killed.stderr);
        assert!(snapshots(&job.data_dir).len() >= 3);
        job
    }

    /// Runs to the end, from whatever was left, and compares.
    fn assert_recovers(&self, job: &Job, what: &str) {
        let totals = job.end();
        assert_eq!(totals.code, Some(0), "{what}: {}", totals.stderr);
        assert_eq!(totals.totals(), self.totals, "{what}");
        let left = Outputs::of(&job.data_dir);
        left.assert_same(&self.outputs, what);
        assert_each_once(&job.data_dir, &left);
        fs::remove_dir_all(&job.data_dir).expect("a folder can be removed");
    }
}

fn strike(stage: &Stage, name: &str, fresh: u64, resumed: u64, dice: &mut Dice) {
    for action in ACTIONS {
        let (job, count) = match fresh {
            0 => (stage.interrupted(&format!("{name}.{action}")), resumed),
            count => (stage.job.beside(&format!("{name}.{action}")), count),
        };
        assert!(count > 0, "{name} is never passed");
        let mut pass = dice.below(count.min(12));
        loop {
            let setting = (name.to_owned(), format!("{pass}*off->1*{action}->off"));
            let struck = armed(&job, &[setting]).workers(dice.between(1, 3) as usize).end();
            let what = format!("{action} at pass {pass} of {name}");
            let fired = struck.stderr.contains(&format!("fault point {name} ")) || struck.stderr.contains("panic");
            if !fired && pass > 0 {
                // Another run takes other turns: an earlier pass will come.
                pass /= 2;
                let _ = fs::remove_dir_all(&job.data_dir);
                if fresh == 0 {
                    stage.interrupted(&format!("{name}.{action}"));
                }
                continue;
            }
            assert!(fired, "{what} never came: {}", struck.stderr);
            match action {
                "return(kill)" => assert_eq!(struck.code, None, "{what}: {}", struck.stderr),
                "panic" => assert_eq!(struck.code, Some(1), "{what}: {}", struck.stderr),
                _ => assert!(matches!(struck.code, Some(0 | 1)), "{what}: {:?} {}", struck.code, struck.stderr),
            }
            stage.assert_recovers(&job, &what);
            break;
        }
    }
}

#[test]
fn a_fault_at_any_point_loses_nothing_and_repeats_nothing() {
    let seed = std::env::var("AERIE_SEED").ok().map_or(SEED, |n| n.parse().expect("AERIE_SEED is a number"));
    println!("seed {seed}");
    let place = Place::new();
    let job = Sample::of(PLAN).whole(&place, "undisturbed").with(&["--snapshot-every", "10ms"]);
    let names = points();
    let counting: Vec<_> = names.iter().map(|name| (name.clone(), "return(pass)".to_owned())).collect();
    let undisturbed = armed(&job, &counting).workers(2).end().done();
    let fresh = passes(&undisturbed, &names);
    let stage = Stage { totals: undisturbed.totals(), outputs: Outputs::of(&job.data_dir), job };
    assert!(!stage.outputs.outbox.is_empty(), "no message was written");
    let resumed = passes(&armed(&stage.interrupted("resumed"), &counting).workers(2).end().done(), &names);
    println!("passes of a fresh run {fresh:?}, of a resumed one {resumed:?}");
    let cases: Vec<_> = names.iter().map(|name| (name, fresh[name], resumed[name])).collect();
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (stage, cases) = (&stage, &cases);
            scope.spawn(move || {
                let mut dice = Dice::new(seed + half as u64);
                for (name, fresh, resumed) in cases.iter().skip(half).step_by(2) {
                    strike(stage, name, *fresh, *resumed, &mut dice);
                }
            });
        }
    });
}

/// A job that says it is complete has a snapshot that says so.
#[test]
fn a_last_snapshot_that_cannot_be_published_is_no_good_end() {
    let place = Place::new();
    let job = Sample::of(PLAN).whole(&place, "undisturbed").with(&["--snapshot-every", "1h"]);
    let stage = Stage { totals: job.run(), outputs: Outputs::of(&job.data_dir), job };
    for (action, code) in [("error", Some(1)), ("kill", None)] {
        let job = stage.job.beside(action);
        let setting = ("snapshot.publish".to_owned(), format!("1*off->1*return({action})->off"));
        let struck = armed(&job, &[setting]).end();
        assert_eq!(struck.code, code, "{}", struck.stderr);
        assert_eq!(snapshots(&job.data_dir).len(), 1, "but for the first there is none");
        stage.assert_recovers(&job, action);
    }
}
