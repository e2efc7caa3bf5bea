//! The handshake of a connection between two processes of a job. Who connects proves first that it knows the secret, so
//! that a stranger learns nothing but the generation; then who accepts proves it too. Both proofs cover everything that
//! was said and a nonce of either side, so neither can be used again, turned round, or moved to another connection.
//! Owned here: the messages, their proofs and their deadline. Not owned here: who may connect when (`door`).
//!
//! ```text
//! connects → accepts   hello: tag, version, purpose, from, to, generation (0 if it asks for it), run, nonce
//! connects ← accepts   welcome: generation (0 if there is none yet: come again), nonce
//! connects → accepts   HMAC-SHA256 over "connects" and all of the above
//! connects ← accepts   length and bytes of the word that goes with the generation, HMAC-SHA256 over "accepts", all of
//!                      the above and the word
//! ```

use super::Terms;
use crate::clock::Stopwatch;
use crate::limits::{CLUSTER_HANDSHAKE, CLUSTER_WORD_BYTES_MAX};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Opens every connection, and is bound into every proof.
const TAG: &[u8; 8] = b"aerie-pc";

/// Version of the handshake and of what is spoken after it.
const VERSION: u16 = 2;

const NONCE: usize = 32;
const HELLO: usize = TAG.len() + 2 + 1 + 4 + 4 + 8 + 32 + NONCE;
const WELCOME: usize = 8 + NONCE;
const PROOF: usize = 32;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Purpose {
    /// The generation, signs of life, the end.
    Control = 1,
    /// Records.
    Data = 2,
}

/// Why a connection came to nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The end of a sentence about the other side.
    pub why: String,
    /// Whether our proof was sent already: the other side knows who we are and did not want us.
    pub proved: bool,
}

impl Refusal {
    fn new(why: impl Into<String>) -> Self {
        Refusal { why: why.into(), proved: false }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Refusal::new(match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => "it did not say enough in time".to_owned(),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "it hung up".to_owned(),
            _ => error.to_string(),
        })
    }
}

/// Connects as who we are. Returns the generation, zero if there is none yet, and, on a control connection, the word that
/// goes with it.
pub(super) fn connect(
    stream: &TcpStream,
    terms: &Terms,
    to: usize,
    purpose: Purpose,
    generation: Option<u64>,
    nonce: [u8; NONCE],
) -> Result<(u64, Vec<u8>), Refusal> {
    let mut line = Line::new(stream)?;
    let mut said = hello(terms, to, purpose, generation.unwrap_or_default(), nonce);
    line.write(&said)?;
    let mut welcome = [0; WELCOME];
    line.read(&mut welcome)?;
    said.extend_from_slice(&welcome);
    let theirs = number(&welcome);
    if generation.is_some_and(|generation| generation != theirs) {
        return Err(Refusal::new(format!("it is of generation {theirs}")));
    }
    line.write(&proof(terms, b"connects", &said).finalize().into_bytes())?;
    let word = conclude(&mut line, terms, said).map_err(|refusal| Refusal { proved: true, ..refusal })?;
    Ok((theirs, word))
}

/// The other side's proof, and its word.
fn conclude(line: &mut Line<'_>, terms: &Terms, mut said: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    let word = line.read_word()?;
    said.extend_from_slice(&word);
    let mut tag = [0; PROOF];
    line.read(&mut tag)?;
    let known = proof(terms, b"accepts", &said).verify_slice(&tag);
    known.map(|()| word).map_err(|_| Refusal::new("it does not know the secret"))
}

/// What the side that accepts knows.
pub(super) struct Host<'a> {
    /// The job and this process.
    pub terms: &'a Terms,
    /// The present generation.
    pub generation: u64,
    /// Told to who is let in by a control connection.
    pub word: &'a [u8],
}

