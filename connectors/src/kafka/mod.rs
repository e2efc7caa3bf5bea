//! Topics of Apache Kafka as sources. Owned here: how its brokers are reached, which partitions a topic has and from where
//! to where, and reading each from an offset. A job's snapshots alone say where it reads on: the client's group says so
//! to lag tools, once a snapshot exists, and decides nothing. Not owned here: what a message means.

mod brokers;
mod consumer;
mod partition;
mod topic;

pub use brokers::{Brokers, Login, Mechanism, Tls};
pub use partition::{KafkaPartition, Stretch};
pub use topic::{Source, Topic};
