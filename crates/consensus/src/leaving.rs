//! View changes: leaving together, the new view, its anchor (protocol §§5.1–5.5).

use std::collections::BTreeSet;

use quorate_types::contradiction::Contradiction;
use quorate_types::ids::{ValidatorIndex, View};
use quorate_types::message::Message;
use quorate_types::rules::{Anchor, admit_new_view};
use quorate_types::signed::Signed;
use quorate_types::view_change::{NewView, ViewChange, ViewChangeMessage};
use quorate_types::vote::Certificate;

use crate::config::Now;
use crate::core::{Core, Reign};
use crate::effect::{Cause, CoreNotice, Effect};

impl Core {
    /// protocol §5.1: leave when complaints about this view and view changes above it, together of
    /// `blocking` distinct validators, are held.
    pub(crate) fn consider_leaving(&mut self, now: Now, out: &mut Vec<Effect>) {
        if !self.signs() {
            return;
        }
        let spread_ms = u64::from(self.config.parameters.fairness_ms);
        let own_time = self.tip().time;
        let counting = self.complaints.counting(self.reign.view, own_time, spread_ms, &self.leavers());
        let alone = cfg!(mutant = "views-climbed-alone") && self.complaints.holds(Cause::NewViewMissing);
        if counting.len() >= self.config.quorum.blocking() || alone {
            let target = self.reached_by_blocking().max(self.reign.view.next());
            // At the end of the numbers there is no view to go to.
            if target > self.reign.view {
                self.leave(now, target, &counting, out);
            }
        }
    }

    /// The highest view that `blocking` validators have reached, shown by view change, complaint, or a
    /// certificate, which shows it of a quorum (protocol §5.1).
    fn reached_by_blocking(&self) -> View {
        let mut reached: Vec<View> = quorate_types::set::indices(self.config.quorum.validators())
            .map(|validator| {
                let changed = self.view_changes.get(&validator).map(|change| change.signed.statement.new_view);
                let complained = self.complaints.of(validator).map(|complaint| complaint.statement.view);
                changed.max(complained).unwrap_or_default()
            })
            .collect();
        reached.sort_unstable_by(|a, b| b.cmp(a));
        let shown = reached.get(self.config.quorum.blocking() - 1).copied().unwrap_or_default();
        let held = &self.certificates;
        let certified = [&held.commit_ahead, &held.prepared_pending].into_iter().flatten();
        certified.map(|certificate| certificate.claim.view).fold(shown, View::max)
    }

    /// Leaves for `target`: durable, then broadcast with what moved it, so that whoever sees that leaves
    /// too. From then on nothing is signed in views below.
    fn leave(&mut self, now: Now, target: View, moved_by: &BTreeSet<ValidatorIndex>, out: &mut Vec<Effect>) {
        let from = self.reign.view;
        self.count_view_left(now);
        for validator in moved_by.iter().filter(|validator| **validator != self.config.me) {
            let changed = self.view_changes.get(validator).filter(|c| c.signed.statement.new_view > from);
            let message = match (changed, self.complaints.of(*validator)) {
                (Some(change), _) => Message::ViewChange(Box::new(change.clone())),
                (None, Some(complaint)) => Message::Complaint(*complaint),
                (None, None) => continue,
            };
            out.push(Effect::Broadcast(message));
        }
        self.reign = Reign::changing_to(target, now.monotonic_ms);
        self.save_votes_above(from, out);
        self.forget_before_view();
        out.push(Effect::Notice(CoreNotice::Leaves { from, to: target }));
        out.push(Effect::SaveView(target, false));
        self.sign_view_change(out);
    }

    /// The view change for the view that this validator is changing to, unless it was made already (after a
    /// restart before it could sign).
    pub(crate) fn claim_in_view_change(&mut self, out: &mut Vec<Effect>) {
        let made =
            self.view_changes.get(&self.config.me).is_some_and(|own| own.signed.statement.new_view >= self.reign.view);
        if !self.reign.active && self.signs() && !made && !self.reign.claimed {
            self.sign_view_change(out);
        }
    }

