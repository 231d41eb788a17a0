//! Primaries that are slow on purpose: just under the others' patience, or a little more each time.

use quorate_types::message::Message;

use super::{Behaviour, Letters, Stage};

/// Whether it is this validator's own proposal.
fn is_own_proposal(stage: &Stage<'_>, message: &Message) -> bool {
    matches!(message, Message::PrePrepare(pre_prepare) if pre_prepare.vote.signer() == stage.index())
}

/// Proposes when nine tenths of the first timeout have passed.
#[derive(Debug)]
pub(super) struct Slow;

impl Behaviour for Slow {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        let patience_ms = u64::from(stage.context.parameters.timeout_base_ms);
        let after_ms = if is_own_proposal(stage, &message) { patience_ms * 9 / 10 } else { 0 };
        out.push_late(to, message, after_ms);
    }
}

/// Proposes a little later with each proposal, up to twice the first timeout, and begins again.
#[derive(Debug, Default)]
pub(super) struct Ramp {
    after_us: u64,
    proposed: u64,
}

impl Behaviour for Ramp {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        let Message::PrePrepare(pre_prepare) = &message else {
            out.push((to, message));
            return;
        };
        if !is_own_proposal(stage, &message) {
            out.push((to, message));
            return;
        }
        if pre_prepare.proposal.sequence.0 > self.proposed {
            self.proposed = pre_prepare.proposal.sequence.0;
            // Two in a hundred, from a millisecond on.
            self.after_us = (self.after_us + self.after_us / 50).max(self.after_us + 1_000);
            if self.after_us > 2_000 * u64::from(stage.context.parameters.timeout_base_ms) {
                self.after_us = 0;
            }
        }
        out.push_late(to, message, self.after_us / 1_000);
    }
}
