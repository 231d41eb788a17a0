//! The model without any reduction: all messages sent in all views, and every order of actions.
//!
//! It says what a run is. The exploration by views is checked against it twice: every counterexample
//! is played through it, action by action, and tests explore it on small bounds and walk it at random
//! on larger ones.

use super::invariant::Violation;
use super::judge::{Anchor, CORRECT, Change, START};
use super::outcome::Outcome;
use super::past::Past;
use super::trace::{Action, Deed, claim};
use super::votes::{Member, Offers, Step, Votes};
use super::{MAX_VIEWS, Model, Variant};

/// Room for the views of a run.
const VIEWS: usize = MAX_VIEWS as usize;

/// All messages that the correct validators sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sent {
    /// View changes, by new view and validator.
    changes: [[Option<Change>; CORRECT]; VIEWS],
    /// What was accepted and voted, by view.
    votes: [Votes; VIEWS],
}

impl Sent {
    /// Nothing was sent; everyone is in view 0.
    pub(super) fn at_start() -> Self {
        let mut votes = [Votes::default(); VIEWS];
        votes[0] = Votes::under([START; CORRECT]);
        Self { changes: [[None; CORRECT]; VIEWS], votes }
    }

    /// What the views below `view` leave behind.
    pub(super) fn past(&self, model: &Model, view: u8) -> Past {
        let mut past = Past::default();
        for (view, votes) in (0..view).zip(&self.votes) {
            let ground = model.ground(&past, view, Offers::default());
            past = past.after(model, view, &Outcome::of(model, &ground, votes));
        }
        past
    }

    /// Every vote, and every wrong step of a variant, that the messages of `view` allow.
    pub(super) fn steps(&self, model: &Model, past: &Past, view: u8) -> Vec<(usize, Step)> {
        let ground = model.ground(past, view, self.offers(model, past, view));
        model.steps(&ground, &self.votes[usize::from(view)])
    }

    /// The anchors of all `NewView`s that can be made for `view`.
    pub(super) fn offers(&self, model: &Model, past: &Past, view: u8) -> Offers {
        past.offers(model, &self.changes[usize::from(view)])
    }

    fn member(&self, view: u8, validator: usize) -> &Member {
        &self.votes[usize::from(view)].members[validator]
    }

    /// Whether the validator went to this view or accepted its `NewView`.
    fn reached(&self, view: u8, validator: usize) -> bool {
        self.changes[usize::from(view)][validator].is_some() || self.member(view, validator).anchor.is_some()
    }

    /// Whether the validator left `view` for a higher one (protocol §5.1).
    fn has_left(&self, model: &Model, view: u8, validator: usize) -> bool {
        (view + 1..model.views()).any(|higher| self.reached(higher, validator))
    }

    /// Whether a correct validator may do this now.
    pub(super) fn allows(&self, model: &Model, action: &Action) -> bool {
        let Action { view, validator, deed } = *action;
        let left = self.has_left(model, view, validator);
        let past = self.past(model, view);
        match deed {
            Deed::ViewChange(change) => {
                view > 0 && !left && !self.reached(view, validator) && past.is_honest(model, validator, change)
            }
            Deed::Step(Step::Accept(anchor)) if self.member(view, validator).anchor.is_none() => {
                view > 0 && !left && self.may_accept(model, &past, action, anchor)
            }
            Deed::Step(step) => {
                (!left || model.variant == Variant::ViewForgotten)
                    && self.steps(model, &past, view).contains(&(validator, step))
            }
        }
    }

    /// protocol §5.2: one of the `NewView`s that can be made; a correct primary makes one only, and
    /// accepts it itself.
    fn may_accept(&self, model: &Model, past: &Past, action: &Action, anchor: Anchor) -> bool {
        let Action { view, validator, .. } = *action;
        let from_primary = match model.primary(view) {
            Some(primary) if primary != validator => self.member(view, primary).anchor == Some(anchor),
            _ => true,
        };
        from_primary && self.offers(model, past, view).has(anchor)
    }

    /// Does an action; whether it is allowed is another question.
    pub(super) fn take(&mut self, model: &Model, action: &Action) {
        let Action { view, validator, deed } = *action;
        match deed {
            Deed::ViewChange(change) => self.changes[usize::from(view)][validator] = Some(change),
            Deed::Step(step) => self.votes[usize::from(view)].take(model.variant, validator, step),
        }
    }

    /// What this set of messages breaks, with the view.
    pub(super) fn broken(&self, model: &Model) -> Option<(u8, Violation)> {
        (0..model.views()).find_map(|view| {
            let past = self.past(model, view);
            let ground = model.ground(&past, view, Offers::default());
            let votes = &self.votes[usize::from(view)];
            let mut accepted = Offers::default();
            votes.members.iter().filter_map(|member| member.anchor).for_each(|anchor| accepted.add(anchor));
            let broken = model.broken_by_offers(accepted, past.committed);
            broken.or_else(|| model.broken_by_votes(&ground, votes)).map(|violation| (view, violation))
        })
    }

    /// The certificates that can be made, for people.
    pub(super) fn certificates(&self, model: &Model) -> Vec<String> {
        let mut found = Vec::new();
        for view in 0..model.views() {
            let votes = &self.votes[usize::from(view)];
            let ground = model.ground(&self.past(model, view), view, Offers::default());
            let name = |proposal| model.tree.name(proposal);
            let prepared = model.prepared_certificates(votes).iter();
            found.extend(prepared.map(|proposal| format!("a prepared certificate ({view}, {})", name(proposal))));
            let committed = model.commit_certificates(&ground, votes).iter();
            found.extend(committed.map(|proposal| format!("a commit certificate ({view}, {})", name(proposal))));
        }
        found
    }

    /// View changes that make a `NewView` with this anchor, for people.
    pub(super) fn witness(&self, model: &Model, view: u8, anchor: Anchor) -> Option<String> {
        let changes = &self.changes[usize::from(view)];
        let senders: Vec<usize> = (0..CORRECT).filter(|number| changes[*number].is_some()).collect();
        let names: Vec<String> = senders.iter().map(|number| model.judge.index(*number).to_string()).collect();
        let mut found = None;
        self.past(model, view).new_views(model, changes, |new_view| {
            if found.is_none() && model.judge.anchor(&model.tree, new_view) == anchor {
                found = new_view.last().copied().map(|last| (new_view.len(), last));
            }
        });
        let (count, last) = found?;
        Some(format!("{count} view changes (sent by {}; last one claims {})", names.join(", "), claim(model, last)))
    }
}
