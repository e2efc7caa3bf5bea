//! A stream engine on timely dataflow whose clock is event time: keyed state, consistent snapshots, exact recovery.
//! It knows keys, records, time and bytes, and nothing of what they mean.

pub mod clock;
pub mod cluster;
pub mod coordinator;
pub mod error;
pub mod fault;
pub mod flow;
pub mod key;
pub mod keyed;
pub mod ledger;
pub mod limits;
pub mod metrics;
pub mod profile;
pub mod snapshot;
pub mod source;
pub mod state;
pub mod time;
pub mod window;
pub mod writer;
