//! (to be written)
pub mod journal;
