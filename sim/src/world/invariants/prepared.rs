//! A correct validator votes commit only if a quorum voted prepare for that proposal in that view
//! (protocol §3.3). Votes of Byzantine validators are taken for granted.

use std::collections::{BTreeMap, BTreeSet};

use quorate_crypto::Digest;
use quorate_types::ids::{Sequence, View};
use quorate_types::vote::{Phase, Vote};

use super::{Fact, Invariant, Scene};
use crate::world::statement::Statement;

#[derive(Debug, Default)]
pub(super) struct Prepared {
    votes: BTreeMap<(View, Sequence, Digest), BTreeSet<u16>>,
}

impl Invariant for Prepared {
    fn name(&self) -> (&'static str, &'static str) {
        ("a commit vote has a quorum's prepares of its view", "protocol §3.3")
    }

    fn on_fact(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        let Fact::Signed { by, statement: Statement::Vote(vote), .. } = fact else { return Ok(()) };
        let Vote { view, sequence, digest, phase, .. } = vote.statement;
        let voters = self.votes.entry((view, sequence, digest)).or_default();
        if phase == Phase::Prepare {
            voters.insert(*by);
        } else if !scene.may_be_quorum(voters) {
            return Err(vec![
                format!("validator {by} votes commit at view {view}, sequence {sequence} for {digest:?}"),
                format!("correct prepare votes for it: {voters:?}"),
                format!("with {} Byzantine validators no quorum of {}", scene.byzantine.len(), scene.quorum()),
            ]);
        }
        Ok(())
    }
}
