//! The store itself: writes, reads, counts.

use crate::error::translate;
use crate::metrics::Counters;
use crate::options::Shared;
use crate::read::{Range, column, open_value};
use crate::{RocksMetrics, RocksResidence, RocksSnapshot};
use quorate_storage::{Change, Durability, Entries, Family, Store, StoreError, WriteBatch, envelope};
use rocksdb::statistics::Ticker;
use rocksdb::{DB, WriteOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A store in a directory. Made by [`open`](Self::open); dropping it, with all its snapshots,
/// closes the directory. Nothing is lost by dropping it: buffered writes are in the operating
/// system's hands already, and only a crash of the machine can lose them.
pub struct RocksStore {
    pub(crate) database: Arc<DB>,
    shared: Shared,
    counters: Counters,
    /// Set by a failed write and never cleared: what reached the disk is not known.
    is_closed: AtomicBool,
}

impl RocksStore {
    pub(crate) fn new(database: DB, shared: Shared) -> Self {
        let is_closed = AtomicBool::new(false);
        Self { database: Arc::new(database), shared, counters: Counters::default(), is_closed }
    }

    /// Counts since the store was opened.
    pub fn metrics(&self) -> RocksMetrics {
        self.counters.read(self.shared.options.get_ticker_count(Ticker::WalFileSynced))
    }

    /// What it holds in memory now.
    pub fn residence(&self) -> RocksResidence {
        RocksResidence {
            block_cache_bytes: self.shared.cache.get_usage() as u64,
            write_buffer_bytes: self.shared.buffers.get_usage() as u64,
        }
    }

    fn fill(&self, batch: &WriteBatch) -> Result<rocksdb::WriteBatch, StoreError> {
        let (mut filled, mut sealed) = (rocksdb::WriteBatch::default(), Vec::new());
        for change in batch.changes() {
            match change {
                Change::Put { family, key, value } => {
                    sealed.clear();
                    envelope::seal(family, key, value, &mut sealed);
                    filled.put_cf(column(&self.database, family)?, key, &sealed);
                }
                Change::Delete { family, key } => {
                    filled.delete_cf(column(&self.database, family)?, key);
                }
            }
        }
        Ok(filled)
    }

    fn scan_range(&self, family: Family, range: Range<'_>) -> Result<Entries, StoreError> {
        if range.is_empty() {
            return Ok(Entries::new());
        }
        let column = column(&self.database, family)?;
        let entries = self.database.iterator_cf_opt(column, range.bounds(), range.mode());
        range.collect(family, entries)
    }
}

impl std::fmt::Debug for RocksStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RocksStore({})", self.database.path().display())
    }
}

impl Store for RocksStore {
    type Snapshot = RocksSnapshot;

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let column = column(&self.database, family)?;
        open_value(family, key, self.database.get_pinned_cf(column, key))
    }

    fn multi_get(&self, family: Family, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let column = column(&self.database, family)?;
        let found = self.database.batched_multi_get_cf(column, keys.iter().copied(), false);
        keys.iter().zip(found).map(|(key, found)| open_value(family, key, found)).collect()
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        self.scan_range(family, Range { from, to, limit, is_descending: false })
    }

    fn scan_back(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        self.scan_range(family, Range { from, to, limit, is_descending: true })
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        let is_synced = durability == Durability::Synced;
        let (changes, bytes) = (batch.len(), batch.size_bytes());
        let filled = self.fill(&batch)?;
        let mut options = WriteOptions::default();
        options.set_sync(is_synced);
        self.database.write_opt(filled, &options).map_err(|error| {
            self.is_closed.store(true, Ordering::Release);
            translate("writing a batch", &error)
        })?;
        self.counters.count(changes, bytes, is_synced);
        Ok(())
    }

    fn snapshot(&self) -> Result<RocksSnapshot, StoreError> {
        Ok(RocksSnapshot::new(Arc::clone(&self.database)))
    }
}