    fn sign_view_change(&mut self, out: &mut Vec<Effect>) {
        self.reign.claimed = true;
        let below = |certificate: &Option<Certificate>| {
            certificate.clone().filter(|certificate| certificate.claim.view < self.reign.view)
        };
        let prepared = below(&self.certificates.prepared);
        let committed = below(&self.certificates.commit);
        let statement = ViewChange {
            epoch: self.config.epoch,
            new_view: self.reign.view,
            prepared: prepared.as_ref().map(|certificate| certificate.claim),
            committed: committed.as_ref().map(|certificate| certificate.claim),
            last_vote: self.last_vote,
            validator: self.config.me,
        };
        out.push(Effect::SignViewChange(statement, prepared, committed));
    }

    /// Certificates of the view just left may be claimed from now on; those of higher ones still wait.
    fn fold_certificates(&mut self, below: View) {
        let held = &mut self.certificates;
        if held.commit_ahead.as_ref().is_some_and(|ahead| ahead.claim.view < below) {
            let ahead = held.commit_ahead.take();
            let rank = |c: &Certificate| (c.claim.sequence, c.claim.view);
            if ahead.as_ref().map(rank) > held.commit.as_ref().map(rank) {
                held.commit = ahead;
            }
        }
    }

    fn count_view_left(&mut self, now: Now) {
        let idle = self.reign.active && !self.owes(now);
        self.note_slow_view(now);
        self.timeouts.on_view_left(self.reign.commits > 0, idle);
        self.complaints.clear_causes();
        self.fairness.reset();
        self.pace.on_view_left(now.monotonic_ms);
    }

    /// The kept votes of views that were ahead until now are recorded (protocol §7.1).
    fn save_votes_above(&self, view: View, out: &mut Vec<Effect>) {
        let votes = self.votes.of_views(view.next(), self.reign.view);
        out.extend(votes.filter(|vote| vote.signer() != self.config.me).map(|vote| Effect::SaveVote(*vote)));
    }

    fn forget_before_view(&mut self) {
        let view = self.reign.view;
        // While changing to `view`, a certificate of `view` itself must not be claimed; once active it may.
        self.fold_certificates(if self.reign.active { view.next() } else { view });
        self.pre_prepares.retain(|_, (other, _)| *other >= view);
        self.new_views.retain(|_, new_view| new_view.statement.view >= view);
        let held = &self.certificates;
        let mut ends: Vec<_> = [&held.prepared, &held.prepared_pending, &held.commit, &held.commit_ahead]
            .into_iter()
            .flatten()
            .map(|certificate| certificate.claim.digest)
            .collect();
        ends.extend(held.goals.values().map(|goal| goal.claim.digest));
        ends.extend(self.reign.active.then_some(self.reign.anchor.digest));
        ends.extend(self.last_vote.map(|vote| vote.digest));
        self.chain.retain_chains(&ends);
        let chain = &self.chain;
        self.payloads.retain(|digest, _| chain.proposal(digest).is_some());
        self.judge_again_ms = None;
    }

    /// protocol §5.5: of each sender only the newest is kept. Two different ones for one view contradict each
    /// other.
    pub(crate) fn on_view_change(&mut self, change: ViewChangeMessage, out: &mut Vec<Effect>) {
        let sender = change.signed.signer();
        let new_view = change.signed.statement.new_view;
        if sender == self.config.me && !self.view_changes.contains_key(&sender) {
            return;
        }
        if let Some(held) = self.view_changes.get(&sender) {
            let held_view = held.signed.statement.new_view;
            if held_view == new_view && held.signed.statement != change.signed.statement {
                out.push(Effect::Contradiction(Contradiction::ViewChanges(held.signed, change.signed)));
            }
            if held_view >= new_view || sender == self.config.me {
                return;
            }
        }
        // The certificates in it are knowledge, whoever brought them.
        for certificate in [&change.committed, &change.prepared].into_iter().flatten() {
            self.on_certificate(certificate.clone(), out);
        }
        self.view_changes.insert(sender, change);
    }

