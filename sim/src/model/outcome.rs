//! What a view leaves behind when it ends.

use super::judge::CORRECT;
use super::tree::{Proposal, Set};
use super::votes::{Ground, Votes};
use super::{Model, Variant};

/// What a view can leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Proposals with a prepared certificate of the view.
    pub(super) prepared: Set,
    /// Proposals with a commit certificate of the view.
    pub(super) committed: Set,
    /// What binds each correct validator from then on.
    pub(super) bonds: [Bond; CORRECT],
    /// The commit votes of each; only in the variant that counts them over views.
    pub(super) votes: [Set; CORRECT],
}

/// What binds a correct validator after a view: its highest commit vote in it; and whether it lost its
/// store, and with it what bound it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bond {
    pub(super) highest: Option<Proposal>,
    pub(super) amnesiac: bool,
}

/// Adds an outcome, with the state that has it, unless another allows all that it does; drops those of
/// which it allows all.
pub(super) fn keep_best(model: &Model, best: &mut Vec<(u32, Outcome)>, new: (u32, Outcome)) {
    if !best.iter().any(|(_, other)| other.allows_all_of(model, &new.1)) {
        best.retain(|(_, other)| !new.1.allows_all_of(model, other));
        best.push(new);
    }
}

impl Outcome {
    pub(super) fn of(model: &Model, ground: &Ground, votes: &Votes) -> Self {
        let kept = |number: usize| {
            let member = &votes.members[number];
            let forgot = if member.amnesiac { member.forgotten } else { Set::EMPTY };
            Bond { highest: model.tree.highest(member.committed.without(forgot)), amnesiac: member.amnesiac }
        };
        Self {
            prepared: model.prepared_certificates(votes),
            committed: model.commit_certificates(ground, votes),
            bonds: std::array::from_fn(kept),
            votes: match model.variant {
                Variant::CommitsOfTwoViewsMixed => votes.members.map(|member| member.committed),
                _ => [Set::EMPTY; CORRECT],
            },
        }
    }

    /// Whether whatever can follow `other` can follow this: at least its certificates, and nobody is
    /// bound by a higher one.
    fn allows_all_of(&self, model: &Model, other: &Self) -> bool {
        let sequence = |bond: &Bond| bond.highest.map(|proposal| model.tree.sequence(proposal));
        let is_looser = |mine: &Bond, theirs: &Bond| {
            let lower = mine.highest == theirs.highest || sequence(mine) < sequence(theirs);
            mine.amnesiac == theirs.amnesiac && lower
        };
        other.prepared.within(self.prepared)
            && other.committed.within(self.committed)
            && self.bonds.iter().zip(&other.bonds).all(|(mine, theirs)| is_looser(mine, theirs))
            && self.votes.iter().zip(&other.votes).all(|(mine, theirs)| theirs.within(*mine))
    }
}
