//! The lane tips after each proposal that may still be delivered: the delivered one and those above it
//! that were found valid; the ones that wait for bundles; and the ones found invalid.
//!
//! All are bounded by [`MAX_BRANCHES`]; a proposal that falls out is simply judged again when it is
//! asked about again.

use std::collections::{BTreeMap, BTreeSet};

use quorate_crypto::Digest;
use quorate_types::ids::ValidatorIndex;
use quorate_types::proposal::Payload;

use crate::check::PayloadFault;
use crate::point::Point;

/// Valid proposals above the delivered one, over all branches that views have left; as many that wait
/// for bundles, and as many invalid ones. Far above any window.
pub(crate) const MAX_BRANCHES: usize = 4_096;

/// A valid proposal.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub(crate) parent: Digest,
    /// The tip of each lane after it.
    pub(crate) points: Vec<Point>,
    /// The lane that was served last when proposals take lanes in turn (protocol §3.6). A function of
    /// the chain, so that whoever is primary goes on where the one before stopped.
    pub(crate) last_served: ValidatorIndex,
    /// How far above the delivered proposal of this store's start.
    depth: u64,
    age: u64,
}

/// A proposal that waits for bundles.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) parent: Digest,
    pub(crate) payload: Payload,
    age: u64,
}

/// A proposal that breaks a rule. What showed it needn't be kept, so the verdict is.
#[derive(Clone, Copy, Debug)]
struct Refused {
    parent: Digest,
    fault: PayloadFault,
    age: u64,
}

#[derive(Debug)]
pub(crate) struct Branches {
    delivered: Digest,
    valid: BTreeMap<Digest, Branch>,
    pending: BTreeMap<Digest, Pending>,
    refused: BTreeMap<Digest, Refused>,
    /// Counts insertions; the lowest age falls out first.
    ages: u64,
}

impl Branches {
    pub(crate) fn new(root: Digest, points: Vec<Point>) -> Self {
        let last_served = ValidatorIndex(u16::try_from(points.len().saturating_sub(1)).unwrap_or(u16::MAX));
        let branch = Branch { parent: root, points, last_served, depth: 0, age: 0 };
        let valid = BTreeMap::from([(root, branch)]);
        Self { delivered: root, valid, pending: BTreeMap::new(), refused: BTreeMap::new(), ages: 0 }
    }

    pub(crate) const fn delivered(&self) -> Digest {
        self.delivered
    }

    pub(crate) fn get(&self, digest: &Digest) -> Option<&Branch> {
        self.valid.get(digest)
    }

    pub(crate) fn valid(&self) -> impl Iterator<Item = &Branch> {
        self.valid.values()
    }

    pub(crate) fn pending(&self) -> impl Iterator<Item = &Pending> {
        self.pending.values()
    }

    #[cfg(test)]
    pub(crate) fn refused(&self) -> usize {
        self.refused.len()
    }

    /// Remembers a valid proposal. Returns whether there was room.
    pub(crate) fn insert(&mut self, digest: Digest, parent: Digest, points: Vec<Point>) -> bool {
        self.pending.remove(&digest);
        if self.valid.len() >= MAX_BRANCHES && !self.evict_leaf_but(parent) {
            return false;
        }
        let Some(before) = self.valid.get(&parent) else { return false };
        let last_served = last_served(before, &points);
        let depth = before.depth.saturating_add(1);
        self.ages += 1;
        self.valid.insert(digest, Branch { parent, points, last_served, depth, age: self.ages });
        true
    }

    /// Remembers a proposal that waits for bundles.
    pub(crate) fn wait(&mut self, digest: Digest, parent: Digest, payload: &Payload) {
        if self.pending.contains_key(&digest) {
            return;
        }
        if self.pending.len() >= MAX_BRANCHES {
            let oldest = self.pending.iter().min_by_key(|(_, pending)| pending.age).map(|(digest, _)| *digest);
            oldest.and_then(|digest| self.pending.remove(&digest));
        }
        self.ages += 1;
        self.pending.insert(digest, Pending { parent, payload: payload.clone(), age: self.ages });
    }

