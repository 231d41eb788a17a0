//! The waiting room: ordered operations whose parents haven't executed (data-model §1.8).
//!
//! It is part of the state, so every correct validator's holds the same. It is bounded in operations and
//! bytes, in all, for each author and for each lane; and in time: what has waited for `D` goes.

use std::sync::Arc;

use quorate_crypto::PublicKey;
use quorate_storage::{StateReader, StoreError};
use quorate_types::codec::{Canonical, DecodeError, Reader};
use quorate_types::ids::{OperationId, ValidatorIndex};
use quorate_types::operation::Operation;
use quorate_types::parameters::Parameters;

use crate::entity::Position;
use crate::keys;
use crate::overlay::{Overlay, damaged, decode};

/// An operation that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Since when.
    pub(crate) since: Position,
    /// Its place among those that came with the same sequence.
    pub(crate) place: u32,
    /// The lane that brought it.
    pub(crate) lane: ValidatorIndex,
    /// The operation.
    pub(crate) operation: Arc<Operation>,
}

/// What the room holds, in all or of someone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Operations.
    pub operations: u32,
    /// Bytes of their bodies and signatures.
    pub bytes: u64,
}

impl Occupancy {
    fn with(self, bytes: u64) -> Self {
        Self { operations: self.operations.saturating_add(1), bytes: self.bytes.saturating_add(bytes) }
    }

    fn without(self, bytes: u64) -> Self {
        Self { operations: self.operations.saturating_sub(1), bytes: self.bytes.saturating_sub(bytes) }
    }
}

/// What the room holds in all.
pub(crate) fn total<R: StateReader>(state: &Overlay<'_, R>) -> Result<Occupancy, StoreError> {
    occupancy(state, keys::WAITING_TOTAL)
}

fn occupancy<R: StateReader>(state: &Overlay<'_, R>, key: &[u8]) -> Result<Occupancy, StoreError> {
    Ok(state.load(key)?.unwrap_or_default())
}

/// Whether an operation waits.
pub(crate) fn contains<R: StateReader>(state: &Overlay<'_, R>, id: &OperationId) -> Result<bool, StoreError> {
    state.contains(&keys::waiting(id))
}

/// Lets an operation in that waits for `missing`; `false` if the room, or the share of its author or
/// lane, is full.
pub(crate) fn enter<R: StateReader>(
    state: &mut Overlay<'_, R>,
    waiting: &Waiting,
    missing: &[OperationId],
    parameters: &Parameters,
) -> Result<bool, StoreError> {
    let bytes = size(&waiting.operation);
    let all = total(state)?.with(bytes);
    let of_author = occupancy(state, &keys::waiting_of_author(&waiting.operation.author()))?.with(bytes);
    let of_lane = occupancy(state, &keys::waiting_of_lane(waiting.lane))?.with(bytes);
    let fits = all.operations <= parameters.waiting_operations
        && all.bytes <= u64::from(parameters.waiting_bytes)
        && of_author.operations <= parameters.waiting_operations_per_author
        && of_lane.operations <= parameters.waiting_operations_per_lane;
    if !fits {
        return Ok(false);
    }
    let id = waiting.operation.id();
    state.store(keys::WAITING_TOTAL, &all);
    state.store(keys::waiting_of_author(&waiting.operation.author()), &of_author);
    state.store(keys::waiting_of_lane(waiting.lane), &of_lane);
    state.store(keys::waiting(&id), waiting);
    let place = Place { since: waiting.since, operation: id };
    state.store(keys::waiting_place(waiting.since.sequence, waiting.place), &place);
    for parent in missing {
        state.put(keys::waits_for(parent, &id), Vec::new());
    }
    Ok(true)
}

