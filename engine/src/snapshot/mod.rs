//! Snapshots: what one consists of (`manifest`), where they are kept (`repository`), and which one a job starts from
//! (`restore`). A snapshot exists once its manifest does, and not before. Not owned here: when one is taken (the
//! coordinator) and what is in its parts (the operators).

pub mod manifest;
pub mod repository;
pub mod restore;
