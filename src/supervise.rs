//! `aerie run --processes N`: the parent of the processes of one job. They live and die as a whole; when one is lost, all
//! are ended and started anew, on new ports and with a new secret, and go on from the last snapshot. Owned here: starting,
//! watching, ending and how often. Not owned here: what they do (`run`, `member`), and what keeps one of before from
//! writing (the ledger's generation, and the fence around output files).

use crate::cli::{Failure, tell};
use crate::member::{STOP, Summons, chance};
use crate::run::repository;
use config::Job;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often the children are looked at.
const LOOK: Duration = Duration::from_millis(10);

/// How long the others may take to end by themselves once one is lost.
const GRACE: Duration = Duration::from_secs(2);

/// How long to wait before the first restart in a row; each time twice as long, up to the longest.
const BACKOFF: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Restarts in a row, without a new snapshot, before the job is given up.
const RESTARTS_MAX: u32 = 10;

/// Why processes had to be started anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// A process ended by a signal.
    Killed,
    /// A process failed.
    Failed,
    /// A process gave no sign of life and had to be ended.
    Unresponsive,
    /// Processes lost each other, and all of them live.
    Disconnected,
}

impl Cause {
    /// All causes, the one that explains the others first.
    pub const ALL: [Cause; 4] = [Cause::Killed, Cause::Failed, Cause::Unresponsive, Cause::Disconnected];

    /// Its name, as a label of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Killed => "killed",
            Cause::Failed => "failed",
            Cause::Unresponsive => "unresponsive",
            Cause::Disconnected => "disconnected",
        }
    }
}

/// How the processes of one generation ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// All in order.
    Done,
    /// One ended the job for good, with this exit code.
    Over(usize, i32),
    /// One was lost: which, why, and how that is told.
    Lost(usize, Cause, String),
}

/// Runs the processes of a job until it is over, or `stop` is set and they have stopped.
///
/// # Errors
/// [`Failure`] by the exit code of the process that ended the job, or because it was lost too often.
pub fn run(job: &Job, stop: &AtomicBool) -> Result<(), Failure> {
    let mut restarts = BTreeMap::new();
    let mut row = Row { restarts: 0, newest: newest_snapshot(job) };
    loop {
        let mut children = Children::start(job.processes.get(), &restarts)?;
        let (lost, cause, why) = match children.watch(stop) {
            Outcome::Done => return Ok(()),
            Outcome::Over(index, code) => return Err(over(index, code)),
            Outcome::Lost(lost, cause, why) => (lost, cause, why),
        };
        let told = format!("process {lost} {why}");
        if stop.load(Ordering::SeqCst) {
            return Err(Failure::Failed(format!("{told} while stopping: run again to go on from the last snapshot")));
        }
        let Some(wait) = row.next(newest_snapshot(job)) else {
            return Err(Failure::Failed(format!(
                "{told}, after {RESTARTS_MAX} restarts in a row without a new snapshot: look at what they say above"
            )));
        };
        *restarts.entry(cause.name().to_owned()).or_default() += 1;
        tell(&format!(
            "{told}; all processes are started anew in {wait:?} (cause {}, {} in a row)",
            cause.name(),
            row.restarts
        ));
        let since = Instant::now();
        while since.elapsed() < wait && !stop.load(Ordering::SeqCst) {
            sleep(LOOK);
        }
        if stop.load(Ordering::SeqCst) {
            return Ok(());
        }
    }
}

/// Restarts without a new snapshot between them.
struct Row {
    restarts: u32,
    newest: Option<u64>,
}

impl Row {
    /// How long to wait before the next restart, with this newest snapshot; `None` when there is to be none.
    fn next(&mut self, newest: Option<u64>) -> Option<Duration> {
        if newest > self.newest {
            *self = Row { restarts: 0, newest };
        }
        if self.restarts == RESTARTS_MAX {
            return None;
        }
        let wait = BACKOFF.saturating_mul(1 << self.restarts).min(BACKOFF_MAX);
        self.restarts += 1;
        Some(wait)
    }
}

