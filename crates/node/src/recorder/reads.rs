//! A store that remembers what was read of it: as little as a replica needs to start from the same.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use quorate_storage::{Durability, Entries, Family, Store, StoreError, WriteBatch};

use super::format::Entry;

/// Values by family and key.
type Seen = BTreeMap<(usize, Vec<u8>), Vec<u8>>;

/// A store, and what was read.
///
/// A store that holds just the entries that were read answers each of the same questions alike: what a scan
/// gave is the first of all, and so the first of fewer.
#[derive(Debug)]
pub(crate) struct Reads<S> {
    store: S,
    seen: Mutex<Seen>,
}

impl<S: Store> Reads<S> {
    pub(crate) const fn new(store: S) -> Self {
        Self { store, seen: Mutex::new(BTreeMap::new()) }
    }

    /// What was read so far.
    pub(crate) fn into_entries(self) -> Vec<Entry> {
        let seen = self.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        seen.into_iter().map(|((family, key), value)| (Family::ALL[family], key, value)).collect()
    }

    fn note(&self, family: Family, entries: &[(Vec<u8>, Vec<u8>)]) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in entries {
            // The first reading counts: what recovery itself wrote, it writes again.
            seen.entry((family.index(), key.clone())).or_insert_with(|| value.clone());
        }
    }
}

impl<S: Store> Store for Reads<S> {
    type Snapshot = S::Snapshot;

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.store.get(family, key)?;
        if let Some(value) = &found {
            self.note(family, &[(key.to_vec(), value.clone())]);
        }
        Ok(found)
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        let found = self.store.scan(family, from, to, limit)?;
        self.note(family, &found);
        Ok(found)
    }

    fn scan_back(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        let found = self.store.scan_back(family, from, to, limit)?;
        self.note(family, &found);
        Ok(found)
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        self.store.write(batch, durability)
    }

    fn snapshot(&self) -> Result<S::Snapshot, StoreError> {
        self.store.snapshot()
    }
}

#[cfg(test)]
mod tests {
    use quorate_storage::MemoryStore;

    use super::*;

    #[test]
    fn what_was_read_answers_the_same_questions() {
        let store = MemoryStore::new();
        let mut batch = WriteBatch::new();
        (0_u8..20).for_each(|number| batch.put(Family::Votes, [number], [number]));
        store.write(batch, Durability::Synced).unwrap();
        let ask = |store: &dyn Fn(u8) -> Entries| (store(0), store(1), store(2));
        let reads = Reads::new(store);
        let questions = |store: &Reads<MemoryStore>, number: u8| match number {
            0 => store.scan(Family::Votes, &[3], &[], 2).unwrap(),
            1 => store.scan_back(Family::Votes, &[], &[], 1).unwrap(),
            _ => store.get(Family::Votes, &[9]).unwrap().map(|value| (vec![9], value)).into_iter().collect(),
        };
        let first = ask(&|number| questions(&reads, number));
        let entries = reads.into_entries();
        assert_eq!(entries.len(), 4, "{entries:?}");
        let fewer = MemoryStore::new();
        let mut batch = WriteBatch::new();
        entries.into_iter().for_each(|(family, key, value)| batch.put(family, key, value));
        fewer.write(batch, Durability::Synced).unwrap();
        let fewer = Reads::new(fewer);
        assert_eq!(ask(&|number| questions(&fewer, number)), first);
    }
}
