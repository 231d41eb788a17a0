//! A store in memory whose crashes and faults are chosen by whoever tests with it.
//!
//! A clone is another handle on the same disk: the harness keeps one while the replica that holds
//! the other is killed and started again. Batches form one log; a synced write makes everything
//! before it durable; [`crash`](MemoryStore::crash) keeps as many of the later ones as is asked.

mod tables;

use crate::{Change, Durability, Entries, Family, Key, Snapshot, Store, StoreError, WriteBatch, envelope};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tables::{Sealed, Tables};

/// What a [`MemoryStore`] has done so far, over all crashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Batches written.
    pub writes: u64,
    /// Those of them that were synced.
    pub syncs: u64,
    /// Bytes of keys and values in them.
    pub bytes: u64,
}

/// The store in memory: a handle on a disk that only this process sees. Clones share the disk.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    tables: Tables,
    /// What takes each batch since the last sync back again, oldest first.
    unsynced: Vec<Undo>,
    counters: Counters,
    faults: Faults,
    /// Set when a write failed, cleared by a crash.
    is_closed: bool,
    /// The last error that a fault caused, until it is asked for.
    struck: Option<StoreError>,
}

/// What a disk held at one moment: a backup, or a machine's snapshot.
#[derive(Debug, Clone, Default)]
pub struct Image(Tables);

/// The entries that a batch replaced, in the order of its changes.
type Undo = Vec<(Family, Key, Option<Sealed>)>;

#[derive(Debug, Default)]
struct Faults {
    /// Writes that still succeed before one fails.
    writes_until_failure: Option<u64>,
    next_sync_fails: bool,
    next_read_fails: bool,
    is_full: bool,
    /// Syncs are reported and not done.
    syncs_are_lost: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Batches that a crash may still lose.
    pub fn unsynced(&self) -> usize {
        self.disk().unsynced.len()
    }

    /// Power is lost: of the batches not yet synced, the first `keep` survive (all, if there are
    /// fewer). The store then works again, as after a restart; faults ordered before are cancelled.
    pub fn crash(&self, keep: usize) {
        let mut disk = self.disk();
        let keep = keep.min(disk.unsynced.len());
        let lost = disk.unsynced.split_off(keep);
        for undo in lost.into_iter().rev() {
            for (family, key, before) in undo.into_iter().rev() {
                disk.tables.replace(family, key, before);
            }
        }
        disk.unsynced.clear();
        disk.faults = Faults::default();
        disk.is_closed = false;
    }

    /// The disk is replaced by an empty one.
    pub fn lose_disk(&self) {
        let mut disk = self.disk();
        *disk = Disk { counters: disk.counters, ..Disk::default() };
    }

    /// The write after the next `successes` ones fails, changes nothing and closes the store.
    pub fn fail_write_after(&self, successes: u64) {
        self.disk().faults.writes_until_failure = Some(successes);
    }

    /// The next synced write fails when it syncs, and closes the store: its batch and those before
    /// it may survive the crash that follows or not, as [`crash`](Self::crash) is told.
    pub fn fail_next_sync(&self) {
        self.disk().faults.next_sync_fails = true;
    }

    /// While full, every write is refused and changes nothing; the store stays open.
    pub fn set_full(&self, is_full: bool) {
        self.disk().faults.is_full = is_full;
    }

    /// The next read fails, once, and changes nothing.
    pub fn fail_next_read(&self) {
        self.disk().faults.next_read_fails = true;
    }

    /// From now on syncs are reported and not done: the next [`crash`](Self::crash) may lose every batch since.
    pub fn lose_syncs(&self) {
        self.disk().faults.syncs_are_lost = true;
    }

    /// All faults end; syncs that were lost are done.
    pub fn mend(&self) {
        let mut disk = self.disk();
        if disk.faults.syncs_are_lost {
            disk.unsynced.clear();
        }
        disk.faults = Faults::default();
    }

    /// What the store holds now, written or synced.
    pub fn image(&self) -> Image {
        Image(self.disk().tables.clone())
    }

    /// Everything is as it was in `image`, and durable.
    pub fn restore(&self, image: &Image) {
        let mut disk = self.disk();
        *disk = Disk { counters: disk.counters, tables: image.0.clone(), ..Disk::default() };
    }

    /// The last error that a fault, or damage, caused; it is told once.
    pub fn take_struck(&self) -> Option<StoreError> {
        self.disk().struck.take()
    }

