//! Keyed state through its public interface: both stores keep the contract.

use engine::state::conformance;
use engine::state::memory::MemoryStores;
use engine::state::rocks::RocksStores;

#[test]
fn the_store_in_memory_keeps_the_contract() {
    let scratch = tempfile::tempdir().unwrap();
    conformance::check(&MemoryStores, scratch.path()).unwrap();
}

#[test]
fn the_store_on_disk_keeps_the_contract() {
    let scratch = tempfile::tempdir().unwrap();
    conformance::check(&RocksStores::new(16 << 20), scratch.path()).unwrap();
}