/// A parent has executed: those that waited for it alone leave the room.
pub(crate) fn release<R: StateReader>(
    state: &mut Overlay<'_, R>,
    parent: &OperationId,
) -> Result<Vec<Waiting>, StoreError> {
    let all = total(state)?.operations;
    if all == 0 {
        return Ok(Vec::new());
    }
    let prefix = keys::children(parent);
    let mut released = Vec::new();
    for (key, _) in state.scan(&prefix, all as usize)? {
        let child: OperationId = decode(&key, &key[prefix.len()..])?;
        state.delete(key);
        let key = keys::waiting(&child);
        let waiting: Waiting = state.load(&key)?.ok_or_else(|| damaged(&key))?;
        if missing(state, &waiting.operation)?.is_empty() {
            leave(state, &waiting)?;
            released.push(waiting);
        }
    }
    Ok(released)
}

/// Those that have waited for `D`, the longest first.
pub(crate) fn lapsed<R: StateReader>(
    state: &Overlay<'_, R>,
    now: Position,
    parameters: &Parameters,
) -> Result<Vec<OperationId>, StoreError> {
    let has_lapsed = |key: &[u8], bytes: &[u8]| {
        let Place { since, .. } = decode(key, bytes)?;
        Ok(since.lapsed(parameters.waiting_sequences, parameters.waiting_ms, now))
    };
    let all = total(state)?.operations;
    let lapsed = state.scan_while(keys::WAITING_QUEUE, all as usize, has_lapsed)?;
    lapsed.iter().map(|(key, bytes)| Ok(decode::<Place>(key, bytes)?.operation)).collect()
}

/// Takes an operation out, if it waits, with the parents that it still lacks.
pub(crate) fn take<R: StateReader>(
    state: &mut Overlay<'_, R>,
    id: &OperationId,
) -> Result<Option<(Waiting, Vec<OperationId>)>, StoreError> {
    let waiting: Option<Waiting> = state.load(&keys::waiting(id))?;
    let Some(waiting) = waiting else { return Ok(None) };
    let missing = missing(state, &waiting.operation)?;
    leave(state, &waiting)?;
    Ok(Some((waiting, missing)))
}

/// The parents that a waiting operation still waits for.
fn missing<R: StateReader>(state: &Overlay<'_, R>, operation: &Operation) -> Result<Vec<OperationId>, StoreError> {
    let mut missing = Vec::new();
    for parent in &operation.content().parents {
        if state.contains(&keys::waits_for(parent, &operation.id()))? {
            missing.push(*parent);
        }
    }
    Ok(missing)
}

fn leave<R: StateReader>(state: &mut Overlay<'_, R>, waiting: &Waiting) -> Result<(), StoreError> {
    let id = waiting.operation.id();
    let bytes = size(&waiting.operation);
    for parent in missing(state, &waiting.operation)? {
        state.delete(keys::waits_for(&parent, &id));
    }
    state.delete(keys::waiting(&id));
    state.delete(keys::waiting_place(waiting.since.sequence, waiting.place));
    let author: PublicKey = waiting.operation.author();
    let (of_author, of_lane) = (keys::waiting_of_author(&author), keys::waiting_of_lane(waiting.lane));
    for key in [keys::WAITING_TOTAL, &of_author, &of_lane] {
        let left = occupancy(state, key)?.without(bytes);
        match left.operations {
            0 => state.delete(key),
            _ => state.store(key, &left),
        }
    }
    Ok(())
}

fn size(operation: &Operation) -> u64 {
    operation.size_bytes() as u64
}

/// An entry of the queue.
struct Place {
    since: Position,
    operation: OperationId,
}

impl Canonical for Place {
    fn encode(&self, out: &mut Vec<u8>) {
        self.since.encode(out);
        self.operation.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { since: Position::decode(input)?, operation: OperationId::decode(input)? })
    }
}

impl Canonical for Occupancy {
    fn encode(&self, out: &mut Vec<u8>) {
        self.operations.encode(out);
        self.bytes.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { operations: input.u32()?, bytes: input.u64()? })
    }
}

impl Canonical for Waiting {
    fn encode(&self, out: &mut Vec<u8>) {
        self.since.encode(out);
        self.place.encode(out);
        self.lane.encode(out);
        self.operation.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            since: Position::decode(input)?,
            place: input.u32()?,
            lane: ValidatorIndex::decode(input)?,
            operation: Arc::new(<Operation as Canonical>::decode(input)?),
        })
    }
}
