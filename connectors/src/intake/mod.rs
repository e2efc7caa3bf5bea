//! What is posted to a job over HTTP. Owned here: who is let in, every bound of a request, and how it is unpacked and
//! answered. Not owned here: what becomes of a body, which a [`Taker`] says.
//!
//! Whoever can reach the port can send anything. So a request is refused as early as it can be: by its head, before there
//! is memory for its body; by how much the bodies of all requests take; by how long it takes to come; by what it unpacks
//! to while it is unpacked.

mod answer;
mod body;
mod server;
mod tokens;
mod unpack;

pub use answer::{Answer, Counts, Outcome};
pub use server::{Serving, serve};
pub use tokens::{TOKEN_BYTES, Tokens};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Most bytes of a body, as it is sent and as it is unpacked.
pub const BODY_BYTES_MAX: usize = 10 << 20;

/// How many times longer than what was sent a body may be when it is unpacked: several times what lines compress to.
const RATIO_MAX: usize = 100;

/// A body that unpacks to no more than this may have any ratio.
const RATIO_FREE_BYTES: usize = 64 << 10;

/// Memory for the bodies of all requests together.
const BODIES_BYTES_MAX: usize = 256 << 20;

/// Most connections at the same time; more wait in the system's queue.
const CONNECTIONS_MAX: u32 = 512;

/// Most requests of one bearer at the same time.
const IN_FLIGHT_MAX: usize = 100;

/// Most bytes of a request's head, and most headers.
const HEAD_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;

/// How long a head may take, and how long a connection may be silent between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a body may take, from its first byte to its last.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection is kept; what is under way then is finished.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(300);

/// How long what is under way has to finish when a connection is to close.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// When whoever was told to come again should do so.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a server is started with.
pub struct Settings {
    /// Where it listens; port 0 is any free one.
    pub listen: SocketAddr,
    /// Who is let in.
    pub tokens: Tokens,
    /// Where may be posted to.
    pub paths: &'static [&'static str],
    /// What becomes of it.
    pub taker: Arc<dyn Taker>,
    /// Where answers are counted.
    pub counts: Arc<Counts>,
}

/// A body as it was posted, unpacked.
pub struct Posted {
    /// Which of the paths it was posted to.
    pub path: usize,
    /// Whose token came with it.
    pub bearer: usize,
    /// All of it.
    pub body: Vec<u8>,
}

/// Takes what is posted.
pub trait Taker: Send + Sync {
    /// Asked before a body is read: an answer if it is not to be.
    fn refuses(&self, path: usize, bearer: usize) -> Option<Answer>;

    /// Takes a body in, on a thread that may wait. Once this has answered that it is accepted, it lasts.
    fn take(&self, posted: Posted) -> Answer;
}

#[cfg(test)]
mod tests;
