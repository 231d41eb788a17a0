//! Canonical bytes: the fixed layouts that are signed, hashed, sent between validators and stored.
//!
//! One value has exactly one encoding and one encoding exactly one value: integers are fixed-width
//! big-endian, options are a byte 0 or 1, lists and byte strings carry a 32-bit length and a bound
//! that the reader states, and nothing may follow. A reader never allocates more than the bytes that
//! it was given justify. Versions are the business of the enclosing message, not of this module.

use quorate_crypto::{Digest, PublicKey, Signature};

/// Why bytes are not the canonical form of anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ended inside a value.
    #[error("{wanted} more bytes were expected at offset {offset}, {left} are left")]
    Truncated {
        /// Where the value starts.
        offset: usize,
        /// How many bytes it needs.
        wanted: usize,
        /// How many there are.
        left: usize,
    },
    /// Bytes follow the value.
    #[error("{left} bytes follow the end of the value")]
    Trailing {
        /// How many.
        left: usize,
    },
    /// A length is above its bound.
    #[error("{what}: length {length} is above the limit of {limit}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// The length stated.
        length: usize,
        /// The largest allowed.
        limit: usize,
    },
    /// A tag byte has no meaning here.
    #[error("{what}: {value} is not a known value")]
    Unknown {
        /// What the tag selects.
        what: &'static str,
        /// The byte found.
        value: u8,
    },
    /// A rule of the layout is broken (order, duplicates, text encoding, an inner format).
    #[error("{what}: {rule}")]
    Malformed {
        /// Which part.
        what: &'static str,
        /// The rule.
        rule: &'static str,
    },
}

/// Room for most values without growing, votes and receipts among them.
const USUAL_BYTES: usize = 128;

/// A value with one canonical encoding.
pub trait Canonical: Sized {
    /// Appends the encoding to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads one value.
    ///
    /// # Errors
    /// If the bytes aren't the canonical encoding of any value.
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// The encoding alone.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(USUAL_BYTES);
        self.encode(&mut out);
        out
    }

    /// Reads a value that takes up all of `bytes`.
    ///
    /// # Errors
    /// As [`Canonical::decode`], and if anything follows the value.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let value = Self::decode(&mut input)?;
        input.finish()?;
        Ok(value)
    }
}

/// A cursor over received bytes.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// How many bytes are left.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        if count > self.left() {
            return Err(DecodeError::Truncated { offset: self.offset, wanted: count, left: self.left() });
        }
        let taken = &self.bytes[self.offset..self.offset + count];
        self.offset += count;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A 16-bit integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// A 32-bit integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A 64-bit integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A byte string with a 32-bit length, at most `limit` long.
    ///
    /// # Errors
    /// If it is too long or truncated.
    pub fn bytes(&mut self, limit: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.length(limit, what)?;
        self.take(length)
    }

    /// A list with a 32-bit length, at most `limit` long.
    ///
    /// # Errors
    /// If it is too long, truncated, or an element isn't canonical.
    pub fn list<T: Canonical>(&mut self, limit: usize, what: &'static str) -> Result<Vec<T>, DecodeError> {
        let length = self.length(limit, what)?;
        // An element takes at least one byte: the input's own size bounds what is reserved.
        let mut items = Vec::with_capacity(length.min(self.left()));
        for _ in 0..length {
            items.push(T::decode(self)?);
        }
        Ok(items)
    }

    /// Checks that everything was read.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`].
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing { left }),
        }
    }

    fn length(&mut self, limit: usize, what: &'static str) -> Result<usize, DecodeError> {
        let length = self.u32()? as usize;
        if length > limit {
            return Err(DecodeError::TooLong { what, length, limit });
        }
        Ok(length)
    }
}

/// Appends a byte string with its 32-bit length; the counterpart of [`Reader::bytes`].
pub fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    encode_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends a list with its 32-bit length; the counterpart of [`Reader::list`].
pub fn encode_list<T: Canonical>(items: &[T], out: &mut Vec<u8>) {
    encode_length(items.len(), out);
    for item in items {
        item.encode(out);
    }
}

/// Lengths in memory are bounded far below 2³² by the limits that every maker checks; a longer one
/// saturates and is refused by every reader.
fn encode_length(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

impl Canonical for u8 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.u8()
    }
}

impl Canonical for u32 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.u32()
    }
}

impl Canonical for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.u64()
    }
}

impl Canonical for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(DecodeError::Unknown { what: "boolean", value }),
        }
    }
}

impl<T: Canonical> Canonical for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if bool::decode(input)? { T::decode(input).map(Some) } else { Ok(None) }
    }
}

impl<A: Canonical, B: Canonical> Canonical for (A, B) {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok((A::decode(input)?, B::decode(input)?))
    }
}

impl<T: Canonical> Canonical for std::sync::Arc<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        T::encode(self, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        T::decode(input).map(Self::new)
    }
}

impl Canonical for Digest {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.array().map(Self::new)
    }
}

impl Canonical for PublicKey {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.array().map(Self::from_bytes)
    }
}

impl Canonical for Signature {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.array().map(Self::from_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boolean_other_than_zero_or_one_is_refused() {
        assert_eq!(bool::from_bytes(&[2]), Err(DecodeError::Unknown { what: "boolean", value: 2 }));
    }

    #[test]
    fn trailing_and_missing_bytes_are_refused() {
        assert_eq!(u32::from_bytes(&[0; 5]), Err(DecodeError::Trailing { left: 1 }));
        assert!(matches!(u32::from_bytes(&[0; 3]), Err(DecodeError::Truncated { wanted: 4, .. })));
    }

    #[test]
    fn a_list_above_its_bound_is_refused_before_it_is_read() {
        let mut bytes = Vec::new();
        encode_list(&[1u32, 2, 3], &mut bytes);
        let mut input = Reader::new(&bytes);
        assert!(matches!(input.list::<u32>(2, "numbers"), Err(DecodeError::TooLong { limit: 2, .. })));
        assert_eq!(Reader::new(&bytes).list::<u32>(3, "numbers"), Ok(vec![1, 2, 3]));
    }

    #[test]
    fn a_stated_length_reserves_no_more_than_the_input_justifies() {
        let bytes = u32::MAX.to_be_bytes();
        let mut input = Reader::new(&bytes);
        assert!(matches!(input.list::<u64>(usize::MAX, "numbers"), Err(DecodeError::Truncated { .. })));
    }
}
