//! What was signed for another epoch or another cluster: a signature must say which it is for
//! (protocol §1.6).

use quorate_crypto::sha256;
use quorate_types::ids::{ClusterId, Epoch};
use quorate_types::message::{Message, VoteMessage};
use quorate_types::proposal::PrePrepare;
use quorate_types::verified::Context;

use super::{Behaviour, Letters, Stage};

/// Says its own statements as it would have signed them elsewhere.
#[derive(Debug)]
pub(super) struct Foreign;

impl Behaviour for Foreign {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        if stage.dice.chance(300)
            && let Some(foreign) = elsewhere(stage, &message)
        {
            out.push((to, foreign));
        }
        out.push((to, message));
    }
}

/// The same message as another epoch or another cluster would have seen it.
fn elsewhere(stage: &mut Stage<'_>, message: &Message) -> Option<Message> {
    let mut context = Context { ..stage.context.clone() };
    let mut epoch = context.epoch;
    if stage.dice.chance(500) {
        context.cluster = ClusterId(sha256(&[b"another cluster", context.cluster.0.as_bytes()]));
    } else {
        epoch = Epoch(epoch.0 + 1);
    }
    Some(match message {
        Message::Vote(VoteMessage { vote, primary }) if vote.signer() == stage.index() => {
            let mut statement = vote.statement;
            statement.epoch = epoch;
            Message::Vote(VoteMessage { vote: stage.sign_for(&context, statement), primary: *primary })
        }
        Message::PrePrepare(PrePrepare { proposal, vote }) if vote.signer() == stage.index() => {
            let mut proposal = proposal.clone();
            let mut statement = vote.statement;
            (proposal.epoch, statement.epoch) = (epoch, epoch);
            statement.digest = proposal.digest();
            Message::PrePrepare(PrePrepare { proposal, vote: stage.sign_for(&context, statement) })
        }
        Message::Complaint(complaint) if complaint.signer() == stage.index() => {
            let mut statement = complaint.statement;
            statement.epoch = epoch;
            Message::Complaint(stage.sign_for(&context, statement))
        }
        Message::ExecutionVote(vote) if vote.signer() == stage.index() => {
            let mut statement = vote.statement;
            statement.execution.epoch = epoch;
            Message::ExecutionVote(stage.sign_for(&context, statement))
        }
        Message::ViewChange(change) if change.signed.signer() == stage.index() => {
            let mut changed = (**change).clone();
            changed.signed.statement.epoch = epoch;
            changed.signed = stage.sign_for(&context, changed.signed.statement);
            Message::ViewChange(Box::new(changed))
        }
        _ => return None,
    })
}
