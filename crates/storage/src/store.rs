//! The interface of a store.

use crate::{Family, StoreError, WriteBatch};
use std::sync::Arc;

/// When a write may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Never, once the call has returned; nor may anything written before it.
    Synced,
    /// In a crash of the process or machine, with everything written after it.
    Buffered,
}

/// Keys with their values, in the order of the scan.
pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// An ordered key–value store. Methods may be called from several threads; batches apply one at a
/// time, in the order in which [`write`](Self::write) was entered.
pub trait Store: Send + Sync + 'static {
    /// A view that later writes do not change.
    type Snapshot: Snapshot + Send + 'static;

    /// The value of a key.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The values of several keys of one family, in the order of `keys`.
    fn multi_get(&self, family: Family, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        keys.iter().map(|key| self.get(family, key)).collect()
    }

    /// At most `limit` entries with `from <= key < to`, ascending. An empty `to` means the end.
    fn scan(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError>;

    /// At most `limit` entries with `from <= key < to`, descending. An empty `to` means the end.
    fn scan_back(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError>;

    /// Applies all changes of `batch`, or on error perhaps none and perhaps, after a crash, all.
    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError>;

    /// The store as it is now. It holds resources: drop it soon.
    fn snapshot(&self) -> Result<Self::Snapshot, StoreError>;
}

/// A view of a store that does not change.
pub trait Snapshot {
    /// As [`Store::get`], at the time of the snapshot.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// As [`Store::scan`], at the time of the snapshot.
    fn scan(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError>;
}

impl<S: Store> Store for Arc<S> {
    type Snapshot = S::Snapshot;

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        S::get(self, family, key)
    }

    fn multi_get(&self, family: Family, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        S::multi_get(self, family, keys)
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        S::scan(self, family, from, to, limit)
    }

    fn scan_back(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        S::scan_back(self, family, from, to, limit)
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        S::write(self, batch, durability)
    }

    fn snapshot(&self) -> Result<Self::Snapshot, StoreError> {
        S::snapshot(self)
    }
}
