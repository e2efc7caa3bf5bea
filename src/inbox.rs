//! Control records that come in while a job runs. Owned here: how one gets the time at which it takes effect, that the data
//! directory keeps it with that time, and when it is forgotten. Not owned here: who sends them (`lists`, `outcomes`), and
//! who is due one when (the engine).

use crate::input::ListChange;
use crate::job::at_whole_millis;
use connectors::store::{Kept, Store};
use engine::error::Error;
use engine::snapshot::repository::Repository;
use engine::source::scheduled::Arrivals;
use engine::time::Micros;
use operators::decode::control::{parse_control, parse_outcome};
use operators::model::control::{ControlRecord, ControlValue};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Records that came in while a job ran stand behind those of all its files.
const POSITIONS: u64 = 1 << 32;

/// A record that came in: its line, and the settlement that it tells of, if it does.
struct Came {
    line: String,
    settlement: Option<u64>,
}

/// Where records are sent. Nobody takes them in any more once the job is over.
#[derive(Clone)]
pub struct Post(Sender<Came>);

impl Post {
    /// Sends a control record.
    pub fn send(&self, line: String) {
        drop(self.0.send(Came { line, settlement: None }));
    }

    /// Sends a record of what became of a response, by this settlement of the ledger.
    pub fn send_settled(&self, line: String, settlement: u64) {
        drop(self.0.send(Came { line, settlement: Some(settlement) }));
    }
}

/// Records on their way into the dataflow.
pub struct Arrived {
    came: Receiver<Came>,
    store: Store,
    changes: Arc<Mutex<Vec<ListChange>>>,
}

/// A new inbox, and where it is sent to. What it takes in is kept in `store`, and changes of lists are told to `changes`.
pub fn inbox(store: Store, changes: Arc<Mutex<Vec<ListChange>>>) -> (Post, Arrived) {
    let (to, came) = channel();
    (Post(to), Arrived { came, store, changes })
}

/// The records that came in while a job ran, each with the time that it was given.
///
/// # Errors
/// As the store fails; [`Error::Corrupt`] for a record that cannot be read.
pub fn kept(store: &Store) -> Result<Vec<ControlRecord>, Error> {
    let record = |Kept { seq, at, line }: Kept| Ok(ControlRecord { at, ..read(&line, seq)? });
    store.control()?.into_iter().map(record).collect()
}

/// Forgets what nobody needs who starts from a snapshot that is kept. One that cannot be read might need any record.
///
/// # Errors
/// As the store and the repository fail.
pub fn forget(store: &mut Store, repository: &Repository) -> Result<(), Error> {
    let found = repository.list()?.into_iter();
    let cuts: Option<Vec<_>> = found.map(|found| Some(found.manifest.ok()?.at)).collect();
    match cuts.into_iter().flatten().min() {
        Some(oldest) => store.forget_control(Micros::from_stamp(oldest)),
        None => Ok(()),
    }
}

/// A record that was taken in before.
fn read(line: &str, seq: u64) -> Result<ControlRecord, Error> {
    parse_outcome(line, POSITIONS + seq).map_or_else(|| sent(line, seq), Ok)
}

/// A record as anybody may send it. What became of a response is nobody's to say but the ledger's.
fn sent(line: &str, seq: u64) -> Result<ControlRecord, Error> {
    parse_control(line.as_bytes(), POSITIONS + seq).map_err(|problems| {
        let what = problems.first().map(ToString::to_string).unwrap_or_default();
        Error::Corrupt(format!(
            "control record {seq} in the control store cannot be read: {what}; restore it from a copy"
        ))
    })
}

/// What a record replaces: the one before of the same kind, org and key.
fn slot(record: &ControlRecord) -> String {
    let kind = match &record.value {
        ControlValue::User(_) => "user",
        ControlValue::Settings(_) => "settings",
        ControlValue::AllowList(_) => "allow_list",
        ControlValue::Workspace(_) => "workspace",
        ControlValue::Switch(_) => "control",
        ControlValue::ThreatList(_) => "threat_list",
        ControlValue::Outcome(_) => "outcome",
    };
    // In quotes, or the names of one org could be put together to those of another.
    format!("{kind} {:?} {:?}", record.org, record.key)
}

