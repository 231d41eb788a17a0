//! Reading entities out of the state; what they are is said in `types`, since state proofs show them.

use quorate_storage::{StateReader, StoreError};
pub use quorate_types::entity::{Content, Entity, Head, Header, Position};

use crate::overlay::{Overlay, decode};

/// The entity in the entry of `key`, and the entry's size in bytes.
pub(crate) fn read<R: StateReader>(state: &Overlay<'_, R>, key: &[u8]) -> Result<Option<(Entity, usize)>, StoreError> {
    state.look(key, |bytes| Ok((decode(key, bytes)?, bytes.len())))
}
