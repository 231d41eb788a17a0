//! Votes that tell each validator what it wants to hear: with enough such voters beside an equivocating primary
//! a divided cluster forks.

use std::collections::BTreeSet;

use quorate_types::message::{Message, VoteMessage};
use quorate_types::vote::{Claim, Phase, Vote};

use super::{Behaviour, Letters, Stage};

/// Votes, to each validator alone, for what that one votes for.
#[derive(Debug, Default)]
pub(super) struct TwoFaced {
    done: BTreeSet<(Claim, u16)>,
}

impl Behaviour for TwoFaced {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        let is_own_vote = matches!(&message, Message::Vote(vote) if vote.vote.signer() == stage.index());
        if !is_own_vote {
            out.push((to, message));
        }
    }

    fn hear(&mut self, stage: &mut Stage<'_>, message: &Message, out: &mut Letters) {
        let heard = match message {
            Message::PrePrepare(pre_prepare) => pre_prepare.vote,
            Message::Vote(vote) => vote.vote,
            _ => return,
        };
        let voter = heard.signer().0;
        if self.done.len() > 512 {
            self.done.pop_first();
        }
        if voter == stage.me || !self.done.insert((heard.statement.claim(), voter)) {
            return;
        }
        for phase in [Phase::Prepare, Phase::Commit] {
            let vote = stage.sign(Vote { phase, validator: stage.index(), ..heard.statement });
            out.push((voter, Message::Vote(VoteMessage { vote, primary: None })));
        }
    }
}
