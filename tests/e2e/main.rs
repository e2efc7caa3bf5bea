//! The whole program from end to end: the real binary, real files, RocksDB, signals and HTTP. Each module holds one
//! promise of the contract.

#![expect(clippy::print_stdout, reason = "a test that fails shows its seed and how it came about")]

mod agents;
#[expect(dead_code, reason = "what the connector's own tests do to a broker is not all done here")]
#[path = "../../connectors/tests/support/kafka.rs"]
mod broker;
mod bucket;
mod chat_server;
mod cli;
mod clock_steps;
mod cluster;
mod conservation;
mod crash;
mod decisions;
mod determinism;
mod disk_full;
mod each_step;
mod faults;
mod follow;
mod formats;
mod garbage;
mod inputs;
mod inspect;
mod kafka;
mod lists;
mod live_faults;
#[path = "../../connectors/tests/smtp/server.rs"]
mod mail_server;
mod memory;
mod messages;
mod networks;
mod oracle;
mod outputs;
mod postgres;
mod receiver;
mod replay;
mod responses;
mod resume;
#[path = "../../engine/tests/repository/s3.rs"]
mod s3;
mod scores;
#[path = "../../engine/tests/word_count/scratch.rs"]
mod scratch;
mod serve;
#[path = "../../connectors/tests/support/postgres.rs"]
mod server;
mod sessions;
mod silent_producer;
mod slack_entries;
mod snapshots;
mod support;
mod thresholds;
