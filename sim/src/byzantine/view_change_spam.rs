//! Restless complaints and view changes.

use quorate_types::ids::BlockTime;
use quorate_types::message::Message;
use quorate_types::view_change::Complaint;
use quorate_types::vote::Phase;

use super::hidden_claims::change;
use super::{Behaviour, Letters, Stage};

/// Complains and changes view all the time.
#[derive(Debug)]
pub(super) struct Spam;

impl Behaviour for Spam {
    fn tick(&mut self, stage: &mut Stage<'_>, out: &mut Letters) {
        let epoch = stage.context.epoch;
        let validator = stage.index();
        let view = stage.pool.view();
        if stage.dice.chance(500) {
            let newest = stage.pool.newest_proposal().map_or(BlockTime(stage.wall_ms), |proposal| proposal.time);
            let time = newest.plus(stage.dice.below(3));
            let complaint = stage.sign(Complaint { epoch, view, time, validator });
            stage.to_all(&Message::Complaint(complaint), out);
        }
        if stage.dice.chance(300) {
            let new_view = view.plus(stage.dice.range(1, 3));
            let pick = |phase: Phase| {
                let held = stage.pool.certificates().iter().rev();
                held.filter(|c| c.phase == phase && c.claim.view < new_view).nth(usize::from(stage.me) % 2).cloned()
            };
            let (prepared, committed) = (pick(Phase::Prepare), pick(Phase::Commit));
            let message = change(stage, new_view, prepared, committed);
            stage.to_some(&message, out);
        }
    }
}
