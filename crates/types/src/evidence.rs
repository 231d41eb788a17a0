//! Evidence: what convinces anyone that a signer broke the rules (accountability §1).
//!
//! A piece of evidence is one self-contained value. Whether it holds is a pure function of its bytes and of its
//! epoch's [`Context`](crate::verified::Context) ([`Evidence::verify`]): no clock, no position, no word of whoever
//! brings it. Every rule follows from what a correct validator never signs, whatever the network, the clock or its
//! crashes did (protocol §10.4); so none can be its subject.
//!
//! Not here: who keeps it, and what follows from it.

mod conviction;
mod judge;
mod layout;

use std::fmt;

use quorate_crypto::{Digest, PublicKey};

use crate::bundle::BundleHeader;
use crate::codec::Canonical;
use crate::contradiction::Contradiction;
use crate::execution::{ExecutionCertificate, ExecutionVote};
use crate::ids::{Epoch, ValidatorIndex, View};
use crate::merkle::MerklePath;
use crate::message::Message;
use crate::operation::Operation;
use crate::promise::{Listed, Promise};
use crate::proposal::{PrePrepare, Proposal};
use crate::signed::{Signed, tagged_digest};
use crate::verified::PeerFault;
use crate::view_change::{NewView, ViewChange};
use crate::vote::{Certificate, Vote};

pub use conviction::{CONVICTIONS, Conviction};
pub use judge::EvidenceFault;

/// The most bytes of one piece of evidence: an operation of the largest size with a path to it.
pub const MAX_EVIDENCE_BYTES: usize = crate::limits::MAX_OPERATION_BYTES + (256 << 10);

/// The most proposals between two votes of one view: the default window.
pub const MAX_EVIDENCE_CHAIN: usize = 256;

/// Who is accused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Accused {
    /// A validator of the evidence's epoch.
    Validator(ValidatorIndex),
    /// An author of operations.
    Author(PublicKey),
}

/// A proof that a signer broke the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Two votes of one phase at one (epoch, view, sequence) for different digests.
    ConflictingVotes(Signed<Vote>, Signed<Vote>),
    /// Two votes of one view that aren't on one chain.
    OffChainVotes(Box<OffChainVotes>),
    /// Two votes by which one primary proposed different things at one (epoch, view, sequence).
    ConflictingProposals(Signed<Vote>, Signed<Vote>),
    /// A pre-prepare that no correct primary makes.
    InvalidProposal(Box<InvalidProposal>),
    /// Two view changes for one view with different claims.
    ConflictingViewChanges(Signed<ViewChange>, Signed<ViewChange>),
    /// Two new views for one view.
    ConflictingNewViews(Box<(Signed<NewView>, Signed<NewView>)>),
    /// A pre-prepare beside the anchor of the new view of the same primary.
    OffAnchor(Box<(Signed<NewView>, PrePrepare)>),
    /// A view change with a claim that isn't below its new view.
    InvalidViewChange(Signed<ViewChange>),
    /// A new view that is invalid in itself.
    InvalidNewView(Box<Signed<NewView>>),
    /// A view change that claims less than its signer committed to.
    HiddenCertificate(Signed<ViewChange>, Signed<Vote>),
    /// A view change whose last vote is below a prepare vote of its signer.
    HiddenVote(Signed<ViewChange>, Signed<Vote>),
    /// Two results of one signer at one sequence.
    ConflictingExecutions(Signed<ExecutionVote>, Signed<ExecutionVote>),
    /// A result against the certified one, or of another proposal than the committed one.
    Diverged(Box<Diverged>),
    /// Two bundles of one number, or one that doesn't follow the same lane's bundle before it.
    ConflictingBundles(Signed<BundleHeader>, Signed<BundleHeader>),
    /// A bundle with an operation that is invalid in itself.
    InvalidBundle(Box<InvalidBundle>),
    /// Two operations of one author with one nonce.
    ConflictingOperations(Box<(Operation, Operation)>),
    /// An intake promise, and the bundle that it names without the operation that was promised.
    BrokenPromise(Box<BrokenPromise>),
}

