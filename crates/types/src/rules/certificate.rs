//! Counting the votes of a certificate.

use quorate_crypto::Signature;

use super::RuleFault;
use crate::execution::ExecutionCertificate;
use crate::ids::{Epoch, ValidatorIndex};
use crate::quorum::Quorum;
use crate::vote::{Certificate, Phase};

/// Whether `certificate` has a quorum of distinct signers of this epoch in the right phase
/// (protocol §2.4). Its votes are all of one view by construction: a certificate states its view once.
///
/// # Errors
/// The rule that it breaks.
pub fn admit_certificate(
    certificate: &Certificate,
    phase: Phase,
    epoch: Epoch,
    quorum: Quorum,
) -> Result<(), RuleFault> {
    if certificate.epoch != epoch {
        return Err(RuleFault::OtherEpoch { expected: epoch, found: certificate.epoch });
    }
    if certificate.phase != phase {
        return Err(RuleFault::OtherPhase);
    }
    admit_signers(&certificate.signatures, quorum)
}

/// Whether `certificate` has a quorum of distinct signers of this epoch (protocol §2.10).
///
/// # Errors
/// The rule that it breaks.
pub fn admit_execution_certificate(
    certificate: &ExecutionCertificate,
    epoch: Epoch,
    quorum: Quorum,
) -> Result<(), RuleFault> {
    if certificate.execution.epoch != epoch {
        return Err(RuleFault::OtherEpoch { expected: epoch, found: certificate.execution.epoch });
    }
    if cfg!(mutant = "result-of-blocking-set") && certificate.signatures.len() >= quorum.blocking() {
        return Ok(());
    }
    admit_signers(&certificate.signatures, quorum)
}

fn admit_signers(signatures: &[(ValidatorIndex, Signature)], quorum: Quorum) -> Result<(), RuleFault> {
    let mut previous = None;
    for (validator, _) in signatures {
        if validator.position() >= quorum.validators() {
            return Err(RuleFault::UnknownValidator(*validator));
        }
        // Strictly ascending means distinct: one signer can't be counted twice.
        if previous >= Some(*validator) && !cfg!(mutant = "signer-counted-twice") {
            return Err(RuleFault::SignersOutOfOrder(*validator));
        }
        previous = Some(*validator);
    }
    if signatures.len() < quorum.quorum() {
        return Err(RuleFault::NoQuorum { found: signatures.len(), needed: quorum.quorum() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use quorate_crypto::Digest;

    use super::*;
    use crate::execution::Execution;
    use crate::ids::{Sequence, View};
    use crate::vote::Claim;

    fn certificate(signers: &[u16]) -> Certificate {
        Certificate {
            phase: Phase::Commit,
            epoch: Epoch(0),
            claim: Claim { view: View(1), sequence: Sequence(5), digest: Digest::ZERO },
            signatures: signers.iter().map(|i| (ValidatorIndex(*i), Signature::from_bytes([0; 64]))).collect(),
        }
    }

    fn judge(signers: &[u16]) -> Result<(), RuleFault> {
        admit_certificate(&certificate(signers), Phase::Commit, Epoch(0), Quorum::of(4))
    }

    /// protocol §2
    #[test]
    fn a_quorum_of_distinct_signers_is_needed() {
        assert_eq!(judge(&[0, 1, 3]), Ok(()));
        assert_eq!(judge(&[0, 3]), Err(RuleFault::NoQuorum { found: 2, needed: 3 }));
        assert_eq!(judge(&[0, 1, 4]), Err(RuleFault::UnknownValidator(ValidatorIndex(4))));
    }

    /// protocol §2.10: blocking validators, of whom one is correct, aren't enough.
    #[test]
    fn a_result_needs_a_quorum_of_distinct_signers() {
        let judge = |signers: &[u16]| {
            let Certificate { signatures, .. } = certificate(signers);
            let (sequence, proposal) = (Sequence(5), Digest::ZERO);
            let (state_root, receipts_root) = (Digest::ZERO, Digest::ZERO);
            let execution = Execution { epoch: Epoch(0), sequence, proposal, state_root, receipts_root };
            let certificate = ExecutionCertificate { execution, signatures };
            admit_execution_certificate(&certificate, Epoch(0), Quorum::of(4))
        };
        assert_eq!(judge(&[0, 1, 3]), Ok(()));
        assert_eq!(judge(&[0, 3]), Err(RuleFault::NoQuorum { found: 2, needed: 3 }));
        assert_eq!(judge(&[0, 3, 3]), Err(RuleFault::SignersOutOfOrder(ValidatorIndex(3))));
    }

    /// protocol §2.4: a set by signer index; duplicates are invalid.
    #[test]
    fn one_signer_is_not_counted_twice() {
        assert_eq!(judge(&[0, 1, 1]), Err(RuleFault::SignersOutOfOrder(ValidatorIndex(1))));
        assert_eq!(judge(&[1, 0, 1]), Err(RuleFault::SignersOutOfOrder(ValidatorIndex(0))));
    }

    #[test]
    fn another_epoch_or_phase_is_refused() {
        let quorum = Quorum::of(4);
        let good = certificate(&[0, 1, 2]);
        assert!(admit_certificate(&good, Phase::Prepare, Epoch(0), quorum).is_err());
        assert!(admit_certificate(&good, Phase::Commit, Epoch(1), quorum).is_err());
    }
}
