//! Two signed messages of one validator that a correct one never both signs (protocol §3.8, §10.4).
//!
//! Kept as both messages, logged and counted. Making transferable evidence of them is the business of
//! `quorate-accountability`.

use crate::bundle::BundleHeader;
use crate::codec::{Canonical, DecodeError, Reader};
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

impl Contradiction {
    /// What the two messages contradict each other about: equal for all pairs of one offender, kind and place,
    /// whatever they say there.
    #[must_use]
    pub fn place(&self) -> Vec<u8> {
        match self {
            Self::Votes(first, _) => {
                let Vote { epoch, view, sequence, phase, .. } = first.statement;
                ((epoch, view), (sequence, phase)).to_bytes()
            }
            Self::ViewChanges(first, _) => (first.statement.epoch, first.statement.new_view).to_bytes(),
            Self::NewViews(pair) => (pair.0.statement.epoch, pair.0.statement.view).to_bytes(),
            Self::Bundles(first, _) => (first.statement.epoch, first.statement.number).to_bytes(),
            Self::Executions(first, _) => {
                (first.statement.execution.epoch, first.statement.execution.sequence).to_bytes()
            }
        }
    }
}

impl Canonical for Contradiction {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Votes(first, second) => encode_pair(1, first, second, out),
            Self::ViewChanges(first, second) => encode_pair(2, first, second, out),
            Self::NewViews(pair) => encode_pair(3, &pair.0, &pair.1, out),
            Self::Bundles(first, second) => encode_pair(4, first, second, out),
            Self::Executions(first, second) => encode_pair(5, first, second, out),
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match input.u8()? {
            1 => Self::Votes(Signed::decode(input)?, Signed::decode(input)?),
            2 => Self::ViewChanges(Signed::decode(input)?, Signed::decode(input)?),
            3 => Self::NewViews(Box::new((Signed::decode(input)?, Signed::decode(input)?))),
            4 => Self::Bundles(Signed::decode(input)?, Signed::decode(input)?),
            5 => Self::Executions(Signed::decode(input)?, Signed::decode(input)?),
            value => return Err(DecodeError::Unknown { what: "contradiction", value }),
        })
    }
}

fn encode_pair<T: Canonical>(tag: u8, first: &T, second: &T, out: &mut Vec<u8>) {
    out.push(tag);
    first.encode(out);
    second.encode(out);
}
