//! What the views below leave behind: all that a later view's guards can read.
//!
//! After a view, single votes matter no more; what counts is which certificates can be made of them,
//! and which certificate each correct validator holds because it voted `Commit` for it. Runs that
//! leave the same behind have the same future.

use super::judge::{CORRECT, Change, Prepared};
use super::tree::{GENESIS, Proposal, Set};
use super::votes::{Ground, Offers, Votes};
use super::{MAX_VIEWS, Model, Variant};

/// What the views below leave behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Past {
    /// By view: proposals with a prepared certificate of it.
    pub(super) prepared: [Set; MAX_VIEWS],
    /// Proposals with a commit certificate of any view.
    pub(super) committed: Set,
    /// By correct validator: the highest certificate that it keeps durably, having voted `Commit` for
    /// it. It may know higher ones, or not: its view change claims this one or a higher one.
    pub(super) held: [Option<Prepared>; CORRECT],
    /// By correct validator: its commit votes; only in [`Variant::CommitsOfTwoViewsMixed`].
    pub(super) commit_votes: [Set; CORRECT],
}

impl Past {
    /// What the votes of `view` add.
    pub(super) fn absorb(&mut self, model: &Model, view: u8, votes: &Votes) {
        let ground = Ground { committed: self.committed, commit_votes: self.commit_votes, ..Ground::default() };
        self.prepared[usize::from(view)] = model.prepared_certificates(votes);
        self.committed = self.committed.and(model.commit_certificates(&ground, votes));
        for (number, member) in votes.members.iter().enumerate() {
            if member.amnesiac {
                self.held[number] = None;
            }
            let kept = if model.variant == Variant::Amnesia {
                member.committed.without(member.forgotten)
            } else {
                member.committed
            };
            if let Some(proposal) = model.tree.highest(kept) {
                self.held[number] = Some(Prepared { view, proposal });
            }
            if model.variant == Variant::CommitsOfTwoViewsMixed {
                self.commit_votes[number] = self.commit_votes[number].and(member.committed);
            }
        }
    }

    /// All prepared certificates that can be made.
    pub(super) fn certificates(&self) -> impl Iterator<Item = Prepared> {
        let views = (0u8..).zip(self.prepared);
        views.flat_map(|(view, set)| set.iter().map(move |proposal| Prepared { view, proposal }))
    }

    /// Every claim that certificates can back.
    pub(super) fn claims(&self) -> Vec<Change> {
        let commits = || [None].into_iter().chain(self.committed.iter().map(Some));
        let prepared = [None].into_iter().chain(self.certificates().map(Some));
        prepared.flat_map(|prepared| commits().map(move |committed| Change { prepared, committed })).collect()
    }

    /// The least that a correct validator can claim.
    pub(super) fn least_claim(&self, model: &Model, validator: usize) -> Change {
        let prepared = self.held[validator].filter(|_| model.variant != Variant::ViewForgotten);
        Change { prepared, committed: None }
    }

    /// Whether a correct validator may make this claim: certificates back it, and it holds none higher
    /// (protocol §2: its highest, by view and sequence).
    pub(super) fn is_honest(&self, model: &Model, validator: usize, change: Change) -> bool {
        let place = |prepared: Prepared| (prepared.view, model.tree.sequence(prepared.proposal));
        let least = self.least_claim(model, validator).prepared.map(place);
        let backed = change.prepared.is_none_or(|claim| self.certificates().any(|other| other == claim))
            && change.committed.is_none_or(|claim| self.committed.has(claim));
        backed && change.prepared.map(place) >= least
    }

    /// The anchors of all `NewView`s that can be made of these view changes and of any that the
    /// Byzantine validator can back with certificates.
    pub(super) fn offers(&self, model: &Model, changes: &[Option<Change>; CORRECT]) -> Offers {
        let mut offers = Offers::default();
        self.new_views(model, changes, |new_view| offers.add(model.judge.anchor(&model.tree, new_view)));
        offers
    }

