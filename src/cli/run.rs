//! `aerie run`: from flags and files to a job, and what is said of it at its end.

use super::{Failure, counted, grouped, print, print_json, signals, tell};
use crate::member::{Member, Summons, obey_parent};
use crate::progress::Shown;
use crate::run::{Finished, Totals, Watch, run_as};
use crate::serve::{self, Port};
use crate::supervise;
use config::{Flags, Job, JobFile, Layers};
use engine::flow::Ended;
use std::fmt::Write;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// Run a job: activity in, anomalies, decisions and responses out
///
/// Reads activity, finds anomalies, decides about each, and ends the sessions of those whose org wants that. State,
/// snapshots and outputs lie in the data directory; run again on it with the same inputs, the job goes on where it
/// was, with any number of workers and processes. A signal stops it with a last snapshot.
///
/// With --processes the work is shared out over so many processes on this machine. When one of them is lost, all are
/// started anew and go on from the last snapshot; the n-th one, counted from 0, serves at the port n higher.
///
/// Settings come from the built-in defaults, the job file, the environment (AERIE__JOB__WORKERS=4) and the flags, each
/// over the one before. While it runs, /livez, /readyz, /metrics and /version are served on 127.0.0.1:9464 or where
/// [http] listen says; where nobody chose a port, any free one is taken if that one is in use.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aerie run --input events.ndjson --control control.ndjson --tor-list tor.txt \
                        --data-dir data\n  aerie run --config config/jobs/files.toml --shadow\n  \
                        aerie run --input live.ndjson --follow --data-dir data\n  \
                        zcat events.ndjson.gz | aerie run --input - --data-dir data\n\n\
                        Outputs in the data directory: audit.ndjson, decisions.ndjson, dead_letter.ndjson, \
                        late.ndjson, outbox/.")]
#[command(group(clap::ArgGroup::new("activity").args(["config", "input"]).required(true).multiple(true)))]
pub(super) struct Args {
    /// The job file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Files of activity, one JSON object a line, or - for stdin; in place of the job file's sources
    #[arg(long, value_name = "FILE", num_args = 1..)]
    input: Vec<PathBuf>,
    /// Files of control records: settings, directory, lists
    #[arg(long, value_name = "FILE", num_args = 1..)]
    control: Vec<PathBuf>,
    /// Tor exit addresses, one a line, as they hold from the beginning of time
    #[arg(long, value_name = "FILE")]
    tor_list: Option<PathBuf>,
    /// Folder for state, snapshots and outputs
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Worker threads, or "cores"; results do not depend on it
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// Processes on this machine, each with so many workers; results do not depend on it
    #[arg(long, value_name = "N")]
    processes: Option<String>,
    /// Memory for decoded and cached state of a process, such as 256MiB
    #[arg(long, value_name = "SIZE")]
    state_memory: Option<String>,
    /// Wall time from one snapshot to the next, such as 10s
    #[arg(long, value_name = "DURATION")]
    snapshot_every: Option<String>,
    /// How long the end of the input waits for open responses, such as 5m
    #[arg(long, value_name = "DURATION")]
    drain_timeout: Option<String>,
    /// Decide everything and do nothing: what would have been done is recorded as "shadow"
    #[arg(long)]
    shadow: bool,
    /// Read on as the input files grow
    #[arg(long)]
    follow: bool,
    /// Print the totals of the job as the last line, as JSON
    #[arg(long)]
    json: bool,
    /// Which of several processes this is, as the one says that has started it
    #[arg(long, value_name = "INDEX", hide = true)]
    member: Option<usize>,
}

/// The variable that sets [http] listen: who sets it means that port.
const LISTEN_VARIABLE: &str = "AERIE__HTTP__LISTEN";

