//! Execution votes for results that execution didn't give.

use quorate_crypto::sha256;
use quorate_types::message::Message;

use super::{Behaviour, Letters, Stage};

/// Signs wrong results, to some or to all.
#[derive(Debug)]
pub(super) struct WrongExecution;

impl Behaviour for WrongExecution {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        match &message {
            Message::ExecutionVote(vote) if vote.signer() == stage.index() && stage.dice.chance(600) => {
                let mut statement = vote.statement;
                statement.execution.receipts_root = sha256(&[b"wrong", &statement.execution.sequence.0.to_be_bytes()]);
                out.push((to, Message::ExecutionVote(stage.sign(statement))));
            }
            _ => out.push((to, message)),
        }
    }
}
