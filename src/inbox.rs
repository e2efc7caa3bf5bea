//! Control records that come in while a job runs. Owned here: how one gets the time at which it takes effect, that the data
//! directory keeps it with that time, and when it is forgotten. Not owned here: who sends them (`lists`, `outcomes`), and
//! who is due one when (the engine).

use crate::input::ListChange;
use crate::job::at_whole_millis;
use connectors::store::{Comes, Keep, Kept, Store};
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

/// Most records that are taken in at once, since the flow waits meanwhile; the others are when the horizon moves again.
const TAKEN_MAX: usize = 1_000;

/// A record that came in.
struct Came {
    line: String,
    /// The settlement that it tells of, if it does.
    settlement: Option<u64>,
    /// Who waits until it is kept.
    kept: Option<Sender<()>>,
}

/// Where records are sent. Nobody takes them in any more once the job is over.
#[derive(Clone)]
pub struct Post(Sender<Came>);

impl Post {
    /// Sends a control record.
    pub fn send(&self, line: String) {
        drop(self.0.send(Came { line, settlement: None, kept: None }));
    }

    /// Sends control records, in this order. What is returned hears when all of them are kept; it is cut off when they no
    /// longer will be.
    pub fn send_all(&self, mut lines: Vec<String>) -> Receiver<()> {
        let (tell, kept) = channel();
        let last = lines.pop();
        lines.into_iter().for_each(|line| self.send(line));
        if let Some(line) = last {
            drop(self.0.send(Came { line, settlement: None, kept: Some(tell) }));
        }
        kept
    }

    /// Sends a record of what became of a response, by this settlement of the ledger.
    pub fn send_settled(&self, line: String, settlement: u64) {
        drop(self.0.send(Came { line, settlement: Some(settlement), kept: None }));
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
        let came: Vec<Came> = self.came.try_iter().take(TAKEN_MAX).collect();
        if came.is_empty() {
            return Ok(Vec::new());
        }
        let dated = |came: &Came| {
            let record = if came.settlement.is_some() { read(&came.line, 0) } else { sent(&came.line, 0) };
            let record = at_whole_millis(record?);
            Ok(ControlRecord { at: record.at.max(present), ..record })
        };
        let mut records = came.iter().map(dated).collect::<Result<Vec<_>, Error>>()?;
        let slots: Vec<String> = records.iter().map(slot).collect();
        let keep = |((came, record), slot)| {
            let Came { line, settlement, .. }: &Came = came;
            let record: &ControlRecord = record;
            Keep { at: record.at, line, comes_of: settlement.map_or(Comes::In(slot), Comes::OfSettlement) }
        };
        let keeping: Vec<_> = came.iter().zip(&records).zip(slots.iter().map(String::as_str)).map(keep).collect();
        let numbers = self.store.keep_control(&keeping)?;
        records.iter_mut().zip(numbers).for_each(|(record, number)| record.position += number);
        // Whoever waited may have gone away.
        came.iter().filter_map(|came| came.kept.as_ref()).for_each(|kept| {
            let _ = kept.send(());
        });
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.extend(records.iter().filter_map(ListChange::of));
        changes.sort_by_key(|change| change.at);
        Ok(records.into_iter().map(|record| (record.at, record)).collect())
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
        store.keep_control(&[Keep { at: Micros::ZERO, line: "{}", comes_of: Comes::In("x") }]).unwrap();
        assert!(matches!(kept(&store), Err(Error::Corrupt(_))));
    }
}