pub(super) fn execute(args: Args) -> Result<(), Failure> {
    let (json, child) = (args.json, args.member);
    let mut watch = Watch::default();
    let mut stdin = BufReader::new(io::stdin());
    let summons = child.map(|index| Ok::<_, Failure>((index, Summons::hear(&mut stdin)?))).transpose()?;
    let (config, flags) = args.split();
    let mut job = load(config.as_deref(), flags)?;
    require_files(&job)?;
    signals::stop_on_signal(watch.stop.clone())?;
    let member = match summons {
        Some((index, summons)) => {
            watch.restarts = summons.restarts.clone().into();
            obey_parent(stdin, watch.stop.clone())?;
            Some(Member::of_parent(index, summons)?)
        }
        None if job.processes.get() > 1 => return supervise::run(&job, &watch.stop),
        None => Member::of_settings(&job)?,
    };
    if let Some(member) = &member {
        watch.follows = !member.leads();
        job.http_listen.set_port(port_of(job.http_listen.port(), member.place().0));
    }
    let chosen = config.is_some() || std::env::var_os(LISTEN_VARIABLE).is_some();
    let port = if chosen { Port::AsGiven } else { Port::OrAnyFree };
    let server = serve::start(job.http_listen, port, watch.clone())?;
    if let Some(member) = member.as_ref().filter(|member| !member.leads()) {
        tracing::info!("serving http://{}", server.address);
        return Ok(run_as(&job, &watch, Some(member)).map(drop)?);
    }
    tell(&format!("serving http://{}", server.address));
    let finished = with_progress(&job, &watch, member.as_ref())?;
    finished.passed_over.iter().for_each(|report| tell(&format!("passed over a damaged snapshot: {report}")));
    match json {
        true => print_json(&finished.totals)?,
        false => print(&summary(&job, &finished))?,
    }
    if finished.was_complete {
        tell("the job was complete before; there is nothing to do");
    }
    outcome(&finished)
}

/// Where the n-th process serves, counted from 0. Port 0 stays any free port, and is what comes after the last one.
fn port_of(first: u16, index: usize) -> u16 {
    let port = u16::try_from(index).ok().and_then(|index| first.checked_add(index));
    port.filter(|_| first != 0).unwrap_or_default()
}

impl Args {
    fn split(self) -> (Option<PathBuf>, Flags) {
        let flags = Flags {
            input: self.input,
            follow: self.follow,
            control: self.control,
            tor_list: self.tor_list,
            data_dir: self.data_dir,
            workers: self.workers,
            processes: self.processes,
            state_memory: self.state_memory,
            snapshot_every: self.snapshot_every,
            drain_timeout: self.drain_timeout,
            shadow: self.shadow,
        };
        (self.config, flags)
    }
}

/// A job file is written by people; reading stops here, and what is larger is refused by the layers.
const JOB_FILE_BYTES_MAX: u64 = 2 << 20;

/// A job of a file, the environment and flags.
pub(super) fn load(config: Option<&Path>, flags: Flags) -> Result<Job, Failure> {
    let read = |path: &Path| -> Result<JobFile, Failure> {
        let mut text = String::new();
        let read = super::open(path)?.take(JOB_FILE_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|error| Failure::Usage(format!("cannot read {}: {error}", path.display())))?;
        Ok(JobFile { name: path.display().to_string(), text })
    };
    let file = config.map(read).transpose()?;
    let environment = std::env::vars_os();
    let environment =
        environment.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Ok(Job::load(&Layers { file, environment: environment.collect(), flags })?)
}

/// Every file that the job reads has to be there before anything starts.
fn require_files(job: &Job) -> Result<(), Failure> {
    let inputs = job.sources.iter().flat_map(|source| source.kind.files());
    let files = inputs.chain(&job.control).chain(&job.tor_list);
    // A pipe cannot be read again after a crash, and opening one waits for its writer.
    let pipe = |path: &Path| path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir());
    let check = |path: &PathBuf| match pipe(path) {
        true => Some(format!("cannot open {}: it is no regular file", path.display())),
        false => super::open(path).err().map(|error| error.to_string()),
    };
    let missing: Vec<String> = files.filter_map(check).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Failure::Usage(missing.join("\n"))),
    }
}

/// Runs the job with its progress shown on a terminal.
pub(super) fn with_progress(job: &Job, watch: &Watch, member: Option<&Member>) -> Result<Finished, Failure> {
    let _shown = Shown::start(job, watch);
    Ok(run_as(job, watch, member)?)
}

/// What the end of a run is for a shell. Told to stop, it leaves open responses to the next run.
pub(super) fn outcome(finished: &Finished) -> Result<(), Failure> {
    if finished.ended == Ended::Complete && finished.open_responses > 0 {
        let open = counted(finished.open_responses, "response is", "responses are");
        return Err(Failure::Failed(format!(
            "{open} still open after the time to wait for them: run again on the same data directory to carry on, or \
             with a longer --drain-timeout"
        )));
    }
    Ok(())
}

/// What a run came to, for people.
fn summary(job: &Job, finished: &Finished) -> String {
    let mut text = String::new();
    write(&mut text, job, finished).expect("a string takes everything");
    text
}

