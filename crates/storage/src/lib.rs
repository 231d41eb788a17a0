//! What the product asks of a store, and a store in memory whose crashes and faults can be chosen.
//!
//! A [`Store`] holds ordered key–value [families](Family). Changes go in as a [`WriteBatch`], all or
//! nothing, either [synced](Durability::Synced) (on disk when the call returns, with everything
//! before it) or [buffered](Durability::Buffered) (lost in a crash, but never out of order: what
//! survives is a prefix of the batches). Readers see a batch as soon as its write returned.
//!
//! Invariants that every implementation keeps, checked by the conformance [`suite`]:
//!
//! * A value is stored with a checksum over its family, key and bytes ([`envelope`]). A flipped bit
//!   and a well-formed value in the wrong place are both [`StoreError::Corrupt`], never data.
//! * A failed write is an error, and so is every later one: after a failure nobody knows what
//!   reached the disk, so the store must be opened anew. Only a full disk refuses a batch cleanly.
//!
//! What is not here: any database (see `quorate-rocks`), and what keys and values mean.

mod batch;
pub mod envelope;
mod error;
mod family;
mod key;
mod memory;
mod state;
mod store;
pub mod suite;

pub use batch::{Change, WriteBatch};
pub use error::StoreError;
pub use family::Family;
pub use key::Key;
pub use memory::{Counters, Image, MemorySnapshot, MemoryStore};
pub use state::{StateAt, StateOf, StateReader, TreeAt, TreeOf};
pub use store::{Durability, Entries, Snapshot, Store};
