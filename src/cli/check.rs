//! `aerie check`: every problem of a job file at once, or what the job would do.

use super::{Failure, print, run};
use crate::templates;
use config::{Flags, ImportedAnomalies, Job, Sessions, Source};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Report every problem of a job file at once, or what it would do
///
/// Reads a job file with the defaults and the environment (AERIE__…) around it, reports every problem at once with its
/// place, its value, its rule and a hint, and otherwise says what the job would do. Opens nothing that the file names but
/// its folder of templates, which is checked as well.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  aerie check --config config/jobs/files.toml\n\n\
                        Exit codes: 0 the file is fine; 2 it has problems.")]
pub(super) struct Args {
    /// The job file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn execute(args: &Args) -> Result<(), Failure> {
    let job = run::load(Some(&args.config), Flags::default())?;
    templates::read(job.messages.templates.as_deref())?;
    print(&describe(&args.config, &job))
}

/// What a job would do, for people.
fn describe(file: &Path, job: &Job) -> String {
    let mut text = format!("{} is fine. The job would\n", file.display());
    write(&mut text, job).expect("a string takes everything");
    text
}

fn write(to: &mut String, job: &Job) -> std::fmt::Result {
    for source in &job.sources {
        writeln!(to, "  read     {}", describe_source(source))?;
    }
    for path in &job.control {
        writeln!(to, "  obey     control records of {}", path.display())?;
    }
    if let Some(path) = &job.tor_list {
        writeln!(to, "  know     Tor exits of {}", path.display())?;
    }
    if job.threat_lists.tor_exit.is_some() {
        writeln!(to, "  fetch    the list of Tor exits every {:?}", job.threat_lists.every)?;
    }
    for (about, path) in &job.networks {
        writeln!(to, "  look up  {} of addresses in {}", about.name(), path.display())?;
    }
    writeln!(to, "  keep     state and outputs under {}", job.data_dir.display())?;
    if let Some(ledger) = &job.ledger {
        writeln!(to, "  record   what is to be done, and was, in {}", ledger.server.place())?;
    }
    writeln!(
        to,
        "  use      {} workers, {} MiB for state, a snapshot every {:?}, {} of them kept",
        job.workers,
        job.state_memory_bytes >> 20,
        job.snapshot_every,
        job.snapshots_kept
    )?;
    match &job.cluster.own {
        Some(own) => writeln!(to, "  be       process {} of {}", own.index, own.hosts.join(", "))?,
        None if job.processes.get() > 1 => writeln!(to, "  start    {} such processes", job.processes)?,
        None => {}
    }
    writeln!(to, "  serve    http://{}", job.http_listen)?;
    write_imported(to, job)?;
    match &job.sessions {
        Sessions::Local => writeln!(to, "  end      nobody's sessions, but record each call")?,
        Sessions::Webhook(webhook) => writeln!(to, "  end      sessions by a signed call to {}", webhook.to.host())?,
        Sessions::Slack(slack) => writeln!(to, "  end      sessions by Slack's Web API at {}", slack.to.host())?,
        Sessions::Caep(caep) => writeln!(to, "  end      sessions by CAEP tokens to {}", caep.to.host())?,
    }
    write_messages(to, job)?;
    match job.shadow {
        true => writeln!(to, "  decide everything and do nothing (shadow)"),
        false => writeln!(to, "  respond, and wait up to {:?} for open responses at the end", job.drain_timeout),
    }
}

fn write_imported(to: &mut String, job: &Job) -> std::fmt::Result {
    if job.imported_anomalies == ImportedAnomalies::Record {
        return writeln!(to, "  record anomalies that were detected elsewhere");
    }
    writeln!(to, "  decide on anomalies that were detected elsewhere")?;
    for source in job.sources.iter().filter(|source| !source.kind.may_import()) {
        writeln!(to, "           but record those of {}", source.kind.describe())?;
    }
    Ok(())
}

fn write_messages(to: &mut String, job: &Job) -> std::fmt::Result {
    match &job.mail {
        Some(mail) => writeln!(to, "  mail     by {}:{} as {}", mail.host, mail.port, mail.from)?,
        None => writeln!(to, "  mail     nobody: mail lies in the outbox")?,
    }
    match &job.chat {
        Some(chat) => writeln!(to, "  message  people by {}", chat.to.host())?,
        None => writeln!(to, "  message  nobody: direct messages lie in the outbox")?,
    }
    match &job.messages.templates {
        Some(folder) => writeln!(to, "  write    by the templates of {}", folder.display()),
        None => Ok(()),
    }
}

fn describe_source(source: &Source) -> String {
    let org = source.org.as_ref().map_or(String::new(), |org| format!(", for org {org} where none is named"));
    format!("{}{org}", source.kind.describe())
}
