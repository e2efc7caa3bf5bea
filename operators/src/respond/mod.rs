//! Respond: what a response says and in which steps it is carried out. Owned here: the audit entries, the messages to
//! people, the steps of a response, and the sink that hands both to the ledger. Not owned here: what is decided
//! (`decide`), and the calls, mails and direct messages themselves (executors, over connectors).

pub mod audit;
pub mod changed;
pub mod evidence;
pub mod message;
pub mod repeats;
pub mod sink;
pub mod steps;
pub mod templates;
#[cfg(test)]
mod tests;
pub mod words;

pub use sink::{Respond, RespondRecord};
