//! Voting for everything: whatever anyone votes for gets this validator's votes of both phases.

use std::collections::BTreeSet;

use quorate_types::message::{Message, VoteMessage};
use quorate_types::vote::{Claim, Phase, Vote};

use super::{Behaviour, Letters, Stage};

/// Votes for everything.
#[derive(Debug, Default)]
pub(super) struct DoubleVote {
    done: BTreeSet<Claim>,
}

impl Behaviour for DoubleVote {
    fn hear(&mut self, stage: &mut Stage<'_>, message: &Message, out: &mut Letters) {
        let heard = match message {
            Message::PrePrepare(pre_prepare) => pre_prepare.vote,
            Message::Vote(vote) => vote.vote,
            _ => return,
        };
        if self.done.len() > 512 {
            self.done.pop_first();
        }
        if heard.signer() == stage.index() || !self.done.insert(heard.statement.claim()) {
            return;
        }
        for phase in [Phase::Prepare, Phase::Commit] {
            let vote = stage.sign(Vote { phase, validator: stage.index(), ..heard.statement });
            let message = Message::Vote(VoteMessage { vote, primary: None });
            if stage.dice.chance(700) {
                stage.to_all(&message, out);
            } else {
                stage.to_some(&message, out);
            }
        }
    }
}
