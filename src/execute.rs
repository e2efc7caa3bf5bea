//! The executor: carries out what the ledger orders, beside the dataflow and in wall time, and writes the audit log as
//! the ledger grows. Owned here: the loop and its pace. Not owned here: what a step says (`operators::respond`), and
//! that it is done once (the ledger).

use crate::run::Responses;
use connectors::outbox::{self, Outbox};
use connectors::sqlite::SqliteStore;
use engine::clock::Clock;
use engine::error::Error;
use engine::fault::point;
use engine::ledger::{Claim, Entry, Ledger, Recorded, StepOutcome};
use operators::respond::steps::{Dm, EndSessions, Mail, Performance, perform};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The audit log, a projection of the ledger's entries.
pub const AUDIT: &str = "audit.ndjson";

/// Folder of messages that no server is configured for.
pub const OUTBOX: &str = "outbox";

/// How long a claimed step belongs to this executor.
const LEASE_MS: u64 = 30_000;

/// Steps claimed at once.
const CLAIMS: usize = 64;

/// Entries projected at once.
const ENTRIES: usize = 1_024;

/// How long the executor sleeps when there is nothing to do and nobody wakes it.
const PAUSE: Duration = Duration::from_millis(200);

/// Sender of mails that lie in the outbox.
const SENDER: &str = "aerie <aerie@localhost.localdomain>";

/// Wakes the executor, and tells it to end.
#[derive(Clone, Default)]
pub struct Signal(Arc<(Mutex<bool>, Condvar, AtomicBool)>);

impl Signal {
    /// There may be work.
    pub fn wake(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// No more work will come: what is due is done, then the executor ends.
    pub fn end(&self) {
        self.0.2.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn ended(&self) -> bool {
        self.0.2.load(Ordering::SeqCst)
    }

    fn wait(&self) {
        let woken = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut woken, _) =
            self.0.1.wait_timeout_while(woken, PAUSE, |woken| !*woken).unwrap_or_else(PoisonError::into_inner);
        *woken = false;
    }
}

/// Carries out orders of one ledger into one data directory.
pub struct Executor {
    ledger: SqliteStore,
    outbox: Outbox,
    audit: AuditLog,
    responses: Arc<Responses>,
    clock: Clock,
}

impl Executor {
    /// An executor that acts for `generation`.
    pub fn open(ledger: &Path, generation: u64, data_dir: &Path, responses: Arc<Responses>) -> Result<Self, Error> {
        let mut ledger = SqliteStore::open(ledger)?;
        ledger.claim_generation(generation)?;
        let audit = AuditLog::open(data_dir.join(AUDIT), &ledger)?;
        let outbox = Outbox::open(&data_dir.join(OUTBOX))?;
        Ok(Executor { ledger, outbox, audit, responses, clock: Clock::system() })
    }

    /// Works until it is told to end, or something is broken.
    pub fn run(&mut self, signal: &Signal) -> Result<(), Error> {
        loop {
            let ending = signal.ended();
            let worked = self.work()?;
            self.audit.project(&self.ledger)?;
            self.responses.open.store(self.ledger.open_orders()?, Ordering::Relaxed);
            if !worked && ending {
                return self.audit.sync();
            }
            if !worked {
                signal.wait();
            }
        }
    }

