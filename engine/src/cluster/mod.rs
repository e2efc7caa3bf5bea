//! A job over several processes: who belongs to it, how they find each other, and how one notices that another is gone.
//! The first process leads: it knows the generation and what the job starts from, and tells the others. Every
//! connection begins with a handshake of ours (`handshake`) at a listener of ours (`door`), before timely gets the
//! socket; beside the connections for records each process holds one for control to the first (`link`), on which both
//! sides give signs of life. Going on from a large snapshot may take long, and is not what the others wait for in vain:
//! before the first process knows it answers that it is at it, and then all tell when they are through.
//!
//! A job lives and dies as a whole: who has lost another ends at once, and whoever watches starts all of them anew, as
//! the next generation. Not owned here: that watching, and the fence that keeps an older generation from writing (the
//! ledger, and whoever writes files).
//!
//! What is said after the handshake is neither encrypted nor signed: run it on loopback or a private network.

mod door;
mod handshake;
mod link;
#[cfg(test)]
mod tests;

use crate::clock::{Stopwatch, pause};
use crate::error::Error;
use crate::limits::CLUSTER_HANDSHAKE;
use door::{Arrived, Door};
use handshake::{Purpose, Refusal};
use link::Links;
use sha2::{Digest, Sha256};
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::{AllocatorBuilder, Config, Hooks};

/// Between two attempts to reach a process that does not listen yet.
const RETRY: Duration = Duration::from_millis(100);

/// Between two looks at who has arrived.
const LOOK: Duration = Duration::from_millis(5);

/// What all processes of a job know and nobody else. Prints as stars.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes a secret into keeping.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Secret(bytes.into())
    }

    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Gives 32 bytes that were never used before.
pub type Nonces = Arc<dyn Fn() -> Result<[u8; 32], Error> + Send + Sync>;

/// Hears, once or more, that another process is gone, and ends this one.
pub type Lost = Arc<dyn Fn(&str) + Send + Sync>;

/// A process of a job.
#[derive(Clone)]
pub struct Membership {
    /// Address and port of every process, the same list for all.
    pub hosts: Vec<String>,
    /// Which of them this one is.
    pub index: usize,
    /// What all of them know.
    pub secret: Secret,
    /// What the job is, see [`run_id`].
    pub run: [u8; 32],
    /// How long to wait for the others, each time that they are waited for and not known to be fetching a snapshot.
    pub start_timeout: Duration,
    /// How long another may be silent.
    pub peer_timeout: Duration,
    /// Chance comes from outside.
    pub nonces: Nonces,
    /// Set when the job is to stop. At the first process, also set when another one's is.
    pub stop: Arc<AtomicBool>,
    /// See [`Lost`].
    pub lost: Lost,
}

/// What a handshake has to agree on.
struct Terms {
    processes: usize,
    index: usize,
    secret: Secret,
    run: [u8; 32],
}

/// A digest of what must be the same in all processes of a run: what the job is, how many processes it has, and how
/// many workers each.
pub fn run_id(fingerprint: &BTreeMap<String, String>, processes: usize, workers: usize) -> [u8; 32] {
    let mut digest = Sha256::new_with_prefix(b"aerie run");
    digest.update((processes as u64).to_be_bytes());
    digest.update((workers as u64).to_be_bytes());
    for text in fingerprint.iter().flat_map(|(name, value)| [name, value]) {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    }
    digest.finalize().into()
}

/// A process that has met the first one, or is the first one and has met all others.
pub struct Gathered {
    membership: Membership,
    door: Door,
    links: Links,
    generation: u64,
    word: Vec<u8>,
    arrived: Vec<Option<TcpStream>>,
}

/// The first process, before it knows what the job starts from.
pub struct Leader {
    membership: Membership,
    door: Door,
}

impl Leader {
    /// Waits until all other processes are there, and tells them the generation and a word of at most
    /// [`crate::limits::CLUSTER_WORD_BYTES_MAX`] bytes. `None` if the job is told to stop before.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if not all others are there in time.
    pub fn gather(self, generation: u64, word: Vec<u8>) -> Result<Option<Gathered>, Error> {
        let Leader { membership, door } = self;
        door.tell(generation, word.clone());
        let links = Links::new(&membership);
        let arrived = membership.hosts.iter().map(|_| None).collect();
        let mut gathered = Gathered { membership, door, links, generation, word, arrived };
        let waiting = Stopwatch::start();
        while let Some(missing) = gathered.missing_links() {
            gathered.take_in(waiting, &missing)?;
            if gathered.membership.stop.load(Ordering::SeqCst) {
                gathered.leave();
                return Ok(None);
            }
        }
        Ok(Some(gathered))
    }
}

