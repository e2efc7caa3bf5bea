//! The outside world: files, stores and messages as bytes, positions and calls. Owned here: how they are read, written
//! and made durable. Not owned here: what they mean.

pub mod file;
pub mod http;
pub mod kafka;
pub mod mail;
pub mod outbox;
pub mod reach;
pub mod sign;
pub mod smtp;
pub mod store;
