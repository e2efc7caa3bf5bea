//! (merging)
