//! Control connections after their handshake: signs of life both ways, the wish to stop, and the goodbye that tells an
//! end from a loss. Owned here: noticing that another process is gone. Not owned here: what follows from it.
//!
//! A message is one byte.

use super::Lost;
use crate::clock::{Stopwatch, pause};
use crate::error::Error;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// "I live."
const ALIVE: u8 = b'a';
/// "I was told to stop": from any process to the first.
const STOP: u8 = b's';
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
    patience: Duration,
    stop: Arc<AtomicBool>,
    lost: Lost,
    /// This process is saying goodbye: what others do now is no loss.
    leaving: Arc<AtomicBool>,
    /// Another process has ended in order.
    left: Arc<AtomicBool>,
    broken: Arc<AtomicBool>,
    /// All connections are there: from now on the job is a whole.
    whole: Arc<AtomicBool>,
    held: BTreeMap<usize, Held>,
}

struct Held {
    stream: TcpStream,
    threads: Vec<JoinHandle<()>>,
}

/// One connection as its threads see it.
struct Link {
    stream: TcpStream,
    /// Who is on the other side.
    other: usize,
    patience: Duration,
    stop: Arc<AtomicBool>,
    lost: Lost,
    leaving: Arc<AtomicBool>,
    left: Arc<AtomicBool>,
    broken: Arc<AtomicBool>,
    whole: Arc<AtomicBool>,
    /// The other side has ended, in order or not.
    over: AtomicBool,
}

impl Links {
    pub fn new(patience: Duration, stop: Arc<AtomicBool>, lost: Lost) -> Self {
        Links {
            patience,
            stop,
            lost,
            leaving: Arc::default(),
            left: Arc::default(),
            broken: Arc::default(),
            whole: Arc::default(),
            held: BTreeMap::new(),
        }
    }

    /// Keeps a connection of process `own` to process `other`, and watches it from now on.
    pub fn hold(&mut self, own: usize, other: usize, stream: TcpStream) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::Unavailable(format!("process {other} cannot be watched: {error}"));
        stream.set_read_timeout(Some(self.patience)).map_err(failed)?;
        stream.set_write_timeout(Some(self.patience)).map_err(failed)?;
        let link = Arc::new(Link {
            stream: stream.try_clone().map_err(failed)?,
            other,
            patience: self.patience,
            stop: self.stop.clone(),
            lost: self.lost.clone(),
            leaving: self.leaving.clone(),
            left: self.left.clone(),
            broken: self.broken.clone(),
            whole: self.whole.clone(),
            over: AtomicBool::new(false),
        });
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(format!("cluster:{name}-{other}")).spawn(work).map_err(failed)
        };
        let (hears, speaks) = (link.clone(), link);
        let threads =
            vec![spawn("hear", Box::new(move || hears.hear()))?, spawn("speak", Box::new(move || speaks.speak(own)))?];
        self.held.insert(other, Held { stream, threads });
        Ok(())
    }

    pub fn holds(&self, other: usize) -> bool {
        self.held.contains_key(&other)
    }

    /// From now on an end without a goodbye is a loss, whatever this process was told.
    pub fn make_whole(&self) {
        self.whole.store(true, Ordering::SeqCst);
    }

    /// Whether another process has ended in order.
    pub fn left(&self) -> bool {
        self.left.load(Ordering::SeqCst)
    }

    /// An error if another process was lost. Where that ends this process, nobody gets to see it.
    pub fn check(&self) -> Result<(), Error> {
        match self.broken.load(Ordering::SeqCst) {
            true => Err(Error::Unavailable("another process was lost; start all processes again".to_owned())),
            false => Ok(()),
        }
    }

    /// Says goodbye to all, and waits a little until they have heard it.
    pub fn leave(&mut self) {
        self.leaving.store(true, Ordering::SeqCst);
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
        loop {
            let mut message = [0];
            let what = match (&self.stream).read(&mut message) {
                Ok(1) if message[0] == ALIVE => continue,
                Ok(1) if message[0] == STOP => {
                    self.stop.store(true, Ordering::SeqCst);
                    continue;
                }
                Ok(1) if message[0] == BYE => {
                    self.over.store(true, Ordering::SeqCst);
                    self.left.store(true, Ordering::SeqCst);
                    // The other side waits for this. An error says that it waits no more.
                    let _ = self.stream.shutdown(Shutdown::Both);
                    return;
                }
                Ok(1) => "said what nobody understands".to_owned(),
                Ok(_) => "has ended".to_owned(),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => "has ended".to_owned(),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    format!("gave no sign of life for {:?}", self.patience)
                }
                Err(error) => format!("is out of reach: {error}"),
            };
            self.over.store(true, Ordering::SeqCst);
            return self.lose(&what);
        }
    }

    /// Gives signs of life until either side ends.
    fn speak(&self, own: usize) {
        let every = ALIVE_EVERY.min(self.patience / 4);
        let mut since: Option<Stopwatch> = None;
        let mut stopping = false;
        while !self.leaving.load(Ordering::SeqCst) && !self.over.load(Ordering::SeqCst) {
            let wish = own != 0 && !stopping && self.stop.load(Ordering::SeqCst);
            if wish || since.is_none_or(|since| since.elapsed() >= every) {
                let message = if wish { STOP } else { ALIVE };
                if let Err(error) = (&self.stream).write_all(&[message]) {
                    // The end of the other side is heard on the other thread, with its reason.
                    return tracing::debug!("process {} cannot be told anything: {error}", self.other);
                }
                stopping |= wish;
                since = Some(Stopwatch::start());
            }
            pause(LOOK);
        }
    }

    fn lose(&self, what: &str) {
        if self.stop.load(Ordering::SeqCst) && !self.whole.load(Ordering::SeqCst) {
            // Told to stop before they had begun, the others end as this one does, with or without a word.
            self.left.store(true, Ordering::SeqCst);
        } else if !self.leaving.load(Ordering::SeqCst) {
            self.broken.store(true, Ordering::SeqCst);
            (self.lost)(&format!("process {} {what}", self.other));
        }
    }
}
