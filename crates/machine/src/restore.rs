//! Taking over a state that another validator made: its entries, and what follows from them (protocol §8.7).
//!
//! Who has certified the entries isn't asked here. The tree over them is [`crate::tree`]'s.

use quorate_storage::{Family, StateReader, StoreError, WriteBatch};
use quorate_types::codec::Canonical;

use crate::index;
use crate::keys;
use crate::overlay::damaged;

/// Writes an entry, and the entries of the operation index that follow from it.
///
/// # Errors
/// If it is none that execution writes.
pub fn put(key: &[u8], value: &[u8], batch: &mut WriteBatch) -> Result<(), StoreError> {
    if key.starts_with(keys::INDEX) {
        return Err(damaged(key));
    }
    batch.put(Family::State, key, value);
    if key.starts_with(keys::LOG) {
        for (key, entry) in index::entries_of(key, value)? {
            batch.put_with(Family::State, key, |out| entry.encode(out));
        }
    }
    Ok(())
}

/// The lanes' tips as the state holds them, in canonical bytes: what execution was given. `None` before the first
/// sequence.
///
/// # Errors
/// If the state can't be read.
pub fn tips<R: StateReader>(state: &R) -> Result<Option<Vec<u8>>, StoreError> {
    state.read(keys::TIPS)
}
