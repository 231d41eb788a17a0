//! The conformance suite: what every [`Store`] must do, checked on stores that `open` makes empty.
//!
//! Each function is one property and panics with what was found. Durability over a crash, and what
//! damaged files do, are for each implementation's own tests: they need its faults.

use crate::{Durability, Entries, Family, Snapshot, StateAt, StateOf, StateReader, Store, WriteBatch};
use std::collections::BTreeMap;

/// Every property, each on a store of its own.
pub fn run_all<S: Store>(open: &dyn Fn() -> S) {
    what_was_written_is_read(&open());
    families_are_apart(&open());
    later_changes_of_a_batch_win(&open());
    odd_keys_and_values_are_kept(&open());
    scans_are_ordered_and_bounded(&open());
    several_keys_are_read_in_their_order(&open());
    a_snapshot_does_not_change(&open());
    the_state_is_read_through_its_reader(&open());
    for seed in 1..=4 {
        a_random_script_agrees_with_a_sorted_map(&open(), seed);
    }
}

/// Puts, overwrites and deletes are seen by the next read, synced or not.
pub fn what_was_written_is_read<S: Store>(store: &S) {
    assert_eq!(read(store, b"key"), None);
    for (value, durability) in [("one", Durability::Synced), ("two", Durability::Buffered)] {
        write(store, durability, |batch| batch.put(Family::State, "key", value));
        assert_eq!(read(store, b"key").as_deref(), Some(value.as_bytes()));
    }
    write(store, Durability::Synced, |batch| {
        batch.delete(Family::State, "key");
        batch.delete(Family::State, "never written");
    });
    assert_eq!(read(store, b"key"), None);
    write(store, Durability::Synced, |_| ());
}

/// One key in every family has a value in each.
pub fn families_are_apart<S: Store>(store: &S) {
    write(store, Durability::Synced, |batch| {
        for family in Family::ALL {
            batch.put(family, "key", family.name());
        }
    });
    write(store, Durability::Synced, |batch| batch.delete(Family::Votes, "key"));
    for family in Family::ALL {
        let expected = (family != Family::Votes).then(|| family.name().as_bytes().to_vec());
        assert_eq!(ok(store.get(family, b"key")), expected, "family {family}");
        assert_eq!(scan(store, family, b"", b"", 9).len(), usize::from(expected.is_some()));
    }
}

/// Changes apply in order.
pub fn later_changes_of_a_batch_win<S: Store>(store: &S) {
    write(store, Durability::Synced, |batch| {
        batch.put(Family::State, "a", "1");
        batch.put(Family::State, "a", "2");
        batch.put(Family::State, "b", "1");
        batch.delete(Family::State, "b");
        batch.delete(Family::State, "c");
        batch.put(Family::State, "c", "3");
    });
    let expected = entries(&[("a", "2"), ("c", "3")]);
    assert_eq!(scan(store, Family::State, b"", b"", 9), expected);
}

/// Empty values, the empty key, keys of zeros and of 0xff, and a megabyte of value.
pub fn odd_keys_and_values_are_kept<S: Store>(store: &S) {
    let keys: [&[u8]; 6] = [b"", b"\0", b"\0\0", b"\x7f", b"\xff", b"\xff\xff"];
    write(store, Durability::Synced, |batch| {
        for (index, key) in keys.iter().enumerate() {
            batch.put(Family::State, *key, vec![7; index]);
        }
        batch.put(Family::Bundles, "large", vec![1; 1 << 20]);
    });
    for (index, key) in keys.iter().enumerate() {
        assert_eq!(read(store, key), Some(vec![7; index]), "key {key:?}");
    }
    let scanned: Vec<Vec<u8>> = scan(store, Family::State, b"", b"", 9).into_iter().map(|(key, _)| key).collect();
    assert_eq!(scanned, keys);
    assert_eq!(ok(store.get(Family::Bundles, b"large")).map(|value| value.len()), Some(1 << 20));
}

/// Scans include `from`, exclude `to`, obey the limit, and run in both directions.
pub fn scans_are_ordered_and_bounded<S: Store>(store: &S) {
    let all = entries(&[("a", "1"), ("b", "2"), ("bb", "3"), ("c", "4")]);
    write(store, Durability::Buffered, |batch| {
        for (key, value) in all.iter().rev() {
            batch.put(Family::Receipts, key.clone(), value.clone());
        }
    });
    let back: Entries = all.iter().rev().cloned().collect();
    let forward = |from: &str, to: &str, limit| scan(store, Family::Receipts, from.as_bytes(), to.as_bytes(), limit);
    let backward =
        |from: &str, to: &str, limit| ok(store.scan_back(Family::Receipts, from.as_bytes(), to.as_bytes(), limit));
    assert_eq!(forward("", "", usize::MAX), all);
    assert_eq!(backward("", "", usize::MAX), back);
    assert_eq!(forward("b", "c", 9), all[1..3]);
    assert_eq!(backward("b", "c", 9), back[1..3]);
    assert_eq!(forward("aa", "cc", 2), all[1..3]);
    assert_eq!(backward("aa", "cc", 2), back[..2]);
    assert_eq!(backward("a", "b", 9), all[..1]);
    assert_eq!((forward("b", "b", 9), backward("b", "b", 9)), (vec![], vec![]));
    assert_eq!((forward("c", "a", 9), backward("c", "a", 9)), (vec![], vec![]));
    assert_eq!((forward("", "", 0), backward("", "", 0)), (vec![], vec![]));
    assert_eq!((forward("d", "", 9), backward("d", "", 9)), (vec![], vec![]));
}

