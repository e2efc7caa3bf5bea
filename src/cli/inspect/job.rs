//! `aerie inspect --job`: where each source stands, asked of the running job or read from a snapshot.

use super::{Args, ask, choose};
use crate::cli::{Failure, counted, plain, print, print_json, snapshots};
use crate::inspect::{Source, Standing};
use engine::snapshot::repository::Repository;
use engine::time::{Micros, Stamp};
use operators::respond::message::utc;
use std::fmt::Write;

pub(super) fn execute(args: &Args, repository: &Repository) -> Result<(), Failure> {
    let standing = match ask(args, "/api/job") {
        Some(standing) => standing,
        None => of_snapshot(repository, args.at.as_deref())?,
    };
    match args.json {
        true => print_json(&standing),
        false => print(&text(&standing)),
    }
}

fn of_snapshot(repository: &Repository, at: Option<&str>) -> Result<Standing, Failure> {
    Ok(Standing::of(&repository.manifest(choose(repository, at)?)?))
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
