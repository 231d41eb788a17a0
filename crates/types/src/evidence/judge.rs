//! Judging evidence: from its bytes and its epoch alone.

use super::{Accused, BrokenPromise, Certified, Diverged, Evidence, InvalidBundle, InvalidProposal, OffChainVotes};
use crate::bundle::BundleHeader;
use crate::codec::Canonical;
use crate::merkle;
use crate::operation::{Operation, leaf_of};
use crate::proposal::{PrePrepare, Proposal};
use crate::rules::{self, Anchor, RuleFault};
use crate::signed::Signed;
use crate::verified::{Checks, Context, PeerFault};
use crate::view_change::{NewView, ViewChange};
use crate::vote::{Claim, Phase, Vote};

/// Why something isn't evidence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceFault {
    /// A part of it isn't what its signer signed, or is of another epoch, or of nobody.
    #[error("a part of the evidence doesn't hold: {0}")]
    Part(#[from] PeerFault),
    /// The parts are not about one thing.
    #[error("the parts of the evidence don't belong together: {0}")]
    Unrelated(&'static str),
    /// A correct signer may have signed this.
    #[error("nothing in the evidence breaks a rule")]
    Innocent,
}

impl From<RuleFault> for EvidenceFault {
    fn from(fault: RuleFault) -> Self {
        Self::Part(PeerFault::Rule(fault))
    }
}

type Judged = Result<(), EvidenceFault>;

impl Evidence {
    /// Judges the evidence in its epoch: a pure function of its bytes and of `context` (accountability §1.7, §1.8).
    ///
    /// # Errors
    /// Why it accuses nobody.
    pub fn verify(&self, context: &Context) -> Result<Accused, EvidenceFault> {
        match self {
            Self::ConflictingVotes(first, second) => {
                signed_both(context, first, second)?;
                conflicting_votes(first, second)?;
            }
            Self::ConflictingProposals(first, second) => {
                signed_both(context, first, second)?;
                conflicting_votes(first, second)?;
                let Vote { epoch, view, phase, validator, .. } = first.statement;
                let is_primary = phase == Phase::Prepare && context.set.primary(epoch, view) == validator;
                guilty_if(is_primary, "the signer isn't the primary")?;
            }
            Self::OffChainVotes(votes) => off_chain(context, votes)?,
            Self::InvalidProposal(invalid) => invalid_proposal(context, invalid)?,
            Self::ConflictingViewChanges(first, second) => {
                signed_both(context, first, second)?;
                guilty_if(first.statement.new_view == second.statement.new_view, "two views")?;
                different(first, second)?;
            }
            Self::ConflictingNewViews(pair) => {
                signed_both(context, &pair.0, &pair.1)?;
                guilty_if(pair.0.statement.view == pair.1.statement.view, "two views")?;
                different(&pair.0, &pair.1)?;
            }
            Self::OffAnchor(pair) => off_anchor(context, &pair.0, &pair.1)?,
            Self::InvalidViewChange(change) => invalid_view_change(context, change)?,
            Self::InvalidNewView(new_view) => invalid_new_view(context, new_view)?,
            Self::HiddenCertificate(change, vote) => hidden(context, change, vote, Phase::Commit)?,
            Self::HiddenVote(change, vote) => hidden(context, change, vote, Phase::Prepare)?,
            Self::ConflictingExecutions(first, second) => {
                signed_both(context, first, second)?;
                let (one, other) = (first.statement.execution, second.statement.execution);
                guilty_if(one.sequence == other.sequence, "two sequences")?;
                different(first, second)?;
            }
            Self::Diverged(diverged) => diverged_result(context, diverged)?,
            Self::ConflictingBundles(first, second) => conflicting_bundles(context, first, second)?,
            Self::InvalidBundle(invalid) => invalid_bundle(context, invalid)?,
            Self::ConflictingOperations(pair) => conflicting_operations(context, &pair.0, &pair.1)?,
            Self::BrokenPromise(broken) => broken_promise(context, broken)?,
        }
        Ok(self.accused())
    }
}

const fn guilty_if(is_related: bool, otherwise: &'static str) -> Judged {
    if is_related { Ok(()) } else { Err(EvidenceFault::Unrelated(otherwise)) }
}

const fn unless_innocent(is_broken: bool) -> Judged {
    if is_broken { Ok(()) } else { Err(EvidenceFault::Innocent) }
}

/// Both signed by one signer of this epoch, and in the one order that a pair has.
fn signed_both<T: crate::signed::Statement>(context: &Context, first: &Signed<T>, second: &Signed<T>) -> Judged {
    guilty_if(first.signer() == second.signer(), "two signers")?;
    guilty_if(first.to_bytes() <= second.to_bytes(), "the halves are in the other order")?;
    if cfg!(mutant = "evidence-unsigned") {
        return Ok(());
    }
    let mut checks = Checks::new(context);
    checks.signed(first)?;
    checks.signed(second)?;
    Ok(checks.settle()?)
}

fn signed<T: crate::signed::Statement>(context: &Context, one: &Signed<T>) -> Judged {
    let mut checks = Checks::new(context);
    checks.signed(one)?;
    Ok(checks.settle()?)
}

fn different<T: Canonical>(first: &Signed<T>, second: &Signed<T>) -> Judged {
    unless_innocent(first.statement.to_bytes() != second.statement.to_bytes())
}

/// protocol §3.8.
fn conflicting_votes(first: &Signed<Vote>, second: &Signed<Vote>) -> Judged {
    let slot = |vote: &Vote| (vote.epoch, vote.view, vote.sequence, vote.phase);
    guilty_if(slot(&first.statement) == slot(&second.statement), "two places")?;
    unless_innocent(first.statement.digest != second.statement.digest)
}

/// protocol §3.2 (b), §3.3: all votes of a view lie on one chain.
fn off_chain(context: &Context, votes: &OffChainVotes) -> Judged {
    let (lower, upper) = (&votes.lower.statement, &votes.upper.statement);
    guilty_if(lower.validator == upper.validator, "two signers")?;
    guilty_if((lower.epoch, lower.view) == (upper.epoch, upper.view), "two views")?;
    guilty_if((lower.sequence, lower.phase) < (upper.sequence, upper.phase), "the votes don't rise")?;
    let mut checks = Checks::new(context);
    checks.signed(&votes.lower)?;
    checks.signed(&votes.upper)?;
    checks.settle()?;
    let (mut at, mut digest) = (upper.sequence, upper.digest);
    for proposal in &votes.chain {
        let is_next = at > lower.sequence && proposal.sequence == at && proposal.digest() == digest;
        guilty_if(is_next, "the proposals aren't the chain of the upper vote")?;
        (at, digest) = (at.previous().unwrap_or_default(), proposal.parent);
    }
    guilty_if(at == lower.sequence, "the chain doesn't reach the lower vote")?;
    unless_innocent(digest != lower.digest)
}

/// A pre-prepare of the primary of its view, signed.
fn pre_prepared(context: &Context, pre_prepare: &PrePrepare) -> Judged {
    let PrePrepare { proposal, vote } = pre_prepare;
    let Vote { epoch, view, sequence, digest, phase, validator } = vote.statement;
    guilty_if(context.set.primary(epoch, view) == validator, "the signer isn't the primary")?;
    // The digest alone says which proposal is meant: its own sequence and epoch may be what is wrong with it.
    guilty_if(phase == Phase::Prepare && digest == proposal.digest(), "the vote is for another proposal")?;
    signed(context, vote)?;
    // Whoever signs a sequence that isn't its proposal's has signed something else than a pre-prepare.
    guilty_if(sequence == proposal.sequence, "the vote is for another sequence")
}

/// A new view signed by its primary and valid in itself, and its anchor.
fn anchored(context: &Context, new_view: &Signed<NewView>) -> Result<Anchor, EvidenceFault> {
    signed(context, new_view)?;
    Ok(rules::admit_new_view(&new_view.statement, context.leading(), context.start)?)
}

/// protocol §3.6, §3.2 (d). What no correct validator votes for in any role speaks for itself. Sequence and block time
/// are not judged again where a new view takes a proposal up (protocol §5.3): the primary's vote for its anchor is no
/// pre-prepare, so the anchor must be shown to lie below.
fn invalid_proposal(context: &Context, invalid: &InvalidProposal) -> Judged {
    pre_prepared(context, &invalid.pre_prepare)?;
    let PrePrepare { proposal, vote } = &invalid.pre_prepare;
    if rules::admit_proposal(proposal, context.epoch, context.quorum()).is_err() || breaks_start(context, proposal) {
        return Ok(());
    }
    let parent = invalid.parent.as_ref().ok_or(EvidenceFault::Innocent)?;
    guilty_if(parent.digest() == proposal.parent, "the parent is another one")?;
    if rules::lanes_fall(parent, proposal) {
        return Ok(());
    }
    match &invalid.new_view {
        Some(new_view) => {
            let NewView { view, validator, .. } = new_view.statement;
            let is_of_view = view == vote.statement.view && validator == vote.statement.validator;
            guilty_if(is_of_view, "the new view is another one")?;
            let anchor = anchored(context, new_view)?;
            guilty_if(anchor.sequence < vote.statement.sequence, "it may be the view's anchor")?;
        }
        None => guilty_if(vote.statement.view.0 == 0, "without the new view it may be the view's anchor")?,
    }
    unless_innocent(rules::breaks_under_parent(parent, proposal, &context.parameters))
}

/// The epoch begins above its starting checkpoint, and upon it.
fn breaks_start(context: &Context, proposal: &Proposal) -> bool {
    let (sequence, digest) = context.start;
    proposal.sequence <= sequence || (proposal.sequence == sequence.next() && proposal.parent != digest)
}

/// protocol §5.3: a primary proposes above its view's anchor, and upon it.
fn off_anchor(context: &Context, new_view: &Signed<NewView>, pre_prepare: &PrePrepare) -> Judged {
    pre_prepared(context, pre_prepare)?;
    let Vote { view, sequence, digest, validator, .. } = pre_prepare.vote.statement;
    let NewView { view: of, validator: primary, .. } = new_view.statement;
    guilty_if(of == view && primary == validator, "the new view is another one")?;
    let anchor = anchored(context, new_view)?;
    unless_innocent(rules::is_off_anchor(anchor, (sequence, digest), &pre_prepare.proposal))
}

/// protocol §2.6: every claim is of a view below the new one. The attachments aren't signed and say nothing.
fn invalid_view_change(context: &Context, change: &Signed<ViewChange>) -> Judged {
    signed(context, change)?;
    let ViewChange { new_view, prepared, committed, last_vote, .. } = change.statement;
    let mut claims = [prepared, committed, last_vote].into_iter().flatten();
    unless_innocent(claims.any(|claim| claim.view >= new_view))
}

/// protocol §2.7, §5.2: signed as a whole, with all that is in it.
fn invalid_new_view(context: &Context, new_view: &Signed<NewView>) -> Judged {
    signed(context, new_view)?;
    let mut checks = Checks::new(context);
    let is_valid = checks.new_view(new_view).and_then(|()| checks.settle()).is_ok();
    unless_innocent(!is_valid)
}

/// protocol §2.6, §5.1: a view change names the highest certificate and the highest prepare vote of all views below.
fn hidden(context: &Context, change: &Signed<ViewChange>, vote: &Signed<Vote>, phase: Phase) -> Judged {
    guilty_if(change.signer() == vote.signer(), "two signers")?;
    let mut checks = Checks::new(context);
    checks.signed(change)?;
    checks.signed(vote)?;
    checks.settle()?;
    guilty_if(vote.statement.phase == phase, "a vote of the other phase")?;
    guilty_if(vote.statement.view < change.statement.new_view, "a vote of a view that wasn't left")?;
    let claimed = if phase == Phase::Commit { change.statement.prepared } else { change.statement.last_vote };
    unless_innocent(is_hidden(claimed, &vote.statement))
}

/// Whether a claim says less than a vote shows.
#[must_use]
pub(crate) fn is_hidden(claimed: Option<Claim>, vote: &Vote) -> bool {
    claimed.map(|claim| (claim.view, claim.sequence)) < Some((vote.view, vote.sequence))
}

/// protocol §2.10, §8.2.
fn diverged_result(context: &Context, diverged: &Diverged) -> Judged {
    signed(context, &diverged.vote)?;
    let execution = diverged.vote.statement.execution;
    let mut checks = Checks::new(context);
    match &diverged.against {
        Certified::Execution(certificate) => {
            guilty_if(certificate.execution.sequence == execution.sequence, "two sequences")?;
            checks.execution_certificate(certificate)?;
            checks.settle()?;
            unless_innocent(certificate.execution != execution)
        }
        Certified::Commit(certificate) => {
            guilty_if(certificate.claim.sequence == execution.sequence, "two sequences")?;
            rules::admit_certificate(certificate, Phase::Commit, context.epoch, context.quorum())?;
            checks.certificate(certificate)?;
            checks.settle()?;
            unless_innocent(certificate.claim.digest != execution.proposal)
        }
    }
}

/// protocol §10.4: one bundle of a number; each names the one before it.
fn conflicting_bundles(context: &Context, first: &Signed<BundleHeader>, second: &Signed<BundleHeader>) -> Judged {
    let (one, other) = (&first.statement, &second.statement);
    if one.number == other.number {
        signed_both(context, first, second)?;
        return different(first, second);
    }
    guilty_if(one.lane == other.lane, "two lanes")?;
    guilty_if(one.number.next() == other.number, "neither follows the other")?;
    let mut checks = Checks::new(context);
    checks.signed(first)?;
    checks.signed(second)?;
    checks.settle()?;
    unless_innocent(other.parent != one.digest())
}

/// protocol §2.8: the owner of a lane checks each operation again before it bundles it.
fn invalid_bundle(context: &Context, invalid: &InvalidBundle) -> Judged {
    let InvalidBundle { header, operation, path } = invalid;
    signed(context, header)?;
    let root = path.root(operation.leaf()).ok_or(EvidenceFault::Unrelated("the path is of no tree"))?;
    guilty_if(root == header.statement.operations_root, "the operation isn't in the bundle")?;
    unless_innocent(!is_valid_operation(context, operation))
}

fn is_valid_operation(context: &Context, operation: &Operation) -> bool {
    operation.admit(&context.parameters, &context.cluster).is_ok() && is_signed(context, operation)
}

fn is_signed(context: &Context, operation: &Operation) -> bool {
    context.scheme.verify(&operation.author(), &operation.signing_bytes(), operation.signature())
}

/// data-model §3: a nonce is its author's number for one operation.
fn conflicting_operations(context: &Context, first: &Operation, second: &Operation) -> Judged {
    guilty_if(first.author() == second.author(), "two authors")?;
    guilty_if(first.nonce() == second.nonce(), "two nonces")?;
    // A validator's word about its own store has no nonce, and may be said again (protocol §7.4).
    let is_numbered = |operation: &Operation| !operation.is_own_word();
    guilty_if(is_numbered(first) && is_numbered(second), "an operation without a nonce")?;
    guilty_if(first.to_bytes() <= second.to_bytes(), "the halves are in the other order")?;
    for operation in [first, second] {
        guilty_if(operation.content().cluster == context.cluster, "an operation of another cluster")?;
        guilty_if(is_signed(context, operation), "an operation that its author didn't sign")?;
    }
    unless_innocent(first.id() != second.id())
}

/// protocol §2.8: a promise names a bundle that its signer has made, and that holds the operation.
fn broken_promise(context: &Context, broken: &BrokenPromise) -> Judged {
    let BrokenPromise { promise, header, operations } = broken;
    guilty_if(promise.signer() == header.signer(), "the bundle is of another lane")?;
    guilty_if(promise.statement.number == header.statement.number, "the bundle isn't the one promised")?;
    let mut checks = Checks::new(context);
    checks.signed(promise)?;
    checks.signed(header)?;
    checks.settle()?;
    let leaves: Vec<_> = operations.iter().map(|(id, signature)| leaf_of(id, signature)).collect();
    guilty_if(merkle::root(&leaves) == header.statement.operations_root, "the bundle holds other operations")?;
    // By id: whatever signature of its author an operation comes with, it executes.
    unless_innocent(!operations.iter().any(|(id, _)| *id == promise.statement.operation))
}
