//! The checked job: what the program builds from. Owned here: the top of the file, `[job]`, `[http]`, `[decide]`, and the
//! way from layers to a job.

use crate::chat::{self, Chat};
use crate::cluster::{self, Cluster};
use crate::destinations;
use crate::detect::{self, Detect};
use crate::flags::Flags;
use crate::kafka::{self, Kafka};
use crate::layers::Layers;
use crate::ledger::{self, LedgerServer};
use crate::lists::{self, ThreatLists};
use crate::mail::{self, Mail};
use crate::messages::{self, Messages};
use crate::networks;
use crate::problem::{Problem, Problems};
use crate::read::{self, Refusal, Section};
use crate::respond::{self, Respond};
use crate::sessions::{self, Sessions};
use crate::source::{self, Source, SourceKind};
use crate::value::{Origin, Value};
use operators::decode::networks::About;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// A job whose every setting has passed its rule. Only [`Job::load`] and [`Job::from_flags`] make one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Job {
    /// Where state, snapshots and outputs lie.
    pub data_dir: PathBuf,
    /// Worker threads of each process; over all processes at most one per key group.
    pub workers: NonZeroUsize,
    /// Processes on this machine, watched and started anew by the one that starts them.
    pub processes: NonZeroUsize,
    /// Bytes of memory that decoded and cached state may take, over all workers.
    pub state_memory_bytes: u64,
    /// Where snapshots lie, as a URL; `None` is the folder `snapshots` in the data directory.
    pub snapshots: Option<String>,
    /// Wall time from one snapshot to the next.
    pub snapshot_every: Duration,
    /// How many snapshots are kept besides named ones.
    pub snapshots_kept: NonZeroUsize,
    /// Decide but do not act, for every org.
    pub shadow: bool,
    /// Once an org's blast-radius limit is reached, nobody there is answered until an admin resumes.
    pub latch: bool,
    /// How long the end of bounded input waits for open responses.
    pub drain_timeout: Duration,
    /// What becomes of anomalies that were detected elsewhere.
    pub imported_anomalies: ImportedAnomalies,
    /// Control records, in this order.
    pub control: Vec<PathBuf>,
    /// The exit list that holds from the beginning of time.
    pub tor_list: Option<PathBuf>,
    /// Where activity comes from; at least one, and no file twice.
    pub sources: Vec<Source>,
    /// The brokers of topics, if any are set.
    pub kafka: Option<Kafka>,
    /// Where the console, the API and the metrics are served: a loopback address. Port 0 is any free port.
    pub http_listen: SocketAddr,
    /// Databases that say of an address what its event does not.
    pub networks: Vec<(About, PathBuf)>,
    /// Lists that are fetched while the job runs.
    pub threat_lists: ThreatLists,
    /// What detection asks for.
    pub detect: Detect,
    /// Where the control store is; `None` is a file in the data directory.
    pub ledger: Option<LedgerServer>,
    /// How responses are carried out.
    pub respond: Respond,
    /// Who ends sessions.
    pub sessions: Sessions,
    /// The server that sends mail; without one, mail lies in the outbox.
    pub mail: Option<Mail>,
    /// Where direct messages go; without it, they lie in the outbox.
    pub chat: Option<Chat>,
    /// What people are told.
    pub messages: Messages,
    /// The processes of the job, and how long they wait for each other.
    pub cluster: Cluster,
}

/// What becomes of `action:"anomaly"` in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportedAnomalies {
    /// Written to the audit log and counted.
    Record,
    /// Also decided upon and answered like our own.
    Respond,
}

impl Job {
    /// Puts the layers over each other and checks the outcome. Opens nothing.
    ///
    /// # Errors
    /// Every problem of all layers at once, in the order of their place.
    pub fn load(layers: &Layers) -> Result<Job, Problems> {
        let tree = layers.merge()?;
        let mut problems = Vec::new();
        let mut root = Section::root(&tree, layers.place(), &mut problems);
        let job = read_job(&mut root);
        root.close();
        if layers.flags.follow && layers.flags.input.is_empty() {
            problems.push(Problem {
                origin: Origin::Flag("--follow".to_owned()),
                path: String::new(),
                value: None,
                rule: "needs --input".to_owned(),
                hint: Some("in a job file, set follow = true in its [[source]]".to_owned()),
            });
        }
        problems.sort_by(|a, b| a.origin.cmp(&b.origin));
        job.filter(|_| problems.is_empty()).ok_or(Problems(problems))
    }

