//! The hash chain as one validator holds it: the delivered part, and the tree of proposals above.
//!
//! Invariants: delivered sequences are contiguous from `floor` to the tip; every held proposal lies above
//! the floor; `ancestor` answers only from what is held, and says `None` where a link is missing. The size
//! is bounded by the window: proposals come in by a vote of the view's primary, one per slot, or by digest
//! on request, and leave when the stable checkpoint passes them or a view starts without them.

use std::collections::{BTreeMap, BTreeSet};

use quorate_crypto::Digest;
use quorate_types::ids::Sequence;
use quorate_types::proposal::Proposal;

use crate::config::Link;

/// Proposals above the stable checkpoint, and the digests delivered there.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    proposals: BTreeMap<Digest, Proposal>,
    delivered: BTreeMap<Sequence, Digest>,
    tip: Link,
}

impl Chain {
    /// A chain delivered up to `tip`, knowing nothing below.
    pub(crate) fn new(tip: Link) -> Self {
        let delivered = BTreeMap::from([(tip.sequence, tip.digest)]);
        Self { proposals: BTreeMap::new(), delivered, tip }
    }

    /// The highest delivered proposal.
    pub(crate) const fn tip(&self) -> Link {
        self.tip
    }

    /// A held proposal.
    pub(crate) fn proposal(&self, digest: &Digest) -> Option<&Proposal> {
        self.proposals.get(digest)
    }

    /// Holds a proposal; true if it is new. What lies at or below the tip without being delivered can
    /// never matter again.
    pub(crate) fn insert(&mut self, digest: Digest, proposal: Proposal) -> bool {
        if proposal.sequence <= self.tip.sequence || self.proposals.contains_key(&digest) {
            return false;
        }
        self.proposals.insert(digest, proposal);
        true
    }

    /// Remembers a delivered proposal below the tip, after a restart.
    pub(crate) fn restore_delivered(&mut self, digest: Digest, proposal: Proposal) {
        self.delivered.insert(proposal.sequence, digest);
        self.proposals.insert(digest, proposal);
    }

    /// The digest delivered at `sequence`, while remembered.
    pub(crate) fn delivered_at(&self, sequence: Sequence) -> Option<Digest> {
        self.delivered.get(&sequence).copied()
    }

    /// The sequence and block time of a held or delivered digest.
    pub(crate) fn link(&self, digest: &Digest) -> Option<Link> {
        if *digest == self.tip.digest {
            return Some(self.tip);
        }
        let proposal = self.proposals.get(digest)?;
        Some(Link { sequence: proposal.sequence, digest: *digest, time: proposal.time })
    }

    /// The digest at `sequence` on the chain that ends in `digest` at `from`; `None` where a link is
    /// missing, or above `from`.
    pub(crate) fn ancestor(&self, from: Sequence, digest: Digest, sequence: Sequence) -> Option<Digest> {
        let (mut at, mut digest) = (from, digest);
        if sequence > at {
            return None;
        }
        while at > sequence {
            // Once on the delivered chain, its own record answers for everything below.
            if self.delivered_at(at) == Some(digest)
                && let Some(found) = self.delivered_at(sequence)
            {
                return Some(found);
            }
            let proposal = self.proposals.get(&digest)?;
            digest = proposal.parent;
            at = at.previous()?;
        }
        Some(digest)
    }

    /// Whether two points lie on one chain. `None`: not known, a link is missing.
    pub(crate) fn on_one_chain(&self, a: (Sequence, Digest), b: (Sequence, Digest)) -> Option<bool> {
        let (low, high) = if a.0 <= b.0 { (a, b) } else { (b, a) };
        self.ancestor(high.0, high.1, low.0).map(|found| found == low.1)
    }

    /// Whether the chain that ends in `digest` at `from` contains `digest_below` at `below`. Where `below` lies
    /// under everything remembered, the delivered chain stands for it: certificates of one chain are all
    /// that ever led here.
    pub(crate) fn descends(&self, from: Sequence, digest: Digest, below: Sequence, digest_below: Digest) -> bool {
        let floor = self.delivered.first_key_value().map_or(self.tip.sequence, |(floor, _)| *floor);
        if below < floor {
            return self.ancestor(from, digest, floor).is_some_and(|found| self.delivered_at(floor) == Some(found));
        }
        self.ancestor(from, digest, below) == Some(digest_below)
    }

    /// The proposals between the tip and `digest`, ascending, `digest` last.
    ///
    /// # Errors
    /// [`Gap`]: the first link missing, or that the chain doesn't pass through the tip.
    pub(crate) fn path(&self, digest: Digest) -> Result<Vec<Digest>, Gap> {
        let mut path = Vec::new();
        let mut at = digest;
        while at != self.tip.digest {
            let Some(proposal) = self.proposals.get(&at) else { return Err(Gap::Missing(at)) };
            if proposal.sequence <= self.tip.sequence {
                let delivered = self.delivered_at(proposal.sequence) == Some(at);
                return if delivered { Ok(Vec::new()) } else { Err(Gap::OffChain(proposal.sequence, at)) };
            }
            if proposal.sequence == self.tip.sequence.next() && proposal.parent != self.tip.digest {
                return Err(Gap::OffChain(proposal.sequence, at));
            }
            path.push(at);
            at = proposal.parent;
        }
        path.reverse();
        Ok(path)
    }

