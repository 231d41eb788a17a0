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

/// Proposes when nine tenths of the *least* timeout have passed: measured round trips lead to no shorter one.
fn just_under_ms(stage: &Stage<'_>) -> u64 {
    u64::from(stage.context.parameters.timeout_base_min_ms) * 9 / 10
}

/// Proposes just before the shortest timeout.
#[derive(Debug)]
pub(super) struct Dawdle;

impl Behaviour for Dawdle {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        let after_ms = if is_own_proposal(stage, &message) { just_under_ms(stage) } else { 0 };
        out.push_late(to, message, after_ms);
    }
}

/// Proposes in time, but for one proposal in twenty.
#[derive(Debug)]
pub(super) struct OnOff;

impl Behaviour for OnOff {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        let is_late = match &message {
            Message::PrePrepare(pre_prepare) => {
                is_own_proposal(stage, &message) && pre_prepare.proposal.sequence.0.is_multiple_of(20)
            }
            _ => false,
        };
        let after_ms = if is_late { just_under_ms(stage) } else { 0 };
        out.push_late(to, message, after_ms);
    }
}

/// Hears, while it leads, of no more bundles than it wants to propose: one in so many milliseconds.
const TINY_EVERY_MS: u64 = 25;

/// Orders a trickle: bundles reach its correct code one at a time while it leads.
#[derive(Debug, Default)]
pub(super) struct Tiny {
    heard_ms: u64,
}

impl Behaviour for Tiny {
    fn lets_in(&mut self, stage: &mut Stage<'_>, message: &Message) -> bool {
        if !matches!(message, Message::Bundle(_)) || !stage.leads() {
            return true;
        }
        let is_due = stage.wall_ms >= self.heard_ms + TINY_EVERY_MS;
        if is_due {
            self.heard_ms = stage.wall_ms;
        }
        is_due
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
