//! Reading the replicated state and the tree over it, and nothing else.
//!
//! Execution is given a [`StateReader`], so that it cannot depend on votes, records or anything that
//! differs between validators.

use crate::{Entries, Family, Snapshot, Store, StoreError};
use std::collections::BTreeMap;

/// Reads one replicated family: [`Family::State`], or [`Family::Tree`].
pub trait StateReader {
    /// The value of a key.
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// At most `limit` entries with `from <= key < to`, ascending. An empty `to` means the end.
    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError>;
}

/// The current state of a store.
#[derive(Debug)]
pub struct StateOf<'a, S>(pub &'a S);

impl<S: Store> StateReader for StateOf<'_, S> {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(Family::State, key)
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        self.0.scan(Family::State, from, to, limit)
    }
}

/// The state in a snapshot.
#[derive(Debug)]
pub struct StateAt<'a, N>(pub &'a N);

impl<N: Snapshot> StateReader for StateAt<'_, N> {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(Family::State, key)
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        self.0.scan(Family::State, from, to, limit)
    }
}

/// The current tree of a store.
#[derive(Debug)]
pub struct TreeOf<'a, S>(pub &'a S);

impl<S: Store> StateReader for TreeOf<'_, S> {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(Family::Tree, key)
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        self.0.scan(Family::Tree, from, to, limit)
    }
}

/// The tree in a snapshot.
#[derive(Debug)]
pub struct TreeAt<'a, N>(pub &'a N);

impl<N: Snapshot> StateReader for TreeAt<'_, N> {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(Family::Tree, key)
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        self.0.scan(Family::Tree, from, to, limit)
    }
}

impl<R: StateReader + ?Sized> StateReader for &R {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).read(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        (**self).scan(from, to, limit)
    }
}

/// A state in plain memory, for tests of what reads one.
impl StateReader for BTreeMap<Vec<u8>, Vec<u8>> {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        let upto = |key: &Vec<u8>| to.is_empty() || key.as_slice() < to;
        Ok(self
            .range(from.to_vec()..)
            .take_while(|(key, _)| upto(key))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }
}
