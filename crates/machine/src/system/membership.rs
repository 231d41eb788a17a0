//! `Propose`, `Approve`, `Ready`, `Rejoin`: who may change the validator set and the parameters, and when
//! (protocol §7.4, §8.5).

use quorate_crypto::PublicKey;
use quorate_storage::{StateReader, StoreError};
use quorate_types::epoch::{ChangeFault, SetChange};
use quorate_types::ids::{Epoch, OperationId};
use quorate_types::operation::{Ready, Rejoin};
use quorate_types::receipt::RejectionCode;

use super::{Outcome, accuse, reject};
use crate::block::Charter;
use crate::entity::Position;
use crate::epochs::{self, MAX_OPEN, OpenProposal, Pending};
use crate::overlay::Overlay;

/// An administrator proposes: judged now, so that nobody approves what can't be, and again when it is approved.
pub(super) fn propose<R: StateReader>(
    state: &mut Overlay<'_, R>,
    charter: &Charter<'_>,
    (id, author, at): (OperationId, &PublicKey, Position),
    changes: &[SetChange],
) -> Result<Outcome, StoreError> {
    if !charter.administrators.keys.contains(author) {
        return Ok(not_an_administrator("proposes", author));
    }
    if let Err(fault) = judge(state, charter, at, changes)? {
        return Ok(refuse(&fault));
    }
    let open = epochs::lapse(state, at.time, charter.epoch)?;
    if open >= MAX_OPEN {
        let text = format!("{open} proposals wait for approvals, more than {MAX_OPEN} are not allowed");
        return Ok(reject(RejectionCode::TooManyProposals, text));
    }
    epochs::put_open(state, &id, &OpenProposal { changes: changes.to_vec(), since: at, approvals: Vec::new() });
    Ok(Ok(()))
}

/// An administrator approves. With the last approval that is needed, the changes join what waits for the epoch's end.
pub(super) fn approve<R: StateReader>(
    state: &mut Overlay<'_, R>,
    charter: &Charter<'_>,
    (author, at): (&PublicKey, Position),
    id: &OperationId,
) -> Result<Outcome, StoreError> {
    if !charter.administrators.keys.contains(author) {
        return Ok(not_an_administrator("approves", author));
    }
    epochs::lapse(state, at.time, charter.epoch)?;
    let Some(mut proposal) = epochs::open(state, id)? else {
        let text = format!("no proposal {id} waits for approvals: it was approved, has lapsed, or never was");
        return Ok(reject(RejectionCode::NoSuchProposal, text));
    };
    if !proposal.approvals.contains(author) {
        proposal.approvals.push(*author);
    }
    if proposal.approvals.len() < charter.administrators.threshold {
        epochs::put_open(state, id, &proposal);
        return Ok(Ok(()));
    }
    match judge(state, charter, at, &proposal.changes)? {
        Err(fault) => Ok(refuse(&fault)),
        Ok(pending) => {
            epochs::close_open(state, id);
            epochs::put_pending(state, &pending);
            Ok(Ok(()))
        }
    }
}

/// What administrators want, with all that waits. Nobody who is convicted is added again under the same key
/// (accountability §2.3).
fn judge<R: StateReader>(
    state: &Overlay<'_, R>,
    charter: &Charter<'_>,
    at: Position,
    changes: &[SetChange],
) -> Result<Result<Pending, ChangeFault>, StoreError> {
    for change in changes {
        if let SetChange::Add(new) = change
            && accuse::is_blamed(state, &new.consensus_key)?
        {
            return Ok(Err(ChangeFault::Convicted { key: new.consensus_key }));
        }
    }
    epochs::judge(state, charter.epoch, at, changes)
}

/// A validator comes back out of quarantine, with the store that it has now.
pub(super) fn rejoin<R: StateReader>(
    state: &mut Overlay<'_, R>,
    charter: &Charter<'_>,
    (author, at): (&PublicKey, Position),
    &Rejoin { epoch, incarnation }: &Rejoin,
) -> Result<Outcome, StoreError> {
    let validator = *author;
    join(state, charter, (epoch, at), SetChange::Rejoin { validator, incarnation })
}

/// A learner has caught up: it names a state that the cluster had a short while ago.
pub(super) fn ready<R: StateReader>(
    state: &mut Overlay<'_, R>,
    charter: &Charter<'_>,
    (author, at): (&PublicKey, Position),
    ready: &Ready,
) -> Result<Outcome, StoreError> {
    let &Ready { epoch, incarnation, checkpoint, state_root } = ready;
    if !epochs::had_root(state, checkpoint, state_root)? {
        let text = format!("checkpoint {checkpoint} isn't one of the last, or had another state than this one");
        return Ok(reject(RejectionCode::NotCaughtUp, text));
    }
    join(state, charter, (epoch, at), SetChange::Ready { validator: *author, incarnation })
}

/// A validator's own word, which needs no approval, joins what waits for the end of the epoch that it names.
fn join<R: StateReader>(
    state: &mut Overlay<'_, R>,
    charter: &Charter<'_>,
    (epoch, at): (Epoch, Position),
    change: SetChange,
) -> Result<Outcome, StoreError> {
    let present = charter.epoch.epoch;
    if epoch != present {
        let text = format!("this is epoch {present}, the operation is for epoch {epoch} alone");
        return Ok(reject(RejectionCode::OtherEpoch, text));
    }
    match epochs::judge(state, charter.epoch, at, &[change])? {
        Err(fault) => Ok(refuse(&fault)),
        Ok(pending) => {
            epochs::put_pending(state, &pending);
            Ok(Ok(()))
        }
    }
}

fn refuse(fault: &ChangeFault) -> Outcome {
    reject(RejectionCode::ChangeRefused, format!("with all changes that wait for the end of the epoch: {fault}"))
}

fn not_an_administrator(does: &str, author: &PublicKey) -> Outcome {
    let text = format!("only an administrator of the genesis {does} changes of the validator set, {author} is none");
    reject(RejectionCode::PermissionDenied, text)
}
