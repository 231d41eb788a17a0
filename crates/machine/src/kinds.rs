//! The kinds that an operation meets: those of the genesis, and those that operations have defined (data-model §2.2).

use std::borrow::Cow;

use quorate_crypto::PublicKey;
use quorate_storage::{StateReader, StoreError};
use quorate_types::kind::{Access, Kind, Kinds, Right};
use quorate_types::operation::OperationContent;

use crate::keys;
use crate::overlay::Overlay;

/// Adds the kinds that an operation names to `known`, as far as operations have defined them.
pub(crate) fn load<R: StateReader>(
    state: &Overlay<'_, R>,
    known: &mut Cow<'_, Kinds>,
    content: &OperationContent,
) -> Result<(), StoreError> {
    let guarded = content.guards.iter().map(|guard| &guard.entity.kind);
    let changed = content.mutations.iter().map(|mutation| &mutation.entity.kind);
    for name in guarded.chain(changed) {
        if known.kind(name).is_none()
            && let Some(kind) = defined(state, name)?
        {
            known.to_mut().insert(kind);
        }
    }
    Ok(())
}

/// The kind of this name, if an operation has defined it.
pub(crate) fn defined<R: StateReader>(state: &Overlay<'_, R>, name: &str) -> Result<Option<Kind>, StoreError> {
    state.load(&keys::kind(name))
}

/// How many kinds operations have defined.
pub(crate) fn count<R: StateReader>(state: &Overlay<'_, R>) -> Result<u32, StoreError> {
    Ok(state.load(keys::KINDS)?.unwrap_or(0))
}

/// Whether a kind that an operation has defined gives `author` any right to change something.
pub(crate) fn admits_author<R: StateReader>(state: &Overlay<'_, R>, author: &PublicKey) -> Result<bool, StoreError> {
    Ok(count(state)? > 0 && (state.contains(keys::ANYONE)? || state.contains(&keys::entitled(author))?))
}

/// Puts a kind into the state, with whom it makes authors.
pub(crate) fn define<R: StateReader>(state: &mut Overlay<'_, R>, kind: &Kind) -> Result<(), StoreError> {
    let count = count(state)?.saturating_add(1);
    state.store(keys::KINDS.to_vec(), &count);
    state.store(keys::kind(&kind.name), kind);
    let Access { create, write, administer, .. } = &kind.access;
    for right in [create, write, administer] {
        match right {
            Right::Anyone => state.put(keys::ANYONE.to_vec(), Vec::new()),
            Right::Keys(owners) => owners.iter().for_each(|owner| state.put(keys::entitled(owner), Vec::new())),
        }
    }
    Ok(())
}