    /// protocol §5.2: the primary of the view, with a quorum of valid view changes for it.
    pub(crate) fn lead_view_change(&mut self, out: &mut Vec<Effect>) {
        let view = self.reign.view;
        let leads = !self.reign.active && !self.reign.led && self.primary() == self.config.me;
        if !leads || !self.signs() {
            return;
        }
        let quorum = self.config.quorum.quorum();
        let changes: Vec<&ViewChangeMessage> =
            self.view_changes.values().filter(|c| c.signed.statement.new_view == view).take(quorum).collect();
        if changes.len() < quorum {
            return;
        }
        let prepared = changes.iter().filter_map(|change| change.prepared.as_ref());
        let committed = changes.iter().filter_map(|change| change.committed.as_ref());
        let new_view = NewView {
            epoch: self.config.epoch,
            view,
            view_changes: changes.iter().map(|change| change.signed).collect(),
            prepared: prepared.max_by_key(|c| (c.claim.view, c.claim.sequence)).cloned(),
            committed: committed.max_by_key(|c| c.claim.sequence).cloned(),
            validator: self.config.me,
        };
        self.reign.led = true;
        out.push(Effect::SignNewView(Box::new(new_view)));
    }

    /// A new view, own or received: kept until the rules let it be entered. protocol §5.2: a second one for
    /// the accepted view is a contradiction, nothing else.
    pub(crate) fn on_new_view(&mut self, new_view: Signed<NewView>, out: &mut Vec<Effect>) {
        let NewView { view, validator, .. } = new_view.statement;
        let accepted = self.reign.new_view.as_ref().filter(|accepted| accepted.statement.view == view);
        let waiting = self.new_views.get(&validator).filter(|waiting| waiting.statement.view == view);
        if let Some(first) = accepted.or(waiting) {
            if first.statement != new_view.statement {
                let pair = (first.clone(), new_view.clone());
                out.push(Effect::Contradiction(Contradiction::NewViews(Box::new(pair))));
            }
            if !cfg!(mutant = "second-new-view") {
                return;
            }
        }
        let newer = self.new_views.get(&validator).is_none_or(|held| held.statement.view < view);
        if (view >= self.reign.view && newer) || cfg!(mutant = "second-new-view") {
            self.new_views.insert(validator, new_view);
        }
    }

    /// protocol §5.2: at most one per view, ever; for a view above the own one, or equal to it while changing.
    /// The highest first.
    pub(crate) fn accept_new_view(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Reign { view, active, .. } = self.reign;
        let enters =
            |candidate: View| candidate > view || (candidate == view && (!active || cfg!(mutant = "second-new-view")));
        let best = self.new_views.values().filter(|n| enters(n.statement.view)).max_by_key(|n| n.statement.view);
        let Some(new_view) = best.cloned() else { return };
        self.new_views.remove(&new_view.signer());
        let start = (self.config.start.sequence, self.config.start.digest);
        // Judged at the door already; recomputed here, where it is used.
        let Ok(anchor) = admit_new_view(&new_view.statement, self.config.leading(), start) else { return };
        self.enter(now, new_view, anchor, out);
    }

    fn enter(&mut self, now: Now, new_view: Signed<NewView>, anchor: Anchor, out: &mut Vec<Effect>) {
        let view = new_view.statement.view;
        let from = self.reign.view;
        if from != view {
            self.count_view_left(now);
        }
        let proofs = [new_view.statement.committed.clone(), new_view.statement.prepared.clone()];
        self.reign = Reign {
            active: true,
            anchor,
            new_view: Some(new_view.clone()),
            ..Reign::changing_to(view, now.monotonic_ms)
        };
        self.complaints.clear_causes();
        self.save_votes_above(from, out);
        for certificate in proofs.into_iter().flatten() {
            self.on_certificate(certificate, out);
        }
        self.forget_before_view();
        // Durable before the first vote under it (protocol §5.2).
        out.push(Effect::SaveNewView(Box::new(new_view)));
        out.push(Effect::SaveView(view, true));
        let primary = self.primary();
        out.push(Effect::Notice(CoreNotice::Enters { view, primary, anchor: anchor.sequence }));
        if self.chain.delivered_at(anchor.sequence).is_none() && self.chain.proposal(&anchor.digest).is_none() {
            self.ask_for(now, anchor.digest, out);
        }
    }
}
