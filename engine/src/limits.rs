//! Every bound of the engine, with its reason, and the relations between them.

use crate::time::{Span, Stamp};
use std::time::Duration;

/// Records waiting in a partition because they are far ahead; one more is rejected. Honest partitions have none or,
/// around a gap, one.
pub const WAITING_MAX: usize = 100;

/// Records of a batch that a source emits at once. The cost of progress tracking is per batch.
pub const BATCH_RECORDS_MAX: usize = 4_096;

/// Batches that one activation of the sources reads before other operators of the worker get their turn.
pub const BATCHES_PER_TURN: usize = 4;

/// Records that an operator reads rows ahead for and applies as one step.
pub const STEP_RECORDS_MAX: usize = 4_096;

/// How far sources may run ahead, in event time, of what the last operator has applied. Without it the records that
/// wait for their thresholds grow to a fifth of the input.
pub const LEAD_MAX: Stamp = Span::from_hours(2).millis();

/// How far the horizon is moved ahead of the sources at least and at most.
pub const HORIZON_LEAD_MIN: Stamp = 1_000;
/// See [`HORIZON_LEAD_MIN`]. Below [`LEAD_MAX`], so that the horizon itself never waits for an operator.
pub const HORIZON_LEAD_MAX: Stamp = Span::from_hours(1).millis();

const _: () = assert!(HORIZON_LEAD_MAX < LEAD_MAX && HORIZON_LEAD_MIN <= HORIZON_LEAD_MAX);

/// How long a handshake between two processes may take as a whole. An honest one takes milliseconds.
pub const CLUSTER_HANDSHAKE: Duration = Duration::from_secs(5);

/// Handshakes that go on at once at one process; one more ends the oldest, which has had the most time.
pub const CLUSTER_HANDSHAKES_MAX: usize = 64;

/// Bytes of the word that goes with a generation.
pub const CLUSTER_WORD_BYTES_MAX: usize = 4_096;
