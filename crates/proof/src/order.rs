//! Order proofs: a commit certificate and the chain of proposals below it (data-model §4,
//! protocol §2: one certificate certifies the chain below).

use quorate_crypto::Digest;
use quorate_types::codec::{Canonical, DecodeError, Reader};
use quorate_types::ids::Sequence;
use quorate_types::message::Segment;
use quorate_types::proposal::Proposal;
use quorate_types::rules::admit_segment;

use crate::{EpochInfo, ProofFault, file};

/// What a file with an order proof starts with.
const MAGIC: &str = "quorate-order";

/// All that it takes to convince someone of the order of a stretch of sequences within one epoch.
/// Unverified until [`OrderProof::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderProof {
    /// The chain and the certificate for its last link.
    pub segment: Segment,
}

/// Proposals that are committed, ascending without gaps. Made only by [`OrderProof::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedOrder {
    proposals: Vec<Proposal>,
}

impl OrderProof {
    /// The content of a file.
    #[must_use]
    pub fn to_file(&self) -> Vec<u8> {
        file::write(MAGIC, self)
    }

    /// Reads the content of a file, strictly. Nothing is verified yet.
    ///
    /// # Errors
    /// [`ProofFault::Format`].
    pub fn from_file(bytes: &[u8]) -> Result<Self, ProofFault> {
        Ok(file::read(MAGIC, bytes)?)
    }

    /// Checks that the proposals are one chain and that a quorum of its epoch committed its end.
    ///
    /// # Errors
    /// What doesn't hold.
    pub fn verify(&self, epoch: &EpochInfo) -> Result<VerifiedOrder, ProofFault> {
        let found = self.segment.certificate.epoch;
        admit_segment(&self.segment, found, epoch.set_of(found)?.quorum())?;
        for proposal in &self.segment.proposals {
            epoch.admit_sequence(found, proposal.sequence)?;
        }
        epoch.verify_statements(self.segment.certificate.votes())?;
        Ok(VerifiedOrder { proposals: self.segment.proposals.clone() })
    }
}

impl VerifiedOrder {
    /// The proposals, ascending without gaps; at least one.
    #[must_use]
    pub fn proposals(&self) -> &[Proposal] {
        &self.proposals
    }

    /// The digest of the proposal committed at `sequence`, if the proof reaches it.
    #[must_use]
    pub fn digest_at(&self, sequence: Sequence) -> Option<Digest> {
        self.proposals.iter().find(|proposal| proposal.sequence == sequence).map(Proposal::digest)
    }
}

impl Canonical for OrderProof {
    fn encode(&self, out: &mut Vec<u8>) {
        self.segment.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { segment: Segment::decode(input)? })
    }
}
