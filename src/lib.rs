//! The program: how the parts become a job, and what a person at a terminal or a browser sees of it.

pub mod cli;
pub mod execute;
mod holds;
pub mod inbox;
pub mod ingest;
pub mod input;
pub mod inspect;
pub mod job;
pub mod lists;
pub mod member;
pub mod outcomes;
pub mod progress;
pub mod replay;
pub mod run;
pub mod secrets;
pub mod serve;
pub mod store;
pub mod supervise;
pub mod telemetry;
pub mod templates;
