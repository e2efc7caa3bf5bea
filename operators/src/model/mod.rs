//! The domain's words: events, anomalies, decisions, control records. Owned here: their shapes, names and ids. Not
//! owned here: how bytes become them (`decode`) and what happens to them. Nothing here uses the rest of the crate.

pub mod anomaly;
pub mod change;
pub mod control;
pub mod decision;
pub mod event;
pub mod id;
pub mod reason;
pub mod software;
