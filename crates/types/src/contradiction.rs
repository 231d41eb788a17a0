//! Two signed messages of one validator that a correct one never both signs (protocol §10).
//!
//! Kept as both messages, logged and counted. Making transferable evidence of them is the business of
//! `quorate-accountability`.

use crate::bundle::BundleHeader;
use crate::execution::ExecutionVote;
use crate::ids::ValidatorIndex;
use crate::signed::Signed;
use crate::view_change::{NewView, ViewChange};
use crate::vote::Vote;

/// A pair of messages that contradict each other, the first seen first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contradiction {
    /// Two votes of one phase at one (epoch, view, sequence).
    Votes(Signed<Vote>, Signed<Vote>),
    /// Two view changes for one view.
    ViewChanges(Signed<ViewChange>, Signed<ViewChange>),
    /// Two new views for one view.
    NewViews(Box<(Signed<NewView>, Signed<NewView>)>),
    /// Two bundles of one number in one lane and epoch.
    Bundles(Signed<BundleHeader>, Signed<BundleHeader>),
    /// Two execution votes at one sequence.
    Executions(Signed<ExecutionVote>, Signed<ExecutionVote>),
}

impl Contradiction {
    /// Who contradicts itself.
    #[must_use]
    pub fn offender(&self) -> ValidatorIndex {
        match self {
            Self::Votes(first, _) => first.signer(),
            Self::ViewChanges(first, _) => first.signer(),
            Self::NewViews(pair) => pair.0.signer(),
            Self::Bundles(first, _) => first.signer(),
            Self::Executions(first, _) => first.signer(),
        }
    }

    /// The kind, for logs and metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Votes(..) => "conflicting-votes",
            Self::ViewChanges(..) => "conflicting-view-changes",
            Self::NewViews(..) => "conflicting-new-views",
            Self::Bundles(..) => "conflicting-bundles",
            Self::Executions(..) => "conflicting-executions",
        }
    }
}
