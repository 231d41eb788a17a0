//! Staying in touch: what this core reports of itself, and what it answers to others' reports
//! (protocol §§9.1–9.3). Nothing relies on a single delivery.

use quorate_types::ids::{Sequence, ValidatorIndex};
use quorate_types::message::{HeldOfYours, Message, Request, SlotStatus, Status, Voters};
use quorate_types::proposal::PrePrepare;
use quorate_types::signed::Signed;
use quorate_types::view_change::NewView;
use quorate_types::vote::{Phase, Vote};

use crate::config::Now;
use crate::core::Core;
use crate::effect::Effect;

/// The most votes and proposals re-sent in answer to one status: with the status interval, the byte budget
/// of retransmission per peer.
const MAX_RESENT: usize = 128;
/// The most slots reported.
const MAX_SLOTS: usize = 256;

impl Core {
    /// The core's part of a status. The composite adds lanes, execution, and what it holds of the receiver.
    #[must_use]
    pub fn status(&self) -> Status {
        let view = self.reign.view;
        let slots = self.votes.slots(view, self.tip().sequence).into_iter().take(MAX_SLOTS);
        let slots = slots.map(|((sequence, phase), (digest, voters))| {
            let slot = SlotStatus { view, sequence, phase, digest, voters };
            self.without_lost_proposal(slot)
        });
        Status {
            epoch: self.config.epoch,
            view,
            active: self.reign.active,
            committed: self.tip().sequence,
            stable: self.stable,
            executed: self.executed,
            certified: Sequence::ZERO,
            slots: slots.collect(),
            tips: Vec::new(),
            view_changes: self.changing().collect(),
            complaint: self.lasting_complaint(),
            quarantined: false,
            asks_for_own: false,
            yours: None,
        }
    }

    /// The primary's prepare vote comes with its proposal. Where only the vote is here, by way of the backups'
    /// answers, it is reported as missing, so that the proposal is sent again.
    fn without_lost_proposal(&self, slot: SlotStatus) -> SlotStatus {
        let primary = self.primary();
        let kept = self.pre_prepares.get(&primary).filter(|(view, _)| *view == slot.view);
        let is_kept = kept.is_some_and(|(_, held)| held.contains_key(&slot.sequence));
        let is_voted = self.reign.voted.get(&slot.sequence) == Some(&slot.digest);
        let of_anchor = slot.sequence == self.reign.anchor.sequence;
        if slot.phase == Phase::Commit || is_kept || is_voted || of_anchor {
            return slot;
        }
        let others = quorate_types::set::indices(self.config.quorum.validators())
            .filter(|validator| *validator != primary && slot.voters.contains(*validator));
        SlotStatus { voters: others.collect(), ..slot }
    }

    /// Those whose view changes for this view, or above, are held.
    fn changing(&self) -> impl Iterator<Item = ValidatorIndex> {
        let view = self.reign.view;
        let wants =
            move |change: &&quorate_types::view_change::ViewChangeMessage| change.signed.statement.new_view >= view;
        self.view_changes.values().filter(wants).map(|change| change.signed.signer())
    }

    /// protocol §9.2: answer a report with what its sender lacks, within a budget; take from it what this
    /// validator lacks itself.
    pub(crate) fn on_status(&mut self, now: Now, from: ValidatorIndex, status: Status, out: &mut Vec<Effect>) {
        if from == self.config.me || status.epoch < self.config.epoch {
            return;
        }
        if status.epoch > self.config.epoch {
            return self.follow_into_epoch(now, from, out);
        }
        let before = self.peers.on_status(from, &status, now.monotonic_ms);
        self.take_complaint(from, &status);
        // Behind what this peer already had one report ago: not in flight, missing.
        let lacks = before.committed > self.tip().sequence && !self.is_ahead_of_execution();
        let interval_ms = u64::from(self.config.parameters.status_interval_ms);
        let open = self.segments_asked.open();
        if lacks && self.peers.may_ask(from) && self.segments_asked.take(from, now.monotonic_ms, interval_ms) {
            if let Some(of) = open {
                self.conduct.on_unanswered(of);
            }
            out.push(Effect::Ask(from, Request::Segment(self.tip().sequence.next())));
        }
        // A report is small and its answer isn't: who reports in a hurry is answered at the ordinary pace.
        if !self.peers.may_answer(from, now.monotonic_ms, interval_ms) {
            return;
        }
        let before_answers = out.len();
        self.answer_view(from, &status, out);
        if status.committed < self.tip().sequence {
            self.answer_commit(from, before.committed, &status, out);
        } else if self.is_stalled(now) {
            self.answer_votes(from, &status, out);
        }
        if out.len() > before_answers {
            self.peers.on_answered(from, now.monotonic_ms);
        }
    }

    /// protocol §8.4: a peer is in a later epoch. What is left of this one is certified, and its to hand over.
    fn follow_into_epoch(&mut self, now: Now, from: ValidatorIndex, out: &mut Vec<Effect>) {
        let interval_ms = u64::from(self.config.parameters.status_interval_ms);
        let lacks = self.last != Some(self.tip().sequence) && !self.is_ahead_of_execution();
        if lacks && self.segments_asked.take(from, now.monotonic_ms, interval_ms) {
            out.push(Effect::Ask(from, Request::Segment(self.tip().sequence.next())));
        }
    }

