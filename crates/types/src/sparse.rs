//! The sparse Merkle tree over the replicated state, as its verifiers see it (data-model §4.7).
//!
//! A binary tree over all keys of 256 bits: an empty subtree has a fixed digest, a subtree with one leaf
//! *is* that leaf, and every other one is hashed from its halves. So the root follows from the entries
//! alone, whatever order they came in, and a path is about as long as the logarithm of their number.
//!
//! This is the one definition of the hashing. How the nodes are kept is nobody's business but the
//! machine's, and may change without a fork.

use quorate_crypto::{Digest, sha256};

use crate::codec::{Canonical, DecodeError, Reader, encode_list};

/// The root of no entries, and of every empty subtree.
pub const EMPTY: Digest = Digest::new(*b"SPARSE_MERKLE_PLACEHOLDER_HASH__");

const LEAF_TAG: &[u8] = b"JMT::LeafNode";
const INNER_TAG: &[u8] = b"JMT::IntrnalNode";

/// Bits of a key, and so the longest path.
pub const BITS: usize = 256;

/// An entry of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leaf {
    /// The digest of the entry's key: where it stands.
    pub key: Digest,
    /// The digest of the entry's value.
    pub value: Digest,
}

/// What stands at the end of a key's path, and the digests beside the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SparsePath {
    /// The only entry of the subtree where the path ends; `None` if that is empty.
    pub end: Option<Leaf>,
    /// The siblings from the top down. `None` stands for an empty one.
    pub siblings: Vec<Option<Digest>>,
}

impl Leaf {
    /// The entry of a key and a value.
    #[must_use]
    pub fn of(key: &[u8], value: &[u8]) -> Self {
        Self { key: sha256(&[key]), value: sha256(&[value]) }
    }

    /// The digest of a subtree that holds this entry alone.
    #[must_use]
    pub fn digest(&self) -> Digest {
        sha256(&[LEAF_TAG, self.key.as_bytes(), self.value.as_bytes()])
    }
}

/// The digest of a subtree with two entries or more.
#[must_use]
pub fn hash_inner(left: Digest, right: Digest) -> Digest {
    sha256(&[INNER_TAG, left.as_bytes(), right.as_bytes()])
}

/// The bit of a key at a depth; the first is the highest of the first byte.
#[must_use]
pub fn bit(key: &Digest, depth: usize) -> bool {
    key.as_bytes()[depth / 8] & (0x80 >> (depth % 8)) != 0
}

/// How many bits two keys share from the first on.
#[must_use]
pub fn common_bits(one: &Digest, other: &Digest) -> usize {
    let pairs = one.as_bytes().iter().zip(other.as_bytes());
    let mut bits = 0;
    for (one, other) in pairs {
        let differ = one ^ other;
        if differ != 0 {
            return bits + differ.leading_zeros() as usize;
        }
        bits += 8;
    }
    bits
}

/// What a path proves of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// There is an entry, with a value of this digest.
    Present(Digest),
    /// There is none.
    Absent,
}

impl SparsePath {
    /// What this path proves of `key` under `root`; `None` if it proves nothing.
    #[must_use]
    pub fn prove(&self, key: &Digest, root: Digest) -> Option<Finding> {
        let depth = self.siblings.len();
        if depth > BITS || self.siblings.contains(&Some(EMPTY)) {
            return None;
        }
        let (finding, end) = match self.end {
            None => (Finding::Absent, EMPTY),
            Some(leaf) if leaf.key == *key => (Finding::Present(leaf.value), leaf.digest()),
            // Another entry, alone in the subtree where `key` would be.
            Some(leaf) if common_bits(&leaf.key, key) >= depth => (Finding::Absent, leaf.digest()),
            Some(_) => return None,
        };
        let mut digest = end;
        for (depth, sibling) in self.siblings.iter().enumerate().rev() {
            let sibling = sibling.unwrap_or(EMPTY);
            digest = if bit(key, depth) { hash_inner(sibling, digest) } else { hash_inner(digest, sibling) };
        }
        (digest == root).then_some(finding)
    }
}

/// The root of a set of entries, by the definition, from nothing but them; sorted by key, no key twice. For
/// vectors and tests, and for whoever holds all entries.
#[must_use]
pub fn root_of(leaves: &[Leaf]) -> Digest {
    subtree(leaves, 0)
}

/// The digest of the subtree at `depth` that holds these entries, sorted by key, no key twice.
#[must_use]
pub fn subtree(leaves: &[Leaf], depth: usize) -> Digest {
    match leaves {
        [] => EMPTY,
        [leaf] => leaf.digest(),
        _ => {
            let middle = leaves.partition_point(|leaf| !bit(&leaf.key, depth));
            let (left, right) = leaves.split_at(middle);
            hash_inner(subtree(left, depth + 1), subtree(right, depth + 1))
        }
    }
}

impl Canonical for Leaf {
    fn encode(&self, out: &mut Vec<u8>) {
        self.key.encode(out);
        self.value.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { key: Digest::decode(input)?, value: Digest::decode(input)? })
    }
}

impl Canonical for SparsePath {
    fn encode(&self, out: &mut Vec<u8>) {
        self.end.encode(out);
        encode_list(&self.siblings, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { end: Option::decode(input)?, siblings: input.list(BITS, "siblings of a state path")? })
    }
}