    /// A job without a file: defaults, environment and the command line.
    ///
    /// # Errors
    /// As [`Job::load`].
    pub fn from_flags(flags: Flags, environment: Vec<(String, String)>) -> Result<Job, Problems> {
        Job::load(&Layers { file: None, environment, flags })
    }
}

/// Most processes of a job.
pub(crate) const PROCESSES_MAX: u64 = 64;

const IMPORTED_ANOMALIES: &[(&str, ImportedAnomalies)] =
    &[("record", ImportedAnomalies::Record), ("respond", ImportedAnomalies::Respond)];

/// Everything that `[job]` holds.
struct Running {
    data_dir: PathBuf,
    workers: NonZeroUsize,
    processes: NonZeroUsize,
    state_memory_bytes: u64,
    snapshots: Option<String>,
    snapshot_every: Duration,
    snapshots_kept: NonZeroUsize,
    shadow: bool,
    drain_timeout: Duration,
    imported_anomalies: ImportedAnomalies,
}

fn read_job(root: &mut Section<'_>) -> Option<Job> {
    let cluster = root.section("cluster", cluster::read);
    let hosts = cluster.as_ref().and_then(|cluster| Some(cluster.own.as_ref()?.hosts.len()));
    let running = root.section("job", |job| read_running(job, hosts));
    let control = root.read_list("control", read::path);
    let tor_list = root.read_if_set("tor_list", read::path);
    let sources = source::read_all(root);
    let topics = sources.iter().flatten().any(|source| matches!(source.kind, SourceKind::Kafka(_)));
    let kafka = root.section("kafka", |section| kafka::read(section, topics));
    let http_listen = root.section("http", |http| http.read("listen", loopback));
    let networks = root.section("networks", networks::read);
    let is_live = sources.iter().flatten().any(|source| source.kind.is_live());
    // Of sources that cannot be read enough is said.
    let threat_lists = root.section("threat_lists", |section| lists::read(section, is_live || sources.is_none()));
    let detect = root.section("detect", detect::read);
    let latch = root.section("decide", |decide| decide.read("latch", read::switch));
    let ledger = root.section("ledger", ledger::read);
    let respond = root.section("respond", respond::read);
    let hosts = root.section("destinations", destinations::read);
    let hosts = hosts.unwrap_or_default();
    let sessions = root.section("sessions", |section| sessions::read(section, &hosts));
    let mail = root.section("mail", |section| mail::read(section, &hosts));
    let chat = root.section("chat", |section| chat::read(section, &hosts));
    let messages = root.section("messages", messages::read);
    let running = running?;
    Some(Job {
        data_dir: running.data_dir,
        workers: running.workers,
        processes: running.processes,
        state_memory_bytes: running.state_memory_bytes,
        snapshots: running.snapshots,
        snapshot_every: running.snapshot_every,
        snapshots_kept: running.snapshots_kept,
        shadow: running.shadow,
        drain_timeout: running.drain_timeout,
        imported_anomalies: running.imported_anomalies,
        control: control?,
        tor_list: tor_list?,
        sources: sources?,
        kafka: kafka?,
        http_listen: http_listen?,
        networks: networks?,
        threat_lists: threat_lists?,
        detect: detect?,
        latch: latch?,
        ledger: ledger?,
        respond: respond?,
        sessions: sessions?,
        mail: mail?,
        chat: chat?,
        messages: messages?,
        cluster: cluster?,
    })
}

