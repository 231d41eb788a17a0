//! All votes of a correct validator in a view lie on one chain (protocol §3.2, §3.3, §10).

use std::collections::BTreeMap;

use quorate_crypto::Digest;
use quorate_types::ids::{Sequence, View};
use quorate_types::vote::Vote;

use super::{Fact, Invariant, Scene};
use crate::world::statement::Statement;

/// A validator's votes of one view: at each sequence what it voted for.
type Voted = BTreeMap<Sequence, Digest>;

#[derive(Debug, Default)]
pub(super) struct OneChain {
    /// The newest view of each validator, and its votes there.
    votes: BTreeMap<u16, (View, Voted)>,
}

impl OneChain {
    fn on_vote(&mut self, scene: &Scene, by: u16, vote: &Vote) -> Result<(), Vec<String>> {
        let Vote { view, sequence, digest, .. } = *vote;
        let (newest, voted) = self.votes.entry(by).or_default();
        if *newest < view {
            (*newest, *voted) = (view, Voted::new());
        }
        if *newest > view {
            return Ok(());
        }
        let says = |what: &str, sequence: Sequence, digest: Digest| {
            format!("validator {by}, view {view}: {what} at sequence {sequence} for {digest:?}")
        };
        let neighbours = [voted.range(..=sequence).next_back(), voted.range(sequence..).next()];
        for (other, voted) in neighbours.into_iter().flatten() {
            let (low, high) = ((*other, *voted).min((sequence, digest)), (*other, *voted).max((sequence, digest)));
            if scene.ancestor(high, low.0).is_some_and(|found| found != low.1) {
                return Err(vec![says("a vote", *other, *voted), says("a vote off its chain", sequence, digest)]);
            }
        }
        voted.insert(sequence, digest);
        Ok(())
    }
}

impl Invariant for OneChain {
    fn name(&self) -> (&'static str, &'static str) {
        ("votes of a view lie on one chain", "protocol §10, No double sign")
    }

    fn on_fact(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        match fact {
            // Judged when it leaves: what a crash took back before was never said.
            Fact::Leaves { by, message } => {
                let me = quorate_types::ids::ValidatorIndex(*by);
                for statement in crate::world::statement::statements_of(message, me) {
                    if let Statement::Vote(vote) = statement {
                        self.on_vote(scene, *by, &vote.statement)?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
