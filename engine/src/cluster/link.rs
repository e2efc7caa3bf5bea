//! Control connections after their handshake: signs of life both ways, the wish to stop, and the goodbye that tells an
//! end from a loss. Owned here: noticing that another process is gone. Not owned here: what follows from it.
//!
//! A message is one byte.

use super::{Lost, Membership};
use crate::clock::{Stopwatch, pause};
use crate::error::Error;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// "I live."
const ALIVE: u8 = b'a';
/// "I was told to stop": from any process to the first.
const STOP: u8 = b's';
/// "I am ready to run", to the first process; from it: "and so are all".
const RESTORED: u8 = b'r';
/// "I have ended in order."
const BYE: u8 = b'b';

/// Between two signs of life, at most; less where little silence is allowed.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// Between two looks at whether there is anything to say.
const LOOK: Duration = Duration::from_millis(20);

/// How long a goodbye waits for the other side's.
const BYE_TIMEOUT: Duration = Duration::from_secs(1);

/// The control connections of a process, by the number of the other one.
pub(super) struct Links {
    common: Arc<Common>,
    held: BTreeMap<usize, Held>,
}

struct Held {
    stream: TcpStream,
    threads: Vec<JoinHandle<()>>,
}

/// What all connections of a process share.
struct Common {
    own: usize,
    /// From how many others it is to be heard that they are ready.
    others: usize,
    patience: Duration,
    stop: Arc<AtomicBool>,
    lost: Lost,
    /// This process is saying goodbye: what others do now is no loss.
    leaving: AtomicBool,
    /// Another process has ended in order.
    left: AtomicBool,
    broken: AtomicBool,
    /// All connections are there: from now on the job is a whole.
    whole: AtomicBool,
    /// This process is ready to run, and so many others have said that they are.
    restored: AtomicBool,
    heard: AtomicUsize,
}

/// One connection as its threads see it.
struct Link {
    common: Arc<Common>,
    stream: TcpStream,
    /// Who is on the other side.
    other: usize,
    /// The other side has ended, in order or not.
    over: AtomicBool,
}

impl Common {
    /// Whether this process may say that it is ready: the first one says so for all.
    fn is_ready(&self) -> bool {
        self.restored.load(Ordering::SeqCst) && (self.own != 0 || self.all_restored())
    }

    fn all_restored(&self) -> bool {
        self.heard.load(Ordering::SeqCst) >= self.others
    }
}

impl Links {
    pub fn new(membership: &Membership) -> Self {
        let own = membership.index;
        let common = Common {
            own,
            others: if own == 0 { membership.hosts.len() - 1 } else { 1 },
            patience: membership.peer_timeout,
            stop: membership.stop.clone(),
            lost: membership.lost.clone(),
            leaving: AtomicBool::default(),
            left: AtomicBool::default(),
            broken: AtomicBool::default(),
            whole: AtomicBool::default(),
            restored: AtomicBool::default(),
            heard: AtomicUsize::default(),
        };
        Links { common: Arc::new(common), held: BTreeMap::new() }
    }

