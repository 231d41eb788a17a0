//! Crashes and faults of the store in memory.

use super::*;

fn put(store: &MemoryStore, key: &str, value: &str, durability: Durability) -> Result<(), StoreError> {
    let mut batch = WriteBatch::new();
    batch.put(Family::Votes, key, value);
    store.write(batch, durability)
}

fn value(store: &MemoryStore, key: &str) -> Option<String> {
    let value = store.get(Family::Votes, key.as_bytes()).unwrap();
    value.map(|value| String::from_utf8(value).unwrap())
}

#[test]
fn a_crash_keeps_a_prefix_of_the_unsynced_batches() {
    for keep in 0..=3 {
        let store = MemoryStore::new();
        put(&store, "a", "0", Durability::Buffered).unwrap();
        put(&store, "b", "0", Durability::Synced).unwrap();
        put(&store, "a", "1", Durability::Buffered).unwrap();
        put(&store, "a", "2", Durability::Buffered).unwrap();
        let mut batch = WriteBatch::new();
        batch.put(Family::Votes, "c", "3");
        batch.put(Family::Votes, "c", "4");
        batch.delete(Family::Votes, "a");
        store.write(batch, Durability::Buffered).unwrap();
        assert_eq!(store.unsynced(), 3);
        store.crash(keep);
        let a = [Some("0"), Some("1"), Some("2"), None][keep].map(str::to_owned);
        assert_eq!(value(&store, "a"), a, "{keep} kept");
        assert_eq!(value(&store, "b").as_deref(), Some("0"));
        assert_eq!(value(&store, "c").is_some(), keep == 3);
        assert_eq!(store.unsynced(), 0, "what survived a crash is durable");
    }
}

#[test]
fn a_synced_write_makes_everything_before_it_durable() {
    let store = MemoryStore::new();
    put(&store, "a", "1", Durability::Buffered).unwrap();
    put(&store, "b", "2", Durability::Synced).unwrap();
    store.crash(0);
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
    assert_eq!(store.counters(), Counters { writes: 2, syncs: 1, bytes: 4 });
}

#[test]
fn a_failed_write_changes_nothing_and_closes_the_store_until_a_crash() {
    let store = MemoryStore::new();
    store.fail_write_after(1);
    put(&store, "a", "1", Durability::Synced).unwrap();
    assert!(matches!(put(&store, "b", "2", Durability::Synced), Err(StoreError::Io { .. })));
    assert_eq!(put(&store, "c", "3", Durability::Buffered), Err(StoreError::Closed));
    store.crash(usize::MAX);
    assert_eq!((value(&store, "a").is_some(), value(&store, "b")), (true, None));
    put(&store, "c", "3", Durability::Synced).unwrap();
}

#[test]
fn after_a_failed_sync_the_batch_may_have_survived_or_not() {
    for keep in [0, 1] {
        let store = MemoryStore::new();
        store.fail_next_sync();
        assert!(matches!(put(&store, "a", "1", Durability::Synced), Err(StoreError::Io { .. })));
        assert_eq!(put(&store, "b", "2", Durability::Synced), Err(StoreError::Closed));
        store.crash(keep);
        assert_eq!(value(&store, "a").is_some(), keep == 1);
    }
}

#[test]
fn a_full_disk_refuses_cleanly_and_works_again_when_it_has_space() {
    let store = MemoryStore::new();
    store.set_full(true);
    let refused = put(&store, "a", "1", Durability::Synced);
    assert_eq!(refused, Err(StoreError::Full { operation: "writing a batch" }));
    store.set_full(false);
    put(&store, "a", "2", Durability::Synced).unwrap();
    assert_eq!(value(&store, "a").as_deref(), Some("2"));
}

#[test]
fn a_flipped_bit_and_a_misdirected_write_are_corruption() {
    let store = MemoryStore::new();
    put(&store, "a", "1", Durability::Synced).unwrap();
    assert!(store.misdirect(Family::Votes, b"a", b"b"));
    let corrupt = |key: &str| StoreError::Corrupt { family: Family::Votes, key: key.into() };
    assert_eq!(store.get(Family::Votes, b"b"), Err(corrupt("b")));
    assert!(store.flip_bit(Family::Votes, b"a", 64));
    assert_eq!(store.get(Family::Votes, b"a"), Err(corrupt("a")));
    assert_eq!(store.scan(Family::Votes, b"", b"", 9), Err(corrupt("a")));
    assert!(!store.flip_bit(Family::Votes, b"missing", 0));
    let snapshot = store.snapshot().unwrap();
    store.take_struck();
    assert_eq!(snapshot.get(Family::Votes, b"a"), Err(corrupt("a")));
    assert_eq!(store.take_struck(), Some(corrupt("a")), "damage that a snapshot shows is the store's");
}

#[test]
fn a_read_that_fails_once_fails_once() {
    let store = MemoryStore::new();
    put(&store, "a", "1", Durability::Synced).unwrap();
    store.fail_next_read();
    let failed = store.get(Family::Votes, b"a");
    assert!(matches!(failed, Err(StoreError::Io { .. })));
    assert_eq!(store.take_struck(), failed.err());
    assert_eq!(store.take_struck(), None);
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
}

#[test]
fn a_lost_sync_is_reported_and_lost_in_a_crash() {
    let store = MemoryStore::new();
    put(&store, "a", "1", Durability::Synced).unwrap();
    store.lose_syncs();
    put(&store, "b", "2", Durability::Synced).unwrap();
    put(&store, "c", "3", Durability::Synced).unwrap();
    assert_eq!(value(&store, "c").as_deref(), Some("3"), "it can be read until the crash");
    store.crash(1);
    assert_eq!((value(&store, "a").is_some(), value(&store, "b").is_some(), value(&store, "c")), (true, true, None));
    put(&store, "c", "4", Durability::Synced).unwrap();
    store.crash(0);
    assert_eq!(value(&store, "c").as_deref(), Some("4"), "after a crash syncs count again");
    store.lose_syncs();
    put(&store, "c", "5", Durability::Synced).unwrap();
    store.mend();
    store.crash(0);
    assert_eq!(value(&store, "c").as_deref(), Some("5"), "what is synced late is durable");
}

#[test]
fn a_restored_image_forgets_what_came_after_it() {
    let store = MemoryStore::new();
    put(&store, "a", "1", Durability::Synced).unwrap();
    let image = store.image();
    put(&store, "a", "2", Durability::Synced).unwrap();
    put(&store, "b", "2", Durability::Buffered).unwrap();
    store.restore(&image);
    store.crash(usize::MAX);
    assert_eq!((value(&store, "a").as_deref(), value(&store, "b")), (Some("1"), None));
}

#[test]
fn a_lost_disk_is_empty_and_usable() {
    let store = MemoryStore::new();
    put(&store, "a", "1", Durability::Synced).unwrap();
    store.lose_disk();
    assert!(store.is_empty(Family::Votes));
    put(&store, "a", "2", Durability::Synced).unwrap();
    assert_eq!(store.len(Family::Votes), 1);
}

#[test]
fn the_store_in_memory_passes_the_conformance_suite() {
    crate::suite::run_all(&MemoryStore::new);
}
