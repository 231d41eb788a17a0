//! What a transfer keeps in the store (protocol §8.7).

use quorate_crypto::Digest;
use quorate_types::codec::{Canonical, DecodeError, Reader, encode_list};
use quorate_types::execution::Execution;
use quorate_types::ids::Sequence;
use quorate_types::snapshot::{Checkpoint, Span};

/// The most parts that a snapshot is cut into: each has one question in flight, of one chunk.
pub(crate) const MAX_PARTS: usize = 8;

/// Differing entries that are kept for inspection.
pub(crate) const MAX_DIFFERENCES: usize = 64;

/// Bytes of a differing value that are kept.
pub(crate) const DIFFERENCE_BYTES: usize = 4 << 10;

/// A transfer under way: of which checkpoint, and what of it isn't here yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferMark {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The parts of the snapshot that aren't here yet.
    pub missing: Vec<Span>,
    /// Bytes of entries received.
    pub bytes: u64,
}

/// Where a validator's own results left the certified ones (protocol §8.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The first sequence with another result than certified.
    pub sequence: Sequence,
    /// The own result there.
    pub own: Execution,
    /// The certified one.
    pub certified: Execution,
    /// Entities that differed when the certified state replaced the own one, although neither state had changed
    /// them since, in the order of their keys; not all of them, if there were many.
    pub differences: Vec<Difference>,
    /// Whether the states were compared.
    pub is_compared: bool,
}

/// An entry of the state of which two validators' values differ. A long value is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its key.
    pub key: Vec<u8>,
    /// The own value; `None` if there was none.
    pub own: Option<Vec<u8>>,
    /// The certified value; `None` if there is none.
    pub certified: Option<Vec<u8>>,
}

/// The place after `place`; `None` after the highest.
pub(crate) fn after(place: &Digest) -> Option<Digest> {
    let mut bytes = *place.as_bytes();
    for byte in bytes.iter_mut().rev() {
        let (next, overflows) = byte.overflowing_add(1);
        *byte = next;
        if !overflows {
            return Some(Digest::new(bytes));
        }
    }
    None
}

/// All places, cut into `parts` spans of equal length, as far as 64 bits tell.
pub(crate) fn cut(parts: usize) -> Vec<Span> {
    let parts = parts.clamp(1, MAX_PARTS) as u128;
    let bound = |part: u128| -> Digest {
        let mut bytes = [0; 32];
        let high = (part << 64) / parts;
        bytes[..8].copy_from_slice(&(high as u64).to_be_bytes());
        Digest::new(bytes)
    };
    let end = |part: u128| if part == parts { Span::ALL.to } else { before(&bound(part)) };
    (0..parts).map(|part| Span { from: bound(part), to: end(part + 1) }).collect()
}

fn before(place: &Digest) -> Digest {
    let mut bytes = *place.as_bytes();
    for byte in bytes.iter_mut().rev() {
        let (next, underflows) = byte.overflowing_sub(1);
        *byte = next;
        if !underflows {
            break;
        }
    }
    Digest::new(bytes)
}

/// How much of all places lies in `missing`, in parts of a million.
pub(crate) fn missing_millionths(missing: &[Span]) -> u32 {
    let high = |place: &Digest| place.as_bytes()[..8].iter().fold(0_u128, |sum, byte| (sum << 8) | u128::from(*byte));
    let length: u128 = missing.iter().map(|span| high(&span.to) - high(&span.from)).sum();
    u32::try_from((length * 1_000_000) >> 64).unwrap_or(1_000_000)
}

impl Canonical for TransferMark {
    fn encode(&self, out: &mut Vec<u8>) {
        self.checkpoint.encode(out);
        encode_list(&self.missing, out);
        self.bytes.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            checkpoint: Checkpoint::decode(input)?,
            missing: input.list(MAX_PARTS, "parts of a transfer")?,
            bytes: input.u64()?,
        })
    }
}

impl Canonical for Divergence {
    fn encode(&self, out: &mut Vec<u8>) {
        self.sequence.encode(out);
        self.own.encode(out);
        self.certified.encode(out);
        encode_list(&self.differences, out);
        self.is_compared.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sequence: Sequence::decode(input)?,
            own: Execution::decode(input)?,
            certified: Execution::decode(input)?,
            differences: input.list(MAX_DIFFERENCES, "differing entries")?,
            is_compared: bool::decode(input)?,
        })
    }
}

impl Canonical for Difference {
    fn encode(&self, out: &mut Vec<u8>) {
        quorate_types::codec::encode_bytes(&self.key, out);
        for value in [&self.own, &self.certified] {
            value.is_some().encode(out);
            if let Some(value) = value {
                quorate_types::codec::encode_bytes(value, out);
            }
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let key = input.bytes(usize::from(u16::MAX), "key of a differing entry")?.to_vec();
        let mut value = || match bool::decode(input)? {
            true => Ok(Some(input.bytes(DIFFERENCE_BYTES, "value of a differing entry")?.to_vec())),
            false => Ok(None),
        };
        Ok(Self { key, own: value()?, certified: value()? })
    }
}

#[cfg(test)]
mod tests {
    use quorate_types::snapshot::{HIGHEST, LOWEST};

    use super::*;

    /// protocol §8.7: as many equal parts as there are peers to ask.
    #[test]
    fn parts_join_without_gaps_from_the_lowest_place_to_the_highest() {
        for parts in 0..MAX_PARTS + 3 {
            let spans = cut(parts);
            assert_eq!(spans.len(), parts.clamp(1, MAX_PARTS));
            assert_eq!((spans[0].from, spans.last().unwrap().to), (LOWEST, HIGHEST));
            for pair in spans.windows(2) {
                assert_eq!(after(&pair[0].to), Some(pair[1].from));
            }
            let millionths = missing_millionths(&spans);
            assert!((999_990..=1_000_000).contains(&millionths), "{millionths}");
        }
        assert_eq!(after(&HIGHEST), None);
        assert_eq!(missing_millionths(&[]), 0);
        let half = missing_millionths(&cut(2)[..1]);
        assert!((499_999..=500_000).contains(&half), "{half}");
    }
}