    /// Keeps a connection to process `other`, and watches it from now on.
    pub fn hold(&mut self, other: usize, stream: TcpStream) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::Unavailable(format!("process {other} cannot be watched: {error}"));
        stream.set_read_timeout(Some(self.common.patience)).map_err(failed)?;
        stream.set_write_timeout(Some(self.common.patience)).map_err(failed)?;
        let link = Arc::new(Link {
            common: self.common.clone(),
            stream: stream.try_clone().map_err(failed)?,
            other,
            over: AtomicBool::new(false),
        });
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(format!("cluster:{name}-{other}")).spawn(work).map_err(failed)
        };
        let (hears, speaks) = (link.clone(), link);
        let threads =
            vec![spawn("hear", Box::new(move || hears.hear()))?, spawn("speak", Box::new(move || speaks.speak()))?];
        self.held.insert(other, Held { stream, threads });
        Ok(())
    }

    pub fn holds(&self, other: usize) -> bool {
        self.held.contains_key(&other)
    }

    /// Lets the others know that this process is ready to run.
    pub fn tell_restored(&self) {
        self.common.restored.store(true, Ordering::SeqCst);
    }

    /// Whether all processes are, as far as this one has heard.
    pub fn all_restored(&self) -> bool {
        self.common.all_restored()
    }

    /// From now on an end without a goodbye is a loss, whatever this process was told.
    pub fn make_whole(&self) {
        self.common.whole.store(true, Ordering::SeqCst);
    }

    /// Whether another process has ended in order.
    pub fn left(&self) -> bool {
        self.common.left.load(Ordering::SeqCst)
    }

    /// An error if another process was lost. Where that ends this process, nobody gets to see it.
    pub fn check(&self) -> Result<(), Error> {
        match self.common.broken.load(Ordering::SeqCst) {
            true => Err(Error::Unavailable("another process was lost; start all processes again".to_owned())),
            false => Ok(()),
        }
    }

    /// Says goodbye to all, and waits a little until they have heard it.
    pub fn leave(&mut self) {
        self.common.leaving.store(true, Ordering::SeqCst);
        for Held { stream, .. } in self.held.values_mut() {
            // Whoever cannot be told has ended before.
            let _ = stream.write_all(&[BYE]);
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.set_read_timeout(Some(BYE_TIMEOUT));
        }
        let waiting = Stopwatch::start();
        let threads: Vec<_> = std::mem::take(&mut self.held).into_values().flat_map(|held| held.threads).collect();
        while waiting.elapsed() < BYE_TIMEOUT && threads.iter().any(|thread| !thread.is_finished()) {
            pause(LOOK);
        }
    }
}

impl Link {
    /// Reads until the other side ends.
    fn hear(&self) {
        let common = &self.common;
        loop {
            let mut message = [0];
            let what = match (&self.stream).read(&mut message) {
                Ok(1) if message[0] == ALIVE => continue,
                Ok(1) if message[0] == STOP => {
                    common.stop.store(true, Ordering::SeqCst);
                    continue;
                }
                Ok(1) if message[0] == RESTORED => {
                    common.heard.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                Ok(1) if message[0] == BYE => {
                    self.over.store(true, Ordering::SeqCst);
                    common.left.store(true, Ordering::SeqCst);
                    // The other side waits for this. An error says that it waits no more.
                    let _ = self.stream.shutdown(Shutdown::Both);
                    return;
                }
                Ok(1) => "said what nobody understands".to_owned(),
                Ok(_) => "has ended".to_owned(),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => "has ended".to_owned(),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    format!("gave no sign of life for {:?}", common.patience)
                }
                Err(error) => format!("is out of reach: {error}"),
            };
            self.over.store(true, Ordering::SeqCst);
            return self.lose(&what);
        }
    }

    /// Gives signs of life until either side ends.
    fn speak(&self) {
        let common = &self.common;
        let every = ALIVE_EVERY.min(common.patience / 4);
        let mut since: Option<Stopwatch> = None;
        let (mut stopping, mut ready) = (false, false);
        while !common.leaving.load(Ordering::SeqCst) && !self.over.load(Ordering::SeqCst) {
            let message = if common.own != 0 && !stopping && common.stop.load(Ordering::SeqCst) {
                STOP
            } else if !ready && common.is_ready() {
                RESTORED
            } else {
                ALIVE
            };
            if message != ALIVE || since.is_none_or(|since| since.elapsed() >= every) {
                if let Err(error) = (&self.stream).write_all(&[message]) {
                    // The end of the other side is heard on the other thread, with its reason.
                    return tracing::debug!("process {} cannot be told anything: {error}", self.other);
                }
                stopping |= message == STOP;
                ready |= message == RESTORED;
                since = Some(Stopwatch::start());
            }
            pause(LOOK);
        }
    }

    fn lose(&self, what: &str) {
        let common = &self.common;
        if common.stop.load(Ordering::SeqCst) && !common.whole.load(Ordering::SeqCst) {
            // Told to stop before they had begun, the others end as this one does, with or without a word.
            common.left.store(true, Ordering::SeqCst);
        } else if !common.leaving.load(Ordering::SeqCst) {
            common.broken.store(true, Ordering::SeqCst);
            (common.lost)(&format!("process {} {what}", self.other));
        }
    }
}
