//! Receipt proofs: a receipt, its path to the receipts root, and a quorum's word for the root
//! (data-model §4).

use quorate_types::codec::{Canonical, DecodeError, Reader};
use quorate_types::execution::{Execution, ExecutionCertificate};
use quorate_types::merkle::MerklePath;
use quorate_types::receipt::Receipt;

use crate::{EpochInfo, ProofFault, file};

/// What a receipt file starts with.
const MAGIC: &str = "quorate-receipt";

/// All that it takes to convince someone of a receipt. Unverified until [`ReceiptProof::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptProof {
    /// The receipt.
    pub receipt: Receipt,
    /// Its path to the receipts root of its sequence.
    pub path: MerklePath,
    /// A quorum's votes for that root.
    pub certificate: ExecutionCertificate,
}

/// A receipt that a quorum of validators stands for. Made only by [`ReceiptProof::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedReceipt {
    receipt: Receipt,
    execution: Execution,
}

impl ReceiptProof {
    /// The content of a receipt file; also how proofs travel to clients.
    #[must_use]
    pub fn to_file(&self) -> Vec<u8> {
        file::write(MAGIC, self)
    }

    /// Reads the content of a receipt file, strictly. Nothing is verified yet.
    ///
    /// # Errors
    /// [`ProofFault::Format`].
    pub fn from_file(bytes: &[u8]) -> Result<Self, ProofFault> {
        Ok(file::read(MAGIC, bytes)?)
    }

    /// Checks that a quorum of `epoch` signed an execution whose receipts include this one, at the place
    /// that it states.
    ///
    /// # Errors
    /// What doesn't hold.
    pub fn verify(&self, epoch: &EpochInfo) -> Result<VerifiedReceipt, ProofFault> {
        let receipt = self.under_certificate()?;
        epoch.verify_execution(&self.certificate)?;
        Ok(receipt)
    }

    /// Checks all but the certificate's signatures: who calls this verifies them.
    pub(crate) fn under_certificate(&self) -> Result<VerifiedReceipt, ProofFault> {
        let Self { receipt, path, certificate } = self;
        let execution = certificate.execution;
        if receipt.sequence != execution.sequence {
            return Err(ProofFault::OtherSequence { receipt: receipt.sequence, certificate: execution.sequence });
        }
        if u64::from(receipt.index) != path.index {
            return Err(ProofFault::OtherIndex { receipt: receipt.index, path: path.index });
        }
        if path.root(receipt.digest()) != Some(execution.receipts_root) {
            return Err(ProofFault::NotUnderRoot { root: execution.receipts_root });
        }
        Ok(VerifiedReceipt { receipt: receipt.clone(), execution })
    }
}

impl VerifiedReceipt {
    /// The receipt.
    #[must_use]
    pub const fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// The execution that it is part of.
    #[must_use]
    pub const fn execution(&self) -> &Execution {
        &self.execution
    }

    /// The receipt, for keeping.
    #[must_use]
    pub fn into_receipt(self) -> Receipt {
        self.receipt
    }
}

impl Canonical for ReceiptProof {
    fn encode(&self, out: &mut Vec<u8>) {
        self.receipt.encode(out);
        self.path.encode(out);
        self.certificate.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            receipt: Receipt::decode(input)?,
            path: MerklePath::decode(input)?,
            certificate: ExecutionCertificate::decode(input)?,
        })
    }
}
