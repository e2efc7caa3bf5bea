//! SIGINT and SIGTERM: the first one asks the job to stop with a last snapshot, the second one ends the process.

use super::{Failure, tell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// From here on signals set `stop` instead of ending the process.
pub(super) fn stop_on_signal(stop: Arc<AtomicBool>) -> Result<(), Failure> {
    let refuse = |error| Failure::Failed(format!("cannot listen for signals: {error}"));
    let runtime = Builder::new_current_thread().enable_io().build().map_err(refuse)?;
    let (interrupt, terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt()).map_err(refuse)?, signal(SignalKind::terminate()).map_err(refuse)?)
    };
    let wait = move || runtime.block_on(obey(interrupt, terminate, &stop));
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).map_err(refuse)?;
    Ok(())
}

async fn obey(mut interrupt: Signal, mut terminate: Signal, stop: &AtomicBool) {
    loop {
        let code = tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
        };
        if stop.swap(true, Ordering::SeqCst) {
            std::process::exit(code);
        }
        tell("stopping; once more to end at once");
    }
}