impl Membership {
    /// Leads: from now on the others can hear that the first process is there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the address cannot be listened on.
    pub fn lead(self) -> Result<Leader, Error> {
        let door = Door::open(self.listen()?, &self)?;
        Ok(Leader { membership: self, door })
    }

    /// Follows: finds the first process and hears the generation and its word. `None` if this process is told to stop
    /// before.
    ///
    /// # Errors
    /// As [`Membership::lead`] and [`Leader::gather`].
    pub fn join(self) -> Result<Option<Gathered>, Error> {
        let listener = self.listen()?;
        let mut waiting = Stopwatch::start();
        let (stream, generation, word) = loop {
            let refusal = match self.call(0, Purpose::Control, None) {
                Ok((_, 0, _)) => None,
                Ok(met) => break met,
                Err(refusal) => Some(refusal.why),
            };
            if self.stop.load(Ordering::SeqCst) {
                return Ok(None);
            }
            match refusal {
                None => waiting = Stopwatch::start(),
                Some(why) => self.in_time(waiting, &format!("process 0 at {}: {why}", self.hosts[0]))?,
            }
            pause(RETRY);
        };
        let door = Door::open(listener, &self)?;
        door.tell(generation, Vec::new());
        let mut links = Links::new(&self);
        links.hold(0, stream)?;
        let arrived = self.hosts.iter().map(|_| None).collect();
        Ok(Some(Gathered { membership: self, door, links, generation, word, arrived }))
    }

    fn terms(&self) -> Terms {
        let Membership { hosts, index, secret, run, .. } = self;
        Terms { processes: hosts.len(), index: *index, secret: secret.clone(), run: *run }
    }

    fn listen(&self) -> Result<TcpListener, Error> {
        let host = &self.hosts[self.index];
        TcpListener::bind(host).map_err(|error| {
            let index = self.index;
            Error::Unavailable(format!(
                "process {index} cannot listen on {host}: {error}; wait until the address is free, or choose another"
            ))
        })
    }

    /// One attempt at a connection.
    fn call(&self, to: usize, purpose: Purpose, generation: Option<u64>) -> Result<(TcpStream, u64, Vec<u8>), Refusal> {
        let failed = |why: String| Refusal { why, proved: false };
        let addresses = self.hosts[to].to_socket_addrs();
        let mut last = failed("its name has no address".to_owned());
        for address in addresses.map_err(|error| failed(error.to_string()))? {
            let stream = match TcpStream::connect_timeout(&address, CLUSTER_HANDSHAKE) {
                Ok(stream) => stream,
                Err(error) => {
                    last = failed(error.to_string());
                    continue;
                }
            };
            // A free port of this machine that is called can happen to be the caller's own.
            if stream.local_addr().ok() == stream.peer_addr().ok() {
                last = failed("it does not listen yet".to_owned());
                continue;
            }
            let nonce = (self.nonces)().map_err(|error| failed(error.to_string()))?;
            let (generation, word) = handshake::connect(&stream, &self.terms(), to, purpose, generation, nonce)?;
            return Ok((stream, generation, word));
        }
        Err(last)
    }

    /// An error once the time to wait is over.
    fn in_time(&self, waiting: Stopwatch, missing: &str) -> Result<(), Error> {
        match waiting.elapsed() < self.start_timeout {
            true => Ok(()),
            false => Err(Error::Unavailable(format!(
                "process {} has waited {:?} for {missing}; start all processes of the job with the same hosts, secret, \
                 inputs and settings",
                self.index, self.start_timeout
            ))),
        }
    }
}

impl Gathered {
    /// The generation of this run.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What the first process said.
    pub fn word(&self) -> &[u8] {
        &self.word
    }

