//! What becomes of responses, on its way back into the dataflow: sessions that were not ended are not over, and what goes
//! on in them is to be answered again. Owned here: the thread that reads what came to rest in the ledger, and what that says
//! of sessions. On its way it throws the kill switch in wall time. Not owned here: how a record comes into the dataflow
//! (`inbox`) and what it changes there (`operators`).

use crate::holds::Holds;
use crate::inbox::{Post, forget};
use connectors::store::Store;
use engine::clock::Clock;
use engine::error::Error;
use engine::ledger::{AttemptResult, Ledger, Settlement, State};
use engine::snapshot::repository::Repository;
use engine::time::Micros;
use operators::decode::control::outcome_line;
use operators::model::control::Ended;
use operators::model::id::Id;
use operators::respond::steps::{END_SESSIONS, ends_sessions_of};
use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Settlements read at once.
const PAGE: usize = 1_024;

/// How often the ledger and the clock are looked at.
const EVERY: Duration = Duration::from_millis(200);

/// The thread. It ends when this is dropped.
pub struct Outcomes {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Outcomes {
    /// Starts to read `store`, and to send what comes of it to `post`.
    ///
    /// # Errors
    /// As the store fails, or if there can be no thread for it.
    pub(crate) fn start(store: Store, repository: Repository, holds: Holds, post: Post) -> Result<Self, Error> {
        let heard = Heard { through: 0, told: store.settled_heard()?, unanswered: BTreeSet::new() };
        let mut errand = Errand { store, repository, holds, heard, post, clock: Clock::system() };
        let (stop, stopped) = channel();
        let run = move || errand.run(&stopped);
        let thread = std::thread::Builder::new()
            .name("outcomes".to_owned())
            .spawn(run)
            .map_err(|error| Error::Unavailable(format!("nobody can hear what becomes of responses: {error}")))?;
        Ok(Outcomes { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Outcomes {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has ended the process.
            let _ = thread.join();
        }
    }
}

/// What the thread works with.
struct Errand {
    store: Store,
    repository: Repository,
    holds: Holds,
    heard: Heard,
    post: Post,
    clock: Clock,
}

impl Errand {
    fn run(&mut self, stopped: &Receiver<()>) {
        loop {
            if let Err(error) = self.look() {
                tracing::warn!(target: "aerie::outcomes", "what became of responses is not known for now: {error}");
            }
            match stopped.recv_timeout(EVERY) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn look(&mut self) -> Result<(), Error> {
        let mut any = false;
        loop {
            // Before each page: there may be years of them, and the switch waits for nobody.
            let now = self.clock.now();
            self.holds.throw(&mut self.store, now)?;
            let page = self.store.settled_after(self.heard.through, PAGE)?;
            for settlement in &page {
                if let Some(line) = self.heard.hear(&self.store, settlement, now)? {
                    self.post.send_settled(line, settlement.seq);
                    any = true;
                }
            }
            if page.len() < PAGE {
                break;
            }
        }
        if any { forget(&mut self.store, &self.repository) } else { Ok(()) }
    }
}

/// What was heard of the ledger.
struct Heard {
    /// The last settlement that was read.
    through: u64,
    /// The last that a record was kept of, in an earlier run.
    told: u64,
    /// Orders of which it was told that sessions were not ended, as far as is known, and not that they were since.
    unanswered: BTreeSet<String>,
}

impl Heard {
    /// Hears of a settlement. Gives the record to send, if it is news.
    fn hear(&mut self, ledger: &dyn Ledger, settlement: &Settlement, now: Micros) -> Result<Option<String>, Error> {
        let id = &settlement.order;
        let unended = unended(ledger, settlement)?;
        let ended = unended.or_else(|| self.unanswered.contains(id).then_some(Ended::AfterAll));
        let line = match ended.filter(|_| settlement.seq > self.told) {
            Some(ended) => line_of(ledger, id, ended, now)?,
            None => None,
        };
        match unended {
            Some(_) => self.unanswered.insert(id.clone()),
            None => self.unanswered.remove(id),
        };
        self.through = settlement.seq;
        Ok(line)
    }
}

/// The record of what became of an order; `None` if it ends no sessions.
fn line_of(ledger: &dyn Ledger, id: &str, ended: Ended, now: Micros) -> Result<Option<String>, Error> {
    let Some(status) = ledger.order(id)? else { return Ok(None) };
    let ends = ends_sessions_of(&status.order.payload)?;
    Ok(ends.map(|(org, user)| outcome_line(&Id(id.to_owned()), &org, &user, ended, now)))
}

/// Whether sessions were not ended when an order came to rest; `None` if they were.
fn unended(ledger: &dyn Ledger, settlement: &Settlement) -> Result<Option<Ended>, Error> {
    if settlement.state == State::Done {
        return Ok(None);
    }
    let mut doubtful = settlement.state == State::Unknown;
    let Some(status) = ledger.order(&settlement.order)? else { return Ok(None) };
    let Some(ends) = status.order.steps.iter().position(|step| step == END_SESSIONS) else { return Ok(None) };
    for attempt in ledger.trail(&settlement.order)?.iter().filter(|attempt| attempt.step == ends) {
        let by_then = attempt.ended_ms.is_some_and(|ended| ended <= settlement.at_ms);
        match attempt.result {
            AttemptResult::Done if by_then => return Ok(None),
            AttemptResult::Unknown | AttemptResult::Lost => doubtful |= by_then,
            _ => {}
        }
    }
    Ok(Some(if doubtful { Ended::Unknown } else { Ended::No }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::ledger::{Ask, Batch, Claim, StepOutcome};
    use operators::decide::decide;
    use operators::model::anomaly::Anomaly;
    use operators::model::event::{KeyKind, Person, Place};
    use operators::model::reason::Reason;
    use operators::respond::steps::{LANES, order};

    fn anomaly(n: u64) -> Anomaly {
        let text = String::new;
        let person = Person { id: "U1".to_owned(), name: text(), email: "u1@example.org".to_owned(), team: text() };
        Anomaly {
            id: Id::of("anomaly", &[&n.to_le_bytes()]),
            at: Micros(n),
            time: Micros(n),
            org: "E1".to_owned(),
            user: "U1".to_owned(),
            kind: KeyKind::User,
            reasons: vec![Reason::Tor],
            evidence: Vec::new(),
            actor: person,
            place: Place { kind: text(), id: text(), name: text(), domain: text() },
            ua: text(),
            session: None,
            ip_address: text(),
            previous_ip_address: text(),
            previous_ua: text(),
            location: text(),
            first_seen: Micros(n),
            marks: Vec::new(),
            by_app: false,
            is_external: None,
            imported: false,
        }
    }

    /// A ledger with an order for sessions, its audit entry and a mail; and the order's id.
    fn ordered(store: &mut Store, n: u64) -> String {
        let decision = decide(anomaly(n), &Default::default(), &Default::default(), &Default::default());
        let order = order(&decision).expect("it is answered");
        let id = order.id.clone();
        store.issue(&Batch { orders: vec![order], ..Batch::default() }, Micros(n)).unwrap();
        id
    }

    fn claim(store: &mut Store, id: &str, now_ms: u64) -> Claim {
        let ask = Ask { lanes: &LANES, now_ms, lease_ms: 100, limit: 10, per_group: 10 };
        let mut claims = store.claim(&ask).unwrap();
        claims.retain(|claim| claim.order.id == id);
        claims.pop().expect("it is due")
    }

    fn attempt(store: &mut Store, id: &str, now_ms: u64, outcome: &StepOutcome) {
        let claim = claim(store, id, now_ms);
        let recorded = store.record(&claim, outcome, &[], now_ms + 1).unwrap();
        assert_eq!(recorded, engine::ledger::Recorded::Applied);
    }

    /// What is heard of everything since `told`.
    fn heard(store: &Store, told: u64) -> Vec<(u64, String, Ended)> {
        let mut heard = Heard { through: 0, told, unanswered: BTreeSet::new() };
        let lines = store.settled_after(0, 100).unwrap().into_iter().filter_map(|settlement| {
            let line = heard.hear(store, &settlement, Micros(5)).unwrap()?;
            let record = operators::decode::control::parse_outcome(&line, 0).expect("it can be read again");
            let operators::model::control::ControlValue::Outcome(settled) = record.value else { panic!("{line}") };
            assert_eq!((&*record.org, &*settled.user), ("E1", "U1"));
            Some((settlement.seq, record.key, settled.ended))
        });
        lines.collect()
    }

    const DONE: StepOutcome = StepOutcome::Done { detail: None };

    fn dead() -> StepOutcome {
        StepOutcome::Dead { error: "refused".to_owned() }
    }

    fn unknown(retry_at_ms: Option<u64>) -> StepOutcome {
        StepOutcome::Unknown { retry_at_ms, error: "no answer".to_owned() }
    }

    #[test]
    fn what_says_that_sessions_were_not_ended_is_heard_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open_file(&folder.path().join("control.sqlite")).unwrap();
        let store = &mut store;
        let done = ordered(store, 1);
        (0..3).for_each(|n| attempt(store, &done, 10 + 10 * n, &DONE));
        // The sessions were ended, the mail could not be sent.
        let untold = ordered(store, 2);
        attempt(store, &untold, 100, &DONE);
        attempt(store, &untold, 110, &DONE);
        attempt(store, &untold, 120, &dead());
        let refused = ordered(store, 3);
        attempt(store, &refused, 200, &dead());
        let expired = ordered(store, 4);
        attempt(store, &expired, 300, &StepOutcome::Expired { error: "late".to_owned() });
        let nobody_knows = ordered(store, 5);
        attempt(store, &nobody_knows, 400, &unknown(None));
        // Refused in the end, but an earlier attempt may have reached somebody.
        let doubtful = ordered(store, 6);
        attempt(store, &doubtful, 500, &unknown(Some(510)));
        attempt(store, &doubtful, 520, &dead());
        // One that never was tried again after an unknown attempt, and one that was.
        let repeated = ordered(store, 7);
        attempt(store, &repeated, 600, &unknown(Some(610)));
        (0..3).for_each(|n| attempt(store, &repeated, 620 + 10 * n, &DONE));
        let news: Vec<(String, Ended)> = heard(store, 0).into_iter().map(|(_, id, ended)| (id, ended)).collect();
        let expected = [
            (refused.clone(), Ended::No),
            (expired, Ended::No),
            (nobody_knows.clone(), Ended::Unknown),
            (doubtful, Ended::Unknown),
        ];
        assert_eq!(news, expected);

        // By hand it was done after all, and once more not.
        assert!(store.retry(&refused, 700).unwrap() && store.retry(&nobody_knows, 700).unwrap());
        let last = store.settled_after(0, 100).unwrap().last().unwrap().seq;
        attempt(store, &refused, 800, &DONE);
        assert!(heard(store, last).is_empty(), "it has not come to rest");
        attempt(store, &refused, 900, &DONE);
        attempt(store, &refused, 1_000, &dead());
        attempt(store, &nobody_knows, 1_100, &dead());
        let news: Vec<(String, Ended)> = heard(store, last).into_iter().map(|(_, id, ended)| (id, ended)).collect();
        assert_eq!(news, [(refused, Ended::AfterAll), (nobody_knows, Ended::Unknown)], "that doubt remains");
        let last = store.settled_after(0, 100).unwrap().last().unwrap().seq;
        assert!(heard(store, last).is_empty(), "what was told before is no news after a restart");
    }
}
