//! What a sequence has written so far, over the state that it started from.
//!
//! Nothing is written to a store here: the writes are returned, as one batch, when the sequence is done.
//! A value that can't be read is damage, never a peer's fault.

use std::collections::BTreeMap;

use quorate_storage::{Entries, Family, StateReader, StoreError, WriteBatch};
use quorate_types::codec::Canonical;

use crate::keys;

pub(crate) struct Overlay<'r, R> {
    reader: &'r R,
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<'r, R: StateReader> Overlay<'r, R> {
    pub(crate) const fn new(reader: &'r R) -> Self {
        Self { reader, writes: BTreeMap::new() }
    }

    pub(crate) fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.writes.get(key) {
            Some(written) => Ok(written.clone()),
            None => self.reader.read(key),
        }
    }

    /// The value of a key, decoded.
    pub(crate) fn load<T: Canonical>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.read(key)?.map(|bytes| decode(key, &bytes)).transpose()
    }

    pub(crate) fn contains(&self, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.read(key)?.is_some())
    }

    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.insert(key, Some(value));
    }

    pub(crate) fn store<T: Canonical>(&mut self, key: Vec<u8>, value: &T) {
        self.put(key, value.to_bytes());
    }

    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }

    /// The first `limit` entries whose keys start with `prefix`.
    pub(crate) fn scan(&self, prefix: &[u8], limit: usize) -> Result<Entries, StoreError> {
        self.scan_between(prefix, &keys::after(prefix), limit)
    }

    /// The first `limit` entries with `from <= key < to`.
    pub(crate) fn scan_between(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        if from >= to {
            return Ok(Entries::new());
        }
        let written = || self.writes.range(from.to_vec()..to.to_vec());
        // So many more as may turn out to be deleted.
        let deleted = written().filter(|(_, value)| value.is_none()).count();
        let stored = self.reader.scan(from, to, limit.saturating_add(deleted))?;
        let mut entries: BTreeMap<_, _> = stored.into_iter().collect();
        for (key, value) in written() {
            match value {
                Some(value) => entries.insert(key.clone(), value.clone()),
                None => entries.remove(key),
            };
        }
        Ok(entries.into_iter().take(limit).collect())
    }

    /// All writes, by key.
    pub(crate) fn into_batch(self) -> WriteBatch {
        let mut batch = WriteBatch::new();
        for (key, value) in self.writes {
            match value {
                Some(value) => batch.put(Family::State, key, value),
                None => batch.delete(Family::State, key),
            }
        }
        batch
    }
}

/// A stored value, decoded.
pub(crate) fn decode<T: Canonical>(key: &[u8], bytes: &[u8]) -> Result<T, StoreError> {
    T::from_bytes(bytes).map_err(|_| damaged(key))
}

/// The state holds what this code never wrote.
pub(crate) fn damaged(key: &[u8]) -> StoreError {
    StoreError::Corrupt { family: Family::State, key: key.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_sees_what_was_written_and_not_what_was_deleted() {
        let state: BTreeMap<Vec<u8>, Vec<u8>> =
            ["a0", "a1", "a2", "a3", "b0"].iter().map(|key| (key.as_bytes().to_vec(), vec![0])).collect();
        let mut overlay = Overlay::new(&state);
        overlay.delete(b"a0".to_vec());
        overlay.delete(b"a2".to_vec());
        overlay.put(b"a11".to_vec(), vec![1]);
        overlay.put(b"a3".to_vec(), vec![2]);
        let keys = |limit| -> Vec<_> {
            overlay.scan(b"a", limit).unwrap().into_iter().map(|(key, value)| (key, value[0])).collect()
        };
        let all = vec![(b"a1".to_vec(), 0), (b"a11".to_vec(), 1), (b"a3".to_vec(), 2)];
        assert_eq!(keys(10), all);
        assert_eq!(keys(2), all[..2]);
        assert_eq!(overlay.into_batch().len(), 4);
    }
}
