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

/// Frozen rows that a keyed operator encodes for a checkpoint before records get their turn again, and their bytes: one
/// to two milliseconds of work, at some three microseconds for a row of 200 bytes that has left the processor's caches.
pub const SLICE_ROWS: usize = 512;
/// See [`SLICE_ROWS`]. Also the bytes that go to the store at a time.
pub const SLICE_BYTES: usize = 128 << 10;

/// One in this many bytes of a table's budget may lie beside its rows while a checkpoint is under way: once on their way
/// to the store, and once more waiting for the checkpoint's files. Beyond it the flow is held.
pub const BESIDE_SHARE: usize = 8;
/// The least that may lie there, for very small budgets.
pub const BESIDE_MIN: usize = 8 * SLICE_BYTES;

/// How far sources may run ahead, in event time, of what the last operator has applied. Without it the records that
/// wait for their thresholds grow to a fifth of the input.
pub const LEAD_MAX: Stamp = Span::from_hours(2).millis();

/// Records that sources may run ahead of what the last operator has applied, per worker. Beyond it they go on only as
/// far in event time as progress needs ([`HORIZON_LEAD_MIN`]): memory must not grow with how many records there are to
/// an hour of event time.
pub const LEAD_RECORDS_MAX: u64 = 1 << 15;

/// How far the horizon is moved ahead of the sources at least and at most. Where sources are live it is always the least:
/// their time may come down to the wall's rate at any moment, and what is cut at the horizon must come through soon.
pub const HORIZON_LEAD_MIN: Stamp = 1_000;
/// See [`HORIZON_LEAD_MIN`]. Below [`LEAD_MAX`], so that the horizon itself never waits for an operator.
pub const HORIZON_LEAD_MAX: Stamp = Span::from_hours(1).millis();

const _: () = assert!(HORIZON_LEAD_MAX < LEAD_MAX && HORIZON_LEAD_MIN <= HORIZON_LEAD_MAX);

/// Questions about rows that wait for the coordinator; it looks a hundred times a second.
pub const QUESTIONS_MAX: usize = 64;

/// How long a handshake between two processes may take as a whole. An honest one takes milliseconds.
pub const CLUSTER_HANDSHAKE: Duration = Duration::from_secs(5);

/// Handshakes that go on at once at one process; one more ends the oldest, which has had the most time.
pub const CLUSTER_HANDSHAKES_MAX: usize = 64;

/// Bytes of the word that goes with a generation.
pub const CLUSTER_WORD_BYTES_MAX: usize = 4_096;