/// Two votes of one signer in one view, and why they aren't on one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffChainVotes {
    /// The vote at the lower sequence; of two at one sequence, the prepare vote.
    pub lower: Signed<Vote>,
    /// The other.
    pub upper: Signed<Vote>,
    /// The proposals from the upper vote's down to the one above the lower vote's sequence, each the child of the
    /// next; empty if both votes are at one sequence.
    pub chain: Vec<Proposal>,
}

/// A pre-prepare, and what shows that it breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidProposal {
    /// The pre-prepare: the primary's vote is its signature.
    pub pre_prepare: PrePrepare,
    /// The new view of its view, by the same primary, where the fault is one that isn't judged again of a view's anchor
    /// (protocol §5.3): the primary's vote for that is no pre-prepare. View 0 has none.
    pub new_view: Option<Box<Signed<NewView>>>,
    /// The parent that it names by digest; not needed where the proposal is wrong in itself.
    pub parent: Option<Proposal>,
}

/// A result and what it is against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diverged {
    /// The result.
    pub vote: Signed<ExecutionVote>,
    /// What a quorum certified.
    pub against: Certified,
}

/// What a quorum certified at a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certified {
    /// A result.
    Execution(ExecutionCertificate),
    /// A proposal.
    Commit(Certificate),
}

/// A bundle's header, with one of its operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidBundle {
    /// The header.
    pub header: Signed<BundleHeader>,
    /// The operation.
    pub operation: Operation,
    /// From the operation to the header's root.
    pub path: MerklePath,
}

/// A promise, and the bundle that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenPromise {
    /// The promise.
    pub promise: Signed<Promise>,
    /// The header of the bundle of that number in the same lane.
    pub header: Signed<BundleHeader>,
    /// All that the bundle holds, in its order: what the header's root commits to.
    pub operations: Vec<Listed>,
}

impl Evidence {
    /// What names it everywhere: the digest of its bytes.
    #[must_use]
    pub fn id(&self) -> Digest {
        tagged_digest("quorate/evidence/v1", self)
    }

    /// Whom it accuses. True only of evidence that was verified.
    #[must_use]
    pub fn accused(&self) -> Accused {
        let signer = match self {
            Self::ConflictingVotes(first, _) | Self::ConflictingProposals(first, _) => first.signer(),
            Self::OffChainVotes(pair) => pair.upper.signer(),
            Self::InvalidProposal(invalid) => invalid.pre_prepare.vote.signer(),
            Self::ConflictingViewChanges(change, _)
            | Self::InvalidViewChange(change)
            | Self::HiddenCertificate(change, _)
            | Self::HiddenVote(change, _) => change.signer(),
            Self::ConflictingNewViews(pair) => pair.0.signer(),
            Self::OffAnchor(pair) => pair.0.signer(),
            Self::InvalidNewView(new_view) => new_view.signer(),
            Self::ConflictingExecutions(first, _) => first.signer(),
            Self::Diverged(diverged) => diverged.vote.signer(),
            Self::ConflictingBundles(first, _) => first.signer(),
            Self::InvalidBundle(invalid) => invalid.header.signer(),
            Self::ConflictingOperations(pair) => return Accused::Author(pair.0.author()),
            Self::BrokenPromise(broken) => broken.promise.signer(),
        };
        Accused::Validator(signer)
    }

    /// The validator accused; `None` if an author is.
    #[must_use]
    pub fn validator(&self) -> Option<ValidatorIndex> {
        match self.accused() {
            Accused::Validator(validator) => Some(validator),
            Accused::Author(_) => None,
        }
    }