    /// Flips one bit of what is stored for a key (its checksum comes last); false if there is no
    /// such key. `bit` counts modulo the stored length.
    pub fn flip_bit(&self, family: Family, key: &[u8], bit: usize) -> bool {
        let mut disk = self.disk();
        let Some(mut sealed) = disk.tables.sealed(family, key).map(|sealed| sealed.to_vec()) else {
            return false;
        };
        let bit = bit % (sealed.len() * 8);
        sealed[bit / 8] ^= 1 << (bit % 8);
        disk.tables.replace(family, key.into(), Some(sealed.into()));
        true
    }

    /// A misdirected write: what is stored for `from` is stored for `to` as well, as it is. False if
    /// there is no `from`.
    pub fn misdirect(&self, family: Family, from: &[u8], to: &[u8]) -> bool {
        let mut disk = self.disk();
        let Some(sealed) = disk.tables.sealed(family, from).cloned() else {
            return false;
        };
        disk.tables.replace(family, to.into(), Some(sealed));
        true
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        self.disk().counters
    }

    /// Number of entries in a family.
    pub fn len(&self, family: Family) -> usize {
        self.disk().tables.len(family)
    }

    /// Whether a family has no entries.
    pub fn is_empty(&self, family: Family) -> bool {
        self.len(family) == 0
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    fn write(&mut self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        self.admit()?;
        self.counters.writes += 1;
        self.counters.bytes += batch.size_bytes() as u64;
        let mut sealed = Vec::new();
        let undo = batch.changes().map(|change| self.apply(change, &mut sealed)).collect();
        self.unsynced.push(undo);
        if durability == Durability::Synced {
            self.sync()?;
        }
        Ok(())
    }

    /// Whether a write may start.
    fn admit(&mut self) -> Result<(), StoreError> {
        let operation = "writing a batch";
        if self.is_closed {
            return Err(StoreError::Closed);
        }
        if self.faults.is_full {
            return Err(StoreError::Full { operation });
        }
        match &mut self.faults.writes_until_failure {
            Some(0) => {
                self.is_closed = true;
                Err(StoreError::Io { operation, detail: "a write failed, as ordered".into() })
            }
            Some(successes) => {
                *successes -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Applies a change and says what takes it back; `sealed` is room for a value.
    fn apply(&mut self, change: Change<'_>, sealed: &mut Vec<u8>) -> (Family, Key, Option<Sealed>) {
        let (family, key, sealed) = match change {
            Change::Put { family, key, value } => {
                sealed.clear();
                envelope::seal(family, key, value, sealed);
                (family, Key::from(key), Some(Sealed::from(&sealed[..])))
            }
            Change::Delete { family, key } => (family, Key::from(key), None),
        };
        let before = self.tables.replace(family, key.clone(), sealed);
        (family, key, before)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        if self.faults.next_sync_fails {
            self.is_closed = true;
            let detail = "a sync failed, as ordered".into();
            return Err(StoreError::Io { operation: "syncing a batch", detail });
        }
        self.counters.syncs += 1;
        if !self.faults.syncs_are_lost {
            self.unsynced.clear();
        }
        Ok(())
    }

    fn read<T>(&mut self, read: impl FnOnce(&Tables) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let found = if std::mem::take(&mut self.faults.next_read_fails) {
            Err(StoreError::Io { operation: "reading", detail: "a read failed, as ordered".into() })
        } else {
            read(&self.tables)
        };
        self.noted(found)
    }

    fn noted<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.inspect_err(|error| self.struck = Some(error.clone()))
    }
}

impl Store for MemoryStore {
    type Snapshot = MemorySnapshot;

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.disk().read(|tables| tables.get(family, key))
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        self.disk().read(|tables| tables.scan(family, (from, to), limit, false))
    }

    fn scan_back(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        self.disk().read(|tables| tables.scan(family, (from, to), limit, true))
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        let mut disk = self.disk();
        let written = disk.write(batch, durability);
        disk.noted(written)
    }

    fn snapshot(&self) -> Result<MemorySnapshot, StoreError> {
        Ok(MemorySnapshot { tables: self.disk().tables.clone(), store: self.clone() })
    }
}

/// A [`MemoryStore`] at one moment.
#[derive(Debug, Clone)]
pub struct MemorySnapshot {
    tables: Tables,
    /// Where damage that is found here is told.
    store: MemoryStore,
}

impl Snapshot for MemorySnapshot {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.disk().noted(self.tables.get(family, key))
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        self.store.disk().noted(self.tables.scan(family, (from, to), limit, false))
    }
}

#[cfg(test)]
mod tests;
