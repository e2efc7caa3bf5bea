//! What goes wrong beside the flow ends the run, as what goes wrong within it does.

use super::run::{Variant, output, words, words_in};
use super::scratch;
use super::stream::{Shape, lines, scatter, stream};
use engine::error::Error;
use engine::flow::Ended;
use engine::metrics::Phase;
use engine::state::memory::MemoryStores;
use engine::state::store::{ByteStore, CheckpointFile, Stores, Visit, Writes};
use engine::time::Stamp;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Stores that settle so many checkpoints together and no more.
struct Brittle(Arc<AtomicU64>);

struct BrittleStore(Arc<dyn ByteStore>, Arc<AtomicU64>);

impl Stores for Brittle {
    fn create(&self, folder: &Path) -> Result<Arc<dyn ByteStore>, Error> {
        Ok(Arc::new(BrittleStore(MemoryStores.create(folder)?, self.0.clone())))
    }

    fn restore(&self, folder: &Path, from: &[PathBuf], groups: Range<u16>) -> Result<Arc<dyn ByteStore>, Error> {
        Ok(Arc::new(BrittleStore(MemoryStores.restore(folder, from, groups)?, self.0.clone())))
    }
}

impl ByteStore for BrittleStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.0.get(key)
    }

    fn get_sorted(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.0.get_sorted(keys)
    }

    fn write(&self, writes: &Writes) -> Result<(), Error> {
        self.0.write(writes)
    }

    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        self.0.scan(prefix, visit)
    }

    fn cut(&self, folder: &Path) -> Result<(), Error> {
        self.0.cut(folder)
    }

    fn settle(&self, folder: &Path) -> Result<Vec<CheckpointFile>, Error> {
        let left = self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map_err(|_| Error::Unavailable("the disk is full".to_owned()))?;
        self.0.settle(folder)
    }

    fn expire_before(&self, stamp: Stamp) {
        self.0.expire_before(stamp);
    }
}

/// Stores of which the one of an operator cannot be made.
struct Without(&'static str);

impl Stores for Without {
    fn create(&self, folder: &Path) -> Result<Arc<dyn ByteStore>, Error> {
        if folder.ends_with(format!("{}.0", self.0)) {
            return Err(Error::Unfit("it does not fit".to_owned()));
        }
        MemoryStores.create(folder)
    }

    fn restore(&self, folder: &Path, from: &[PathBuf], groups: Range<u16>) -> Result<Arc<dyn ByteStore>, Error> {
        MemoryStores.restore(folder, from, groups)
    }
}

/// Half assembled, a dataflow has ends that are connected to nothing; that must not hide why.
#[test]
fn what_keeps_a_dataflow_from_being_assembled_is_told() {
    for operator in ["count", "learn", "writer"] {
        for workers in [1, 2] {
            let folder = scratch::folder();
            let variant = Variant { workers, ..Variant::default() };
            let broken = words_in(folder.path(), &[vec![]], &variant, Arc::new(Without(operator)));
            assert!(matches!(&broken.ended, Err(Error::Unfit(text)) if text == "it does not fit"), "{broken:?}");
        }
    }
}

#[test]
fn a_checkpoint_that_fails_beside_the_flow_ends_the_run_and_loses_nothing() {
    const SHAPE: Shape = Shape { records: 6_000, pace: 20_000_000, disorder: 0, late_one_in: 0, late_by: 1 };
    let partitions = scatter(&lines(&stream(600, SHAPE)), 2, 600);
    let whole = scratch::folder();
    words(whole.path(), &partitions, &Variant::default());
    for settled in [0, 1, 5, 6, 11] {
        let folder = scratch::folder();
        // The last snapshot alone takes a checkpoint of each of three operators on each of two workers.
        let variant = Variant { workers: 2, block: 7, snapshot_every: Duration::ZERO, ..Variant::default() };
        let stores = Arc::new(Brittle(Arc::new(AtomicU64::new(settled))));
        let broken = words_in(folder.path(), &partitions, &variant, stores);
        assert!(
            matches!(&broken.ended, Err(Error::Unavailable(text)) if text == "the disk is full"),
            "{settled}: {broken:?}"
        );
        let mended = words(folder.path(), &partitions, &variant);
        assert!(matches!(mended.ended, Ok(Ended::Complete)), "{settled}: {mended:?}");
        assert_eq!(output(folder.path()), output(whole.path()), "{settled}");
        for phase in Phase::ALL {
            let spent = mended.phases.of(phase);
            assert!(
                spent.stretches >= 6 && 0.0 < spent.longest && spent.longest <= spent.seconds,
                "{phase:?}: {spent:?}"
            );
        }
    }
}
