//! What correct validators may sign inside one view (protocol §§3.2, 3.3), over the set of votes sent.
//!
//! Votes are never taken out of the set, and no guard asks in which order they arrived. The Byzantine
//! validator's votes need no record: every vote of its that somebody could need exists.

use super::judge::{Anchor, CORRECT};
use super::tree::{GENESIS, Proposal, Set};
use super::{Model, Variant};

/// What one correct validator did in one view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Member {
    /// The anchor of the `NewView` that it accepted, if it did: then the view is active.
    pub(super) anchor: Option<Anchor>,
    /// Its prepare votes sent.
    pub(super) prepared: Set,
    /// Its commit votes sent.
    pub(super) committed: Set,
    /// Votes that no longer bind it. Empty but in the variants that forget.
    pub(super) forgotten: Set,
    /// Whether it lost its store in this view ([`Variant::Amnesia`]).
    pub(super) amnesiac: bool,
}

/// What the correct validators did in one view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Votes {
    pub(super) members: [Member; CORRECT],
}

/// What the votes of a view build on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ground {
    /// The view's primary if it is a correct validator that the model holds to its rules.
    pub(super) primary: Option<usize>,
    /// Proposals with a commit certificate of a lower view.
    pub(super) committed: Set,
    /// Per correct validator its commit votes of lower views; only in the variant that mixes them.
    pub(super) commit_votes: [Set; CORRECT],
    /// Anchors that can be accepted later, too; only in the variants that accept twice.
    pub(super) offers: Offers,
}

/// The anchors of all `NewView`s that can be made for one view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Offers {
    pub(super) base: Set,
    pub(super) chosen: Set,
}

/// What a validator does in a view that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Step {
    /// Votes `Prepare`.
    Prepare(Proposal),
    /// Votes `Commit`.
    Commit(Proposal),
    /// Accepts a `NewView` with this anchor.
    Accept(Anchor),
    /// Crashes and starts again without the record of the accepted `NewView`.
    ForgetNewView,
    /// Loses its store and starts again as if it were new.
    LoseStore,
}

impl Offers {
    pub(super) fn add(&mut self, anchor: Anchor) {
        let set = if anchor.chosen { &mut self.chosen } else { &mut self.base };
        *set = set.and(Set::of(anchor.proposal));
    }

    pub(super) fn has(self, anchor: Anchor) -> bool {
        (if anchor.chosen { self.chosen } else { self.base }).has(anchor.proposal)
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Anchor> {
        let base = self.base.iter().map(|proposal| Anchor { proposal, chosen: false });
        base.chain(self.chosen.iter().map(|proposal| Anchor { proposal, chosen: true }))
    }
}

impl Member {
    /// Its votes of either phase that bind it.
    pub(super) fn own(&self) -> Set {
        self.prepared.and(self.committed).without(self.forgotten)
    }

    /// Starts the view over: what it voted binds no longer.
    fn forget_votes(&mut self) {
        self.forgotten = self.prepared.and(self.committed);
    }
}

impl Votes {
    /// The votes of a view in which every correct validator accepted the anchor at its number.
    pub(super) fn under(anchors: [Anchor; CORRECT]) -> Self {
        Self { members: anchors.map(|anchor| Member { anchor: Some(anchor), ..Member::default() }) }
    }

    /// Does a step; whether it is allowed is another question.
    pub(super) fn take(&mut self, variant: Variant, validator: usize, step: Step) {
        let member = &mut self.members[validator];
        match step {
            Step::Prepare(proposal) => member.prepared = member.prepared.and(Set::of(proposal)),
            Step::Commit(proposal) => member.committed = member.committed.and(Set::of(proposal)),
            Step::Accept(anchor) => {
                if member.anchor.is_some() && variant == Variant::SecondNewView {
                    member.forget_votes();
                }
                member.anchor = Some(anchor);
            }
            Step::ForgetNewView => {
                member.forget_votes();
                member.anchor = None;
            }
            Step::LoseStore => {
                member.forget_votes();
                member.amnesiac = true;
            }
        }
    }
}

impl Model {
    /// Proposals that have, or could have, a prepared certificate of this view.
    pub(super) fn prepared_certificates(&self, votes: &Votes) -> Set {
        self.certified(votes.members.map(|member| match self.variant {
            Variant::OtherDigestCounted => self.tree.beside(member.prepared),
            _ => member.prepared,
        }))
    }

    /// Proposals that have, or could have, a commit certificate of this view.
    pub(super) fn commit_certificates(&self, ground: &Ground, votes: &Votes) -> Set {
        let mut voted = votes.members.map(|member| member.committed);
        if self.variant == Variant::CommitsOfTwoViewsMixed {
            voted.iter_mut().zip(ground.commit_votes).for_each(|(voted, below)| *voted = voted.and(below));
        }
        self.certified(voted)
    }

    /// The proposals for which the votes given per correct validator make a certificate.
    fn certified(&self, voted: [Set; CORRECT]) -> Set {
        let mut certified = Set::EMPTY;
        for signers in 0u8..1 << CORRECT {
            if self.judge.certifies(signers) {
                let signed = voted.iter().enumerate().filter(|(number, _)| signers & (1 << number) != 0);
                certified = certified.and(signed.fold(self.all, |all, (_, voted)| all.both(*voted)));
            }
        }
        certified
    }

