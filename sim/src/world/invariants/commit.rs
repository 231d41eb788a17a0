//! A proposal is delivered only if a quorum voted commit, in one view, for it or a descendant
//! (protocol §3.4). Votes of Byzantine validators are taken for granted.

use std::collections::{BTreeMap, BTreeSet};

use quorate_crypto::Digest;
use quorate_replica::Notice;
use quorate_types::ids::{Sequence, View};
use quorate_types::vote::{Phase, Vote};

use super::{Fact, Invariant, Scene};
use crate::world::statement::Statement;

#[derive(Debug, Default)]
pub(super) struct Commit {
    /// Who of the correct voted commit for what.
    votes: BTreeMap<(Sequence, View, Digest), BTreeSet<u16>>,
    /// What a quorum voted for.
    certified: BTreeSet<(Sequence, Digest)>,
    /// Deliveries known to be right.
    right: BTreeSet<Digest>,
}

impl Commit {
    fn is_certified(&mut self, scene: &Scene, sequence: Sequence, digest: Digest) -> bool {
        if self.right.contains(&digest) {
            return true;
        }
        // Here, not at each vote: a voter may have become Byzantine since.
        let above = self.votes.range((sequence, View(0), Digest::ZERO)..);
        let certified = above.filter(|(_, voters)| scene.may_be_quorum(voters));
        self.certified.extend(certified.map(|((sequence, _, digest), _)| (*sequence, *digest)));
        let found = self
            .certified
            .range((sequence, Digest::ZERO)..)
            .any(|above| scene.ancestor(*above, sequence) == Some(digest));
        if found {
            self.right.insert(digest);
        }
        found
    }
}

impl Invariant for Commit {
    fn name(&self) -> (&'static str, &'static str) {
        ("a delivered proposal has a quorum's commits of one view", "protocol §3.4")
    }

    fn on_fact(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        match fact {
            Fact::Signed { by, statement: Statement::Vote(vote), .. } if vote.statement.phase == Phase::Commit => {
                let Vote { view, sequence, digest, .. } = vote.statement;
                let voters = self.votes.entry((sequence, view, digest)).or_default();
                voters.insert(*by);
                Ok(())
            }
            Fact::Notice { by, notice: Notice::Delivered { sequence, digest, .. } }
                if !self.is_certified(scene, *sequence, *digest) =>
            {
                let near: Vec<_> = self.votes.range((*sequence, View(0), Digest::ZERO)..).take(4).collect();
                Err(vec![
                    format!("validator {by} delivered {digest:?} at sequence {sequence}"),
                    format!("correct commit votes from there on: {near:?}"),
                    format!("with {} Byzantine validators no quorum of {}", scene.byzantine.len(), scene.quorum()),
                ])
            }
            _ => Ok(()),
        }
    }
}
