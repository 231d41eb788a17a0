//! A validator's disk: the store in memory, which tells what became durable.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quorate_storage::{Durability, Entries, Family, MemorySnapshot, MemoryStore, Store, StoreError, WriteBatch};

use super::sight::Shared;
use crate::world::invariants::Fact;

/// A store that outlives the nodes which use it. Clones share the disk.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    me: u16,
    store: MemoryStore,
    /// Written and not synced, oldest first.
    unsynced: Arc<Mutex<Vec<WriteBatch>>>,
    /// The node's next read fails. The harness reads past it.
    next_read_fails: Arc<AtomicBool>,
    /// It has failed, and nobody has asked about it yet.
    read_struck: Arc<AtomicBool>,
    sight: Shared,
}

impl Disk {
    pub(super) fn new(me: u16, sight: Shared) -> Self {
        let (next_read_fails, read_struck) = Default::default();
        Self { me, store: MemoryStore::new(), unsynced: Arc::default(), next_read_fails, read_struck, sight }
    }

    /// The store itself, for faults and comparisons.
    pub(super) const fn store(&self) -> &MemoryStore {
        &self.store
    }

    /// The node's next read fails, once.
    pub(super) fn fail_next_read(&self) {
        self.next_read_fails.store(true, Ordering::Relaxed);
    }

    /// What was ordered and hasn't struck yet never will.
    pub(super) fn mend(&self) {
        self.next_read_fails.store(false, Ordering::Relaxed);
        self.store.mend();
    }

    fn reading(&self) -> Result<&MemoryStore, StoreError> {
        if self.next_read_fails.swap(false, Ordering::Relaxed) {
            self.read_struck.store(true, Ordering::Relaxed);
            return Err(failed_read());
        }
        Ok(&self.store)
    }

    /// The last error that the disk gave the node of its own accord; it is told once. A node that ended without one
    /// ended for no reason of the plan's.
    pub(super) fn take_struck(&self) -> Option<StoreError> {
        let of_store = self.store.take_struck();
        self.read_struck.swap(false, Ordering::Relaxed).then(failed_read).or(of_store)
    }

    fn unsynced(&self) -> MutexGuard<'_, Vec<WriteBatch>> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Batches that a crash may lose.
    pub(super) fn at_risk(&self) -> usize {
        self.unsynced().len()
    }

    /// The machine dies: the first `keep` batches that weren't synced survive. Gives those.
    pub(super) fn crash(&self, keep: usize) -> Vec<WriteBatch> {
        self.store.crash(keep);
        let mut unsynced = std::mem::take(&mut *self.unsynced());
        unsynced.truncate(keep);
        unsynced
    }

    /// Everything on it is gone.
    pub(super) fn lose(&self) {
        self.store.lose_disk();
        self.unsynced().clear();
    }
}

fn failed_read() -> StoreError {
    StoreError::Io { operation: "reading", detail: "a read failed, as ordered".into() }
}

impl Store for Disk {
    type Snapshot = MemorySnapshot;

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.reading()?.get(family, key)
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        self.reading()?.scan(family, from, to, limit)
    }

    fn scan_back(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        self.reading()?.scan_back(family, from, to, limit)
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        // As the store keeps its log: what fails to sync may survive, what fails to write doesn't.
        let before = self.store.unsynced();
        let written = self.store.write(batch.clone(), durability);
        if written.is_ok() || self.store.unsynced() > before {
            self.unsynced().push(batch);
        }
        if written.is_ok() && durability == Durability::Synced {
            let durable = std::mem::take(&mut *self.unsynced());
            self.sight.with(|sight| {
                durable.iter().for_each(|records| sight.see(Fact::Durable { by: self.me, records }));
            });
        }
        written
    }

    fn snapshot(&self) -> Result<MemorySnapshot, StoreError> {
        self.store.snapshot()
    }
}
