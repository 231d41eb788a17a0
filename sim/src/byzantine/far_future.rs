//! Speaking of views and sequences far ahead: bait for whoever follows one voice, or keeps everything.

use quorate_types::ids::{BlockTime, Sequence, View};
use quorate_types::message::{Message, VoteMessage};
use quorate_types::view_change::{Complaint, ViewChange, ViewChangeMessage};
use quorate_types::vote::{Phase, Vote};

use super::{Behaviour, Letters, Stage};

/// Speaks of the far future.
#[derive(Debug)]
pub(super) struct FarFuture;

fn far(stage: &mut Stage<'_>, from: u64) -> u64 {
    match stage.dice.below(4) {
        0 => u64::MAX,
        1 => from.saturating_add(1_000_000),
        _ => from.saturating_add(stage.dice.range(1, 40)),
    }
}

impl Behaviour for FarFuture {
    fn tick(&mut self, stage: &mut Stage<'_>, out: &mut Letters) {
        if !stage.dice.chance(300) {
            return;
        }
        let epoch = stage.context.epoch;
        let validator = stage.index();
        let view = stage.pool.view().0;
        let top = stage.pool.newest_proposal().map_or(Sequence::ZERO, |proposal| proposal.sequence);
        let digest = stage.pool.digest(0).unwrap_or_default();
        let view = View(far(stage, view));
        let message = match stage.dice.below(4) {
            0 => {
                let sequence = Sequence(far(stage, top.0));
                let phase = if stage.dice.chance(500) { Phase::Prepare } else { Phase::Commit };
                let vote = stage.sign(Vote { epoch, view, sequence, digest, phase, validator });
                Message::Vote(VoteMessage { vote, primary: None })
            }
            1 => {
                let time = BlockTime(far(stage, stage.wall_ms));
                Message::Complaint(stage.sign(Complaint { epoch, view, time, validator }))
            }
            2 => {
                let sequence = Sequence(far(stage, top.0));
                let view = stage.pool.view();
                let vote = stage.sign(Vote { epoch, view, sequence, digest, phase: Phase::Prepare, validator });
                Message::Vote(VoteMessage { vote, primary: None })
            }
            _ => {
                let (prepared, committed, last_vote) = (None, None, None);
                let statement = ViewChange { epoch, new_view: view, prepared, committed, last_vote, validator };
                let signed = stage.sign(statement);
                Message::ViewChange(Box::new(ViewChangeMessage { signed, prepared: None, committed: None }))
            }
        };
        stage.to_some(&message, out);
    }
}
