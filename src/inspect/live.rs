//! What a running job holds of one user, asked of its operators (`engine::window`).

use super::{Held, Keys, Rows, User, end_of};
use crate::run::{Phase, Watch};
use engine::error::Error;
use engine::window::Seen;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long operators may take to answer: a step of each, and a snapshot that holds the flow.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a job that runs tells of a user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Live {
    /// Its data directory.
    pub data_dir: PathBuf,
    /// What it holds.
    #[serde(flatten)]
    pub held: Held,
}

/// Asks the job that this process conducts; or says why it cannot tell. Waits for the answer.
///
/// # Errors
/// A sentence for a person.
pub fn live(watch: &Watch, user: User<'_>) -> Result<Live, String> {
    let job = watch.job.get().ok_or("the job has not started yet")?;
    if watch.follows {
        return Err("this is one of several processes; ask the first".to_owned());
    }
    match watch.phase.load(Ordering::Acquire) {
        phase if phase < Phase::Running as u8 => {
            return Err("the job is still looking for what to start from".to_owned());
        }
        phase if phase > Phase::Running as u8 => return Err("the job has read everything or was stopped".to_owned()),
        _ => {}
    }
    let asked = watch.status.window().ask(Keys::of(user).places()).ok_or("too many are asking; ask again")?;
    let seen = asked.recv_timeout(PATIENCE).map_err(|_| "the job is too busy to answer, or about to end")??;
    let through = seen.iter().filter_map(|seen| seen.through).min();
    // Each operator is as far as it is: what is counted is so up to where detection is.
    let newest = || watch.status.partitions().values().map(|progress| progress.newest).max().unwrap_or_default();
    let now = seen.first().and_then(|seen| seen.through).map_or_else(newest, end_of);
    let rows = rows(&seen).map_err(|error| error.to_string())?;
    Ok(Live { data_dir: job.data_dir.clone(), held: rows.held(None, through, now, &job.volume_rules) })
}

/// What was seen, in the order in which it was asked for.
fn rows(seen: &[Seen]) -> Result<Rows, Error> {
    let [detect, taught, decide, org] = seen else {
        return Err(Error::Fault(format!("{} rows were seen where four were asked for", seen.len())));
    };
    Ok(Rows { detect: detect.row()?, taught: taught.row()?, decide: decide.row()?, org: org.row()? })
}
