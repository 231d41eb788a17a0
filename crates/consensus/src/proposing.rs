//! The primary's side of the normal case (protocol §3.1).

use quorate_crypto::Digest;
use quorate_types::ids::{BlockTime, Sequence};
use quorate_types::proposal::{Payload, Proposal};
use quorate_types::vote::Phase;

use crate::config::{Link, Now};
use crate::core::{Core, PayloadState};
use crate::effect::Effect;

/// Where the primary may propose next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The proposal to extend.
    pub parent: Digest,
    /// The sequence.
    pub sequence: Sequence,
    /// Proposals are in flight: only a full payload goes out now; batching comes from load, not from a
    /// timer.
    pub only_full: bool,
    /// An empty payload is due.
    pub may_be_empty: bool,
}

impl Core {
    /// The slot for the next proposal, if this validator is the primary of its active view and the rules let
    /// it vote there itself.
    #[must_use]
    pub fn slot(&self, now: Now) -> Option<Slot> {
        if !self.reign.active || !self.signs() || self.primary() != self.config.me {
            return None;
        }
        let parent = self.parent_to_extend()?;
        let sequence = parent.sequence.next();
        if !self.in_window(sequence) || self.reign.prepared >= Some(sequence) {
            return None;
        }
        let only_full = parent.sequence > self.tip().sequence;
        let may_be_empty = !only_full && self.is_empty_due(now, parent);
        Some(Slot { parent: parent.digest, sequence, only_full, may_be_empty })
    }

    /// Its own last proposal, or the anchor once voted for, or, where it has committed beyond those, the tip
    /// under the rule of protocol §3.2 (c): so its votes of the view stay on one chain.
    fn parent_to_extend(&self) -> Option<Link> {
        let tip = self.tip();
        match self.top() {
            // Its own vote's proposal may be missing after a restart: it is fetched first.
            Some((sequence, digest)) if sequence > tip.sequence => self.chain.link(&digest),
            _ => {
                let anchor = self.reign.anchor;
                let is_base = !anchor.chosen && anchor.sequence == tip.sequence && anchor.digest == tip.digest;
                (is_base || self.is_committed_under_view(tip)).then_some(tip)
            }
        }
    }

    /// protocol §3.1: an empty payload is due when an operation is in the waiting room, when the epoch is to end, or
    /// when the last stable checkpoint is old with sequences above it; at its distance from the parent (protocol §3.6).
    pub(crate) fn is_empty_due(&self, now: Now, parent: Link) -> bool {
        let parameters = &self.config.parameters;
        let least = parent.time.plus(u64::from(parameters.empty_interval_ms));
        if now.wall_ms < least.0 {
            return false;
        }
        let above_stable = parent.sequence > self.stable;
        let stable_time = self.chain.delivered_at(self.stable).and_then(|digest| self.chain.link(&digest));
        let age_ms = now.wall_ms.saturating_sub(stable_time.unwrap_or(self.config.start).time.0);
        let ends = self.last.is_some_and(|last| parent.sequence < last);
        self.waiting_room || ends || (above_stable && age_ms > u64::from(parameters.checkpoint_max_age_ms))
    }

    /// Puts a payload at the slot to the vote.
    pub(crate) fn on_propose(&mut self, now: Now, payload: Payload, out: &mut Vec<Effect>) {
        let Some(slot) = self.slot(now) else { return };
        let Some(parent) = self.chain.link(&slot.parent) else { return };
        for tip in &payload.tips {
            self.on_lane_named(now, tip);
        }
        let proposal = Proposal {
            epoch: self.config.epoch,
            sequence: slot.sequence,
            parent: slot.parent,
            time: parent.time.max(BlockTime(now.wall_ms)),
            payload,
        };
        let digest = proposal.digest();
        if self.chain.insert(digest, proposal.clone()) {
            out.push(Effect::SaveProposal(digest, proposal.clone()));
        }
        // The primary named only what it durably holds; its lanes still derive the tips after it.
        self.payloads.insert(digest, PayloadState::Asked);
        out.push(Effect::CheckPayload(digest, proposal.clone()));
        let claim = quorate_types::vote::Claim { view: self.reign.view, sequence: slot.sequence, digest };
        let vote = self.cast(now, claim, Phase::Prepare);
        out.push(Effect::SignPrePrepare(proposal, vote));
    }

    /// An operation waits for its parents, or none does any more (protocol §3.1).
    pub const fn set_waiting_room(&mut self, occupied: bool) {
        self.waiting_room = occupied;
    }
}
