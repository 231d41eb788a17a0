//! The store on disk does what every store must.

use quorate_rocks::{RocksOptions, RocksStore};
use quorate_storage::suite;
use std::cell::Cell;

#[test]
fn the_store_on_disk_passes_the_conformance_suite() {
    let directory = tempfile::tempdir().unwrap();
    let made = Cell::new(0);
    suite::run_all(&|| {
        made.set(made.get() + 1);
        let path = directory.path().join(made.get().to_string());
        RocksStore::open(&path, &RocksOptions::default()).unwrap()
    });
}
