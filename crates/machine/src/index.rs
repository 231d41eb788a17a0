//! The operation index: where the operations of the last `R` sequences executed (data-model §4.2).
//!
//! An entry lapses when both halves of `R` have passed. From then on it isn't found, whether or not it
//! was removed already: removal is spread over sequences and nothing depends on it.
//!
//! The entries of a sequence are kept a second time, as one list. By it they are removed, and it stands for
//! them in the state tree: one leaf for each sequence instead of one for each operation.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_crypto::PublicKey;
use quorate_storage::{Key, StateReader, StoreError};
use quorate_types::codec::{Canonical, DecodeError, Reader, encode_list};
use quorate_types::ids::OperationId;
use quorate_types::parameters::Parameters;

use crate::entity::{Head, Position};
use crate::keys;
use crate::overlay::{Overlay, damaged, decode};

/// Lapsed sequences removed at one sequence, which adds one at most: what has lapsed is bounded.
const PRUNED_SEQUENCES: usize = 4;

/// Operations in the list of one sequence: more than any proposal and any waiting room can bring.
const MAX_LOGGED: usize = 1 << 24;

/// Ancestors looked at when heads are searched for among them. What lies deeper counts as not seen.
const MAX_ANCESTORS: usize = 256;

/// Parents of an operation, at the highest limit that a genesis may set.
const MAX_PARENTS: usize = 16;

/// Where an operation executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indexed {
    /// Sequence and block time.
    pub at: Position,
    /// Its position among the sequence's receipts.
    pub index: u32,
    /// Who signed it.
    pub author: PublicKey,
    /// The author's number for it.
    pub nonce: u64,
    /// Its parents.
    pub parents: Vec<OperationId>,
}

/// The entry of an operation that executed within `R`.
pub(crate) fn find<R: StateReader>(
    state: &Overlay<'_, R>,
    operation: &OperationId,
    now: Position,
    parameters: &Parameters,
) -> Result<Option<Indexed>, StoreError> {
    let entry: Option<Indexed> = state.load(&keys::indexed(operation))?;
    Ok(entry.filter(|entry| !has_lapsed(entry.at, now, parameters)))
}

/// Whether what executed at `at` has left the index.
pub(crate) fn has_lapsed(at: Position, now: Position, parameters: &Parameters) -> bool {
    at.lapsed(parameters.index_sequences, parameters.index_ms, now)
}

/// The list of what executed at one sequence.
#[derive(Debug, Default)]
pub(crate) struct Log(Vec<Logged>);

impl Log {
    /// Enters an operation that has just executed.
    pub(crate) fn insert<R: StateReader>(
        &mut self,
        state: &mut Overlay<'_, R>,
        operation: OperationId,
        entry: Indexed,
    ) {
        state.store(keys::indexed(&operation), &entry);
        let Indexed { author, nonce, parents, .. } = entry;
        self.0.push(Logged { operation, author, nonce, parents });
    }

    /// Writes the list, unless nothing executed.
    pub(crate) fn write<R: StateReader>(self, state: &mut Overlay<'_, R>, at: Position) {
        if !self.0.is_empty() {
            state.store(keys::logged(at.sequence), &Executions { at, operations: self.0 });
        }
    }
}

/// Those of `heads` that are not among the ancestors of an operation with these parents.
///
/// The search goes breadth first and ends after [`MAX_ANCESTORS`] operations.
pub(crate) fn unseen<'h, R: StateReader>(
    state: &Overlay<'_, R>,
    parents: &[OperationId],
    heads: impl Iterator<Item = &'h Head>,
    now: Position,
    parameters: &Parameters,
) -> Result<BTreeMap<OperationId, Head>, StoreError> {
    let current = heads.filter(|head| !has_lapsed(head.at, now, parameters));
    let mut unseen: BTreeMap<OperationId, Head> = current.map(|head| (head.operation, *head)).collect();
    let mut queue: VecDeque<OperationId> = parents.iter().copied().collect();
    let mut visited = BTreeSet::new();
    while let Some(ancestor) = queue.pop_front() {
        if unseen.is_empty() || visited.len() == MAX_ANCESTORS {
            break;
        }
        if !visited.insert(ancestor) {
            continue;
        }
        unseen.remove(&ancestor);
        if let Some(entry) = find(state, &ancestor, now, parameters)? {
            queue.extend(entry.parents);
        }
    }
    Ok(unseen)
}

/// Removes the entries of sequences that have lapsed, some at a time.
pub(crate) fn prune<R: StateReader>(
    state: &mut Overlay<'_, R>,
    now: Position,
    parameters: &Parameters,
) -> Result<(), StoreError> {
    let has_lapsed = |key: &[u8], bytes: &[u8]| {
        let mut input = Reader::new(bytes);
        let at = Position::decode(&mut input).map_err(|_| damaged(key))?;
        Ok(has_lapsed(at, now, parameters))
    };
    for (key, bytes) in state.scan_while(keys::LOG, PRUNED_SEQUENCES, has_lapsed)? {
        let Executions { operations, .. } = decode(&key, &bytes)?;
        for Logged { operation, .. } in operations {
            state.delete(keys::indexed(&operation));
        }
        state.delete(key);
    }
    Ok(())
}

/// The entries that follow from the list of what executed at one sequence (data-model §4.7).
pub(crate) fn entries_of(key: &[u8], bytes: &[u8]) -> Result<Vec<(Key, Indexed)>, StoreError> {
    let Executions { at, operations } = decode(key, bytes)?;
    let entry = |(index, logged)| {
        let Logged { operation, author, nonce, parents } = logged;
        (keys::indexed(&operation), Indexed { at, index, author, nonce, parents })
    };
    Ok((0..).zip(operations).map(entry).collect())
}

/// What executed at a sequence: an operation's index is its place.
struct Executions {
    at: Position,
    operations: Vec<Logged>,
}

/// An operation that executed.
#[derive(Debug)]
struct Logged {
    operation: OperationId,
    author: PublicKey,
    nonce: u64,
    parents: Vec<OperationId>,
}

impl Canonical for Executions {
    fn encode(&self, out: &mut Vec<u8>) {
        self.at.encode(out);
        encode_list(&self.operations, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { at: Position::decode(input)?, operations: input.list(MAX_LOGGED, "operations of a sequence")? })
    }
}

impl Canonical for Logged {
    fn encode(&self, out: &mut Vec<u8>) {
        self.operation.encode(out);
        self.author.encode(out);
        self.nonce.encode(out);
        encode_list(&self.parents, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            operation: OperationId::decode(input)?,
            author: PublicKey::decode(input)?,
            nonce: input.u64()?,
            parents: input.list(MAX_PARENTS, "parents of an operation")?,
        })
    }
}

impl Canonical for Indexed {
    fn encode(&self, out: &mut Vec<u8>) {
        self.at.encode(out);
        self.index.encode(out);
        self.author.encode(out);
        self.nonce.encode(out);
        encode_list(&self.parents, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            at: Position::decode(input)?,
            index: input.u32()?,
            author: PublicKey::decode(input)?,
            nonce: input.u64()?,
            parents: input.list(MAX_PARENTS, "parents of an operation")?,
        })
    }
}
