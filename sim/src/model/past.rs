//! What the views below leave behind: all that a later view's guards can read.
//!
//! After a view, single votes matter no more; what counts is which certificates can be made of them,
//! and which certificate each correct validator holds because it voted `Commit` for it. Runs that
//! leave the same behind have the same future.

use super::judge::{CORRECT, Change, Prepared};
use super::outcome::Outcome;
use super::tree::{GENESIS, Proposal, Set};
use super::votes::Offers;
use super::{Model, Variant};

/// Room for views: in a canonical past each is mentioned for a proposal's highest certificate or for what
/// a validator holds; and one more.
pub(super) const PLACES: usize = 32 + CORRECT + 1;

/// What the views below leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Past {
    /// By view: proposals with a prepared certificate of it. In a canonical past views are numbered
    /// anew, and a proposal's certificates but the one of the highest view are left out.
    pub(super) prepared: [Set; PLACES],
    /// Proposals with a commit certificate of any view.
    pub(super) committed: Set,
    /// By correct validator: the highest certificate that it keeps durably, having voted `Commit` for
    /// it. It may know higher ones, or not: its view change claims this one or a higher one.
    pub(super) held: [Option<Prepared>; CORRECT],
    /// By correct validator: its commit votes; only in [`Variant::CommitsOfTwoViewsMixed`].
    pub(super) commit_votes: [Set; CORRECT],
}

impl Default for Past {
    fn default() -> Self {
        Self {
            prepared: [Set::EMPTY; PLACES],
            committed: Set::EMPTY,
            held: [None; CORRECT],
            commit_votes: [Set::EMPTY; CORRECT],
        }
    }
}

impl Past {
    /// This past with what `view` leaves behind.
    pub(super) fn after(&self, model: &Model, view: u8, outcome: &Outcome) -> Self {
        let mut after = *self;
        after.prepared[usize::from(view)] = outcome.prepared;
        after.committed = after.committed.and(outcome.committed);
        for (held, bond) in after.held.iter_mut().zip(&outcome.bonds) {
            if bond.amnesiac {
                *held = None;
            }
            if let Some(proposal) = bond.highest {
                *held = Some(Prepared { view, proposal });
            }
        }
        if model.variant == Variant::CommitsOfTwoViewsMixed {
            after.commit_votes.iter_mut().zip(outcome.votes).for_each(|(all, new)| *all = all.and(new));
        }
        after
    }

    /// Whether anything is of this view.
    fn mentions(&self, view: u8) -> bool {
        let held = self.held.iter().flatten().any(|held| held.view == view);
        held || self.prepared.get(usize::from(view)).is_some_and(|set| *set != Set::EMPTY)
    }

    /// A view above all that is mentioned.
    pub(super) fn next_view(&self) -> u8 {
        (0u8..).take(PLACES).filter(|view| self.mentions(*view)).max().map_or(0, |view| view + 1)
    }

    /// The same past as far as a later view can tell: without what can't matter any more, and with the
    /// views that are still mentioned numbered without gaps, as only their order counts.
    fn condensed(&self, model: &Model) -> Self {
        let mut highest = *self;
        highest.drop_outranked(model);
        let views: Vec<u8> = (0u8..).take(PLACES).filter(|view| highest.mentions(*view)).collect();
        let mut condensed = Self { prepared: [Set::EMPTY; PLACES], ..highest };
        for (place, view) in (0u8..).zip(&views) {
            condensed.prepared[usize::from(place)] = highest.prepared[usize::from(*view)];
            for (new, old) in condensed.held.iter_mut().flatten().zip(highest.held.iter().flatten()) {
                if old.view == *view {
                    new.view = place;
                }
            }
        }
        condensed
    }

    /// Drops certificates that can't be, and can't become, what a `NewView` is decided by.
    ///
    /// Of two for one proposal, the lower: the higher is the highest of a `NewView` whenever the lower is.
    /// One below what the correct senders of every `NewView` hold. And from what a validator holds, what
    /// another sender of every `NewView` with it outranks. What validators hold only rises. All this only
    /// if the core ranks claims as it should, and no validator forgets.
    fn drop_outranked(&mut self, model: &Model) {
        let forgets = matches!(model.variant, Variant::Amnesia | Variant::ViewForgotten);
        if forgets || !model.judge.ranks_by_view {
            return;
        }
        let mut above = Set::EMPTY;
        for set in self.prepared.iter_mut().rev() {
            *set = set.without(above);
            above = above.and(*set);
        }
        let rank = |claim: Prepared| (claim.view, model.tree.sequence(claim.proposal));
        let groups = || model.judge.new_view_groups();
        for number in 0..CORRECT {
            let held = |other: usize| self.held[other].map(rank);
            let outranked = |group: u8| {
                let mut others = (0..CORRECT).filter(|other| *other != number && group & (1 << other) != 0);
                others.any(|other| held(other) >= held(number))
            };
            if groups().filter(|group| group & (1 << number) != 0).all(outranked) {
                self.held[number] = None;
            }
        }
        let held = self.held.map(|held| held.map(rank));
        let least = groups()
            .map(|group| (0..CORRECT).filter(|number| group & (1 << number) != 0).map(|number| held[number]).max());
        let least = least.min().flatten().flatten();
        for claim in self.certificates().filter(|claim| Some(rank(*claim)) < least).collect::<Vec<_>>() {
            let set = &mut self.prepared[usize::from(claim.view)];
            *set = set.without(Set::of(claim.proposal));
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

    /// The same past, condensed, with values and interchangeable validators renamed: equal for all pasts
    /// that differ only in such names. `orders` are the orders in which the validators may be listed.
    pub(super) fn canonical(&self, model: &Model, orders: &[[usize; CORRECT]]) -> Self {
        if !model.rename {
            return *self;
        }
        let condensed = self.condensed(model);
        let arranged = orders.iter().map(|order| {
            let listed = condensed.listed(*order);
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
            marks = marks << 6 | u64::from(view);
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
