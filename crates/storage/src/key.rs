//! Keys that lie in place: a map over them compares bytes that it has at hand.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Bytes that fit without the heap; nearly every key does, an entity's with a long id doesn't.
const SHORT_BYTES: usize = 46;

/// A key; ordered as its bytes are.
#[derive(Clone)]
pub struct Key(Form);

#[derive(Clone)]
enum Form {
    Short { length: u8, bytes: [u8; SHORT_BYTES] },
    Long(Arc<[u8]>),
}

impl Key {
    /// The key that `parts` make, one after the other.
    pub fn of(parts: &[&[u8]]) -> Self {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length > SHORT_BYTES {
            return Self(Form::Long(parts.concat().into()));
        }
        let (mut bytes, mut end) = ([0; SHORT_BYTES], 0);
        for part in parts {
            bytes[end..end + part.len()].copy_from_slice(part);
            end += part.len();
        }
        Self(Form::Short { length: end as u8, bytes })
    }
}

impl Deref for Key {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Form::Short { length, bytes } => &bytes[..usize::from(*length)],
            Form::Long(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Key {
    fn from(bytes: Vec<u8>) -> Self {
        Self::of(&[&bytes])
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Self::of(&[bytes])
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Maps over keys are searched by bytes.
impl Borrow<[u8]> for Key {
    #[inline]
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    #[inline]
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self[..].cmp(&other[..])
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_keys_keep_their_bytes_and_the_order_of_bytes() {
        let lengths = [0, 1, SHORT_BYTES - 1, SHORT_BYTES, SHORT_BYTES + 1, 300];
        let all: Vec<Vec<u8>> = lengths.iter().flat_map(|length| [0, 7, 255].map(|byte| vec![byte; *length])).collect();
        for bytes in &all {
            assert_eq!(Key::from(&bytes[..])[..], bytes[..]);
            assert_eq!(Key::of(&[&bytes[..bytes.len() / 2], b"", &bytes[bytes.len() / 2..]]), Key::from(&bytes[..]));
            for other in &all {
                assert_eq!(Key::from(&bytes[..]).cmp(&Key::from(&other[..])), bytes.cmp(other));
            }
        }
    }
}
