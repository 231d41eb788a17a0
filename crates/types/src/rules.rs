//! The context-free rules: what can be judged from a message and the epoch alone.
//!
//! Consensus, lanes, accountability and the model checker share these functions, so that each rule
//! stands in one place. None checks a signature: that is [`crate::verified`]'s work; and none knows a
//! receiver's window, pool or clock.

mod anchor;
mod bundle;
mod certificate;
mod checkpoint;
mod epoch;
mod proposal;
mod view_change;

use crate::ids::{Epoch, Sequence, ValidatorIndex, View};

pub use anchor::{Anchor, Claims, admit_new_view, choose_anchor, is_off_anchor};
pub use bundle::{admit_bundle, admit_link};
pub use certificate::{admit_certificate, admit_execution_certificate};
pub use checkpoint::admit_checkpoint;
pub use epoch::admit_epoch_start;
pub use proposal::{admit_child, admit_proposal, admit_segment, breaks_under_parent, lanes_fall};
pub use view_change::admit_view_change;

/// Which context-free rule a message breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleFault {
    /// It belongs to another epoch.
    #[error("epoch {found} instead of {expected}")]
    OtherEpoch {
        /// The receiver's epoch.
        expected: Epoch,
        /// The message's.
        found: Epoch,
    },
    /// It names a validator that the epoch's set doesn't have.
    #[error("validator {0} is not in the set")]
    UnknownValidator(ValidatorIndex),
    /// Its signers are not distinct, or not in ascending order.
    #[error("signers don't ascend at validator {0}")]
    SignersOutOfOrder(ValidatorIndex),
    /// Too few signers.
    #[error("{found} signers, {needed} are a quorum")]
    NoQuorum {
        /// How many there are.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
    /// A certificate is of the wrong phase.
    #[error("a certificate of the other phase")]
    OtherPhase,
    /// A claim's view isn't below the view that it wants to enter (protocol §2.6).
    #[error("a claim of view {claimed} for new view {new_view}")]
    ClaimNotBelow {
        /// The claim's view.
        claimed: View,
        /// The new view.
        new_view: View,
    },
    /// A claim comes without its certificate, or a certificate without its claim.
    #[error("a claim and its certificate don't match")]
    UnprovenClaim,
    /// The sender isn't the primary of the view.
    #[error("validator {sender} is not the primary of view {view}")]
    NotPrimary {
        /// Who sent it.
        sender: ValidatorIndex,
        /// The view.
        view: View,
    },
    /// A view change inside a new view is for another view.
    #[error("a view change for view {found} in the new view {expected}")]
    OtherView {
        /// The new view's.
        expected: View,
        /// The view change's.
        found: View,
    },
    /// A proposal at sequence 0, which is genesis.
    #[error("a proposal at sequence 0")]
    ProposalAtGenesis,
    /// A vote doesn't match the proposal that it travels with.
    #[error("the vote is not for the proposal that it comes with")]
    VoteForAnother,
    /// A proposal isn't the child of the one it follows.
    #[error("the proposal at sequence {0} doesn't follow the one before")]
    BrokenChain(Sequence),
    /// A proposal's block time lies before its parent's.
    #[error("block time decreases at sequence {0}")]
    TimeDecreases(Sequence),
    /// A checkpoint comes with another proposal than the one executed there.
    #[error("the checkpoint's proposal at sequence {0} isn't the one executed there")]
    OtherProposal(Sequence),
    /// What is said of the next epoch isn't what the epoch before certified.
    #[error("the start of epoch {0} isn't in the state that was certified for it")]
    OtherStart(Epoch),
    /// An operation came alone that isn't a validator's word about its own store, in an epoch in which nobody leaves.
    #[error("an operation outside of a bundle that is no validator's word about its own store")]
    NotAnOwnWord,
    /// A segment is empty or longer than allowed.
    #[error("a segment of {0} proposals")]
    SegmentLength(usize),
    /// A payload names bundle 0 of a lane.
    #[error("bundle 0 of lane {0} is named")]
    BundleZero(ValidatorIndex),
    /// A bundle has no operations, or more than the epoch allows.
    #[error("a bundle of {found} operations, 1 to {limit} are allowed")]
    BundleOperations {
        /// How many it has.
        found: usize,
        /// The epoch's limit.
        limit: usize,
    },
    /// A bundle is larger than the epoch allows.
    #[error("a bundle of {found} bytes, {limit} are allowed")]
    BundleBytes {
        /// Its operations' bytes.
        found: u64,
        /// The epoch's limit.
        limit: u64,
    },
    /// A bundle's operations aren't those that its header binds.
    #[error("the operations don't have the header's root")]
    OperationsRoot,
    /// A bundle doesn't follow the one before it in its lane.
    #[error("the bundle doesn't follow its parent: {0}")]
    BundleLink(&'static str),
}
