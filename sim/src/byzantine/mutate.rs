//! Changing one field of a message by a little, and signing it again.

use std::sync::Arc;

use quorate_crypto::Digest;
use quorate_types::bundle::Bundle;
use quorate_types::ids::{BlockTime, BundleNumber, Sequence, View};
use quorate_types::message::{Message, VoteMessage};
use quorate_types::proposal::PrePrepare;
use quorate_types::signed::Signed;
use quorate_types::view_change::{NewView, ViewChangeMessage};
use quorate_types::vote::{Phase, Vote};

use super::{Behaviour, Letters, Stage};

/// Changes one field, now and then; the true message goes out beside it, or not.
#[derive(Debug)]
pub(super) struct Mutate;

impl Behaviour for Mutate {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        if stage.dice.chance(250)
            && let Some(mutated) = mutate(stage, &message)
        {
            out.push((to, mutated));
            if stage.dice.chance(500) {
                return;
            }
        }
        out.push((to, message));
    }
}

fn near(stage: &mut Stage<'_>, value: u64) -> u64 {
    match stage.dice.below(4) {
        0 => value.saturating_sub(1),
        1 => value.saturating_add(2),
        _ => value.saturating_add(1),
    }
}

fn other_digest(stage: &mut Stage<'_>, digest: Digest) -> Digest {
    let index = stage.dice.any();
    stage.pool.digest(index).unwrap_or_else(|| quorate_crypto::sha256(&[digest.as_bytes()]))
}

/// A message that differs in one field, signed where it is this validator's own.
fn mutate(stage: &mut Stage<'_>, message: &Message) -> Option<Message> {
    Some(match message {
        Message::Vote(VoteMessage { vote, primary }) => {
            let vote = mutate_vote(stage, vote.statement);
            Message::Vote(VoteMessage { vote, primary: *primary })
        }
        Message::PrePrepare(pre_prepare) => Message::PrePrepare(mutate_pre_prepare(stage, pre_prepare)),
        Message::Complaint(complaint) => {
            let mut statement = complaint.statement;
            match stage.dice.below(2) {
                0 => statement.view = View(near(stage, statement.view.0)),
                _ => statement.time = BlockTime(near(stage, statement.time.0)),
            }
            Message::Complaint(stage.sign(statement))
        }
        Message::ViewChange(change) => Message::ViewChange(Box::new(mutate_view_change(stage, change))),
        Message::NewView(new_view) => Message::NewView(Box::new(mutate_new_view(stage, new_view))),
        Message::ExecutionVote(vote) => {
            let mut statement = vote.statement;
            match stage.dice.below(3) {
                0 => statement.execution.sequence = Sequence(near(stage, statement.execution.sequence.0)),
                1 => statement.execution.proposal = other_digest(stage, statement.execution.proposal),
                _ => statement.execution.receipts_root = other_digest(stage, statement.execution.receipts_root),
            }
            Message::ExecutionVote(stage.sign(statement))
        }
        Message::Bundle(bundle) => Message::Bundle(Arc::new(mutate_bundle(stage, bundle))),
        _ => return None,
    })
}

fn mutate_vote(stage: &mut Stage<'_>, mut vote: Vote) -> Signed<Vote> {
    match stage.dice.below(4) {
        0 => vote.view = View(near(stage, vote.view.0)),
        1 => vote.sequence = Sequence(near(stage, vote.sequence.0)),
        2 => vote.digest = other_digest(stage, vote.digest),
        _ => vote.phase = if vote.phase == Phase::Prepare { Phase::Commit } else { Phase::Prepare },
    }
    stage.sign(vote)
}

fn mutate_pre_prepare(stage: &mut Stage<'_>, pre_prepare: &PrePrepare) -> PrePrepare {
    let mut proposal = pre_prepare.proposal.clone();
    let mut vote = pre_prepare.vote.statement;
    match stage.dice.below(6) {
        0 => proposal.time = BlockTime(near(stage, proposal.time.0)),
        1 => proposal.time = proposal.time.plus(3_600_000),
        2 => proposal.parent = other_digest(stage, proposal.parent),
        3 => proposal.sequence = Sequence(near(stage, proposal.sequence.0)),
        4 => {
            proposal.payload.tips.pop();
        }
        _ => {
            if let Some(tip) = proposal.payload.tips.first_mut() {
                tip.number = BundleNumber(near(stage, tip.number.0).max(1));
            }
        }
    }
    (vote.sequence, vote.digest) = (proposal.sequence, proposal.digest());
    PrePrepare { proposal, vote: stage.sign(vote) }
}

fn mutate_view_change(stage: &mut Stage<'_>, change: &ViewChangeMessage) -> ViewChangeMessage {
    let mut changed = change.clone();
    let statement = &mut changed.signed.statement;
    match stage.dice.below(5) {
        0 => statement.new_view = View(near(stage, statement.new_view.0)),
        1 => (statement.prepared, changed.prepared) = (None, None),
        2 => (statement.committed, changed.committed) = (None, None),
        3 => {
            let lie = stage.dice.below(3);
            statement.last_vote = statement.last_vote.map(|mut claim| {
                claim.sequence = Sequence(claim.sequence.0.saturating_sub(lie));
                claim
            });
        }
        _ => {
            if let Some(claim) = &mut statement.prepared {
                claim.sequence = claim.sequence.next();
            }
        }
    }
    changed.signed = stage.sign(changed.signed.statement);
    changed
}

fn mutate_new_view(stage: &mut Stage<'_>, new_view: &Signed<NewView>) -> Signed<NewView> {
    let mut statement = new_view.statement.clone();
    match stage.dice.below(4) {
        0 => statement.view = View(near(stage, statement.view.0)),
        1 => {
            statement.view_changes.pop();
        }
        2 => statement.prepared = None,
        _ => statement.committed = None,
    }
    stage.sign(statement)
}

fn mutate_bundle(stage: &mut Stage<'_>, bundle: &Bundle) -> Bundle {
    let mut header = bundle.header.statement;
    match stage.dice.below(4) {
        0 => header.number = BundleNumber(near(stage, header.number.0)),
        1 => header.cumulative_operations = near(stage, header.cumulative_operations),
        2 => header.cumulative_bytes = near(stage, header.cumulative_bytes),
        _ => header.parent = other_digest(stage, header.parent),
    }
    Bundle { header: stage.sign(header), operations: bundle.operations.clone() }
}
