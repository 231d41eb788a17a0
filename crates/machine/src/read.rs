//! Reading the state for those who ask: entities, authors, where an operation executed (data-model §5).
//!
//! All functions take any [`StateReader`], so that an answer can come from one snapshot.

use quorate_crypto::PublicKey;
use quorate_storage::{StateReader, StoreError};
use quorate_types::epoch::EpochDefinition;
use quorate_types::evidence::Conviction;
use quorate_types::genesis::MAX_KINDS;
use quorate_types::ids::{BlockTime, Epoch, OperationId, Sequence};
use quorate_types::kind::Kind;
use quorate_types::operation::EntityId;
use quorate_types::parameters::{NONCE_WINDOW, Parameters};

use crate::draft::read_supply;
use crate::entity::{self, Entity, Position};
use crate::epochs::{self, Before, OpenProposal, Pending};
use crate::index::Indexed;
use crate::keys;
use crate::kinds;
use crate::nonce;
use crate::overlay::{Overlay, damaged, decode};
use crate::system::accuse;
use crate::waiting::{self, Occupancy};

/// Sequence and block time of the state; `None` before the first sequence.
///
/// # Errors
/// If the state can't be read, as for all functions here.
pub fn position<R: StateReader>(state: &R) -> Result<Option<Position>, StoreError> {
    Overlay::new(state).load(keys::POSITION)
}

/// An entity, if it exists.
///
/// # Errors
/// If the state can't be read.
pub fn entity<R: StateReader>(state: &R, id: &EntityId) -> Result<Option<Entity>, StoreError> {
    Ok(entity::read(&Overlay::new(state), &keys::entity(id))?.map(|(entity, _)| entity))
}