fn write(to: &mut String, job: &Job, finished: &Finished) -> std::fmt::Result {
    let totals = &finished.totals;
    let state = match (finished.was_complete, finished.ended) {
        (true, _) => "complete before; totals of the job",
        (_, Ended::Complete) => "complete; totals of the job",
        (_, Ended::Stopped) => "stopped with a snapshot; totals so far",
    };
    writeln!(to, "{state}\n")?;
    write_input(to, totals)?;
    writeln!(to, "found      {}", counted(totals.anomalies, "anomaly", "anomalies"))?;
    for (name, count) in &totals.decisions {
        writeln!(to, "           {} {name}", grouped(*count))?;
    }
    let open = match finished.open_responses {
        0 => String::new(),
        open => format!(", {} still open", grouped(open)),
    };
    writeln!(to, "responses  {} ordered{open}", grouped(totals.responses))?;
    let dir = job.data_dir.display();
    writeln!(to, "\noutputs    {dir}/audit.ndjson, decisions.ndjson, dead_letter.ndjson, late.ndjson, outbox/")?;
    match finished.ended {
        Ended::Stopped => writeln!(to, "next       run the same command again: it goes on from the last snapshot"),
        Ended::Complete if totals.rejected > 0 => {
            writeln!(to, "next       look at what was rejected and why: {dir}/dead_letter.ndjson")
        }
        Ended::Complete => writeln!(to, "next       aerie snapshots list --data-dir {dir}"),
    }
}

/// What came in, and what became of it.
fn write_input(to: &mut String, totals: &Totals) -> std::fmt::Result {
    let Totals { received, applied, duplicate, too_late, rejected, late, .. } = *totals;
    writeln!(to, "came in    {}", counted(received, "line", "lines"))?;
    writeln!(to, "           {} applied, {} of them late", grouped(applied), grouped(late))?;
    for (count, what) in [(duplicate, "duplicate"), (too_late, "too late"), (rejected, "rejected")] {
        if count > 0 {
            writeln!(to, "           {} {what}", grouped(count))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn finished() -> Finished {
        Finished {
            ended: Ended::Complete,
            totals: Totals {
                received: 1_234_567,
                applied: 1_234_000,
                rejected: 567,
                anomalies: 12,
                decisions: BTreeMap::from([("responded".to_owned(), 3), ("disabled".to_owned(), 9)]),
                responses: 3,
                ..Totals::default()
            },
            open_responses: 0,
            was_complete: false,
            passed_over: Vec::new(),
        }
    }

    fn job(dir: &Path) -> Job {
        let input = vec![dir.join("events.ndjson")];
        let control = vec![dir.join("control.ndjson")];
        let flags = Flags { input, control, data_dir: Some(dir.join("data")), ..Flags::default() };
        Job::from_flags(flags, Vec::new()).unwrap()
    }

    #[test]
    fn open_responses_fail_a_complete_job_and_not_a_stopped_one() {
        assert_eq!(outcome(&finished()), Ok(()));
        let open = Finished { open_responses: 2, ..finished() };
        let failure = outcome(&open).unwrap_err();
        assert_eq!(failure.code(), 1);
        assert!(failure.to_string().starts_with("2 responses are still open"), "{failure}");
        assert_eq!(outcome(&Finished { ended: Ended::Stopped, ..open }), Ok(()));
    }

    #[test]
    fn each_process_has_a_port_of_its_own_or_any_free_one() {
        assert_eq!([0, 1, 5].map(|index| port_of(9_464, index)), [9_464, 9_465, 9_469]);
        assert_eq!([port_of(0, 3), port_of(u16::MAX, 1), port_of(1, usize::MAX)], [0, 0, 0]);
    }

    #[test]
    fn the_summary_adds_up_and_names_the_outputs() {
        let text = summary(&job(Path::new("d")), &finished());
        for part in ["1,234,567 lines", "567 rejected", "12 anomalies", "3 responded", "9 disabled", "3 ordered"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.contains("d/data/audit.ndjson") && text.contains("d/data/dead_letter.ndjson"), "{text}");
        assert!(!text.contains("too late") && !text.contains("still open"), "{text}");
    }

    #[test]
    fn every_missing_file_is_named_before_anything_starts() {
        let dir = tempfile::tempdir().unwrap();
        let job = job(dir.path());
        let refused = require_files(&job).unwrap_err();
        assert_eq!(refused.code(), 2);
        let text = refused.to_string();
        assert!(text.contains("events.ndjson") && text.contains("control.ndjson"), "{text}");
        std::fs::write(dir.path().join("events.ndjson"), "").unwrap();
        std::fs::create_dir(dir.path().join("control.ndjson")).unwrap();
        let text = require_files(&job).unwrap_err().to_string();
        assert!(!text.contains("events.ndjson") && text.contains("it is a folder"), "{text}");
    }
}
