//! Lies about one's own position, which nobody can check and nobody may rely on.

use quorate_types::ids::{BundleNumber, Sequence, ValidatorIndex, View};
use quorate_types::message::{Message, Status};

use super::{Behaviour, Letters, Stage};

/// Lies in its status.
#[derive(Debug)]
pub(super) struct LyingStatus;

impl Behaviour for LyingStatus {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        match message {
            Message::Status(mut status) if stage.dice.chance(500) => {
                lie(stage, &mut status);
                out.push((to, Message::Status(status)));
            }
            other => out.push((to, other)),
        }
    }
}

fn lie(stage: &mut Stage<'_>, status: &mut Status) {
    let off = stage.dice.range(1, 20);
    match stage.dice.below(9) {
        0 => status.committed = status.committed.plus(off),
        1 => status.committed = Sequence(status.committed.0.saturating_sub(off)),
        2 => status.stable = status.stable.plus(off),
        3 => status.view = View(status.view.0.saturating_add(off)),
        4 => {
            status.active = !status.active;
            status.certified = status.certified.plus(off);
        }
        5 => {
            if let Some(tip) = status.tips.first_mut() {
                tip.number = BundleNumber(tip.number.0.saturating_add(off));
            }
        }
        6 => {
            for slot in &mut status.slots {
                (0..stage.size()).for_each(|index| slot.voters.insert(ValidatorIndex(index)));
            }
        }
        7 => (0..stage.size()).for_each(|index| status.view_changes.insert(ValidatorIndex(index))),
        _ => status.stable = Sequence(u64::MAX),
    }
}