impl Arrivals<ControlRecord> for Arrived {
    fn take(&mut self, present: Micros) -> Result<Vec<(Micros, ControlRecord)>, Error> {
        let mut taken = Vec::new();
        for Came { line, settlement } in self.came.try_iter() {
            let record = if settlement.is_some() { read(&line, 0) } else { sent(&line, 0) };
            let mut record = at_whole_millis(record?);
            record.at = record.at.max(present);
            record.position += match settlement {
                Some(settlement) => self.store.keep_settled(record.at, settlement, &line)?,
                None => self.store.keep_control(record.at, &slot(&record), &line)?,
            };
            let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
            changes.extend(ListChange::of(&record));
            changes.sort_by_key(|change| change.at);
            taken.push((record.at, record));
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use operators::decode::control::{exits_record, outcome_line};
    use operators::model::control::Ended;
    use operators::model::id::Id;
    use std::collections::BTreeSet;

    #[test]
    fn a_record_replaces_none_of_another_org() {
        let slot = |org: &str, key: &str| {
            let line = serde_json::json!({"kind": "user", "org": org, "key": key, "value": null, "date_create": 1});
            super::slot(&sent(&line.to_string(), 0).unwrap())
        };
        assert_ne!(slot("E1 U1", "X"), slot("E1", "U1 X"));
        assert_ne!(slot("E1\" \"U1", "X"), slot("E1", "U1\" \"X"));
        assert_eq!(slot("E1", "U1"), slot("E1", "U1"));
    }

    #[test]
    fn a_record_comes_into_the_dataflow_once_with_a_time_that_lasts() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Store::open_file(&folder.path().join("control.sqlite")).unwrap();
        let changes = Arc::new(Mutex::new(Vec::new()));
        let (post, mut arrived) = inbox(open(), changes.clone());
        let exits = |address: &str| BTreeSet::from([address.parse().unwrap()]);
        let at = Micros::from_secs;
        assert!(arrived.take(at(50)).unwrap().is_empty());
        post.send(exits_record(&exits("192.0.2.1"), at(100)));
        post.send(exits_record(&exits("192.0.2.2"), at(300)));
        post.send_settled(outcome_line(&Id("r1".into()), "E1", "U1", Ended::No, at(60)), 7);
        let taken = arrived.take(at(200)).unwrap();
        let times: Vec<_> = taken.iter().map(|(at, record)| (at.secs(), record.at.secs())).collect();
        assert_eq!(times, [(200, 200), (300, 300), (200, 200)], "two are due now, one has its own time");
        assert!(arrived.take(at(400)).unwrap().is_empty());
        let records: Vec<_> = taken.into_iter().map(|(_, record)| record).collect();
        assert_eq!(kept(&open()).unwrap(), records, "a restart finds what was applied");
        assert!(records.windows(2).all(|pair| pair[0].position < pair[1].position && pair[0].position > POSITIONS));
        let changed: Vec<_> = changes.lock().unwrap().iter().map(|change: &ListChange| change.at.secs()).collect();
        assert_eq!(changed, [200, 300]);

        post.send(outcome_line(&Id("r2".into()), "E1", "U1", Ended::No, at(60)));
        assert!(arrived.take(at(500)).is_err(), "only the ledger says what became of a response");

        let mut store = open();
        assert_eq!(store.settled_heard().unwrap(), 7);
        store.forget_control(at(199)).unwrap();
        assert_eq!(kept(&store).unwrap().len(), 3);
        store.forget_control(at(250)).unwrap();
        assert_eq!(kept(&store).unwrap(), records[..2], "what became of a response is in every snapshot since");
        store.forget_control(at(300)).unwrap();
        assert_eq!(kept(&store).unwrap(), records[1..2]);
        assert_eq!(store.settled_heard().unwrap(), 7);
        store.keep_control(Micros::ZERO, "x", "{}").unwrap();
        assert!(matches!(kept(&store), Err(Error::Corrupt(_))));
    }
}
