//! The domain: what activity is, what is anomalous in it, what is decided about that, and what a response says.
//! Plain functions and keyed logics; the engine moves the records, connectors touch the outside world.

pub mod baseline;
pub mod decide;
pub mod decode;
pub mod detect;
pub mod evaluate;
pub mod limits;
pub mod model;
pub mod policy;
pub mod respond;
pub mod sample;