    /// Moves the tip to `digest`, its child.
    pub(crate) fn deliver(&mut self, digest: Digest) -> Option<Link> {
        let proposal = self.proposals.get(&digest)?;
        debug_assert_eq!(proposal.parent, self.tip.digest, "delivered in order");
        self.tip = Link { sequence: proposal.sequence, digest, time: proposal.time };
        self.delivered.insert(self.tip.sequence, digest);
        let (tip, delivered) = (self.tip.sequence, &self.delivered);
        self.proposals
            .retain(|digest, proposal| proposal.sequence > tip || delivered.get(&proposal.sequence) == Some(digest));
        Some(self.tip)
    }

    /// Forgets what lies below `stable`.
    pub(crate) fn prune(&mut self, stable: Sequence) {
        self.delivered = self.delivered.split_off(&stable.min(self.tip.sequence));
        self.proposals.retain(|_, proposal| proposal.sequence >= stable);
    }

    /// Keeps, above the tip, only the chains that end in `ends`: what a new view starts from.
    pub(crate) fn retain_chains(&mut self, ends: &[Digest]) {
        let mut kept = BTreeSet::new();
        for end in ends {
            let mut at = *end;
            while let Some(proposal) = self.proposals.get(&at) {
                if !kept.insert(at) {
                    break;
                }
                at = proposal.parent;
            }
        }
        let tip = self.tip.sequence;
        self.proposals.retain(|digest, proposal| proposal.sequence <= tip || kept.contains(digest));
    }

    /// The held proposals above the tip, by sequence.
    pub(crate) fn above_tip(&self) -> Vec<Digest> {
        let mut above: Vec<_> = self
            .proposals
            .iter()
            .filter(|(_, proposal)| proposal.sequence > self.tip.sequence)
            .map(|(digest, proposal)| (proposal.sequence, *digest))
            .collect();
        above.sort_unstable();
        above.into_iter().map(|(_, digest)| digest).collect()
    }

    /// How many proposals are held.
    pub(crate) fn held(&self) -> usize {
        self.proposals.len()
    }
}

/// Why a digest can't be reached from the tip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// This proposal isn't held.
    Missing(Digest),
    /// The chain leaves the delivered one: here another proposal lies.
    OffChain(Sequence, Digest),
}

#[cfg(test)]
mod tests {
    use quorate_types::ids::{BlockTime, Epoch};
    use quorate_types::proposal::Payload;

    use super::*;

    fn child(parent: Digest, sequence: u64, time: u64) -> (Digest, Proposal) {
        let proposal = Proposal {
            epoch: Epoch(0),
            sequence: Sequence(sequence),
            parent,
            time: BlockTime(time),
            payload: Payload::default(),
        };
        (proposal.digest(), proposal)
    }

    fn genesis() -> Link {
        Link { sequence: Sequence(0), digest: Digest::ZERO, time: BlockTime(0) }
    }

    #[test]
    fn a_path_names_the_missing_link_and_a_fork_below_the_tip() {
        let mut chain = Chain::new(genesis());
        let (a, pa) = child(Digest::ZERO, 1, 1);
        let (b, pb) = child(a, 2, 2);
        let (c, pc) = child(b, 3, 3);
        chain.insert(c, pc);
        chain.insert(a, pa);
        assert_eq!(chain.path(c), Err(Gap::Missing(b)));
        chain.insert(b, pb);
        assert_eq!(chain.path(c), Ok(vec![a, b, c]));
        chain.deliver(a);
        let (x, px) = child(Digest::ZERO, 2, 9);
        chain.insert(x, px);
        assert_eq!(chain.path(x), Err(Gap::OffChain(Sequence(2), x)));
        assert_eq!(chain.path(a), Ok(vec![]));
    }

    #[test]
    fn ancestors_are_found_through_the_delivered_part() {
        let mut chain = Chain::new(genesis());
        let mut digest = Digest::ZERO;
        let mut all = vec![digest];
        for sequence in 1..=5 {
            let (next, proposal) = child(digest, sequence, sequence);
            chain.insert(next, proposal);
            digest = next;
            all.push(next);
        }
        chain.deliver(all[1]);
        chain.deliver(all[2]);
        for at in 0..=5u64 {
            assert_eq!(chain.ancestor(Sequence(5), all[5], Sequence(at)), Some(all[usize::try_from(at).unwrap()]));
        }
        chain.prune(Sequence(2));
        assert_eq!(chain.ancestor(Sequence(5), all[5], Sequence(1)), Some(all[1]), "by the parent of 2");
        assert_eq!(chain.ancestor(Sequence(5), all[5], Sequence(0)), None);
        assert_eq!(chain.on_one_chain((Sequence(5), all[5]), (Sequence(3), all[4])), Some(false));
    }
}
