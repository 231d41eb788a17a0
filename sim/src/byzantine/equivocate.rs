//! A primary that proposes one thing to some and another to the rest, and keeps both chains going.

use std::collections::BTreeMap;

use quorate_crypto::Digest;
use quorate_types::ids::View;
use quorate_types::message::{Message, VoteMessage};
use quorate_types::proposal::{PrePrepare, Proposal};
use quorate_types::vote::{Phase, Vote};

use super::{Behaviour, Letters, Stage};

/// Who is told the other thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Each with even chance.
    Random,
    /// Half of the correct ones.
    Half,
    /// One of the correct ones.
    One,
}

/// The twin chain: each proposal of the correct code has a twin, which is told to the other side.
#[derive(Debug)]
pub(super) struct Equivocate {
    side: Side,
    /// Twins by the digest of the original.
    twins: BTreeMap<Digest, Proposal>,
    /// Who is told the twins, by view.
    sides: BTreeMap<View, Vec<u16>>,
}

impl Equivocate {
    pub(super) const fn new(side: Side) -> Self {
        Self { side, twins: BTreeMap::new(), sides: BTreeMap::new() }
    }

    fn choose(&self, stage: &mut Stage<'_>) -> Vec<u16> {
        let mut told = stage.correct();
        match self.side {
            Side::Random => return stage.some(),
            Side::Half => {
                stage.dice.shuffle(&mut told);
                told.truncate(told.len().div_ceil(2));
            }
            Side::One => {
                stage.dice.shuffle(&mut told);
                told.truncate(1);
            }
        }
        told
    }

    fn is_told_the_twin(&mut self, stage: &mut Stage<'_>, view: View, to: u16) -> bool {
        if self.sides.len() > 64 {
            self.sides.pop_first();
        }
        if let Some(told) = self.sides.get(&view) {
            return told.contains(&to);
        }
        let told = self.choose(stage);
        self.sides.entry(view).or_insert(told).contains(&to)
    }

    fn twin(&mut self, stage: &mut Stage<'_>, original: &Proposal) -> Proposal {
        let digest = original.digest();
        if let Some(twin) = self.twins.get(&digest) {
            return twin.clone();
        }
        let mut twin = original.clone();
        if let Some(parent) = self.twins.get(&original.parent) {
            twin.parent = parent.digest();
            twin.time = twin.time.max(parent.time);
        }
        match stage.dice.below(3) {
            0 if !twin.payload.tips.is_empty() => {
                twin.payload.tips.pop();
                twin.time = twin.time.plus(if twin.payload.is_empty() { 100 } else { 0 });
            }
            1 => twin.time = twin.time.plus(stage.dice.range(1, 50)),
            _ => twin.time = twin.time.next(),
        }
        if self.twins.len() > 256 {
            self.twins.pop_first();
        }
        self.twins.insert(digest, twin.clone());
        twin
    }
}

impl Behaviour for Equivocate {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        match message {
            Message::PrePrepare(PrePrepare { proposal, vote }) if vote.signer() == stage.index() => {
                let twin = self.twin(stage, &proposal);
                if self.is_told_the_twin(stage, vote.statement.view, to) {
                    let vote = stage.sign(Vote { digest: twin.digest(), ..vote.statement });
                    out.push((to, Message::PrePrepare(PrePrepare { proposal: twin, vote })));
                } else {
                    out.push((to, Message::PrePrepare(PrePrepare { proposal, vote })));
                }
            }
            Message::Vote(VoteMessage { vote, primary }) if vote.signer() == stage.index() => {
                let twin = self.twins.get(&vote.statement.digest).map(Proposal::digest);
                let told = self.is_told_the_twin(stage, vote.statement.view, to);
                let vote = match twin {
                    Some(digest) if told => stage.sign(Vote { digest, ..vote.statement }),
                    _ => vote,
                };
                out.push((to, Message::Vote(VoteMessage { vote, primary })));
            }
            other => out.push((to, other)),
        }
    }

    fn hear(&mut self, stage: &mut Stage<'_>, message: &Message, out: &mut Letters) {
        let Message::Vote(VoteMessage { vote, .. }) = message else { return };
        let Vote { digest, phase, .. } = vote.statement;
        // Someone prepares a twin: help it on.
        if phase == Phase::Prepare && self.twins.values().any(|twin| twin.digest() == digest) {
            let commit = stage.sign(Vote { phase: Phase::Commit, validator: stage.index(), ..vote.statement });
            let commit = Message::Vote(VoteMessage { vote: commit, primary: None });
            match self.sides.get(&vote.statement.view) {
                // To the others it keeps its face.
                Some(told) if self.side != Side::Random => out.extend(told.iter().map(|to| (*to, commit.clone()))),
                _ => stage.to_all(&commit, out),
            }
        }
    }
}
