//! Syncs, restarts, damage and the lock.

use quorate_rocks::{RocksOptions, RocksStore};
use quorate_storage::{Durability, Family, Snapshot, Store, StoreError, WriteBatch};
use std::fs;
use std::path::{Path, PathBuf};

fn open(path: &Path) -> RocksStore {
    RocksStore::open(path, &RocksOptions::default()).expect("the store opens")
}

fn put(store: &RocksStore, key: &str, value: &str, durability: Durability) {
    let mut batch = WriteBatch::new();
    batch.put(Family::Votes, key, value);
    store.write(batch, durability).expect("the store writes");
}

/// The write-ahead log written last.
fn log_of(path: &Path) -> PathBuf {
    let entries = fs::read_dir(path).expect("the directory is there");
    let files = entries.map(|entry| entry.expect("the directory can be read").path());
    let logs = files.filter(|path| path.extension().is_some_and(|end| end == "log"));
    logs.max().expect("an open store has a log")
}

/// As the machine would leave the directory if it lost power now, with all written bytes on disk.
fn copy_of(path: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a temporary directory");
    for entry in fs::read_dir(path).expect("the directory is there") {
        let entry = entry.expect("the directory can be read");
        if entry.file_name() != "LOCK" {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("files are copied");
        }
    }
    copy
}

#[test]
fn a_synced_write_syncs_the_log_and_a_buffered_one_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let before = store.metrics().log_syncs;
    put(&store, "a", "1", Durability::Buffered);
    assert_eq!(store.metrics().log_syncs, before);
    for done in 1..=3 {
        put(&store, "b", "2", Durability::Synced);
        assert_eq!(store.metrics().log_syncs, before + done);
    }
    let metrics = store.metrics();
    assert_eq!((metrics.writes, metrics.synced_writes, metrics.changes), (4, 3, 4));
    assert_eq!(metrics.bytes, 8);
    assert!(store.residence().write_buffer_bytes > 0);
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    assert!(!RocksStore::exists(directory.path()));
    for restart in 0..3 {
        let store = open(directory.path());
        assert!(RocksStore::exists(directory.path()));
        let found = store.scan(Family::Votes, b"", b"", 9).unwrap();
        assert_eq!(found.len(), restart);
        put(&store, &restart.to_string(), "value", Durability::Synced);
    }
}

#[test]
fn a_directory_in_use_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let refused = RocksStore::open(directory.path(), &RocksOptions::default()).unwrap_err();
    assert_eq!(refused, StoreError::Locked { path: directory.path().to_owned() });
    assert!(refused.to_string().contains("another process"));
    drop(store);
    open(directory.path());
}

#[test]
fn a_snapshot_outlives_the_store_s_handle() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    put(&store, "a", "1", Durability::Synced);
    let snapshot = store.snapshot().unwrap();
    put(&store, "a", "2", Durability::Synced);
    drop(store);
    let read = move || snapshot.get(Family::Votes, b"a").unwrap();
    let found = std::thread::spawn(read).join().unwrap();
    assert_eq!(found.as_deref(), Some(&b"1"[..]));
    open(directory.path());
}

#[test]
fn a_torn_tail_of_the_log_loses_only_what_was_torn() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    put(&store, "a", "1", Durability::Synced);
    let whole = fs::metadata(log_of(directory.path())).unwrap().len();
    put(&store, "b", &"2".repeat(5000), Durability::Buffered);
    let written = fs::metadata(log_of(directory.path())).unwrap().len();
    assert!(written > whole + 5000);
    for length in [whole, whole + 1, whole + 2500, written - 1] {
        let copy = copy_of(directory.path());
        let log = fs::OpenOptions::new().write(true).open(log_of(copy.path())).unwrap();
        log.set_len(length).unwrap();
        let store = open(copy.path());
        assert_eq!(store.get(Family::Votes, b"a").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(store.get(Family::Votes, b"b").unwrap(), None, "cut at {length}");
    }
    let copy = copy_of(directory.path());
    assert!(open(copy.path()).get(Family::Votes, b"b").unwrap().is_some(), "nothing was torn");
}

#[test]
fn a_log_record_with_a_flipped_byte_is_found_when_the_store_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let first = fs::metadata(log_of(directory.path())).unwrap().len() as usize;
    for number in 0..20 {
        put(&store, &number.to_string(), &"value".repeat(40), Durability::Synced);
    }
    let end = fs::metadata(log_of(directory.path())).unwrap().len() as usize;
    for position in (first + 20..end - 20).step_by(97) {
        let copy = copy_of(directory.path());
        let mut bytes = fs::read(log_of(copy.path())).unwrap();
        bytes[position] ^= 0x10;
        fs::write(log_of(copy.path()), bytes).unwrap();
        let opened = RocksStore::open(copy.path(), &RocksOptions::default());
        let found = match opened {
            Ok(store) => store.scan(Family::Votes, b"", b"", 99).map(|found| found.len()),
            Err(error) => Err(error),
        };
        assert!(matches!(found, Err(StoreError::CorruptFiles { .. })), "byte {position}: {found:?}");
    }
}