    /// Every step that some correct validator may take in this view.
    pub(super) fn steps(&self, ground: &Ground, votes: &Votes) -> Vec<(usize, Step)> {
        let mut steps = Vec::new();
        let commits = ground.committed.and(self.commit_certificates(ground, votes));
        let certificates = self.prepared_certificates(votes);
        for (number, member) in votes.members.iter().enumerate() {
            let Some(anchor) = member.anchor else {
                if self.variant == Variant::NewViewForgotten {
                    steps.extend(ground.offers.iter().map(|anchor| (number, Step::Accept(anchor))));
                }
                continue;
            };
            for proposal in self.tree.proposals() {
                if self.may_prepare(ground, votes, commits, (number, proposal)) {
                    steps.push((number, Step::Prepare(proposal)));
                }
                if certificates.has(proposal) && self.may_commit(member, proposal) {
                    steps.push((number, Step::Commit(proposal)));
                }
            }
            self.wrong_steps(ground, member, anchor, |step| steps.push((number, step)));
        }
        steps
    }

    /// Steps that only a wrong variant allows.
    fn wrong_steps(&self, ground: &Ground, member: &Member, anchor: Anchor, mut add: impl FnMut(Step)) {
        if self.variant.accepts_again() {
            ground.offers.iter().filter(|other| *other != anchor).for_each(|other| add(Step::Accept(other)));
        }
        if self.variant == Variant::NewViewForgotten && !ground.offers.has_one() {
            add(Step::ForgetNewView);
        }
        if self.variant == Variant::Amnesia && !member.amnesiac {
            add(Step::LoseStore);
        }
    }

    /// protocol §3.2: whether a validator may vote `Prepare` for a proposal, `commits` being the
    /// proposals with a commit certificate of this view or a lower one.
    fn may_prepare(&self, ground: &Ground, votes: &Votes, commits: Set, vote: (usize, Proposal)) -> bool {
        let (number, proposal) = vote;
        let member = &votes.members[number];
        let Some(anchor) = member.anchor else { return false };
        let for_anchor = anchor.chosen && anchor.proposal == proposal;
        let proposed = for_anchor
            || ground.primary.is_none_or(|primary| primary == number || votes.members[primary].prepared.has(proposal));
        !member.prepared.has(proposal)
            && proposed
            && self.is_above_prepared(member, proposal)
            && member.own().within(self.tree.related(proposal))
            && self.is_above_anchor(anchor, proposal)
            && self.has_parent(member, anchor, commits, proposal)
    }

    /// Above every sequence that it prepared in the view.
    fn is_above_prepared(&self, member: &Member, proposal: Proposal) -> bool {
        let remembered = match self.variant {
            Variant::Amnesia => member.prepared.without(member.forgotten),
            _ => member.prepared,
        };
        let sequence = self.tree.sequence(proposal);
        remembered.iter().all(|prepared| self.tree.sequence(prepared) < sequence)
    }

    /// The anchor or above it: nothing below is voted on again (protocol §5.3).
    fn is_above_anchor(&self, anchor: Anchor, proposal: Proposal) -> bool {
        match self.variant {
            Variant::VoteBelowAnchor | Variant::ParentMerelyReceived => true,
            Variant::RevoteFromBottom => self.tree.related(anchor.proposal).has(proposal),
            _ => self.tree.chain(proposal).has(anchor.proposal),
        }
    }

    /// The three ways in which a proposal's parent is good (protocol §3.2 a–c), and the vote for the
    /// anchor itself, which needs none (protocol §5.3).
    fn has_parent(&self, member: &Member, anchor: Anchor, commits: Set, proposal: Proposal) -> bool {
        let own = member.own();
        let parent = self.tree.parent(proposal);
        if self.variant == Variant::ParentMerelyReceived {
            return true;
        }
        if self.variant == Variant::RevoteFromBottom && self.tree.chain(anchor.proposal).has(proposal) {
            return parent == GENESIS || own.has(parent);
        }
        (anchor.chosen && anchor.proposal == proposal)
            || own.has(parent)
            || (parent == anchor.proposal && !anchor.chosen)
            || self.is_committed_chain(commits, Set::of(parent).and(Set::of(anchor.proposal)), own)
    }

    /// protocol §3.2 (c): one commit certificate's chain contains all of `places` and the highest of
    /// the votes `own`.
    fn is_committed_chain(&self, commits: Set, places: Set, own: Set) -> bool {
        let needed = self.tree.highest(own).map_or(places, |highest| places.and(Set::of(highest)));
        commits.iter().any(|committed| needed.within(self.tree.chain(committed)))
    }

    /// protocol §3.3: whether a validator that holds the prepared certificate may vote `Commit`.
    fn may_commit(&self, member: &Member, proposal: Proposal) -> bool {
        let on_chain = member.own().within(self.tree.related(proposal));
        !member.committed.has(proposal) && (on_chain || self.variant == Variant::CommitOffChain)
    }

    /// Whether a step can only add to what others can do later: it binds its validator to nothing
    /// that it isn't bound to anyway.
    pub(super) fn is_free(&self, votes: &Votes, validator: usize, step: Step) -> bool {
        let member = &votes.members[validator];
        match step {
            Step::Commit(proposal) => {
                let above = member.committed.without(member.forgotten);
                above.iter().any(|above| self.tree.chain(above).has(proposal))
            }
            _ => false,
        }
    }
}

impl Offers {
    fn has_one(self) -> bool {
        self.iter().count() == 1
    }
}
