//! View changes that hide what their sender knows.

use quorate_types::message::Message;
use quorate_types::view_change::{ViewChange, ViewChangeMessage};
use quorate_types::vote::{Certificate, Phase};

use super::{Behaviour, Letters, Stage};

/// Leaves its certificates out, or claims older ones; to some this, to some that.
#[derive(Debug)]
pub(super) struct HiddenClaims;

impl Behaviour for HiddenClaims {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        let Message::ViewChange(own) = &message else {
            out.push((to, message));
            return;
        };
        if own.signed.signer() != stage.index() || stage.dice.chance(250) {
            out.push((to, message));
            return;
        }
        let new_view = own.signed.statement.new_view;
        let older = |phase: Phase| {
            let held = stage.pool.certificates().iter();
            held.filter(|c| c.phase == phase && c.claim.view < new_view).min_by_key(|c| c.claim.sequence).cloned()
        };
        let (old_prepared, old_committed) = (older(Phase::Prepare), older(Phase::Commit));
        let hidden = match stage.dice.below(3) {
            0 => change(stage, new_view, None, None),
            1 => change(stage, new_view, None, own.committed.clone()),
            _ => change(stage, new_view, old_prepared, old_committed),
        };
        out.push((to, hidden));
    }
}

/// A view change that claims these certificates.
pub(super) fn change(
    stage: &Stage<'_>,
    new_view: quorate_types::ids::View,
    prepared: Option<Certificate>,
    committed: Option<Certificate>,
) -> Message {
    let statement = ViewChange {
        epoch: stage.context.epoch,
        new_view,
        prepared: prepared.as_ref().map(|certificate| certificate.claim),
        committed: committed.as_ref().map(|certificate| certificate.claim),
        last_vote: None,
        validator: stage.index(),
    };
    Message::ViewChange(Box::new(ViewChangeMessage { signed: stage.sign(statement), prepared, committed }))
}
