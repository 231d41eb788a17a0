//! A view of the store that later writes do not change.

use crate::read::{Range, column, open_value};
use quorate_storage::{Entries, Family, Snapshot, StoreError};
use rocksdb::DB;
use std::sync::Arc;

type View<'a> = rocksdb::Snapshot<'a>;

self_cell::self_cell!(
    /// The view with the database that it borrows from.
    struct Held {
        owner: Arc<DB>,
        #[covariant]
        dependent: View,
    }
);

/// A [`RocksStore`](crate::RocksStore) at one moment. As long as it lives, the files that it reads
/// are kept, and the database stays open.
pub struct RocksSnapshot {
    held: Held,
}

impl RocksSnapshot {
    pub(crate) fn new(database: Arc<DB>) -> Self {
        Self { held: Held::new(database, |database| database.snapshot()) }
    }
}

impl std::fmt::Debug for RocksSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sequence = self.held.borrow_dependent().sequence_number();
        write!(f, "RocksSnapshot(at write {sequence})")
    }
}

impl Snapshot for RocksSnapshot {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let column = column(self.held.borrow_owner(), family)?;
        open_value(family, key, self.held.borrow_dependent().get_pinned_cf(column, key))
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        let range = Range { from, to, limit, is_descending: false };
        if range.is_empty() {
            return Ok(Entries::new());
        }
        let column = column(self.held.borrow_owner(), family)?;
        let view = self.held.borrow_dependent();
        range.collect(family, view.iterator_cf_opt(column, range.bounds(), range.mode()))
    }
}
