//! System operations that change the validator set and the parameters, between domain and wire (data-model §2.5).

use quorate_crypto::{Digest, PublicKey};

use super::convert::{Checked, bytes_of, fixed, missing};
use super::fault::OperationFault;
use super::trail::Trail;
use crate::epoch::{MAX_CHANGES, MAX_PARAMETER_BYTES, NewValidator, SetChange};
use crate::ids::{Epoch, OperationId, Sequence};
use crate::limits::MAX_ADDRESS_BYTES;
use crate::operation::MAX_KIND_BYTES;
use crate::pb;

/// A learner's word that it has caught up: it may count from the next epoch on (protocol §8.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The only epoch in which it is valid.
    pub epoch: Epoch,
    /// The nonce of the learner's store.
    pub incarnation: [u8; 32],
    /// A checkpoint that it has executed.
    pub checkpoint: Sequence,
    /// The state's root there.
    pub state_root: Digest,
}

/// A validator's way out of quarantine (protocol §7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejoin {
    /// The only epoch in which it is valid.
    pub epoch: Epoch,
    /// The nonce of the validator's store.
    pub incarnation: [u8; 32],
}

pub(super) fn read_propose(propose: pb::Propose, at: &Trail<'_>) -> Checked<Vec<SetChange>> {
    let changes = propose.changes;
    if changes.is_empty() {
        return Err(missing(&at.field("changes")));
    }
    if changes.len() > MAX_CHANGES {
        let rule = "has too many changes, 16 are allowed";
        return Err(OperationFault::Unusable { field: at.field("changes").path(), rule });
    }
    let numbered = changes.into_iter().enumerate();
    numbered.map(|(index, change)| read_change(change, &at.item("changes", index))).collect()
}

fn read_change(change: pb::SetChange, at: &Trail<'_>) -> Checked<SetChange> {
    use pb::set_change::Change as Wire;
    match change.change.ok_or_else(|| missing(&at.field("change")))? {
        Wire::Add(pb::AddValidator { name, consensus_key, network_key, peer_address, replaces }) => {
            let at = at.field("add");
            Ok(SetChange::Add(Box::new(NewValidator {
                name: bounded(name, MAX_KIND_BYTES, &at.field("name"))?,
                consensus_key: PublicKey::from_bytes(fixed(&consensus_key, &at.field("consensus_key"))?),
                network_key: PublicKey::from_bytes(fixed(&network_key, &at.field("network_key"))?),
                peer_address: bounded(peer_address, MAX_ADDRESS_BYTES, &at.field("peer_address"))?,
                replaces,
            })))
        }
        Wire::Remove(pb::RemoveValidator { name }) => {
            Ok(SetChange::Remove { name: bounded(name, MAX_KIND_BYTES, &at.field("remove").field("name"))? })
        }
        Wire::Parameter(pb::SetParameter { name, value }) => {
            let name = bounded(name, MAX_PARAMETER_BYTES, &at.field("parameter").field("name"))?;
            Ok(SetChange::Parameter { name, value })
        }
    }
}

fn bounded(text: String, limit: usize, at: &Trail<'_>) -> Checked<String> {
    if text.is_empty() {
        return Err(missing(at));
    }
    if text.len() > limit {
        return Err(OperationFault::Unusable { field: at.path(), rule: "is too long" });
    }
    Ok(text)
}

pub(super) fn read_approve(approve: &pb::Approve, at: &Trail<'_>) -> Checked<OperationId> {
    Ok(OperationId(Digest::new(fixed(&approve.proposal, &at.field("proposal"))?)))
}

pub(super) fn read_ready(ready: &pb::Ready, at: &Trail<'_>) -> Checked<Ready> {
    Ok(Ready {
        epoch: Epoch(ready.epoch),
        incarnation: fixed(&ready.incarnation, &at.field("incarnation"))?,
        checkpoint: Sequence(ready.checkpoint),
        state_root: Digest::new(fixed(&ready.state_root, &at.field("state_root"))?),
    })
}

pub(super) fn read_rejoin(rejoin: &pb::Rejoin, at: &Trail<'_>) -> Checked<Rejoin> {
    Ok(Rejoin { epoch: Epoch(rejoin.epoch), incarnation: fixed(&rejoin.incarnation, &at.field("incarnation"))? })
}

/// The message; changes that no administrator proposes have none.
pub(super) fn write_propose(changes: &[SetChange]) -> pb::Propose {
    pb::Propose { changes: changes.iter().map(|change| pb::SetChange { change: write_change(change) }).collect() }
}

fn write_change(change: &SetChange) -> Option<pb::set_change::Change> {
    use pb::set_change::Change as Wire;
    match change {
        SetChange::Add(new) => Some(Wire::Add(pb::AddValidator {
            name: new.name.clone(),
            consensus_key: bytes_of(&new.consensus_key),
            network_key: bytes_of(&new.network_key),
            peer_address: new.peer_address.clone(),
            replaces: new.replaces,
        })),
        SetChange::Remove { name } => Some(Wire::Remove(pb::RemoveValidator { name: name.clone() })),
        SetChange::Parameter { name, value } => {
            Some(Wire::Parameter(pb::SetParameter { name: name.clone(), value: *value }))
        }
        SetChange::Ready { .. } | SetChange::Rejoin { .. } | SetChange::Bar { .. } | SetChange::Evict { .. } => None,
    }
}

pub(super) fn write_approve(proposal: &OperationId) -> pb::Approve {
    pb::Approve { proposal: bytes_of(&proposal.0) }
}

pub(super) fn write_ready(ready: &Ready) -> pb::Ready {
    pb::Ready {
        epoch: ready.epoch.0,
        incarnation: bytes_of(&ready.incarnation),
        checkpoint: ready.checkpoint.0,
        state_root: bytes_of(&ready.state_root),
    }
}

pub(super) fn write_rejoin(rejoin: &Rejoin) -> pb::Rejoin {
    pb::Rejoin { epoch: rejoin.epoch.0, incarnation: bytes_of(&rejoin.incarnation) }
}
