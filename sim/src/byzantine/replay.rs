//! Sending old messages again, the speaker's own and others'.

use quorate_types::message::Message;

use super::{Behaviour, Letters, Stage};

/// Replays.
#[derive(Debug)]
pub(super) struct Replay;

impl Behaviour for Replay {
    fn tick(&mut self, stage: &mut Stage<'_>, out: &mut Letters) {
        for _ in 0..3 {
            let index = stage.dice.index(stage.pool.messages().len());
            if let Some(message) = stage.pool.messages().get(index).cloned() {
                stage.to_some(&message, out);
            }
        }
        // A status is believed to be its bringer's: another's, told as one's own.
        let status = stage.pool.messages().iter().rev().find(|message| matches!(message, Message::Status(_))).cloned();
        if let Some(status) = status.filter(|_| stage.dice.chance(200)) {
            stage.to_some(&status, out);
        }
    }
}
