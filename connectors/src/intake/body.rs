//! A body as it comes in, and the memory for all of them.

use super::{Answer, BODIES_BYTES_MAX, BODY_BYTES_MAX, Outcome};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Memory that bodies may take.
#[derive(Debug, Default)]
pub(super) struct Budget(AtomicUsize);

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    of: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share { of: self.clone(), bytes: 0 }
    }

    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Share {
    /// Takes so many bytes more, or says that there is no room for them.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Answer> {
        let taken = self.of.0.fetch_add(bytes, Ordering::SeqCst) + bytes;
        self.bytes += bytes;
        match taken > BODIES_BYTES_MAX {
            true => Err(Answer::refused(Outcome::Busy, "too much is being posted at the same time; try again")),
            false => Ok(()),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

/// Reads a whole body.
pub(super) async fn read<B>(mut body: B, share: &mut Share, patience: Duration) -> Result<Vec<u8>, Answer>
where
    B: Body<Data = Bytes> + Unpin,
{
    let read = async {
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            // Whoever cut it off does not hear this.
            let frame = frame.map_err(|_| Answer::refused(Outcome::Invalid, "the body was cut off"))?;
            let Ok(data) = frame.into_data() else { continue };
            if data.len() > BODY_BYTES_MAX - whole.len() {
                return Err(too_large());
            }
            share.grow(data.len())?;
            whole.extend_from_slice(&data);
        }
        Ok(whole)
    };
    match tokio::time::timeout(patience, read).await {
        Ok(read) => read,
        Err(_) => {
            let why = format!("the body did not come within {} seconds", patience.as_secs());
            Err(Answer::refused(Outcome::TimedOut, why))
        }
    }
}

pub(super) fn too_large() -> Answer {
    Answer::refused(Outcome::TooLarge, format!("the body has more than {BODY_BYTES_MAX} bytes; send it in parts"))
}

/// Lets what is on its way of a small body that nobody wants arrive, so that its sender comes to read the answer.
pub(super) async fn pass_over<B>(mut body: B)
where
    B: Body<Data = Bytes> + Unpin,
{
    const BYTES_MAX: u64 = 256 << 10;
    const PATIENCE: Duration = Duration::from_secs(1);
    if body.size_hint().lower() > BYTES_MAX {
        return;
    }
    let mut left = BYTES_MAX;
    let pass = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len) as u64);
            if left == 0 {
                break;
            }
        }
    };
    // Whether it came to its end makes no difference.
    let _ = tokio::time::timeout(PATIENCE, pass).await;
}
