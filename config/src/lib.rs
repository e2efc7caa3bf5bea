//! The job file: what can be set, and what a checked job looks like. Owned here: the layers (shipped defaults, file,
//! environment, flags), the rules, and the problems they report. Not owned here: what a setting does; nothing here
//! opens a socket, a source or a data directory.
//!
//! Text passes through in three steps. [`layers`](Layers) puts all sources of settings over each other and keeps
//! where each value came from; the rules read that tree and collect every [`Problem`] at once; only a tree without
//! problems becomes a [`Job`].

mod chat;
mod cluster;
mod destinations;
mod detect;
mod flags;
mod job;
mod kafka;
mod layers;
mod ledger;
mod lists;
mod mail;
mod messages;
mod networks;
mod problem;
mod read;
mod respond;
mod secret;
mod sessions;
mod source;
mod units;
mod value;

pub use chat::Chat;
pub use cluster::{Cluster, Own};
pub use detect::{Detect, Volume};
pub use flags::Flags;
pub use job::{ImportedAnomalies, Job};
pub use kafka::{Kafka, KafkaLogin};
pub use layers::{JobFile, Layers};
pub use ledger::LedgerServer;
pub use lists::ThreatLists;
pub use mail::Mail;
pub use messages::Messages;
pub use problem::{Problem, Problems};
pub use respond::Respond;
pub use secret::{KeyOrigin, Secret};
pub use sessions::{CaepSessions, Sessions, SlackSessions, WebhookSessions};
pub use source::{FileSource, KafkaSource, Source, SourceKind};
pub use units::{UnitError, parse_duration, parse_size};
pub use value::Origin;

/// The defaults, as shipped: every key that has one, and what it means.
pub const DEFAULTS: &str = include_str!("../default.toml");