    /// The epoch whose validators, limits and starting checkpoint judge it. An operation belongs to none: its author's
    /// signature binds it to the cluster.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        match self {
            Self::ConflictingVotes(first, _) | Self::ConflictingProposals(first, _) => first.statement.epoch,
            Self::OffChainVotes(pair) => pair.upper.statement.epoch,
            Self::InvalidProposal(invalid) => invalid.pre_prepare.vote.statement.epoch,
            Self::ConflictingViewChanges(change, _)
            | Self::InvalidViewChange(change)
            | Self::HiddenCertificate(change, _)
            | Self::HiddenVote(change, _) => change.statement.epoch,
            Self::ConflictingNewViews(pair) => pair.0.statement.epoch,
            Self::OffAnchor(pair) => pair.0.statement.epoch,
            Self::InvalidNewView(new_view) => new_view.statement.epoch,
            Self::ConflictingExecutions(first, _) => first.statement.execution.epoch,
            Self::Diverged(diverged) => diverged.vote.statement.execution.epoch,
            Self::ConflictingBundles(first, _) => first.statement.epoch,
            Self::InvalidBundle(invalid) => invalid.header.statement.epoch,
            Self::ConflictingOperations(_) => Epoch::ZERO,
            Self::BrokenPromise(broken) => broken.promise.statement.epoch,
        }
    }

    /// The kind, for people, logs and metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ConflictingVotes(..) => "conflicting-votes",
            Self::OffChainVotes(_) => "off-chain-votes",
            Self::ConflictingProposals(..) => "conflicting-proposals",
            Self::InvalidProposal(_) => "invalid-proposal",
            Self::ConflictingViewChanges(..) => "conflicting-view-changes",
            Self::ConflictingNewViews(_) => "conflicting-new-views",
            Self::OffAnchor(_) => "off-anchor",
            Self::InvalidViewChange(_) => "invalid-view-change",
            Self::InvalidNewView(_) => "invalid-new-view",
            Self::HiddenCertificate(..) => "hidden-certificate",
            Self::HiddenVote(..) => "hidden-vote",
            Self::ConflictingExecutions(..) => "conflicting-executions",
            Self::Diverged(_) => "diverged",
            Self::ConflictingBundles(..) => "conflicting-bundles",
            Self::InvalidBundle(_) => "invalid-bundle",
            Self::ConflictingOperations(_) => "conflicting-operations",
            Self::BrokenPromise(_) => "broken-promise",
        }
    }

    /// All kinds, in the order of their codes.
    pub const KINDS: &'static [&'static str] = &[
        "conflicting-votes",
        "off-chain-votes",
        "conflicting-proposals",
        "invalid-proposal",
        "conflicting-view-changes",
        "conflicting-new-views",
        "off-anchor",
        "invalid-view-change",
        "invalid-new-view",
        "hidden-certificate",
        "hidden-vote",
        "conflicting-executions",
        "diverged",
        "conflicting-bundles",
        "invalid-bundle",
        "conflicting-operations",
        "broken-promise",
    ];

    /// The kind as one byte, in bytes and keys. 17 is kept for a false acknowledgement.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::ConflictingVotes(..) => 1,
            Self::OffChainVotes(_) => 2,
            Self::ConflictingProposals(..) => 3,
            Self::InvalidProposal(_) => 4,
            Self::ConflictingViewChanges(..) => 5,
            Self::ConflictingNewViews(_) => 6,
            Self::OffAnchor(_) => 7,
            Self::InvalidViewChange(_) => 8,
            Self::InvalidNewView(_) => 9,
            Self::HiddenCertificate(..) => 10,
            Self::HiddenVote(..) => 11,
            Self::ConflictingExecutions(..) => 12,
            Self::Diverged(_) => 13,
            Self::ConflictingBundles(..) => 14,
            Self::InvalidBundle(_) => 15,
            Self::ConflictingOperations(_) => 16,
            Self::BrokenPromise(_) => 18,
        }
    }

    /// Whether a broken disk or memory can be the reason: repair follows from it, not blame (accountability §1.9).
    #[must_use]
    pub const fn is_about_results(&self) -> bool {
        matches!(self, Self::ConflictingExecutions(..) | Self::Diverged(_))
    }

    /// Whether it can be ordered by the cluster: authors are judged by the state already, and are without number
    /// (accountability §2.2).
    #[must_use]
    pub const fn is_ordered(&self) -> bool {
        !matches!(self, Self::ConflictingOperations(_))
    }

    /// What it is about: equal for all evidence of one kind against one signer that says the same in other words.
    #[must_use]
    pub fn place(&self) -> Vec<u8> {
        let epoch = self.epoch();
        match self {
            Self::ConflictingVotes(first, _) | Self::ConflictingProposals(first, _) => {
                let Vote { view, sequence, phase, .. } = first.statement;
                ((epoch, view), (sequence, phase)).to_bytes()
            }
            Self::OffChainVotes(pair) => (epoch, pair.upper.statement.view).to_bytes(),
            Self::InvalidProposal(invalid) => {
                let Vote { view, sequence, .. } = invalid.pre_prepare.vote.statement;
                ((epoch, view), sequence).to_bytes()
            }
            Self::ConflictingViewChanges(change, _)
            | Self::InvalidViewChange(change)
            | Self::HiddenCertificate(change, _)
            | Self::HiddenVote(change, _) => (epoch, change.statement.new_view).to_bytes(),
            Self::ConflictingNewViews(pair) => (epoch, pair.0.statement.view).to_bytes(),
            Self::OffAnchor(pair) => (epoch, pair.0.statement.view).to_bytes(),
            Self::InvalidNewView(new_view) => (epoch, new_view.statement.view).to_bytes(),
            Self::ConflictingExecutions(first, _) => (epoch, first.statement.execution.sequence).to_bytes(),
            Self::Diverged(diverged) => (epoch, diverged.vote.statement.execution.sequence).to_bytes(),
            Self::ConflictingBundles(first, _) => (epoch, first.statement.number).to_bytes(),
            Self::InvalidBundle(invalid) => (epoch, invalid.header.statement.number).to_bytes(),
            Self::ConflictingOperations(pair) => pair.0.nonce().to_bytes(),
            Self::BrokenPromise(broken) => (epoch, broken.promise.statement.number).to_bytes(),
        }
    }

    /// The two votes of one slot as evidence: against a primary of `view` they are two proposals.
    #[must_use]
    pub fn of_votes(pair: (Signed<Vote>, Signed<Vote>), primary: impl Fn(Epoch, View) -> ValidatorIndex) -> Self {
        let (first, second) = in_order(pair);
        let Vote { epoch, view, phase, validator, .. } = first.statement;
        if phase == crate::vote::Phase::Prepare && primary(epoch, view) == validator {
            Self::ConflictingProposals(first, second)
        } else {
            Self::ConflictingVotes(first, second)
        }
    }

    /// A contradiction as evidence.
    #[must_use]
    pub fn of_pair(pair: Contradiction, primary: impl Fn(Epoch, View) -> ValidatorIndex) -> Self {
        match pair {
            Contradiction::Votes(first, second) => Self::of_votes((first, second), primary),
            Contradiction::ViewChanges(first, second) => {
                let (first, second) = in_order((first, second));
                Self::ConflictingViewChanges(first, second)
            }
            Contradiction::NewViews(pair) => Self::ConflictingNewViews(Box::new(in_order(*pair))),
            Contradiction::Bundles(first, second) => {
                let (first, second) = in_order((first, second));
                Self::ConflictingBundles(first, second)
            }
            Contradiction::Executions(first, second) => {
                let (first, second) = in_order((first, second));
                Self::ConflictingExecutions(first, second)
            }
        }
    }
}

