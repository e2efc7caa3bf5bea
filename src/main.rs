//! The program: reads the command line, runs the command, and ends with the exit code that its outcome has.

use aerie::cli::{self, Cli, Failure};
use aerie::member::{LOST, is_loss};
use aerie::telemetry;
use clap::Parser;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    engine::fault::arm_points();
    // Usage errors end here with exit code 2, `--help` and `--version` with 0.
    let command = Cli::parse();
    end_at_panic();
    let done = telemetry::log_to_stderr().map_err(Failure::Usage).and_then(|()| command.execute());
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            cli::tell(&failure.to_string());
            ExitCode::from(failure.code())
        }
    }
}

/// A panic on any thread ends the process: workers wait for each other, and one that is gone would never answer. It may
/// also be how timely says that another process is gone.
fn end_at_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        if is_loss(name, panic.payload_as_str().unwrap_or_default()) {
            static TOLD: AtomicBool = AtomicBool::new(false);
            if !TOLD.swap(true, Ordering::SeqCst) {
                cli::tell("this process ends: a connection to another process is lost");
            }
            std::process::exit(i32::from(LOST));
        }
        cli::tell(&format!("internal fault on thread {name}: {panic}\nthis is a bug: please report it"));
        std::process::exit(1);
    }));
}