/// One answer per key, found or not, repeated keys too.
pub fn several_keys_are_read_in_their_order<S: Store>(store: &S) {
    write(store, Durability::Synced, |batch| {
        batch.put(Family::Operations, "a", "1");
        batch.put(Family::Operations, "b", "2");
    });
    let answers = ok(store.multi_get(Family::Operations, &[b"b", b"missing", b"a", b"b"]));
    let expected = [Some("2"), None, Some("1"), Some("2")];
    assert_eq!(answers, expected.map(|value| value.map(|value| value.as_bytes().to_vec())));
    assert!(ok(store.multi_get(Family::Operations, &[])).is_empty());
}

/// Reads and scans of a snapshot know nothing of later writes, and outlive the handle's borrow.
pub fn a_snapshot_does_not_change<S: Store>(store: &S) {
    let before = entries(&[("a", "1"), ("b", "2")]);
    write(store, Durability::Buffered, |batch| {
        batch.put(Family::State, "a", "1");
        batch.put(Family::State, "b", "2");
    });
    let snapshot = ok(store.snapshot());
    write(store, Durability::Synced, |batch| {
        batch.put(Family::State, "a", "changed");
        batch.delete(Family::State, "b");
        batch.put(Family::State, "c", "new");
    });
    assert_eq!(ok(snapshot.get(Family::State, b"b")).as_deref(), Some(&b"2"[..]));
    assert_eq!(ok(snapshot.get(Family::State, b"c")), None);
    assert_eq!(ok(snapshot.scan(Family::State, b"", b"", 9)), before);
    assert_eq!(ok(snapshot.scan(Family::State, b"b", b"", 9)), before[1..]);
    assert_eq!(ok(ok(store.snapshot()).get(Family::State, b"b")), None);
}

/// The wrappers read [`Family::State`] and no other.
pub fn the_state_is_read_through_its_reader<S: Store>(store: &S) {
    write(store, Durability::Buffered, |batch| {
        batch.put(Family::State, "a", "1");
        batch.put(Family::Votes, "b", "2");
    });
    let snapshot = ok(store.snapshot());
    let readers: [&dyn StateReader; 2] = [&StateOf(store), &StateAt(&snapshot)];
    for reader in readers {
        assert_eq!(ok(reader.read(b"a")).as_deref(), Some(&b"1"[..]));
        assert_eq!(ok(reader.read(b"b")), None);
        assert_eq!(ok(reader.scan(b"", b"", 9)), entries(&[("a", "1")]));
    }
}

/// A few hundred random batches leave the same entries as in a sorted map.
pub fn a_random_script_agrees_with_a_sorted_map<S: Store>(store: &S, seed: u64) {
    let mut dice = Dice(seed);
    let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for _ in 0..300 {
        let mut batch = WriteBatch::new();
        for _ in 0..dice.below(6) {
            let key = dice.key();
            if dice.below(3) == 0 {
                model.remove(&key);
                batch.delete(Family::State, key);
            } else {
                let value = vec![dice.below(256) as u8; dice.below(20) as usize];
                model.insert(key.clone(), value.clone());
                batch.put(Family::State, key, value);
            }
        }
        let durability = if dice.below(8) == 0 { Durability::Synced } else { Durability::Buffered };
        ok(store.write(batch, durability));
        let (from, to, limit) = (dice.key(), dice.key(), dice.below(10) as usize);
        let expected = ok(StateReader::scan(&model, &from, &to, limit));
        assert_eq!(scan(store, Family::State, &from, &to, limit), expected, "seed {seed}");
        let key = dice.key();
        assert_eq!(read(store, &key), model.get(&key).cloned(), "seed {seed}");
    }
    let all: Entries = model.into_iter().collect();
    assert_eq!(scan(store, Family::State, b"", b"", usize::MAX), all, "seed {seed}");
}

fn write<S: Store>(store: &S, durability: Durability, fill: impl FnOnce(&mut WriteBatch)) {
    let mut batch = WriteBatch::new();
    fill(&mut batch);
    ok(store.write(batch, durability));
}

fn read<S: Store>(store: &S, key: &[u8]) -> Option<Vec<u8>> {
    ok(store.get(Family::State, key))
}

fn scan<S: Store>(store: &S, family: Family, from: &[u8], to: &[u8], limit: usize) -> Entries {
    ok(store.scan(family, from, to, limit))
}

fn entries(pairs: &[(&str, &str)]) -> Entries {
    pairs.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

fn ok<T>(result: Result<T, crate::StoreError>) -> T {
    result.unwrap_or_else(|error| panic!("the store failed: {error}"))
}

/// A small generator; the suite may draw no randomness.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn key(&mut self) -> Vec<u8> {
        let length = self.below(3) as usize;
        (0..length).map(|_| self.below(4) as u8 * 85).collect()
    }
}
