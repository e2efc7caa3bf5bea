//! What a job holds of one user, and where its sources stand: read from a snapshot and the ledger, without touching
//! either, or asked of the job that runs. Owned here: which rows belong to a user, and what of the record. Not owned here:
//! what is in a row (each has a view beside it in `operators`) and how it is shown (`cli`).

mod live;
mod names;
pub(crate) mod running;
mod standing;

pub use live::{Live, live};
pub use names::name;
pub use standing::{Source, Standing};

use crate::job::{DECIDE, DECISIONS, DETECT, THRESHOLDS};
use crate::replay::difference::{Field, differ};
use crate::replay::record::entry;
use crate::store::StorePlace;
use config::Job;
use engine::error::Error;
use engine::key::{GROUPS, KeyGroup};
use engine::ledger::Ledger;
use engine::snapshot::manifest::Manifest;
use engine::snapshot::repository::Repository;
use engine::snapshot::restore::{Restore, look};
use engine::state::memory::MemoryStores;
use engine::state::rocks::RocksStores;
use engine::state::store::Stores;
use engine::state::table::Table;
use engine::state::{Row, RowKey};
use engine::time::{Micros, Stamp};
use engine::window::Place;
use operators::baseline::thresholds::OrgThresholds;
use operators::baseline::{Class, Metric, Subject, VolumeRules, quarter};
use operators::decide::record::Address;
use operators::decide::rows::DecideRow;
use operators::detect::signal::{Bar, BarSource};
use operators::detect::state::UserState;
use operators::model::event::{KeyKind, key_of};
use operators::model::id::Id;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// The last decisions that are shown, and what followed from them.
const DECISIONS_SHOWN: usize = 10;

/// Most changes between two snapshots that are shown.
const CHANGES_MAX: usize = 1_000;

/// Memory for reading a snapshot's state.
const MEMORY_BYTES: usize = 16 << 20;

/// Whom to look at.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    /// The org.
    pub org: &'a str,
    /// The user's id.
    pub id: &'a str,
}

/// What a job holds of a user, in a snapshot or while it runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Held {
    /// The snapshot; none of a job that runs.
    pub snapshot: Option<u64>,
    /// Its cut, in milliseconds of event time, or up to where everything shown has been applied; none at the end of all
    /// input.
    pub cut_ms: Option<Stamp>,
    /// Whether it holds anything of this very user.
    pub known: bool,
    /// The row of detection, if there is one.
    pub detect: Option<Value>,
    /// What counts of the user are held against.
    pub thresholds: Value,
    /// What decide knows of the user, if anything.
    pub decide: Option<Value>,
    /// What the org set, if anything.
    pub org: Option<Value>,
}

/// What is on record of a user, newest first.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Recorded {
    /// Lines of `decisions.ndjson`.
    pub decisions: Vec<Value>,
    /// Audit entries that belong to them.
    pub entries: Vec<Value>,
    /// Orders that belong to them, and where they stand.
    pub orders: Vec<Value>,
}

/// What became of one value from one snapshot to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// A JSON pointer (RFC 6901) into what is held.
    pub path: String,
    /// The value before, none if there was none.
    pub before: Option<Value>,
    /// The value after, none if there is none.
    pub after: Option<Value>,
}

/// Reads what a snapshot holds of a user, by way of the empty folder `scratch`. `rules` say what
/// counts of orgs that have taught nothing are held against.
///
/// # Errors
/// [`Error::Corrupt`] for a damaged snapshot, [`Error::Unfit`] for one of another version.
pub fn held(
    repository: &Repository,
    snapshot: u64,
    user: User<'_>,
    rules: &VolumeRules,
    scratch: &Path,
) -> Result<Held, Error> {
    let restore = look(repository, snapshot, &scratch.join("fetched"))?;
    let manifest = restore.manifest.as_ref().ok_or_else(|| Error::Fault("a snapshot without a manifest".to_owned()))?;
    manifest.check(&engine::snapshot::manifest::Job {
        fingerprint: manifest.fingerprint.clone(),
        ..engine::snapshot::manifest::Job::default()
    })?;
    let now = now(manifest);
    let rocks = RocksStores::new(MEMORY_BYTES);
    let fetched = Fetched { restore: &restore, scratch, now };
    let keys = Keys::of(user);
    let rows = Rows {
        detect: fetched.read(DETECT, &rocks, keys.detect())?,
        taught: fetched.read(THRESHOLDS, &MemoryStores, keys.thresholds())?,
        decide: fetched.read(DECIDE, &rocks, keys.decide.key())?,
        org: fetched.read(DECIDE, &rocks, keys.org.key())?,
    };
    Ok(rows.held(Some(snapshot), (manifest.at != Stamp::MAX).then_some(manifest.at), now, rules))
}

