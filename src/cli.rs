//! The command line: its commands, what their failures mean to a shell, and how they speak. Data goes to stdout,
//! sentences to stderr. Owned here: words and exit codes. Not owned here: what a job does (`run`).

mod check;
mod demo;
mod evaluate;
mod generate;
mod inspect;
mod replay;
mod responses;
mod run;
mod signals;
mod snapshots;
mod story;
#[cfg(test)]
mod tests;

use clap::{Parser, Subcommand};
use engine::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Write};
use std::path::Path;

/// Finds stolen sessions in a stream of activity and ends them.
#[derive(Debug, Parser)]
#[command(
    name = "aerie",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Start here:\n  aerie demo\n  aerie run --input events.ndjson --control control.ndjson --data-dir data\n\n\
                  Exit codes: 0 done; 1 the job failed; 2 usage or configuration; 3 stored state is corrupt or does \
                  not fit; 75 (with [cluster] hosts) another process is gone: start all again.\nAERIE_LOG=info (or debug, or a filter such as engine=debug) shows more on stderr."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Run(run::Args),
    Check(check::Args),
    Inspect(inspect::Args),
    Replay(replay::Args),
    #[command(subcommand)]
    Responses(responses::Command),
    #[command(subcommand)]
    Snapshots(snapshots::Command),
    Generate(generate::Args),
    Evaluate(evaluate::Args),
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// What the command could not do, as a [`Failure`] with its exit code.
    pub fn execute(self) -> Result<(), Failure> {
        match self.command {
            Command::Demo(args) => demo::execute(&args),
            Command::Run(args) => run::execute(args),
            Command::Inspect(args) => inspect::execute(&args),
            Command::Replay(args) => replay::execute(args),
            Command::Responses(command) => responses::execute(&command),
            Command::Check(args) => check::execute(&args),
            Command::Snapshots(command) => snapshots::execute(&command),
            Command::Generate(args) => generate::execute(&args),
            Command::Evaluate(args) => evaluate::execute(&args),
        }
    }
}

/// Why a command ends with something other than 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The job failed, or something around it that may pass.
    Failed(String),
    /// The command line, a setting or an input is wrong.
    Usage(String),
    /// Stored state is corrupt or does not fit.
    Corrupt(String),
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Failed(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Corrupt(_) => 3,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Failed(text) | Failure::Usage(text) | Failure::Corrupt(text)) = self;
        f.write_str(text)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(text) => Failure::Usage(text),
            Error::Corrupt(text) | Error::Unfit(text) => Failure::Corrupt(text),
            other => Failure::Failed(other.to_string()),
        }
    }
}

impl From<config::Problems> for Failure {
    fn from(problems: config::Problems) -> Self {
        Failure::Usage(format!("the settings cannot be used:\n{problems}"))
    }
}

/// Writes to stdout. A reader that has gone away, as `head` does, wants no more and is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Failed(format!("cannot write: {error}"))),
        _ => Ok(()),
    }
}

/// Writes a value as one line of JSON to stdout.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::Failed(format!("cannot write JSON: {error}")))?;
    print(&format!("{text}\n"))
}

/// Says something on stderr. There is nobody to hear that stderr is gone.
pub fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "aerie: {text}");
}

/// Opens a file that the command line names: not being there is a usage error.
fn open(path: &Path) -> Result<BufReader<File>, Failure> {
    let refuse = |reason: &dyn fmt::Display| Failure::Usage(format!("cannot open {}: {reason}", path.display()));
    if path.is_dir() {
        return Err(refuse(&"it is a folder; name a file"));
    }
    File::open(path).map(BufReader::new).map_err(|error| refuse(&error))
}

/// Text from a file as one line for a terminal, which must not take orders from it.
fn plain(text: &str) -> String {
    // Beside control characters, those that turn the direction of what follows.
    let orders = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if orders(c) { '?' } else { c }).collect()
}

/// A count with its digits in groups of three.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count of things, with the word for one or for several.
pub(crate) fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { several })
}