    fn take_complaint(&mut self, from: ValidatorIndex, status: &Status) {
        match status.complaint {
            Some(complaint) if complaint.signer() == from => {
                self.complaints.insert(complaint);
            }
            // It lasts only while its sender renews it (protocol §4.7).
            None if status.view <= self.reign.view => self.complaints.withdraw(from, self.reign.view),
            _ => {}
        }
    }

    /// Nothing has been delivered for a status interval, or for half a timeout if that is less.
    fn is_stalled(&self, now: Now) -> bool {
        let quiet_ms = now.monotonic_ms.saturating_sub(self.delivered_ms);
        quiet_ms >= u64::from(self.config.parameters.status_interval_ms).min(self.timeouts.current_ms() / 2)
    }

    /// protocol §5.2: whoever accepted a new view sends it to a peer below or changing to it. protocol §5.1: a
    /// peer that hasn't left yet gets what makes leave.
    fn answer_view(&self, from: ValidatorIndex, status: &Status, out: &mut Vec<Effect>) {
        let view = self.reign.view;
        let behind = status.view < view || (status.view == view && !status.active);
        if !behind {
            return;
        }
        if let Some(new_view) = self.new_view_for(status) {
            out.push(Effect::Send(from, Message::NewView(Box::new(new_view.clone()))));
            return;
        }
        for (sender, change) in &self.view_changes {
            let wanted = change.signed.statement.new_view > status.view
                || (change.signed.statement.new_view == status.view && !status.view_changes.contains(*sender));
            if wanted && *sender != from {
                out.push(Effect::Send(from, Message::ViewChange(Box::new(change.clone()))));
            }
        }
    }

    fn new_view_for(&self, status: &Status) -> Option<&Signed<NewView>> {
        let accepted = self.reign.new_view.as_ref()?;
        let enters = accepted.statement.view > status.view || !status.active;
        (self.reign.active && enters).then_some(accepted)
    }

    /// A peer that stands where it stood one report ago gets the certificate that commits more.
    fn answer_commit(&self, from: ValidatorIndex, before: Sequence, status: &Status, out: &mut Vec<Effect>) {
        let Some(commit) = &self.certificates.commit else { return };
        if before == status.committed && commit.claim.sequence > status.committed {
            out.push(Effect::Send(from, Message::Certificate(commit.clone())));
        }
    }

    /// The votes of this view that a peer lacks above what it delivered, with the proposal where it lacks the
    /// primary's vote.
    fn answer_votes(&self, from: ValidatorIndex, status: &Status, out: &mut Vec<Effect>) {
        let view = self.reign.view;
        if !self.reign.active || status.view != view || !status.active {
            return;
        }
        let mut left = MAX_RESENT;
        let above = self.stable.max(status.committed);
        for ((sequence, phase), (digest, _)) in self.votes.slots(view, above) {
            let theirs =
                status.slots.iter().find(|slot| (slot.view, slot.sequence, slot.phase) == (view, sequence, phase));
            let has = |validator| theirs.is_some_and(|slot| slot.digest == digest && slot.voters.contains(validator));
            for vote in self.votes.in_slot((view, sequence, phase)) {
                let Vote { validator, digest: voted, .. } = vote.statement;
                // protocol §9.3: one for another digest than the peer counts goes out too, so that conflicting
                // votes meet.
                if validator == from || (voted == digest && has(validator)) {
                    continue;
                }
                if left == 0 {
                    return;
                }
                left -= 1;
                out.push(Effect::Send(from, self.resend(*vote)));
            }
        }
    }

    /// A vote as it was first sent: the primary's prepare with its proposal.
    pub(crate) fn resend(&self, vote: Signed<Vote>) -> Message {
        let Vote { view, sequence, digest, phase, validator, .. } = vote.statement;
        let of_anchor = sequence == self.reign.anchor.sequence && view == self.reign.view;
        // A vote that names another sequence than its proposal has would be no pre-prepare: nobody lets it in.
        let proposal = self.chain.proposal(&digest).filter(|proposal| proposal.sequence == sequence);
        match proposal {
            Some(proposal) if phase == Phase::Prepare && validator == self.config.primary(view) && !of_anchor => {
                Message::PrePrepare(PrePrepare { proposal: proposal.clone(), vote })
            }
            _ => self.vote_message(vote),
        }
    }

    /// protocol §7.3: the highest messages of a validator's key that are held here.
    #[must_use]
    pub fn held_of(&self, validator: ValidatorIndex) -> HeldOfYours {
        let highest = |phase| self.votes.highest(validator, phase).copied();
        HeldOfYours {
            votes: [highest(Phase::Prepare), highest(Phase::Commit)].into_iter().flatten().collect(),
            complaint: self.complaints.of(validator).copied(),
            view_change: self.view_changes.get(&validator).map(|change| change.signed),
            bundle: None,
            execution: None,
        }
    }

    /// Who is known to have voted in a slot of the current view, for the report to people.
    #[must_use]
    pub fn voters(&self, sequence: Sequence, phase: Phase) -> Voters {
        let slots = self.votes.in_slot((self.reign.view, sequence, phase));
        slots.map(|vote| vote.statement.validator).collect()
    }

    /// What a peer last reported.
    #[must_use]
    pub fn peer(&self, validator: ValidatorIndex) -> Option<&crate::peers::Peer> {
        self.peers.peer(validator)
    }
}
