//! What goes into executing a sequence and what comes out.

use std::sync::Arc;

use quorate_crypto::{Digest, Scheme};
use quorate_storage::WriteBatch;
use quorate_types::epoch::EpochDefinition;
use quorate_types::evidence::Conviction;
use quorate_types::genesis::Administrators;
use quorate_types::ids::{BlockTime, ClusterId, OperationId, Sequence, ValidatorIndex};
use quorate_types::kind::Kinds;
use quorate_types::operation::{EntityId, Operation};
use quorate_types::receipt::{Judgement, Receipt};

use crate::entity::Position;
use crate::epochs::CheckpointRoot;
use crate::waiting::Occupancy;

/// What the genesis declares, as far as execution depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Charter<'a> {
    /// The epoch: its validators and parameters.
    pub epoch: &'a EpochDefinition,
    /// The kinds of the genesis; those that operations have defined are in the state.
    pub kinds: &'a Kinds,
    /// Who may change the cluster.
    pub administrators: &'a Administrators,
    /// How signatures are checked.
    pub scheme: Scheme,
    /// The digest of the proposal at the epoch's start, or of the genesis.
    pub start: Digest,
}

/// A committed sequence with what its proposal stands for.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// The sequence.
    pub sequence: Sequence,
    /// The proposal's block time.
    pub time: BlockTime,
    /// The proposal's digest, which rotates the lanes.
    pub proposal: Digest,
    /// The operations of the bundles that the proposal names: of each lane in the lane's order.
    pub ordered: &'a [Ordered],
    /// The cluster: its genesis declares what the first state has beside entities.
    pub cluster: ClusterId,
    /// Each lane's tip after this sequence, in the form of whoever orders.
    pub tips: &'a [u8],
    /// The state before it.
    pub before: Option<CheckpointRoot>,
}

impl Block<'_> {
    pub(crate) const fn position(&self) -> Position {
        Position { sequence: self.sequence, time: self.time }
    }
}

/// An operation as the total order brings it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The lane whose bundle holds it.
    pub lane: ValidatorIndex,
    /// The operation, admitted by `types` and with a valid signature.
    pub operation: Arc<Operation>,
}

/// What executing a sequence did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// All changes to the replicated state, to be written at once with the receipts.
    pub writes: WriteBatch,
    /// The receipts, in the order of execution: a receipt's index is its position.
    pub receipts: Vec<Receipt>,
    /// Merkle root over the receipts' digests (data-model §4.3).
    pub receipts_root: Digest,
    /// Answers without a receipt (data-model §3.2).
    pub judgements: Vec<(OperationId, Judgement)>,
    /// Operations that had executed at an earlier sequence, where their receipts are (data-model §3.2).
    pub known: Vec<OperationId>,
    /// What changed, in the order of execution.
    pub changes: Vec<EntityChange>,
    /// What waits for parents after this sequence. While there is something, the primary proposes on
    /// (protocol §3.1).
    pub waiting: Occupancy,
    /// The epoch's last sequence, if a change of the set or the parameters has fixed it (protocol §8.4).
    pub ends: Option<Sequence>,
    /// Who was convicted of what (accountability §2.2).
    pub convictions: Vec<Conviction>,
}

/// One entity changed by one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityChange {
    /// The entity.
    pub entity: EntityId,
    /// Its version afterwards; 0 if it was deleted.
    pub version: u64,
    /// The operation.
    pub operation: OperationId,
}
