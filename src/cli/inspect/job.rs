//! `aerie inspect --job`: where each source stands, asked of the running job or read from a snapshot.

use super::{Args, choose};
use crate::cli::{Failure, counted, plain, print, print_json, snapshots, tell};
use crate::inspect::{Source, Standing};
use config::Job;
use engine::snapshot::repository::Repository;
use engine::time::{Micros, Stamp};
use operators::respond::message::utc;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long the running job may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

pub(super) fn execute(args: &Args, settings: &Job, repository: &Repository) -> Result<(), Failure> {
    let address = args.http.unwrap_or(settings.http_listen);
    let standing = match args.at.as_deref() {
        None => match live(address, args) {
            Ok(standing) => standing,
            Err(why) => {
                tell(&format!("not live, but from a snapshot: {}", plain(&why)));
                of_snapshot(repository, None)?
            }
        },
        at => of_snapshot(repository, at)?,
    };
    match args.json {
        true => print_json(&standing),
        false => print(&text(&standing)),
    }
}

fn of_snapshot(repository: &Repository, at: Option<&str>) -> Result<Standing, Failure> {
    Ok(Standing::of(&repository.manifest(choose(repository, at)?)?))
}

/// What the job at an address says, if it is the job of this data directory.
fn live(address: SocketAddr, args: &Args) -> Result<Standing, String> {
    let answer = get(address, "/api/job").map_err(|error| format!("nothing answers at {address}: {error}"))?;
    let body = answer.split_once("\r\n\r\n").filter(|(head, _)| head.starts_with("HTTP/1.1 200")).map(|(_, body)| body);
    let standing: Option<Standing> = body.and_then(|body| serde_json::from_str(body).ok());
    let standing = standing.ok_or_else(|| format!("what answers at {address} is no aerie of this version"))?;
    let own = args.data_dir.canonicalize().map_err(|error| error.to_string())?;
    match &standing.data_dir {
        Some(dir) if *dir == own => Ok(standing),
        Some(dir) => Err(format!("the job at {address} runs in {}; name the right one with --http", dir.display())),
        None => Err(format!("the job at {address} has not started yet")),
    }
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

fn text(standing: &Standing) -> String {
    let mut text = String::new();
    write(&mut text, standing).expect("a string takes everything");
    text
}

fn write(to: &mut String, standing: &Standing) -> std::fmt::Result {
    let time = |stamp: Option<Stamp>| stamp.map_or("none".to_owned(), snapshots::cut);
    match standing.snapshot {
        Some(id) => {
            writeln!(to, "as snapshot {id} has it, {}", snapshots::cut(standing.applied_ms.unwrap_or(Stamp::MAX)))?
        }
        None => {
            writeln!(to, "live")?;
            writeln!(to, "applied    {}", time(standing.applied_ms))?;
            writeln!(to, "frontier   {}", time(standing.frontier_ms))?;
            writeln!(to, "horizon    {}", time(standing.horizon_ms))?;
            let published = counted(standing.snapshots_published, "snapshot", "snapshots");
            writeln!(to, "published  {published}, the newest at {}", time(standing.newest_cut_ms))?;
        }
    }
    let held = standing.holds_the_frontier.as_deref().map_or("nothing: all sources have ended".to_owned(), plain);
    let holds = if standing.snapshot.is_some() { "read on furthest back: " } else { "held by    " };
    writeln!(to, "{holds}{held}")?;
    for Source { name, activity, newest_us, watermark_us, received, position, waiting } in &standing.sources {
        writeln!(to, "\n{}", plain(name))?;
        let activity = activity.as_deref().map_or(String::new(), |activity| format!("{}, ", plain(activity)));
        if let (Some(position), Some(waiting)) = (position, waiting) {
            writeln!(to, "  read on at position {position}, {waiting} waiting for their time; by then")?;
        }
        writeln!(to, "  {activity}{} read", counted(*received, "line", "lines"))?;
        writeln!(to, "  newest {}, watermark {}", utc(Micros(*newest_us)), utc(Micros(*watermark_us)))?;
    }
    Ok(())
}
