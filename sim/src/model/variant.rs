//! Wrong variants of the protocol, which the model must find unsafe.
//!
//! Each is one rule left out or bent, as protocol §5 (end) lists them, switched at run time. A model
//! that finds nothing wrong with them would say nothing about the rules that it does follow.

use std::fmt;
use std::str::FromStr;

/// A rule left out or bent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    /// The protocol as it is.
    None,
    /// A quorum is one smaller (protocol §1).
    QuorumMinusOne,
    /// A certificate may list one signer several times (protocol §2).
    SignerCountedTwice,
    /// Prepares for another digest at the same place count (protocol §3.3).
    OtherDigestCounted,
    /// Commits of different views count together (protocol §3.4).
    CommitsOfTwoViewsMixed,
    /// The parent need not have been voted for, nor be the anchor or committed (protocol §3.2).
    ParentMerelyReceived,
    /// A committed parent suffices, wherever the anchor is: §3.2 (c) without §5.3.
    VoteBelowAnchor,
    /// Commit votes need not lie on the chain of the voter's other votes (protocol §3.3).
    CommitOffChain,
    /// What lies below the anchor is voted on again, from the bottom (protocol §5.3).
    RevoteFromBottom,
    /// `chosen` is the certificate of the highest sequence, of whatever view (protocol §5.2).
    AnchorBySequence,
    /// A second `NewView` is accepted in a view, and the view starts over with it: votes under the
    /// first bind only by their sequence (protocol §5.2).
    SecondNewView,
    /// A second `NewView` is accepted in a view, but all votes of the view still bind. This breaks no
    /// property: the chain rule of §3.2 alone carries the proof; a test states so.
    SecondNewViewVotesKept,
    /// A restart forgets which `NewView` was accepted, and so under which one the votes of the view
    /// were cast: they bind only by their sequence (protocol §§5.2, 7.1).
    NewViewForgotten,
    /// A restart forgets the view that was entered, so votes are cast in views that were left
    /// (protocol §5.1).
    ViewForgotten,
    /// A validator that lost its store signs again in the same epoch (protocol §7.4).
    Amnesia,
}

/// Every variant with its name on the command line and what it does, in a few words.
const NAMES: [(Variant, &str, &str); 15] = [
    (Variant::None, "none", "the protocol as it is"),
    (Variant::QuorumMinusOne, "quorum-minus-one", "a quorum of q−1"),
    (Variant::SignerCountedTwice, "signer-counted-twice", "one signer counted twice"),
    (Variant::OtherDigestCounted, "other-digest-counted", "prepares for another digest counted"),
    (Variant::CommitsOfTwoViewsMixed, "commits-of-two-views-mixed", "commits of two views in one certificate"),
    (Variant::ParentMerelyReceived, "parent-merely-received", "a parent merely received, not voted for"),
    (Variant::VoteBelowAnchor, "vote-below-anchor", "a vote beside the anchor, on a committed parent below it"),
    (Variant::CommitOffChain, "commit-off-chain", "a commit vote off the chain of one's own votes"),
    (Variant::RevoteFromBottom, "revote-from-bottom", "re-proposed sequences voted on again, one by one"),
    (Variant::AnchorBySequence, "anchor-by-sequence", "chosen by sequence before view"),
    (Variant::SecondNewView, "second-new-view", "a second NewView accepted in one view"),
    (Variant::SecondNewViewVotesKept, "second-new-view-votes-kept", "the same, but all votes of the view bind"),
    (Variant::NewViewForgotten, "new-view-forgotten", "the accepted NewView forgotten over a restart"),
    (Variant::ViewForgotten, "view-forgotten", "the view forgotten over a restart"),
    (Variant::Amnesia, "amnesia", "voting again in an epoch after amnesia"),
];

impl Variant {
    /// All variants but [`Variant::None`], in the order of the table in the documentation.
    pub fn wrong() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(variant, ..)| *variant).filter(|variant| *variant != Self::None)
    }

    /// What it does, in a few words.
    #[must_use]
    pub fn about(self) -> &'static str {
        NAMES.iter().find(|(variant, ..)| *variant == self).map_or("", |(_, _, about)| about)
    }

    /// Whether it breaks a property that the model checks: all wrong variants do but
    /// [`Variant::SecondNewViewVotesKept`].
    #[must_use]
    pub fn is_unsafe(self) -> bool {
        !matches!(self, Self::None | Self::SecondNewViewVotesKept)
    }

    /// Whether a second `NewView` can be accepted in one view without a restart.
    pub(super) const fn accepts_again(self) -> bool {
        matches!(self, Self::SecondNewView | Self::SecondNewViewVotesKept)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.iter().find(|(variant, ..)| variant == self).map_or("", |(_, name, _)| name))
    }
}

/// No variant has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownVariant {
    name: String,
}

impl fmt::Display for UnknownVariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no variant is called {:?}; there are:", self.name)?;
        NAMES.iter().try_for_each(|(_, name, _)| write!(f, " {name}"))
    }
}

impl std::error::Error for UnknownVariant {}

impl FromStr for Variant {
    type Err = UnknownVariant;

    fn from_str(text: &str) -> Result<Self, UnknownVariant> {
        let found = NAMES.iter().find(|(_, name, _)| *name == text).map(|(variant, ..)| *variant);
        found.ok_or_else(|| UnknownVariant { name: text.to_owned() })
    }
}
