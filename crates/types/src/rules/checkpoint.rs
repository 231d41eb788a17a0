//! A checkpoint that its sender can hand over.

use super::{RuleFault, admit_execution_certificate, admit_proposal};
use crate::ids::Epoch;
use crate::quorum::Quorum;
use crate::snapshot::Checkpoint;

/// Whether a quorum of this epoch certified the checkpoint, and its proposal is the one executed there
/// (protocol §8.7).
///
/// # Errors
/// The rule that it breaks.
pub fn admit_checkpoint(checkpoint: &Checkpoint, epoch: Epoch, quorum: Quorum) -> Result<(), RuleFault> {
    let Checkpoint { certificate, proposal, .. } = checkpoint;
    admit_execution_certificate(certificate, epoch, quorum)?;
    admit_proposal(proposal, epoch, quorum)?;
    let executed = (certificate.execution.sequence, certificate.execution.proposal);
    if executed != (proposal.sequence, proposal.digest()) {
        return Err(RuleFault::OtherProposal(proposal.sequence));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use quorate_crypto::{Digest, Signature};

    use super::*;
    use crate::execution::{Execution, ExecutionCertificate};
    use crate::ids::{BlockTime, Sequence, ValidatorIndex};
    use crate::proposal::{Payload, Proposal};

    fn checkpoint() -> Checkpoint {
        let proposal = Proposal {
            epoch: Epoch(0),
            sequence: Sequence(32),
            parent: Digest::ZERO,
            time: BlockTime(1),
            payload: Payload::default(),
        };
        let execution = Execution {
            epoch: Epoch(0),
            sequence: Sequence(32),
            proposal: proposal.digest(),
            state_root: Digest::ZERO,
            receipts_root: Digest::ZERO,
        };
        let signatures = (0..3).map(|at| (ValidatorIndex(at), Signature::from_bytes([0; 64]))).collect();
        Checkpoint { certificate: ExecutionCertificate { execution, signatures }, proposal, pruned: Sequence(3) }
    }

    /// protocol §8.7
    #[test]
    fn a_checkpoint_has_a_quorum_and_the_proposal_that_was_executed() {
        let admit = |checkpoint: &Checkpoint| admit_checkpoint(checkpoint, Epoch(0), Quorum::of(4));
        assert_eq!(admit(&checkpoint()), Ok(()));
        let mut other = checkpoint();
        other.proposal.time = BlockTime(2);
        assert_eq!(admit(&other), Err(RuleFault::OtherProposal(Sequence(32))));
        let mut few = checkpoint();
        few.certificate.signatures.pop();
        assert_eq!(admit(&few), Err(RuleFault::NoQuorum { found: 2, needed: 3 }));
        assert!(admit_checkpoint(&checkpoint(), Epoch(1), Quorum::of(4)).is_err());
    }
}
