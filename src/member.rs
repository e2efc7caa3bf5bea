//! One process of a job over several: who it is, by its settings or by the process that has started it, and what one
//! does that is not the first. Owned here: the way from settings to a membership, and the wire from the parent. Not
//! owned here: how processes meet (`engine::cluster`) and who starts them anew (`supervise`).

use crate::cli::tell;
use crate::execute::Signal;
use crate::input::Input;
use crate::job::{assemble, open_in, parts};
use crate::run::{Finished, Met, Phase, Totals, Watch, repository, settings};
use crate::secrets;
use crate::store::StorePlace;
use config::{Job, KeyOrigin};
use engine::cluster::{Leader, Membership, Nonces, Secret, run_id};
use engine::error::Error;
use engine::flow::{Ended, Start};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Stdin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The exit code of a process that ends because another one is gone: start all of them again. `EX_TEMPFAIL` of
/// sysexits.h.
pub const LOST: u8 = 75;

/// What a parent writes to a child's stdin to have the job stopped.
pub const STOP: &str = "stop";

/// Where the file of the secret is named.
const SECRET_FILE: &str = "[cluster] secret_file";

/// How many bytes a secret has that comes from a file.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=4_096;

/// Which process this is, and what it knows of the others.
pub struct Member {
    hosts: Vec<String>,
    index: usize,
    secret: Secret,
}

/// What a child is told by the process that starts it: one line of JSON on its stdin, which stays open. Its end is the
/// parent's end.
#[derive(Serialize, Deserialize)]
pub struct Summons {
    /// Address and port of each process.
    pub hosts: Vec<String>,
    /// What all of them know.
    pub secret: String,
    /// How often all processes were started anew, by cause.
    pub restarts: BTreeMap<String, u64>,
}

impl Summons {
    /// Hears the parent.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no parent that speaks so.
    pub fn hear(stdin: &mut BufReader<Stdin>) -> Result<Self, Error> {
        let alone = || Error::Invalid("--member is for processes that `aerie run --processes` starts".to_owned());
        let mut line = String::new();
        stdin.read_line(&mut line).map_err(|_| alone())?;
        serde_json::from_str(&line).map_err(|_| alone())
    }
}

/// From here on the parent is obeyed: the job stops when it says so, and this process ends with it.
///
/// # Errors
/// [`Error::Unavailable`] if there can be no thread for it.
pub fn obey_parent(mut stdin: BufReader<Stdin>, stop: Arc<AtomicBool>) -> Result<(), Error> {
    let obey = move || {
        let mut line = String::new();
        while stdin.read_line(&mut line).is_ok_and(|read| read > 0) {
            if line.trim_end() == STOP {
                stop.store(true, Ordering::SeqCst);
            }
            line.clear();
        }
        std::process::exit(i32::from(LOST));
    };
    let spawned = std::thread::Builder::new().name("parent".to_owned()).spawn(obey);
    spawned.map(drop).map_err(|error| Error::Unavailable(format!("nobody can listen to the parent: {error}")))
}

impl Member {
    /// A child, as its parent says.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the parent has no process of this number.
    pub fn of_parent(index: usize, summons: Summons) -> Result<Self, Error> {
        match index < summons.hosts.len() {
            true => Ok(Member { hosts: summons.hosts, index, secret: Secret::new(summons.secret) }),
            false => Err(Error::Invalid(format!("there is no process {index} among {}", summons.hosts.len()))),
        }
    }

    /// A process that was started by itself, if the settings say that there are others.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the file of the secret cannot be used.
    pub fn of_settings(job: &Job) -> Result<Option<Self>, Error> {
        let Some(own) = &job.cluster.own else { return Ok(None) };
        let secret = match &own.secret {
            KeyOrigin::Given(secret) => secret.expose().to_owned(),
            KeyOrigin::File(path) => {
                let secret = secrets::read(path, SECRET_FILE)?.trim().to_owned();
                if !SECRET_BYTES.contains(&secret.len()) {
                    return Err(secrets::unusable(path, SECRET_FILE, "it must hold from 16 to 4096 bytes"));
                }
                secret
            }
        };
        Ok(Some(Member { hosts: own.hosts.clone(), index: own.index, secret: Secret::new(secret) }))
    }

    /// Whether this is the first process.
    pub fn leads(&self) -> bool {
        self.index == 0
    }

    /// Which process this is, and of how many.
    pub fn place(&self) -> (usize, usize) {
        (self.index, self.hosts.len())
    }

