//! The detector: sees every verified message once and finds what contradicts an earlier one (accountability §1).
//!
//! Each message costs a few look-ups by place, never a walk over a history: votes of a view are compared with their
//! neighbours alone, because votes whose neighbours lie on one chain all do. What arrives in another order is looked at
//! again when the missing proposal, parent or new view comes. Everything kept is bounded per signer, and what lies
//! below the stable checkpoint, or far ahead, isn't kept at all; so whoever floods only hides his own.
//!
//! It decides nothing and signs nothing. What it finds is judged once more before anyone keeps it.

mod chain;
mod operations;
mod signer;

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_types::bundle::Bundle;
use quorate_types::evidence::{Certified, Diverged, Evidence, InvalidProposal, OffChainVotes, in_order};
use quorate_types::execution::{ExecutionCertificate, ExecutionVote};
use quorate_types::ids::{Sequence, ValidatorIndex, View};
use quorate_types::message::{Message, VoteMessage};
use quorate_types::proposal::{PrePrepare, Proposal};
use quorate_types::rules::{self, Anchor};
use quorate_types::signed::Signed;
use quorate_types::verified::Context;
use quorate_types::view_change::{NewView, ViewChange};
use quorate_types::vote::{Phase, Vote};

use self::chain::{Proposals, Walk};
use self::operations::Operations;
use self::signer::Signer;

/// Views above the own one whose messages are looked at.
const VIEWS_AHEAD: u64 = 8;
/// New views kept.
const MAX_NEW_VIEWS: usize = 16;
/// Execution certificates kept, for results that come after them.
const MAX_CERTIFICATES: usize = 64;

/// The detector of one epoch.
#[derive(Debug)]
pub struct Watch {
    context: Context,
    view: View,
    stable: Sequence,
    signers: Vec<Signer>,
    proposals: Proposals,
    new_views: BTreeMap<View, (Signed<NewView>, Anchor)>,
    certificates: BTreeMap<Sequence, ExecutionCertificate>,
    operations: Operations,
    /// Set for the whole life of one that goes through records: nothing is too old or too far ahead for it.
    sees_all: bool,
}

impl Watch {
    /// A detector that has seen nothing yet.
    #[must_use]
    pub fn new(context: Context) -> Self {
        let window = usize::try_from(context.parameters.window).unwrap_or(usize::MAX);
        // Two windows in reach, two phases, and as much again for a change of views.
        Self::with_room(context, window.saturating_mul(8), false)
    }

    /// One that goes through what was recorded, from whenever it is, with room for everything.
    #[must_use]
    pub fn over_records(context: Context) -> Self {
        Self::with_room(context, usize::MAX, true)
    }

    fn with_room(context: Context, limit: usize, sees_all: bool) -> Self {
        let signers = (0..context.set.size()).map(|_| Signer::new(limit)).collect();
        let stable = context.start.0;
        Self {
            view: View::ZERO,
            stable,
            signers,
            proposals: Proposals::new(limit),
            new_views: BTreeMap::new(),
            certificates: BTreeMap::new(),
            operations: Operations::default(),
            sees_all,
            context,
        }
    }

    /// Where the own validator stands: what lies below, or far ahead, is of no interest any more.
    pub fn stands_at(&mut self, view: View, stable: Sequence) {
        self.view = self.view.max(view);
        if stable > self.stable {
            self.stable = stable;
            self.signers.iter_mut().for_each(|signer| signer.prune(stable));
            self.proposals.prune(stable);
        }
    }

    /// Looks at a message whose signatures were checked; what it shows goes to `out`, in the order found.
    pub fn on_message(&mut self, message: &Message, out: &mut Vec<Evidence>) {
        match message {
            Message::PrePrepare(pre_prepare) => self.on_pre_prepare(pre_prepare, out),
            Message::Vote(VoteMessage { vote, primary }) => {
                for vote in primary.iter().chain([vote]) {
                    self.on_vote(vote, out);
                }
            }
            Message::ViewChange(change) => self.on_view_change(&change.signed, out),
            Message::NewView(new_view) => self.on_new_view(new_view, out),
            Message::Bundle(bundle) => self.on_bundle(bundle, out),
            Message::ExecutionVote(vote) => self.on_result(vote, out),
            Message::ExecutionCertificate(certificate) => self.on_certified(certificate, out),
            Message::Proposal(proposal) => self.on_proposal(proposal, out),
            _ => {}
        }
    }

    /// Whether a vote there is of interest.
    fn is_near(&self, view: View, sequence: Sequence) -> bool {
        let reach = 2 * u64::from(self.context.parameters.window);
        let is_in_reach = sequence > self.stable && sequence.above(self.stable) <= reach;
        self.sees_all || (self.is_near_view(view) && is_in_reach)
    }

    const fn is_near_view(&self, view: View) -> bool {
        self.sees_all || view.0 <= self.view.0.saturating_add(VIEWS_AHEAD)
    }

