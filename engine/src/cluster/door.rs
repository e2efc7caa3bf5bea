//! The door of a process: its listener, where each who knocks is heard out on a thread of its own, so that a slow or
//! silent stranger delays nobody. Owned here: who is let in, once each. Not owned here: how they prove themselves.

use super::handshake::{Host, Purpose, accept};
use super::{Membership, Nonces, Terms};
use crate::clock::pause;
use crate::error::Error;
use crate::limits::CLUSTER_HANDSHAKES_MAX;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Between two looks at the listener.
const LOOK: Duration = Duration::from_millis(5);

/// Who was let in.
pub(super) struct Arrived {
    pub from: usize,
    pub purpose: Purpose,
    pub stream: TcpStream,
}

/// An open door; closed when it is dropped.
pub(super) struct Door {
    porter: Arc<Porter>,
    closed: Arc<AtomicBool>,
    arrived: Receiver<Arrived>,
    listening: Option<JoinHandle<()>>,
}

struct Porter {
    terms: Terms,
    /// The generation and its word. Before they are known, who proves itself hears of generation zero, and is to come
    /// again.
    told: Mutex<(u64, Vec<u8>)>,
    nonces: Nonces,
    seats: Mutex<BTreeSet<(Purpose, usize)>>,
    /// Handshakes that go on, the oldest first.
    knocking: Mutex<BTreeMap<u64, TcpStream>>,
}

impl Door {
    /// Opens by way of this listener. Nobody is let in before [`Door::tell`].
    pub fn open(listener: TcpListener, membership: &Membership) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::Unavailable(format!("nobody can be let in: {error}"));
        listener.set_nonblocking(true).map_err(failed)?;
        let porter = Arc::new(Porter {
            terms: membership.terms(),
            told: Mutex::default(),
            nonces: membership.nonces.clone(),
            seats: Mutex::default(),
            knocking: Mutex::default(),
        });
        let closed = Arc::new(AtomicBool::new(false));
        let (sender, arrived) = channel();
        let (host, watch) = (porter.clone(), closed.clone());
        let listen = move || listen(&listener, &host, &sender, &watch);
        let listening = thread::Builder::new().name("cluster:door".to_owned()).spawn(listen).map_err(failed)?;
        Ok(Door { porter, closed, arrived, listening: Some(listening) })
    }

    /// From now on others are let in, and told this.
    pub fn tell(&self, generation: u64, word: Vec<u8>) {
        *lock(&self.porter.told) = (generation, word);
    }

    /// Who was let in since the last look.
    pub fn next(&self) -> Option<Arrived> {
        self.arrived.try_recv().ok()
    }

    /// Listens no more.
    pub fn close(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        if let Some(listening) = self.listening.take() {
            // A panic has ended the process already.
            let _ = listening.join();
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.close();
    }
}

fn listen(listener: &TcpListener, porter: &Arc<Porter>, arrived: &Sender<Arrived>, closed: &AtomicBool) {
    let mut number = 0;
    while !closed.load(Ordering::SeqCst) {
        match listener.accept() {
            Ok((stream, address)) => {
                number += 1;
                let (porter, arrived) = (porter.clone(), arrived.clone());
                porter.clone().admit(number, stream, address, arrived);
            }
            Err(error) => {
                if error.kind() != ErrorKind::WouldBlock {
                    tracing::warn!("a connection could not be accepted: {error}");
                }
                pause(LOOK);
            }
        }
    }
    // Who is still at the door would wait for an answer that cannot come.
    lock(&porter.knocking).values().for_each(hang_up);
}

impl Porter {
    /// Hears somebody out on a thread of its own.
    fn admit(self: Arc<Self>, number: u64, stream: TcpStream, address: SocketAddr, arrived: Sender<Arrived>) {
        let Ok(handle) = stream.try_clone() else { return };
        {
            let mut knocking = lock(&self.knocking);
            knocking.insert(number, handle);
            if knocking.len() > CLUSTER_HANDSHAKES_MAX
                && let Some((_, oldest)) = knocking.pop_first()
            {
                hang_up(&oldest);
            }
        }
        let hear = move || {
            let heard = self.hear(&stream);
            lock(&self.knocking).remove(&number);
            match heard {
                // Nobody listens any more once the door is closed.
                Ok(Some((from, purpose))) => drop(arrived.send(Arrived { from, purpose, stream })),
                Ok(None) => {}
                Err(why) => tracing::warn!("a connection from {address} is dropped: {why}"),
            }
        };
        if let Err(error) = thread::Builder::new().name("cluster:knock".to_owned()).spawn(hear) {
            tracing::warn!("a connection from {address} is dropped: {error}");
        }
    }

    /// Who it is; `None` if it is to come again.
    fn hear(&self, stream: &TcpStream) -> Result<Option<(usize, Purpose)>, String> {
        let nonce = (self.nonces)().map_err(|error| error.to_string())?;
        let (generation, word) = lock(&self.told).clone();
        let host = Host { terms: &self.terms, generation, word: &word };
        let seat = |from, purpose| generation == 0 || lock(&self.seats).insert((purpose, from));
        let heard = accept(stream, &host, nonce, seat).map_err(|refusal| refusal.why)?;
        Ok((generation > 0).then_some(heard))
    }
}

/// An error says that the other side has hung up before.
fn hang_up(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
