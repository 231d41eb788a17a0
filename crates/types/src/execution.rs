//! Execution votes and certificates: what makes one validator's reply convincing (protocol §3.5).

use quorate_crypto::{Digest, Signature};

use crate::codec::{Canonical, DecodeError, Reader, encode_list};
use crate::ids::{Epoch, Sequence, ValidatorIndex};
use crate::limits::MAX_VALIDATORS;
use crate::signed::Statement;

/// What executing one sequence gave. Equal at all correct validators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Execution {
    /// The epoch.
    pub epoch: Epoch,
    /// The sequence executed.
    pub sequence: Sequence,
    /// The proposal executed there.
    pub proposal: Digest,
    /// The root over the whole replicated state (data-model §4.7).
    pub state_root: Digest,
    /// The Merkle root over the sequence's receipts.
    pub receipts_root: Digest,
}

/// A validator's word that it executed a sequence with this result. Signed only for a sequence at or
/// below a durably held commit certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutionVote {
    /// The result.
    pub execution: Execution,
    /// Who executed.
    pub validator: ValidatorIndex,
}

/// A quorum of matching execution votes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionCertificate {
    /// The result they agree on.
    pub execution: Execution,
    /// Signers, ascending, each with its signature.
    pub signatures: Vec<(ValidatorIndex, Signature)>,
}

impl Statement for ExecutionVote {
    const TAG: &'static str = "quorate/execution-vote/v1";

    fn signer(&self) -> ValidatorIndex {
        self.validator
    }

    fn epoch(&self) -> Epoch {
        self.execution.epoch
    }
}

impl Canonical for Execution {
    fn encode(&self, out: &mut Vec<u8>) {
        self.epoch.encode(out);
        self.sequence.encode(out);
        self.proposal.encode(out);
        self.state_root.encode(out);
        self.receipts_root.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Epoch::decode(input)?,
            sequence: Sequence::decode(input)?,
            proposal: Digest::decode(input)?,
            state_root: Digest::decode(input)?,
            receipts_root: Digest::decode(input)?,
        })
    }
}

impl Canonical for ExecutionVote {
    fn encode(&self, out: &mut Vec<u8>) {
        self.execution.encode(out);
        self.validator.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { execution: Execution::decode(input)?, validator: ValidatorIndex::decode(input)? })
    }
}

impl Canonical for ExecutionCertificate {
    fn encode(&self, out: &mut Vec<u8>) {
        self.execution.encode(out);
        encode_list(&self.signatures, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            execution: Execution::decode(input)?,
            signatures: input.list(MAX_VALIDATORS, "signatures of an execution certificate")?,
        })
    }
}
