//! Files of lines. Owned here: reading lines with their positions, telling whether a file is still the one of a former
//! run, and append-only output that can be cut back and that one generation writes. Not owned here: what a line means.

mod durable;
mod fence;
mod identity;
mod ordered;
mod partition;
mod reader;

pub use durable::replace;
pub use fence::Fence;
pub use identity::{FileIdentity, Sameness, identity};
pub use ordered::{Length, OrderedFile};
pub use partition::FilePartition;
pub use reader::{HEAD_BYTES, LINE_BYTES_MAX, Line, LineBatch, LineReader, Mode, Read};

pub(crate) use durable::sync_folder_of;
pub(crate) use identity::{digest, sha256};
pub(crate) use partition::BLOCK_BYTES;
