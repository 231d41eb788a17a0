//! That a stretch of the state's entries is whole: nothing left out, added or changed (protocol §8.7).
//!
//! Whoever is given all entries between two places of the tree, with the paths of these two places, recomputes
//! the root: what lies inside follows from the entries, what lies outside stands beside the paths. The root
//! is the certified one only if the entries are exactly those of the tree, because each digest on the way has
//! one preimage, and empty, single and inner subtrees are told apart by it.

use quorate_crypto::Digest;
use quorate_types::snapshot::{Chunk, Span};
use quorate_types::sparse::{self, EMPTY, Leaf, SparsePath, bit, common_bits, hash_inner};

/// Why entries aren't all that the tree holds in a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeFault {
    /// The entries aren't in the order of their places, or one lies outside the stretch.
    #[error("entry {0} is out of order or outside the stretch")]
    Order(usize),
    /// A path contradicts the entries, the other path, or the layout of paths.
    #[error("the paths of the two bounds fit neither each other nor the entries")]
    Paths,
    /// The tree that follows has another root.
    #[error("the entries belong to a state with the root {found}")]
    OtherRoot {
        /// The root that follows.
        found: Digest,
    },
}

/// Whether a chunk is exactly what the state with this root holds in the chunk's span.
///
/// # Errors
/// Why not.
pub fn verify(chunk: &Chunk, root: Digest) -> Result<(), RangeFault> {
    let leaves: Vec<Leaf> = chunk.entries.iter().map(|entry| Leaf::of(&entry.key, &entry.value)).collect();
    verify_leaves(&leaves, &chunk.span, [&chunk.first, &chunk.last], root)
}

/// Whether `leaves` are exactly those that the tree with this root holds in `span`; `paths` are those of its
/// lower and its upper bound.
///
/// # Errors
/// Why not.
pub fn verify_leaves(
    leaves: &[Leaf],
    span: &Span,
    [first, last]: [&SparsePath; 2],
    root: Digest,
) -> Result<(), RangeFault> {
    let mut before = None;
    for (index, leaf) in leaves.iter().enumerate() {
        if !span.contains(&leaf.key) || before >= Some(leaf.key) {
            return Err(RangeFault::Order(index));
        }
        before = Some(leaf.key);
    }
    for path in [first, last] {
        if path.siblings.len() > sparse::BITS || path.siblings.contains(&Some(EMPTY)) {
            return Err(RangeFault::Paths);
        }
    }
    if span.from > span.to {
        return Err(RangeFault::Paths);
    }
    let found = Range { span, first, last }.subtree(0, leaves, [true, true])?;
    if found == root { Ok(()) } else { Err(RangeFault::OtherRoot { found }) }
}

/// The bounds of a stretch.
struct Range<'a> {
    span: &'a Span,
    first: &'a SparsePath,
    last: &'a SparsePath,
}

impl Range<'_> {
    /// The digest of a subtree whose top is at `depth` and through which the paths of the lower and of the upper
    /// bound lead, or not; `leaves` are those of the stretch that lie in it.
    fn subtree(&self, depth: usize, leaves: &[Leaf], [lower, upper]: [bool; 2]) -> Result<Digest, RangeFault> {
        if !lower && !upper {
            return Ok(sparse::subtree(leaves, depth));
        }
        let ends = [lower && self.first.siblings.len() == depth, upper && self.last.siblings.len() == depth];
        if ends != [false, false] {
            let is_one_end = ends == [lower, upper] && (!(lower && upper) || self.first.end == self.last.end);
            return if is_one_end { self.end(depth, leaves, lower) } else { Err(RangeFault::Paths) };
        }
        let from = lower.then(|| (bit(&self.span.from, depth), beside(self.first, depth)));
        let to = upper.then(|| (bit(&self.span.to, depth), beside(self.last, depth)));
        let (left, right) = leaves.split_at(leaves.partition_point(|leaf| !bit(&leaf.key, depth)));
        let below = depth + 1;
        match (from, to) {
            // The whole stretch lies in one half.
            (Some((false, outside)), Some((false, also))) if outside == also => {
                Ok(hash_inner(self.subtree(below, left, [true, true])?, outside))
            }
            (Some((true, outside)), Some((true, also))) if outside == also => {
                Ok(hash_inner(outside, self.subtree(below, right, [true, true])?))
            }
            // What lies to the left of the lower bound, and to the right of the upper one, isn't of the stretch.
            (Some((true, outside)), None) => Ok(hash_inner(outside, self.subtree(below, right, [true, false])?)),
            (None, Some((false, outside))) => Ok(hash_inner(self.subtree(below, left, [false, true])?, outside)),
            // Both halves are of it: what stands beside a path follows from the entries, too.
            (from, to) => {
                let (left, right) = (
                    self.subtree(below, left, [from.is_some(), false])?,
                    self.subtree(below, right, [false, to.is_some()])?,
                );
                let fits = from.is_none_or(|from| from == (false, right)) && to.is_none_or(|to| to == (true, left));
                if fits { Ok(hash_inner(left, right)) } else { Err(RangeFault::Paths) }
            }
        }
    }

    /// The digest of the subtree where a path ends: it holds one entry at most, which is of the stretch or not.
    fn end(&self, depth: usize, leaves: &[Leaf], of_lower: bool) -> Result<Digest, RangeFault> {
        let (path, bound) = if of_lower { (self.first, &self.span.from) } else { (self.last, &self.span.to) };
        let is_here = path.end.is_none_or(|end| common_bits(&end.key, bound) >= depth);
        let inside = path.end.filter(|end| self.span.contains(&end.key));
        if !is_here || leaves != inside.as_slice() {
            return Err(RangeFault::Paths);
        }
        Ok(path.end.map_or(EMPTY, |end| end.digest()))
    }
}

/// What stands beside a path below `depth`.
fn beside(path: &SparsePath, depth: usize) -> Digest {
    path.siblings.get(depth).copied().flatten().unwrap_or(EMPTY)
}
