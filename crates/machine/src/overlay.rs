//! What a sequence has written so far, over the state that it started from.
//!
//! Nothing is written to a store here: the writes are returned, as one batch, when the sequence is done.
//! A value that can't be read is damage, never a peer's fault.

use std::collections::BTreeMap;
use std::ops::Bound;

use quorate_storage::{Entries, Family, Key, StateReader, StoreError, WriteBatch};
use quorate_types::codec::Canonical;

use crate::keys;

/// Entries read at a time by [`Overlay::scan_while`] at most.
const CHUNK: usize = 256;

pub(crate) struct Overlay<'r, R> {
    reader: &'r R,
    writes: BTreeMap<Key, Option<Vec<u8>>>,
    /// Room to encode in; what is kept takes no more than its own bytes.
    scratch: Vec<u8>,
}

impl<'r, R: StateReader> Overlay<'r, R> {
    pub(crate) const fn new(reader: &'r R) -> Self {
        Self { reader, writes: BTreeMap::new(), scratch: Vec::new() }
    }

    /// What `look` makes of the value of a key, if there is one.
    pub(crate) fn look<T>(
        &self,
        key: &[u8],
        look: impl FnOnce(&[u8]) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match self.writes.get(key) {
            Some(written) => written.as_deref().map(look).transpose(),
            None => self.reader.read(key)?.as_deref().map(look).transpose(),
        }
    }

    /// The value of a key, decoded.
    pub(crate) fn load<T: Canonical>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.look(key, |bytes| decode(key, bytes))
    }

    pub(crate) fn contains(&self, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.look(key, |_| Ok(()))?.is_some())
    }

    pub(crate) fn put(&mut self, key: impl Into<Key>, value: Vec<u8>) {
        self.writes.insert(key.into(), Some(value));
    }

    pub(crate) fn store<T: Canonical>(&mut self, key: impl Into<Key>, value: &T) {
        self.scratch.clear();
        value.encode(&mut self.scratch);
        self.put(key, self.scratch.clone());
    }

    pub(crate) fn delete(&mut self, key: impl Into<Key>) {
        self.writes.insert(key.into(), None);
    }

    /// The first `limit` entries whose keys start with `prefix`.
    pub(crate) fn scan(&self, prefix: &[u8], limit: usize) -> Result<Entries, StoreError> {
        self.scan_between(prefix, &keys::after(prefix), limit)
    }

    /// The first entries whose keys start with `prefix`, up to the first that isn't `wanted`; at most
    /// `limit`. For queues that are mostly looked at in vain: how much is read at a time grows with what
    /// is found.
    pub(crate) fn scan_while(
        &self,
        prefix: &[u8],
        limit: usize,
        wanted: impl Fn(&[u8], &[u8]) -> Result<bool, StoreError>,
    ) -> Result<Entries, StoreError> {
        let (mut from, end) = (prefix.to_vec(), keys::after(prefix));
        let (mut found, mut chunk) = (Entries::new(), 1);
        while found.len() < limit {
            let entries = self.scan_between(&from, &end, chunk.min(limit - found.len()))?;
            let Some((last, _)) = entries.last() else { break };
            // The next key that there can be: what was looked at isn't looked at again.
            from = [last, &[0][..]].concat();
            for (key, value) in entries {
                if !wanted(&key, &value)? {
                    return Ok(found);
                }
                found.push((key, value));
            }
            chunk = CHUNK.min(4 * chunk);
        }
        Ok(found)
    }

    /// The first `limit` entries with `from <= key < to`.
    fn scan_between(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        if from >= to {
            return Ok(Entries::new());
        }
        let written = || self.writes.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        // So many more as may turn out to be deleted.
        let deleted = written().filter(|(_, value)| value.is_none()).count();
        let mut stored = self.reader.scan(from, to, limit.saturating_add(deleted))?.into_iter().peekable();
        let mut entries = Entries::new();
        for (key, value) in written() {
            while let Some(before) = stored.next_if(|(stored, _)| stored[..] < key[..]) {
                entries.push(before);
            }
            if entries.len() >= limit {
                break;
            }
            stored.next_if(|(stored, _)| stored[..] == key[..]);
            entries.extend(value.as_ref().map(|value| (key.to_vec(), value.clone())));
        }
        entries.extend(stored);
        entries.truncate(limit);
        Ok(entries)
    }

    /// All writes, by key.
    pub(crate) fn into_batch(self) -> WriteBatch {
        let sizes = self.writes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len));
        let mut batch = WriteBatch::with_capacity(self.writes.len(), sizes.sum());
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
        let below = |end: &'static [u8]| move |key: &[u8], _: &[u8]| Ok(key < end);
        let count = |end, limit| overlay.scan_while(b"a", limit, below(end)).unwrap().len();
        assert_eq!([count(b"a", 9), count(b"a2", 9), count(b"b", 9), count(b"b", 2)], [0, 2, 3, 2]);
        assert_eq!(overlay.into_batch().len(), 4);
    }
}