impl Evidence {
    /// What a message refused for `fault` may show against its signer, unjudged.
    #[must_use]
    pub fn of_refused(message: Message, fault: &PeerFault) -> Option<Self> {
        match (message, fault) {
            (Message::PrePrepare(pre_prepare), PeerFault::Rule(_)) => {
                Some(Self::InvalidProposal(Box::new(InvalidProposal { pre_prepare, new_view: None, parent: None })))
            }
            (Message::ViewChange(change), PeerFault::Rule(_)) => Some(Self::InvalidViewChange(change.signed)),
            (Message::NewView(new_view), _) => Some(Self::InvalidNewView(new_view)),
            (Message::Bundle(bundle), PeerFault::Operation { index, .. } | PeerFault::ClientSignature { index }) => {
                let leaves: Vec<Digest> = bundle.operations.iter().map(|operation| operation.leaf()).collect();
                let operation = bundle.operations.get(*index)?.as_ref().clone();
                let path = crate::merkle::path(&leaves, *index)?;
                Some(Self::InvalidBundle(Box::new(InvalidBundle { header: bundle.header, operation, path })))
            }
            _ => None,
        }
    }
}

/// One order for the two halves, so that a pair has one id whoever saw which half first.
pub fn in_order<T: Canonical>((first, second): (T, T)) -> (T, T) {
    if first.to_bytes() <= second.to_bytes() { (first, second) } else { (second, first) }
}

impl fmt::Display for Accused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Validator(validator) => write!(f, "validator {validator}"),
            Self::Author(author) => write!(f, "author {author}"),
        }
    }
}