/// Names of the rows that belong to a user.
struct Keys {
    user: Vec<u8>,
    thresholds: Vec<u8>,
    decide: Address,
    org: Address,
}

impl Keys {
    fn of(user: User<'_>) -> Self {
        Keys {
            user: key_of(KeyKind::User, user.org, user.id),
            thresholds: user.org.as_bytes().to_vec(),
            decide: Address::user(user.org, user.id),
            org: Address::org(user.org),
        }
    }

    fn detect(&self) -> RowKey<'_> {
        RowKey::of(&self.user)
    }

    fn thresholds(&self) -> RowKey<'_> {
        RowKey::of(&self.thresholds)
    }

    /// Where the rows lie, in the order of the fields of [`Rows`].
    fn places(&self) -> Vec<Place> {
        let rows = [
            (DETECT, self.detect()),
            (THRESHOLDS, self.thresholds()),
            (DECIDE, self.decide.key()),
            (DECIDE, self.org.key()),
        ];
        rows.map(|(operator, key)| Place::of(operator, key)).into()
    }
}

/// The rows that belong to a user, as far as there are any.
struct Rows {
    detect: Option<UserState>,
    taught: Option<OrgThresholds>,
    decide: Option<DecideRow>,
    org: Option<DecideRow>,
}

impl Rows {
    /// What they say at the point of time `now`.
    fn held(self, snapshot: Option<u64>, cut_ms: Option<Stamp>, now: Micros, rules: &VolumeRules) -> Held {
        let Rows { detect, taught, decide, org } = self;
        Held {
            snapshot,
            cut_ms,
            known: detect.is_some() || decide.is_some(),
            thresholds: thresholds(taught.as_ref(), detect.as_ref(), rules, now),
            detect: detect.map(|row| row.view(now)),
            decide: decide.map(|row| row.view()),
            org: org.map(|row| row.view()),
        }
    }
}

/// The point of time that a snapshot shows: its cut, or the newest event once all input has ended.
fn now(manifest: &Manifest) -> Micros {
    match manifest.at {
        Stamp::MAX => manifest.partitions.values().map(|state| state.judge.newest).max().unwrap_or_default(),
        at => end_of(at),
    }
}

/// The last point of time of a stamp.
fn end_of(stamp: Stamp) -> Micros {
    Micros(Micros::from_stamp(stamp.saturating_add(1)).0.saturating_sub(1))
}

/// What the user's counts are held against, and what the org has taught.
fn thresholds(taught: Option<&OrgThresholds>, user: Option<&UserState>, rules: &VolumeRules, now: Micros) -> Value {
    let in_force = |metric: &Metric| {
        let of_org = |class| {
            let (value, samples) = taught?.taught(Subject { metric: *metric, class }, now)?;
            Some(Bar { value, source: BarSource::Org(class), samples })
        };
        let bar = of_org(Class::of_quarter(quarter(now))).or_else(|| of_org(Class::ALL_HOURS));
        let untaught = || Bar { value: rules.of(*metric).untaught(), source: BarSource::Prior, samples: 0 };
        let bar = bar.unwrap_or_else(untaught);
        let volume = user.and_then(|user| user.volumes.as_ref()).and_then(|volumes| volumes.get(*metric));
        let org = bar.value;
        let bar = volume.map_or(bar, |volume| volume.bar(bar));
        let fields = json!({
            "value": bar.value,
            "source": bar.source.name(),
            "samples": bar.samples,
            "before_habit": org,
            "floor": rules.of(*metric).floor(),
        });
        (metric.name().to_owned(), fields)
    };
    json!({
        "in_force": Metric::ALL.iter().map(in_force).collect::<serde_json::Map<_, _>>(),
        "taught": taught.map_or_else(|| json!({}), |taught| taught.view(now)),
    })
}

