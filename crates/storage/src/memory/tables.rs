//! The sorted tables of a store in memory.
//!
//! A table is shared with the snapshots that were taken of it, and copied when it is written while
//! one is alive. Values are kept sealed, as on disk, and opened by every read.

use crate::{Entries, Family, Key, StoreError, envelope};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// A sealed value; cheap to clone.
pub(super) type Sealed = Arc<[u8]>;
type Table = BTreeMap<Key, Sealed>;

/// One table per family.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables([Arc<Table>; Family::ALL.len()]);

impl Tables {
    pub(super) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed = self.0[family.index()].get(key);
        sealed.map(|sealed| envelope::open(family, key, sealed).map(<[u8]>::to_vec)).transpose()
    }

    pub(super) fn scan(
        &self,
        family: Family,
        (from, to): (&[u8], &[u8]),
        limit: usize,
        descending: bool,
    ) -> Result<Entries, StoreError> {
        if !to.is_empty() && from >= to {
            return Ok(Entries::new());
        }
        let end = if to.is_empty() { Bound::Unbounded } else { Bound::Excluded(to) };
        let range = self.0[family.index()].range::<[u8], _>((Bound::Included(from), end));
        let open = |(key, sealed): (&Key, &Sealed)| {
            let value = envelope::open(family, key, sealed)?;
            Ok((key.to_vec(), value.to_vec()))
        };
        if descending { range.rev().take(limit).map(open).collect() } else { range.take(limit).map(open).collect() }
    }

    /// Puts a sealed value or removes the key; returns what was there.
    pub(super) fn replace(&mut self, family: Family, key: Key, sealed: Option<Sealed>) -> Option<Sealed> {
        let table = Arc::make_mut(&mut self.0[family.index()]);
        match sealed {
            Some(sealed) => table.insert(key, sealed),
            None => table.remove(&key),
        }
    }

    /// The sealed value of a key.
    pub(super) fn sealed(&self, family: Family, key: &[u8]) -> Option<&Sealed> {
        self.0[family.index()].get(key)
    }

    /// Number of entries in a family.
    pub(super) fn len(&self, family: Family) -> usize {
        self.0[family.index()].len()
    }
}
