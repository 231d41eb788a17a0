//! Judging a view change with its attachments (protocol §2.6).

use super::anchor::admit_below;
use super::{RuleFault, admit_certificate};
use crate::ids::{Epoch, ValidatorIndex};
use crate::quorum::Quorum;
use crate::view_change::ViewChangeMessage;
use crate::vote::{Certificate, Claim, Phase};

/// Whether a view change claims only views below its new view and comes with the certificates behind
/// its claims. A copy that fails here is not kept and displaces nothing.
///
/// # Errors
/// The rule that it breaks.
pub fn admit_view_change(message: &ViewChangeMessage, epoch: Epoch, quorum: Quorum) -> Result<(), RuleFault> {
    let change = &message.signed.statement;
    if change.epoch != epoch {
        return Err(RuleFault::OtherEpoch { expected: epoch, found: change.epoch });
    }
    admit_member(change.validator, quorum)?;
    for claim in [change.prepared, change.committed, change.last_vote].into_iter().flatten() {
        admit_below(claim.view, change.new_view)?;
    }
    admit_proof(change.prepared, message.prepared.as_ref(), Phase::Prepare, epoch, quorum)?;
    admit_proof(change.committed, message.committed.as_ref(), Phase::Commit, epoch, quorum)
}

pub(super) fn admit_member(validator: ValidatorIndex, quorum: Quorum) -> Result<(), RuleFault> {
    if validator.position() < quorum.validators() { Ok(()) } else { Err(RuleFault::UnknownValidator(validator)) }
}

fn admit_proof(
    claim: Option<Claim>,
    certificate: Option<&Certificate>,
    phase: Phase,
    epoch: Epoch,
    quorum: Quorum,
) -> Result<(), RuleFault> {
    match (claim, certificate) {
        (None, None) => Ok(()),
        (Some(claim), Some(certificate)) if certificate.claim == claim => {
            admit_certificate(certificate, phase, epoch, quorum)
        }
        _ => Err(RuleFault::UnprovenClaim),
    }
}