    /// Does what is due; whether there was anything.
    fn work(&mut self) -> Result<bool, Error> {
        let claims = self.ledger.claim(self.now_ms(), LEASE_MS, CLAIMS)?;
        for claim in &claims {
            point("execute.claimed")?;
            let (outcome, entries) = self.attempt(claim);
            point("execute.attempted")?;
            let recorded = self.ledger.record(claim, &outcome, &entries, self.now_ms())?;
            // A step whose lease was lost belongs to whoever holds it now, and is counted there.
            if recorded == Recorded::Applied && !matches!(outcome, StepOutcome::Done { .. }) {
                self.responses.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(!claims.is_empty())
    }

    fn attempt(&mut self, claim: &Claim) -> (StepOutcome, Vec<Entry>) {
        let done = StepOutcome::Done { detail: None };
        let performed = perform(claim.step_name(), &claim.order.payload, &claim.details).and_then(|step| match step {
            Performance::EndSessions(call) => self.end_sessions(&call).map(|()| Vec::new()),
            Performance::Entry(entry) => Ok(vec![entry]),
            Performance::Mail(mail) => self.mail(&mail).map(|()| Vec::new()),
            Performance::Dm(dm) => self.dm(&dm).map(|()| Vec::new()),
        });
        match performed {
            Ok(entries) => (done, entries),
            Err(error @ Error::Corrupt(_)) => (StepOutcome::Dead { error: error.to_string() }, Vec::new()),
            Err(error) => {
                let retry_at_ms = self.now_ms() + backoff_ms(claim.attempt);
                (StepOutcome::NotDone { retry_at_ms, error: error.to_string() }, Vec::new())
            }
        }
    }

    /// The local terminator: records the call, once per key.
    fn end_sessions(&mut self, call: &EndSessions) -> Result<(), Error> {
        if self.ledger.receipt(&call.idempotency_key, &call.body)? {
            self.responses.sessions_ended.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn mail(&mut self, mail: &Mail) -> Result<(), Error> {
        let Mail { id, to, subject, text, html, date } = mail;
        self.outbox.write_mail(&outbox::Mail { id, at: *date, from: SENDER, to, subject, text, html })?;
        self.responses.messages.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn dm(&mut self, dm: &Dm) -> Result<(), Error> {
        let json = serde_json::json!({ "id": dm.id, "to": dm.to, "text": dm.text });
        self.outbox.write_message(&dm.id, &json.to_string())?;
        self.responses.messages.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn now_ms(&self) -> u64 {
        self.clock.now().0 / 1_000
    }
}

/// Twice as long after each attempt, from half a second to five minutes.
fn backoff_ms(attempt: u32) -> u64 {
    500u64.saturating_mul(1 << attempt.min(10)).min(300_000)
}

/// The file of audit entries, which goes on from its own last line.
struct AuditLog {
    path: PathBuf,
    file: std::fs::File,
    seq: u64,
}

impl AuditLog {
    fn open(path: PathBuf, ledger: &SqliteStore) -> Result<Self, Error> {
        let options = std::fs::OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = options.map_err(Error::io("open", &path))?;
        let (length, last) = last_line(&file).map_err(Error::io("read", &path))?;
        file.set_len(length).map_err(Error::io("cut back", &path))?;
        file.seek(SeekFrom::End(0)).map_err(Error::io("seek in", &path))?;
        let seq = match last {
            None => 0,
            Some(line) => {
                let id = serde_json::from_str::<serde_json::Value>(&line).ok();
                let id = id.as_ref().and_then(|entry| entry["id"].as_str());
                let seq = id.map(|id| ledger.entry_seq(id)).transpose()?.flatten();
                seq.ok_or_else(|| {
                    Error::Corrupt(format!(
                        "the last line of {} is no entry of this job's ledger; move the file away and it is written anew",
                        path.display()
                    ))
                })?
            }
        };
        Ok(AuditLog { path, file, seq })
    }

    fn project(&mut self, ledger: &SqliteStore) -> Result<(), Error> {
        loop {
            let entries = ledger.entries_after(self.seq, ENTRIES)?;
            let Some((last, _)) = entries.last() else { return Ok(()) };
            let last = *last;
            let lines: String = entries.iter().flat_map(|(_, entry)| [entry.body.as_str(), "\n"]).collect();
            point("execute.project")?;
            self.file.write_all(lines.as_bytes()).map_err(Error::io("write", &self.path))?;
            self.seq = last;
        }
    }

    fn sync(&self) -> Result<(), Error> {
        self.file.sync_all().map_err(Error::io("sync", &self.path))
    }
}

/// How long the file is up to its last whole line, and that line.
fn last_line(file: &std::fs::File) -> std::io::Result<(u64, Option<String>)> {
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let (mut length, mut last, mut line) = (0, None, Vec::new());
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Ok((length, last));
        }
        length += read as u64;
        last = Some(String::from_utf8_lossy(&line).into_owned());
    }
}
