//! The binary Merkle tree over a list of digests, used for a sequence's receipts and a bundle's
//! operations.
//!
//! Leaves and inner nodes are hashed under different prefixes (RFC 6962 §2.1), the split is at the
//! largest power of two below the length, and the root also covers the length, so that neither an
//! inner node nor a shorter list can pass for a leaf or the list. The empty list has a root of its own.

use quorate_crypto::{Digest, sha256};

use crate::codec::{Canonical, DecodeError, Reader, encode_list};

/// A path never has more steps than a tree of 2⁴⁸ leaves is deep.
const MAX_STEPS: usize = 48;

/// The siblings that lead from one leaf to the root, from the bottom up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MerklePath {
    /// The leaf's position.
    pub index: u64,
    /// How many leaves the tree has.
    pub leaves: u64,
    /// The siblings' digests, lowest first.
    pub siblings: Vec<Digest>,
}

/// The root over `leaves`.
#[must_use]
pub fn root(leaves: &[Digest]) -> Digest {
    seal(leaves.len() as u64, subtree(leaves))
}

/// The path of leaf `index`, or `None` if there is no such leaf.
#[must_use]
pub fn path(leaves: &[Digest], index: usize) -> Option<MerklePath> {
    if index >= leaves.len() {
        return None;
    }
    let (mut span, mut at, mut siblings) = (leaves, index, Vec::new());
    while span.len() > 1 {
        let (left, right) = span.split_at(split(span.len()));
        if at < left.len() {
            siblings.push(subtree(right));
            span = left;
        } else {
            siblings.push(subtree(left));
            at -= left.len();
            span = right;
        }
    }
    siblings.reverse();
    Some(MerklePath { index: index as u64, leaves: leaves.len() as u64, siblings })
}

/// All nodes of the tree over a list, for whoever needs many of its paths.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The hashed leaves, then each level above up to the top; a node without a sibling moves up as it is.
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    /// The tree over `leaves`.
    #[must_use]
    pub fn new(leaves: &[Digest]) -> Self {
        let mut levels = vec![leaves.iter().copied().map(hash_leaf).collect::<Vec<_>>()];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let pairs = level.chunks(2).map(|pair| match pair {
                [left, right] => hash_inner(*left, *right),
                alone => alone[0],
            });
            levels.push(pairs.collect());
        }
        Self { levels }
    }

    /// The path of leaf `index`, the same as [`path`] gives, or `None` if there is no such leaf.
    #[must_use]
    pub fn path(&self, index: usize) -> Option<MerklePath> {
        let leaves = self.levels[0].len();
        if index >= leaves {
            return None;
        }
        let siblings = self.levels.iter().enumerate().filter_map(|(height, level)| level.get((index >> height) ^ 1));
        Some(MerklePath { index: index as u64, leaves: leaves as u64, siblings: siblings.copied().collect() })
    }
}

impl MerklePath {
    /// The root that this path leads to from `leaf`, or `None` if the path can't be of any tree.
    #[must_use]
    pub fn root(&self, leaf: Digest) -> Option<Digest> {
        if self.index >= self.leaves || self.siblings.len() > MAX_STEPS {
            return None;
        }
        // The turns from the root down, exactly as `path` took them.
        let (mut span, mut at, mut turns) = (self.leaves, self.index, Vec::new());
        while span > 1 {
            let left = split_u64(span);
            let goes_left = at < left;
            turns.push(goes_left);
            if goes_left {
                span = left;
            } else {
                at -= left;
                span -= left;
            }
        }
        if turns.len() != self.siblings.len() {
            return None;
        }
        let top = turns.iter().rev().zip(&self.siblings).fold(hash_leaf(leaf), |below, (goes_left, sibling)| {
            if *goes_left { hash_inner(below, *sibling) } else { hash_inner(*sibling, below) }
        });
        Some(seal(self.leaves, top))
    }
}

impl Canonical for MerklePath {
    fn encode(&self, out: &mut Vec<u8>) {
        self.index.encode(out);
        self.leaves.encode(out);
        encode_list(&self.siblings, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            index: input.u64()?,
            leaves: input.u64()?,
            siblings: input.list(MAX_STEPS, "siblings of a Merkle path")?,
        })
    }
}

fn subtree(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::ZERO,
        [leaf] => hash_leaf(*leaf),
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            hash_inner(subtree(left), subtree(right))
        }
    }
}

/// The largest power of two below `length`, which is at least 2.
const fn split(length: usize) -> usize {
    1 << (usize::BITS - 1 - (length - 1).leading_zeros())
}

const fn split_u64(length: u64) -> u64 {
    1 << (u64::BITS - 1 - (length - 1).leading_zeros())
}

fn hash_leaf(leaf: Digest) -> Digest {
    sha256(&[&[0], leaf.as_bytes()])
}

fn hash_inner(left: Digest, right: Digest) -> Digest {
    sha256(&[&[1], left.as_bytes(), right.as_bytes()])
}

fn seal(leaves: u64, top: Digest) -> Digest {
    sha256(&[&[2], &leaves.to_be_bytes(), top.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u64) -> Vec<Digest> {
        (0..count).map(|i| sha256(&[&i.to_be_bytes()])).collect()
    }

    #[test]
    fn every_path_of_every_small_tree_leads_to_its_root() {
        for count in 1..40 {
            let leaves = leaves(count);
            for (index, leaf) in leaves.iter().enumerate() {
                let path = path(&leaves, index).unwrap();
                assert_eq!(path.root(*leaf), Some(root(&leaves)), "{index} of {count}");
                assert_eq!(MerklePath::from_bytes(&path.to_bytes()), Ok(path));
            }
        }
    }

    #[test]
    fn the_whole_tree_gives_the_same_paths() {
        for count in 0..70 {
            let leaves = leaves(count);
            let tree = Tree::new(&leaves);
            for index in 0..=leaves.len() {
                assert_eq!(tree.path(index), path(&leaves, index), "{index} of {count}");
            }
        }
    }

    #[test]
    fn a_changed_index_length_sibling_or_leaf_leads_elsewhere() {
        let leaves = leaves(11);
        let good = path(&leaves, 6).unwrap();
        let top = Some(root(&leaves));
        for index in (0..14).filter(|index| *index != 6) {
            assert_ne!(MerklePath { index, ..good.clone() }.root(leaves[6]), top);
        }
        for length in (0..20).filter(|length| *length != 11) {
            assert_ne!(MerklePath { leaves: length, ..good.clone() }.root(leaves[6]), top);
        }
        for at in 0..good.siblings.len() {
            let mut bad = good.clone();
            bad.siblings[at] = Digest::ZERO;
            assert_ne!(bad.root(leaves[6]), top);
        }
        assert_ne!(good.root(leaves[5]), top);
    }

    #[test]
    fn lists_that_differ_in_length_differ_in_root() {
        let roots: std::collections::BTreeSet<_> = (0..50).map(|count| root(&leaves(count))).collect();
        assert_eq!(roots.len(), 50);
    }
}