/// Whether the processes and their workers go together.
fn fits(job: &mut Section<'_>, workers: usize, processes: usize, hosts: Option<usize>) -> Option<()> {
    if hosts.is_some() && processes > 1 {
        let refusal = Refusal::new("cannot be set together with [cluster] hosts");
        job.refuse("processes", refusal.hint("start one process per host, or drop the hosts"));
        return None;
    }
    let groups = usize::from(engine::key::GROUPS);
    let processes = hosts.unwrap_or(processes);
    if workers * processes > groups {
        let refusal = Refusal::new(format!("must be at most {} with {processes} processes", groups / processes));
        job.refuse("workers", refusal.hint(format!("there are {groups} key groups, and no use for more workers")));
        return None;
    }
    Some(())
}

fn read_running(job: &mut Section<'_>, hosts: Option<usize>) -> Option<Running> {
    const HOUR: Duration = Duration::from_secs(3_600);
    let data_dir = job.require("data_dir", "name the folder for state and outputs, or give --data-dir", read::path);
    let workers = job.read("workers", workers);
    let processes = job.read("processes", |value| read::count(1..=PROCESSES_MAX)(value).map(at_least_one));
    let state_memory_bytes = job.read("state_memory", read::size(16 << 20..=1 << 40));
    let snapshots = job.read_if_set("snapshots", bucket);
    let snapshot_every = job.read("snapshot_every", read::duration(Duration::from_millis(10)..=HOUR));
    let snapshots_kept = job.read("snapshots_kept", |value| read::count(1..=1_000)(value).map(at_least_one));
    let shadow = job.read("shadow", read::switch);
    let drain_timeout = job.read("drain_timeout", read::duration(Duration::ZERO..=24 * HOUR));
    let imported_anomalies = job.read("imported_anomalies", read::one_of(IMPORTED_ANOMALIES));
    let (workers, processes) = (workers?, processes?);
    fits(job, workers.get(), processes.get(), hosts)?;
    Some(Running {
        data_dir: data_dir?,
        workers,
        processes,
        state_memory_bytes: state_memory_bytes?,
        snapshots: snapshots?,
        snapshot_every: snapshot_every?,
        snapshots_kept: snapshots_kept?,
        shadow: shadow?,
        drain_timeout: drain_timeout?,
        imported_anomalies: imported_anomalies?,
    })
}

/// A bucket for snapshots.
fn bucket(value: &Value) -> Result<String, Refusal> {
    let text = read::text(value)?;
    let named = text.strip_prefix("s3://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    if named {
        return Ok(text);
    }
    Err(Refusal::new("must be a bucket such as \"s3://bucket/prefix\"")
        .hint("leave it out for a folder in the data directory"))
}

/// A number of workers, or `"cores"`. More than one per key group would have nothing to do.
fn workers(value: &Value) -> Result<NonZeroUsize, Refusal> {
    let most = u64::from(engine::key::GROUPS);
    match value {
        Value::Text(text) | Value::Word(text) if text == "cores" => {
            let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
            Ok(cores.min(at_least_one(most)))
        }
        _ => read::count(1..=most)(value)
            .map(at_least_one)
            .map_err(|refusal| refusal.hint("\"cores\" is one for each core of the machine")),
    }
}

fn at_least_one(count: u64) -> NonZeroUsize {
    usize::try_from(count).ok().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN)
}

/// An address that only this machine can reach: what is served there asks nobody who they are.
fn loopback(value: &Value) -> Result<SocketAddr, Refusal> {
    let refusal = || Refusal::new("must be an address and port such as \"127.0.0.1:9464\"");
    let text = read::text(value)?;
    let address: SocketAddr = text.parse().map_err(|_| match text.starts_with("localhost:") {
        true => refusal().hint("write 127.0.0.1 for localhost"),
        false => refusal().hint("IPv6 addresses stand in brackets: [::1]:9464"),
    })?;
    match address.ip().to_canonical().is_loopback() {
        true => Ok(address),
        false => Err(Refusal::new("must be a loopback address: there is no authentication yet")
            .hint("listen on 127.0.0.1 and put a proxy that authenticates in front")),
    }
}