    fn on_pre_prepare(&mut self, pre_prepare: &PrePrepare, out: &mut Vec<Evidence>) {
        let Vote { view, sequence, .. } = pre_prepare.vote.statement;
        if self.is_near(view, sequence) {
            self.on_proposal(&pre_prepare.proposal, out);
            self.on_vote(&pre_prepare.vote, out);
        }
    }

    /// A vote, seen in its own right, restored from the records, or inside another message.
    pub fn on_vote(&mut self, vote: &Signed<Vote>, out: &mut Vec<Evidence>) {
        let Vote { epoch, view, sequence, phase, validator, digest } = vote.statement;
        if epoch != self.context.epoch || !self.is_near(view, sequence) {
            return;
        }
        let Some(signer) = self.signers.get_mut(validator.position()) else { return };
        if let Some(first) = signer.vote_at((view, sequence, phase)) {
            if first.statement.digest != digest {
                let set = &self.context.set;
                out.push(Evidence::of_votes((*first, *vote), |epoch, view| set.primary(epoch, view)));
            }
            return;
        }
        if !signer.keep_vote(vote) {
            return;
        }
        for change in signer.changes_hiding(&vote.statement) {
            out.push(hidden(change, vote));
        }
        let (below, above) = signer.neighbours(&vote.statement);
        for (lower, upper) in below.map(|below| (below, *vote)).into_iter().chain(above.map(|above| (*vote, above))) {
            self.link(lower, upper, out);
        }
        if phase == Phase::Prepare && self.context.set.primary(epoch, view) == validator {
            self.judge_proposed(vote, out);
        }
    }

    /// Two votes of one signer in one view must lie on one chain (protocol §3.2 b).
    fn link(&mut self, lower: Signed<Vote>, upper: Signed<Vote>, out: &mut Vec<Evidence>) {
        match self.proposals.walk((upper.statement.sequence, upper.statement.digest), lower.statement.sequence) {
            Walk::At(digest) if digest == lower.statement.digest => {}
            Walk::At(_) => {
                let from = (upper.statement.sequence, upper.statement.digest);
                let chain = self.proposals.between(from, lower.statement.sequence);
                out.push(Evidence::OffChainVotes(Box::new(OffChainVotes { lower, upper, chain })));
            }
            Walk::Missing(digest) => self.proposals.wait_for(digest, upper.statement),
            Walk::TooFar => {}
        }
    }

    /// A proposal that a vote or another proposal may be waiting for.
    pub fn on_proposal(&mut self, proposal: &Proposal, out: &mut Vec<Evidence>) {
        if !self.is_near(self.view, proposal.sequence) {
            return;
        }
        for waiting in self.proposals.insert(proposal) {
            let Some(signer) = self.signers.get(waiting.validator.position()) else { continue };
            let slot = (waiting.view, waiting.sequence, waiting.phase);
            let Some(vote) = signer.vote_at(slot).copied() else { continue };
            let (below, _) = signer.neighbours(&vote.statement);
            if let Some(below) = below {
                self.link(below, vote, out);
            }
            let Vote { epoch, view, phase, validator, .. } = vote.statement;
            if phase == Phase::Prepare && self.context.set.primary(epoch, view) == validator {
                self.judge_proposed(&vote, out);
            }
        }
    }

    /// What a primary put to the vote: beside the anchor, or against a rule under its parent (protocol §5.3, §3.6).
    fn judge_proposed(&mut self, vote: &Signed<Vote>, out: &mut Vec<Evidence>) {
        let Vote { view, sequence, digest, .. } = vote.statement;
        let Some(proposal) = self.proposals.held(&digest) else {
            return self.proposals.wait_for(digest, vote.statement);
        };
        let new_view = self.new_views.get(&view);
        let pre_prepare = || PrePrepare { proposal: proposal.clone(), vote: *vote };
        if let Some((new_view, anchor)) = new_view {
            if rules::is_off_anchor(*anchor, (sequence, digest), proposal) {
                out.push(Evidence::OffAnchor(Box::new((new_view.clone(), pre_prepare()))));
            }
            if sequence <= anchor.sequence {
                return;
            }
        }
        let Some(parent) = self.proposals.held(&proposal.parent) else {
            let parent = proposal.parent;
            if sequence > self.stable.next() {
                self.proposals.wait_for(parent, vote.statement);
            }
            return;
        };
        let may_be_anchor = view > View::ZERO && new_view.is_none();
        let breaks = rules::breaks_under_parent(parent, proposal, &self.context.parameters) && !may_be_anchor;
        if breaks || rules::lanes_fall(parent, proposal) {
            let new_view = new_view.map(|(new_view, _)| Box::new(new_view.clone()));
            let invalid = InvalidProposal { pre_prepare: pre_prepare(), new_view, parent: Some(parent.clone()) };
            out.push(Evidence::InvalidProposal(Box::new(invalid)));
        }
    }

