//! The context-free admission of an operation: form, cluster and limits (data-model §1).
//!
//! What depends on the state (nonce, rights, expiry) is judged when it executes, and the signature is
//! checked where it can be checked in batches.

use super::content::{Change, Condition, EntityId, MAX_KIND_BYTES, OperationContent, Path};
use super::fault::{Limited, OperationFault};
use super::system::SystemChange;
use super::{Operation, SignedOperation};
use crate::ids::ClusterId;
use crate::value::Value;

/// The limits on one operation; parameters of the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationLimits {
    /// Bytes of body and signature.
    pub operation_bytes: usize,
    /// As above, of one that shows evidence: evidence may hold another operation.
    pub accusation_bytes: usize,
    /// Parents named.
    pub parents: usize,
    /// Guards.
    pub guards: usize,
    /// Mutations.
    pub mutations: usize,
    /// Bytes of an entity's id.
    pub entity_id_bytes: usize,
    /// Levels of a value and steps of a path.
    pub levels: usize,
}

/// Reads an operation and checks all that can be checked without the state, its signature excepted.
///
/// # Errors
/// The first fault found; see [`OperationFault`].
pub fn admit_operation(
    signed: &SignedOperation,
    limits: &OperationLimits,
    cluster: ClusterId,
) -> Result<Operation, OperationFault> {
    // Before anything is read: a peer chooses how long it is.
    limit(Limited::OperationBytes, signed.size_bytes(), limits.operation_bytes)?;
    let operation = Operation::decode(signed)?;
    admit(&operation, limits, cluster)?;
    Ok(operation)
}

/// Limits and cluster of an operation that was read already.
pub(super) fn admit(operation: &Operation, limits: &OperationLimits, cluster: ClusterId) -> Result<(), OperationFault> {
    let shows_evidence = matches!(operation.content().system, Some(SystemChange::Accuse(_)));
    let most = if shows_evidence { limits.accusation_bytes } else { limits.operation_bytes };
    limit(Limited::OperationBytes, operation.size_bytes(), most)?;
    let found = operation.content().cluster;
    if found != cluster {
        return Err(OperationFault::OtherCluster { found, expected: cluster });
    }
    admit_content(operation.content(), limits)
}

fn admit_content(content: &OperationContent, limits: &OperationLimits) -> Result<(), OperationFault> {
    limit(Limited::Parents, content.parents.len(), limits.parents)?;
    limit(Limited::Guards, content.guards.len(), limits.guards)?;
    limit(Limited::Mutations, content.mutations.len(), limits.mutations)?;
    for guard in &content.guards {
        admit_entity(&guard.entity, limits)?;
        match &guard.condition {
            Condition::ValueAt { path, value } => {
                admit_path(path, limits)?;
                admit_value(value, limits)?;
            }
            Condition::Contains(value) | Condition::Lacks(value) => admit_value(value, limits)?,
            Condition::Exists | Condition::Absent | Condition::Version(_) | Condition::Last(_) => {}
        }
    }
    for mutation in &content.mutations {
        admit_entity(&mutation.entity, limits)?;
        admit_change(&mutation.change, limits)?;
    }
    Ok(())
}

fn admit_change(change: &Change, limits: &OperationLimits) -> Result<(), OperationFault> {
    match change {
        Change::Create { value: Some(value) }
        | Change::Put { value }
        | Change::Insert { value }
        | Change::Remove { value } => admit_value(value, limits),
        Change::Set { path, value } | Change::Push { path, value } | Change::Pull { path, value } => {
            admit_path(path, limits)?;
            admit_value(value, limits)
        }
        Change::Unset { path } | Change::Increment { path, .. } => admit_path(path, limits),
        Change::Transfer { to, .. } => limit(Limited::EntityIdBytes, to.len(), limits.entity_id_bytes),
        Change::Create { value: None }
        | Change::Delete
        | Change::Add { .. }
        | Change::Mint { .. }
        | Change::Burn { .. }
        | Change::Restock { .. }
        | Change::Reserve { .. }
        | Change::Release { .. }
        | Change::Take { .. } => Ok(()),
    }
}

fn admit_entity(entity: &EntityId, limits: &OperationLimits) -> Result<(), OperationFault> {
    limit(Limited::KindBytes, entity.kind.len(), MAX_KIND_BYTES)?;
    limit(Limited::EntityIdBytes, entity.id.len(), limits.entity_id_bytes)
}

fn admit_path(path: &Path, limits: &OperationLimits) -> Result<(), OperationFault> {
    limit(Limited::PathSteps, path.0.len(), limits.levels)
}

fn admit_value(value: &Value, limits: &OperationLimits) -> Result<(), OperationFault> {
    limit(Limited::ValueLevels, value.depth(), limits.levels)
}

fn limit(what: Limited, value: usize, limit: usize) -> Result<(), OperationFault> {
    if value > limit { Err(OperationFault::Limit { what, value, limit }) } else { Ok(()) }
}
