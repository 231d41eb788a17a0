//! The bytes of evidence: a code for its kind, then its parts.

use super::{
    BrokenPromise, Certified, Diverged, Evidence, InvalidBundle, InvalidProposal, MAX_EVIDENCE_BYTES,
    MAX_EVIDENCE_CHAIN, OffChainVotes,
};
use crate::codec::{Canonical, DecodeError, Reader, encode_list};
use crate::execution::ExecutionCertificate;
use crate::limits::MAX_BUNDLE_OPERATIONS;
use crate::merkle::MerklePath;
use crate::operation::Operation;
use crate::proposal::{PrePrepare, Proposal};
use crate::signed::Signed;
use crate::view_change::NewView;
use crate::vote::Certificate;

impl Canonical for Evidence {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.code());
        match self {
            Self::ConflictingVotes(first, second) | Self::ConflictingProposals(first, second) => {
                pair(first, second, out);
            }
            Self::OffChainVotes(votes) => {
                pair(&votes.lower, &votes.upper, out);
                encode_list(&votes.chain, out);
            }
            Self::InvalidProposal(invalid) => {
                invalid.pre_prepare.encode(out);
                invalid.new_view.is_some().encode(out);
                if let Some(new_view) = &invalid.new_view {
                    new_view.encode(out);
                }
                invalid.parent.encode(out);
            }
            Self::ConflictingViewChanges(first, second) => pair(first, second, out),
            Self::ConflictingNewViews(views) => pair(&views.0, &views.1, out),
            Self::OffAnchor(off) => pair(&off.0, &off.1, out),
            Self::InvalidViewChange(change) => change.encode(out),
            Self::InvalidNewView(new_view) => new_view.encode(out),
            Self::HiddenCertificate(change, vote) | Self::HiddenVote(change, vote) => pair(change, vote, out),
            Self::ConflictingExecutions(first, second) => pair(first, second, out),
            Self::Diverged(diverged) => pair(&diverged.vote, &diverged.against, out),
            Self::ConflictingBundles(first, second) => pair(first, second, out),
            Self::InvalidBundle(invalid) => {
                invalid.header.encode(out);
                pair(&invalid.operation, &invalid.path, out);
            }
            Self::ConflictingOperations(operations) => pair(&operations.0, &operations.1, out),
            Self::BrokenPromise(broken) => {
                pair(&broken.promise, &broken.header, out);
                encode_list(&broken.operations, out);
            }
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let before = input.left();
        let evidence = decode_kind(input)?;
        let length = before - input.left();
        if length > MAX_EVIDENCE_BYTES {
            return Err(DecodeError::TooLong { what: "evidence", length, limit: MAX_EVIDENCE_BYTES });
        }
        Ok(evidence)
    }
}

fn decode_kind(input: &mut Reader<'_>) -> Result<Evidence, DecodeError> {
    Ok(match input.u8()? {
        1 => Evidence::ConflictingVotes(Signed::decode(input)?, Signed::decode(input)?),
        2 => Evidence::OffChainVotes(Box::new(OffChainVotes {
            lower: Signed::decode(input)?,
            upper: Signed::decode(input)?,
            chain: input.list::<Proposal>(MAX_EVIDENCE_CHAIN, "proposals of evidence")?,
        })),
        3 => Evidence::ConflictingProposals(Signed::decode(input)?, Signed::decode(input)?),
        4 => Evidence::InvalidProposal(Box::new(InvalidProposal {
            pre_prepare: PrePrepare::decode(input)?,
            new_view: Option::<Signed<NewView>>::decode(input)?.map(Box::new),
            parent: Option::<Proposal>::decode(input)?,
        })),
        5 => Evidence::ConflictingViewChanges(Signed::decode(input)?, Signed::decode(input)?),
        6 => Evidence::ConflictingNewViews(Box::new((Signed::decode(input)?, Signed::decode(input)?))),
        7 => Evidence::OffAnchor(Box::new((Signed::decode(input)?, PrePrepare::decode(input)?))),
        8 => Evidence::InvalidViewChange(Signed::decode(input)?),
        9 => Evidence::InvalidNewView(Box::new(Signed::decode(input)?)),
        10 => Evidence::HiddenCertificate(Signed::decode(input)?, Signed::decode(input)?),
        11 => Evidence::HiddenVote(Signed::decode(input)?, Signed::decode(input)?),
        12 => Evidence::ConflictingExecutions(Signed::decode(input)?, Signed::decode(input)?),
        13 => {
            Evidence::Diverged(Box::new(Diverged { vote: Signed::decode(input)?, against: Certified::decode(input)? }))
        }
        14 => Evidence::ConflictingBundles(Signed::decode(input)?, Signed::decode(input)?),
        15 => Evidence::InvalidBundle(Box::new(InvalidBundle {
            header: Signed::decode(input)?,
            operation: <Operation as Canonical>::decode(input)?,
            path: MerklePath::decode(input)?,
        })),
        16 => Evidence::ConflictingOperations(Box::new((
            <Operation as Canonical>::decode(input)?,
            <Operation as Canonical>::decode(input)?,
        ))),
        18 => Evidence::BrokenPromise(Box::new(BrokenPromise {
            promise: Signed::decode(input)?,
            header: Signed::decode(input)?,
            operations: input.list(MAX_BUNDLE_OPERATIONS, "operations of a bundle")?,
        })),
        value => return Err(DecodeError::Unknown { what: "evidence", value }),
    })
}

fn pair<A: Canonical, B: Canonical>(first: &A, second: &B, out: &mut Vec<u8>) {
    first.encode(out);
    second.encode(out);
}

impl Canonical for Certified {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Execution(certificate) => {
                out.push(1);
                certificate.encode(out);
            }
            Self::Commit(certificate) => {
                out.push(2);
                certificate.encode(out);
            }
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8()? {
            1 => ExecutionCertificate::decode(input).map(Self::Execution),
            2 => Certificate::decode(input).map(Self::Commit),
            value => Err(DecodeError::Unknown { what: "what evidence is against", value }),
        }
    }
}
