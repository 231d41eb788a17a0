//! What a store did, and what it holds in memory.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RocksMetrics {
    /// Batches written.
    pub writes: u64,
    /// Those of them that asked for a sync.
    pub synced_writes: u64,
    /// Changes in them.
    pub changes: u64,
    /// Bytes of keys and values in them.
    pub bytes: u64,
    /// Syncs of the write-ahead log, as RocksDB counted them.
    pub log_syncs: u64,
}

/// Bytes of memory that RocksDB says it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RocksResidence {
    /// In the block cache, indexes and filters among them.
    pub block_cache_bytes: u64,
    /// In write buffers.
    pub write_buffer_bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    writes: AtomicU64,
    synced_writes: AtomicU64,
    changes: AtomicU64,
    bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn count(&self, changes: usize, bytes: usize, is_synced: bool) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.synced_writes.fetch_add(u64::from(is_synced), Ordering::Relaxed);
        self.changes.fetch_add(changes as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, log_syncs: u64) -> RocksMetrics {
        RocksMetrics {
            writes: self.writes.load(Ordering::Relaxed),
            synced_writes: self.synced_writes.load(Ordering::Relaxed),
            changes: self.changes.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            log_syncs,
        }
    }
}