fn over(index: usize, code: i32) -> Failure {
    let text = format!("the job has ended with process {index}, for the reason above");
    match code {
        2 => Failure::Usage(text),
        3 => Failure::Corrupt(text),
        _ => Failure::Failed(text),
    }
}

/// The number of the newest snapshot that was taken; a start that takes an older one over is no progress. What is wrong
/// with the repository is for the first process to say.
fn newest_snapshot(job: &Job) -> Option<u64> {
    let found = repository(&job.data_dir, job.snapshots.as_deref()).ok()?.list().ok()?;
    let taken = found.into_iter().filter_map(|found| found.manifest.ok()).filter(|manifest| manifest.new_bytes() > 0);
    taken.map(|manifest| manifest.id).max()
}

/// The processes of one generation; they end when this is dropped.
struct Children(Vec<Process>);

struct Process {
    child: Child,
    ended: Option<ExitStatus>,
    /// It did not end by itself.
    killed: bool,
}

impl Children {
    fn start(processes: usize, restarts: &BTreeMap<String, u64>) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::Failed(format!("the processes cannot be started: {error}"));
        let hosts = free_ports(processes).map_err(failed)?;
        let secret = chance()?.iter().map(|byte| format!("{byte:02x}")).collect();
        let summons = Summons { hosts, secret, restarts: restarts.clone() };
        let summons = serde_json::to_string(&summons).map_err(|error| failed(error.into()))?;
        let program = std::env::current_exe().map_err(failed)?;
        let mut children = Children(Vec::new());
        for index in 0..processes {
            let mut command = Command::new(&program);
            command.args(std::env::args_os().skip(1)).args(["--member", &index.to_string()]);
            // A terminal's Ctrl-C is for the parent, which passes it on.
            command.process_group(0).stdin(Stdio::piped());
            if index > 0 {
                command.stdout(Stdio::null());
            }
            children.0.push(Process { child: command.spawn().map_err(failed)?, ended: None, killed: false });
            children.tell(index, &summons);
        }
        Ok(children)
    }

    /// Writes a line to a child. One that cannot be told has ended, which is noticed elsewhere.
    fn tell(&mut self, index: usize, line: &str) {
        if let Some(stdin) = &mut self.0[index].child.stdin {
            let _ = stdin.write_all(format!("{line}\n").as_bytes());
        }
    }

    /// Waits until all have ended: by themselves, or soon after one of them was lost.
    fn watch(&mut self, stop: &AtomicBool) -> Outcome {
        let mut told = false;
        let mut lost_since: Option<Instant> = None;
        loop {
            if !told && stop.load(Ordering::SeqCst) {
                (0..self.0.len()).for_each(|index| self.tell(index, STOP));
                told = true;
            }
            self.look();
            if self.0.iter().all(|process| process.ended.is_some()) {
                return judge(
                    &self.0.iter().filter_map(|process| Some((process.ended?, process.killed))).collect::<Vec<_>>(),
                );
            }
            if self.0.iter().any(|process| process.ended.is_some_and(|status| !status.success())) {
                let since = *lost_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= GRACE {
                    self.kill();
                }
            }
            sleep(LOOK);
        }
    }

    fn look(&mut self) {
        for process in self.0.iter_mut().filter(|process| process.ended.is_none()) {
            // An error says that there is no such child any more.
            process.ended = process.child.try_wait().unwrap_or_else(|_| Some(ExitStatus::from_raw(9)));
        }
    }

    fn kill(&mut self) {
        for process in self.0.iter_mut().filter(|process| process.ended.is_none()) {
            process.killed = true;
            // An error says that it has ended.
            let _ = process.child.kill();
            process.ended = process.child.wait().ok().or(Some(ExitStatus::from_raw(9)));
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What the ends of all processes come to; of each, whether it had to be killed.
fn judge(ends: &[(ExitStatus, bool)]) -> Outcome {
    let by_itself = |index: usize| if ends[index].1 { None } else { ends[index].0.code() };
    let with = |code: i32| (0..ends.len()).find(|index| by_itself(*index) == Some(code));
    if let Some((index, code)) = [2, 3].into_iter().find_map(|code| Some((with(code)?, code))) {
        return Outcome::Over(index, code);
    }
    if ends.iter().all(|(status, _)| status.success()) {
        return Outcome::Done;
    }
    // Once the others have left in order, what the first process fails at is the job's own failure.
    if by_itself(0) == Some(1) && ends[1..].iter().all(|(status, _)| status.success()) {
        return Outcome::Over(0, 1);
    }
    let causes =
        ends.iter().enumerate().filter(|(_, (status, _))| !status.success()).map(|(index, (status, killed))| {
            match (killed, status.signal(), status.code()) {
                (true, ..) => (Cause::Unresponsive, index, "gave no sign of life and was ended".to_owned()),
                (false, Some(signal), _) => (Cause::Killed, index, format!("was ended by signal {signal}")),
                (false, None, Some(code)) if code == i32::from(crate::member::LOST) => {
                    (Cause::Disconnected, index, "lost another process".to_owned())
                }
                (false, None, code) => {
                    (Cause::Failed, index, format!("failed with exit code {}", code.unwrap_or_default()))
                }
            }
        });
    match causes.min() {
        Some((cause, index, why)) => Outcome::Lost(index, cause, why),
        None => Outcome::Done,
    }
}

/// Loopback addresses with ports that were free just now.
fn free_ports(count: usize) -> std::io::Result<Vec<String>> {
    let listeners: Vec<_> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(code: i32) -> (ExitStatus, bool) {
        (ExitStatus::from_raw(code << 8), false)
    }

    const SIGNAL: i32 = 9;

    #[test]
    fn the_cause_is_the_one_that_explains_the_others() {
        let killed = (ExitStatus::from_raw(SIGNAL), false);
        let ended = (ExitStatus::from_raw(SIGNAL), true);
        let lost = |ends: &[(ExitStatus, bool)]| match judge(ends) {
            Outcome::Lost(index, cause, _) => Some((index, cause)),
            _ => None,
        };
        assert_eq!(judge(&[exit(0), exit(0)]), Outcome::Done);
        assert_eq!(lost(&[exit(75), killed, exit(75)]), Some((1, Cause::Killed)));
        assert_eq!(lost(&[exit(75), exit(75), ended]), Some((2, Cause::Unresponsive)));
        assert_eq!(lost(&[exit(75), exit(1)]), Some((1, Cause::Failed)));
        assert_eq!(lost(&[exit(1), exit(75)]), Some((0, Cause::Failed)));
        assert_eq!(lost(&[exit(75), exit(75)]), Some((0, Cause::Disconnected)));
        assert_eq!(lost(&[killed, exit(0)]), Some((0, Cause::Killed)), "while open responses are carried out");
    }

    #[test]
    fn what_no_restart_can_mend_ends_the_job() {
        assert_eq!(judge(&[exit(75), exit(3)]), Outcome::Over(1, 3));
        assert_eq!(judge(&[exit(2), (ExitStatus::from_raw(SIGNAL), true)]), Outcome::Over(0, 2));
        assert_eq!(judge(&[exit(1), exit(0)]), Outcome::Over(0, 1));
        assert_eq!([2, 3, 1].map(|code| over(0, code).code()), [2, 3, 1]);
    }

    #[test]
    fn pauses_double_until_there_is_a_new_snapshot_or_no_use() {
        let mut row = Row { restarts: 0, newest: None };
        let mut pauses = |newest: &[Option<u64>]| -> Vec<Option<u128>> {
            newest.iter().map(|newest| row.next(*newest).map(|pause| pause.as_millis())).collect()
        };
        assert_eq!(pauses(&[None, None, Some(0), Some(0)]), [Some(200), Some(400), Some(200), Some(400)]);
        let all = [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000, 10_000].map(Some);
        assert_eq!(pauses(&[Some(5); 10]), all);
        assert_eq!(pauses(&[Some(5), Some(5), Some(6)]), [None, None, Some(200)]);
    }

    #[test]
    fn ports_are_all_different() {
        let hosts: std::collections::BTreeSet<_> = free_ports(8).unwrap().into_iter().collect();
        assert_eq!(hosts.len(), 8);
    }
}
