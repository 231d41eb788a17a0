//! Floods: far more messages than anyone needs, old ones and ones that verify nowhere.

use quorate_crypto::Signature;
use quorate_types::message::Message;

use super::{Behaviour, Letters, Stage};

/// Messages to each validator at a time: with the pace of ideas, some sixteen hundred in a second.
const AT_ONCE: usize = 32;

/// Sends old votes again and again.
#[derive(Debug)]
pub(super) struct Stale;

impl Behaviour for Stale {
    fn tick(&mut self, stage: &mut Stage<'_>, out: &mut Letters) {
        let is_vote = |message: &&Message| matches!(message, Message::Vote(_));
        let Some(vote) = stage.pool.messages().iter().find(is_vote).cloned() else { return };
        (0..AT_ONCE).for_each(|_| stage.to_all(&vote, out));
    }
}

/// Sends votes whose signatures verify nowhere.
#[derive(Debug)]
pub(super) struct Junk;

impl Behaviour for Junk {
    fn tick(&mut self, stage: &mut Stage<'_>, out: &mut Letters) {
        let votes = stage.pool.messages().iter().rev();
        let Some(mut vote) = votes
            .filter_map(|message| match message {
                Message::Vote(vote) => Some(vote.clone()),
                _ => None,
            })
            .next()
        else {
            return;
        };
        vote.vote.signature = Signature::from_bytes([9; 64]);
        let vote = Message::Vote(vote);
        (0..AT_ONCE / 8).for_each(|_| stage.to_all(&vote, out));
    }
}
