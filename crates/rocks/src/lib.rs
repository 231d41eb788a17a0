//! The store on disk: RocksDB, one column family per [`Family`](quorate_storage::Family).
//!
//! Invariants, beside those of `quorate-storage`:
//!
//! * A [synced](quorate_storage::Durability::Synced) write returns after the write-ahead log was
//!   synced (`fdatasync`); a test reads that from RocksDB's own count, as no kill of a process
//!   could show it.
//! * Damage in the log is found, not skipped. Of the four recovery modes we take *tolerate corrupted
//!   tail records*: a record cut short at the end of the log is what a crash in the middle of an
//!   unsynced write leaves behind, and is dropped; a record whose checksum fails, anywhere, makes
//!   [`RocksStore::open`] fail. *Absolute consistency* would refuse to start after such ordinary
//!   crashes. *Point in time*, RocksDB's default, silently forgets everything behind a damaged
//!   record, synced votes among it; *skip any* forgets the record itself. Logs that were
//!   synced and closed are also listed in the manifest with their sizes, so that one cut short or
//!   gone is found. What still looks like an ordinary crash here, although synced records are lost,
//!   is an open log cut short, or a damaged length that points beyond its end: the signing guard's
//!   file is what notices those.
//! * Memory is bounded by [`RocksOptions`]: one block cache over all families, which holds indexes
//!   and filters too, and one limit for all write buffers.
//! * One process at a time has a directory open; a second gets
//!   [`StoreError::Locked`](quorate_storage::StoreError::Locked).
//!
//! Only `quorate-cli` and `quorate-tests` may depend on this package: it is 15 minutes of C++.

mod checkpoint;
mod error;
mod metrics;
mod open;
mod options;
mod read;
mod snapshot;
mod store;

pub use metrics::{RocksMetrics, RocksResidence};
pub use options::RocksOptions;
pub use snapshot::RocksSnapshot;
pub use store::RocksStore;
