//! A fence around the output files of a job: only its present generation writes behind it. A process of a former one that
//! stood still and is woken may hold the files open and be about to write; what it writes is refused, also in the moment in
//! which the next generation takes over.
//!
//! The number of the generation stands in a file. Who writes holds that file's lock, shared, from reading the number to the
//! end of its write; who takes over holds it alone while it changes the number. The system lets go of the locks of a
//! process that dies.

use engine::clock::{Stopwatch, pause};
use engine::error::Error;
use engine::ledger::superseded;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a takeover waits for writes that are under way.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two attempts to take over.
const LOOK: Duration = Duration::from_millis(5);

/// Digits of a generation.
const DIGITS: usize = 20;

/// The way through a fence for one writer of one generation.
#[derive(Debug)]
pub struct Fence {
    file: File,
    path: PathBuf,
    generation: u64,
}

impl Fence {
    /// From now on `generation` writes, and no other. The fence is built if there is none. Who raises it has made sure
    /// that nobody else does, and that the number is new.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if a process stands still in the middle of a write.
    pub fn raise(path: &Path, generation: u64) -> Result<(), Error> {
        raise(path, generation, PATIENCE)
    }

    /// The way through for a writer of `generation`. Each writer has its own.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no fence.
    pub fn at(path: &Path, generation: u64) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        Ok(Fence { file, path: path.to_owned(), generation })
    }

    /// Acts, unless another generation has taken over; none does meanwhile.
    ///
    /// # Errors
    /// [`superseded`], and those of `act`.
    pub(super) fn pass<T>(&self, act: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        self.file.lock_shared().map_err(Error::io("lock", &self.path))?;
        let acted = match current(&self.file, &self.path) {
            Ok(current) if current == self.generation => act(),
            Ok(current) => Err(superseded(self.generation, current)),
            Err(error) => Err(error),
        };
        self.file.unlock().map_err(Error::io("unlock", &self.path))?;
        acted
    }
}

fn raise(path: &Path, generation: u64, patience: Duration) -> Result<(), Error> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.map_err(Error::io("open", path))?;
    let waiting = Stopwatch::start();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if waiting.elapsed() < patience => pause(LOOK),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Unavailable(format!(
                    "a process of before stands still while it writes, behind {}: end it, and start again",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
        }
    }
    // As many bytes each time, so nothing of a former number is left. It need not outlive the machine's own end: nobody is
    // left behind the fence then.
    let number = format!("{generation:0DIGITS$}\n");
    file.write_all_at(number.as_bytes(), 0).map_err(Error::io("write", path))
}

/// The generation that writes; zero before there was one.
fn current(file: &File, path: &Path) -> Result<u64, Error> {
    let mut digits = [0; DIGITS];
    let read = file.read_at(&mut digits, 0).map_err(Error::io("read", path))?;
    Ok(std::str::from_utf8(&digits[..read]).ok().and_then(|digits| digits.parse().ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::ledger::is_superseded;
    use std::sync::mpsc::channel;
    use std::thread;

    #[test]
    fn only_the_last_generation_passes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fence");
        assert!(Fence::at(&path, 1).is_err(), "there is none yet");
        Fence::raise(&path, 1).unwrap();
        let first = Fence::at(&path, 1).unwrap();
        assert_eq!(first.pass(|| Ok(7)).unwrap(), 7);
        Fence::raise(&path, 1).unwrap();
        assert!(first.pass(|| Ok(())).is_ok(), "raised by its own");
        Fence::raise(&path, 12).unwrap();
        assert!(
            first.pass(|| -> Result<(), _> { panic!("it is superseded") }).is_err_and(|error| is_superseded(&error))
        );
        assert!(Fence::at(&path, 12).unwrap().pass(|| Ok(())).is_ok());
    }

    #[test]
    fn a_takeover_waits_for_a_write_that_is_under_way_and_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fence");
        Fence::raise(&path, 1).unwrap();
        let (first, other) = (Fence::at(&path, 1).unwrap(), Fence::at(&path, 1).unwrap());
        let ((writes, writing), (go, gone)) = (channel(), channel());
        let writer = thread::spawn(move || {
            first.pass(|| {
                writes.send(()).unwrap();
                gone.recv().unwrap();
                Ok(())
            })
        });
        writing.recv().unwrap();
        other.pass(|| Ok(())).unwrap();
        let refused = raise(&path, 2, Duration::ZERO).unwrap_err();
        assert!(matches!(&refused, Error::Unavailable(text) if text.contains("stands still")), "{refused}");
        other.pass(|| Ok(())).unwrap();
        let taking = thread::spawn({
            let path = path.clone();
            move || Fence::raise(&path, 2)
        });
        go.send(()).unwrap();
        writer.join().unwrap().unwrap();
        taking.join().unwrap().unwrap();
        assert!(other.pass(|| Ok(())).is_err_and(|error| is_superseded(&error)));
    }
}