    /// Builds the connections for records, once this process is ready to run: each calls those of a lower number and is
    /// called by the others. Then nobody is let in any more. The time to wait begins when all are ready; until then, who is
    /// silent is lost. `None` if the first process has left in order, because the job is to stop.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if not all others are there in time.
    pub fn mesh(&mut self) -> Result<Option<Mesh>, Error> {
        let (index, processes) = (self.membership.index, self.membership.hosts.len());
        self.links.tell_restored();
        let mut waiting = Stopwatch::start();
        for lower in 0..index {
            let stream = loop {
                let refusal = match self.membership.call(lower, Purpose::Data, Some(self.generation)) {
                    Ok((stream, ..)) => break stream,
                    Err(refusal) => refusal,
                };
                if self.links.left() || refusal.proved && self.first_leaves() {
                    return Ok(None);
                }
                let missing = format!("process {lower} at {}: {}", self.membership.hosts[lower], refusal.why);
                if refusal.proved {
                    // It may believe that it is connected, and will let in no second one.
                    return Err(Error::Unavailable(format!("no connection to {missing}; start all processes again")));
                }
                if !self.links.all_restored() {
                    waiting = Stopwatch::start();
                }
                self.membership.in_time(waiting, &missing)?;
                pause(RETRY);
            };
            self.arrived[lower] = Some(stream);
        }
        while let Some(missing) = (index + 1..processes).find(|higher| self.arrived[*higher].is_none()) {
            if !self.links.all_restored() {
                waiting = Stopwatch::start();
            }
            self.take_in(waiting, &format!("process {missing} to connect"))?;
            if self.links.left() {
                return Ok(None);
            }
        }
        self.door.close();
        self.links.make_whole();
        let sockets = std::mem::take(&mut self.arrived);
        for socket in sockets.iter().flatten() {
            let ready = socket.set_read_timeout(None).and_then(|()| socket.set_write_timeout(None));
            ready.map_err(|error| Error::Unavailable(format!("a connection cannot be set up: {error}")))?;
        }
        Ok(Some(Mesh { index, sockets }))
    }

    /// Says goodbye: this process has come to its end in order, and nobody is to mistake that for a loss.
    pub fn leave(mut self) {
        self.door.close();
        while let Some(Arrived { from, purpose, stream }) = self.door.next() {
            if purpose == Purpose::Control {
                // Who cannot be watched cannot be told either.
                let _ = self.links.hold(from, stream);
            }
        }
        self.links.leave();
    }

    /// Whether the first process leaves in order: its goodbye may come a little after somebody has hung up.
    fn first_leaves(&self) -> bool {
        let waiting = Stopwatch::start();
        while !self.links.left() {
            if self.links.check().is_err() || waiting.elapsed() > self.membership.peer_timeout {
                return false;
            }
            pause(LOOK);
        }
        true
    }

    fn missing_links(&self) -> Option<String> {
        let missing = (1..self.membership.hosts.len()).filter(|index| !self.links.holds(*index));
        let missing: Vec<_> = missing.map(|index| index.to_string()).collect();
        (!missing.is_empty()).then(|| format!("process {}", missing.join(", ")))
    }

    /// Takes in who has arrived, or waits a little.
    fn take_in(&mut self, waiting: Stopwatch, missing: &str) -> Result<(), Error> {
        match self.door.next() {
            Some(Arrived { from, purpose: Purpose::Control, stream }) => self.links.hold(from, stream),
            Some(Arrived { from, purpose: Purpose::Data, stream }) => {
                self.arrived[from] = Some(stream);
                Ok(())
            }
            None => {
                self.links.check()?;
                self.membership.in_time(waiting, missing)?;
                pause(LOOK);
                Ok(())
            }
        }
    }
}

/// The connections for records between all processes of a job.
pub struct Mesh {
    index: usize,
    sockets: Vec<Option<TcpStream>>,
}

/// What keeps the connections of a run: letting it go waits for all other processes to end theirs.
pub(crate) type Connections = Box<dyn Any + Send>;

impl Mesh {
    /// Of a job with one process.
    pub fn alone() -> Self {
        Mesh { index: 0, sockets: vec![None] }
    }

    /// How many processes there are.
    pub fn processes(&self) -> usize {
        self.sockets.len()
    }

    /// What timely builds its workers from, so many in this process.
    pub(crate) fn allocators(self, threads: usize) -> Result<(Vec<AllocatorBuilder>, Connections), Error> {
        let failed = |error: String| Error::Unavailable(format!("the workers could not be started: {error}"));
        let Mesh { index, sockets } = self;
        if sockets.len() == 1 {
            return Config::Process(threads).try_build().map_err(failed);
        }
        let hooks = Hooks::default();
        let inner = ProcessBuilder::new_typed_vector(threads, hooks.refill.clone(), hooks.spill.clone());
        let networked = initialize_networking_from_sockets(inner, sockets, index, threads, hooks);
        let (builders, connections) = networked.map_err(|error| failed(error.to_string()))?;
        Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), Box::new(connections)))
    }
}