    fn membership(&self, job: &Job, watch: &Watch, input: &Input) -> Result<Membership, Error> {
        let fingerprint = input.fingerprint(&repository(&job.data_dir, job.snapshots.as_deref())?)?;
        let index = self.index;
        Ok(Membership {
            hosts: self.hosts.clone(),
            index,
            secret: self.secret.clone(),
            run: run_id(&input.without_growth(fingerprint), self.hosts.len(), job.workers.get()),
            start_timeout: job.cluster.start_timeout,
            peer_timeout: job.cluster.peer_timeout,
            nonces: nonces(),
            stop: watch.stop.clone(),
            lost: Arc::new(move |what| {
                tell(&format!("process {index} ends: {what}"));
                std::process::exit(i32::from(LOST));
            }),
        })
    }

    /// Lets the other processes know that the first one is there, before it looks for what the job starts from.
    pub(crate) fn lead(&self, job: &Job, watch: &Watch, input: &Input) -> Result<Leader, Error> {
        self.membership(job, watch, input)?.lead()
    }
}

/// Waits for the other processes, and tells them what the job starts from.
pub(crate) fn gather(leader: Leader, generation: u64, start: &Start) -> Result<Met, Error> {
    let gathered = leader.gather(generation, word(start))?;
    Ok(gathered.map_or(Met::Stopped, |gathered| Met::All(Box::new(gathered))))
}

/// What the first process tells of what it starts from: the number of the snapshot.
fn word(start: &Start) -> Vec<u8> {
    let id = start.restore.manifest.as_ref().map(|manifest| manifest.id);
    id.map_or_else(Vec::new, |id| id.to_be_bytes().to_vec())
}

/// What [`word`] says.
fn heard(word: &[u8]) -> Result<Option<u64>, Error> {
    match word {
        [] => Ok(None),
        word => word.try_into().map(|id| Some(u64::from_be_bytes(id))).map_err(|_| {
            Error::Unavailable("process 0 names no snapshot: all processes have to be of one version".to_owned())
        }),
    }
}

/// Any process but the first: its share of the dataflow, and nothing else.
pub(crate) fn follow(job: &Job, watch: &Watch, input: &Input, member: &Member) -> Result<Finished, Error> {
    let finished = |ended, was_complete| {
        watch.enter(Phase::Done);
        Ok(Finished { ended, totals: Totals::default(), open_responses: 0, was_complete, passed_over: Vec::new() })
    };
    let Some(mut gathered) = member.membership(job, watch, input)?.join()? else {
        return finished(Ended::Stopped, false);
    };
    let generation = gathered.generation();
    watch.generation.store(generation, Ordering::Relaxed);
    let ledger = StorePlace::of(job, &watch.stop)?;
    let store = ledger.open_as(generation)?;
    let repository = repository(&job.data_dir, job.snapshots.as_deref())?;
    let fingerprint = input.fingerprint(&repository)?;
    let store = Arc::new(Mutex::new(store));
    let settings = settings(job, watch, input, fingerprint, repository, store, Some(member));
    let first = member.index * job.workers.get();
    let own = first..first + job.workers.get();
    let start = Start::follow(&settings, heard(gathered.word())?, generation, own)?;
    if start.is_complete() {
        gathered.leave();
        return finished(Ended::Complete, true);
    }
    let Some(mesh) = gathered.mesh()? else {
        gathered.leave();
        return finished(Ended::Stopped, false);
    };
    watch.enter(Phase::Running);
    let (outputs, heard) = (open_in(job.data_dir.clone(), generation), crate::run::heard(watch, Signal::default()));
    let parts = parts(job, input, outputs, (ledger, generation), heard, mesh.processes())?;
    let ended = engine::flow::run_on(mesh, settings, start, move |flow| assemble(flow, &parts))?;
    gathered.leave();
    finished(ended, false)
}

/// Bytes from the system's source of chance.
///
/// # Errors
/// [`Error::Unavailable`] if it cannot be read.
pub fn chance() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map(|()| bytes).map_err(|error: io::Error| Error::Unavailable(format!("cannot read /dev/urandom: {error}")))
}

fn nonces() -> Nonces {
    Arc::new(chance)
}

/// Whether a panic tells that another process is gone. Timely panics on its threads for connections when one breaks, and
/// on the workers when those threads are gone; the words are those of timely 0.32.
pub fn is_loss(thread: &str, message: &str) -> bool {
    const WORDS: [&str; 4] = [
        "timely communication error:",
        "MergeQueue poisoned",
        "Clean shutdown followed by data",
        "Failed to receive MergeQueue",
    ];
    let connection = thread.starts_with("timely:send-") || thread.starts_with("timely:recv-");
    connection || WORDS.iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_panics_of_a_lost_process_are_told_from_faults() {
        assert!(is_loss("timely:recv-1", "timely communication error: reading data: socket closed"));
        assert!(is_loss("timely:work-0", "MergeQueue poisoned."));
        assert!(!is_loss("timely:work-0", "index out of bounds"));
        assert!(!is_loss("main", "boom"));
    }

    #[test]
    fn chance_is_never_the_same() {
        assert_ne!(chance().unwrap(), chance().unwrap());
    }
}