/// A snapshot that was fetched.
struct Fetched<'a> {
    restore: &'a Restore,
    scratch: &'a Path,
    now: Micros,
}

impl Fetched<'_> {
    /// One row of an operator. Only the files that hold the key's group are opened.
    fn read<R: Row>(&self, operator: &str, stores: &dyn Stores, key: RowKey<'_>) -> Result<Option<R>, Error> {
        let group = key.group.0;
        // With as many workers as there are groups, each owns one.
        debug_assert_eq!(KeyGroup(group).worker(usize::from(GROUPS)), usize::from(group));
        let checkpoints = self.restore.checkpoints(operator, usize::from(group), usize::from(GROUPS))?;
        let folder = self.scratch.join(format!("{operator}.{group}"));
        let store = stores.restore(&folder, &checkpoints, group..group + 1)?;
        let mut table: Table<R> = Table::new(store, MEMORY_BYTES);
        table.set_now(self.now);
        Ok(table.write(key)?.take())
    }
}

/// What became of what is held of a user from one snapshot to another.
///
/// # Errors
/// [`Error::Fault`] if it has no JSON form.
pub fn changes(before: &Held, after: &Held) -> Result<Vec<Change>, Error> {
    let value = |held: &Held| {
        let mut value = serde_json::to_value(held);
        if let Ok(Value::Object(fields)) = &mut value {
            // Which snapshot it is, is asked for and no change.
            ["snapshot", "cut_ms"].iter().for_each(|name| drop(fields.remove(*name)));
        }
        value.map_err(|error| Error::Fault(format!("what is held has no JSON form: {error}")))
    };
    let (before, after) = (value(before)?, value(after)?);
    let mut fields = Vec::new();
    differ("", Some(&before), Some(&after), CHANGES_MAX, &mut fields);
    let change = |Field { path, recorded, replayed }| Change { path, before: recorded, after: replayed };
    Ok(fields.into_iter().map(change).collect())
}

/// The last decisions about a user, and the entries and orders that belong to them.
///
/// # Errors
/// As the files can be read.
pub fn recorded(job: &Job, user: User<'_>) -> Result<Recorded, Error> {
    let ledger = StorePlace::seen(job)?.read()?;
    let mut recorded = Recorded::default();
    for line in last_decisions(&job.data_dir.join(DECISIONS), user)?.into_iter().rev() {
        let id = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let (anomaly, response) = (id("anomaly_id"), id("response_id"));
        let reasons = line["reason"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let closings =
            reasons.map(|reason| Id::of("case_closed", &[anomaly.as_bytes(), reason.as_bytes()]).to_string());
        let ids: Vec<String> = closings.chain([response.clone(), anomaly.clone()]).collect();
        for id in ids {
            if let Some(found) = entry(&ledger, &id)? {
                recorded.entries.push(serde_json::from_str(&found.body).unwrap_or(Value::String(found.body)));
            }
        }
        if let Some(status) = ledger.order(&response)? {
            recorded.orders.push(json!({
                "id": status.order.id,
                "at_us": status.order.at.0,
                "state": status.state.name(),
                "held": status.held,
                "step": status.order.steps.get(status.step),
                "error": status.error,
            }));
        }
        recorded.decisions.push(line);
    }
    Ok(recorded)
}

/// The last lines about a user in the order of the file, which may be written to meanwhile.
fn last_decisions(path: &Path, user: User<'_>) -> Result<Vec<Value>, Error> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(Error::io("open", path))?,
    };
    let mut last = VecDeque::new();
    let (mut reader, mut line) = (BufReader::new(file), Vec::new());
    while reader.read_until(b'\n', &mut line).map_err(Error::io("read", path))? > 0 {
        let value: Value = serde_json::from_slice(&line).unwrap_or_default();
        if value["org"] == user.org && value["user"] == user.id {
            last.push_back(value);
        }
        if last.len() > DECISIONS_SHOWN {
            last.pop_front();
        }
        line.clear();
    }
    Ok(last.into())
}
