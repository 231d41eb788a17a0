//! The state as it is handed from one validator to another (protocol §8.7): which checkpoint somebody can hand
//! over, and the chunks in which it travels.
//!
//! A snapshot is the entries of the state tree in the order of the digests of their keys. A [`Chunk`] holds a
//! stretch of them together with the paths of its two bounds; `quorate_proof::range` says whether it is whole.
//! What is here knows the layout and its bounds only.

use quorate_crypto::Digest;

use crate::codec::{Canonical, DecodeError, Reader, encode_bytes, encode_list};
use crate::execution::ExecutionCertificate;
use crate::ids::Sequence;
use crate::limits::{CHUNK_BYTES, MAX_MESSAGE_BYTES};
use crate::proposal::Proposal;
use crate::sparse::SparsePath;

/// What an entry takes beside its key and its value.
const ENTRY_OVERHEAD_BYTES: usize = 8;

/// No chunk within [`CHUNK_BYTES`] has more entries.
const MAX_ENTRIES: usize = CHUNK_BYTES / ENTRY_OVERHEAD_BYTES;

/// The lowest place in the tree.
pub const LOWEST: Digest = Digest::new([0; 32]);

/// The highest place in the tree.
pub const HIGHEST: Digest = Digest::new([u8::MAX; 32]);

/// An entry of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// A stretch of places in the tree, both bounds included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The lowest place.
    pub from: Digest,
    /// The highest place.
    pub to: Digest,
}

/// All entries of a checkpoint's state whose keys' digests lie in a span, by the sender's word. Unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The checkpoint.
    pub checkpoint: Sequence,
    /// The span: it begins where it was asked for, and ends there or, where that would have been too large, with
    /// the last entry.
    pub span: Span,
    /// The entries, in the order of the digests of their keys.
    pub entries: Vec<Entry>,
    /// The path of the span's lower bound.
    pub first: SparsePath,
    /// The path of its upper bound.
    pub last: SparsePath,
}

/// What a validator can hand over: its newest stable checkpoint, and what it keeps no more of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The checkpoint's certificate.
    pub certificate: ExecutionCertificate,
    /// The proposal executed there.
    pub proposal: Proposal,
    /// The chain up to here has left the sender's store.
    pub pruned: Sequence,
}

impl Span {
    /// All places.
    pub const ALL: Self = Self { from: LOWEST, to: HIGHEST };

    /// Whether a place lies in it.
    #[must_use]
    pub fn contains(&self, place: &Digest) -> bool {
        self.from <= *place && *place <= self.to
    }
}

impl Entry {
    /// Its share of a chunk.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        self.key.len() + self.value.len() + ENTRY_OVERHEAD_BYTES
    }
}

impl Chunk {
    /// Bytes of its entries.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.entries.iter().map(Entry::size_bytes).sum()
    }
}

impl Checkpoint {
    /// The sequence of the checkpoint.
    #[must_use]
    pub const fn sequence(&self) -> Sequence {
        self.certificate.execution.sequence
    }
}

impl Canonical for Entry {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(&self.key, out);
        encode_bytes(&self.value, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            key: input.bytes(MAX_MESSAGE_BYTES, "key of an entry")?.to_vec(),
            value: input.bytes(MAX_MESSAGE_BYTES, "value of an entry")?.to_vec(),
        })
    }
}

impl Canonical for Span {
    fn encode(&self, out: &mut Vec<u8>) {
        self.from.encode(out);
        self.to.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let span = Self { from: Digest::decode(input)?, to: Digest::decode(input)? };
        if span.from > span.to {
            return Err(DecodeError::Malformed { what: "span of places", rule: "the lower bound comes first" });
        }
        Ok(span)
    }
}

impl Canonical for Chunk {
    fn encode(&self, out: &mut Vec<u8>) {
        self.checkpoint.encode(out);
        self.span.encode(out);
        encode_list(&self.entries, out);
        self.first.encode(out);
        self.last.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let chunk = Self {
            checkpoint: Sequence::decode(input)?,
            span: Span::decode(input)?,
            entries: input.list(MAX_ENTRIES, "entries of a chunk")?,
            first: SparsePath::decode(input)?,
            last: SparsePath::decode(input)?,
        };
        if chunk.entries.len() > 1 && chunk.size_bytes() > CHUNK_BYTES {
            let (length, limit) = (chunk.size_bytes(), CHUNK_BYTES);
            return Err(DecodeError::TooLong { what: "entries of a chunk", length, limit });
        }
        Ok(chunk)
    }
}

impl Canonical for Checkpoint {
    fn encode(&self, out: &mut Vec<u8>) {
        self.certificate.encode(out);
        self.proposal.encode(out);
        self.pruned.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            certificate: ExecutionCertificate::decode(input)?,
            proposal: Proposal::decode(input)?,
            pruned: Sequence::decode(input)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(values: &[usize]) -> Chunk {
        let entry = |bytes: &usize| Entry { key: vec![7], value: vec![0; *bytes] };
        let path = SparsePath { end: None, siblings: vec![None, Some(HIGHEST)] };
        let (entries, last) = (values.iter().map(entry).collect(), path.clone());
        Chunk { checkpoint: Sequence(32), span: Span::ALL, entries, first: path, last }
    }

    /// protocol §8.7
    #[test]
    fn a_chunk_at_its_bound_comes_back_and_one_byte_more_is_refused() {
        let at_bound = chunk(&[CHUNK_BYTES - 2 * ENTRY_OVERHEAD_BYTES - 2, 0]);
        assert_eq!(at_bound.size_bytes(), CHUNK_BYTES);
        assert_eq!(Chunk::from_bytes(&at_bound.to_bytes()), Ok(at_bound));
        let above = chunk(&[CHUNK_BYTES - 2 * ENTRY_OVERHEAD_BYTES - 1, 0]);
        let refused = Chunk::from_bytes(&above.to_bytes());
        assert!(matches!(refused, Err(DecodeError::TooLong { length, .. }) if length == CHUNK_BYTES + 1));
    }

    /// protocol §8.7: one entry at least, whatever its size.
    #[test]
    fn a_single_entry_may_be_larger_than_a_chunk() {
        let large = chunk(&[CHUNK_BYTES + 1]);
        assert_eq!(Chunk::from_bytes(&large.to_bytes()), Ok(large));
    }

    #[test]
    fn a_span_whose_bounds_are_the_wrong_way_round_is_refused() {
        let bytes = Span { from: HIGHEST, to: LOWEST }.to_bytes();
        assert!(matches!(Span::from_bytes(&bytes), Err(DecodeError::Malformed { .. })));
        let point = Span { from: HIGHEST, to: HIGHEST };
        assert_eq!(Span::from_bytes(&point.to_bytes()), Ok(point));
    }
}
