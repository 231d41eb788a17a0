//! The proposals seen, by digest, and the votes that wait for one of them.

use std::collections::{BTreeMap, BTreeSet};

use quorate_crypto::Digest;
use quorate_types::evidence::MAX_EVIDENCE_CHAIN;
use quorate_types::ids::Sequence;
use quorate_types::proposal::Proposal;
use quorate_types::vote::Vote;

/// Where a walk down the chain ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// At the sequence wanted: the digest there.
    At(Digest),
    /// A proposal on the way isn't held.
    Missing(Digest),
    /// The way is longer than evidence may be, or the proposals' sequences don't fit.
    TooFar,
}

/// Proposals, and what waits for one.
#[derive(Debug)]
pub(super) struct Proposals {
    held: BTreeMap<Digest, Proposal>,
    by_sequence: BTreeSet<(Sequence, Digest)>,
    waiting: BTreeMap<Digest, BTreeSet<Vote>>,
    waits: usize,
    limit: usize,
}

impl Proposals {
    pub(super) const fn new(limit: usize) -> Self {
        Self { held: BTreeMap::new(), by_sequence: BTreeSet::new(), waiting: BTreeMap::new(), waits: 0, limit }
    }

    /// A proposal that is held.
    pub(super) fn held(&self, digest: &Digest) -> Option<&Proposal> {
        self.held.get(digest)
    }

    /// Holds a proposal; gives the votes that waited for it.
    pub(super) fn insert(&mut self, proposal: &Proposal) -> BTreeSet<Vote> {
        let digest = proposal.digest();
        if self.held.contains_key(&digest) {
            return BTreeSet::new();
        }
        self.held.insert(digest, proposal.clone());
        self.by_sequence.insert((proposal.sequence, digest));
        // The highest goes first: what is far ahead can be sent again, what others build on can't.
        while self.held.len() > self.limit {
            let Some((_, highest)) = self.by_sequence.pop_last() else { break };
            self.held.remove(&highest);
        }
        let waited = self.waiting.remove(&digest).unwrap_or_default();
        self.waits = self.waits.saturating_sub(waited.len());
        waited
    }

    /// The digest at `to` on the chain that ends in `digest` at `from`.
    pub(super) fn walk(&self, (from, digest): (Sequence, Digest), to: Sequence) -> Walk {
        let (mut at, mut digest) = (from, digest);
        if from.above(to) > MAX_EVIDENCE_CHAIN as u64 {
            return Walk::TooFar;
        }
        while at > to {
            let Some(proposal) = self.held.get(&digest) else { return Walk::Missing(digest) };
            if proposal.sequence != at {
                return Walk::TooFar;
            }
            digest = proposal.parent;
            at = at.previous().unwrap_or_default();
        }
        Walk::At(digest)
    }

    /// The proposals of such a walk, from the top.
    pub(super) fn between(&self, (from, digest): (Sequence, Digest), to: Sequence) -> Vec<Proposal> {
        let (mut digest, mut chain) = (digest, Vec::new());
        for _ in 0..from.above(to) {
            let Some(proposal) = self.held.get(&digest) else { break };
            chain.push(proposal.clone());
            digest = proposal.parent;
        }
        chain
    }

    /// A vote is looked at again when this proposal comes.
    pub(super) fn wait_for(&mut self, digest: Digest, vote: Vote) {
        if self.waits < self.limit && self.waiting.entry(digest).or_default().insert(vote) {
            self.waits += 1;
        }
    }

    /// Forgets what lies below the stable checkpoint; the proposals at it stay, for those above.
    pub(super) fn prune(&mut self, stable: Sequence) {
        let kept = self.by_sequence.split_off(&(stable, Digest::ZERO));
        for (_, digest) in std::mem::replace(&mut self.by_sequence, kept) {
            self.held.remove(&digest);
        }
        for votes in self.waiting.values_mut() {
            votes.retain(|vote| vote.sequence > stable);
        }
        self.waiting.retain(|_, votes| !votes.is_empty());
        self.waits = self.waiting.values().map(BTreeSet::len).sum();
    }

    pub(super) fn held_in_all(&self) -> usize {
        self.held.len() + self.waits
    }
}