/// At most `limit` entities of a kind in the order of their ids' bytes, from the first id above `after`.
///
/// # Errors
/// If the state can't be read.
pub fn entities<R: StateReader>(
    state: &R,
    kind: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(EntityId, Entity)>, StoreError> {
    let prefix = keys::entities(kind);
    let from = match after {
        // The next key that there can be.
        Some(id) => [&keys::entity(&EntityId::new(kind, id))[..], &[0]].concat(),
        None => prefix.to_vec(),
    };
    let entries = state.scan(&from, &keys::after(&prefix), limit)?;
    let read = |(key, bytes): (Vec<u8>, Vec<u8>)| {
        let id = std::str::from_utf8(&key[prefix.len()..]).map_err(|_| damaged(&key))?;
        Ok((EntityId::new(kind, id), decode(&key, &bytes)?))
    };
    entries.into_iter().map(read).collect()
}

/// The kind of this name, if an operation has defined it.
///
/// # Errors
/// If the state can't be read.
pub fn defined_kind<R: StateReader>(state: &R, name: &str) -> Result<Option<Kind>, StoreError> {
    kinds::defined(&Overlay::new(state), name)
}

/// All kinds that operations have defined, by name.
///
/// # Errors
/// If the state can't be read.
pub fn defined_kinds<R: StateReader>(state: &R) -> Result<Vec<Kind>, StoreError> {
    // Names start with a letter: what else lies under the prefix comes before them.
    let entries = state.scan(b"ka", &keys::after(keys::KINDS), MAX_KINDS)?;
    entries.iter().map(|(key, bytes)| decode(key, bytes)).collect()
}

/// The sum over a kind's accounts: what was minted less what was burnt.
///
/// # Errors
/// If the state can't be read.
pub fn supply<R: StateReader>(state: &R, kind: &str) -> Result<i128, StoreError> {
    read_supply(&Overlay::new(state), kind)
}

/// Where an operation executed, while the index holds it.
///
/// # Errors
/// If the state can't be read.
pub fn executed<R: StateReader>(state: &R, operation: &OperationId) -> Result<Option<Indexed>, StoreError> {
    Overlay::new(state).load(&keys::indexed(operation))
}

/// The definition of an epoch that a change has made, of which the state holds the newest: the one that the state is
/// of, or, after an epoch's last sequence, the next. `None` while that of the genesis holds.
///
/// # Errors
/// If the state can't be read.
pub fn next_epoch<R: StateReader>(state: &R) -> Result<Option<EpochDefinition>, StoreError> {
    epochs::current(&Overlay::new(state))
}

/// The last sequence of `epoch`, once an executed change has fixed it.
///
/// # Errors
/// If the state can't be read.
pub fn epoch_end<R: StateReader>(state: &R, epoch: Epoch) -> Result<Option<Sequence>, StoreError> {
    let next = next_epoch(state)?.filter(|definition| definition.epoch > epoch);
    let pending = pending_changes(state)?.map(|pending| pending.ends);
    Ok(next.map(|definition| definition.start).or(pending))
}

/// The changes that take effect at the end of the epoch, if there are any.
///
/// # Errors
/// If the state can't be read.
pub fn pending_changes<R: StateReader>(state: &R) -> Result<Option<Pending>, StoreError> {
    epochs::pending(&Overlay::new(state))
}

/// The epoch before the one that the state is of, by which evidence of it is judged.
///
/// # Errors
/// If the state can't be read.
pub fn epoch_before<R: StateReader>(state: &R) -> Result<Option<Before>, StoreError> {
    epochs::before(&Overlay::new(state))
}

/// Who is convicted of what, by key and kind (accountability §2.2).
///
/// # Errors
/// If the state can't be read.
pub fn convictions<R: StateReader>(state: &R) -> Result<Vec<Conviction>, StoreError> {
    accuse::all(&Overlay::new(state))
}

/// The proposals that wait for approvals, by the proposing operation.
///
/// # Errors
/// If the state can't be read.
pub fn open_proposals<R: StateReader>(state: &R) -> Result<Vec<(OperationId, OpenProposal)>, StoreError> {
    epochs::all_open(&Overlay::new(state))
}

/// What the waiting room holds.
///
/// # Errors
/// If the state can't be read.
pub fn waiting<R: StateReader>(state: &R) -> Result<Occupancy, StoreError> {
    waiting::total(&Overlay::new(state))
}

/// Whether an operation waits for parents.
///
/// # Errors
/// If the state can't be read.
pub fn is_waiting<R: StateReader>(state: &R, operation: &OperationId) -> Result<bool, StoreError> {
    waiting::contains(&Overlay::new(state), operation)
}

/// An author's nonces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorNonces {
    /// The lowest nonce that the window covers; those below are too old.
    pub lowest: u64,
    /// The highest nonce used.
    pub highest: u64,
    /// The highest nonce that is taken now.
    pub limit: u64,
    /// When an operation of the author last executed.
    pub used_at: BlockTime,
    /// The nonces used in the window, ascending, with their operations. All others up to `limit` are free.
    pub used: Vec<(u64, OperationId)>,
}

/// An author's nonces at block time `now`; `None` for an author whom the state doesn't know, who may
/// begin with any nonce below 2⁶³.
///
/// # Errors
/// If the state can't be read.
pub fn author<R: StateReader>(
    state: &R,
    author: &PublicKey,
    now: BlockTime,
    parameters: &Parameters,
) -> Result<Option<AuthorNonces>, StoreError> {
    let state = Overlay::new(state);
    let Some(window) = nonce::held(&state, author, now, parameters)?.window else { return Ok(None) };
    let mut used = Vec::new();
    let covered = window.highest.saturating_sub(window.lowest()).min(NONCE_WINDOW - 1);
    for nonce in (0..=covered).map(|above| window.lowest().saturating_add(above)) {
        if let Some(operation) = nonce::used(&state, &window, author, nonce)? {
            used.push((nonce, operation));
        }
    }
    Ok(Some(AuthorNonces {
        lowest: window.lowest(),
        highest: window.highest,
        limit: window.limit(),
        used_at: window.used_at,
        used,
    }))
}