/// Hears out who connected. `seat` is asked once the other side has proved itself, and says whether it is let in.
pub(super) fn accept(
    stream: &TcpStream,
    host: &Host<'_>,
    nonce: [u8; NONCE],
    seat: impl FnOnce(usize, Purpose) -> bool,
) -> Result<(usize, Purpose), Refusal> {
    let Host { terms, generation, word } = host;
    let mut line = Line::new(stream)?;
    let mut said = vec![0; HELLO];
    line.read(&mut said)?;
    let (from, purpose) = judge(terms, *generation, &said)?;
    let mut welcome = generation.to_be_bytes().to_vec();
    welcome.extend_from_slice(&nonce);
    line.write(&welcome)?;
    said.extend_from_slice(&welcome);
    let mut tag = [0; PROOF];
    line.read(&mut tag)?;
    let known = proof(terms, b"connects", &said).verify_slice(&tag);
    known.map_err(|_| Refusal::new("it does not know the secret"))?;
    if !seat(from, purpose) {
        return Err(Refusal::new(format!("it is a second process {from}, or the first one connects twice")));
    }
    let word = if purpose == Purpose::Control { word } else { &[][..] };
    let mut last = (word.len() as u32).to_be_bytes().to_vec();
    last.extend_from_slice(word);
    said.extend_from_slice(word);
    last.extend_from_slice(&proof(terms, b"accepts", &said).finalize().into_bytes());
    line.write(&last)?;
    Ok((from, purpose))
}

/// Who says hello, and what for, if that fits.
fn judge(terms: &Terms, generation: u64, hello: &[u8]) -> Result<(usize, Purpose), Refusal> {
    let (head, rest) = hello.split_at(TAG.len() + 2);
    if head != [TAG.as_slice(), &VERSION.to_be_bytes()].concat() {
        return Err(Refusal::new("it speaks something else, or another version"));
    }
    let purpose = match rest.first() {
        Some(1) => Purpose::Control,
        Some(2) => Purpose::Data,
        _ => return Err(Refusal::new("it wants something unknown")),
    };
    let (from, to, theirs) = (small(&rest[1..5]), small(&rest[5..9]), number(&rest[9..17]));
    if rest[17..49] != terms.run {
        return Err(Refusal::new("it runs another job, or this one with other inputs, settings, processes or workers"));
    }
    // Control connections go to the first process, data connections to those of a lower number.
    let fits = match purpose {
        Purpose::Control => terms.index == 0 && theirs == 0,
        Purpose::Data => generation > 0 && theirs == generation,
    };
    match from < terms.processes && from > terms.index && to == terms.index {
        true if fits => Ok((from, purpose)),
        true => Err(Refusal::new(format!("process {from} is of generation {theirs}, this one of {generation}"))),
        false => Err(Refusal::new(format!("it says that it is process {from} and means process {to}"))),
    }
}

fn hello(terms: &Terms, to: usize, purpose: Purpose, generation: u64, nonce: [u8; NONCE]) -> Vec<u8> {
    let mut hello = Vec::with_capacity(HELLO + WELCOME);
    hello.extend_from_slice(TAG);
    hello.extend_from_slice(&VERSION.to_be_bytes());
    hello.push(purpose as u8);
    hello.extend_from_slice(&(terms.index as u32).to_be_bytes());
    hello.extend_from_slice(&(to as u32).to_be_bytes());
    hello.extend_from_slice(&generation.to_be_bytes());
    hello.extend_from_slice(&terms.run);
    hello.extend_from_slice(&nonce);
    hello
}

/// Everything before the word has a fixed length, so that no two different things read the same.
fn proof(terms: &Terms, side: &[u8], said: &[u8]) -> Hmac<Sha256> {
    let mut proof = Hmac::<Sha256>::new_from_slice(terms.secret.bytes()).expect("HMAC takes keys of any length");
    proof.update(side);
    proof.update(said);
    proof
}

fn small(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// One side of a handshake in progress: all that is read and written has to be so before one deadline.
struct Line<'a> {
    stream: &'a TcpStream,
    since: Stopwatch,
}

impl<'a> Line<'a> {
    fn new(stream: &'a TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        Ok(Line { stream, since: Stopwatch::start() })
    }

    fn left(&self) -> io::Result<Duration> {
        let left = CLUSTER_HANDSHAKE.saturating_sub(self.since.elapsed());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    fn read(&mut self, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.set_read_timeout(Some(self.left()?))?;
            match self.stream.read(bytes) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => bytes = &mut bytes[read..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // What is written is shorter than any send buffer, so one timeout is the deadline.
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write_all(bytes)
    }

    fn read_word(&mut self) -> Result<Vec<u8>, Refusal> {
        let mut length = [0; 4];
        self.read(&mut length)?;
        let length = small(&length);
        if length > CLUSTER_WORD_BYTES_MAX {
            return Err(Refusal::new(format!("it sends a word of {length} bytes")));
        }
        let mut word = vec![0; length];
        self.read(&mut word)?;
        Ok(word)
    }
}
