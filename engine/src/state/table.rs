//! (to be written)

use super::Row;

/// Decoded rows in front of a byte store.
pub struct Table<R: Row> {
    rows: Vec<R>,
}