    /// A view change, seen in its own right or inside a new view (protocol §2.6).
    pub fn on_view_change(&mut self, change: &Signed<ViewChange>, out: &mut Vec<Evidence>) {
        let ViewChange { epoch, new_view, validator, .. } = change.statement;
        if epoch != self.context.epoch || !self.is_near_view(new_view) {
            return;
        }
        let Some(signer) = self.signers.get_mut(validator.position()) else { return };
        if let Some(first) = signer.change_for(new_view) {
            if first.statement != change.statement {
                let (first, second) = in_order((*first, *change));
                out.push(Evidence::ConflictingViewChanges(first, second));
            }
            return;
        }
        out.extend(signer.hidden_by(&change.statement).map(|vote| hidden(change, &vote)));
        signer.keep_change(change);
    }

    /// A new view (protocol §2.7), with the view changes in it.
    pub fn on_new_view(&mut self, new_view: &Signed<NewView>, out: &mut Vec<Evidence>) {
        let NewView { epoch, view, validator, .. } = new_view.statement;
        if epoch != self.context.epoch || !self.is_near_view(view) {
            return;
        }
        if let Some((first, _)) = self.new_views.get(&view) {
            if first.statement != new_view.statement {
                out.push(Evidence::ConflictingNewViews(Box::new(in_order((first.clone(), new_view.clone())))));
            }
            return;
        }
        let Ok(anchor) = rules::admit_new_view(&new_view.statement, self.context.leading(), self.context.start) else {
            return;
        };
        for change in &new_view.statement.view_changes {
            self.on_view_change(change, out);
        }
        self.new_views.insert(view, (new_view.clone(), anchor));
        if self.new_views.len() > MAX_NEW_VIEWS && !self.sees_all {
            self.new_views.pop_first();
        }
        let Some(primary) = self.signers.get(validator.position()) else { return };
        for vote in primary.prepares_of(view) {
            self.judge_proposed(&vote, out);
        }
    }

    fn on_bundle(&mut self, bundle: &Arc<Bundle>, out: &mut Vec<Evidence>) {
        let header = &bundle.header;
        if header.statement.epoch != self.context.epoch {
            return;
        }
        let Some(signer) = self.signers.get_mut(header.signer().position()) else { return };
        let Some(contradictions) = signer.keep_header(header) else { return };
        for (first, second) in contradictions {
            out.push(Evidence::ConflictingBundles(first, second));
        }
        // A validator's word about its own store has no nonce (protocol §7.4).
        for operation in bundle.operations.iter().filter(|operation| !operation.is_own_word()) {
            out.extend(self.operations.keep(operation).map(|first| {
                let (first, second) = in_order((first.as_ref().clone(), operation.as_ref().clone()));
                Evidence::ConflictingOperations(Box::new((first, second)))
            }));
        }
    }

    /// A result (protocol §2.10).
    pub fn on_result(&mut self, vote: &Signed<ExecutionVote>, out: &mut Vec<Evidence>) {
        let execution = vote.statement.execution;
        if execution.epoch != self.context.epoch {
            return;
        }
        let Some(signer) = self.signers.get_mut(vote.signer().position()) else { return };
        match signer.result_at(execution.sequence) {
            Some(first) if first.statement != vote.statement => {
                let (first, second) = in_order((*first, *vote));
                out.push(Evidence::ConflictingExecutions(first, second));
                return;
            }
            Some(_) => return,
            None => signer.keep_result(vote),
        }
        if let Some(certificate) = self.certificates.get(&execution.sequence)
            && certificate.execution != execution
        {
            out.push(diverged(*vote, certificate));
        }
    }

    /// What a quorum certified, here or elsewhere.
    pub fn on_certified(&mut self, certificate: &ExecutionCertificate, out: &mut Vec<Evidence>) {
        let execution = certificate.execution;
        if execution.epoch != self.context.epoch || self.certificates.contains_key(&execution.sequence) {
            return;
        }
        let others = self.signers.iter().filter_map(|signer| signer.result_at(execution.sequence));
        let others = others.filter(|vote| vote.statement.execution != execution);
        out.extend(others.map(|vote| diverged(*vote, certificate)));
        self.certificates.insert(execution.sequence, certificate.clone());
        if self.certificates.len() > MAX_CERTIFICATES && !self.sees_all {
            self.certificates.pop_first();
        }
    }

    /// How much is held of a signer, and in all: for the tests at the bounds.
    #[must_use]
    pub fn held(&self, validator: ValidatorIndex) -> (usize, usize) {
        let of_signer = self.signers.get(validator.position()).map_or(0, Signer::held);
        (of_signer, self.proposals.held_in_all() + self.operations.held())
    }
}

fn hidden(change: &Signed<ViewChange>, vote: &Signed<Vote>) -> Evidence {
    match vote.statement.phase {
        Phase::Commit => Evidence::HiddenCertificate(*change, *vote),
        Phase::Prepare => Evidence::HiddenVote(*change, *vote),
    }
}

fn diverged(vote: Signed<ExecutionVote>, certificate: &ExecutionCertificate) -> Evidence {
    Evidence::Diverged(Box::new(Diverged { vote, against: Certified::Execution(certificate.clone()) }))
}

#[cfg(test)]
mod tests;