    /// Calls `each` with the view changes of every possible `NewView`; the Byzantine one's, if there is
    /// one, comes last.
    pub(super) fn new_views(
        &self,
        model: &Model,
        changes: &[Option<Change>; CORRECT],
        mut each: impl FnMut(&[Change]),
    ) {
        let hostile = self.claims();
        for senders in 0u8..1 << CORRECT {
            let sent = |number: &usize| senders & (1 << number) != 0;
            let parts: Option<Vec<Change>> = (0..CORRECT).filter(sent).map(|number| changes[number]).collect();
            let Some(mut new_view) = parts else { continue };
            if model.judge.starts_view(senders, false) {
                each(&new_view);
            }
            if model.judge.starts_view(senders, true) {
                for claim in &hostile {
                    new_view.push(*claim);
                    each(&new_view);
                    new_view.pop();
                }
            }
        }
    }

    /// The same past with values and interchangeable validators renamed, equal for all pasts that
    /// differ only in such names. `orders` are the orders in which the validators may be listed.
    pub(super) fn canonical(&self, model: &Model, orders: &[[usize; CORRECT]]) -> Self {
        if !model.rename {
            return *self;
        }
        let arranged = orders.iter().map(|order| {
            let listed = self.listed(*order);
            let layout = listed.arrange(model, GENESIS);
            (layout.iter().map(|(marks, _)| *marks).collect::<Vec<_>>(), listed, layout)
        });
        let Some((_, listed, layout)) = arranged.min_by(|one, other| one.0.cmp(&other.0)) else { return *self };
        let mut names = [GENESIS; 32];
        rename(model, GENESIS, &mut layout.iter().map(|(_, old)| *old), &mut names);
        listed.renamed(&names)
    }

    /// The same past with the validators in another order.
    fn listed(&self, order: [usize; CORRECT]) -> Self {
        Self {
            held: order.map(|number| self.held[number]),
            commit_votes: order.map(|number| self.commit_votes[number]),
            ..*self
        }
    }

    /// The subtree of `proposal` in preorder, each proposal with all that is said about it; children are
    /// sorted by what is said about them and all below them.
    fn arrange(&self, model: &Model, proposal: Proposal) -> Vec<(u64, Proposal)> {
        let mut parts: Vec<_> = model.tree.children(proposal).map(|child| self.arrange(model, child)).collect();
        parts.sort_by(|one, other| one.iter().map(|(marks, _)| marks).cmp(other.iter().map(|(marks, _)| marks)));
        [(self.marks(proposal), proposal)].into_iter().chain(parts.into_iter().flatten()).collect()
    }

    /// All that is said about one proposal.
    fn marks(&self, proposal: Proposal) -> u64 {
        let mut marks = u64::from(self.committed.has(proposal));
        for set in self.prepared.iter().chain(&self.commit_votes) {
            marks = marks << 1 | u64::from(set.has(proposal));
        }
        for held in self.held {
            let view = held.filter(|held| held.proposal == proposal).map_or(0, |held| held.view + 1);
            marks = marks << 4 | u64::from(view);
        }
        marks
    }

    fn renamed(&self, names: &[Proposal; 32]) -> Self {
        let name = |proposal: Proposal| names[usize::from(proposal.0)];
        let all = |set: Set| set.iter().fold(Set::EMPTY, |set, proposal| set.and(Set::of(name(proposal))));
        Self {
            prepared: self.prepared.map(all),
            committed: all(self.committed),
            held: self.held.map(|held| held.map(|held| Prepared { proposal: name(held.proposal), ..held })),
            commit_votes: self.commit_votes.map(all),
        }
    }
}

/// Gives the proposals that `old` lists, in preorder, the names of the subtree of `proposal`.
fn rename(model: &Model, proposal: Proposal, old: &mut impl Iterator<Item = Proposal>, names: &mut [Proposal; 32]) {
    if let Some(old) = old.next() {
        names[usize::from(old.0)] = proposal;
    }
    for child in model.tree.children(proposal) {
        rename(model, child, old, names);
    }
}
