//! Snapshots: what one consists of (`manifest`), where they are kept (`repository`, over `objects`), the files in them
//! (`shelf`), which are kept (`retention`), who writes them while a job runs (`publisher`), and which one a job starts
//! from (`restore`). A snapshot exists once its manifest does, and not before. Not owned here: when one is taken (the
//! coordinator) and what is in its parts (the operators).

pub mod manifest;
pub mod objects;
pub mod publisher;
pub mod repository;
pub mod restore;
pub mod retention;
pub mod shelf;
