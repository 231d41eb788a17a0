//! Votes and the certificates that they make (protocol §2.3, §2.4).
//!
//! A certificate is a set by signer index: it holds each signer once, in ascending order, and says
//! nothing until [`crate::rules::admit_certificate`] has counted it.

use quorate_crypto::{Digest, Signature};

use crate::codec::{Canonical, DecodeError, Reader, encode_list};
use crate::ids::{Epoch, Sequence, ValidatorIndex, View};
use crate::limits::MAX_VALIDATORS;
use crate::signed::{Signed, Statement};

/// The two voting phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// "I accepted this proposal in this view."
    Prepare,
    /// "I hold a prepared certificate for it."
    Commit,
}

/// A validator's vote for one proposal in one view; fixed width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vote {
    /// The epoch.
    pub epoch: Epoch,
    /// The view it is cast in.
    pub view: View,
    /// The sequence voted on.
    pub sequence: Sequence,
    /// The proposal's digest.
    pub digest: Digest,
    /// Prepare or commit.
    pub phase: Phase,
    /// Who votes.
    pub validator: ValidatorIndex,
}

/// A proposal's place: a view, a sequence and a digest. Ordered by view, then sequence, as protocol
/// §5.2 compares prepared certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// The view.
    pub view: View,
    /// The sequence.
    pub sequence: Sequence,
    /// The digest.
    pub digest: Digest,
}

/// Votes of one phase in one view for one proposal: a `PreparedCert` or a `CommitCert`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The phase of the votes.
    pub phase: Phase,
    /// The epoch.
    pub epoch: Epoch,
    /// The view, sequence and digest voted for.
    pub claim: Claim,
    /// Signers, ascending, each with its signature.
    pub signatures: Vec<(ValidatorIndex, Signature)>,
}

impl Vote {
    /// What the vote is for.
    #[must_use]
    pub const fn claim(&self) -> Claim {
        Claim { view: self.view, sequence: self.sequence, digest: self.digest }
    }
}

impl Certificate {
    /// The vote that `validator` must have signed to be in this certificate.
    #[must_use]
    pub const fn vote_of(&self, validator: ValidatorIndex) -> Vote {
        Vote {
            epoch: self.epoch,
            view: self.claim.view,
            sequence: self.claim.sequence,
            digest: self.claim.digest,
            phase: self.phase,
            validator,
        }
    }

    /// The votes that it is made of.
    pub fn votes(&self) -> impl Iterator<Item = Signed<Vote>> + '_ {
        self.signatures
            .iter()
            .map(|(validator, signature)| Signed { statement: self.vote_of(*validator), signature: *signature })
    }
}

impl Statement for Vote {
    const TAG: &'static str = "quorate/vote/v1";

    fn signer(&self) -> ValidatorIndex {
        self.validator
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl Canonical for Phase {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::Prepare => 1,
            Self::Commit => 2,
        });
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8()? {
            1 => Ok(Self::Prepare),
            2 => Ok(Self::Commit),
            value => Err(DecodeError::Unknown { what: "phase", value }),
        }
    }
}

impl Canonical for Claim {
    fn encode(&self, out: &mut Vec<u8>) {
        self.view.encode(out);
        self.sequence.encode(out);
        self.digest.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { view: View::decode(input)?, sequence: Sequence::decode(input)?, digest: Digest::decode(input)? })
    }
}

impl Canonical for Vote {
    fn encode(&self, out: &mut Vec<u8>) {
        self.epoch.encode(out);
        self.claim().encode(out);
        self.phase.encode(out);
        self.validator.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let epoch = Epoch::decode(input)?;
        let Claim { view, sequence, digest } = Claim::decode(input)?;
        Ok(Self {
            epoch,
            view,
            sequence,
            digest,
            phase: Phase::decode(input)?,
            validator: ValidatorIndex::decode(input)?,
        })
    }
}

impl Canonical for Certificate {
    fn encode(&self, out: &mut Vec<u8>) {
        self.phase.encode(out);
        self.epoch.encode(out);
        self.claim.encode(out);
        encode_list(&self.signatures, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            phase: Phase::decode(input)?,
            epoch: Epoch::decode(input)?,
            claim: Claim::decode(input)?,
            signatures: input.list(MAX_VALIDATORS, "signatures of a certificate")?,
        })
    }
}
