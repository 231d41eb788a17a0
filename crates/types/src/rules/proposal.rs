//! Judging proposals and stretches of the chain without their payload's data.

use quorate_crypto::Digest;

use super::{RuleFault, admit_certificate};
use crate::ids::{BundleNumber, Epoch, Sequence};
use crate::limits::MAX_SEGMENT_PROPOSALS;
use crate::message::Segment;
use crate::parameters::Parameters;
use crate::proposal::{LaneTip, Proposal};
use crate::quorum::Quorum;
use crate::vote::Phase;

/// Whether a proposal is well-formed in itself: not at genesis, lanes of this epoch's set, bundles from
/// number 1 (protocol §3.6; that lanes ascend is part of the layout).
///
/// # Errors
/// The rule that it breaks.
pub fn admit_proposal(proposal: &Proposal, epoch: Epoch, quorum: Quorum) -> Result<(), RuleFault> {
    if proposal.epoch != epoch {
        return Err(RuleFault::OtherEpoch { expected: epoch, found: proposal.epoch });
    }
    if proposal.sequence == Sequence::ZERO {
        return Err(RuleFault::ProposalAtGenesis);
    }
    for tip in &proposal.payload.tips {
        if tip.lane.position() >= quorum.validators() {
            return Err(RuleFault::UnknownValidator(tip.lane));
        }
        if tip.number == BundleNumber::ZERO {
            return Err(RuleFault::BundleZero(tip.lane));
        }
    }
    Ok(())
}

/// Whether `child` follows `parent`, whose digest is `parent_digest`: sequence, digest and block time
/// (protocol §3.2).
///
/// # Errors
/// The rule that it breaks.
pub fn admit_child(parent: &Proposal, parent_digest: Digest, child: &Proposal) -> Result<(), RuleFault> {
    if child.parent != parent_digest || child.sequence != parent.sequence.next() {
        return Err(RuleFault::BrokenChain(child.sequence));
    }
    if child.time < parent.time {
        return Err(RuleFault::TimeDecreases(child.sequence));
    }
    Ok(())
}

/// Whether `child`, which names `parent` by its digest, breaks the rules about sequence and block time
/// (protocol §3.2 d, §3.6), which are judged once, by those who vote for its pre-prepare.
#[must_use]
pub fn breaks_under_parent(parent: &Proposal, child: &Proposal, parameters: &Parameters) -> bool {
    let apart_ms = if child.payload.is_empty() { u64::from(parameters.empty_interval_ms) } else { 0 };
    child.sequence != parent.sequence.next() || child.time < parent.time.plus(apart_ms)
}

/// Whether `child`, which names `parent` by its digest, names a lane at or below the tip that the parent names
/// (protocol §3.6). Lanes begin anew with an epoch.
#[must_use]
pub fn lanes_fall(parent: &Proposal, child: &Proposal) -> bool {
    let before = |lane| parent.payload.tips.iter().find(move |tip| tip.lane == lane);
    let falls = |tip: &LaneTip| before(tip.lane).is_some_and(|before| tip.number <= before.number);
    child.epoch == parent.epoch && child.payload.tips.iter().any(falls)
}

/// Whether a segment is one chain whose last proposal its certificate commits.
///
/// # Errors
/// The rule that it breaks.
pub fn admit_segment(segment: &Segment, epoch: Epoch, quorum: Quorum) -> Result<(), RuleFault> {
    let Some(last) = segment.proposals.last() else {
        return Err(RuleFault::SegmentLength(0));
    };
    if segment.proposals.len() > MAX_SEGMENT_PROPOSALS {
        return Err(RuleFault::SegmentLength(segment.proposals.len()));
    }
    for proposal in &segment.proposals {
        admit_proposal(proposal, epoch, quorum)?;
    }
    for pair in segment.proposals.windows(2) {
        admit_child(&pair[0], pair[0].digest(), &pair[1])?;
    }
    let claim = segment.certificate.claim;
    if claim.sequence != last.sequence || claim.digest != last.digest() {
        return Err(RuleFault::BrokenChain(last.sequence));
    }
    admit_certificate(&segment.certificate, Phase::Commit, epoch, quorum)
}