    /// Why a proposal is invalid, if that is known.
    pub(crate) fn fault(&self, digest: &Digest) -> Option<PayloadFault> {
        self.refused.get(digest).map(|refused| refused.fault)
    }

    /// Remembers that a proposal is invalid. Returns whether it waited before.
    pub(crate) fn refuse(&mut self, digest: Digest, parent: Digest, fault: PayloadFault) -> bool {
        if self.refused.len() >= MAX_BRANCHES {
            let oldest = self.refused.iter().min_by_key(|(_, refused)| refused.age).map(|(digest, _)| *digest);
            oldest.and_then(|digest| self.refused.remove(&digest));
        }
        self.ages += 1;
        self.refused.insert(digest, Refused { parent, fault, age: self.ages });
        self.pending.remove(&digest).is_some()
    }

    /// `digest` is delivered: only what extends it can still be. Must be valid and a child of the
    /// delivered one.
    pub(crate) fn deliver(&mut self, digest: Digest) {
        self.delivered = digest;
        self.keep_only(&BTreeSet::from([digest]), false);
    }

    /// Forgets what neither leads to one of `heads` nor is delivered.
    pub(crate) fn retain(&mut self, heads: &[Digest]) {
        let mut needed = BTreeSet::from([self.delivered]);
        for head in heads {
            let mut at = *head;
            if let Some(pending) = self.pending.get(&at) {
                needed.insert(at);
                at = pending.parent;
            }
            while let Some(branch) = self.valid.get(&at).filter(|_| needed.insert(at)) {
                at = branch.parent;
            }
        }
        self.keep_only(&needed, true);
    }

    /// Keeps `roots` and, unless `exactly`, what extends them.
    fn keep_only(&mut self, roots: &BTreeSet<Digest>, exactly: bool) {
        let mut alive = roots.clone();
        if !exactly {
            let mut by_depth: Vec<(u64, Digest, Digest)> =
                self.valid.iter().map(|(digest, branch)| (branch.depth, *digest, branch.parent)).collect();
            by_depth.sort_unstable();
            for (_, digest, parent) in by_depth {
                if alive.contains(&parent) {
                    alive.insert(digest);
                }
            }
        }
        self.valid.retain(|digest, _| alive.contains(digest));
        self.pending.retain(
            |digest, pending| {
                if exactly { alive.contains(digest) } else { alive.contains(&pending.parent) }
            },
        );
        self.refused.retain(|_, refused| alive.contains(&refused.parent));
    }

    /// Makes room by forgetting the oldest proposal without children, never `parent` or the delivered
    /// one.
    fn evict_leaf_but(&mut self, parent: Digest) -> bool {
        let parents: BTreeSet<Digest> = self.valid.values().map(|branch| branch.parent).collect();
        let oldest = self
            .valid
            .iter()
            .filter(|(digest, _)| !parents.contains(digest) && **digest != parent && **digest != self.delivered)
            .min_by_key(|(_, branch)| branch.age)
            .map(|(digest, _)| *digest);
        oldest.and_then(|digest| self.valid.remove(&digest)).is_some()
    }
}

/// The last lane that moved, going round from the one after the parent's last; the parent's if none did.
fn last_served(before: &Branch, points: &[Point]) -> ValidatorIndex {
    in_turn(before.last_served, points.len())
        .filter(|lane| points.get(lane.position()) != before.points.get(lane.position()))
        .last()
        .unwrap_or(before.last_served)
}

/// All `lanes`, starting after `last`.
pub(crate) fn in_turn(last: ValidatorIndex, lanes: usize) -> impl Iterator<Item = ValidatorIndex> {
    let lanes = u16::try_from(lanes).unwrap_or(u16::MAX);
    let first = if last.next().0 < lanes && last != last.next() { last.next().0 } else { 0 };
    (first..lanes).chain(0..first).map(ValidatorIndex)
}
