//! Saying nothing, or not voting, to some.

use quorate_types::message::Message;

use super::{Behaviour, Letters, Stage};

/// Says nothing to some, and changes its mind about whom.
#[derive(Debug, Default)]
pub(super) struct Selective {
    shunned: Vec<u16>,
}

impl Behaviour for Selective {
    fn send(&mut self, _: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        if !self.shunned.contains(&to) {
            out.push((to, message));
        }
    }

    fn tick(&mut self, stage: &mut Stage<'_>, _: &mut Letters) {
        if stage.dice.chance(60) {
            self.shunned = stage.some();
        }
    }
}

/// Votes to some only, and changes its mind about whom: different validators reach quorums at different times.
#[derive(Debug, Default)]
pub(super) struct SelectiveVotes {
    shunned: Vec<u16>,
}

impl Behaviour for SelectiveVotes {
    fn send(&mut self, _: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        let is_vote = matches!(message, Message::Vote(_) | Message::ExecutionVote(_) | Message::Certificate(_));
        if !(is_vote && self.shunned.contains(&to)) {
            out.push((to, message));
        }
    }

    fn tick(&mut self, stage: &mut Stage<'_>, _: &mut Letters) {
        if stage.dice.chance(100) {
            self.shunned = stage.some();
        }
    }
}
