//! Judging the step from one epoch to the next.

use quorate_crypto::sha256;

use super::{RuleFault, admit_execution_certificate};
use crate::codec::Canonical;
use crate::epoch::{self, EpochStart};
use crate::ids::Epoch;
use crate::quorum::Quorum;
use crate::sparse::Finding;

/// Whether a quorum of `before` certified, at the epoch's last sequence, a state in which this definition stands as
/// that of the next epoch (protocol §8.4).
///
/// # Errors
/// The rule that it breaks.
pub fn admit_epoch_start(start: &EpochStart, before: Epoch, quorum: Quorum) -> Result<(), RuleFault> {
    let EpochStart { definition, path, certificate, proposal } = start;
    admit_execution_certificate(certificate, before, quorum)?;
    let execution = &certificate.execution;
    let stands =
        path.prove(&epoch::place(), execution.state_root) == Some(Finding::Present(sha256(&[&definition.to_bytes()])));
    let follows = definition.epoch == before.next() && definition.start == execution.sequence;
    if !stands || !follows {
        return Err(RuleFault::OtherStart(definition.epoch));
    }
    if (proposal.sequence, proposal.digest()) != (execution.sequence, execution.proposal) {
        return Err(RuleFault::OtherProposal(proposal.sequence));
    }
    Ok(())
}
