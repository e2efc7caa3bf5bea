//! A stream that cannot be asked again, copied into an inbox. One thread reads while another appends, so that what comes in
//! during a sync is appended together.

use super::{Cutter, Inbox};
use engine::clock::pause;
use engine::error::Error;
use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How much is read at once.
const PIECE_BYTES: usize = 256 << 10;

/// So many pieces may wait to be appended.
const PIECES: usize = 16;

/// How long until it is looked again whether there is room.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A copy under way; it ends when this is dropped.
#[derive(Debug)]
pub struct Copying {
    stop: Arc<AtomicBool>,
    appends: Option<JoinHandle<()>>,
}

impl Drop for Copying {
    /// Takes nothing more from the stream, and waits until what was taken is appended. Who waits for the stream to give
    /// something is left waiting.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(appends) = self.appends.take() {
            // If it panicked, what it did not append is not there.
            let _ = appends.join();
        }
    }
}

/// Copies lines from `from`, called `name` in messages, to the inbox, and closes it at the end of the stream. While there
/// is no `room`, nothing is read. `failed` hears what ends the copy before that.
///
/// # Errors
/// [`Error::Unavailable`] if there can be no threads.
pub fn copy(
    from: impl Read + Send + 'static,
    name: &'static str,
    inbox: Arc<Inbox>,
    room: impl Fn() -> bool + Send + 'static,
    failed: impl Fn(Error) + Send + 'static,
) -> Result<Copying, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let (to, pieces) = sync_channel(PIECES);
    let stopped = stop.clone();
    let may_read = move || {
        while !stopped.load(Ordering::SeqCst) {
            if room() {
                return true;
            }
            pause(LOOK_AGAIN);
        }
        false
    };
    let spawn = |what: &str, act: Box<dyn FnOnce() + Send>| {
        let thread = thread::Builder::new().name(format!("{name} {what}")).spawn(act);
        thread.map_err(|error| Error::Unavailable(format!("there can be no thread that copies {name}: {error}")))
    };
    spawn("read", Box::new(move || read(from, &to, may_read)))?;
    let stopped = stop.clone();
    let append = move || {
        if let Err(error) = append(&pieces, name, &inbox, &stopped) {
            failed(error);
        }
    };
    Ok(Copying { stop, appends: Some(spawn("append", Box::new(append))?) })
}

/// A piece of the stream; an empty one is its end.
type Piece = Result<Vec<u8>, std::io::Error>;

fn read(mut from: impl Read, to: &SyncSender<Piece>, may_read: impl Fn() -> bool) {
    while may_read() {
        let mut piece = vec![0; PIECE_BYTES];
        let read = match from.read(&mut piece) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
            Ok(count) => {
                piece.truncate(count);
                Ok(piece)
            }
        };
        let ends = read.as_ref().map_or(true, Vec::is_empty);
        if to.send(read).is_err() || ends {
            return;
        }
    }
}

fn append(pieces: &Receiver<Piece>, name: &str, inbox: &Inbox, stopped: &AtomicBool) -> Result<(), Error> {
    let (mut cutter, mut lines) = (Cutter::default(), Vec::new());
    loop {
        let first = match pieces.recv_timeout(LOOK_AGAIN) {
            Ok(piece) => piece,
            Err(RecvTimeoutError::Timeout) if !stopped.load(Ordering::SeqCst) => continue,
            Err(_) => return Ok(()),
        };
        let mut ended = None;
        for piece in std::iter::once(first).chain(pieces.try_iter()) {
            match piece {
                Ok(piece) if piece.is_empty() => ended = Some(Ok(())),
                Ok(piece) => cutter.push(&piece, &mut lines),
                Err(error) => ended = Some(Err(error)),
            }
        }
        if let Some(Ok(())) = ended {
            cutter.end(&mut lines);
        }
        inbox.append(&lines)?;
        lines.clear();
        match ended {
            None => {}
            Some(Ok(())) => return inbox.close(),
            Some(Err(error)) => return Err(Error::io("read", name)(error)),
        }
    }
}
