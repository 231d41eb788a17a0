//! Verifying many receipts. All receipts of a sequence share one certificate, and its signatures are nearly
//! all the work.

use std::collections::VecDeque;

use quorate_types::execution::ExecutionCertificate;

use crate::{EpochInfo, ProofFault, ReceiptProof, VerifiedReceipt};

/// Certificates remembered: answers come from the last few sequences.
const REMEMBERED: usize = 16;

/// Verifies receipts and remembers the certificates that it has verified last, signatures
/// included: a proof with any other signature is checked in full.
#[derive(Clone, Debug)]
pub struct ReceiptVerifier {
    epoch: EpochInfo,
    verified: VecDeque<ExecutionCertificate>,
}

impl ReceiptVerifier {
    /// A verifier that has verified nothing yet.
    #[must_use]
    pub const fn new(epoch: EpochInfo) -> Self {
        Self { epoch, verified: VecDeque::new() }
    }

    /// The epochs known.
    #[must_use]
    pub const fn epoch(&self) -> &EpochInfo {
        &self.epoch
    }

    /// Knows from now on what was followed from the epochs known here, unless it knows more by now.
    pub fn adopt(&mut self, followed: EpochInfo) {
        if followed.epoch > self.epoch.epoch {
            self.epoch = followed;
        }
    }

    /// As [`ReceiptProof::verify`].
    ///
    /// # Errors
    /// What doesn't hold.
    pub fn verify(&mut self, proof: &ReceiptProof) -> Result<VerifiedReceipt, ProofFault> {
        let receipt = proof.under_certificate()?;
        if !self.verified.contains(&proof.certificate) {
            self.epoch.verify_execution(&proof.certificate)?;
            if self.verified.len() == REMEMBERED {
                self.verified.pop_front();
            }
            self.verified.push_back(proof.certificate.clone());
        }
        Ok(receipt)
    }
}
